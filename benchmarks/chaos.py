"""Kill -9 at every step between the database and the channels: nothing is done twice, nothing is lost.

    python -m benchmarks.chaos [--quick] [--json] [--runs 1000] [--seed 1] [--system 300]

A run is one piece of a reseller's day (offer, sell, reprice, ship, buy labels, give money back, restock, rename, end)
done by all agents and an effect worker in one process that is killed at a step drawn from all steps of that piece:
before or after a write to the database, a commit, or a request to a channel, or while the request is under way. The
life after it may be killed as well, recovery included. In the end the channels' own books are compared with ours.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy import func, select

from benchmarks.crash_books import AUTOMATION, automations_wrong, compare_refunds
from benchmarks.crash_lives import Life, Runtime, until_quiet
from benchmarks.crash_pieces import AMAZON_SKU, PIECES, AmazonBusiness, Trade
from benchmarks.installation import ROSTER, temporary_home
from benchmarks.measuring import Report, saying
from flipsync.connectors.base import Unlimited
from flipsync.connectors.marketplaces import connect
from flipsync.demo.reconcile import reconcile
from flipsync.domain.channel import Offer, Vendor
from flipsync.domain.ids import new_id
from flipsync.domain.money import Money
from flipsync.embedded.ports import choose_port
from flipsync.runtime.assembly import load_roster
from flipsync.sandbox.books import Books
from flipsync.sandbox.client import SandboxClient
from flipsync.sandbox.clock import MarketClock
from flipsync.security.passwords import Passwords
from flipsync.security.secrets import SecretBox, parse_keys
from flipsync.services import accounts, identity, labels, workflows
from flipsync.services.orders import AccountRef
from flipsync.services.report import business_report
from flipsync.store.models import (
    Effect,
    LabelPurchase,
    Order,
    StockItem,
)
from flipsync.store.unit_of_work import Store
from flipsync.system import SandboxProcess, System

VENDORS: tuple[Vendor, ...] = ("custom", "woocommerce")
#: how often the life that recovers is killed too
AGAIN = 0.35
#: pieces of goods worked through in one business before its books are compared
BATCH = 12
#: how long the channels here take to show a sale, and to do what nobody heard the answer of
_DELAYS = {"settle_seconds": 0.05, "landing_seconds": 0.3}
_REQUEST = re.compile(r"\b(GET|POST|PUT|PATCH|DELETE) /")
#: the steps of each piece of a day when nothing is killed
Traces = dict[str, tuple[str, ...]]


# -- runs --------------------------------------------------------------------------------------------------------------


@dataclass
class Tally:
    """What was done to the runtime and what came of it."""

    runs: int = 0
    kills: int = 0
    again: int = 0
    by_piece: Counter[str] = field(default_factory=Counter)
    by_step: Counter[str] = field(default_factory=Counter)
    never_quiet: int = 0
    units_lost: int = 0
    orders: int = 0
    orders_lost: int = 0
    doubled: int = 0
    oversold: int = 0
    mismatched: int = 0
    refunds: int = 0
    refunds_wrong: int = 0
    labels: int = 0
    labels_wrong: int = 0
    asked_of_a_person: int = 0
    effects: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        failed = self.effects["unknown"] + self.effects["rejected"] - self.asked_of_a_person
        lost = (
            self.orders_lost
            + self.units_lost
            + self.never_quiet
            + self.mismatched
            + self.refunds_wrong
            + self.labels_wrong
        )
        return not (self.doubled or self.oversold or lost or failed or self.problems)


class Business:
    """Runs pieces of a day in one business and compares its books at the end. No event loop may be running."""

    def __init__(self, runtime: Runtime, app_url: str, dice: Random, tally: Tally, traces: Traces) -> None:
        self._runtime, self._app_url, self._dice, self._tally, self._traces = runtime, app_url, dice, tally, traces
        self._folder = tempfile.TemporaryDirectory(prefix="fsc-")
        books = Path(self._folder.name) / "market.db"
        _quick_amazon(books)
        seed = str(dice.randint(1, 10**6))
        self._sandbox = SandboxProcess.start(("--mode", "real", "--speed", "1", "--seed", seed, "--data", str(books)))
        self._tenant_id, self._accounts, self._amazon = self._do(self._open)
        self._received = 0
        until_quiet(runtime, lambda: None, dice)

    def close(self) -> None:
        self._sandbox.stop()
        self._folder.cleanup()

    def goods(self, number: int, *, kill: bool, most: int) -> int:
        """One piece of goods through its whole life, each piece one run; returns how many runs it was."""
        sku = f"K-{number:06d}"
        for done, (name, piece) in enumerate(PIECES.items()):
            if done == most:
                return done

            async def happen(trade: Trade, piece: Callable[[Trade], Awaitable[None]] = piece) -> None:
                trade.sku = sku
                await piece(trade)

            self._do(happen)
            self._received += {"offer": 4, "restock": 3}.get(name, 0)
            first = True

            def kills(name: str = name) -> int | None:
                nonlocal first
                if not kill or (not first and self._dice.random() >= AGAIN):
                    return None
                first = False
                return self._step(self._traces[name])

            lives = until_quiet(self._runtime, kills, self._dice)
            self._traces.setdefault(name, lives[-1].passed)
            self._count(name, lives)
        return len(PIECES)

    def _step(self, passed: tuple[str, ...]) -> int:
        """Half of the kills fall on the edges of requests, of which there are far fewer than of statements."""
        outward = [index for index, name in enumerate(passed) if _REQUEST.search(name)]
        if outward and self._dice.random() < 0.5:
            return self._dice.choice(outward)
        return self._dice.randrange(len(passed))

    def _count(self, name: str, lives: list[Life]) -> None:
        killed = [life.killed_at for life in lives if life.killed_at is not None]
        self._tally.runs += bool(killed)
        self._tally.by_piece[name] += bool(killed)
        self._tally.kills += len(killed)
        self._tally.again += max(0, len(killed) - 1)
        self._tally.by_step.update(killed)
        self._tally.never_quiet += not lives[-1].quiet

    def compare(self) -> None:
        """Our books against the channels' own, once a person has settled what nobody else could."""
        self._do(self._settle)
        until_quiet(self._runtime, lambda: None, self._dice)
        self._do(self._compare)

    def _do(self, what: Callable[[Trade], Awaitable[Any]]) -> Any:
        async def with_trade() -> Any:
            store = self._runtime.store()
            market = SandboxClient(self._sandbox.base_url, self._sandbox.control_token)
            try:
                trade = Trade(
                    store,
                    getattr(self, "_tenant_id", UUID(int=0)),
                    getattr(self, "_accounts", []),
                    getattr(self, "_amazon", None),
                    market,
                )
                return await what(trade)
            finally:
                await market.aclose()
                await store.aclose()

        return asyncio.run(with_trade())

    async def _open(self, trade: Trade) -> tuple[UUID, list[AccountRef], AmazonBusiness]:
        await trade.market.open_for_business(open=False, traffic=0.001)
        passwords = Passwords()
        app = Store(type(trade.store.database)(self._app_url, pool_size=1), trade.store.routing)
        tenant_id, amazon_tenant_id = [
            (
                await identity.create_tenant_with_owner(
                    app,
                    passwords,
                    tenant_name="Chaos",
                    email=f"chaos-{new_id()}@benchmark.invalid",
                    password=f"only for this run {new_id()}",
                    currency="USD",
                )
            )[0]
            for _ in range(2)
        ]
        passwords.close()
        await app.aclose()
        connected = []
        for vendor in VENDORS:
            config, credentials = self._sandbox.account(
                vendor,
                currency="USD",
                timeout_seconds=3.0,
                landing_seconds=0.3,
                settle_seconds=0.05,
                requests_per_second=1000,
                burst=1000,
            )
            async with trade.store.unit(tenant_id) as unit:
                account_id = await accounts.connect_account(
                    unit, self._runtime.box, vendor=vendor, name=vendor, config=config, credentials=credentials
                )
            connected.append(AccountRef(account_id, vendor))
        async with trade.store.unit(tenant_id) as unit:
            await workflows.write(unit, AUTOMATION, by=None)
        return tenant_id, connected, await self._open_amazon(trade, amazon_tenant_id)

    async def _open_amazon(self, trade: Trade, tenant_id: UUID) -> AmazonBusiness:
        """An account on Amazon with one article that nobody but Amazon keeps count of."""
        config, credentials = self._sandbox.account(
            "amazon", currency="USD", timeout_seconds=3.0, requests_per_second=1000, burst=1000, **_DELAYS
        )
        async with trade.store.unit(tenant_id) as unit:
            account_id = await accounts.connect_account(
                unit, self._runtime.box, vendor="amazon", name="amazon", config=config, credentials=credentials
            )
        secret = {name: SecretStr(value) for name, value in credentials.items()}
        async with connect(config, secret, Unlimited(), "chaos") as amazon:
            price = Money(amount_minor=3990, currency="USD")
            offer = Offer(sku=AMAZON_SKU, title="A teapot", price=price, quantity=500, barcode="4006381333931")
            state = await amazon.publish(offer, "first")
            await amazon.set_quantity(state.external_id, 500, "units")
        return AmazonBusiness(tenant_id, AccountRef(account_id, "amazon"))

    async def _settle(self, trade: Trade) -> None:
        """What a person does who is asked: look on the channel whether the label was bought, and say so."""
        assert trade.amazon is not None
        sold = {each["order_id"]: each["external_id"] for each in (await trade.market.books())["labels"]}
        async with trade.store.reader(trade.amazon.tenant_id) as session:
            query = select(LabelPurchase.id, Order.external_id).join(Order, Order.id == LabelPurchase.order_id)
            doubted = (await session.execute(query.where(LabelPurchase.state == "unknown"))).all()
        for label_id, order in doubted:
            async with trade.store.unit(trade.amazon.tenant_id) as unit:
                await labels.settle(unit, label_id, external_id=sold.get(order))
        self._tally.asked_of_a_person += len(doubted)

    async def _compare(self, trade: Trade) -> None:
        everything = await trade.market.books()
        truth = everything | {"orders": [each for each in everything["orders"] if each["channel"] != "amazon"]}
        found = await reconcile(trade.store, trade.tenant_id, truth)
        tally = self._tally
        tally.orders += found.orders_placed
        tally.orders_lost += found.orders_placed - found.orders_ingested
        tally.doubled += found.orders_duplicated
        tally.oversold += found.oversold_units
        tally.mismatched += found.stock_mismatches + found.price_floor_breaches
        tally.problems += found.problems
        async with trade.store.reader(trade.tenant_id) as session:
            report = await business_report(session)
            on_hand = await session.scalar(select(func.sum(StockItem.on_hand)))
            tally.problems += await automations_wrong(session)
        await self._count_effects(trade, trade.tenant_id)
        tally.problems += [f"set aside: {task}" for task in report.failed_tasks]
        await self._compare_refunds(trade, truth)
        await self._compare_labels(trade, everything)
        sold = sum(held["units_held"] for sku, held in truth["skus"].items() if sku != AMAZON_SKU)
        reserved = await self._reserved(trade)
        tally.units_lost += abs(self._received - sold - (int(on_hand or 0) - reserved))

    async def _count_effects(self, trade: Trade, tenant_id: UUID) -> None:
        async with trade.store.reader(tenant_id) as session:
            query = select(Effect.state, Effect.command, Effect.result)
            rows = await session.execute(query.where(Effect.tenant_id == tenant_id))  # a worker sees everybody's
            for state, command, result in rows:
                self._tally.effects[state] += 1
                if state in ("unknown", "rejected"):
                    self._tally.failed[f"{command} {state}: {(result or {}).get('detail', '')}"] += 1

    async def _compare_labels(self, trade: Trade, truth: dict[str, Any]) -> None:
        """Every label in our books was sold to us, at that price, and none beside them."""
        assert trade.amazon is not None
        async with trade.store.reader(trade.amazon.tenant_id) as session:
            query = select(Order.external_id, LabelPurchase.external_id, LabelPurchase.cost_minor).join(
                LabelPurchase, LabelPurchase.order_id == Order.id
            )
            ours = {tuple(row) for row in await session.execute(query.where(LabelPurchase.state == "bought"))}
            told = set(await session.scalars(select(Order.external_id)))
        await self._count_effects(trade, trade.amazon.tenant_id)
        placed = {each["external_id"] for each in truth["orders"] if each["channel"] == "amazon"}
        self._tally.orders += len(placed)
        self._tally.orders_lost += len(placed - told)
        theirs = {(each["order_id"], each["external_id"], each["cost_minor"]) for each in truth["labels"]}
        self._tally.labels += len(theirs)
        self._tally.labels_wrong += len(ours ^ theirs)
        self._tally.problems += [f"label of {order}: only one side has {name}" for order, name, _ in ours ^ theirs]

    async def _compare_refunds(self, trade: Trade, truth: dict[str, Any]) -> None:
        async with trade.store.reader(trade.tenant_id) as session:
            told = await compare_refunds(session, truth)
        self._tally.refunds += told.refunds
        self._tally.refunds_wrong += len(told.wrong)
        self._tally.problems += told.wrong

    @staticmethod
    async def _reserved(trade: Trade) -> int:
        """Units sold that have not left the shelf."""
        async with trade.store.reader(trade.tenant_id) as session:
            return int(await session.scalar(select(func.sum(StockItem.reserved))) or 0)


