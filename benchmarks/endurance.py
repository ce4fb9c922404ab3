"""A million events a day, kept up with: the whole system at work on one business for minutes or hours.

    flipsync bench endurance [--minutes 10] [--per-day 1000000] [--burst-seconds 30] [--quick] [--json] [--seed 1]

Buyers buy on two channels, parcels leave, money goes back, shelves are counted and filled, titles change and rivals
move prices, drawn by lot, as often as brings so many facts a day to the journal: what agents and channels answer counts
too, so the pace is found as it goes. Every few seconds: how much is open, how long decisions take, memory by process.
Then trading stops, all of it has to become quiet, and the channels' own books are compared with ours. A burst follows,
of four times the pace: what gathers, how long decisions take meanwhile, how soon it is quiet again; books once more.

Exit code 1 when fewer facts came than were asked for, when open work grew, when a fact was not decided on by whoever it
was for, or when the books differ.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import select

from benchmarks.installation import commit_time, fetch, graph, owner_url, running, temporary_home
from benchmarks.intervals import slope
from benchmarks.measuring import Report, quantiles, saying
from benchmarks.processes import processor_time, proportional_memory, spent, tree
from benchmarks.system_chaos import SystemTally, SystemTrade
from flipsync.domain.channel import RivalOffer
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import FlipSyncError
from flipsync.domain.ids import new_id
from flipsync.domain.money import usd
from flipsync.embedded.instance import live_state
from flipsync.runtime.channel_reads import pull_rivals
from flipsync.sandbox.client import SandboxClient
from flipsync.services import stock
from flipsync.store.models import StockItem, Variant
from flipsync.store.unit_of_work import Cause
from flipsync.system import System

DAY = 86_400.0
PER_DAY = 1_000_000
#: so many kinds of goods, each on both channels
SKUS = 60
#: pieces of work of ours under way at once, and how often the pace is looked at (seconds)
_AT_ONCE, _TICK = 24, 0.5
#: facts a piece brings in the end, as far as is known before any came, and how many pieces that guess is worth
_FIRST_GUESS, _GUESSED = 4.0, 10
#: windows that decisions' latency is told by
_WINDOWS = 6
#: open work may be this many seconds of facts more at the end of trading than a straight line through it began with
_MOST_GROWN = 10.0
#: looks at a kind of process below which nothing is said of its growth
_FEWEST = 5
#: a burst is asked for so many times the pace; what comes of it is what the machine takes
_BURST = 4.0


class Rivals:
    """Two sellers beside us on every listing, some of whom have moved each time one looks."""

    def __init__(self, skus: Sequence[str], dice: Random) -> None:
        self._dice = dice
        self._prices = {(sku, seller): 3_890 + dice.randrange(400) for sku in skus for seller in ("Lee", "Moss")}

    def move(self) -> None:
        for key in self._dice.sample(list(self._prices), 2):
            self._prices[key] = max(3_000, min(5_500, self._prices[key] + self._dice.choice((-40, -15, 15, 40))))

    async def rivals(self, skus: Sequence[str]) -> list[RivalOffer]:
        """As a connector answers."""
        now = utc_now()
        return [
            RivalOffer(sku=sku, seller=seller, price=usd(f"{minor / 100:.2f}"), in_stock=True, seen_at=now)
            for (sku, seller), minor in self._prices.items()
            if sku in skus
        ]


class SteadyTrade(SystemTrade):
    """The trade of the chaos benchmark at a pace, with counted shelves and rivals' prices beside it."""

    name, goods, parcels_at_once = "Benchmark", SKUS, 40
    account_settings = SystemTrade.account_settings | {"requests_per_second": 500, "burst": 500}

    def prepare(self) -> None:
        """Once it is open."""
        self._rivals = Rivals(self._skus, self._dice)
        #: by lot, with its weight
        self.pieces: dict[Callable[[], Awaitable[None]], int] = {
            self._sell: 50,
            self._ship: 12,
            self._give_back: 6,
            self._fill: 10,
            self._count_shelf: 8,
            self._rename: 4,
            self._compete: 10,
        }

    def draw(self) -> Callable[[], Awaitable[None]]:
        return self._dice.choices(list(self.pieces), list(self.pieces.values()))[0]

    async def becomes_quiet(self) -> None:
        """What the opening left to do is done. Raises TimeoutError."""

        async def quiet() -> bool:
            await self._market.flush_webhooks()
            return not await self.open_work()

        await self._until(quiet, 120.0)

    async def _fill(self) -> None:
        """The goods there are fewest of."""
        async with self._store.unit(self.tenant_id) as unit:
            left = StockItem.on_hand - StockItem.reserved
            variant_id = await unit.session.scalar(select(StockItem.variant_id).order_by(left).limit(1))
            assert variant_id is not None
            await stock.receive(unit, variant_id, 20, key=f"more:{new_id()}", mode="escrow")

    async def _count_shelf(self) -> None:
        """Somebody counts one shelf, and finds what is there."""
        sku = self._dice.choice(self._skus)
        async with self._store.unit(self.tenant_id) as unit:
            query = select(StockItem.id).join(Variant, Variant.id == StockItem.variant_id).where(Variant.sku == sku)
            item_id = (await unit.session.scalars(query)).one()
            await stock.hold(unit, item_id)
            on_hand = await unit.session.scalar(select(StockItem.on_hand).where(StockItem.id == item_id))
            await stock.count(unit, item_id, int(on_hand or 0), key=f"count:{new_id()}", seen_at=unit.now)

    async def _compete(self) -> None:
        """Some rivals move, and we look."""
        self._rivals.move()
        account = self._dice.choice(self._accounts)
        await pull_rivals(self._store, self.tenant_id, account, self._rivals, Cause())  # type: ignore[arg-type]


