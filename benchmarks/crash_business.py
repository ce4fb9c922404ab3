"""One business at a time, its pieces of a day done by lives that are killed, and its books compared in the end."""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy import func, select

from benchmarks.crash_books import AUTOMATION, automations_wrong, compare_refunds, units_astray
from benchmarks.crash_lives import Life, Runtime, until_quiet
from benchmarks.crash_pieces import AMAZON_SKU, PIECES, AmazonBusiness, Trade, put_back, ship
from benchmarks.crash_steps import Step, steps_of
from benchmarks.crash_tally import Tally
from flipsync.connectors.base import Unlimited
from flipsync.connectors.marketplaces import connect
from flipsync.demo.reconcile import reconcile
from flipsync.domain.channel import Offer, Vendor
from flipsync.domain.commands import ConfirmShipment
from flipsync.domain.ids import new_id
from flipsync.domain.money import Money
from flipsync.sandbox.books import Books
from flipsync.sandbox.client import SandboxClient
from flipsync.sandbox.clock import MarketClock
from flipsync.security.passwords import Passwords
from flipsync.services import accounts, identity, labels, workflows
from flipsync.services.orders import AccountRef
from flipsync.services.report import business_report
from flipsync.store.database import Database
from flipsync.store.models import Effect, LabelPurchase, Order, Shipment, StockItem
from flipsync.store.unit_of_work import Store
from flipsync.system import SandboxProcess

VENDORS: tuple[Vendor, ...] = ("custom", "woocommerce")
#: how often the life that recovers is killed too, and how often in a row: a task that ended five lives is set aside
AGAIN = 0.9
IN_A_ROW = 4
#: how long the channels here take to show a sale, and to do what nobody heard the answer of
_DELAYS = {"settle_seconds": 0.05, "landing_seconds": 0.3}
_REQUEST = re.compile(r"\b(GET|POST|PUT|PATCH|DELETE) /")
#: the steps of each piece of a day when nothing is killed
Traces = dict[str, list[Step]]