def _quick_amazon(books: Path) -> None:
    """A market's books in which this seller may ask Amazon as often as it likes: its pace is not what is tried."""
    kept = Books(str(books), MarketClock("virtual", 0))
    with kept.transaction():
        kept.set_meta("amazon.usage_factor", "100000")
    kept.close()


def measure(runtime: Runtime, app_url: str, runs: int, seed: int) -> Tally:
    """Kill `runs` times (and sometimes again), in businesses one after the other."""
    dice, tally = Random(seed), Tally()
    traces: Traces = {}
    number, told = 0, time.monotonic()
    while tally.runs < runs:
        business = Business(runtime, app_url, dice, tally, traces)
        try:
            if not traces:
                business.goods(number, kill=False, most=len(PIECES))
            for _ in range(BATCH):
                number += 1
                if tally.runs < runs:
                    business.goods(number, kill=True, most=runs - tally.runs)
                if time.monotonic() - told > 5:
                    told = time.monotonic()
                    print(f"  {tally.runs} of {runs} runs", file=sys.stderr, flush=True)
            business.compare()
        finally:
            business.close()
    return tally


def measure_alone(home: Path, runs: int, seed: int) -> Tally:
    """On books of its own."""
    with System(home, port=choose_port()) as system:
        system.start_books()
        assert system.keys is not None
        runtime = Runtime(
            system.environment["FLIPSYNC_WORKER_DATABASE_URL"],
            tuple(load_roster(ROSTER)),
            SecretBox(parse_keys(system.keys.secret)),
            secrets.token_bytes(32),
        )
        return measure(runtime, system.environment["FLIPSYNC_APP_DATABASE_URL"], runs, seed)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="40 runs: only show that it works")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--system", type=int, default=0, help="kill this many processes of a whole running system")
    parser.add_argument("--minutes", type=float, default=60.0, help="with --system: at most so long")
    options = parser.parse_args(arguments)
    report = Report("chaos")
    if options.system:
        return _whole_system(report, options)
    runs = 40 if options.quick else options.runs
    with temporary_home() as home, saying(f"{runs} runs"):
        tally = measure_alone(home, runs, options.seed)
    report.result = {"seed": options.seed, "clean": tally.clean} | {
        name: dict(value) if isinstance(value, Counter) else value for name, value in vars(tally).items()
    }
    report.row("runs, each killed at a step of its own", str(tally.runs), f"{tally.again} killed again in recovery")
    report.row("different steps", str(len(tally.by_step)), ", ".join(name for name, _ in tally.by_step.most_common(3)))
    report.row("done twice on a channel or in our books", str(tally.doubled), "0 allowed")
    report.row("orders lost", str(tally.orders_lost), f"of {tally.orders}")
    report.row("refunds given twice, or not at all", str(tally.refunds_wrong), f"of {tally.refunds}")
    report.row("labels bought twice, or not in our books", str(tally.labels_wrong), f"of {tally.labels}")
    report.row("labels a person was asked about", str(tally.asked_of_a_person), "Amazon cannot be asked")
    report.row("units oversold or unaccounted for", str(tally.oversold + tally.units_lost), "0 allowed")
    report.row("listings that differ from our books", str(tally.mismatched), "0 allowed")
    failed = tally.effects["unknown"] + tally.effects["rejected"] - tally.asked_of_a_person
    report.row("other effects unknown or refused", str(failed), "0 allowed")
    report.row("runs that never became quiet", str(tally.never_quiet), "0 allowed")
    # three over n: what zero failures leave open at 95 % confidence (Hanley and Lippman-Hand, 1983)
    report.row("failure rate at most, 95 %", f"{3 / max(1, tally.runs):.4%}" if tally.clean else "not clean", "")
    report.notes += [f"{count} × {what}" for what, count in tally.failed.most_common(10)] + tally.problems[:20]
    report.finish(as_json=options.json)
    return 0 if tally.clean else 1


def _whole_system(report: Report, options: argparse.Namespace) -> int:
    from benchmarks import system_chaos  # brings Ray along

    with temporary_home() as home, saying(f"{options.system} kills of a whole system"):
        tally = system_chaos.measure_system(home, options.system, options.seed, options.minutes)
    report.result = {"seed": options.seed}
    system_chaos.report_system(report, tally)
    report.finish(as_json=options.json)
    return 0 if tally.clean else 1


if __name__ == "__main__":
    sys.exit(main())