@dataclass
class Sample:
    """One look: seconds since trading began, facts so far, open work, and memory in MB by kind of process."""

    at: float
    facts: int
    open: int
    memory: dict[str, float]


@dataclass
class Watch:
    """What was seen and done while trading."""

    samples: list[Sample] = field(default_factory=list)
    begun: Counter[str] = field(default_factory=Counter)
    #: refusals of the business rules: a count below what is sold, two edits at once
    refused: Counter[str] = field(default_factory=Counter)


async def trade_steadily(trade: SteadyTrade, url: str, root: int, *, rate: float, seconds: float, look: float) -> Watch:
    """Bring `rate` facts a second to the journal for `seconds`; look around every `look` seconds."""
    watch, clock, under_way = Watch(), time.monotonic, set[asyncio.Task[None]]()
    facts_before, began = await asyncio.to_thread(facts_of, url, trade), clock()
    facts = 0

    async def look_around() -> None:
        while True:
            at, held = clock() - began, await asyncio.to_thread(memory, root)
            watch.samples.append(Sample(at, facts, await trade.open_work(), held))
            await asyncio.sleep(max(0.0, began + at + look - clock()))

    async def one(piece: Callable[[], Awaitable[None]]) -> None:
        try:
            await piece()
        except FlipSyncError as error:
            watch.refused[f"{piece.__name__.strip('_')}: {error.code}"] += 1

    looking = asyncio.create_task(look_around())
    try:
        while (now := clock() - began) < seconds:
            facts = await asyncio.to_thread(facts_of, url, trade) - facts_before
            begun = sum(watch.begun.values())
            each = (facts + _GUESSED * _FIRST_GUESS) / (begun + _GUESSED)
            due = math.ceil(rate * (now + _TICK) / each - begun)
            for _ in range(max(0, min(due, _AT_ONCE - len(under_way)))):
                piece = trade.draw()
                watch.begun[piece.__name__.strip("_")] += 1
                task = asyncio.create_task(one(piece))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
            await asyncio.sleep(_TICK)
        await asyncio.gather(*under_way)
    finally:
        looking.cancel()
    return watch


def facts_of(url: str, trade: SystemTrade) -> int:
    query = "SELECT count(*) AS n FROM event WHERE tenant_id = %(t)s"
    return int(fetch(url, query, {"t": trade.tenant_id})[0]["n"])


def memory(root: int) -> dict[str, float]:
    """MB by kind of process, each page counted once over all of them."""
    return {name: sum(each) for name, each in proportional_memory(tree(root)).items()}


