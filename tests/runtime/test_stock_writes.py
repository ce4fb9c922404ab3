"""Quantities on their way to channels: whatever fails and whoever buys meanwhile, no unit is ever sold twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from scripted_channel import Channels, ScriptedChannel, Step
from shop import Shop
from stall import Stall, drain

from flipsync.domain import commands as c
from flipsync.domain.errors import OutcomeUnknown, Rejected, Retryable
from flipsync.domain.events import QuantityDrifted, StockFreed
from flipsync.runtime.channel_reads import SharedPull, pull_orders
from flipsync.runtime.effects import EffectWorker
from flipsync.services import stock
from flipsync.services.orders import ingest_order
from flipsync.store.unit_of_work import Cause, UnitOfWork

Hire = Callable[..., EffectWorker]
SETTLE = 0.02


async def books(stall: Stall) -> tuple[int, int, int]:
    """(reserved for buyers, what the listing may sell, of that not confirmed)."""
    share = await stall.shop.share(stall.listing)
    return (await stall.shop.item(stall.goods)).reserved, share.entitled, share.pending


def shelf(stall: Stall) -> int | None:
    return stall.channel.shelves[stall.external_id].quantity


# -- channels with compare and set ------------------------------------------------------------------------------------


@pytest.fixture
async def conditional(shop: Shop, channels: Channels) -> Stall:
    return await Stall(shop, channels).open(conditional=True, settle=SETTLE)


async def test_lowering_frees_the_units_once_the_channel_has_let_go(conditional: Stall, hire: Hire) -> None:
    await conditional.quantity(2)
    await drain(hire(), conditional.shop)
    assert shelf(conditional) == 2
    assert await books(conditional) == (0, 2, 0)
    assert (await conditional.row()).quantity_shown == 2
    assert len(await conditional.shop.events(StockFreed)) == 2, "the first goods, and the units let go"


async def test_nothing_is_freed_while_nobody_knows_whether_the_channel_let_go(conditional: Stall, hire: Hire) -> None:
    conditional.channel.script("set_quantity", Step(OutcomeUnknown("timeout"), applied=True))
    await conditional.quantity(2)
    await hire().step()
    assert await books(conditional) == (0, 5, 0)
    await drain(hire(), conditional.shop)
    assert (shelf(conditional), await books(conditional)) == (2, (0, 2, 0))


async def test_a_sale_between_reading_and_writing_is_never_overwritten(conditional: Stall, hire: Hire) -> None:
    sell = conditional.channel.sell
    conditional.channel.script("set_quantity", *[Step(before=lambda: sell(conditional.external_id))] * 2)
    effect = await conditional.quantity(4)
    await drain(hire(), conditional.shop)
    assert conditional.channel.made("set_quantity")[0].argument == 4
    assert await conditional.outcomes(effect) == ["confirmed"]
    reserved, entitled, pending = await books(conditional)
    assert (reserved, entitled, pending) == (2, shelf(conditional), 0)
    assert reserved + entitled <= 5


async def test_a_shelf_that_never_stands_still_is_tried_again_later(conditional: Stall, hire: Hire) -> None:
    busy = Step(raises=Rejected("changed", vendor_code="version"))
    conditional.channel.script("set_quantity", busy, busy, busy)
    effect = await conditional.quantity(2)
    await drain(hire(), conditional.shop)
    assert await conditional.outcomes(effect) == ["retryable", "confirmed"]


async def test_units_shown_and_sold_before_the_answer_came_are_not_shown_again(conditional: Stall, hire: Hire) -> None:
    """5 → 7 took effect, the answer was lost, two were sold: the shelf says 5 again, as before the write."""
    async with conditional.shop.unit() as unit:
        await stock.receive(unit, conditional.goods.variant_id, 2, key="two more", mode="escrow")
    conditional.channel.script("set_quantity", Step(OutcomeUnknown("timeout"), applied=True))
    await conditional.quantity(7)
    worker = hire()
    await worker.step()
    assert await books(conditional) == (0, 7, 2)
    assert shelf(conditional) == 7
    conditional.channel.sell(conditional.external_id, 2)
    await drain(worker, conditional.shop)
    assert (shelf(conditional), await books(conditional)) == (5, (2, 5, 0))


async def test_a_cancelled_sale_that_is_booked_during_a_write_keeps_its_unit(conditional: Stall, hire: Hire) -> None:
    """The channel puts the unit back on its own shelf: it must not be counted as free as well."""
    sale = conditional.channel.sell(conditional.external_id)
    assert sale is not None
    await _pull(conditional)
    stall = conditional

    class Racing(ScriptedChannel):
        async def set_quantity(self, *arguments: object) -> object:  # type: ignore[override]
            answer = await ScriptedChannel.set_quantity(self, *arguments)  # type: ignore[arg-type]
            self.cancel(sale)
            await _pull(stall)
            return answer

    stall.channel.__class__ = Racing
    await stall.quantity(2)
    await drain(hire(), stall.shop)
    reserved, entitled, _ = await books(stall)
    assert reserved == 0
    assert entitled == shelf(stall) == 3


async def test_a_cancellation_booked_before_what_was_sold_from_it_is_not_built_on(
    conditional: Stall, hire: Hire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled and sold again before we looked: shelf and books agree. Then only the cancellation is told."""
    stall, channel = conditional, conditional.channel
    sale = channel.sell(stall.external_id)
    assert sale is not None
    await _pull(stall)
    async with stall.shop.unit() as unit:
        await stock.receive(unit, stall.goods.variant_id, 1, key="one more", mode="escrow")
    channel.cancel(sale)
    channel.sell(stall.external_id)
    told, looks, entitlement = await channel.read_order(sale.external_id), [], stock.entitlement

    async def racing(unit: UnitOfWork, listing_id: UUID) -> stock.Entitlement | None:
        looks.append(listing_id)
        if len(looks) == 3:  # to choose the way, to see whether all is settled, and to grant
            async with stall.shop.unit() as other:
                await ingest_order(other, stall.account, told)
        return await entitlement(unit, listing_id)

    monkeypatch.setattr(stock, "entitlement", racing)
    await stall.quantity(5)
    await drain(hire(), stall.shop)
    await _pull(stall)
    reserved, entitled, _ = await books(stall)
    assert reserved == 1 and entitled == shelf(stall) == 5, "six units, one of them sold"


