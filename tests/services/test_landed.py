"""Goods that arrive with their cost: the unit cost prices are built on follows, and valuations add up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from shop import Goods, Shop, dollars

from flipsync.domain.clock import utc_now
from flipsync.domain.errors import InvalidInput, NotFound
from flipsync.domain.events import CostChanged
from flipsync.domain.ids import new_id
from flipsync.domain.money import Money
from flipsync.services import landed, stock
from flipsync.services.fees import Receipt
from flipsync.services.landed import costed, unit_cost
from flipsync.store.models import Variant

DAY = datetime(2026, 5, 1, tzinfo=UTC)


async def arrive(shop: Shop, goods: Goods, units: int, minor: int, *, key: str = "") -> None:
    async with shop.unit() as unit:
        await landed.receive(
            unit, goods.variant_id, units, dollars(minor), key=key or f"delivery:{new_id()}", mode="escrow"
        )


async def cost_of(shop: Shop, goods: Goods) -> Any:
    async with shop.store.reader(shop.tenant_id) as session:
        return await session.get_one(Variant, goods.variant_id)


async def test_the_unit_cost_is_the_moving_average_and_is_told(shop: Shop) -> None:
    goods = await shop.variant(cost=None)
    await arrive(shop, goods, 10, 10_00)
    assert (await cost_of(shop, goods)).cost_minor == 100
    await arrive(shop, goods, 5, 8_00)
    variant = await cost_of(shop, goods)
    assert variant.cost_minor == 120 and utc_now() - variant.cost_as_of < timedelta(minutes=1)
    assert [event["cost"]["amount_minor"] for event in await shop.events(CostChanged)] == [100, 120]
    assert (await shop.item(goods)).on_hand == 15


async def test_half_a_cent_is_a_cent_to_the_floor_and_a_repeat_changes_nothing(shop: Shop) -> None:
    goods = await shop.variant(cost=None)
    for _ in range(2):
        await arrive(shop, goods, 3, 10_00, key="the same delivery")
    assert (await cost_of(shop, goods)).cost_minor == 334
    assert (await shop.item(goods)).on_hand == 3
    assert len(await shop.rows("SELECT id FROM stock_receipt")) == 1


async def test_what_left_by_count_is_valued_by_either_method(shop: Shop) -> None:
    goods = await shop.variant(cost=None)
    await arrive(shop, goods, 10, 10_00)
    await arrive(shop, goods, 10, 20_00)
    async with shop.unit() as unit:
        await stock.count(unit, goods.stock_item_id, 8, key=f"count:{new_id()}")
    async with shop.store.reader(shop.tenant_id) as session:
        by_age = await landed.valuation(session, goods.stock_item_id, "fifo")
        average = await landed.valuation(session, goods.stock_item_id, "average")
    assert by_age is not None and average is not None
    assert (by_age.cost, by_age.left_units, by_age.left_cost) == (14_00, 8, 16_00)
    assert (average.cost, average.left_units, average.left_cost) == (18_00, 8, 12_00)


async def test_goods_without_a_receipt_have_no_valuation(shop: Shop) -> None:
    goods = await shop.variant(units=4)
    async with shop.store.reader(shop.tenant_id) as session:
        assert await landed.valuation(session, goods.stock_item_id, "fifo") is None


@pytest.mark.parametrize("cost", [Money(amount_minor=500, currency="EUR"), dollars(0), dollars(-5)])
async def test_an_impossible_cost_is_refused_and_nothing_arrives(shop: Shop, cost: Money) -> None:
    goods = await shop.variant(cost=None)
    with pytest.raises(InvalidInput):
        async with shop.unit() as unit:
            await landed.receive(unit, goods.variant_id, 3, cost, key="k", mode="escrow")
    assert (await shop.item(goods)).on_hand == 0


async def test_another_tenants_goods_do_not_exist(shop: Shop) -> None:
    theirs = await (await Shop(shop.store).found()).variant()
    with pytest.raises(NotFound):
        await arrive(shop, theirs, 1, 1_00)


def test_stock_that_was_there_before_leaves_without_a_cost() -> None:
    received = [Receipt("r", DAY + timedelta(days=2), 5, 500)]
    assert costed(received, [(DAY, 3), (DAY + timedelta(days=3), 4), (DAY + timedelta(days=4), 4)]) == [
        (DAY + timedelta(days=3), 4),
        (DAY + timedelta(days=4), 1),
    ]
    assert unit_cost(received, [(DAY + timedelta(days=3), 9)]) == 100, "sold out: as the newest delivery"
