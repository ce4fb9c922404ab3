"""Units that somebody wrote on a channel's own page, under pooled writes: told, never written over in silence."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from scripted_channel import Channels, ScriptedChannel
from shop import Shop
from stall import Stall, drain

from flipsync.domain import commands as c
from flipsync.domain.events import QuantityDrifted
from flipsync.runtime import bulk_writes, quantity_writes
from flipsync.runtime.effects import EffectWorker

Hire = Callable[..., EffectWorker]


@pytest.fixture
async def pooled(shop: Shop, channels: Channels, hire: Hire) -> Stall:
    """Nine units in the pool, four of them shown, and confirmed."""
    stall = await Stall(shop, channels).open(units=0)
    stall.goods = await shop.variant(units=9, mode="pooled")
    stall.listing = await shop.listing(stall.account, stall.goods)
    stall.external_id = stall.channel.put(stall.goods.sku, 0)
    await push(stall, hire, 4)
    assert stall.channel.shelves[stall.external_id].quantity == 4
    stall.channel.calls.clear()
    return stall


@pytest.fixture(autouse=True)
def _in_ordinary_trade(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantity_writes, "_BETWEEN_READS", 0.0)


async def push(stall: Stall, hire: Hire, units: int, *, last_unit: bool = False) -> None:
    effect = await stall.quantity(units, last_unit=last_unit)
    await drain(hire(), stall.shop)
    assert (await stall.outcomes(effect))[-1] == "confirmed"


async def told(stall: Stall) -> list[tuple[int, int, bool]]:
    events = await stall.shop.events(QuantityDrifted)
    return [(each["expected"], each["seen"], each["overwritten"]) for each in events]


def tells(channel: ScriptedChannel) -> None:
    channel.capabilities = channel.capabilities.model_copy(update={"tells_replaced": True})  # type: ignore[misc]


@pytest.mark.parametrize("answer_tells", [False, True])
async def test_units_that_somebody_wrote_are_told_once_and_the_ledger_stands(
    pooled: Stall, hire: Hire, answer_tells: bool
) -> None:
    if answer_tells:
        tells(pooled.channel)
    pooled.channel.shelves[pooled.external_id].quantity = 7
    await push(pooled, hire, 3)
    assert await told(pooled) == [(4, 7, True)] and pooled.channel.shelves[pooled.external_id].quantity == 3
    assert len(pooled.channel.made("read_listing")) == (0 if answer_tells else 1)
    await push(pooled, hire, 2)
    assert len(await told(pooled)) == 1


async def test_a_sale_nobody_has_told_yet_is_no_edit(pooled: Stall, hire: Hire) -> None:
    assert pooled.channel.sell(pooled.external_id) is not None
    await push(pooled, hire, 3)
    assert await told(pooled) == [] and pooled.channel.made("orders") == []


async def test_units_that_a_cancellation_brought_back_are_no_edit(pooled: Stall, hire: Hire) -> None:
    sale = pooled.channel.sell(pooled.external_id, 2)
    assert sale is not None
    await pooled.shop.enqueue(c.PullOrders(account_id=pooled.account.id), pooled.account)
    await drain(hire(), pooled.shop)
    await push(pooled, hire, 2)
    pooled.channel.cancel(sale)  # four are on the shelf again, and nobody was told
    await push(pooled, hire, 3)
    assert await told(pooled) == []
    assert len(pooled.channel.made("orders")) > 1, "it was asked for before anybody was blamed"


async def test_what_is_known_to_come_back_later_is_not_held_against_anybody(pooled: Stall, hire: Hire) -> None:
    pooled.channel.shelves[pooled.external_id].quantity = 3  # what is wished for stands there already
    await push(pooled, hire, 3)
    pooled.channel.shelves[pooled.external_id].quantity = 8
    await push(pooled, hire, 8)
    assert await told(pooled) == [], "nothing was written over"


async def test_a_last_unit_waits_for_no_look(pooled: Stall, hire: Hire) -> None:
    pooled.channel.shelves[pooled.external_id].quantity = 7
    await push(pooled, hire, 0, last_unit=True)
    assert [call.method for call in pooled.channel.calls] == ["set_quantity"] and await told(pooled) == []
    tells(pooled.channel)
    pooled.channel.shelves[pooled.external_id].quantity = 7
    await push(pooled, hire, 1, last_unit=True)
    assert await told(pooled) == [(0, 7, True)], "where the answer tells, it costs nothing"


async def test_whoever_writes_many_times_a_second_does_not_read_before_each(
    pooled: Stall, hire: Hire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantity_writes, "_BETWEEN_READS", 3600.0)
    quantity_writes._read_at.clear()
    for units in (3, 2, 1):
        await push(pooled, hire, units)
    assert len(pooled.channel.made("read_listing")) == 1


async def test_an_order_that_cannot_be_read_may_be_the_reason(pooled: Stall, hire: Hire) -> None:
    sale = pooled.channel.sell(pooled.external_id)
    assert sale is not None
    pooled.channel.unreadable[sale.external_id] = "id"
    pooled.channel.shelves[pooled.external_id].quantity = 7
    await push(pooled, hire, 3)
    assert await told(pooled) == []


def test_a_call_of_any_vendors_reads_them_all() -> None:
    assert bulk_writes.READ_FIRST == 20, "Amazon tells 20 listings a call, eBay 25, WooCommerce 100"
