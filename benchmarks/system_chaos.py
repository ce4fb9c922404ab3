"""Kill -9 of any part of the whole running system while it trades: nothing is done twice, nothing is lost.

    flipsync bench chaos --system 300 [--seed 1] [--minutes 14] [--json]

One system (PostgreSQL, Redis, Ray, agents, effect worker, API) trades on two channels: orders, parcels, refunds,
goods that arrive, new titles. Again and again one of its processes, drawn by lot, is killed: half of the time at a
random moment, half of the time just when it has work in hand, and often before others that were killed are back. After
every few kills trading stops until all is quiet, and the channels' own books are compared with ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import statistics
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, ClassVar
from uuid import UUID

import psycopg
from sqlalchemy import func, select, update
from sqlalchemy.exc import DBAPIError

from benchmarks.crash_books import compare_refunds
from benchmarks.crash_pieces import REFUND_MINOR
from benchmarks.installation import QUIET, fetch, graph, owner_url, wait_for_agents
from benchmarks.measuring import Report
from benchmarks.processes import label, tree
from benchmarks.trading import write_catalogue
from flipsync.demo.reconcile import reconcile
from flipsync.domain.channel import Vendor
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import FlipSyncError
from flipsync.domain.events import ChannelCheckDue
from flipsync.domain.ids import new_id
from flipsync.domain.money import Money
from flipsync.embedded.ports import choose_port
from flipsync.sandbox.client import SandboxClient
from flipsync.security.passwords import Passwords
from flipsync.security.secrets import SecretBox, parse_keys
from flipsync.services import accounts, identity, orders, refunds, stock
from flipsync.services.catalogue import read_catalogue
from flipsync.services.catalogue_import import import_catalogue
from flipsync.services.orders import AccountRef
from flipsync.services.product_edits import ProductEdit, edit_product
from flipsync.services.report import business_report
from flipsync.services.tenant_settings import TenantSettings
from flipsync.store.models import Order, Product, RefundRequest, Shipment, Tenant, Variant
from flipsync.store.unit_of_work import Store
from flipsync.system import System

VENDORS: tuple[Vendor, ...] = ("custom", "woocommerce")
#: how often each part is drawn
PARTS = {"agent": 5, "effect worker": 5, "API replica": 2, "supervisor": 1, "postgres": 1, "redis": 1}
_TITLES = {"effect worker": "ray::EffectActor", "API replica": "ray::ServeReplica", "supervisor": "ray::Supervisor"}
#: a part that is kept by backing off is left alone that long: its next death is then answered at once
_REST = {"postgres": 65.0, "redis": 65.0}
SKUS = 12
#: no more is begun while so much is open: what is tried is losing work, not having too much
MOST_OPEN = 40
#: kills between two comparisons of the books
BATCH = 25
#: nothing may take longer than this to come back, in seconds: on a machine that others keep busy a process may need
#: minutes to begin, and how long each took is told
PATIENCE = 300.0
#: nor all of it longer to become quiet: what is retried may wait a minute, and pauses after failures come on top
QUIET_PATIENCE = 300.0
_WRITE = re.compile(r"\b(INSERT INTO|UPDATE|DELETE FROM)\s+(\w+)", re.IGNORECASE)
_OPEN = """
    SELECT (SELECT count(*) FROM agent_task WHERE tenant_id = %(t)s AND state IN ('pending', 'leased')
                    AND not_before <= now() + interval '5 s')
         + (SELECT count(*) FROM effect WHERE tenant_id = %(t)s AND finished_at IS NULL) AS n
