"""Settings of stock tried on past decisions: what a shared shelf shows, and how a partitioned one is shared out."""

from __future__ import annotations

from datetime import timedelta

from shop import Goods, Shop
from sqlalchemy import text, update
from trials import figure, tried, work

from flipsync.domain.channel import ChannelOrder
from flipsync.domain.clock import utc_now
from flipsync.domain.events import StockMoved
from flipsync.domain.ids import new_id
from flipsync.services import orders, stock
from flipsync.services.orders import AccountRef
from flipsync.store.models import Allocation


async def test_a_stricter_limit_shows_fewer_units_of_a_shared_shelf(shop: Shop) -> None:
    goods = await shop.variant(units=1, mode="pooled")
    for vendor in ("ebay", "amazon"):
        place = await shop.account(vendor, stock_mode="pooled")  # type: ignore[arg-type]
        await shop.listing(place, goods, units=0)
    async with shop.unit() as unit:
        moved = {"kind": "receive", "quantity": 1, "on_hand": 1, "reserved": 0}
        unit.emit(StockMoved(stock_item_id=goods.stock_item_id, variant_id=goods.variant_id, **moved))
    await work(shop, "inventory")
    loose = await tried(shop, {"stock.oversell_limit": 1.0})
    strict = await tried(shop, {"stock.oversell_limit": 0.0})
    shown = [figure(each, "units shown", vendor)[1] for each in (loose, strict) for vendor in ("ebay", "amazon")]
    decisions = loose.by_agent["inventory"].decisions
    assert sum(shown[:2]) == 2 * decisions and sum(shown[2:]) == decisions, "of a single unit one channel shows it"
    assert figure(strict, "sold twice")[1] == 0 < figure(loose, "sold twice")[1]
    assert figure(strict, "sales not seen")[1] > figure(loose, "sales not seen")[1] == 0


async def sell(shop: Shop, account: AccountRef, goods: Goods, units: int, *, days: float) -> ChannelOrder:
    told = shop.order({goods.sku: units})
    placed = utc_now() - timedelta(days=days)
    told = told.model_copy(update={"placed_at": placed, "modified_at": placed})
    async with shop.unit() as unit:
        await orders.ingest_order(unit, account, told)
    return told


async def moved(shop: Shop, goods: Goods) -> None:
    """The inventory agent looks at the item anew."""
    async with shop.unit() as unit:
        units = {"kind": "receive", "quantity": 1, "on_hand": 1, "reserved": 0}
        unit.emit(StockMoved(stock_item_id=goods.stock_item_id, variant_id=goods.variant_id, **units))
    await work(shop, "inventory")


async def called_off(shop: Shop, account: AccountRef, told: ChannelOrder) -> None:
    gone = told.model_copy(update={"status": "cancelled", "holds_stock": False, "modified_at": utc_now()})
    async with shop.unit() as unit:
        await orders.ingest_order(unit, account, gone)


async def receive(shop: Shop, goods: Goods, units: int) -> None:
    async with shop.unit() as unit:
        await stock.receive(unit, goods.variant_id, units, key=f"more:{new_id()}", mode="escrow")
    await work(shop, "inventory")


async def test_another_window_of_demand_shares_partitioned_goods_out_otherwise(shop: Shop) -> None:
    """Ten days ago one channel sold six, two days ago the other sold two. They have four and eight; twenty come in. By
    two weeks their parts are seven and three, so they get 18 and 2; by one week they are one and three: 4 and 16."""
    first, second = await shop.account("ebay"), await shop.account("amazon")
    goods = await shop.variant(units=20)
    listings = [await shop.listing(each, goods, units=10) for each in (first, second)]
    old = await sell(shop, first, goods, 6, days=10)
    await sell(shop, second, goods, 2, days=2)
    await work(shop, "inventory")
    await receive(shop, goods, 20)
    (shared,) = await shop.rows("SELECT payload FROM proposal WHERE command = 'AllocateStock'")
    assert [shared.payload["shares"][str(each)] for each in listings] == [22, 10]

    month, week = [await tried(shop, {"stock.demand_window_days": days}) for days in (30, 7)]
    assert (month.changed, month.cannot, week.changed, week.cannot) == (0, {}, 1, {})
    sides = [figure(week, "units shared out", vendor) for vendor in ("ebay", "amazon")]
    assert [now - then for then, now in sides] == [-14, 14]

    await called_off(shop, first, old)
    again = await tried(shop, {"stock.demand_window_days": 7})
    assert (again.changed, again.cannot) == (1, {}), "it was not called off yet when it was decided"
    async with shop.unit() as unit:
        await unit.session.execute(
            text("UPDATE order_line SET quantity = quantity + 1 WHERE sku = :sku"), {"sku": goods.sku}
        )
    lost = await tried(shop, {"stock.demand_window_days": 7})
    assert lost.cannot == {"what had been sold by then is not in the books any more as it was": lost.decisions}