async def test_an_ignored_quantity_is_noticed(conditional: Stall, hire: Hire) -> None:
    conditional.channel.script("set_quantity", Step(ignored=True))
    effect = await conditional.quantity(1)
    await drain(hire(), conditional.shop)
    assert await conditional.outcomes(effect) == ["unknown", "confirmed"]
    assert shelf(conditional) == 1


# -- channels without: the fence --------------------------------------------------------------------------------------


@pytest.fixture
async def plain(shop: Shop, channels: Channels) -> Stall:
    return await Stall(shop, channels).open(settle=SETTLE)


async def test_a_first_quantity_goes_out_in_one_write(shop: Shop, channels: Channels, hire: Hire) -> None:
    stall = await Stall(shop, channels).open(units=0)
    async with shop.unit() as unit:
        await stock.receive(unit, stall.goods.variant_id, 4, key="four", mode="escrow")
    await stall.quantity(4)
    await drain(hire(), shop)
    assert [call.argument for call in stall.channel.made("set_quantity")] == [4]
    assert (shelf(stall), await books(stall)) == (4, (0, 4, 0))


async def test_moving_a_share_goes_through_an_empty_shelf(plain: Stall, hire: Hire) -> None:
    await plain.quantity(2)
    await drain(hire(), plain.shop)
    assert [call.argument for call in plain.channel.made("set_quantity")] == [0, 2]
    assert (shelf(plain), await books(plain)) == (2, (0, 2, 0))


async def test_sales_before_the_fence_that_are_told_late_are_not_put_back_on_sale(plain: Stall, hire: Hire) -> None:
    plain.channel.order_delay = lambda: SETTLE * 0.8
    plain.channel.script("set_quantity", Step(before=lambda: plain.channel.sell(plain.external_id, 3)))
    await plain.quantity(4)
    await drain(hire(), plain.shop)
    reserved, entitled, pending = await books(plain)
    assert (reserved, pending) == (3, 0)
    assert entitled == shelf(plain) == 1, "five were there, three are sold, and the target fell with each sale"


async def test_sales_right_after_the_shelf_is_filled_again_are_not_taken_for_an_ignored_write(
    plain: Stall, hire: Hire
) -> None:
    external_id = plain.external_id
    reads: list[Step] = [Step(), Step(), Step(before=lambda: plain.channel.sell(external_id, 2))]
    plain.channel.script("read_listing", *reads)
    effect = await plain.quantity(4)
    await drain(hire(), plain.shop)
    assert await plain.outcomes(effect) == ["confirmed"]
    assert await books(plain) == (2, 2, 0)
    assert shelf(plain) == 2