"""
_AWAY = (DBAPIError, psycopg.Error, OSError)


@dataclass
class SystemTally:
    """What was killed, how soon it was back, and what came of it."""

    kills: int = 0
    by_part: Counter[str] = field(default_factory=Counter)
    by_step: Counter[str] = field(default_factory=Counter)
    #: how many parts were away at once, the one just killed among them
    together: Counter[int] = field(default_factory=Counter)
    back_after: dict[str, list[float]] = field(default_factory=dict)
    not_back: int = 0
    comparisons: int = 0
    orders: int = 0
    orders_lost: int = 0
    doubled: int = 0
    oversold: int = 0
    mismatched: int = 0
    refunds: int = 0
    refunds_wrong: int = 0
    parcels: int = 0
    never_quiet: int = 0
    effects: dict[str, int] = field(default_factory=dict)
    #: effects a channel refused, in words
    refused: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        wrong = self.orders_lost + self.doubled + self.oversold + self.mismatched + self.refunds_wrong
        return not (wrong or self.not_back or self.never_quiet or self.effects.get("unknown") or self.problems)


class Striker:
    """Kills processes of a running system and sees them come back."""

    def __init__(self, system: System, dice: Random, tally: SystemTally) -> None:
        self._system, self._dice, self._tally = system, dice, tally
        self._url = owner_url(system.home)
        self._last: dict[str, float] = {}
        #: parts that are not back yet
        self._away: dict[str, asyncio.Task[None]] = {}

    async def strike(self) -> None:
        """Kill one; its return is watched while the next ones are killed, and until then its part is left alone."""
        part, pid, agent = await self._target()
        step = await asyncio.to_thread(self._moment, part, agent)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        self._last[part] = time.monotonic()
        self._tally.kills += 1
        self._tally.together[len(self._away) + 1] += 1
        self._tally.by_part[part] += 1
        self._tally.by_step[f"{part}: {step}"] += 1
        self._away[part] = asyncio.create_task(self._watch(part, pid, agent, step))

    async def all_back(self) -> None:
        await asyncio.gather(*self._away.values())

    async def _watch(self, part: str, pid: int, agent: str, step: str) -> None:
        began = time.monotonic()
        while not await asyncio.to_thread(self._is_back, part, pid, agent):
            if time.monotonic() - began > PATIENCE:
                self._tally.not_back += 1
                self._tally.problems.append(f"{part} {agent} is not back after {PATIENCE:.0f} s ({step})")
                break
            await asyncio.sleep(0.2)
        else:
            self._tally.back_after.setdefault(part, []).append(time.monotonic() - began)
        del self._away[part]

    async def _target(self) -> tuple[str, int, str]:
        """What to kill: a part by lot, and its process. Raises TimeoutError when none is up."""
        deadline = time.monotonic() + PATIENCE
        while True:
            part = self._draw()
            try:
                if part is None:
                    raise LookupError
                pid, agent = await asyncio.to_thread(self._pid, part)
            except (AssertionError, LookupError, psycopg.Error):  # some death is still being seen to
                if time.monotonic() > deadline:
                    raise TimeoutError("no part is up") from None
                await asyncio.sleep(0.5)
            else:
                return part, pid, agent

    def _draw(self) -> str | None:
        now = time.monotonic()
        rested = {
            part: weight
            for part, weight in PARTS.items()
            if part not in self._away and now - self._last.get(part, -1e9) > _REST.get(part, 0.0)
        }
        return self._dice.choices(list(rested), list(rested.values()))[0] if rested else None

    def _pid(self, part: str) -> tuple[int, str]:
        """The process to kill, and whose it is where it is an agent's."""
        instance = self._system.instance
        if part in ("postgres", "redis"):
            kept = instance.postgres if part == "postgres" else instance.redis
            assert kept is not None and kept.pid is not None
            return kept.pid, ""
        if part == "agent":
            rows = fetch(self._url, "SELECT agent, pid FROM agent_status WHERE pid IS NOT NULL AND state = 'ready'")
            alive = [row for row in rows if label(row["pid"]) == "ray::AgentActor"]
            chosen = self._dice.choice(sorted(alive, key=lambda row: str(row["agent"])))
            return int(chosen["pid"]), str(chosen["agent"])
        return self._dice.choice(self._titled(_TITLES[part])), ""

    @staticmethod
    def _titled(title: str) -> list[int]:
        return sorted(pid for pid in tree() if label(pid).startswith(title))

    def _moment(self, part: str, agent: str) -> str:
        """Wait for a moment to strike at, and say what was in hand then."""
        wait = self._dice.random() < 0.5
        deadline = time.monotonic() + (3.0 if wait else 0.0)
        while True:
            try:
                found = self._in_hand(part, agent)
            except psycopg.Error:  # the database was killed before, and takes its time to come back
                found = ""
            if found or time.monotonic() > deadline:
                break
            time.sleep(0.003)
        if found and wait:
            time.sleep(self._dice.random() * 0.03)
        return found or "nothing in hand"

    def _in_hand(self, part: str, agent: str) -> str:
        if part == "effect worker":
            rows = fetch(self._url, "SELECT DISTINCT command AS what FROM effect WHERE state = 'leased' ORDER BY 1")
        elif part == "agent":
            query = """SELECT DISTINCT e.type AS what FROM agent_task t JOIN event e ON e.id = t.event_id
                        WHERE t.agent = %(agent)s AND t.state = 'leased' ORDER BY 1"""
            rows = fetch(self._url, query, {"agent": agent})
            return f"{agent}, {', '.join(row['what'] for row in rows)}" if rows else ""
        elif part == "postgres":
            query = "SELECT query FROM pg_stat_activity WHERE state IN ('active', 'idle in transaction')"
            written = {
                f"{found[1]} {found[2]}" for row in fetch(self._url, query) if (found := _WRITE.search(row["query"]))
            }
            return ", ".join(sorted(written))
        else:
            return "trading"
        return ", ".join(row["what"] for row in rows)

    def _is_back(self, part: str, pid: int, agent: str) -> bool:
        try:
            if part in ("postgres", "redis"):
                return self._pid(part)[0] != pid and bool(fetch(self._url, "SELECT 1 AS n"))
            if part == "agent":
                query = "SELECT pid, state FROM agent_status WHERE agent = %(agent)s"
                row = fetch(self._url, query, {"agent": agent})[0]
                return bool(row["state"] == "ready" and row["pid"] != pid)
            others = [each for each in self._titled(_TITLES[part]) if each != pid]
            return bool(others) and (part != "API replica" or self._answers())
        except (AssertionError, psycopg.Error):
            return False

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._system.api_url}/api/v1/monitoring/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


