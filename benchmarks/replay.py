"""Decisions made again from what they read: how many come out alike, how fast, and what keeping the reads costs.

    python -m benchmarks.replay [--quick] [--json] [--listings 1000] [--rounds 8]

Agents of the roster decide on facts about real rows of PostgreSQL (a rival's price moved, the product behind a listing
was edited, units arrived), as their runners do it, in rounds: with notes kept and without, in turns. The peer of "ms a
decision" is the same decision without notes. Then the world changes (costs, prices, shares), the journal is replayed,
and smaller steps of prices are tried on it. `--unsteady` lets one agent answer otherwise, to see that a difference is
found.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy.engine import URL

from benchmarks.installation import graph, temporary_home
from benchmarks.intervals import wilson
from benchmarks.measuring import Report, percentile, saying
from benchmarks.stocked import Owner, fill_books
from flipsync.domain.clock import utc_now
from flipsync.domain.decisions import Decision
from flipsync.domain.events import Event, ListingOutdated, OfferChanged, StockMoved
from flipsync.runtime import runner as running
from flipsync.runtime.agent import Agent, Context
from flipsync.runtime.decision_path import DecisionPath
from flipsync.runtime.dry_running import dry_run
from flipsync.runtime.gate import Gate
from flipsync.runtime.graph import AgentClass
from flipsync.runtime.replaying import replay
from flipsync.runtime.runner import AgentRunner
from flipsync.services.desk import Services
from flipsync.services.dry_run_change import change_of
from flipsync.services.pricing.firewall import Firewall
from flipsync.services.recorded_desk import RecordingDesk
from flipsync.store.bootstrap import WORKER_ROLE, role_url
from flipsync.store.database import Database
from flipsync.store.unit_of_work import Store

AGENTS = ("pricing", "amazon", "inventory")
_RIVALS = b"""
    INSERT INTO rival_offer (id, tenant_id, listing_id, seller, price_minor, currency, in_stock, seen_at)
    SELECT md5('rival' || id)::uuid, tenant_id, id, 'rival', 3600 + (row_number() OVER (ORDER BY id)) % 700, 'USD',
           true, now() FROM listing