async def test_granted_units_that_sold_out_behind_a_lost_answer_are_not_granted_again(
    shop: Shop, channels: Channels, hire: Hire
) -> None:
    """0 → 3 took effect unseen and all three were sold; a more urgent effect must not take the 0 for untouched."""
    stall = await Stall(shop, channels).open(units=0, settle=SETTLE)
    async with shop.unit() as unit:
        await stock.receive(unit, stall.goods.variant_id, 6, key="six", mode="escrow")
    stall.channel.script("set_quantity", Step(OutcomeUnknown("timeout"), applied=True))
    await stall.quantity(3)
    worker = hire()
    await worker.step()
    assert (shelf(stall), await books(stall)) == (3, (0, 3, 3))
    stall.channel.sell(stall.external_id, 3)
    await stall.quantity(3, last_unit=True)
    await drain(worker, shop)
    reserved, entitled, pending = await books(stall)
    assert (reserved, pending) == (3, 0)
    assert entitled == shelf(stall)
    assert reserved + entitled <= 6


async def test_a_fence_that_the_channel_ignores_shows_nothing_new(plain: Stall, hire: Hire) -> None:
    plain.channel.script("set_quantity", Step(ignored=True))
    effect = await plain.quantity(2)
    await drain(hire(), plain.shop)
    assert await plain.outcomes(effect) == ["retryable", "confirmed"]
    assert shelf(plain) == 2


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("target", [1, 5])
async def test_units_put_back_on_an_emptied_shelf_and_sold_again_are_not_offered_once_more(
    plain: Stall, hire: Hire, target: int, told: bool
) -> None:
    """Between emptying the shelf and filling it: a cancellation is told, the sale of what it put back is not yet.

    The sale that is cancelled was told before, or is heard of only now that it is over.
    """
    cancelled = plain.channel.sell(plain.external_id, 2)
    assert cancelled is not None
    cancelled.visible_at = 0.0 if told else float("inf")
    assert await _pull(plain) == told
    sold: list[Any] = []

    def cancel_and_sell_again() -> None:
        plain.channel.cancel(cancelled)
        cancelled.visible_at = 0.0
        sold.append(plain.channel.sell(plain.external_id, 2))
        sold[0].visible_at = float("inf")

    plain.channel.script("orders", Step(before=cancel_and_sell_again))
    if target == 5:
        async with plain.shop.unit() as unit:
            await stock.receive(unit, plain.goods.variant_id, 2, key="two more", mode="escrow")
    effect = await plain.quantity(target)
    worker = hire()
    await worker.begin()
    await worker.step()
    share = await plain.shop.rows("SELECT entitled FROM allocation WHERE listing_id = :id", id=plain.listing)
    assert shelf(plain) + 2 <= share[0].entitled, "what is on offer and what was sold unseen are covered by its share"
    sold[0].visible_at = 0.0
    await drain(worker, plain.shop)
    assert (await plain.outcomes(effect))[-1] == "confirmed"
    assert await _pull(plain) in (0, 1)
    lines = await plain.shop.rows("SELECT short FROM order_line WHERE tenant_id = :tenant")
    item = await plain.shop.item(plain.goods)
    assert not any(line.short for line in lines) and item.reserved == 2
    assert shelf(plain) + item.reserved <= item.on_hand


async def test_a_write_that_is_told_twice_differs_in_its_key(plain: Stall, hire: Hire) -> None:
    """A channel that remembers keys must not answer a new attempt with an old quantity."""
    plain.channel.script("set_quantity", Step(), Step(Retryable("busy")))
    await plain.quantity(2)
    await drain(hire(), plain.shop)
    keys = [call.key for call in plain.channel.made("set_quantity")]
    assert len(keys) == len(set(keys)) > 2


# -- pooled -----------------------------------------------------------------------------------------------------------


async def test_pooled_channels_show_what_is_there(shop: Shop, channels: Channels, hire: Hire) -> None:
    stall = await Stall(shop, channels).open(units=0)
    goods = await shop.variant(units=4, mode="pooled")
    stall.goods = goods
    stall.listing = await shop.listing(stall.account, goods)
    stall.external_id = stall.channel.put(goods.sku, 0)
    effect = await stall.quantity(4)
    await drain(hire(), shop)
    assert await stall.outcomes(effect) == ["confirmed"]
    assert shelf(stall) == 4
    assert (await shop.item(goods)).allocated == 0


# -- looking ----------------------------------------------------------------------------------------------------------


async def _pull(stall: Stall) -> int:
    return await pull_orders(stall.shop.store, stall.shop.tenant_id, stall.account, stall.channel, Cause())