class SystemTrade:
    """One business that trades without a pause, whatever is away for the moment."""

    #: its name, how many kinds of goods it has, and how many parcels leave together
    name, goods, parcels_at_once = "Chaos", SKUS, 5
    account_settings: ClassVar[dict[str, float]] = {"timeout_seconds": 5, "settle_seconds": 0.2, "landing_seconds": 5}

    def __init__(self, system: System, store: Store, market: SandboxClient, dice: Random, tally: SystemTally) -> None:
        self._system, self._store, self._market, self._dice, self._tally = system, store, market, dice, tally
        self._url = owner_url(system.home)
        self._skus = [f"B{number:05d}" for number in range(self.goods)]
        self._accounts: list[AccountRef] = []
        self.tenant_id = UUID(int=0)

    async def open(self) -> None:
        """Raises TimeoutError when the goods do not go on sale."""
        assert self._system.sandbox is not None and self._system.keys is not None
        passwords = Passwords()
        self.tenant_id, _ = await identity.create_tenant_with_owner(
            self._store,
            passwords,
            tenant_name=self.name,
            email=f"chaos-{new_id()}@benchmark.invalid",
            password=f"only for this run {new_id()}",
            currency="USD",
        )
        passwords.close()
        settings = TenantSettings(webhook_base_url=self._system.api_url).model_dump(mode="json")
        async with self._store.unit(self.tenant_id) as unit:
            await unit.session.execute(update(Tenant).where(Tenant.id == self.tenant_id).values(settings=settings))
        path = self._system.home / "chaos.csv"
        write_catalogue(path, self.goods)
        await self._market.open_for_business(open=False, webhook_interval_seconds=0.0, traffic=0.001)
        goods = read_catalogue(path, currency="USD")
        await import_catalogue(self._store, self.tenant_id, goods, file_name=path.name, stock_mode="escrow")
        box = SecretBox(parse_keys(self._system.keys.secret))
        for vendor in VENDORS:
            config, credentials = self._system.sandbox.account(vendor, currency="USD", **self.account_settings)
            async with self._store.unit(self.tenant_id) as unit:
                account_id = await accounts.connect_account(
                    unit, box, vendor=vendor, name=vendor, config=config, credentials=credentials
                )
            self._accounts.append(AccountRef(account_id, vendor))
        await self._until(self._on_sale, 180.0)

    async def _on_sale(self) -> bool:
        query = "SELECT count(*) AS n FROM listing WHERE tenant_id = %(t)s AND status = 'active' AND quantity_shown > 0"
        rows = await asyncio.to_thread(fetch, self._url, query, {"t": self.tenant_id})
        return int(rows[0]["n"]) == len(VENDORS) * self.goods

    async def trade(self) -> None:
        """Work until cancelled. What cannot be done now, since a part is away, is left to the next turn."""
        pieces = (self._sell, self._sell, self._sell, self._ship, self._give_back, self._restock, self._rename)
        while True:
            with contextlib.suppress(*_AWAY, FlipSyncError):
                if await self.open_work() < MOST_OPEN:
                    await self._dice.choice(pieces)()
            await asyncio.sleep(0.2)

    async def _sell(self) -> None:
        await self._market.place_order(self._dice.choice(("custom", "woo")), self._dice.choice(self._skus))

    async def _ship(self) -> None:
        async with self._store.reader(self.tenant_id) as session:
            query = select(Order.id, Order.account_id).outerjoin(Shipment, Shipment.order_id == Order.id)
            ready = (
                await session.execute(
                    query.where(Order.state == "ready", Shipment.id.is_(None)).limit(self.parcels_at_once)
                )
            ).all()
        by_id = {account.id: account for account in self._accounts}
        for order_id, account_id in ready:
            async with self._store.unit(self.tenant_id) as unit:
                number = f"9400{order_id.int % 10**18:018d}"
                await orders.hand_over(unit, by_id[account_id], order_id, "USPS", number)

    async def _give_back(self) -> None:
        async with self._store.reader(self.tenant_id) as session:
            query = select(Order.id).outerjoin(RefundRequest, RefundRequest.order_id == Order.id)
            found = await session.scalar(query.where(RefundRequest.id.is_(None)).order_by(Order.id.desc()).limit(1))
        if found is not None:
            amount = Money(amount_minor=REFUND_MINOR, currency="USD")
            async with self._store.unit(self.tenant_id) as unit:
                await refunds.request(unit, found, amount=amount, reason="a scratch")

    async def _restock(self) -> None:
        sku = self._dice.choice(self._skus)
        async with self._store.unit(self.tenant_id) as unit:
            variant_id = await unit.session.scalar(select(Variant.id).where(Variant.sku == sku))
            assert variant_id is not None
            await stock.receive(unit, variant_id, 3, key=f"more:{new_id()}", mode="escrow")

    async def _rename(self) -> None:
        sku = self._dice.choice(self._skus)
        async with self._store.unit(self.tenant_id) as unit:
            query = select(Product.id, Product.version).join(Variant, Variant.product_id == Product.id)
            row = (await unit.session.execute(query.where(Variant.sku == sku))).one()
            edit = ProductEdit(title=f"Thing {sku} {self._dice.randrange(10**6)}")
            await edit_product(unit, row.id, edit, row.version)

    async def settle(self) -> None:
        """Until every fact is taken in, every order sent and every effect done; then compare the books."""
        calm = 0

        async def quiet() -> bool:
            nonlocal calm
            await self._ship()
            await self._market.flush_webhooks()
            async with self._store.unit(self.tenant_id) as unit:
                for account in self._accounts:
                    unit.emit(ChannelCheckDue(account_id=account.id, vendor=account.vendor))
            for _ in range(40):
                await asyncio.sleep(0.25)
                if not (open_now := await self.open_work()):
                    break
            taken, sent = await self._count(Order), await self._count(Shipment)
            placed = (await self._market.status())["orders_total"]
            calm = calm + 1 if not open_now and taken == sent == placed else 0
            return calm >= 2

        try:
            await self._until(quiet, QUIET_PATIENCE)
        except TimeoutError:
            self._tally.never_quiet += 1
            self._tally.problems += await self._still_open()
        await self._compare()

    async def _still_open(self) -> list[str]:
        """What is not finished, in words."""
        query = """
            SELECT command || ' ' || state || ', attempt ' || attempts AS what, count(*) AS n FROM effect
             WHERE tenant_id = %(t)s AND finished_at IS NULL GROUP BY 1 UNION ALL
            SELECT 'task of ' || agent || ' ' || state, count(*) FROM agent_task
             WHERE tenant_id = %(t)s AND state IN ('pending', 'leased') GROUP BY 1 UNION ALL
            SELECT 'order ' || o.state || ' that was not sent', count(*) FROM customer_order o
             WHERE o.tenant_id = %(t)s AND NOT EXISTS (SELECT FROM shipment s WHERE s.order_id = o.id) GROUP BY 1
        """
        rows = await asyncio.to_thread(fetch, self._url, query, {"t": self.tenant_id})
        return [f"still open: {row['n']} {row['what']}" for row in rows]

    async def open_work(self) -> int:
        return int((await asyncio.to_thread(fetch, self._url, _OPEN, {"t": self.tenant_id}))[0]["n"])

    async def _count(self, table: Any) -> int:
        async with self._store.reader(self.tenant_id) as session:
            return int(await session.scalar(select(func.count()).select_from(table)) or 0)

    async def _until(self, condition: Callable[[], Awaitable[bool]], limit: float) -> None:
        """Raises TimeoutError. A part that is away is waited for."""
        deadline = time.monotonic() + limit
        while True:
            with contextlib.suppress(*_AWAY, FlipSyncError):
                if await condition():
                    return
            if time.monotonic() > deadline:
                raise TimeoutError(f"still not after {limit:.0f} s")
            await asyncio.sleep(0.3)

    async def _compare(self) -> None:
        """The books as they are now; they hold everything since the start, so the last comparison is the result."""
        tally, truth = self._tally, await self._market.books()
        found = await reconcile(self._store, self.tenant_id, truth)
        tally.comparisons += 1
        tally.orders, tally.orders_lost = found.orders_placed, found.orders_placed - found.orders_ingested
        tally.doubled, tally.oversold = found.orders_duplicated, found.oversold_units
        tally.mismatched = found.stock_mismatches + found.price_floor_breaches
        async with self._store.reader(self.tenant_id) as session:
            told = await compare_refunds(session, truth)
            tally.refunds, tally.refunds_wrong = told.refunds, len(told.wrong)
            report = await business_report(session)
        tally.parcels = await self._count(Shipment)
        set_aside = [f"set aside: {task}" for task in report.failed_tasks]
        tally.problems += [each for each in (*found.problems, *told.wrong, *set_aside) if each not in tally.problems]
        query = "SELECT state, count(*) AS n FROM effect WHERE tenant_id = %(t)s AND finished_at IS NOT NULL GROUP BY 1"
        rows = await asyncio.to_thread(fetch, self._url, query, {"t": self.tenant_id})
        tally.effects = {str(row["state"]): int(row["n"]) for row in rows}
        query = "SELECT command, result->>'detail' AS detail FROM effect WHERE tenant_id = %(t)s AND state = 'rejected'"
        rows = await asyncio.to_thread(fetch, self._url, query, {"t": self.tenant_id})
        tally.refused = [f"{row['command']} refused: {row['detail']}" for row in rows]


