"""Orders packed, handed over, cancelled, refunded, put back in any order: the books never have what the shelf has not.

The model is a shelf one can touch and a channel's page: units in a parcel are on neither, whatever the channel says.
"""

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
from shop import refund
from sqlalchemy import func, select

from flipsync.domain.called_off import PutBackUnits
from flipsync.domain.channel import ChannelRefund
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import Conflict
from flipsync.domain.ids import new_id
from flipsync.services import called_off, orders, stock
from flipsync.store.models import EventRecord, Order, OrderLine, Shipment, StockItem
from flipsync.store.unit_of_work import UnitOfWork

T = TypeVar("T")
UNITS, MOST = 6, 3


@dataclass
class Sale:
    """An order as its channel has it, and its units on the way."""

    name: str
    units: int
    status: str = "paid"
    minute: int = 0
    refunds: list[ChannelRefund] = field(default_factory=list)
    restocked: int = 0
    id: UUID = field(default_factory=new_id)
    handed_over: bool = False
    on_the_way: int = 0


class CalledOff(RuleBasedStateMachine):
    bench: ClassVar[Bench]

    @initialize()
    def begin(self) -> None:
        shop = self.bench.shop
        self.goods = self.bench.do(shop.variant(units=UNITS))
        self.listing = self.bench.do(shop.listing(self.bench.accounts[0], self.goods, units=UNITS))
        self.shelf = self.shown = UNITS
        self.sales: list[Sale] = []
        self.answered: set[UUID] = set()

    # -- what people and channels do --------------------------------------------------------------------------------

    @precondition(lambda self: self.shown > 0 and len(self.sales) < MOST)
    @rule(data=st.data())
    def sell(self, data: st.DataObject) -> None:
        sale = Sale(str(new_id()), data.draw(st.integers(1, min(2, self.shown))))
        self.shown -= sale.units
        self.sales.append(sale)
        self.tell(sale)

    @precondition(lambda self: self.sales)
    @rule(data=st.data())
    def pack(self, data: st.DataObject) -> None:
        sale = data.draw(st.sampled_from(self.sales))
        if self.row(sale).state == "reserved":
            self.change(lambda unit: orders.mark_ready(unit, sale.id))

    @precondition(lambda self: self.sales)
    @rule(data=st.data())
    def hand_over(self, data: st.DataObject) -> None:
        sale = data.draw(st.sampled_from(self.sales))
        if sale.handed_over:
            return
        if self.row(sale).state != "ready":
            with pytest.raises(Conflict):
                self.change(lambda unit: orders.hand_over(unit, self.bench.accounts[0], sale.id, "UPS", "1Z"))
            return
        packed = self.line(sale).reserved
        self.change(lambda unit: orders.hand_over(unit, self.bench.accounts[0], sale.id, "UPS", "1Z"))
        sale.handed_over, sale.on_the_way = True, packed
        self.shelf -= packed

    @precondition(lambda self: self.sales)
    @rule(data=st.data())
    def confirm(self, data: st.DataObject) -> None:
        """The channel is told of the parcel; it takes that of what was paid for and not given back."""
        sale = data.draw(st.sampled_from(self.sales))
        if sale.handed_over and sale.status == "paid":
            sale.status = "shipped"
            self.change(lambda unit: orders.confirm_shipped(unit, self.bench.accounts[0], sale.id))

    @precondition(lambda self: self.sales)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        sale = data.draw(st.sampled_from(self.sales))
        if sale.status == "paid":
            sale.status = "cancelled"
            self.shown += sale.units - sale.restocked
            sale.restocked = sale.units
            self.tell(sale)

    @precondition(lambda self: self.sales)
    @rule(data=st.data(), whole=st.booleans())
    def give_back(self, data: st.DataObject, whole: bool) -> None:
        """Money, all of it or some; and units put on sale again, as whoever gives it says."""
        sale = data.draw(st.sampled_from(self.sales))
        if sale.status not in ("paid", "shipped"):
            return
        back = data.draw(st.integers(0, sale.units - sale.restocked))
        if back and sale.status == "shipped":  # then they came home
            self.shelf += back
            sale.on_the_way -= back
        sale.refunds.append(refund(str(new_id()), utc_now(), **({"line_0": back} if back else {})))
        sale.restocked += back
        self.shown += back
        sale.status = "refunded" if whole else sale.status
        self.tell(sale)

    @precondition(lambda self: self.sales)
    @rule(data=st.data())
    def tell_again(self, data: st.DataObject) -> None:
        self.tell(data.draw(st.sampled_from(self.sales)))

    @rule()
    def push(self) -> None:
        """The channel is shown what is there, and lets go of what is not."""

        async def work(unit: UnitOfWork) -> None:
            target = max(0, await stock.spare(unit, self.goods.stock_item_id))
            await stock.set_targets(unit, self.goods.stock_item_id, {self.listing: target})
            if self.shown > target:
                self.shown = target
                await stock.let_go(unit, self.listing, target)
            else:
                self.shown = await stock.grant(unit, self.listing)

        self.change(work)

    @rule()
    def find(self) -> None:
        """The oldest question is answered: the parcel is home, or the units never left the shelf."""
        for event_id, told in self.questions():
            sale = next(each for each in self.sales if str(each.id) == told["order_id"])
            units = {UUID(line): count for line, count in told["units"].items()}
            home = min(sum(units.values()), sale.on_the_way) if told["parcel"] else 0
            command = PutBackUnits(order_id=sale.id, units=units, shelf=told["shelf"])
            try:
                self.change(lambda unit, command=command: called_off.put_back(unit, command))
            except Conflict:  # the channel said so before
                home = 0
            self.shelf += home
            sale.on_the_way -= home
            self.answered.add(event_id)
            return

    # -- what must hold ---------------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_promised_that_is_not_there(self) -> None:
        item, out = self.figures()
        there = item.on_hand if item.pending_count is None else item.pending_count
        assert there - out <= self.shelf, "the books have more than the shelf"
        assert item.reserved + item.allocated <= item.on_hand
        assert item.allocated == self.shown, "the channel may sell what it shows"

    def teardown(self) -> None:
        if not hasattr(self, "sales"):
            return
        while self.questions():
            self.find()
        for _ in range(3):
            self.push()
        item, out = self.figures()
        assert item.pending_count is None, "nobody waits for the channel any more"
        assert item.on_hand - out == self.shelf, "all that was found is in the books"

    # -- how ----------------------------------------------------------------------------------------------------------

    def change(self, work: Callable[[UnitOfWork], Coroutine[Any, Any, T]]) -> T:
        async def run() -> T:
            async with self.bench.shop.unit() as unit:
                return await work(unit)

        return self.bench.do(run())

    def read(self, query: Any) -> Any:
        async def run() -> Any:
            async with self.bench.shop.store.reader(self.bench.shop.tenant_id) as session:
                return (await session.execute(query)).all()

        return self.bench.do(run())

    def tell(self, sale: Sale) -> None:
        told = self.bench.shop.order(
            {self.goods.sku: sale.units},
            external_id=sale.name,
            status=sale.status,  # type: ignore[arg-type]
            holds_stock=sale.status != "cancelled",
            minute=sale.minute,
            refunds=tuple(sale.refunds),
        )
        sale.minute += 1
        sale.id = self.change(lambda unit: orders.ingest_order(unit, self.bench.accounts[0], told)).order_id

    def row(self, sale: Sale) -> Any:
        return self.read(select(Order.state).where(Order.id == sale.id))[0]

    def line(self, sale: Sale) -> Any:
        return self.read(select(OrderLine.reserved).where(OrderLine.order_id == sale.id))[0]

    def questions(self) -> list[tuple[UUID, dict[str, Any]]]:
        ours = [sale.id for sale in self.sales]
        query = select(EventRecord.id, EventRecord.payload).where(
            EventRecord.type == "UnitsInDoubt", EventRecord.subject_id.in_(ours)
        )
        return [tuple(row) for row in self.read(query.order_by(EventRecord.id)) if row.id not in self.answered]

    def figures(self) -> tuple[Any, int]:
        """The stock item, and how many of its units are in parcels that no channel was told of."""
        item = self.read(
            select(StockItem.on_hand, StockItem.reserved, StockItem.allocated, StockItem.pending_count).where(
                StockItem.id == self.goods.stock_item_id
            )
        )[0]
        ours = [sale.id for sale in self.sales]
        out = self.read(
            select(func.coalesce(func.sum(OrderLine.reserved), 0))
            .join(Shipment, Shipment.order_id == OrderLine.order_id)
            .where(OrderLine.order_id.in_(ours))
        )
        return item, int(out[0][0])


@pytest.fixture(scope="module")
def bench(make_database: Callable[[], dict[str, str]]) -> Iterator[Bench]:
    bench = Bench(make_database()["worker"])
    yield bench
    bench.close()


def test_any_order_of_events_leaves_the_books_with_no_more_than_the_shelf(bench: Bench) -> None:
    CalledOff.bench = bench
    run_state_machine_as_test(
        CalledOff,
        settings=settings(
            max_examples=20, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
