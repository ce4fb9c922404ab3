"""Orders that come to nothing once they are packed: nothing leaves twice, nothing is sold that may not be there."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from shop import Goods, Shop, refund

from agents.logistics.fulfillment import FulfillmentAgent
from flipsync.domain.called_off import PutBackUnits, UnitsInDoubt
from flipsync.domain.clock import utc_now
from flipsync.domain.commands import ConfirmShipment
from flipsync.domain.errors import Conflict
from flipsync.domain.events import ShipmentConfirmed, StockFreed
from flipsync.services import called_off, money_out, orders, stock
from flipsync.services.orders import AccountRef, IngestResult
from flipsync.store.repositories import matters


class Sale:
    """One order of goods with five on the shelf, all of them on offer on one channel."""

    def __init__(self, shop: Shop, account: AccountRef, goods: Goods, listing: UUID) -> None:
        self.shop, self.account, self.goods, self.listing = shop, account, goods, listing
        self.name, self.minute, self.units, self.order_id = "an-order", 0, 2, UUID(int=0)

    @classmethod
    async def make(cls, shop: Shop, mode: str = "escrow") -> Sale:
        account, goods = await shop.account(), await shop.variant(units=5, mode=mode)
        listing = await shop.listing(account, goods, units=5 if mode == "escrow" else 0)
        sale = cls(shop, account, goods, listing)
        sale.order_id = (await sale.tell()).order_id
        return sale

    async def tell(self, **news: Any) -> IngestResult:
        """The channel's next news of the order."""
        told = self.shop.order({self.goods.sku: self.units}, external_id=self.name, minute=self.minute, **news)
        self.minute += 1
        async with self.shop.unit() as unit:
            return await orders.ingest_order(unit, self.account, told)

    async def refund(self, restocked: int = 0, name: str = "r1") -> IngestResult:
        back = {"line_0": restocked} if restocked else {}
        return await self.tell(status="refunded", refunds=(refund(name, utc_now(), **back),))

    async def pack(self) -> None:
        async with self.shop.unit() as unit:
            await orders.mark_ready(unit, self.order_id)

    async def hand_over(self) -> None:
        async with self.shop.unit() as unit:
            await orders.hand_over(unit, self.account, self.order_id, "UPS", "1Z")

    async def confirm(self) -> None:
        async with self.shop.unit() as unit:
            await orders.confirm_shipped(unit, self.account, self.order_id)

    async def put_back(self, units: int, shelf: str) -> None:
        line = (await self.shop.rows("SELECT id FROM order_line"))[0].id
        async with self.shop.unit() as unit:
            command = PutBackUnits(order_id=self.order_id, units={line: units}, shelf=shelf)  # type: ignore[arg-type]
            await called_off.put_back(unit, command)

    async def state(self) -> str:
        return str((await self.shop.rows("SELECT state FROM customer_order"))[0].state)

    async def figures(self) -> tuple[int, int, int]:
        """(on hand, reserved, what the listing may sell)."""
        item = await self.shop.item(self.goods)
        return item.on_hand, item.reserved, (await self.shop.share(self.listing)).entitled

    async def doubts(self) -> list[tuple[int, bool, str]]:
        """Units, whether a parcel is out with them, and what the channel did."""
        told = await self.shop.events(UnitsInDoubt)
        return [(sum(each["units"].values()), each["parcel"], each["shelf"]) for each in told]


async def test_a_full_refund_before_packing_ships_nothing_and_sells_nothing_that_may_be_gone(shop: Shop) -> None:
    sale = await Sale.make(shop)
    await sale.refund()
    assert (await sale.state(), await sale.figures()) == ("cancelled", (3, 0, 3))
    assert await sale.doubts() == [(2, False, "kept")]
    with pytest.raises(Conflict, match="cancelled"):
        await sale.pack()
    await sale.refund()  # told again
    assert (await sale.figures(), len(await sale.doubts())) == ((3, 0, 3), 1)
    assert (await shop.rows("SELECT closed_at FROM customer_order"))[0].closed_at is not None


async def test_a_refunded_order_that_is_packed_is_not_handed_over(shop: Shop) -> None:
    sale = await Sale.make(shop)
    await sale.pack()
    await sale.refund()
    with pytest.raises(Conflict, match="not ready to ship"):
        await sale.hand_over()
    assert await sale.figures() == (3, 0, 3)