async def torment(system: System, kills: int, seed: int, minutes: float, batch: int) -> SystemTally:
    """Kill until `kills` were made or the time is over, then compare a last time."""
    assert system.sandbox is not None
    dice, tally = Random(seed), SystemTally()
    store = system.store(graph().routing())
    deadline = time.monotonic() + minutes * 60
    async with SandboxClient(system.sandbox.base_url, system.sandbox.control_token, timeout=60.0) as market:
        trade = SystemTrade(system, store, market, dice, tally)
        await trade.open()
        striker = Striker(system, dice, tally)
        while tally.kills < kills and time.monotonic() < deadline and not tally.never_quiet:
            trading = asyncio.create_task(trade.trade())
            for _ in range(min(batch, kills - tally.kills)):
                await asyncio.sleep(dice.uniform(0.2, 1.5))
                await striker.strike()
                if time.monotonic() > deadline:
                    break
            await striker.all_back()
            trading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await trading
            await trade.settle()
            told = "; ".join(tally.problems) or "clean so far"
            print(f"  {tally.kills} of {kills} kills, {tally.orders} orders, {told}", file=sys.stderr, flush=True)
    await store.aclose()
    return tally


def measure_system(home: Path, kills: int, seed: int, minutes: float, *, batch: int = BATCH) -> SystemTally:
    """Start a system of our own and torment it."""
    since = utc_now()
    with System(home, port=choose_port(), extra_environment=QUIET) as system:
        system.start_books()
        system.start_sandbox("--mode", "real", "--speed", "1", "--seed", str(seed))
        system.start_runtime()
        wait_for_agents(home, since=since)
        return asyncio.run(torment(system, kills, seed, minutes, batch))