"""
_MOVED: dict[str, Any] = {"kind": "receive", "quantity": 5, "on_hand": 1000, "reserved": 0}
#: the world after the decisions: what is read now is not what was read then
_CHANGES = (
    b"UPDATE variant SET cost_minor = cost_minor + 300",
    b"UPDATE listing SET price_minor = price_minor + 111",
    b"UPDATE rival_offer SET price_minor = price_minor - 500",
)


_SECOND = timedelta(seconds=1)
#: the change that is tried on the past: every price is worked out again, and those that moved move by less
_TRIED: dict[str, Any] = {"pricing.max_step_up_bps": 100, "pricing.max_step_down_bps": 100}


class Bare(RecordingDesk):
    """The desk itself, nothing noted: what a decision costs without."""

    def begin(self, fact: Event) -> None:
        return None

    def as_services(self) -> Services:
        return self._services

    def notes(self) -> Any:
        return None


@contextmanager
def noting(wanted: bool) -> Iterator[None]:
    """Runners note what is read, or not."""
    running.RecordingDesk = RecordingDesk if wanted else Bare  # type: ignore[attr-defined]
    try:
        yield
    finally:
        running.RecordingDesk = RecordingDesk  # type: ignore[attr-defined]


def unsteady(agent: AgentClass) -> AgentClass:
    """The agent, but its reason is another each time."""

    class Unsteady(agent):  # type: ignore[misc,valid-type]
        async def decide(self, event: Any, ctx: Context) -> Decision[Any]:
            decision: Decision[Any] = await super().decide(event, ctx)
            return decision.model_copy(update={"rationale": f"{decision.rationale} ({time.monotonic_ns()})"})

    return Unsteady


def _worker_url(owner: Owner) -> str:
    info = owner.info
    url = URL.create("postgresql", info.user, info.password or None, info.host, info.port, info.dbname)
    return role_url(url, WORKER_ROLE, "worker").render_as_string(hide_password=False)


async def _round(store: Store, tenant_id: UUID, rows: list[Any], account_id: UUID, *, notes: bool) -> dict[str, float]:
    """Facts about every listing, decided on; milliseconds a decision, by agent."""
    async with store.unit(tenant_id) as unit:
        for row in rows:
            about = {"listing_id": row["id"], "account_id": account_id, "vendor": "amazon"}
            unit.emit(OfferChanged(**about, cause="sale"))
            unit.emit(ListingOutdated(**about))
            unit.emit(StockMoved(stock_item_id=row["item"], variant_id=row["variant_id"], **_MOVED))
    known = graph()
    path = DecisionPath(known, Gate(Firewall(b"f" * 32, clock=store.clock)))
    took = {}
    with noting(notes):
        for name in AGENTS:
            agent: Agent[Any] = known.agents[name]()
            runner = AgentRunner(agent, store, path)
            await runner.begin()
            began, decided = time.perf_counter(), 0
            while handled := await runner.step():
                decided += handled
            took[name] = 1000 * (time.perf_counter() - began) / max(decided, 1)
    return took


async def measure(options: argparse.Namespace, owner: Owner) -> dict[str, Any]:
    owner.execute(_RIVALS)
    owner.execute(b"UPDATE variant SET cost_as_of = now()")  # else the firewall refuses every price
    owner.execute(b"UPDATE marketplace_account SET surveyed_at = now()")
    owner.execute(b"UPDATE effect SET state = 'superseded', finished_at = now()")
    rows = owner.execute(
        b"SELECT l.id, l.variant_id, l.tenant_id, l.account_id, i.id AS item FROM listing l"
        b" JOIN stock_item i ON i.variant_id = l.variant_id ORDER BY l.id"
    ).fetchall()
    tenant_id, account_id = rows[0]["tenant_id"], rows[0]["account_id"]
    known = graph()
    store = Store(Database(_worker_url(owner), pool_size=2, max_overflow=2), known.routing())
    took: dict[bool, list[dict[str, float]]] = {True: [], False: []}
    began = utc_now()
    try:
        with saying(f"{2 * options.rounds} rounds of {len(AGENTS) * len(rows):,} decisions"):
            for each in range(2 * options.rounds):
                noted = each % 2 == 0
                took[noted].append(await _round(store, tenant_id, rows, account_id, notes=noted))
        for change in _CHANGES:
            owner.execute(change)
        agents = dict(known.agents)
        if options.unsteady:
            agents["pricing"] = unsteady(agents["pricing"])
        with saying("replayed"):
            start = time.perf_counter()
            found = await replay(store, tenant_id, agents, since=began - _SECOND)
            seconds = time.perf_counter() - start
        with saying("tried with other settings"):
            start = time.perf_counter()
            tried = await dry_run(store, tenant_id, agents, change_of(_TRIED, agents), since=began - _SECOND)
            trying = time.perf_counter() - start
    finally:
        await store.aclose()
    size = owner.execute(
        b"SELECT count(*) AS kept, percentile_cont(array[0.5, 0.99]) WITHIN GROUP (ORDER BY size) AS quantiles,"
        b" max(size) AS most, pg_total_relation_size('decision_notes') AS disk FROM decision_notes"
    ).fetchone()
    assert size is not None
    replayed = found.identical + found.different
    return {
        "decisions": found.decisions,
        "replayed": replayed,
        "without_notes": found.not_kept,
        "identical": wilson(found.identical, replayed),
        "replayed_per_second": found.decisions / seconds,
        "dry_run": {
            "decisions": tried.unchanged + tried.changed,
            "changed": tried.changed,
            "cannot": tried.cannot,
            # those without notes take next to no time: they are not counted
            "per_second": (tried.unchanged + tried.changed) / trying,
        },
        "bytes": {"p50": size["quantiles"][0], "p99": size["quantiles"][1], "most": size["most"]},
        "disk_bytes_per_decision": size["disk"] / size["kept"],
        "ms_per_decision": {
            name: {
                "noted": statistics.median(each[name] for each in took[True]),
                "bare": statistics.median(each[name] for each in took[False]),
                "added": [
                    percentile([a[name] - b[name] for a, b in zip(took[True], took[False], strict=True)], share)
                    for share in (0.25, 0.5, 0.75)
                ],
            }
            for name in AGENTS
        },
    }


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="small sizes: does it run at all")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--listings", type=int, default=1_000, help="each decided on by three agents a round")
    parser.add_argument("--rounds", type=int, default=8, help="with notes, and as many without")
    parser.add_argument("--unsteady", action="store_true", help="one agent answers otherwise: it has to be found")
    options = parser.parse_args(argv)
    if options.quick:
        options.listings, options.rounds = 50, 2
    return options


def main(argv: list[str] | None = None) -> int:
    options = arguments(argv)
    report = Report("replay")
    with temporary_home() as home:
        folder: Path = home.parent
        with saying(f"{options.listings:,} listings in the books"), fill_books(folder, options.listings) as owner:
            report.result = result = asyncio.run(measure(options, owner))
    alike = result["identical"]
    interval = f"95 %: {100 * alike['low']:.3f}–{100 * alike['high']:.3f} %"
    report.row("came out alike", f"{alike['hits']:,} of {alike['of']:,}", interval)
    report.row("replayed", f"{result['replayed_per_second']:,.0f} a second", "one process")
    tried = result["dry_run"]
    report.row(
        "tried with other settings",
        f"{tried['per_second']:,.0f} a second",
        f"{tried['changed']:,} of {tried['decisions']:,} otherwise; one process",
    )
    sizes = result["bytes"]
    report.row("kept a decision, packed", f"{sizes['p50']:,.0f} B", f"p99 {sizes['p99']:,.0f}, most {sizes['most']:,}")
    report.row("on disk a decision", f"{result['disk_bytes_per_decision']:,.0f} B", "rows and indexes")
    for name, each in result["ms_per_decision"].items():
        low, middle, high = each["added"]
        report.row(
            f"added to a decision: {name}",
            f"{middle:.3f} ms",
            f"{low:.3f}–{high:.3f}; bare {each['bare']:.2f}",
        )
    report.finish(as_json=options.json)
    return 0 if alike["hits"] == alike["of"] else 1


if __name__ == "__main__":
    sys.exit(main())
