"""One agent hop through the journal: fact committed → agent woken → decided → decision committed.

    python -m benchmarks.agent_hop [--quick] [--json] [--hops 300] [--width 64] [--repeats 3] [--kills 5]

The agent is the pricing agent of the running system, told that a cost changed. Held: for a variant nobody lists; it
reads, finds nothing on sale, and holds. Proposed: for a variant that sells below its new cost; it works out another
price, the gate signs it, and decision, verdict and the change for the channel are written down in one transaction. (The
channel is never reached: its account may be asked once in a quarter of an hour.) PostgreSQL itself says when each of
the two transactions was committed. The peer, in the same cluster and in turns with it, is a call of a bare Ray actor:
no record, no transaction, no recovery.

At last the agent's process is killed (`kill -9`) and told a fact at once, `--kills` times: seconds from the kill until
its next life has begun, and until that decision was committed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import psycopg

from benchmarks.bare_ray import bare_actor
from benchmarks.installation import commit_time, fetch, graph, owner_url, running, temporary_home
from benchmarks.measuring import Report, quantiles, saying, spread
from benchmarks.stocked import sku_of, write_books
from flipsync.connectors.base import AccountConfig
from flipsync.domain.events import CostChanged
from flipsync.domain.ids import new_id
from flipsync.domain.money import usd
from flipsync.security.secrets import SecretBox, parse_keys
from flipsync.services.accounts import seal_credentials
from flipsync.store.models import MarketplaceAccount, Tenant
from flipsync.store.unit_of_work import Store
from flipsync.system import System

#: of a hop to a raw call; of a hop's p95, and from the end of a process to the next decision, in seconds
AIM_RATIO, AIM_P95, AIM_BACK = 3.0, 0.05, 2.0
_AGENT = "pricing"
_LOOK_SECONDS = 0.004


async def _found_tenant(store: Store) -> UUID:
    tenant_id = new_id()
    async with store.unit(tenant_id) as unit:
        unit.session.add(Tenant(id=tenant_id, name="Benchmark", settings={}))
    return tenant_id


#: goods that sell at 39.90 and now cost this: each is told of once, and of one in so many of the catalogue, so that no
#: brake of the price firewall holds one for a person
_COST, _SHARE = usd("30.00"), 10
Fact = Callable[[], CostChanged]


def _of_nothing() -> CostChanged:
    return CostChanged(variant_id=new_id(), cost=usd("1.00"))


async def _found_shop(store: Store, url: str, tenant_id: UUID, box: SecretBox, facts: int) -> Fact:
    """Goods on a channel that sell for less than they should by what they cost now; so many facts that say so."""
    account_id = new_id()
    config = AccountConfig.model_validate(
        {
            "vendor": "custom",
            "base_url": "http://127.0.0.1:9",
            "currency": "USD",
            "requests_per_second": 0.001,
            "burst": 1,
        }
    )
    keys = {"access_token": "none", "webhook_secret": "none"}
    async with store.unit(tenant_id) as unit:
        unit.session.add(
            MarketplaceAccount(
                id=account_id,
                tenant_id=tenant_id,
                vendor="custom",
                name="Benchmark",
                config=config.model_dump(mode="json"),
                credentials_encrypted=seal_credentials(box, tenant_id, account_id, keys),
                webhook_token=str(account_id),
                status="connected",
                stock_mode="pooled",
            )
        )

    def goods() -> Sequence[UUID]:
        count = facts * _SHARE
        with psycopg.connect(url, autocommit=True, row_factory=psycopg.rows.dict_row) as owner:
            shown = {account_id: [sku_of(number) for number in range(count)]}
            write_books(owner, tenant_id, shown, count=count, units=50)
            query = b"UPDATE variant SET cost_minor = %s, cost_as_of = now() WHERE tenant_id = %s RETURNING id"
            found = [row["id"] for row in owner.execute(query, (_COST.amount_minor, tenant_id)).fetchall()]
            owner.execute("ANALYZE")
            return found[:facts]

    variants = iter(await asyncio.to_thread(goods))
    return lambda: CostChanged(variant_id=next(variants), cost=_COST)


async def _emit(store: Store, tenant_id: UUID, fact: Fact) -> UUID:
    async with store.unit(tenant_id) as unit:
        return unit.emit(fact())


async def hops(
    store: Store,
    url: str,
    tenant_id: UUID,
    *,
    count: int,
    width: int,
    fact: Fact = _of_nothing,
    proposes: bool = False,
    limit: float = 120.0,
) -> dict[str, Any]:
    """`count` hops with `width` under way. Raises TimeoutError, RuntimeError where one was not decided as it was to."""
    told: list[UUID] = []
    waiting: set[UUID] = set()
    began = time.monotonic()
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        while len(told) < count or waiting:
            room = min(width - len(waiting), count - len(told))
            fresh = await asyncio.gather(*(_emit(store, tenant_id, fact) for _ in range(room)))
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
    if strays := [
        row for row in rows if (row["state"], row["passed"]) != (("applied", 1) if proposes else ("held", 0))
    ]:
        raise RuntimeError(f"{len(strays)} of {count} decided otherwise: {strays[0]}")
    return {"seconds": quantiles([row["hop"] for row in rows]), "per_second": count / seconds}


_HOPS = f"""
    SELECT {commit_time("d")} - {commit_time("e")} AS hop, d.state, d.rationale,
           (SELECT count(*) FROM proposal p JOIN effect f ON f.proposal_id = p.id
             WHERE p.decision_id = d.id AND p.verdict = 'proceed') AS passed
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