def report_system(report: Report, tally: SystemTally) -> None:
    report.result |= {"clean": tally.clean} | {
        name: dict(value) if isinstance(value, Counter) else value for name, value in vars(tally).items()
    }
    parts = ", ".join(f"{part} {count}" for part, count in tally.by_part.most_common())
    report.row("processes of the running system killed", str(tally.kills), parts)
    report.row("different moments", str(len(tally.by_step)), f"books compared {tally.comparisons} times meanwhile")
    for part, seconds in sorted(tally.back_after.items()):
        report.row(f"{part} back after", f"{statistics.median(seconds):.1f} s", f"at most {max(seconds):.1f} s")
    report.row(
        "killed while others were away",
        str(tally.kills - tally.together[1]),
        f"up to {max(tally.together, default=0)} parts",
    )
    report.row("never back within five minutes", str(tally.not_back), "0 allowed")
    report.row("done twice on a channel or in our books", str(tally.doubled), "0 allowed")
    report.row("orders lost", str(tally.orders_lost), f"of {tally.orders}; {tally.parcels} parcels")
    report.row("refunds given twice, or not at all", str(tally.refunds_wrong), f"of {tally.refunds}")
    report.row("units oversold", str(tally.oversold), "0 allowed")
    report.row("listings that differ from our books", str(tally.mismatched), "0 allowed")
    report.row("effects nobody knows the outcome of", str(tally.effects.get("unknown", 0)), "0 allowed")
    report.row("times it never became quiet", str(tally.never_quiet), "0 allowed")
    report.row("failure rate at most, 95 %", f"{3 / max(1, tally.kills):.4%}" if tally.clean else "not clean", "")
    report.notes += tally.problems[:20] + tally.refused[:5]
