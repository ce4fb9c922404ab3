"""What is bought together, counted from orders; bundles of listings as the desk is asked for them."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

import pytest
from shop import Goods, Shop, dollars

from flipsync.domain.errors import InvalidInput, NotFound
from flipsync.services.desk import Services
from flipsync.services.orders import AccountRef, ingest_order
from flipsync.services.pricing.bundles import BundleQuote
from flipsync.services.quotes import Asked


async def sold(shop: Shop, account: AccountRef, *orders: dict[str, int]) -> None:
    for lines in orders:
        async with shop.unit() as unit:
            await ingest_order(unit, account, shop.order(lines))


async def bundle(shop: Shop, quantities: Mapping[UUID, int], parcel: int | None = None) -> BundleQuote:
    async with shop.store.reader(shop.tenant_id) as session:
        return await Services(session, shop.tenant_id, shop.store.clock.now()).pricing.bundle(quantities, parcel)


async def two(shop: Shop, account: AccountRef) -> tuple[Goods, UUID, Goods, UUID]:
    pot, lid = await shop.variant(units=90, price=2999), await shop.variant(units=40, price=1999)
    listings = await shop.listing(account, pot, units=40), await shop.listing(account, lid, units=40, price=1999)
    return pot, listings[0], lid, listings[1]


async def test_orders_with_all_of_it_are_counted_once_each(shop: Shop) -> None:
    account = await shop.account()
    pot, of_pot, lid, of_lid = await two(shop, account)
    await sold(
        shop,
        account,
        {pot.sku: 1, lid.sku: 2},
        {pot.sku: 3, lid.sku: 2},
        {pot.sku: 1, lid.sku: 1},
        {pot.sku: 1},
        {lid.sku: 4},
        {lid.sku: 4},
        {lid.sku: 1},
    )
    told = await bundle(shop, {of_pot: 1, of_lid: 2})
    assert told.base == pot.sku and told.orders_seen == 4, "of the two that which sells less"
    assert told.orders_together == 2, "one order had a single lid"
    assert told.apart == dollars(2999 + 2 * 1999)
    assert {part.sku: part.quantity for part in told.parts} == {pot.sku: 1, lid.sku: 2}


async def test_a_cancelled_order_shows_no_habit(shop: Shop) -> None:
    account = await shop.account()
    pot, of_pot, lid, of_lid = await two(shop, account)
    async with shop.unit() as unit:
        told = shop.order({pot.sku: 1, lid.sku: 1}, status="cancelled", holds_stock=False)
        await ingest_order(unit, account, told)
    assert (await bundle(shop, {of_pot: 1, of_lid: 1})).orders_together == 0


async def test_a_known_parcel_costs_what_it_costs(shop: Shop) -> None:
    _, of_pot, _, of_lid = await two(shop, await shop.account())
    assert (await bundle(shop, {of_pot: 1, of_lid: 1}, 777)).sale.shipping_cost == dollars(777)


async def test_parts_are_of_one_account_on_sale_and_ours(shop: Shop) -> None:
    pot, of_pot, *_ = await two(shop, await shop.account())
    elsewhere = await shop.listing(await shop.account(name="another"), pot, units=40)
    with pytest.raises(InvalidInput, match="several accounts"):
        await bundle(shop, {of_pot: 1, elsewhere: 1})
    unpublished = await shop.listing(await shop.account(name="third"), pot, status="requested")
    with pytest.raises(NotFound, match=str(unpublished)):
        await bundle(shop, {of_pot: 1, unpublished: 1})
    with pytest.raises(InvalidInput, match="two articles or more"):
        await bundle(shop, {of_pot: 1})
    with pytest.raises(InvalidInput, match="1 to 10"):
        await bundle(shop, {})


async def test_all_listings_of_a_sku_are_asked_about(shop: Shop) -> None:
    goods = await shop.variant(units=9)
    listings = {await shop.listing(await shop.account(name=name), goods, units=4) for name in ("one", "two")}

    async def asked(sku: str) -> list[Asked]:
        async with shop.store.reader(shop.tenant_id) as session:
            return await Services(session, shop.tenant_id, shop.store.clock.now()).pricing.asked_sku(sku)

    found = await asked(goods.sku)
    assert {each.listing.listing_id for each in found} == listings
    assert all(each.listing.quote == each.rule.quote(each.request) for each in found)
    with pytest.raises(NotFound, match="no variant has the SKU"):
        await asked("NO-SUCH-SKU")