async def test_an_order_that_becomes_visible_after_a_newer_one_is_still_met(plain: Stall) -> None:
    late = plain.channel.sell(plain.external_id, 1)
    assert late is not None
    late.visible_at = float("inf")
    await asyncio.sleep(0.002)
    plain.channel.sell(plain.external_id, 2)
    assert [await _pull(plain), await _pull(plain)] == [1, 0]
    late.visible_at = 0.0
    assert await _pull(plain) == 1
    assert (await plain.shop.item(plain.goods)).reserved == 3


async def test_whoever_asks_for_orders_is_served_by_a_pull_that_began_later() -> None:
    """One pull for many askers, but never one that had begun before they asked: it may have missed their order."""
    begun, gate = 0, asyncio.Event()

    async def pull(cause: Cause) -> int:
        nonlocal begun
        begun += 1
        mine = begun
        await gate.wait()
        if mine == 2:
            raise Retryable("down")
        return mine

    shared = SharedPull(pull)
    first = asyncio.create_task(shared.fresh(Cause()))
    await asyncio.sleep(0.01)
    late = [asyncio.create_task(shared.fresh(Cause())) for _ in range(5)]
    await asyncio.sleep(0.01)
    assert begun == 1
    gate.set()
    assert await first == 1
    outcomes = await asyncio.gather(*late, return_exceptions=True)
    assert begun == 2 and all(isinstance(outcome, Retryable) for outcome in outcomes)
    assert await shared.fresh(Cause()) == 3, "a failed pull is not remembered"


async def test_a_shelf_that_somebody_changed_by_hand_is_noticed_but_a_sale_is_not_drift(
    plain: Stall, hire: Hire
) -> None:
    plain.channel.sell(plain.external_id, 2)
    effect = await plain.shop.enqueue(c.VerifyListings(account_id=plain.account.id), plain.account)
    worker = hire()
    await drain(worker, plain.shop)
    assert await plain.shop.events(QuantityDrifted) == []
    plain.channel.shelves[plain.external_id].quantity = 9
    effect = await plain.shop.enqueue(c.VerifyListings(account_id=plain.account.id), plain.account)
    await drain(worker, plain.shop)
    assert await plain.outcomes(effect) == ["confirmed"]
    drift = (await plain.shop.events(QuantityDrifted))[0]
    assert (drift["expected"], drift["seen"]) == (3, 9)


@pytest.mark.parametrize("compares", [True, False])
async def test_who_changed_a_shelf_that_we_write_over_is_told(
    shop: Shop, channels: Channels, hire: Hire, compares: bool
) -> None:
    stall = await Stall(shop, channels).open(conditional=compares, settle=SETTLE)
    shelf_of = stall.channel.shelves[stall.external_id]
    shelf_of.quantity, shelf_of.version = 9, 2
    await stall.quantity(2)
    await drain(hire(), shop)
    assert shelf(stall) == 2
    (told,) = await shop.events(QuantityDrifted)
    assert (told["expected"], told["seen"], told["overwritten"]) == (5, 9, True)


@pytest.mark.parametrize("compares", [True, False])
async def test_what_was_sold_or_taken_back_is_nobodys_edit(
    shop: Shop, channels: Channels, hire: Hire, compares: bool
) -> None:
    stall = await Stall(shop, channels).open(conditional=compares, settle=SETTLE)
    worker = hire()
    sale = stall.channel.sell(stall.external_id, 2)
    assert sale is not None
    await stall.quantity(4)
    await drain(worker, shop)
    stall.channel.cancel(sale)
    await stall.quantity(3)
    await drain(worker, shop)
    assert await shop.events(QuantityDrifted) == []


async def test_a_dead_workers_write_that_arrives_late_is_not_left_on_the_shelf(conditional: Stall, hire: Hire) -> None:
    """5 → 7 was sent by a worker that died; its request arrives while the next one finds 5 to be right."""
    async with conditional.shop.unit() as unit:
        await stock.receive(unit, conditional.goods.variant_id, 2, key="two more", mode="escrow")
    channel = conditional.channel
    version = str(channel.shelves[conditional.external_id].version)
    channel.script("set_quantity", Step(OutcomeUnknown("the worker died")))
    await conditional.quantity(7)
    worker = hire()
    await worker.step()
    assert await books(conditional) == (0, 7, 2)

    def arrive() -> None:
        on_shelf = channel.shelves[conditional.external_id]
        if str(on_shelf.version) == version:
            on_shelf.quantity, on_shelf.version = 7, on_shelf.version + 1

    async with conditional.shop.unit() as unit:
        await stock.set_targets(unit, conditional.goods.stock_item_id, {conditional.listing: 5})
    channel.script("orders", Step(before=arrive))
    await drain(worker, conditional.shop)
    assert (shelf(conditional), await books(conditional)) == (5, (0, 5, 0))
