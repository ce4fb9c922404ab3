"""From rows to what the pricing policy and the firewall are asked: every unknown stays unknown."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from shop import Goods, Shop, dollars

from flipsync.domain.clock import utc_now
from flipsync.domain.ids import new_id
from flipsync.domain.money import Money
from flipsync.services import suppliers
from flipsync.services.desk import Services
from flipsync.services.orders import ingest_order
from flipsync.services.quotes import WINDOW, ceiling_of, fee_schedule, proposal_for, request_for
from flipsync.services.suppliers import OfferForm, SupplierForm
from flipsync.services.tenant_settings import PricingChoices
from flipsync.store.models import PriceChange, StockMovement
from flipsync.store.repositories import listings as listing_rows
from flipsync.store.repositories import pricing as pricing_rows
from flipsync.store.repositories.price_brakes import CatalogueSize, HourOfMoves
from flipsync.store.repositories.pricing import PriceRow

CHOICES = PricingChoices()
#: an hour in which nothing moved
STILL = HourOfMoves(CatalogueSize(1, 2999), 0, 0)


async def row_of(shop: Shop, listing: Any) -> PriceRow:
    async with shop.store.reader(shop.tenant_id) as session:
        now = shop.store.clock.now()
        return (await pricing_rows.rows(session, since=now - WINDOW, listing_ids=[listing], now=now))[0]


async def test_what_is_unknown_reaches_the_firewall_as_unknown(shop: Shop) -> None:
    goods = await shop.variant(price=None, cost=None)
    row = await row_of(shop, await shop.listing(await shop.account(), goods))
    proposal = proposal_for(row, dollars(3000), CHOICES, utc_now(), STILL)
    assert (proposal.unit_cost, proposal.cost_as_of, proposal.ceiling, proposal.floor) == (None, None, None, None)


async def test_who_is_put_first_is_kept_until_somebody_else_is(shop: Shop) -> None:
    listing = await shop.listing(await shop.account(), await shop.variant(units=5), units=5)

    async def seen(first: str | None, *sellers: str) -> dict[str, bool]:
        rows = [
            {
                "listing_id": listing,
                "seller": seller,
                "price_minor": 2500,
                "currency": "USD",
                "in_stock": True,
                "seen_at": utc_now(),
                "featured": seller == first,
            }
            for seller in sellers
        ]
        async with shop.unit() as unit:
            await listing_rows.record_rivals(unit, rows, [listing], unit.now)
        return {rival.seller: rival.featured for rival in (await row_of(shop, listing)).rivals}

    assert await seen("a", "a", "b") == {"a": True, "b": False}
    assert await seen("b", "a", "b") == {"a": False, "b": True}
    assert await seen(None, "a") == {"a": False, "b": False}, "who is gone is not first"
    request = request_for(await row_of(shop, listing), CHOICES, utc_now())
    assert request is not None and not any(rival.featured for rival in request.rivals)


async def test_more_of_the_goods_takes_as_long_as_the_quickest_supplier_that_offers_them(shop: Shop) -> None:
    goods = await shop.variant(units=5)
    listing = await shop.listing(await shop.account(), goods, units=5)
    assert (await row_of(shop, listing)).restock_days is None
    now = utc_now()
    offers = {3.0: {"valid_until": now - timedelta(days=1)}, 9.0: {}, 21.0: {}}
    made = {}
    async with shop.unit() as unit:
        for days, form in offers.items():
            seller = await suppliers.create(unit, SupplierForm(name=f"{days} days {new_id()}", lead_mean_days=days))
            await unit.session.flush()
            await suppliers.put_offer(unit, seller.id, goods.variant_id, OfferForm(pack_cost_minor=500, **form))
            made[days] = seller.id
    request = request_for(await row_of(shop, listing), CHOICES, now)
    assert request is not None and request.restock_days == 9.0, "what is no longer offered does not count"


async def test_the_ceiling_is_the_owners_else_a_multiple_of_list_price(shop: Shop) -> None:
    account = await shop.account()
    bounded = await row_of(shop, await shop.listing(account, await shop.variant(ceiling_minor=3500)))
    unbounded = await row_of(shop, await shop.listing(account, await shop.variant()))
    assert ceiling_of(bounded, CHOICES) == 3500
    assert ceiling_of(unbounded, CHOICES) == 2 * 2999


async def test_the_moves_of_a_day_are_counted_and_the_first_price_is_no_move(shop: Shop) -> None:
    goods = await shop.variant(units=1)
    listing = await shop.listing(await shop.account(), goods, units=1)
    now = utc_now()
    moves = [(30, 2500, 2700), (20, None, 2500), (5, 2700, 2900), (1, 2900, 2800)]
    async with shop.unit() as unit:
        for hours, old, new in moves:
            unit.session.add(
                PriceChange(
                    tenant_id=shop.tenant_id,
                    listing_id=listing,
                    old_minor=old,
                    new_minor=new,
                    currency="USD",
                    floor_minor=1,
                    effect_id=new_id(),
                    at=now - timedelta(hours=hours),
                )
            )
    proposal = proposal_for(await row_of(shop, listing), dollars(2900), CHOICES, now, STILL)
    assert (proposal.changes_24h, proposal.moved_24h) == (2, dollars(300))


async def test_the_policy_sees_periods_sales_and_stock(shop: Shop) -> None:
    account, goods = await shop.account(), await shop.variant(units=9)
    listing = await shop.listing(account, goods, units=9)
    async with shop.unit() as unit:
        await ingest_order(unit, account, shop.order({goods.sku: 2}))
    now = utc_now()
    request = request_for(await row_of(shop, listing), CHOICES, now)
    assert request is not None
    assert request.stock == 7
    assert sum(period.units for period in request.history) == 2
    assert sum(period.exposure_hours for period in request.history) == pytest.approx(72, abs=0.1)
    assert request.days_since_last_sale < 1


async def test_hours_with_an_empty_shelf_are_no_exposure(shop: Shop) -> None:
    goods = await shop.variant(units=5)
    listing = await shop.listing(await shop.account(), goods, units=5)
    (begun,) = await shop.rows("SELECT stock_item_id, at FROM stock_movement")
    now = utc_now()

    async def hours() -> float:
        request = request_for(await row_of(shop, listing), CHOICES, now)
        assert request is not None
        return sum(period.exposure_hours for period in request.history)

    assert await hours() == pytest.approx(72, abs=0.1), "nobody knows the shelf before its ledger began"
    async with shop.unit() as unit:
        for days, kind, delta in ((20.0, "receive", 5), (2.5, "ship", -5), (2.0, "receive", 4), (1.0, "ship", -4)):
            unit.session.add(
                StockMovement(
                    tenant_id=shop.tenant_id,
                    stock_item_id=begun.stock_item_id,
                    kind=kind,
                    on_hand_delta=delta,
                    key=str(new_id()),
                    at=now - timedelta(days=days),
                )
            )
    assert (await row_of(shop, listing)).empty == [
        (now - timedelta(days=2.5), now - timedelta(days=2.0)),
        (now - timedelta(days=1.0), begun.at),
    ]
    assert await hours() == pytest.approx(72 - 12 - 24, abs=0.1)
    async with shop.store.reader(shop.tenant_id) as session:
        late = now - timedelta(days=2.25)
        (row,) = await pricing_rows.rows(session, since=late, listing_ids=[listing])
        (same,) = (each for each in await pricing_rows.rows(session, since=late) if each.listing_id == listing)
    assert row.empty[0] == (late, now - timedelta(days=2.0)), "empty before, and until it came in"
    assert row.empty == same.empty


async def test_an_empty_shelf_is_empty_until_something_comes(shop: Shop) -> None:
    account, goods = await shop.account(), await shop.variant(units=2)
    listing = await shop.listing(account, goods, units=2)
    async with shop.unit() as unit:
        await ingest_order(unit, account, shop.order({goods.sku: 2}))
    ((begin, until),) = (await row_of(shop, listing)).empty
    assert until is None and begin <= utc_now()
    request = request_for(await row_of(shop, listing), CHOICES, begin + timedelta(days=2))
    assert request is not None
    assert sum(period.exposure_hours for period in request.history) == pytest.approx(72, abs=0.1)


async def test_a_listing_without_a_price_is_not_asked_about(shop: Shop) -> None:
    goods = await shop.variant(units=1)
    listing = await shop.listing(await shop.account(), goods, price=None, status="requested")
    assert request_for(await row_of(shop, listing), CHOICES, utc_now()) is None


def test_fees_come_from_the_vendor_or_the_owner() -> None:
    stripe, own = fee_schedule("woocommerce", "USD", CHOICES), fee_schedule("custom", "EUR", CHOICES)
    assert stripe is not None and own is not None
    assert (stripe.currency, own.currency) == ("USD", "EUR")
    assert stripe.terms(utc_now()) and own.terms(utc_now())
    shopify, abroad = fee_schedule("shopify", "USD", CHOICES), fee_schedule("shopify", "CAD", CHOICES)
    assert shopify is not None and abroad is not None
    assert shopify.rules[0].rate_bps == 290 and "owner's setting" in abroad.rules[0].source


async def test_a_sale_at_list_price_is_worth_what_is_left_after_fees_cost_and_shipping(shop: Shop) -> None:
    goods: Goods = await shop.variant()
    account = await shop.account()
    async with shop.store.reader(shop.tenant_id) as session:
        desk = Services(session, shop.tenant_id, shop.store.clock.now()).pricing
        (margin,) = await desk.list_margins(goods.product_id, [(account.id, "custom", "USD")])
    # 29.99 less 12 % of it, 10.00 of cost and 4.50 of shipping
    assert margin.net == Money(amount_minor=2999 - 360 - 1000 - 450, currency="USD")
