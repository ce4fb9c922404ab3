"""One agent hop through the journal: fact committed → agent woken → decided → decision committed.

    python -m benchmarks.agent_hop [--quick] [--json] [--hops 300] [--width 64] [--repeats 3]

The agent is the pricing agent of the running system, told that a cost changed for a variant nobody lists: it reads,
finds nothing on sale, and holds. PostgreSQL itself says when each of the two transactions was committed. The peer, in
the same cluster and in turns with it, is a call of a bare Ray actor: no record, no transaction, no recovery.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from typing import Any
from uuid import UUID

import psycopg

from benchmarks.bare_ray import bare_actor
from benchmarks.installation import commit_time, fetch, graph, owner_url, running, temporary_home
from benchmarks.measuring import Report, quantiles, saying, spread
from flipsync.domain.events import CostChanged
from flipsync.domain.ids import new_id
from flipsync.domain.money import usd
from flipsync.store.models import Tenant
from flipsync.store.unit_of_work import Store
from flipsync.system import System

_AGENT = "pricing"
_LOOK_SECONDS = 0.004


async def _found_tenant(store: Store) -> UUID:
    tenant_id = new_id()
    async with store.unit(tenant_id) as unit:
        unit.session.add(Tenant(id=tenant_id, name="Benchmark", settings={}))
    return tenant_id


async def _emit(store: Store, tenant_id: UUID) -> UUID:
    async with store.unit(tenant_id) as unit:
        return unit.emit(CostChanged(variant_id=new_id(), cost=usd("1.00")))


async def hops(
    store: Store, url: str, tenant_id: UUID, *, count: int, width: int, limit: float = 120.0
) -> dict[str, Any]:
    """`count` hops with `width` under way. Raises TimeoutError."""
    told: list[UUID] = []
    waiting: set[UUID] = set()
    began = time.monotonic()
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        while len(told) < count or waiting:
            room = min(width - len(waiting), count - len(told))
            fresh = await asyncio.gather(*(_emit(store, tenant_id) for _ in range(room)))
            told += fresh
            waiting.update(fresh)
            await asyncio.sleep(
                _LOOK_SECONDS
            )  # coarse: it sets the pace, PostgreSQL's commit times are what is measured
            done = await connection.execute(
                "SELECT event_id FROM agent_decision WHERE event_id = ANY(%s)", (list(waiting),)
            )
            waiting.difference_update([row[0] for row in await done.fetchall()])
            if time.monotonic() - began > limit:
                raise TimeoutError(f"{len(waiting)} decisions missing after {limit:.0f} s")
    seconds = time.monotonic() - began
    rows = await asyncio.to_thread(fetch, url, _HOPS, {"ids": told})
    if len(rows) != count:
        raise RuntimeError(f"{count} facts told, {len(rows)} decisions of {_AGENT} found")
    return {"seconds": quantiles([row["hop"] for row in rows]), "per_second": count / seconds}


_HOPS = f"""
    SELECT {commit_time("d")} - {commit_time("e")} AS hop
      FROM event e JOIN agent_decision d ON d.event_id = e.id WHERE e.id = ANY(%(ids)s) AND d.agent = '{_AGENT}'
"""


async def calls(actor: Any, *, count: int, width: int) -> dict[str, Any]:
    """`count` calls of a bare actor with `width` under way."""
    latencies: list[float] = []
    left = count
    clock = time.perf_counter

    async def one() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            began = clock()
            await actor.ping.remote()
            latencies.append(clock() - began)

    began = clock()
    await asyncio.gather(*(one() for _ in range(width)))
    return {"seconds": quantiles(latencies), "per_second": count / (clock() - began)}


async def _measure(system: System, *, count: int, width: int, repeats: int) -> dict[str, Any]:
    store = system.store(graph().routing())
    url = owner_url(system.home)
    actor = bare_actor("benchmark-peer")
    result: dict[str, Any] = {}
    try:
        tenant_id = await _found_tenant(store)
        await hops(store, url, tenant_id, count=20, width=4)  # warm caches and connections
        await calls(actor, count=50, width=1)
        for name, under_way in (("sequential", 1), ("in_flight", width)):
            turns = []
            for _ in range(repeats):
                turn = {"hop": await hops(store, url, tenant_id, count=count, width=under_way)}
                turn["call"] = await calls(actor, count=max(count, 10 * under_way), width=under_way)
                turns.append(turn)
            result[name] = {
                "under_way": under_way,
                **{
                    f"{what}_{figure}_seconds": spread([turn[what]["seconds"][figure] for turn in turns])
                    for what in ("hop", "call")
                    for figure in ("p50", "p95")
                },
                "hops_per_second": spread([turn["hop"]["per_second"] for turn in turns]),
                "calls_per_second": spread([turn["call"]["per_second"] for turn in turns]),
                "hop_to_call": spread(
                    [turn["hop"]["seconds"]["p50"] / turn["call"]["seconds"]["p50"] for turn in turns]
                ),
            }
    finally:
        await store.aclose()
    return result


def measure(*, count: int, width: int, repeats: int) -> dict[str, Any]:
    """The result object."""
    with temporary_home() as home, running(home) as system, saying("hops and calls"):
        return asyncio.run(_measure(system, count=count, width=width, repeats=repeats))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="small sizes: does it run at all")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--hops", type=int, default=300)
    parser.add_argument("--width", type=int, default=64, help="hops under way at once in the second part")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(argv)
    if options.quick:
        options.hops, options.width, options.repeats = 10, 8, 1
    report = Report("agent_hop")
    report.result = measure(count=options.hops, width=options.width, repeats=options.repeats)
    for name in ("sequential", "in_flight"):
        part = report.result[name]
        for what in ("hop", "call"):
            p50, p95, rate = part[f"{what}_p50_seconds"], part[f"{what}_p95_seconds"], part[f"{what}s_per_second"]
            report.row(
                f"{name} ({part['under_way']}): {'hop with journal' if what == 'hop' else 'raw actor call'}",
                f"p50 {1000 * p50['median']:.1f} ms",
                f"{1000 * p50['min']:.1f}–{1000 * p50['max']:.1f}; p95 {1000 * p95['median']:.1f}; "
                f"{rate['median']:,.0f}/s",
            )
        ratio = part["hop_to_call"]
        report.row(f"{name}: hop / call", f"{ratio['median']:.1f}×", f"{ratio['min']:.1f}–{ratio['max']:.1f}")
    report.notes.append("a sequential hop's rate is set by our look every 4 ms; its latency is not")
    report.finish(as_json=options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
