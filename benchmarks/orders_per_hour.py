"""Orders an hour through: webhook in at the API → in the books → decided → stock shown by the other channel.

    python -m benchmarks.orders_per_hour [--quick] [--json] [--rate 28] [--seconds 60] [--burst 2000] [--workers 1]

Orders are placed in the sandbox by its control plane, once at a steady pace and once as fast as it accepts them.
Latency runs from the channel's own time of acceptance to the commit of the receipt of the write that shows the sale on
the other channel. The limits, in the same run on a sandbox of its own: how many quantity writes it answers to a bare
client, and how many orders it can place while its webhooks go to a listener that does nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.installation import running, temporary_home
from benchmarks.listener import noop_listener
from benchmarks.load import hammer, http_request, pace
from benchmarks.measuring import Report, quantiles, saying
from benchmarks.processes import processor_time, spent
from benchmarks.trading import (
    CHANNELS,
    UNITS,
    Business,
    Journey,
    agent_names,
    journeys,
    open_business,
    order_requests,
    processes,
    settle,
)
from flipsync.sandbox.client import SandboxClient
from flipsync.system import SandboxProcess

AIM_PER_HOUR, AIM_SECONDS = 100_000, 1.0
_REAL = ("--mode", "real", "--speed", "1")


# -- limits -----------------------------------------------------------------------------------------------------------


def measure_limits(skus: int, seconds: float, channels: tuple[str, ...]) -> dict[str, Any]:
    """What the sandbox alone can do, without us."""
    sandbox = SandboxProcess.start(_REAL)
    try:
        return asyncio.run(_limits(sandbox, skus, seconds, channels))
    finally:
        sandbox.stop()


async def _limits(sandbox: SandboxProcess, skus: int, seconds: float, channels: tuple[str, ...]) -> dict[str, Any]:
    names = [f"L{i:05d}" for i in range(skus)]
    async with SandboxClient(sandbox.base_url, sandbox.control_token) as market:
        await market.open_for_business(open=False, webhook_interval_seconds=0.0, traffic=0.001)
    custom, token = sandbox.channels["custom"]["base_url"], sandbox.channels["custom"]["token"]
    number = itertools.count()

    def write(path: str, body: dict[str, Any]) -> bytes:
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": f"limit-{next(number)}"}
        return http_request("PUT", f"{custom}{path}", headers, json.dumps(body).encode())

    price = {"amount_minor": 3990, "currency": "USD"}
    listings = iter(names)
    listed = await hammer(
        custom,
        lambda: write(f"/v1/listings/{(sku := next(listings))}", {"title": sku, "price": price, "quantity": 10**6}),
        width=1,
        count=skus,
    )
    listed.require(201)
    cycle = itertools.cycle(names)
    puts = await hammer(
        custom,
        lambda: write(f"/v1/listings/{next(cycle)}/quantity", {"quantity": 10**6}),
        width=8,
        seconds=seconds,
    )
    puts.require(200)
    async with noop_listener() as (url, heard):
        body = {"url": url, "topics": ["order.created", "order.updated"], "secret": "s" * 32}
        subscribed = await hammer(custom, lambda: write("/v1/webhooks/limit", body), width=1, count=1)
        subscribed.require(200, 201)
        placing = order_requests(sandbox.base_url, sandbox.control_token, names, ("custom",))
        began = time.monotonic()
        placed = await hammer(sandbox.base_url, placing, width=16, seconds=seconds)
        placed.require(200)
        await asyncio.wait_for(heard.reached(len(placed.latencies)), 10 * seconds + 30)
        told = time.monotonic() - began
    return {
        "quantity_writes_per_second": puts.per_second,
        "quantity_write_seconds": quantiles(puts.latencies),
        "orders_placed_per_second": placed.per_second,
        "orders_placed_and_told_per_second": heard.count / told,
        "generator_share_of_a_core": placed.generator_share,
    }


# -- ours -------------------------------------------------------------------------------------------------------------


async def _phase(
    business: Business, place: Callable[[], Any], orders: set[tuple[str, str]] | None = None
) -> dict[str, Any]:
    """Run one phase of placing until all of it is through; what it took, by order and by process."""
    before = set(business.accepted)
    names = agent_names(business)
    processor = processor_time(processes(business.system), names)
    began = time.time()
    placed = await place()
    placed.require(200)
    await settle(business)
    used = spent(processor, processor_time(processes(business.system), names))
    mine = set(business.accepted) - before
    ways = await asyncio.to_thread(journeys, business, mine)
    if len(ways) != len(mine):
        raise RuntimeError(f"{len(mine)} orders accepted, {len(ways)} through: some were lost")
    first, last = min(way.accepted for way in ways), max(way.shown for way in ways)
    per_hour = 3600 * len(ways) / (last - first)
    return {
        "orders": len(ways),
        "placed_per_second": placed.per_second,
        "through_per_second": per_hour / 3600,
        "through_per_hour": per_hour,
        "seconds": quantiles([way.shown - way.accepted for way in ways]),
        "by_channel": {
            channel: quantiles([way.shown - way.accepted for way in ways if way.channel == channel])
            for channel in sorted({way.channel for way in ways})
        },
        "median_seconds_by_stage": _stages(ways),
        "processor_ms_per_order": {name: 1000 * each / len(ways) for name, each in used.items() if each > 0.01},
        "processor_share_of_machine": sum(used.values()) / (time.time() - began),
        "generator_share_of_a_core": placed.generator_share,
    }


def _stages(ways: list[Journey]) -> dict[str, float]:
    """Where the time goes. A write that was under way already when the sale was booked shows it too: less than zero."""
    return {
        "accepted → booked": statistics.median(way.booked - way.accepted for way in ways),
        "booked → decided": statistics.median(way.enqueued - way.booked for way in ways),
        "decided → sent": statistics.median(way.sent - way.enqueued for way in ways),
        "sent → receipt": statistics.median(way.shown - way.sent for way in ways),
    }


async def _measure(business: Business, options: argparse.Namespace) -> dict[str, Any]:
    channels = CHANNELS if options.channel == "both" else (options.channel,)
    make = business.orders(channels)
    base = business.sandbox.base_url
    with saying("warm-up"):
        await _phase(
            business, lambda: hammer(base, make, width=2, count=max(10, options.burst // 20), answered=business.note)
        )
    with saying(f"steady: {options.rate}/s for {options.seconds:.0f} s"):
        steady = await _phase(
            business, lambda: pace(base, make, rate=options.rate, seconds=options.seconds, answered=business.note)
        )
    with saying(f"burst: {options.burst} orders at once"):
        burst = await _phase(
            business, lambda: hammer(base, make, width=16, count=options.burst, answered=business.note)
        )
    return {"steady": steady, "burst": burst}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The result object. Raises ValueError when there are not enough goods for that many orders."""
    if options.rate * options.seconds + 1.1 * options.burst > 0.8 * UNITS * options.skus:
        raise ValueError("goods would run out: give more --skus")
    with saying("limits of the sandbox alone"):
        limits = measure_limits(min(options.skus, 200), options.limit_seconds, CHANNELS)
    with temporary_home() as home, running(home, sandbox=_REAL, effect_workers=options.workers) as system:

        async def go() -> dict[str, Any]:
            business = await open_business(system, skus=options.skus)
            try:
                return await _measure(business, options)
            finally:
                await business.aclose()

        ours = asyncio.run(go())
    return {
        "aim": {"per_hour": AIM_PER_HOUR, "p50_seconds": AIM_SECONDS},
        "skus": options.skus,
        "channel": options.channel,
        "effect_workers": options.workers,
        "limit": limits,
        **ours,
        "share_of_limit": ours["burst"]["through_per_second"] / limits["orders_placed_and_told_per_second"],
    }


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="small sizes: does it run at all")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--skus", type=int, default=200)
    parser.add_argument("--rate", type=float, default=28.0, help="orders a second in the steady phase")
    parser.add_argument("--seconds", type=float, default=60.0, help="of the steady phase")
    parser.add_argument("--burst", type=int, default=2000, help="orders of the phase at full speed")
    parser.add_argument("--workers", type=int, default=1, help="effect workers")
    parser.add_argument("--limit-seconds", type=float, default=5.0)
    parser.add_argument("--channel", choices=["both", *CHANNELS], default="both", help="where the orders are placed")
    options = parser.parse_args(argv)
    if options.quick:
        options.skus, options.rate, options.seconds, options.burst, options.limit_seconds = 5, 4.0, 5.0, 40, 1.0
    return options