_PROCESS = f"SELECT pid, extract(epoch FROM ready_at)::float8 AS began FROM agent_status WHERE agent = '{_AGENT}'"


async def killed(store: Store, url: str, tenant_id: UUID, fact: Fact) -> tuple[float, float]:
    """Seconds from the end of the agent's process until its next life has begun, and until that has decided.

    Raises TimeoutError.
    """
    (before,) = await asyncio.to_thread(fetch, url, _PROCESS)
    at = time.time()
    os.kill(before["pid"], signal.SIGKILL)
    told = await _emit(store, tenant_id, fact)
    deadline = at + 60
    while not (rows := await asyncio.to_thread(fetch, url, _DECIDED, {"id": told})):
        if time.time() > deadline:
            raise TimeoutError(f"{_AGENT} has not decided a minute after its process was killed")
        await asyncio.sleep(_LOOK_SECONDS)
    (after,) = await asyncio.to_thread(fetch, url, _PROCESS)
    return after["began"] - at, rows[0]["at"] - at


_DECIDED = f"""
    SELECT {commit_time("d")} AS at FROM agent_decision d WHERE d.event_id = %(id)s AND d.agent = '{_AGENT}'
"""


async def _measure(system: System, *, count: int, width: int, repeats: int, kills: int) -> dict[str, Any]:
    store = system.store(graph().routing())
    url = owner_url(system.home)
    actor = bare_actor("benchmark-peer")
    assert system.keys is not None
    box = SecretBox(parse_keys(system.keys.secret))
    result: dict[str, Any] = {}
    try:
        tenant_id = await _found_tenant(store)
        costs = await _found_shop(store, url, tenant_id, box, 20 + 2 * repeats * count)
        await hops(store, url, tenant_id, count=20, width=4)  # warm caches and connections
        await hops(store, url, tenant_id, count=20, width=4, fact=costs, proposes=True)
        await calls(actor, count=50, width=1)
        kinds: list[tuple[str, int, dict[str, Any]]] = [
            ("sequential", 1, {}),
            ("proposed", 1, {"fact": costs, "proposes": True}),
            ("in_flight", width, {}),
            ("proposed_in_flight", width, {"fact": costs, "proposes": True}),
        ]
        for name, under_way, kind in kinds:
            turns = []
            for _ in range(repeats):
                turn = {"hop": await hops(store, url, tenant_id, count=count, width=under_way, **kind)}
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
        lives = []
        for _ in range(kills):
            lives.append(await killed(store, url, tenant_id, _of_nothing))
            await asyncio.sleep(2.0)
        result["killed"] = {
            "began_seconds": spread([began for began, _ in lives]),
            "decided_seconds": spread([decided for _, decided in lives]),
        }
    finally:
        await store.aclose()
    return result


def measure(*, count: int, width: int, repeats: int, kills: int) -> dict[str, Any]:
    """The result object."""
    with temporary_home() as home, running(home) as system, saying("hops and calls"):
        return asyncio.run(_measure(system, count=count, width=width, repeats=repeats, kills=kills))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="small sizes: does it run at all")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--hops", type=int, default=300)
    parser.add_argument("--width", type=int, default=64, help="hops under way at once in the second part")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--kills", type=int, default=5, help="how often the agent's process is killed")
    options = parser.parse_args(argv)
    if options.quick:
        options.hops, options.width, options.repeats, options.kills = 10, 8, 1, 1
    report = Report("agent_hop")
    report.result = measure(count=options.hops, width=options.width, repeats=options.repeats, kills=options.kills)
    for name in ("sequential", "proposed", "in_flight", "proposed_in_flight"):
        part = report.result[name]
        for what in ("hop", "call"):
            p50, p95, rate = part[f"{what}_p50_seconds"], part[f"{what}_p95_seconds"], part[f"{what}s_per_second"]
            report.row(
                f"{name} ({part['under_way']}): {'hop with journal' if what == 'hop' else 'raw actor call'}",
                f"p50 {1000 * p50['median']:.1f} ms",
                f"{1000 * p50['min']:.1f}–{1000 * p50['max']:.1f}; p95 {1000 * p95['median']:.1f}; "
                f"{rate['median']:,.0f}/s"
                + (f"; aim p95 <{1000 * AIM_P95:.0f} ms" if what == "hop" and part["under_way"] == 1 else ""),
            )
        ratio, aim = part["hop_to_call"], f"; aim ≤{AIM_RATIO:g}×" if part["under_way"] == 1 else ""
        report.row(f"{name}: hop / call", f"{ratio['median']:.1f}×", f"{ratio['min']:.1f}–{ratio['max']:.1f}{aim}")
    back = report.result["killed"]
    for what, words in (("began", "its next life has begun"), ("decided", "its next decision is committed")):
        each = back[f"{what}_seconds"]
        aim = f"; aim <{AIM_BACK:g} s" if what == "decided" else ""
        report.row(f"process killed: {words}", f"{each['median']:.2f} s", f"{each['min']:.2f}–{each['max']:.2f}{aim}")
    report.notes.append("a sequential hop's rate is set by our look every 4 ms; its latency is not")
    report.finish(as_json=options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
