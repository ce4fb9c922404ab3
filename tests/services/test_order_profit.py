"""What one order earns, from the books: fees with their sources, refunds, cost, and the channel's own word."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from shop import Goods, Shop, dollars, open_store, refund

from flipsync.domain.channel import Vendor
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import NotFound
from flipsync.domain.ids import new_id
from flipsync.services import orders
from flipsync.services.order_profit import OrderProfit, order_profit
from flipsync.store.database import SessionReader


@pytest.fixture
async def shop(database_urls: dict[str, str]) -> AsyncIterator[Shop]:
    store = open_store(database_urls["worker"])
    yield Shop(store)
    await store.aclose()


async def sold(
    shop: Shop, vendor: Vendor, *, units: int = 1, fee: int | None = None, **order: Any
) -> tuple[UUID, Goods]:
    account, goods = await shop.account(vendor), await shop.variant(units=9, cost=1_000)
    await shop.listing(account, goods, units=9)
    told = shop.order({goods.sku: units}, **order)
    if fee is not None:
        told = told.model_copy(update={"channel_fee": dollars(fee)})
    async with shop.unit() as unit:
        result = await orders.ingest_order(unit, account, told)
    assert result.order_id is not None
    return result.order_id, goods


async def profit(shop: Shop, order_id: UUID) -> OrderProfit:
    async with shop.store.reader(shop.tenant_id) as session:
        return await order_profit(SessionReader(session), order_id)


async def test_every_fee_has_its_source_and_the_rest_is_profit(shop: Shop) -> None:
    await shop.found()
    order_id, _ = await sold(shop, "ebay", units=2)
    told = await profit(shop, order_id)
    assert {fee.kind: fee.amount for fee in told.fees} == {"final_value": dollars(816), "per_order": dollars(40)}
    assert all("(" in fee.source for fee in told.fees)
    assert (told.gross, told.net, told.profit) == (dollars(5_998), dollars(5_142), dollars(3_142))
    assert told.told_by_channel is None and told.differences == []


async def test_how_the_account_sells_is_the_owners_setting(shop: Shop) -> None:
    ebay = {"category": "books and media", "flags": ["no_store", "promoted"], "ad_rate_bps": 500}
    await shop.found(pricing={"fees": {"ebay": ebay}})
    order_id, _ = await sold(shop, "ebay")
    assert {fee.kind: fee.amount for fee in (await profit(shop, order_id)).fees} == {
        "final_value": dollars(459),
        "promoted_general": dollars(150),
        "per_order": dollars(40),
    }


@pytest.mark.parametrize(
    ("fee", "named"), [(360, []), (361, [("rounding", 1)]), (450, [("wrong_rate", 90)]), (None, [])]
)
async def test_what_the_channel_keeps_beyond_that_is_named(
    shop: Shop, fee: int | None, named: list[tuple[str, int]]
) -> None:
    """The custom channel's 12 % is the owner's setting: 3.60 of 29.99."""
    await shop.found()
    order_id, _ = await sold(shop, "custom", fee=fee)
    told = await profit(shop, order_id)
    assert [(each.named, each.amount.amount_minor) for each in told.differences] == named


async def test_a_refund_takes_the_sale_back_and_the_fees_that_come_back(shop: Shop) -> None:
    await shop.found()
    order_id, _ = await sold(shop, "amazon", refunds=(refund("r", utc_now(), line_0=1),))
    told = await profit(shop, order_id)
    kinds = [(fee.kind, fee.amount.amount_minor) for fee in told.fees]
    given_back = told.refunded.amount_minor
    assert given_back > 0 and ("referral", 450) in kinds
    assert ("refund_administration", 90) in kinds or given_back < 2_999
    assert told.net.amount_minor == 2_999 - given_back - sum(amount for _, amount in kinds)


async def test_a_cost_that_is_not_known_is_not_zero(shop: Shop) -> None:
    await shop.found()
    account, goods = await shop.account("shopify"), await shop.variant(units=3, cost=None)
    await shop.listing(account, goods, units=3)
    async with shop.unit() as unit:
        result = await orders.ingest_order(unit, account, shop.order({goods.sku: 1}))
    assert result.order_id is not None
    told = await profit(shop, result.order_id)
    assert (told.cost_of_goods, told.profit) == (None, None) and told.net == dollars(2_999 - 117)


async def test_another_tenants_order_does_not_exist(shop: Shop) -> None:
    await shop.found()
    theirs, _ = await sold(await Shop(shop.store).found(), "ebay")
    for stranger in (theirs, new_id()):
        with pytest.raises(NotFound):
            await profit(shop, stranger)