def main(argv: list[str] | None = None) -> int:
    options = arguments(argv)
    report = Report("orders_per_hour")
    report.result = result = measure(options)
    limit, burst = result["limit"], result["burst"]
    report.row("sandbox alone: quantity writes", f"{limit['quantity_writes_per_second']:,.0f}/s", "limit")
    told = limit["orders_placed_and_told_per_second"]
    report.row("sandbox alone: orders placed and told", f"{told:,.0f}/s", f"limit ({told * 3600:,.0f}/h)")
    for name in ("steady", "burst"):
        phase = result[name]
        report.row(
            f"{name}: {phase['orders']} orders through",
            f"{phase['through_per_hour']:,.0f}/h",
            f"{phase['through_per_second']:.1f}/s, placed {phase['placed_per_second']:.1f}/s",
        )
        seconds = phase["seconds"]
        report.row(
            f"{name}: accepted → shown elsewhere",
            f"p50 {seconds['p50']:.2f} s",
            f"p95 {seconds['p95']:.2f}, p99 {seconds['p99']:.2f}, {seconds['min']:.2f}–{seconds['max']:.2f} s",
        )
        stages = ", ".join(f"{stage} {1000 * each:.0f} ms" for stage, each in phase["median_seconds_by_stage"].items())
        report.row(f"{name}: stages (medians)", "", stages)
        costs = ", ".join(f"{what} {each:.1f}" for what, each in list(phase["processor_ms_per_order"].items())[:9])
        report.row(f"{name}: processor ms an order", f"{sum(phase['processor_ms_per_order'].values()):.1f}", costs)
    report.row("share of the limit", f"{result['share_of_limit']:.2f}", "through in the burst / placed and told")
    met = burst["through_per_hour"] >= AIM_PER_HOUR and result["steady"]["seconds"]["p50"] < AIM_SECONDS
    report.row("aim: 100,000/h, p50 under 1 s", "met" if met else "missed")
    report.finish(as_json=options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