_DECIDED = f"""
    SELECT {commit_time("e")} AS at, {commit_time("d")} - {commit_time("e")} AS seconds
      FROM event e JOIN agent_decision d ON d.event_id = e.id
     WHERE e.tenant_id = %(t)s AND {commit_time("e")} >= %(since)s
"""
# What an hour's budget put off, or a failed task, is no decision yet and comes again: it is open work.
_UNDECIDED = """
    SELECT t.agent || ' on ' || e.type || ', ' || t.state AS what, count(*) AS n
      FROM agent_task t JOIN event e ON e.id = t.event_id
     WHERE t.tenant_id = %(t)s AND t.agent = ANY(%(agents)s) AND t.state <> 'pending'
       AND NOT EXISTS (SELECT FROM agent_decision d WHERE d.event_id = t.event_id AND d.agent = t.agent)
     GROUP BY 1
"""
_KINDS = "SELECT type, count(*) AS n FROM event WHERE tenant_id = %(t)s AND id > %(after)s GROUP BY 1 ORDER BY 2 DESC"


def latencies(url: str, trade: SystemTrade, since: float, seconds: float) -> dict[str, Any]:
    """From a fact's commit to the commit of what an agent decided on it, in all and by windows of the run."""
    rows = fetch(url, _DECIDED, {"t": trade.tenant_id, "since": since})
    windows: list[list[float]] = [[] for _ in range(_WINDOWS)]
    for row in rows:
        windows[min(_WINDOWS - 1, int((row["at"] - since) / seconds * _WINDOWS))].append(row["seconds"])
    return {
        "decided_seconds": quantiles([row["seconds"] for row in rows]),
        "decided_seconds_by_window": [quantiles(each) for each in windows if each],
    }


async def burst(trade: SteadyTrade, url: str, root: int, *, rate: float, seconds: float) -> dict[str, Any]:
    """A burst on a quiet system, and how soon it is quiet again."""
    after, since, clock = new_id(), time.time(), time.monotonic
    with saying(f"a burst of {_BURST:g} times the pace for {seconds:.0f} s"):
        watch = await trade_steadily(trade, url, root, rate=_BURST * rate, seconds=seconds, look=1.0)
    lasted, stopped, left = time.time() - since, clock(), await trade.open_work()
    with saying("becomes quiet, books compared again"):
        await trade.settle()
    quiet_after = clock() - stopped
    where = {"t": trade.tenant_id, "after": after}
    facts = sum(int(row["n"]) for row in fetch(url, _KINDS, where))
    return {
        "asked_per_second": _BURST * rate,
        "seconds": lasted,
        "facts": facts,
        "facts_per_second": watch.samples[-1].facts / max(1.0, watch.samples[-1].at),
        "decided_seconds": latencies(url, trade, since, lasted)["decided_seconds"],
        "open": {
            "end": left,
            "most": max(left, *(each.open for each in watch.samples)),
            "quiet_after_seconds": quiet_after,
        },
    }


