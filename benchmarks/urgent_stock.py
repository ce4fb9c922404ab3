"""The last unit is sold: how soon do the other channels hear of it while thousands of lesser updates wait?

    python -m benchmarks.urgent_stock [--quick] [--json] [--orders 60] [--rate 1] [--backlog 10000]

Orders for goods of which one unit is left are placed on the web shop of the served sandbox. Its webhooks, which carry
the order, come to a listener that does what the API's route does; the inventory agent decides; one effect worker, in a
process of its own as in the running system, pushes to Amazon, eBay and Shopify. Neither Ray nor HAProxy takes part, and
no other agent.
Before the first order `--backlog` lesser updates of other listings are put in the outbox, a quarter for each channel,
and the worker is at them throughout; the vendors' documented limits are in force, and nothing is scaled.

WooCommerce tells what happened when somebody visits the shop: here somebody does at once. Times run from just before
the order is sent to the sandbox, whose one process plays all four channels on the same cores, and once more from when
the shop's notice is at our door. Dispatched: the worker begins with the update. Pushed: the channel has confirmed it,
and the receipt is written. The peer, in the same run: the same orders with nothing waiting.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.installation import graph, temporary_home
from benchmarks.measuring import Report, quantiles, saying
from benchmarks.stocked import VENDORS, Reseller, reseller, sku_of
from flipsync.connectors.base import Unlimited
from flipsync.connectors.marketplaces import connect
from flipsync.domain.channel import Vendor
from flipsync.embedded.ports import choose_port
from flipsync.runtime.decision_path import DecisionPath
from flipsync.runtime.gate import Gate
from flipsync.runtime.mailbox import Mailbox
from flipsync.runtime.runner import AgentRunner
from flipsync.sandbox.client import SandboxClient
from flipsync.sandbox.records import sandbox_channel
from flipsync.services import accounts
from flipsync.services.pricing.firewall import Firewall
from flipsync.services.webhooks import WebhookAddresses, callback_url

AIM_SECONDS = 1.0
SELLING: Vendor = "woocommerce"
_AGENT = "inventory"
_FOUND = """
    SELECT l.sku, a.vendor, extract(epoch FROM e.created_at)::float8 AS decided,
           extract(epoch FROM r.started_at)::float8 AS dispatched, extract(epoch FROM r.finished_at)::float8 AS pushed
      FROM effect e
      JOIN receipt r ON r.effect_id = e.id AND r.outcome = 'confirmed'
      JOIN listing l ON l.id = e.subject_id
      JOIN marketplace_account a ON a.id = e.account_id
     WHERE e.tenant_id = %(t)s AND e.payload ->> 'last_unit' = 'true' AND l.quantity_shown = 0 AND l.sku = ANY(%(skus)s)
