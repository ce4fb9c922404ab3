"""Orders as channels tell them: twice, late, out of order, at once, and changed again afterwards."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
from shop import Goods, Shop, refund
from sqlalchemy import select

from flipsync.domain.channel import Address, ChannelOrder
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import Conflict, NotFound
from flipsync.domain.events import (
    OrderChanged,
    OrderReady,
    OrderReceived,
    ParcelHandedOver,
    ShipmentConfirmed,
    StockFreed,
    StockMoved,
)
from flipsync.domain.ids import new_id
from flipsync.services import orders, stock
from flipsync.services.desk import Services
from flipsync.services.orders import AccountRef, IngestResult
from flipsync.store.models import Order, OrderLine, Shipment
from flipsync.store.repositories import stock as stock_rows


async def tell(shop: Shop, account: AccountRef, told: ChannelOrder) -> IngestResult:
    async with shop.unit() as unit:
        return await orders.ingest_order(unit, account, told)


async def order_of(shop: Shop, order_id: UUID) -> Order:
    async with shop.store.reader(shop.tenant_id) as session:
        return await session.get_one(Order, order_id)


async def line_of(shop: Shop, order_id: UUID) -> OrderLine:
    async with shop.store.reader(shop.tenant_id) as session:
        return (await session.scalars(select(OrderLine).where(OrderLine.order_id == order_id))).one()


async def figures(shop: Shop, goods: Goods, listing_id: UUID) -> tuple[int, int, int]:
    """(on hand, reserved, what the listing may sell)."""
    item = await shop.item(goods)
    return item.on_hand, item.reserved, (await shop.share(listing_id)).entitled


async def test_an_order_told_three_times_is_one_order_and_one_reservation(shop: Shop) -> None:
    account, goods = await shop.account(), await shop.variant(units=5)
    listing = await shop.listing(account, goods, units=5)
    told = shop.order({goods.sku: 2})
    outcomes = [(await tell(shop, account, told)).outcome for _ in range(3)]
    assert outcomes == ["created", "unchanged", "unchanged"]
    assert await figures(shop, goods, listing) == (5, 2, 3)
    assert len(await shop.events(OrderReceived)) == 1


async def test_webhook_and_poll_at_the_same_moment_book_it_once(shop: Shop) -> None:
    account, goods = await shop.account(), await shop.variant(units=9)
    listing = await shop.listing(account, goods, units=9)
    told = shop.order({goods.sku: 4})
    results = await asyncio.gather(*(tell(shop, account, told) for _ in range(4)))
    assert sorted(result.outcome for result in results) == ["created", "unchanged", "unchanged", "unchanged"]
    assert len({result.order_id for result in results}) == 1
    assert await figures(shop, goods, listing) == (9, 4, 5)


async def test_what_is_added_to_an_order_is_set_aside_and_packed_too(shop: Shop) -> None:
    account, goods, more = await shop.account(), await shop.variant(units=5), await shop.variant(units=2)
    listing, other = await shop.listing(account, goods, units=5), await shop.listing(account, more, units=2)
    order_id = (await tell(shop, account, shop.order({goods.sku: 2}, external_id="o"))).order_id
    async with shop.unit() as unit:
        await orders.mark_ready(unit, order_id)
    edited = shop.order({goods.sku: 3, more.sku: 3}, external_id="o", minute=1)
    outcomes = [await tell(shop, account, edited) for _ in range(2)]
    assert [(each.outcome, each.short_units) for each in outcomes] == [("changed", 1), ("unchanged", 0)]
    assert (await order_of(shop, order_id)).state == "received", "it is not packed as it was"
    assert await figures(shop, goods, listing) == (5, 3, 2) and await figures(shop, more, other) == (2, 2, 0)
    async with shop.store.reader(shop.tenant_id) as session:
        lines = await session.scalars(select(OrderLine).where(OrderLine.order_id == order_id).order_by(OrderLine.id))
        assert [(line.sku, line.quantity, line.reserved, line.short) for line in lines] == [
            (goods.sku, 3, 3, 0),
            (more.sku, 3, 2, 1),
        ]
    assert len(await shop.events(OrderReceived)) == 2, "whoever packs hears of it, once"


async def test_nothing_is_added_to_a_parcel_that_has_left(shop: Shop) -> None:
    account, goods, more = await shop.account(), await shop.variant(units=5), await shop.variant(units=2)
    for each in (goods, more):
        await shop.listing(account, each, units=2)
    order_id = (await tell(shop, account, shop.order({goods.sku: 2}, external_id="o"))).order_id
    async with shop.unit() as unit:
        await orders.mark_ready(unit, order_id)
        await orders.hand_over(unit, account, order_id, "UPS", "1Z")
    await tell(shop, account, shop.order({goods.sku: 2, more.sku: 1}, external_id="o", minute=1))
    assert (await shop.item(more)).reserved == 0 and (await order_of(shop, order_id)).state == "ready"


async def test_news_that_arrives_after_newer_news_changes_nothing(shop: Shop) -> None:
    account, goods = await shop.account(), await shop.variant(units=5)
    listing = await shop.listing(account, goods, units=5)
    paid = shop.order({goods.sku: 2}, minute=1)
    cancelled = paid.model_copy(
        update={"status": "cancelled", "holds_stock": False, "modified_at": shop.order({}, minute=5).modified_at}
    )
    assert (await tell(shop, account, cancelled)).outcome == "created"
    late = await tell(shop, account, paid)
    assert late.outcome == "stale"
    assert await figures(shop, goods, listing) == (5, 0, 5)
    assert (await order_of(shop, late.order_id)).state == "cancelled"


async def test_a_cancelled_order_gives_its_units_back_to_the_listing_that_sold_them(shop: Shop) -> None:
    account, goods = await shop.account(), await shop.variant(units=5)
    listing = await shop.listing(account, goods, units=5)
    name = f"order-{new_id()}"
    result = await tell(shop, account, shop.order({goods.sku: 2}, external_id=name))
    gone = shop.order({goods.sku: 2}, external_id=name, status="cancelled", holds_stock=False, minute=3)
    assert (await tell(shop, account, gone)).outcome == "changed"
    assert await figures(shop, goods, listing) == (5, 0, 5)
    assert (await order_of(shop, result.order_id)).state == "cancelled"
    assert [event["status"] for event in await shop.events(OrderChanged)] == ["cancelled"]


async def test_an_order_may_be_revived_after_it_was_cancelled(shop: Shop) -> None:
    account, goods = await shop.account(), await shop.variant(units=5)
    listing = await shop.listing(account, goods, units=5)
    name = f"order-{new_id()}"
    states = []
    for minute, (status, holds) in enumerate(
        [("pending", False), ("paid", True), ("cancelled", False), ("paid", True), ("paid", True)]
    ):
        told = shop.order(
            {goods.sku: 2},
            external_id=name,
            status=status,  # type: ignore[arg-type]
            holds_stock=holds,
            minute=minute,
        )
        result = await tell(shop, account, told)
        states.append(((await order_of(shop, result.order_id)).state, await figures(shop, goods, listing)))
    assert states == [
        ("received", (5, 0, 5)),
        ("reserved", (5, 2, 3)),
        ("cancelled", (5, 0, 5)),
        ("reserved", (5, 2, 3)),
        ("reserved", (5, 2, 3)),
    ]


async def test_refunded_units_put_back_on_sale_before_shipping_are_released_once(shop: Shop) -> None:
    account, goods = await shop.account(), await shop.variant(units=5)
    listing = await shop.listing(account, goods, units=5)
    name = f"order-{new_id()}"
    await tell(shop, account, shop.order({goods.sku: 3}, external_id=name))
    for minute in (1, 2):
        told = shop.order({goods.sku: 3}, external_id=name, minute=minute, refunds=(refund("r1", utc_now(), line_0=1),))
        result = await tell(shop, account, told)
    assert await figures(shop, goods, listing) == (5, 2, 3)
    assert (await line_of(shop, result.order_id)).returned == 1


async def test_goods_that_come_back_after_shipping_return_to_the_shelf(shop: Shop) -> None:
    account, goods = await shop.account(), await shop.variant(units=5)
    listing = await shop.listing(account, goods, units=5)
    name = f"order-{new_id()}"
    result = await tell(shop, account, shop.order({goods.sku: 3}, external_id=name))
    await ship(shop, account, result.order_id)
    assert await figures(shop, goods, listing) == (2, 0, 2)
    back = shop.order(
        {goods.sku: 3}, external_id=name, status="shipped", minute=9, refunds=(refund("r1", utc_now(), line_0=2),)
    )
    await tell(shop, account, back)
    assert await figures(shop, goods, listing) == (4, 0, 4)
    line = await line_of(shop, result.order_id)
    assert (line.shipped, line.returned, line.reserved) == (1, 2, 0)


async def test_a_refund_without_restock_moves_no_stock(shop: Shop) -> None:
    account, goods = await shop.account(), await shop.variant(units=5)
    listing = await shop.listing(account, goods, units=5)
    name = f"order-{new_id()}"
    await tell(shop, account, shop.order({goods.sku: 3}, external_id=name))
    told = shop.order({goods.sku: 3}, external_id=name, minute=1, refunds=(refund("money", utc_now()),))
    assert (await tell(shop, account, told)).outcome == "changed"
    assert await figures(shop, goods, listing) == (5, 3, 2)


async def test_an_order_first_told_when_it_was_refunded_already(shop: Shop) -> None:
    """The channel sold two and put two back before we looked: for us nothing has moved."""
    account, goods = await shop.account(), await shop.variant(units=5)
    listing = await shop.listing(account, goods, units=5)
    told = shop.order(
        {goods.sku: 2}, status="refunded", holds_stock=False, refunds=(refund("r1", utc_now(), line_0=2),)
    )
    result = await tell(shop, account, told)
    assert await figures(shop, goods, listing) == (5, 0, 5)
    assert (await order_of(shop, result.order_id)).state == "cancelled"


async def test_a_sale_beyond_the_listings_share_takes_free_units_then_falls_short(shop: Shop) -> None:
    account, goods = await shop.account(), await shop.variant(units=4)
    listing = await shop.listing(account, goods, units=1)
    other = await shop.listing(await shop.account(), goods, units=2)  # 1 unit stays free
    result = await tell(shop, account, shop.order({goods.sku: 4}))
    assert result.short_units == 2
    assert await figures(shop, goods, listing) == (4, 2, 0)
    assert (await shop.share(other)).entitled == 2, "what another channel may sell is not taken from it"
    assert (await order_of(shop, result.order_id)).state == "received"


async def test_an_order_told_again_while_units_are_short_is_still_short(shop: Shop) -> None:
    account, goods = await shop.account(), await shop.variant(units=1)
    await shop.listing(account, goods, units=1)
    name = f"order-{new_id()}"
    result = await tell(shop, account, shop.order({goods.sku: 3}, external_id=name))
    await tell(shop, account, shop.order({goods.sku: 3}, external_id=name, minute=1))
    assert (await order_of(shop, result.order_id)).state == "received"
    with pytest.raises(Conflict):
        async with shop.unit() as unit:
            await orders.mark_ready(unit, result.order_id)


async def test_new_goods_go_to_the_order_that_waits(shop: Shop) -> None:
    account, goods = await shop.account(), await shop.variant(units=1)
    listing = await shop.listing(account, goods, units=1)
    result = await tell(shop, account, shop.order({goods.sku: 3}))
    async with shop.unit() as unit:
        await stock.receive(unit, goods.variant_id, 1, key=f"in:{new_id()}", mode="escrow")
    assert len(await shop.events(StockFreed)) == 2, "the first goods and the new ones"
    async with shop.unit() as unit:
        assert await orders.reserve_missing(unit, result.order_id) == 1
    assert (await order_of(shop, result.order_id)).state == "received"
    async with shop.unit() as unit:
        await stock.receive(unit, goods.variant_id, 5, key=f"in:{new_id()}", mode="escrow")
        assert await orders.reserve_missing(unit, result.order_id) == 0
    assert (await order_of(shop, result.order_id)).state == "reserved"
    assert await figures(shop, goods, listing) == (7, 3, 0)


async def test_a_buyer_who_wants_fewer_gives_up_first_what_does_not_exist(shop: Shop) -> None:
    account, goods = await shop.account(), await shop.variant(units=1)
    listing = await shop.listing(account, goods, units=1)
    name = f"order-{new_id()}"
    result = await tell(shop, account, shop.order({goods.sku: 3}, external_id=name))
    fewer = shop.order({goods.sku: 3}, external_id=name, minute=1, refunds=(refund("r1", utc_now(), line_0=2),))
    await tell(shop, account, fewer)
    line = await line_of(shop, result.order_id)
    assert (line.reserved, line.short) == (1, 0)
    assert await figures(shop, goods, listing) == (1, 1, 0)
    assert (await order_of(shop, result.order_id)).state == "reserved"


async def test_two_orders_with_the_same_goods_in_opposite_order_do_not_block_each_other(shop: Shop) -> None:
    account = await shop.account()
    goods = [await shop.variant(units=100) for _ in range(4)]
    listings = [await shop.listing(account, each, units=100) for each in goods]
    forward = {each.sku: 1 for each in goods}
    backward = {each.sku: 1 for each in reversed(goods)}
    told = [shop.order(forward if index % 2 else backward) for index in range(12)]
    results = await asyncio.gather(*(tell(shop, account, each) for each in told))
    assert [result.outcome for result in results] == ["created"] * 12
    for each, listing in zip(goods, listings, strict=True):
        assert await figures(shop, each, listing) == (100, 12, 88)


async def test_two_lines_of_the_same_goods_are_two_reservations(shop: Shop) -> None:
    account, goods = await shop.account(), await shop.variant(units=5)
    listing = await shop.listing(account, goods, units=5)
    told = shop.order({goods.sku: 2})
    second = told.lines[0].model_copy(update={"external_id": "line-1", "quantity": 1})
    await tell(shop, account, told.model_copy(update={"lines": (*told.lines, second)}))
    assert await figures(shop, goods, listing) == (5, 3, 2)


async def test_lines_of_one_order_share_what_one_listing_has_and_what_is_free(shop: Shop) -> None:
    account, goods = await shop.account(), await shop.variant(units=5)
    listing = await shop.listing(account, goods, units=3)
    told = shop.order({goods.sku: 2})
    lines = tuple(told.lines[0].model_copy(update={"external_id": f"line-{n}"}) for n in range(3))
    result = await tell(shop, account, told.model_copy(update={"lines": lines}))
    assert result.short_units == 1
    rows = await shop.rows("SELECT reserved, short FROM order_line ORDER BY external_id")
    assert [(row.reserved, row.short) for row in rows] == [(2, 0), (2, 0), (1, 1)]
    item = await shop.item(goods)
    assert (item.on_hand, item.reserved, item.allocated) == (5, 5, 0)
    assert (await shop.share(listing)).entitled == 0
    moved = await shop.events(StockMoved)
    told_of = [(each["kind"], each["quantity"], each["reserved"]) for each in moved[-4:]]
    assert told_of == [("reserve", 2, 2), ("reserve", 2, 4), ("reserve", 1, 5), ("short", 1, 5)]
    order = (await shop.rows("SELECT state, holds_stock FROM customer_order"))[0]
    assert (order.state, order.holds_stock) == ("received", True)


async def test_an_order_that_is_not_paid_yet_reserves_nothing_until_it_is(shop: Shop) -> None:
    account, goods = await shop.account(), await shop.variant(units=5)
    await shop.listing(account, goods, units=3)
    first = await tell(shop, account, shop.order({goods.sku: 1}, external_id="7", status="pending", holds_stock=False))
    assert first.outcome == "created" and (await shop.item(goods)).reserved == 0
    paid = await tell(shop, account, shop.order({goods.sku: 1}, external_id="7", minute=1))
    assert (paid.outcome, paid.order_id) == ("changed", first.order_id)
    assert (await shop.item(goods)).reserved == 1
    assert [row.state for row in await shop.rows("SELECT state FROM customer_order")] == ["reserved"]


async def test_goods_that_are_not_ours_are_on_record_and_reserve_nothing(shop: Shop) -> None:
    account, goods = await shop.account(), await shop.variant(units=5)
    listing = await shop.listing(account, goods, units=5)
    result = await tell(shop, account, shop.order({"somebody-elses": 2, goods.sku: 1}))
    assert result.short_units == 0
    assert await figures(shop, goods, listing) == (5, 1, 4)
    assert (await order_of(shop, result.order_id)).state == "reserved"


async def test_the_same_order_number_on_two_accounts_is_two_orders(shop: Shop) -> None:
    first, second = await shop.account(), await shop.account()
    told = shop.order({"unknown": 1}, external_id="17")
    one, two = await tell(shop, first, told), await tell(shop, second, told)
    assert (one.outcome, two.outcome) == ("created", "created")
    assert one.order_id != two.order_id


async def test_a_new_address_and_fee_replace_the_old(shop: Shop) -> None:
    account = await shop.account()
    told = shop.order({"unknown": 1})
    result = await tell(shop, account, told)
    later = told.model_copy(
        update={
            "ship_to": Address(name="A. Buyer", city="Turku", country="FI"),
            "channel_fee": told.total.model_copy(update={"amount_minor": 250}),
            "modified_at": shop.order({}, minute=4).modified_at,
        }
    )
    await tell(shop, account, later)
    order = await order_of(shop, result.order_id)
    assert order.fee_minor == 250
    assert order.ship_to["city"] == "Turku"


async def ship(shop: Shop, account: AccountRef, order_id: UUID, tracking: str = "1Z999") -> None:
    async with shop.unit() as unit:
        await orders.mark_ready(unit, order_id)
        await orders.hand_over(unit, account, order_id, "UPS", tracking)
    async with shop.unit() as unit:
        await orders.confirm_shipped(unit, account, order_id)


async def test_from_reserved_to_shipped_each_fact_once(shop: Shop) -> None:
    account, goods = await shop.account(), await shop.variant(units=2)
    listing = await shop.listing(account, goods, units=2)
    result = await tell(shop, account, shop.order({goods.sku: 2}))
    await ship(shop, account, result.order_id)
    await ship(shop, account, result.order_id)
    assert await figures(shop, goods, listing) == (0, 0, 0)
    assert [len(await shop.events(kind)) for kind in (OrderReady, ParcelHandedOver, ShipmentConfirmed)] == [1, 1, 1]
    async with shop.store.reader(shop.tenant_id) as session:
        shipment = (await session.scalars(select(Shipment).where(Shipment.order_id == result.order_id))).one()
    assert (shipment.carrier, shipment.tracking_number) == ("UPS", "1Z999")
    assert shipment.confirmed_at is not None


async def test_a_second_parcel_for_one_order_is_a_conflict(shop: Shop) -> None:
    account, goods = await shop.account(), await shop.variant(units=2)
    await shop.listing(account, goods, units=2)
    result = await tell(shop, account, shop.order({goods.sku: 1}))
    await ship(shop, account, result.order_id)
    with pytest.raises(Conflict, match="1Z999"):
        await ship(shop, account, result.order_id, "1Z000")


async def test_nothing_is_handed_over_before_it_is_ready_nor_for_an_order_that_is_not_there(shop: Shop) -> None:
    account, goods = await shop.account(), await shop.variant(units=2)
    await shop.listing(account, goods, units=2)
    result = await tell(shop, account, shop.order({goods.sku: 1}))
    with pytest.raises(Conflict):
        async with shop.unit() as unit:
            await orders.hand_over(unit, account, result.order_id, "UPS", "1")
    with pytest.raises(NotFound):
        async with shop.unit() as unit:
            await orders.mark_ready(unit, new_id())
    with pytest.raises(NotFound):
        async with shop.unit() as unit:
            await orders.confirm_shipped(unit, account, new_id())


# -- units that were sold before they were there -----------------------------------------------------------------------


async def test_a_sale_told_before_the_cancellation_that_made_room_for_it_gets_that_unit(shop: Shop) -> None:
    """The last unit is sold, cancelled and sold again; the channel tells the second sale before the cancellation."""
    account, goods = await shop.account(), await shop.variant(units=1)
    listing = await shop.listing(account, goods, units=1)
    name = f"order-{new_id()}"
    await tell(shop, account, shop.order({goods.sku: 1}, external_id=name))
    second = await tell(shop, account, shop.order({goods.sku: 1}, minute=2))
    assert second.short_units == 1
    gone = shop.order({goods.sku: 1}, external_id=name, status="cancelled", holds_stock=False, minute=1)
    await tell(shop, account, gone)
    assert await figures(shop, goods, listing) == (1, 0, 0), "the channel's shelf is empty: nothing to sell there"
    async with shop.unit() as unit:
        state = await stock.entitlement(unit, listing)
        assert state is not None
        assert state.free == 0, "it belongs to the second buyer"
        await stock.set_targets(unit, goods.stock_item_id, {listing: 1})
        assert await stock.grant(unit, listing) == 0
    async with shop.unit() as unit:
        assert await orders.reserve_missing(unit, second.order_id) == 0
    assert await figures(shop, goods, listing) == (1, 1, 0)


async def test_no_channel_is_given_units_that_a_buyer_waits_for(shop: Shop) -> None:
    account, goods = await shop.account(), await shop.variant(units=4, mode="pooled")
    listing = await shop.listing(account, goods)
    short = await tell(shop, account, shop.order({goods.sku: 6}))
    assert short.short_units == 2
    async with shop.unit() as unit:
        await stock.receive(unit, goods.variant_id, 5, key=f"in:{new_id()}", mode="pooled")
        await stock.set_targets(unit, goods.stock_item_id, {listing: 5})
    async with shop.store.database.session(shop.tenant_id) as session:
        granted = await stock_rows.grant_pooled(session, [listing])
    assert [each.units for each in granted.values()] == [3]
    async with shop.store.reader(shop.tenant_id) as session:
        picture = await Services(session, shop.tenant_id, utc_now()).stock.picture(goods.stock_item_id)
    assert picture is not None
    assert picture.available == 3


async def test_whoever_shares_units_out_hears_of_a_sale_that_nothing_covers_and_of_its_end(shop: Shop) -> None:
    account, goods = await shop.account(), await shop.variant(units=1)
    await shop.listing(account, goods)
    other = await shop.listing(await shop.account(), goods, units=1)
    name = f"order-{new_id()}"
    told = await tell(shop, account, shop.order({goods.sku: 1}, external_id=name))
    assert told.short_units == 1
    moves = [(event["kind"], event["quantity"]) for event in await shop.events(StockMoved)]
    assert moves[-1] == ("short", 1)
    async with shop.store.reader(shop.tenant_id) as session:
        picture = await Services(session, shop.tenant_id, utc_now()).stock.picture(goods.stock_item_id)
    assert picture is not None
    assert picture.changed()[other] == 0, "the other channel lets go of its unit for the buyer who paid"
    await tell(
        shop,
        account,
        shop.order({goods.sku: 1}, external_id=name, status="cancelled", holds_stock=False, minute=1),
    )
    moves = [(event["kind"], event["quantity"]) for event in await shop.events(StockMoved)]
    assert moves[-1] == ("forgo", 1)