async def endure(
    system: System, *, rate: float, seconds: float, look: float, seed: int, burst_seconds: float
) -> dict[str, Any]:
    """Trade, become quiet, compare; everything that was measured."""
    assert system.sandbox is not None
    dice, tally, url = Random(seed), SystemTally(), owner_url(system.home)
    root = live_state(system.home.absolute()).process.pid
    store = system.store(graph().routing())
    try:
        async with SandboxClient(system.sandbox.base_url, system.sandbox.control_token, timeout=60.0) as market:
            trade = SteadyTrade(system, store, market, dice, tally)
            with saying(f"{trade.goods} goods go on sale on two channels"):
                await trade.open()
                trade.prepare()
                await trade.becomes_quiet()
            size, after, since = _size(url), new_id(), time.time()
            names = {
                int(row["pid"]): f"agent {row['agent']}"
                for row in fetch(url, "SELECT agent, pid FROM agent_status WHERE pid IS NOT NULL")
            }
            processor, busy = processor_time(tree(root), names), _busy()
            with saying(f"{rate:.1f} facts a second for {seconds:.0f} s"):
                watch = await trade_steadily(trade, url, root, rate=rate, seconds=seconds, look=look)
            idle, traded = 1.0 - _share(busy, _busy()), time.time() - since
            used = spent(processor, processor_time(tree(root), names))
            last = Sample(
                traded, watch.samples[-1].facts, await trade.open_work(), await asyncio.to_thread(memory, root)
            )
            stopped = time.monotonic()
            with saying("becomes quiet, books compared"):
                await trade.settle()
            quiet_after = time.monotonic() - stopped
            where = {"t": trade.tenant_id, "after": after, "agents": list(graph().agents)}
            kinds = {str(row["type"]): int(row["n"]) for row in fetch(url, _KINDS, where)}
            undecided = [f"{row['n']} times {row['what']}" for row in fetch(url, _UNDECIDED, where)]
            told = latencies(url, trade, since, traded)
            grown = _size(url) - size
            told["burst"] = await burst(trade, url, root, rate=rate, seconds=burst_seconds) if burst_seconds else None
    finally:
        await store.aclose()
    watch.samples.append(last)
    facts = sum(kinds.values())
    return told | {
        "asked_per_second": rate,
        "seconds": traded,
        "facts": facts,
        "facts_per_second": facts / traded,
        "facts_per_day": facts / traded * DAY,
        "facts_per_second_by_kind": {kind: count / traded for kind, count in kinds.items()},
        "pieces": dict(watch.begun),
        "refused": dict(watch.refused),
        "open": {
            "end": last.open,
            "most": max(each.open for each in watch.samples),
            "a_second": slope([(each.at, float(each.open)) for each in watch.samples]),
            "quiet_after_seconds": quiet_after,
        },
        "memory_mb": _memory(watch.samples),
        "database_mb_per_1000_facts": grown / 2**20 / (facts / 1000),
        "processor_idle_share": idle,
        "processor_ms_per_fact": {name: 1000 * each / facts for name, each in used.items() if each > 0.05},
        "samples": [vars(each) for each in watch.samples],
        "undecided": undecided,
        "orders": tally.orders,
        "refunds": tally.refunds,
        "parcels": tally.parcels,
        "effects": tally.effects,
        "books_agree": tally.clean,
        "problems": tally.problems,
    }


def _memory(samples: Sequence[Sample]) -> dict[str, Any]:
    """By kind of process and in all: at the start, at the end, and what it grows by in an hour, with its interval."""
    whole = [
        Sample(each.at, each.facts, each.open, {"all": sum(each.memory.values()), **each.memory}) for each in samples
    ]
    found = {}
    for name in whole[-1].memory:
        seen = [(each.at / 3600, each.memory[name]) for each in whole if name in each.memory]
        found[name] = {"start": seen[0][1], "end": seen[-1][1], "an_hour": slope(seen)}
    return found


def _size(url: str) -> int:
    return int(fetch(url, "SELECT pg_database_size(current_database()) AS n")[0]["n"])


def _busy() -> tuple[int, int]:
    """Ticks of all processors at work, and in all, since the machine started."""
    ticks = [int(each) for each in Path("/proc/stat").read_text(encoding="utf-8").split("\n", 1)[0].split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def _share(before: tuple[int, int], after: tuple[int, int]) -> float:
    return (after[0] - before[0]) / max(1, after[1] - before[1])


def failures(result: dict[str, Any]) -> list[str]:
    """What was promised and not kept, in words."""
    found = [*result["problems"], *(f"never decided: {each}" for each in result["undecided"])]
    asked, came = result["asked_per_second"], result["facts_per_second"]
    if came < 0.99 * asked:
        found.append(f"{came:.1f} facts a second came, {asked:.1f} were to come")
    growth = result["open"]["a_second"]
    if growth["low"] > 0 and growth["mean"] * result["seconds"] > _MOST_GROWN * asked:
        found.append(f"open work grows by {growth['mean']:.2f} a second ({growth['low']:.2f} to {growth['high']:.2f})")
    if not result["books_agree"] and not found:
        found.append("the books differ from the channels' own")
    return found


def measure(options: argparse.Namespace) -> dict[str, Any]:
    sandbox = ("--mode", "real", "--speed", "1", "--seed", str(options.seed))
    rate, seconds = options.per_day / DAY, options.minutes * 60
    with temporary_home() as home, running(home, sandbox=sandbox) as system:
        look = max(1.0, min(30.0, seconds / 20))
        work = endure(
            system, rate=rate, seconds=seconds, look=look, seed=options.seed, burst_seconds=options.burst_seconds
        )
        return asyncio.run(work)


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="half a minute at a tenth of the pace: does it run at all")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--minutes", type=float, default=10.0, help="of trading")
    parser.add_argument("--per-day", type=float, default=PER_DAY, help="facts a day the journal is to get")
    parser.add_argument("--burst-seconds", type=float, default=30.0, help="of a burst after it; 0: none")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    if options.quick:
        options.minutes, options.per_day, options.burst_seconds = 0.5, PER_DAY / 10, 3.0
        SteadyTrade.goods = 6
    return options