class Business:
    """Runs pieces of a day in one business and compares its books at the end. No event loop may be running."""

    def __init__(self, runtime: Runtime, app_url: str, dice: Random, traces: Traces) -> None:
        self.tally = Tally()
        self.tenant_id: UUID
        self.dice, self._runtime, self._app_url, self._traces = dice, runtime, app_url, traces
        self._folder = tempfile.TemporaryDirectory(prefix="fsc-")
        books = Path(self._folder.name) / "market.db"
        _quick_amazon(books)
        seed = str(dice.randint(1, 10**6))
        self._sandbox = SandboxProcess.start(("--mode", "real", "--speed", "1", "--seed", seed, "--data", str(books)))
        self.tenant_id, self._accounts, self._amazon = self._do(self._open)
        self._received = self._articles = 0
        until_quiet(runtime, lambda: None, dice)

    def close(self) -> None:
        """Its market ends: nobody has to wait for what it does not answer any more."""
        try:
            self._do(self._leave)
        finally:
            self._sandbox.stop()
            self._folder.cleanup()

    def trace(self) -> None:
        """Two articles' lives with nobody killed: one in this process, so that what follows begins with everything
        imported and compiled, and one whose steps are what kills are drawn from."""
        for _ in self.article():
            self._runtime.work_here()
        for name in self.article():
            (life,) = until_quiet(self._runtime, lambda: None, self.dice)
            self._traces[name] = steps_of(life.passed)

    def torment(self, runs: int) -> None:
        """Articles one after the other, each piece of each one's life done by lives that are killed, `runs` in all."""
        while self.tally.runs < runs:
            for name in self.article():
                self._count(name, until_quiet(self._runtime, self._kills(name, runs - self.tally.runs), self.dice))
                if self.tally.runs == runs:
                    return

    def article(self) -> Iterator[str]:
        """One more article; each piece of its life happens, and its name is handed out for the runtime to answer."""
        self._articles += 1
        sku = f"K-{self._articles:06d}"
        for name, piece in PIECES.items():

            async def happen(trade: Trade, piece: Callable[[Trade], Awaitable[None]] = piece) -> None:
                trade.sku = sku
                await piece(trade)

            self._do(happen)
            self._received += {"offer": 4, "restock": 3}.get(name, 0)
            yield name

    def _kills(self, name: str, most: int) -> Callable[[], Step | None]:
        """Where the next life is killed: the first always, those after it by lot."""
        passed, killed = self._traces[name], 0

        def next_one() -> Step | None:
            nonlocal killed
            if killed == min(most, IN_A_ROW) or (killed and self.dice.random() >= AGAIN):
                return None
            killed += 1
            return self._step(passed)

        return next_one

    def _step(self, passed: list[Step]) -> Step:
        """Half of the kills fall on the edges of requests, which are far fewer than those of statements; each kind of
        request alike, since the one that pays is passed once where listings are read over and over."""
        outward = sorted({step.name for step in passed if _REQUEST.search(step.name)})
        if outward and self.dice.random() < 0.5:
            name = self.dice.choice(outward)
            return self.dice.choice([step for step in passed if step.name == name])
        return self.dice.choice(passed)

    def _count(self, name: str, lives: list[Life]) -> None:
        killed = [life.killed_at for life in lives if life.killed_at is not None]
        self.tally.runs += len(killed)
        self.tally.again += max(0, len(killed) - 1)
        self.tally.by_piece[name] += len(killed)
        self.tally.by_step.update(killed)
        self.tally.never_quiet += not lives[-1].quiet

    def compare(self) -> None:
        """Our books against the channels' own, once all that is ready has left and a person has settled the rest."""
        self._do(ship)
        self._do(put_back)
        self._do(self._settle)
        until_quiet(self._runtime, lambda: None, self.dice)
        self._do(self._compare)
        self.tally.close()

    def _do(self, what: Callable[[Trade], Awaitable[Any]]) -> Any:
        async def with_trade() -> Any:
            store = self._runtime.store
            market = SandboxClient(self._sandbox.base_url, self._sandbox.control_token)
            try:
                trade = Trade(
                    store,
                    getattr(self, "tenant_id", UUID(int=0)),
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
        app = Store(Database(self._app_url, pool_size=1), trade.store.routing)
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
        self.tally.asked_of_a_person += len(doubted)

    async def _leave(self, trade: Trade) -> None:
        assert trade.amazon is not None
        left = [(trade.tenant_id, account) for account in trade.accounts]
        for tenant_id, account in [*left, (trade.amazon.tenant_id, trade.amazon.account)]:
            async with trade.store.unit(tenant_id) as unit:
                await accounts.disconnect_account(unit, account.id, "the market has ended")

    async def _compare(self, trade: Trade) -> None:
        everything = await trade.market.books()
        truth = everything | {"orders": [each for each in everything["orders"] if each["channel"] != "amazon"]}
        found = await reconcile(trade.store, trade.tenant_id, truth)
        tally = self.tally
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
            left = select(Order.number, Order.state).outerjoin(Shipment, Shipment.order_id == Order.id)
            stuck = (await session.execute(left.where(Shipment.id.is_(None)))).all()
        tally.stuck += len(stuck)
        tally.problems += [f"order {number} never left: it is {state}" for number, state in stuck]
        await self._count_effects(trade, trade.tenant_id)
        tally.problems += [f"set aside: {task}" for task in report.failed_tasks]
        await self._compare_refunds(trade, truth)
        await self._compare_labels(trade, everything)
        sold = sum(held["units_held"] for sku, held in truth["skus"].items() if sku != AMAZON_SKU)
        reserved = await self._reserved(trade)
        tally.units_lost += (lost := abs(self._received - sold - (int(on_hand or 0) - reserved)))
        if lost:
            async with trade.store.reader(trade.tenant_id) as session:
                tally.problems += await units_astray(session, truth)

    async def _count_effects(self, trade: Trade, tenant_id: UUID) -> None:
        async with trade.store.reader(tenant_id) as session:
            query = select(Effect.state, Effect.command, Effect.result, Order.status)
            query = query.outerjoin(Order, Order.id == Effect.subject_id)
            rows = await session.execute(query.where(Effect.tenant_id == tenant_id))  # a worker sees everybody's
            for state, command, result, order in rows:
                refused = state == "rejected" and command == ConfirmShipment.type_name()
                if refused and order in ("cancelled", "refunded"):
                    continue  # no channel is told of a parcel whose buyer has called it off
                self.tally.effects[state] += 1
                if state in ("unknown", "rejected"):
                    self.tally.failed[f"{command} {state}: {(result or {}).get('detail', '')}"] += 1

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
        self.tally.orders += len(placed)
        self.tally.orders_lost += len(placed - told)
        theirs = {(each["order_id"], each["external_id"], each["cost_minor"]) for each in truth["labels"]}
        self.tally.labels += len(theirs)
        self.tally.labels_wrong += len(ours ^ theirs)
        self.tally.problems += [f"label of {order}: only one side has {name}" for order, name, _ in ours ^ theirs]

    async def _compare_refunds(self, trade: Trade, truth: dict[str, Any]) -> None:
        async with trade.store.reader(trade.tenant_id) as session:
            told = await compare_refunds(session, truth)
        self.tally.refunds += told.refunds
        self.tally.refunds_wrong += len(told.wrong)
        self.tally.problems += told.wrong

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