async def test_a_refund_between_the_parcel_and_its_confirmation_closes_the_order(shop: Shop) -> None:
    """Whether the channel takes the confirmation afterwards or refuses it."""
    sale = await Sale.make(shop)
    await sale.pack()
    await sale.hand_over()
    await sale.refund()
    assert (await sale.state(), await sale.figures()) == ("shipped", (3, 0, 3))
    assert await sale.doubts() == [(2, True, "kept")]
    assert (await shop.rows("SELECT confirmed_at FROM shipment"))[0].confirmed_at is None, "the channel knows of none"
    for _ in range(2):
        await sale.confirm()
    assert (await shop.rows("SELECT confirmed_at FROM shipment"))[0].confirmed_at is not None
    assert (await sale.figures(), len(await shop.events(ShipmentConfirmed))) == ((3, 0, 3), 1)


async def test_a_refund_after_the_confirmation_changes_nothing(shop: Shop) -> None:
    sale = await Sale.make(shop)
    await sale.pack()
    await sale.hand_over()
    await sale.confirm()
    await sale.refund()
    assert (await sale.state(), await sale.figures(), await sale.doubts()) == ("shipped", (3, 0, 3), [])


async def test_an_order_whose_units_all_went_back_on_sale_has_nothing_to_ship(shop: Shop) -> None:
    sale = await Sale.make(shop)
    await sale.pack()
    await sale.tell(refunds=(refund("r1", utc_now(), line_0=2),))  # its postage was kept: it counts as paid still
    assert (await sale.state(), await sale.figures(), await sale.doubts()) == ("cancelled", (5, 0, 5), [])
    with pytest.raises(Conflict):
        await sale.hand_over()


async def test_an_order_first_told_when_all_its_money_was_given_back(shop: Shop) -> None:
    sale = await Sale.make(shop)
    sale.name = "another"
    await sale.refund(name="r2")
    assert await sale.figures() == (3, 2, 1), "one buyer's two are set aside; two are in doubt"
    assert await sale.doubts() == [(2, False, "kept")]
    states = await shop.rows("SELECT external_id, state FROM customer_order ORDER BY external_id")
    assert [tuple(row) for row in states] == [("an-order", "reserved"), ("another", "cancelled")]


async def test_units_a_refunded_buyer_waited_for_are_nobodys(shop: Shop) -> None:
    sale = await Sale.make(shop)
    sale.name, sale.units = "too-many", 4
    assert (await sale.tell()).short_units == 1
    await sale.refund(name="r2")
    line = (await shop.rows("SELECT short, shipped, reserved FROM order_line WHERE quantity = 4"))[0]
    assert tuple(line) == (0, 3, 0)
    async with shop.unit() as unit:
        await stock.receive(unit, sale.goods.variant_id, 1, key="in", mode="escrow")
    assert await sale.figures() == (3, 2, 0), "the new one is free"


async def test_a_refund_that_is_taken_back_ships_the_order_after_all(shop: Shop) -> None:
    sale = await Sale.make(shop)
    await sale.refund()
    await sale.tell(refunds=(refund("r1", utc_now()),))
    assert await sale.state() == "reserved"
    await sale.pack()
    await sale.hand_over()
    await sale.confirm()
    assert (await sale.state(), await sale.figures()) == ("shipped", (3, 0, 3)), "its units had left the books before"


@pytest.mark.parametrize("mode", ["escrow", "pooled"])
async def test_what_lies_in_a_parcel_is_not_sold_again_when_the_channel_cancels(shop: Shop, mode: str) -> None:
    sale = await Sale.make(shop, mode)
    await sale.pack()
    await sale.hand_over()
    await sale.tell(status="cancelled", holds_stock=False)
    item = await shop.item(sale.goods)
    assert (await sale.state(), item.reserved) == ("cancelled", 0)
    if mode == "escrow":  # the channel shows five: they are its own until it has been lowered
        assert (item.on_hand, item.pending_count, (await shop.share(sale.listing)).entitled) == (5, 3, 5)
        async with shop.unit() as unit:
            await stock.let_go(unit, sale.listing, 3)
    assert (await shop.item(sale.goods)).on_hand == 3
    assert await sale.doubts() == [(2, True, "restocked")]


async def test_units_of_a_parcel_that_the_channel_restocks_are_not_sold_again(shop: Shop) -> None:
    sale = await Sale.make(shop)
    await sale.pack()
    await sale.hand_over()
    await sale.tell(refunds=(refund("r1", utc_now(), line_0=1),))
    assert (await sale.state(), await sale.doubts()) == ("ready", [(1, True, "restocked")])
    await sale.confirm()
    async with shop.unit() as unit:
        await stock.let_go(unit, sale.listing, 0)
    item = await shop.item(sale.goods)
    assert (item.on_hand, item.pending_count) == (3, None), "both units of the order are in its parcel"


