"""The stock ledger under any sequence of movements, against a model; and what the database itself refuses."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from ledger_bench import Bench
from shop import Goods, Shop, open_store
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from flipsync.domain.errors import Conflict, InvalidInput, NotFound
from flipsync.domain.ids import new_id
from flipsync.services import stock
from flipsync.services.orders import AccountRef, ingest_order
from flipsync.store.models import Allocation, OrderLine, StockItem
from flipsync.store.repositories import stock as ledger

T = TypeVar("T")
LISTINGS = 3
UNITS = st.integers(0, 12)
LISTING = st.integers(0, LISTINGS - 1)


@dataclass
class Line:
    """An order line as the model knows it."""

    id: UUID
    reserved: int = 0
    shipped: int = 0
    returned: int = 0


@dataclass
class Share:
    entitled: int = 0
    pending: int = 0
    target: int = 0


@dataclass
class Model:
    """What the ledger should say. `missing` units were counted away but are still promised to channels."""

    on_hand: int = 0
    reserved: int = 0
    missing: int = 0
    lines: list[Line] = field(default_factory=list)
    shares: list[Share] = field(default_factory=lambda: [Share() for _ in range(LISTINGS)])

    @property
    def allocated(self) -> int:
        return sum(share.entitled for share in self.shares)

    @property
    def free(self) -> int:
        return self.on_hand - self.reserved - self.allocated

    def book_missing(self) -> None:
        gone = min(self.free, self.missing)
        self.on_hand -= gone
        self.missing -= gone


class LedgerMachine(RuleBasedStateMachine):
    """Random movements on one item with three listings, mirrored in a `Model`."""

    bench: ClassVar[Bench]

    @initialize()
    def begin(self) -> None:
        self.goods: Goods = self.bench.do(self.bench.shop.variant())
        self.listings = [self.bench.do(self.bench.shop.listing(account, self.goods)) for account in self.bench.accounts]
        self.model = Model()
        self.told: list[tuple[str, int, str]] = []
        self.receive(20)
        self.set_targets([6, 5, 4])
        for listing in range(LISTINGS):
            self.grant(listing)

    def change(self, work: Callable[[Any, UUID], Coroutine[Any, Any, T]]) -> T:
        async def run() -> T:
            async with self.bench.shop.unit() as unit:
                return await work(unit, self.goods.stock_item_id)

        return self.bench.do(run())

    @rule(units=UNITS)
    def receive(self, units: int) -> None:
        key = f"receive:{new_id()}"
        variant = self.goods.variant_id
        self.change(lambda unit, _: stock.receive(unit, variant, units, key=key, mode="escrow"))
        self.model.on_hand += units
        if units:
            self.model.book_missing()
            self.told.append(("receive", units, key))

    @rule(counted=st.integers(0, 30))
    def count(self, counted: int) -> None:
        key = f"count:{new_id()}"
        if counted < self.model.reserved:
            with pytest.raises(Conflict):
                self.change(lambda unit, item: stock.count(unit, item, counted, key=key))
            return
        booked = self.change(lambda unit, item: stock.count(unit, item, counted, key=key))
        before = self.model.on_hand
        self.model.on_hand = max(counted, self.model.reserved + self.model.allocated)
        self.model.missing = self.model.on_hand - counted
        assert booked == self.model.on_hand - before
        if booked:
            self.told.append(("count", counted, key))

    @precondition(lambda self: self.told)
    @rule(data=st.data())
    def tell_again(self, data: st.DataObject) -> None:
        """A fact that is in the ledger changes nothing when it is told again; the model does not move."""
        kind, units, key = data.draw(st.sampled_from(self.told))
        if kind == "receive":
            variant = self.goods.variant_id
            self.change(lambda unit, _: stock.receive(unit, variant, units, key=key, mode="escrow"))
        elif units >= self.model.reserved:
            assert self.change(lambda unit, item: stock.count(unit, item, units, key=key)) == 0

    @precondition(lambda self: len(self.model.lines) < 3)
    @rule(wanted=st.integers(1, 8), listing=st.none() | LISTING)
    def reserve(self, wanted: int, listing: int | None) -> None:
        line_id = self.bench.do(_line(self.bench.shop, self.bench.accounts[0]))
        sold_on = None if listing is None else self.listings[listing]
        got = self.on_line(line_id, lambda unit, line, item: stock.reserve(unit, line, item, wanted, sold_on=sold_on))
        if listing is not None:
            share = self.model.shares[listing]
            taken = min(wanted, share.entitled)
            share.entitled -= taken
            share.pending = min(share.pending, share.entitled)
            share.target = max(0, share.target - taken)
        expected = min(wanted, self.model.free)
        assert got == expected
        self.model.reserved += expected
        self.model.lines.append(Line(line_id, reserved=expected))

    @precondition(lambda self: self.model.lines)
    @rule(data=st.data(), units=st.integers(0, 8))
    def reserve_more(self, data: st.DataObject, units: int) -> None:
        line = data.draw(st.sampled_from(self.model.lines))
        got = self.on_line(line.id, lambda unit, row, item: stock.reserve(unit, row, item, units, sold_on=None))
        assert got == min(units, self.model.free)
        line.reserved += got
        self.model.reserved += got

    @precondition(lambda self: self.model.lines)
    @rule(data=st.data(), units=st.integers(0, 8), listing=st.none() | LISTING)
    def release(self, data: st.DataObject, units: int, listing: int | None) -> None:
        line = data.draw(st.sampled_from(self.model.lines))
        back_to = None if listing is None else self.listings[listing]
        released = self.on_line(
            line.id, lambda unit, row, item: stock.release(unit, row, item, units, given_back_to=back_to)
        )
        assert released == min(units, line.reserved)
        line.reserved -= released
        line.returned += released
        self.model.reserved -= released
        self.give_back(listing, released)
        if released:
            self.model.book_missing()

    @precondition(lambda self: self.model.lines)
    @rule(data=st.data())
    def ship(self, data: st.DataObject) -> None:
        line = data.draw(st.sampled_from(self.model.lines))
        assert self.on_line(line.id, stock.ship) == line.reserved
        self.model.on_hand -= line.reserved
        self.model.reserved -= line.reserved
        self.model.missing = min(self.model.missing, self.model.on_hand)  # what left the house was there after all
        line.shipped += line.reserved
        line.reserved = 0
        self.model.missing = min(self.model.missing, self.model.on_hand)  # more was there than somebody counted

    @precondition(lambda self: self.model.lines)
    @rule(data=st.data(), units=st.integers(0, 8), listing=st.none() | LISTING)
    def take_back(self, data: st.DataObject, units: int, listing: int | None) -> None:
        line = data.draw(st.sampled_from(self.model.lines))
        back_to = None if listing is None else self.listings[listing]
        back = self.on_line(
            line.id, lambda unit, row, item: stock.take_back(unit, row, item, units, given_back_to=back_to)
        )
        assert back == min(units, line.shipped)
        line.shipped -= back
        line.returned += back
        self.model.on_hand += back
        self.give_back(listing, back)
        if back:
            self.model.book_missing()

    @rule(wanted=st.lists(UNITS, min_size=LISTINGS, max_size=LISTINGS))
    def set_targets(self, wanted: list[int]) -> None:
        shares = dict(zip(self.listings, wanted, strict=True))
        if sum(wanted) > self.model.on_hand - self.model.reserved:
            with pytest.raises(Conflict):
                self.change(lambda unit, item: stock.set_targets(unit, item, shares))
            return
        self.change(lambda unit, item: stock.set_targets(unit, item, shares))
        for share, target in zip(self.model.shares, wanted, strict=True):
            share.target = target

    @rule(listing=LISTING)
    def grant(self, listing: int) -> None:
        share = self.model.shares[listing]
        more = max(0, min(share.target - share.entitled, self.model.free))
        share.entitled += more
        share.pending += more
        assert self.change(lambda unit, _: stock.grant(unit, self.listings[listing])) == share.entitled

    @rule(listing=LISTING, down_to=UNITS)
    def let_go(self, listing: int, down_to: int) -> None:
        share = self.model.shares[listing]
        released = max(0, share.entitled - down_to)
        if released:
            share.entitled = down_to
            share.pending = min(share.pending, down_to)
            self.model.book_missing()
        assert self.change(lambda unit, _: stock.let_go(unit, self.listings[listing], down_to)) == released

    @rule(listing=LISTING)
    def shown(self, listing: int) -> None:
        self.model.shares[listing].pending = 0
        self.change(lambda unit, _: stock.shown(unit, self.listings[listing]))

    def give_back(self, listing: int | None, units: int) -> None:
        if listing is not None and units:
            self.model.shares[listing].entitled += units
            self.model.shares[listing].target += units

    def on_line(self, line_id: UUID, work: Callable[[Any, OrderLine, UUID], Coroutine[Any, Any, int]]) -> int:
        async def run(unit: Any, item: UUID) -> int:
            return await work(unit, await unit.session.get_one(OrderLine, line_id), item)

        return self.change(run)

    @invariant()
    def books_agree(self) -> None:
        if hasattr(self, "model"):
            self.bench.do(self._compare())

    async def _compare(self) -> None:
        shop, model, item_id = self.bench.shop, self.model, self.goods.stock_item_id
        async with shop.store.reader(shop.tenant_id) as session:
            item = await session.get_one(StockItem, item_id)
            sums = (
                await session.execute(
                    text(
                        "SELECT coalesce(sum(on_hand_delta), 0), coalesce(sum(reserved_delta), 0)"
                        " FROM stock_movement WHERE stock_item_id = :item"
                    ),
                    {"item": item_id},
                )
            ).one()
            rows = (await session.scalars(select(Allocation).where(Allocation.stock_item_id == item_id))).all()
            lines = (
                await session.scalars(select(OrderLine).where(OrderLine.id.in_([line.id for line in model.lines])))
            ).all()
        assert item.on_hand >= 0 and item.reserved >= 0
        assert item.reserved + item.allocated <= item.on_hand
        assert (item.on_hand, item.reserved) == (int(sums[0]), int(sums[1])), "balances are the sum of the movements"
        assert item.allocated == sum(row.entitled for row in rows)
        assert (item.on_hand, item.reserved, item.allocated) == (model.on_hand, model.reserved, model.allocated)
        missing = 0 if item.pending_count is None else item.on_hand - item.pending_count
        assert missing == model.missing
        shares = {row.listing_id: (row.entitled, row.pending, row.target) for row in rows}
        assert [shares[listing] for listing in self.listings] == [
            (share.entitled, share.pending, share.target) for share in model.shares
        ]
        assert {line.id: (line.reserved, line.shipped, line.returned) for line in lines} == {
            line.id: (line.reserved, line.shipped, line.returned) for line in model.lines
        }


async def _line(shop: Shop, account: AccountRef) -> UUID:
    """An order line that wants nothing by itself: its goods are on no listing of ours."""
    async with shop.unit() as unit:
        result = await ingest_order(unit, account, shop.order({"elsewhere": 1}))
        return (await unit.session.scalars(select(OrderLine.id).where(OrderLine.order_id == result.order_id))).one()


@pytest.fixture(scope="module")
def bench(make_database: Callable[[], dict[str, str]]) -> Iterator[Bench]:
    bench = Bench(make_database()["worker"], LISTINGS)
    yield bench
    bench.close()


def test_any_order_of_movements_keeps_the_ledger_true(bench: Bench) -> None:
    LedgerMachine.bench = bench
    run_state_machine_as_test(
        LedgerMachine,
        settings=settings(
            max_examples=14, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


async def test_a_unit_counted_away_and_shipped_all_the_same_was_there(database_urls: dict[str, str]) -> None:
    store = open_store(database_urls["worker"], routing={}, pool_size=1)
    shop = await Shop(store).found()
    goods = await shop.variant(units=5)
    account = await shop.account()
    listing = await shop.listing(account, goods, units=5)
    line_id = await _line(shop, account)
    async with shop.unit() as unit:
        await stock.count(unit, goods.stock_item_id, 0, key="nothing there")
        line = await unit.session.get_one(OrderLine, line_id)
        assert await stock.reserve(unit, line, goods.stock_item_id, 1, sold_on=listing) == 1
        assert await stock.ship(unit, line, goods.stock_item_id) == 1
    item = await shop.item(goods)
    assert (item.on_hand, item.pending_count) == (4, 0), "no count is less than nothing"
    await store.aclose()


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("UPDATE stock_item SET on_hand = 1000", "permission denied"),
        ("UPDATE stock_item SET reserved = 0", "permission denied"),
        ("UPDATE stock_item SET allocated = 0", "permission denied"),
        ("UPDATE stock_movement SET on_hand_delta = 1000", "permission denied"),
        ("DELETE FROM stock_movement", "permission denied"),
        ("UPDATE event SET payload = '{}'", "permission denied"),
        ("DELETE FROM event", "permission denied"),
        ("UPDATE receipt SET outcome = 'confirmed'", "permission denied"),
        ("DELETE FROM receipt", "permission denied"),
        ("UPDATE price_change SET new_minor = 1", "permission denied"),
        ("DELETE FROM effect", "permission denied"),
        ("DELETE FROM customer_order", "permission denied"),
        ("TRUNCATE stock_movement", "permission denied"),
        ("UPDATE allocation SET entitled = entitled + 1000", "not_promised_twice"),
        ("UPDATE allocation SET entitled = -1", "check constraint"),
    ],
)
@pytest.mark.parametrize("role", ["app", "worker"])
async def test_the_database_itself_refuses_to_falsify_the_books(
    database_urls: dict[str, str], role: str, statement: str, why: str
) -> None:
    store = open_store(database_urls[role], routing={}, pool_size=1)
    shop = await Shop(store).found()
    goods = await shop.variant(units=5)
    await shop.listing(await shop.account(), goods, units=5)
    with pytest.raises(DBAPIError, match=why):
        async with shop.unit() as unit:
            await unit.session.execute(text(statement))
    assert (await shop.item(goods)).on_hand == 5
    await store.aclose()


async def test_impossible_amounts_and_unknown_items_are_refused(database_urls: dict[str, str]) -> None:
    store = open_store(database_urls["worker"], routing={})
    shop = await Shop(store).found()
    goods = await shop.variant()
    with pytest.raises(InvalidInput):
        async with shop.unit() as unit:
            await stock.receive(unit, goods.variant_id, -1, key="k", mode="escrow")
    with pytest.raises(InvalidInput):
        async with shop.unit() as unit:
            await stock.count(unit, goods.stock_item_id, stock.MAX_UNITS + 1, key="k")
    for work in (stock.grant, lambda unit, listing: stock.let_go(unit, listing, 0)):
        with pytest.raises(NotFound):
            async with shop.unit() as unit:
                await work(unit, new_id())
    with pytest.raises(NotFound):
        async with shop.unit() as unit:
            await stock.set_targets(unit, goods.stock_item_id, {new_id(): 1})
    await store.aclose()


async def test_a_count_that_waits_for_channels_follows_what_comes_and_goes_meanwhile(
    database_urls: dict[str, str],
) -> None:
    """5 are promised, 3 are counted; then 10 arrive, which fill the gap, and the channel lets go: 13 are there."""
    store = open_store(database_urls["worker"], routing={})
    shop = await Shop(store).found()
    goods = await shop.variant(units=5)
    listing = await shop.listing(await shop.account(), goods, units=5)
    async with shop.unit() as unit:
        assert await stock.count(unit, goods.stock_item_id, 3, key="counted") == 0
        await stock.receive(unit, goods.variant_id, 10, key="ten more", mode="escrow")
    item = await shop.item(goods)
    assert (item.on_hand, item.pending_count) == (13, None), "whoever waits for the channel would wait for ever"
    async with shop.unit() as unit:
        assert await stock.let_go(unit, listing, 0) == 5
    item = await shop.item(goods)
    assert (item.on_hand, item.pending_count) == (13, None)
    await store.aclose()


async def test_goods_sent_out_twice_leave_the_books_twice(database_urls: dict[str, str]) -> None:
    """Shipped, returned, reserved and shipped again: the second shipment is no repetition of the first."""
    store = open_store(database_urls["worker"], routing={})
    shop = await Shop(store).found()
    goods = await shop.variant(units=3)
    line_id = await _line(shop, await shop.account())
    for left in (1, 1):
        async with shop.unit() as unit:
            line = await unit.session.get_one(OrderLine, line_id)
            assert await stock.reserve(unit, line, goods.stock_item_id, 2, sold_on=None) == 2
            assert await stock.ship(unit, line, goods.stock_item_id) == 2
        assert (await shop.item(goods)).on_hand == left
        async with shop.unit() as unit:
            line = await unit.session.get_one(OrderLine, line_id)
            assert await stock.take_back(unit, line, goods.stock_item_id, 2, given_back_to=None) == 2
    await store.aclose()


async def test_units_given_back_to_an_ended_listing_are_free_for_others(database_urls: dict[str, str]) -> None:
    """The channel puts a cancelled unit back on a listing that nobody can buy from any more."""
    store = open_store(database_urls["worker"], routing={})
    shop = await Shop(store).found()
    goods = await shop.variant(units=2)
    listing = await shop.listing(await shop.account(), goods, units=0, status="ended")
    line_id = await _line(shop, await shop.account())
    async with shop.unit() as unit:
        line = await unit.session.get_one(OrderLine, line_id)
        assert await stock.reserve(unit, line, goods.stock_item_id, 2, sold_on=None) == 2
        assert await stock.release(unit, line, goods.stock_item_id, 2, given_back_to=listing) == 2
    assert (await shop.item(goods)).allocated == 0
    assert (await shop.share(listing)).entitled == 0
    await store.aclose()


async def test_pooled_listings_all_show_the_same_units(database_urls: dict[str, str]) -> None:
    store = open_store(database_urls["worker"], routing={})
    shop = await Shop(store).found()
    goods = await shop.variant(units=5, mode="pooled")
    listings = [await shop.listing(await shop.account(stock_mode="pooled"), goods) for _ in range(2)]
    async with shop.unit() as unit:
        await stock.set_targets(unit, goods.stock_item_id, dict.fromkeys(listings, 5))
        granted = await ledger.grant_pooled(unit.session, listings)
    assert {listing: each.units for listing, each in granted.items()} == dict.fromkeys(listings, 5)
    item = await shop.item(goods)
    assert (item.on_hand, item.allocated) == (5, 0), "what is shown twice is promised to nobody"
    await store.aclose()
