"""Orders as a broken channel tells them: booked as they are where that is possible, and never the end of all others."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from shop import Shop
from stall import Stall, drain

from flipsync.domain import commands as c
from flipsync.domain.channel import Address, ChannelOrder
from flipsync.domain.clock import utc_now
from flipsync.runtime.effects import EffectWorker
from flipsync.services.orders import ingest_order
from flipsync.store.repositories import accounts as account_rows

Hire = Callable[..., EffectWorker]
WORDS = (
    "'; DROP TABLE customer_order; --",
    "nul\0 half \ud83d",
    "=1+1",
    "<script>alert(1)</script>",
    "\u202e\u0627\u0628\u062c \u200b\u2060",
    "\U0001fad6\U0001d57f" * 50,
    "x" * 100_000,
)


def told(shop: Shop, sku: str, words: str, *, at: datetime | None = None, units: int = 1) -> ChannelOrder:
    order = shop.order({sku: units})
    lines = tuple(line.model_copy(update={"title": words}) for line in order.lines)
    return ChannelOrder.model_validate(
        order.model_dump()
        | {
            "lines": [line.model_dump() for line in lines],
            "number": words[:100],
            "vendor_status": words[:100],
            "buyer_note": words,
            "ship_to": dict.fromkeys(Address.model_fields, words[:200]),
            **({"placed_at": at, "modified_at": at} if at else {}),
        }
    )


@pytest.mark.parametrize("words", WORDS, ids=[word[:12].encode("ascii", "replace").decode() for word in WORDS])
async def test_an_order_with_any_words_is_booked(shop: Shop, words: str) -> None:
    account = await shop.account()
    goods = await shop.variant(units=5)
    await shop.listing(account, goods, units=5)
    async with shop.unit() as unit:
        result = await ingest_order(unit, account, told(shop, goods.sku, words))
    assert (result.outcome, result.short_units) == ("created", 0)
    assert (await shop.item(goods)).reserved == 1


@pytest.mark.parametrize("year", [1900, 2100])
async def test_an_order_of_any_year_is_booked(shop: Shop, year: int) -> None:
    account = await shop.account()
    goods = await shop.variant(units=5)
    await shop.listing(account, goods, units=5)
    async with shop.unit() as unit:
        result = await ingest_order(unit, account, told(shop, goods.sku, "x", at=datetime(year, 2, 28, tzinfo=UTC)))
    assert result.outcome == "created"


async def test_more_units_than_anybody_has_are_short(shop: Shop) -> None:
    account = await shop.account()
    goods = await shop.variant(units=5)
    await shop.listing(account, goods, units=5)
    order = told(shop, goods.sku, "x", units=10**12)
    async with shop.unit() as unit:
        result = await ingest_order(unit, account, order)
    assert result.short_units == 10**12 - 5
    item = await shop.item(goods)
    assert (item.reserved, item.on_hand) == (5, 5)


async def test_an_order_from_the_future_does_not_hide_those_of_tomorrow(stall: Stall, hire: Hire, shop: Shop) -> None:
    strange = stall.channel.sell(stall.external_id)
    assert strange is not None
    strange.modified_at = datetime(2100, 1, 1, tzinfo=UTC)
    for _ in range(2):  # met a second time, it would have moved the cursor
        await shop.enqueue(c.PullOrders(account_id=stall.account.id), stall.account)
        await drain(hire(), shop)
    async with shop.store.reader(shop.tenant_id) as session:
        account = await account_rows.get_account(session, stall.account.id)
    assert account is not None and account.orders_cursor is not None
    assert account.orders_cursor < utc_now() + timedelta(seconds=1)
    assert stall.channel.sell(stall.external_id) is not None
    await shop.enqueue(c.PullOrders(account_id=stall.account.id), stall.account)
    await drain(hire(), shop)
    assert (await shop.item(stall.goods)).reserved == 2