def main(argv: list[str] | None = None) -> int:
    options = arguments(argv)
    report = Report("endurance")
    report.result = result = measure(options)
    result["failures"] = broken = failures(result)
    kinds = ", ".join(f"{kind} {each:.2f}" for kind, each in list(result["facts_per_second_by_kind"].items())[:8])
    report.row("facts in the journal", f"{result['facts_per_second']:.1f}/s", f"{result['facts_per_day']:,.0f} a day")
    report.row("of these, a second", str(len(result["facts_per_second_by_kind"])), kinds)
    done = f"{result['orders']} orders, {result['parcels']} parcels, {result['refunds']} refunds"
    report.row("pieces of work", str(sum(result["pieces"].values())), done)
    decided = result["decided_seconds"]
    windows = ", ".join(
        f"{1000 * each['p50']:.0f}/{1000 * each['p95']:.0f}" for each in result["decided_seconds_by_window"]
    )
    tails = f"p95 {1000 * decided['p95']:.0f}, p99 {1000 * decided['p99']:.0f}; {windows}"
    report.row("fact → decision, p50", f"{1000 * decided['p50']:.0f} ms", tails)
    work = result["open"]
    grows = (
        f"{work['a_second']['mean']:+.3f} a second ({work['a_second']['low']:+.3f} to {work['a_second']['high']:+.3f})"
    )
    report.row("open work when trading stopped", str(work["end"]), f"at most {work['most']}, {grows}")
    report.row("quiet, all sent and read again, after", f"{work['quiet_after_seconds']:.0f} s")
    if (sudden := result["burst"]) is not None:
        took, gathered = sudden["decided_seconds"], sudden["open"]
        asked = f"{sudden['asked_per_second']:.0f} asked for, {sudden['seconds']:.0f} s"
        report.row("burst: facts in the journal", f"{sudden['facts_per_second']:.1f}/s", asked)
        tails = f"p95 {1000 * took['p95']:.0f}, p99 {1000 * took['p99']:.0f}"
        report.row("burst: fact → decision, p50", f"{1000 * took['p50']:.0f} ms", tails)
        quiet = f"at most {gathered['most']}; quiet after {gathered['quiet_after_seconds']:.0f} s"
        report.row("burst: open work when it stopped", str(gathered["end"]), quiet)
    for name, each in list(result["memory_mb"].items())[:8]:
        hour = each["an_hour"]
        grows = f"{hour['mean']:+.0f} MB an hour ({hour['low']:+.0f} to {hour['high']:+.0f})"
        report.row(f"memory, {name}", f"{each['end']:,.0f} MB", f"{each['start']:,.0f} at the start, {grows}")
    report.row("database", f"{result['database_mb_per_1000_facts']:.2f} MB", "for 1,000 facts, decisions and all")
    costs = ", ".join(f"{name} {each:.1f}" for name, each in list(result["processor_ms_per_fact"].items())[:7])
    report.row("processor ms a fact", f"{sum(result['processor_ms_per_fact'].values()):.1f}", costs)
    report.row(
        "processors idle", f"{result['processor_idle_share']:.0%}", "of the whole machine, whoever used the rest"
    )
    report.row("promises broken", str(len(broken)), "none" if not broken else broken[0])
    report.notes += broken[1:20]
    report.finish(as_json=options.json)
    return 1 if broken else 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
