"""AutoListingAgent: asks when goods may not be what they say, writes what is known, prices as the owner does."""

from __future__ import annotations

from typing import Any

import pytest
from shop import Goods, Shop, dollars

from agents.logistics.auto_listing import AutoListingAgent
from agents.market.market import MarketAgent
from flipsync.domain.commands import ListOnChannel
from flipsync.domain.decisions import Decision
from flipsync.domain.events import ProductImported
from flipsync.domain.ids import new_id
from flipsync.domain.workflow_messages import ConfirmIdentity, ListingPart, SetListPrice, StockToList, WriteContent
from flipsync.services import new_stock, workflows
from flipsync.store.models import Product
from flipsync.store.repositories.new_stock import Markups, ProductRow, VariantRow

GTIN = "4006381333931"


async def decide(shop: Shop, goods: Goods, part: ListingPart) -> Decision[Any]:
    return await shop.decide(AutoListingAgent(), StockToList(product_id=goods.product_id, run_id=new_id(), part=part))


@pytest.mark.parametrize(
    ("more", "doubt"),
    [
        ({"title": "Stapler, red, thirty sheets", "barcode": GTIN}, None),
        ({"title": "Stapler, red, thirty sheets", "barcode": "4006381333932"}, "check digit is wrong"),
        ({"title": "Thing"}, "a title that could be anything"),
    ],
)
async def test_asks_whether_it_is_what_it_says(shop: Shop, more: dict[str, Any], doubt: str | None) -> None:
    goods = await shop.variant(units=1, **more)
    decision = await decide(shop, goods, "identify")
    if doubt is None:
        assert decision.is_hold
    else:
        (ask,) = decision.proposals
        assert isinstance(ask, ConfirmIdentity) and ask.owner_decides and doubt in ask.doubts[0]


async def test_a_barcode_or_a_title_that_others_have_is_a_doubt(shop: Shop) -> None:
    await shop.variant(title="Stapler, red, thirty sheets", barcode=GTIN)
    same = await shop.variant(title="Another stapler, blue", barcode=f"0{GTIN}"[:14])
    assert "is that of SKU-" in (await decide(shop, same, "identify")).rationale
    twin = await shop.variant(title="Stapler, red, thirty sheets")
    assert "has the same title" in (await decide(shop, twin, "identify")).rationale


async def test_writes_only_what_is_missing_and_known(shop: Shop) -> None:
    described = await shop.variant(title="Stapler, red, thirty sheets", description_html="<p>Staples.</p>")
    assert (await decide(shop, described, "content")).is_hold
    goods = await shop.variant(title="Stapler, <b>red</b>", barcode=GTIN, weight_grams=320, condition="used")
    async with shop.unit() as unit:
        (await unit.session.get_one(Product, goods.product_id)).brand = "Leitz & Co"
    (write,) = (await decide(shop, goods, "content")).proposals
    assert isinstance(write, WriteContent) and write.title is None
    assert write.description_html == (
        "<p>Stapler, &lt;b&gt;red&lt;/b&gt;</p><ul><li>Brand: Leitz &amp; Co</li><li>Condition: used</li>"
        f"<li>Weight: 320 g</li><li>GTIN: {GTIN}</li></ul>"
    )


def test_a_title_that_is_only_a_sku_is_replaced_when_more_is_known() -> None:
    def product(**more: Any) -> ProductRow:
        return ProductRow(
            new_id(), "SKU-1", "x", **({"brand": None, "category": None} | more), images=0, published=True
        )

    variant = VariantRow(new_id(), "sku-1", None, {"Colour": "red"}, "USD", 100, 50, None, None, 1)
    assert new_stock.words(product(brand="Leitz", category="Staplers"), [variant]).title == "Leitz Staplers red"
    assert new_stock.words(product(), [variant]).title is None, "a colour says not what it is"
    long = new_stock.words(product(brand="Leitz", category="Very " * 30), [variant]).title
    assert long is not None and len(long) <= new_stock.TITLE_LIMIT


async def test_prices_as_the_owner_prices_others_and_never_below_what_earns(shop: Shop) -> None:
    await shop.account()
    alone = await shop.variant(units=2, price=None, cost=1000)
    guess = await decide(shop, alone, "price")
    (priced,) = guess.proposals
    assert isinstance(priced, SetListPrice) and guess.confidence < AutoListingAgent.spec.authority.auto_above
    assert priced.price.amount_minor > 1000 + 450, "cost and parcel are in it"
    for _ in range(10):
        await shop.variant(price=3000, cost=1000)
    sure = await decide(shop, alone, "price")
    (priced,) = sure.proposals
    assert isinstance(priced, SetListPrice) and priced.price == dollars(3009)
    assert sure.confidence >= 0.6 and "median of 10 goods" in sure.rationale
    assert sure.stake == dollars(2 * 3009)
    unknown = await shop.variant(price=None, cost=None)
    assert "no cost is known" in (await decide(shop, unknown, "price")).rationale


def test_a_markup_that_loses_money_is_not_followed() -> None:
    from datetime import UTC, datetime

    from flipsync.services.tenant_settings import PricingChoices

    variant = VariantRow(new_id(), "s", None, {}, "USD", None, 1000, None, None, 1)
    thin = Markups(near=12, near_markup=1.05, everywhere=12, markup=1.05)
    found = new_stock.list_price(variant, thin, [("custom", "USD")], PricingChoices(), datetime(2026, 1, 1, tzinfo=UTC))
    assert found is not None and found.price.amount_minor > 1450 and "would not earn" in found.why


async def test_publishes_where_it_earns(shop: Shop) -> None:
    goods = await shop.variant(units=1)
    assert (await decide(shop, goods, "publish")).is_hold
    places = [await shop.account(vendor) for vendor in ("custom", "woocommerce")]  # type: ignore[arg-type]
    decision = await decide(shop, goods, "publish")
    assert set(decision.proposals) == {
        ListOnChannel(product_id=goods.product_id, account_id=place.id) for place in places
    }
    loss = await shop.variant(units=1, price=1100, cost=1000)
    assert (await decide(shop, loss, "publish")).is_hold


async def test_the_market_agent_leaves_new_stock_to_it_once_it_is_switched_on(shop: Shop) -> None:
    await shop.account()
    goods = await shop.variant(units=1)
    imported = ProductImported(product_id=goods.product_id, created=True)
    assert (await shop.decide(MarketAgent(), imported)).proposals
    async with shop.unit() as unit:
        await workflows.switch_on(unit, "auto-listing", by=None)
    assert (await shop.decide(MarketAgent(), imported)).is_hold
    edited = ProductImported(product_id=goods.product_id, created=False)
    assert (await shop.decide(MarketAgent(), edited)).proposals, "what is not being listed is placed as ever"