async def test_what_was_called_off_before_it_was_decided_counts_in_no_window(shop: Shop) -> None:
    first, second = await shop.account("ebay"), await shop.account("amazon")
    goods = await shop.variant(units=20)
    for each in (first, second):
        await shop.listing(each, goods, units=10)
    await called_off(shop, first, await sell(shop, first, goods, 6, days=10))
    await work(shop, "inventory")
    await receive(shop, goods, 20)
    found = await tried(shop, {"stock.demand_window_days": 7})
    assert found.decisions == found.unchanged > 0 and found.by_agent["inventory"].decisions > 1


async def test_another_window_of_demand_is_tried_on_shared_shelves(shop: Shop) -> None:
    """Forty days on show on one channel with one sale a day, none on the other: a short past says less of that."""
    goods = await shop.variant(units=2, mode="pooled")
    listings = []
    for vendor in ("ebay", "amazon"):
        place = await shop.account(vendor, stock_mode="pooled")  # type: ignore[arg-type]
        listings.append(await shop.listing(place, goods, units=0))
    async with shop.unit() as unit:
        for listing, sold in zip(listings, (40, 0), strict=True):
            seen = update(Allocation).where(Allocation.listing_id == listing)
            await unit.session.execute(seen.values(sold=sold, shown_seconds=40 * 86_400.0))
    await moved(shop, goods)
    long, short = [await tried(shop, {"stock.demand_window_days": days}) for days in (40, 1)]
    assert long.cannot == short.cannot == {}
    risks = [figure(each, "sold twice") for each in (long, short)]
    assert risks[0][0] == risks[1][0] and risks[0][1] != risks[1][1]


async def test_sharing_the_shelf_is_tried_where_it_was_partitioned(shop: Shop) -> None:
    """The only unit is one channel's. Shared, both show it as long as selling it twice is no matter."""
    goods = await shop.variant(units=1)
    for vendor, units in (("ebay", 1), ("amazon", 0)):
        await shop.listing(await shop.account(vendor), goods, units=units)  # type: ignore[arg-type]
    await moved(shop, goods)
    assert (await tried(shop, {"stock.mode": "escrow"})).changed == 0
    found = await tried(shop, {"stock.mode": "pooled", "stock.oversell_limit": 1.0})
    decided = found.by_agent["inventory"].decisions
    assert found.changed == decided > 0 and found.cannot == {}
    assert [figure(found, "units shown", each) for each in ("ebay", "amazon")] == [(decided, decided), (0, decided)]
    then, now = figure(found, "sold twice")
    assert then == 0 < now
    strict = await tried(shop, {"stock.mode": "pooled", "stock.oversell_limit": 0.0})
    assert figure(strict, "sold twice") == (0, 0)
    assert "sales not seen" not in {each.name for each in found.figures}, "of partitioned goods that is not known"


async def test_partitioning_the_shelf_is_tried_where_it_was_shared(shop: Shop) -> None:
    """A week ago one channel sold two, a day ago the other one: of three left each gets what it sells."""
    accounts = [await shop.account(vendor, stock_mode="pooled") for vendor in ("ebay", "amazon")]  # type: ignore[arg-type]
    goods = await shop.variant(units=6, mode="pooled")
    for each in accounts:
        await shop.listing(each, goods, units=0)
    await sell(shop, accounts[0], goods, 2, days=7)
    await sell(shop, accounts[1], goods, 1, days=1)
    await work(shop, "inventory")
    found = await tried(shop, {"stock.mode": "escrow"})
    assert found.cannot == {} and figure(found, "sold twice")[1] == 0
    decided = found.by_agent["inventory"].decisions
    shown = [figure(found, "units shown", each) for each in ("ebay", "amazon")]
    assert sum(now for _, now in shown) == 3 * decided < sum(then for then, _ in shown), "no unit is on show twice"
    assert all(now > 0 for _, now in shown)
