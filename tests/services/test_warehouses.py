"""Goods in a channel's own warehouse: a pool of their own, counted there, sold there, and never ours to give away."""

from __future__ import annotations

from typing import Any

import pytest
from shop import Goods, Shop
from sqlalchemy import select

from agents.logistics.fulfillment import FulfillmentAgent
from agents.market.inventory import InventoryAgent
from flipsync.domain.channel import ChannelOrder, ListingState, OrderStatus, WarehouseUnits
from flipsync.domain.errors import Conflict
from flipsync.domain.events import OrderReceived, ShipmentConfirmed, StockMoved, WarehouseReconciled
from flipsync.domain.money import usd
from flipsync.services import adopting, orders, warehouses
from flipsync.services.orders import AccountRef
from flipsync.services.why import explain
from flipsync.store.models import Allocation, Listing, StockItem


def stored(sku: str, *, asin: str = "B0LAMP", barcode: str | None = None, title: str = "Lamp") -> ListingState:
    return ListingState(
        external_id=sku,
        sku=sku,
        title=title,
        status="active",
        price=usd("29.99"),
        quantity=None,
        fulfilled_by="channel",
        catalogue_id=asin,
        barcode=barcode,
    )


def own(sku: str, *, asin: str = "B0LAMP") -> ListingState:
    return stored(sku, asin=asin).model_copy(update={"fulfilled_by": "seller", "quantity": 3})


class Trade:
    """Goods on our shelf and, under a SKU of their own on the same page, in Amazon's warehouse."""

    def __init__(self, shop: Shop, account: AccountRef, goods: Goods) -> None:
        self.shop, self.account, self.goods, self.fba = shop, account, goods, f"{goods.sku}-FBA"

    async def item(self, pool: str = "fba") -> StockItem:
        async with self.shop.store.reader(self.shop.tenant_id) as session:
            query = select(StockItem).where(StockItem.variant_id == self.goods.variant_id, StockItem.pool == pool)
            return (await session.scalars(query)).one()

    async def listings(self) -> dict[str, Listing]:
        async with self.shop.store.reader(self.shop.tenant_id) as session:
            return {row.sku: row for row in await session.scalars(select(Listing))}

    async def report(self, *units: WarehouseUnits) -> int:
        async with self.shop.unit() as unit:
            return await warehouses.reconcile(unit, self.account.id, self.account.vendor, units)

    async def ingest(self, told: ChannelOrder) -> orders.IngestResult:
        async with self.shop.unit() as unit:
            return await orders.ingest_order(unit, self.account, told)

    def order(self, sku: str, units: int, **more: Any) -> ChannelOrder:
        told = self.shop.order({sku: units}, **more)
        line = told.lines[0].model_copy(update={"listing_external_id": sku})
        return told.model_copy(update={"lines": (line,), "fulfilled_by": "channel"})


@pytest.fixture
async def trade(shop: Shop) -> Trade:
    account = await shop.account("amazon")
    found = Trade(shop, account, await shop.variant(units=5, title="Lamp"))
    async with shop.unit() as unit:
        await adopting.take_over(unit, account, [own(found.goods.sku), stored(found.fba)])
    return found


async def test_two_skus_on_one_page_are_one_article_in_two_pools(trade: Trade) -> None:
    listings = await trade.listings()
    assert {sku: (row.pool, row.status) for sku, row in listings.items()} == {
        trade.goods.sku: ("own", "active"),
        trade.fba: ("fba", "active"),
    }
    assert {row.variant_id for row in listings.values()} == {trade.goods.variant_id}
    shares = await trade.shop.rows("SELECT listing_id FROM allocation WHERE tenant_id = :tenant")
    assert [row.listing_id for row in shares] == [listings[trade.goods.sku].id], "nobody is given Amazon's units"


async def test_a_page_that_was_known_before_tells_whose_the_second_sku_is(shop: Shop) -> None:
    account = await shop.account("amazon")
    goods = await shop.variant(units=5, title="Lamp")
    for seen in ([own(goods.sku)], [own(goods.sku), stored("another name", title="Something else")]):
        async with shop.unit() as unit:
            await adopting.take_over(unit, account, seen)
    rows = await shop.rows("SELECT sku, pool FROM listing WHERE tenant_id = :tenant ORDER BY pool")
    assert [(row.sku, row.pool) for row in rows] == [("another name", "fba"), (goods.sku, "own")]


async def test_a_second_sku_for_the_same_shelf_is_left_alone(shop: Shop) -> None:
    account, goods = await shop.account("amazon"), await shop.variant(units=5, title="Lamp")
    async with shop.unit() as unit:
        found = await adopting.take_over(unit, account, [own(goods.sku), own(f"{goods.sku}-2")])
    assert ([match.listing.sku for match in found.sure], len(found.unknown)) == ([goods.sku], 1)


async def test_an_article_may_lie_with_amazon_under_several_skus(trade: Trade) -> None:
    third = f"{trade.goods.sku}-FBA-2"
    async with trade.shop.unit() as unit:
        found = await adopting.take_over(
            unit, trade.account, [own(trade.goods.sku), stored(trade.fba), stored(third, title="Anything")]
        )
    assert [(match.listing.sku, match.by) for match in found.sure] == [(third, "catalogue")]
    await trade.report(WarehouseUnits(sku=trade.fba, available=2), WarehouseUnits(sku=third, available=3))
    assert (await trade.item()).on_hand == 5
    await trade.ingest(trade.order(third, 4, external_id="d"))
    assert ((await trade.item()).on_hand, (await trade.item()).reserved) == (5, 4)


