"""Receipts that are written together, and effects that are begun as soon as they can be."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
from scripted_channel import Channels, Step
from shop import Shop
from sqlalchemy.exc import DBAPIError
from stall import Stall, drain

from flipsync.connectors.base import Unlimited
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import Retryable
from flipsync.runtime.effects import EffectWorker
from flipsync.runtime.mailbox import Mailbox
from flipsync.runtime.receipts import Receipts
from flipsync.store.repositories import effects as effect_rows
from flipsync.store.repositories.effects import ClaimedEffect, Outcome

Hire = Callable[..., EffectWorker]


@pytest.fixture
async def stalls(shop: Shop, channels: Channels) -> list[Stall]:
    """Four stalls, each with one quantity to show."""
    opened = [await Stall(shop, channels).open(units=5) for _ in range(4)]
    for stall in opened:
        await stall.quantity(4)
    return opened


async def claim(shop: Shop) -> list[ClaimedEffect]:
    async with shop.store.database.unbound() as session:
        return (await effect_rows.claim(session, owner="test:1", limit=50, lease_seconds=60)).effects


def confirmed(stall: Stall | None = None, *, detail: str = "done") -> Outcome:
    shown = (stall.listing, 4) if stall else None
    return Outcome("confirmed", "confirmed", utc_now(), detail=detail, shown=shown)


async def test_what_ends_at_one_time_is_written_in_one_transaction(shop: Shop, stalls: list[Stall]) -> None:
    receipts = Receipts(shop.store)
    effects = await claim(shop)
    by_listing = {stall.listing: stall for stall in stalls}
    await asyncio.gather(*(receipts.write(each, confirmed(by_listing[each.subject_id])) for each in effects))
    rows = await shop.rows("SELECT xmin::text AS written, outcome FROM receipt")
    assert len(rows) == 4 and len({row.written for row in rows}) == 1
    assert [(await stall.row()).quantity_shown for stall in stalls] == [4] * 4
    assert {(await shop.effect(each.id)).state for each in effects} == {"confirmed"}


async def test_one_receipt_that_cannot_be_written_does_not_take_the_others_with_it(
    shop: Shop, stalls: list[Stall]
) -> None:
    receipts = Receipts(shop.store)
    effects = await claim(shop)
    details = ["fine", "\0", "fine", "fine"]  # PostgreSQL takes no NUL in a text
    results = await asyncio.gather(
        *(receipts.write(each, confirmed(detail=detail)) for each, detail in zip(effects, details, strict=True)),
        return_exceptions=True,
    )
    assert [isinstance(result, DBAPIError) for result in results] == [False, True, False, False]
    states = [(await shop.effect(each.id)).state for each in effects]
    assert states == ["confirmed", "leased", "confirmed", "confirmed"]


async def test_of_a_lost_lease_nothing_is_written(
    shop: Shop, stalls: list[Stall], as_owner: Callable[..., None]
) -> None:
    receipts = Receipts(shop.store)
    effects = await claim(shop)
    lost = stalls[0]
    as_owner("UPDATE effect SET epoch = epoch + 1 WHERE subject_id = :listing", listing=lost.listing)
    booked: list[bool] = []

    async def book(_: Any) -> None:
        booked.append(True)

    by_listing = {stall.listing: stall for stall in stalls}
    await asyncio.gather(*(receipts.write(each, confirmed(by_listing[each.subject_id])) for each in effects))
    (mine,) = [each for each in effects if each.subject_id == lost.listing]
    await receipts.write(mine, confirmed(), book)
    assert len(await shop.rows("SELECT 1 FROM receipt")) == 3
    assert booked == []
    assert (await lost.row()).quantity_shown == 5
    assert (await shop.effect(mine.id)).state == "leased"


async def test_pooled_listings_of_one_claim_are_granted_together_and_shown_each(
    shop: Shop, channels: Channels, hire: Hire
) -> None:
    goods = await shop.variant(units=7, mode="pooled")
    shelves = []
    for _ in range(3):
        stall = await Stall(shop, channels).open(units=0)
        stall.goods, stall.listing = goods, await shop.listing(stall.account, goods)
        stall.external_id = stall.channel.put(goods.sku, 0)
        shelves.append(stall)
    effects = [await stall.quantity(7) for stall in shelves]
    ended = shelves[2]
    async with shop.unit() as unit:
        (await unit.session.get_one(type(await ended.row()), ended.listing)).status = "ended"
    await drain(hire(), shop)
    assert [stall.channel.shelves[stall.external_id].quantity for stall in shelves] == [7, 7, 0]
    assert [(await shop.effect(each)).state for each in effects] == ["confirmed", "confirmed", "rejected"]
    assert [(await shop.share(stall.listing)).entitled for stall in shelves] == [7, 7, 0]
    written = await shop.rows("SELECT DISTINCT xmin::text FROM allocation WHERE entitled = 7")
    assert len(written) == 1, "one grant for both"


# -- the loop ---------------------------------------------------------------------------------------------------------


@pytest.fixture
async def at_work(shop: Shop, channels: Channels, redis_url: str) -> AsyncIterator[EffectWorker]:
    """A worker that nobody tells of anything."""
    mailbox = Mailbox(redis_url, ["nobody rings here"])
    worker = EffectWorker(shop.store, shop.box, Unlimited(), shop.firewall, mailbox, width=2)
    yield worker
    await worker.aclose()
    await mailbox.aclose()


@contextlib.asynccontextmanager
async def running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until_done(shop: Shop) -> None:
    async with asyncio.timeout(8):
        while (await shop.rows("SELECT count(*) FROM effect WHERE finished_at IS NULL AND tenant_id = :tenant"))[0][0]:
            await asyncio.sleep(0.02)


async def test_what_waits_for_room_or_for_its_subject_is_begun_when_another_ends(
    shop: Shop, stalls: list[Stall], at_work: EffectWorker
) -> None:
    await stalls[0].quantity(3)
    async with running(at_work.run()):
        await until_done(shop)
    assert [stall.channel.shelves[stall.external_id].quantity for stall in stalls] == [3, 4, 4, 4]


async def test_what_is_told_to_come_back_comes_back_by_itself(
    shop: Shop, stalls: list[Stall], at_work: EffectWorker
) -> None:
    stalls[0].channel.script("read_listing", Step(Retryable("busy")), Step(Retryable("busy")))
    async with running(at_work.run()):
        await until_done(shop)
    assert stalls[0].channel.shelves[stalls[0].external_id].quantity == 4