@pytest.mark.parametrize("shelf", ["kept", "restocked"])
async def test_units_found_on_the_shelf_are_sold_again_once(shop: Shop, shelf: str) -> None:
    sale = await Sale.make(shop)
    await sale.pack()
    await sale.hand_over()
    if shelf == "kept":
        await sale.refund()
    else:
        await sale.tell(status="cancelled", holds_stock=False)
        async with shop.unit() as unit:
            await stock.let_go(unit, sale.listing, 3)
    freed = len(await shop.events(StockFreed))
    await sale.put_back(2, shelf)
    item = await shop.item(sale.goods)
    assert (item.on_hand, item.reserved, item.on_hand - item.allocated) == (5, 0, 2)
    assert len(await shop.events(StockFreed)) == freed + 1, "the channels are given them"
    with pytest.raises(Conflict, match="back already"):
        await sale.put_back(2, shelf)


async def test_a_unit_found_before_the_channel_let_go_of_it_fills_the_gap(shop: Shop) -> None:
    """The channel offers what lies in the parcel; then the parcel is home: nothing is missing, and nothing is free."""
    sale = await Sale.make(shop)
    await sale.pack()
    await sale.hand_over()
    await sale.tell(status="cancelled", holds_stock=False)
    await sale.put_back(2, "restocked")
    item = await shop.item(sale.goods)
    assert (item.on_hand, item.allocated, item.pending_count) == (5, 5, None)


async def test_units_the_channel_put_back_meanwhile_are_not_put_back_twice(shop: Shop) -> None:
    sale = await Sale.make(shop)
    await sale.refund()
    returned = (refund("r1", utc_now()), refund("r2", utc_now(), line_0=2))
    await sale.tell(status="refunded", refunds=returned)
    assert await sale.figures() == (5, 0, 5)
    with pytest.raises(Conflict):
        await sale.put_back(2, "kept")


@pytest.mark.parametrize("packed", [False, True])
async def test_an_order_shipped_by_hand_on_the_channels_page_leaves_the_books(shop: Shop, packed: bool) -> None:
    sale = await Sale.make(shop)
    if packed:
        await sale.pack()
    for _ in range(2):
        await sale.tell(status="shipped")
    assert (await sale.state(), await sale.figures()) == ("shipped", (3, 0, 3))
    assert len(await shop.events(ShipmentConfirmed)) == 1
    with pytest.raises(Conflict, match="marked as shipped on its channel"):
        await sale.hand_over()


async def test_an_order_first_told_when_it_was_shipped_leaves_the_books(shop: Shop) -> None:
    sale = await Sale.make(shop)
    sale.name, sale.units = "sent", 4
    result = await sale.tell(status="shipped")
    assert result.short_units == 1, "one of them was not in the books"
    row = (await shop.rows("SELECT short, shipped, reserved FROM order_line WHERE quantity = 4"))[0]
    assert tuple(row) == (0, 3, 0), "and nobody waits for it"


async def test_a_parcel_the_channel_was_not_told_of_is_told_until_it_is(shop: Shop) -> None:
    sale = await Sale.make(shop)
    await sale.pack()
    await sale.hand_over()
    command = ConfirmShipment(account_id=sale.account.id, order_id=sale.order_id, carrier="UPS", tracking_number="1Z")
    told = []
    for news in ("rejected", "shipped by hand"):
        async with shop.unit() as unit:
            if news == "rejected":
                await money_out.ended(unit, command.type_name(), command.model_dump(mode="json"), "no such carrier")
        if news != "rejected":
            await sale.tell(status="shipped")
        async with shop.store.reader(shop.tenant_id) as session:
            found = await matters.open_matters(session, utc_now(), utc_now(), 10)
        told.append([each.facts["order"] for each in found if each.kind == "shipment-unconfirmed"])
    assert told == [["1001"], []]


async def test_the_owner_is_asked_whether_they_lie_on_the_shelf(shop: Shop) -> None:
    sale = await Sale.make(shop)
    await sale.refund()
    (told,) = await shop.events(UnitsInDoubt)
    event = UnitsInDoubt.model_validate(told)
    decision = await shop.decide(FulfillmentAgent(), event)
    (proposed,) = decision.proposals
    assert isinstance(proposed, PutBackUnits) and proposed.owner_decides
    assert (proposed.units, proposed.shelf) == (event.units, "kept")
    assert decision.rationale.startswith("order 1001 was refunded before it left, and the channel put nothing back")
    parcel = await shop.decide(FulfillmentAgent(), event.model_copy(update={"parcel": True}))
    assert parcel.rationale.endswith("call it back; its 2 units are off the books. Back on the shelf, to be sold again")