"""


# -- the ways in ------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _hearing(made: Reseller, told: dict[str, float]) -> AsyncIterator[str]:
    """Webhooks are taken as the API takes them; the address vendors are given. `told` gets when an order of each SKU
    was first heard of (Unix seconds)."""
    addresses = WebhookAddresses(
        made.api_store, made.box, lambda account: connect(account.config, account.credentials, Unlimited(), "hook")
    )

    async def hook(request: Request) -> Response:
        at, body = time.time(), await request.body()
        if request.headers.get("X-WC-Webhook-Resource") == "order":
            for line in json.loads(body)["line_items"]:
                told.setdefault(line["sku"], at)
        await addresses.take(request.path_params["token"], dict(request.headers), body)
        return Response(status_code=202)

    app = Starlette(routes=[Route("/api/v1/webhooks/{token}", hook, methods=["POST"])])
    port = choose_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="critical", access_log=False, lifespan="off"))
    task = asyncio.create_task(server.serve())
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task


async def _subscribe(made: Reseller, base_url: str) -> None:
    async with made.store.reader(made.tenant_id) as session:
        account = await accounts.load_account(session, made.box, made.accounts[SELLING])
    async with connect(account.config, account.credentials, Unlimited(), "hook") as connector:
        await connector.ensure_webhooks(callback_url(base_url, account.webhook_token), account.webhook_secret)


@contextlib.asynccontextmanager
async def _deciding(made: Reseller) -> AsyncIterator[None]:
    """The inventory agent at work, its proposals judged as always."""
    agents = graph()
    governance = [agent() for agent in agents.agents.values() if agent.spec.ecosystem == "governance"]
    path = DecisionPath(agents, Gate(Firewall(b"f" * 32, clock=made.store.clock), governance))
    mailbox = Mailbox(made.redis_url, [_AGENT])
    task = asyncio.create_task(AgentRunner(agents.agents[_AGENT](), made.store, path, mailbox).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await mailbox.aclose()


@contextlib.asynccontextmanager
async def _apart(made: Reseller) -> AsyncIterator[None]:
    with made.working_apart():
        yield


# -- the phases -------------------------------------------------------------------------------------------------------


async def _sell(made: Reseller, market: SandboxClient, skus: list[str], rate: float) -> dict[str, float]:
    """One order for each, at a steady pace; when each was sent (Unix seconds)."""
    sold: dict[str, float] = {}
    began = time.monotonic()
    for number, sku in enumerate(skus):
        await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
        sold[sku] = time.time()
        told = await market.place_order(sandbox_channel(SELLING), sku)
        if not told.get("accepted"):
            raise RuntimeError(f"the sandbox refused an order: {told}")
        await market.flush_webhooks()
    return sold


async def _arrived(
    made: Reseller, sold: dict[str, float], told: dict[str, float], limit: float
) -> list[dict[str, Any]]:
    """When each of the other channels knew. Raises TimeoutError when one was never told."""
    deadline = time.monotonic() + limit
    wanted = len(sold) * (len(VENDORS) - 1)
    while True:
        first: dict[tuple[str, str], dict[str, Any]] = {}
        rows = made.owner.execute(_FOUND.encode(), {"t": made.tenant_id, "skus": list(sold)}).fetchall()
        for row in sorted(rows, key=lambda row: row["pushed"]):
            if row["vendor"] != SELLING:
                first.setdefault((row["sku"], row["vendor"]), row)
        if len(first) == wanted:
            return [row | {"sold": sold[row["sku"]], "told": told[row["sku"]]} for row in first.values()]
        if time.monotonic() > deadline:
            raise TimeoutError(f"{len(first)} of {wanted} channels were told")
        await asyncio.sleep(0.2)


def _by_vendor(rows: list[dict[str, Any]], stage: str) -> dict[str, Any]:
    return {
        vendor: quantiles([row[stage] - row["sold"] for row in rows if row["vendor"] == vendor])
        for vendor in sorted({row["vendor"] for row in rows})
    }


def _figures(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "updates": len(rows),
        "decided": quantiles([row["decided"] - row["sold"] for row in rows]),
        "dispatched": quantiles([row["dispatched"] - row["sold"] for row in rows]),
        "dispatched_after_notice": quantiles([row["dispatched"] - row["told"] for row in rows]),
        "dispatched_after_decision": quantiles([row["dispatched"] - row["decided"] for row in rows]),
        "pushed": quantiles([row["pushed"] - row["sold"] for row in rows]),
        "dispatched_by_vendor": _by_vendor(rows, "dispatched"),
        "pushed_by_vendor": _by_vendor(rows, "pushed"),
    }


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    listings = 2 * options.orders + options.backlog // len(VENDORS)
    with temporary_home() as home:
        async with reseller(home.parent, listings) as made:
            made.leave_one(2 * options.orders)
            client = SandboxClient(made.sandbox.base_url, made.sandbox.control_token, timeout=300)
            told: dict[str, float] = {}
            async with client as market, _hearing(made, told) as base_url, _deciding(made), _apart(made):
                await market.open_for_business(open=False, webhook_interval_seconds=0.0, traffic=0.001)
                await _subscribe(made, base_url)
                phases = {}
                skus = [sku_of(number) for number in range(2 * options.orders)]
                with saying(f"{options.orders} orders with nothing waiting"):
                    sold = await _sell(made, market, skus[: options.orders], options.rate)
                    phases["quiet"] = _figures(await _arrived(made, sold, told, 60))
                with saying(f"{options.orders} orders with {options.backlog} lesser updates waiting"):
                    for vendor in VENDORS:
                        each = options.backlog // len(VENDORS)
                        await asyncio.to_thread(made.want, vendor, 5, first=2 * options.orders, count=each)
                    await made.store.waker.wake(frozenset({"effects"}), made.tenant_id, [])
                    sold = await _sell(made, market, skus[options.orders :], options.rate)
                    left = await asyncio.to_thread(made.waiting)
                    phases["backlog"] = _figures(await _arrived(made, sold, told, 240)) | {
                        "left_after_last_order": left
                    }
            return phases


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="small sizes: does it run at all")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--orders", type=int, default=60, help="of each phase")
    parser.add_argument("--rate", type=float, default=1.0, help="orders a second")
    parser.add_argument(
        "--backlog", type=int, default=10_000, help="lesser updates put before the worker, on all channels"
    )
    options = parser.parse_args(argv)
    if options.quick:
        options.orders, options.rate, options.backlog = 4, 2.0, 400
    return options


def main(argv: list[str] | None = None) -> int:
    options = arguments(argv)
    report = Report("urgent_stock")
    phases = asyncio.run(measure(options))
    report.result = {
        "aim": {"dispatched_p99_seconds": AIM_SECONDS},
        "orders": options.orders,
        "rate": options.rate,
        "backlog_size": options.backlog,
        **json.loads(json.dumps(phases)),
    }
    for name, words in (("quiet", "nothing waiting"), ("backlog", f"{options.backlog:,} lesser waiting")):
        told = phases[name]
        for stage in ("decided", "dispatched", "dispatched_after_notice", "dispatched_after_decision", "pushed"):
            each = told[stage]
            report.row(
                f"{words}: {stage.replace('_', ' ')}",
                f"p50 {each['p50']:.2f} s",
                f"p95 {each['p95']:.2f}, p99 {each['p99']:.2f}, most {each['max']:.2f} s, of {each['n']}",
            )
        for vendor, each in told["pushed_by_vendor"].items():
            report.row(f"{words}: pushed to {vendor}", f"p50 {each['p50']:.2f} s", f"p99 {each['p99']:.2f} s")
    loaded = phases["backlog"]
    report.row("waiting when the last order was placed", f"{loaded['left_after_last_order']:,}")
    for stage, since in (("dispatched", "the sale"), ("dispatched_after_notice", "the shop's notice")):
        met = loaded[stage]["p99"] < AIM_SECONDS
        report.row(f"aim: last unit dispatched, p99 under 1 s from {since}", "met" if met else "missed")
    report.notes = [
        "one process has the buyer, the listener and the inventory agent, one the effect worker; no Ray, no HAProxy",
        "nothing is scaled: the vendors' documented limits are in force",
    ]
    report.finish(as_json=options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