async def test_the_books_follow_what_is_reported_and_say_so(trade: Trade) -> None:
    assert await trade.report(WarehouseUnits(sku=trade.fba, available=12, inbound=4)) == 1
    assert await trade.report(WarehouseUnits(sku=trade.fba, available=12)) == 0
    assert await trade.report(WarehouseUnits(sku=trade.fba, available=9)) == 1
    assert ((await trade.item()).on_hand, (await trade.item("own")).on_hand) == (9, 5)
    told = await trade.shop.events(WarehouseReconciled)
    assert [(each["expected"], each["reported"], each["inbound"]) for each in told] == [(0, 12, 4), (12, 9, 0)]
    rows = await trade.shop.rows("SELECT note FROM stock_movement WHERE tenant_id = :tenant AND note <> '' ORDER BY at")
    assert rows[-1].note == "amazon reports 9 units to sell, our books had 12"


async def test_two_skus_of_one_article_in_the_warehouse_are_one_stock_and_a_silent_report_means_none(
    trade: Trade,
) -> None:
    units = WarehouseUnits(sku=trade.fba, available=2), WarehouseUnits(sku=trade.goods.sku, available=3)
    await trade.report(*units, WarehouseUnits(sku="of other goods", available=99))
    assert (await trade.item()).on_hand == 5
    await trade.report()
    assert (await trade.item()).on_hand == 0


async def test_an_order_amazon_fulfils_takes_from_its_pool_and_nobody_packs_it(trade: Trade) -> None:
    await trade.report(WarehouseUnits(sku=trade.fba, available=12))
    result = await trade.ingest(trade.order(trade.fba, 2, external_id="a"))
    fba, shelf = await trade.item(), await trade.item("own")
    assert (fba.on_hand, fba.reserved, shelf.on_hand, shelf.reserved) == (12, 2, 5, 0)
    received = OrderReceived(order_id=result.order_id, account_id=trade.account.id, vendor="amazon", short_units=0)
    decision = await trade.shop.decide(FulfillmentAgent(), received)
    assert decision.is_hold and "own warehouse" in decision.rationale
    async with trade.shop.unit() as unit:
        with pytest.raises(Conflict):
            await orders.mark_ready(unit, result.order_id)
    assert await trade.report(WarehouseUnits(sku=trade.fba, available=10, sold=2)) == 0, "sold is no difference"
    await trade.ingest(trade.order(trade.fba, 2, external_id="a", status="shipped", minute=5))
    fba = await trade.item()
    assert (fba.on_hand, fba.reserved) == (10, 0)
    assert len(await trade.shop.events(ShipmentConfirmed)) == 1
    assert await trade.report(WarehouseUnits(sku=trade.fba, available=10)) == 0


async def test_one_sku_may_be_supplied_from_both(trade: Trade) -> None:
    """The listing has a share of our shelf; what Amazon ships of it comes from Amazon's warehouse all the same."""
    await trade.report(WarehouseUnits(sku=trade.goods.sku, available=4))
    listing = (await trade.listings())[trade.goods.sku]
    async with trade.shop.unit() as unit:
        share = (await unit.session.scalars(select(Allocation).where(Allocation.listing_id == listing.id))).one()
        share.entitled = share.target = 3
    await trade.ingest(trade.order(trade.goods.sku, 1, external_id="b"))
    fba, shelf = await trade.item(), await trade.item("own")
    assert (fba.on_hand, fba.reserved, shelf.reserved, shelf.allocated) == (4, 1, 0, 3)
    over = trade.order(trade.goods.sku, 1, external_id="b", status="cancelled", holds_stock=False, minute=5)
    await trade.ingest(over)
    assert ((await trade.item()).reserved, (await trade.shop.share(listing.id)).entitled) == (0, 3)


@pytest.mark.parametrize("status", ["paid", "shipped"])
async def test_what_amazon_sold_before_it_reported_it_is_there(trade: Trade, status: OrderStatus) -> None:
    result = await trade.ingest(trade.order(trade.fba, 3, external_id="c", status=status))
    fba = await trade.item()
    assert result.short_units == 0
    assert (fba.on_hand, fba.reserved) == ((3, 3) if status == "paid" else (0, 0))


async def test_no_channel_is_told_of_units_that_lie_with_amazon(trade: Trade) -> None:
    await trade.report(WarehouseUnits(sku=trade.fba, available=12))
    fba = await trade.item()
    moved = StockMoved(
        stock_item_id=fba.id, variant_id=fba.variant_id, kind="count", quantity=12, on_hand=12, reserved=0
    )
    assert (await trade.shop.decide(InventoryAgent(), moved)).is_hold


async def test_a_second_account_has_a_pool_of_its_own(trade: Trade) -> None:
    second = await trade.shop.account("amazon")
    async with trade.shop.unit() as unit:
        assert await warehouses.pool_of(unit, trade.account.id, "channel") == "fba"
        assert await warehouses.pool_of(unit, second.id, "channel") == f"fba:{second.id}"


async def test_why_tells_the_pool(trade: Trade) -> None:
    await trade.report(WarehouseUnits(sku=trade.fba, available=12))
    listing = (await trade.listings())[trade.fba]
    async with trade.shop.store.reader(trade.shop.tenant_id) as session:
        told = (await explain(session, str(listing.id))).model_dump_json()
    assert "fba pool: 12 on hand" in told
