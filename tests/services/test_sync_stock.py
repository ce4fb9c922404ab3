"""Stock that phones tell late, in any order: what is booked is what lies on the shelf."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shop import Goods, Shop, open_store
from sync_phones import Phones, phones_of

from flipsync.domain.clock import ManualClock
from flipsync.services import stock
from flipsync.services.orders import ingest_order
from flipsync.services.sync.merging import AWAY, ClockLine, ClockMark, Look, Movement, on_shelf

MONDAY = datetime(2026, 3, 2, 9, tzinfo=UTC)


def hours(number: float) -> timedelta:
    return timedelta(hours=number)


@pytest.fixture(scope="module")
async def shop(database_urls: dict[str, str]) -> AsyncIterator[Shop]:
    store = open_store(database_urls["app"], clock=ManualClock(MONDAY), pool_size=4)
    yield await Shop(store).found()
    await store.aclose()


@pytest.fixture
async def phones(shop: Shop) -> Phones:
    """Three phones that were here five days ago."""
    return await phones_of(shop, 3)


async def test_receipts_of_two_phones_add_up(phones: Phones) -> None:
    goods = await phones.goods(units=10)
    for index in (0, 1):
        (answer,) = await phones.push(index, phones.receive(index, goods, 3, at=-1))
        assert answer.outcome == "accepted"
    assert (await phones.shop.item(goods)).on_hand == 16


async def test_the_same_id_twice_is_booked_once_and_answered_alike(phones: Phones) -> None:
    goods = await phones.goods(units=10)
    told = phones.receive(0, goods, 3)
    first, again = await phones.push(0, told), await phones.push(0, told)
    assert first == again
    other = told.model_copy(update={"quantity": 4})
    (refused,) = await phones.push(0, other)
    assert (refused.outcome, refused.reason) == ("rejected", "id-reused")
    assert (await phones.shop.item(goods)).on_hand == 13


async def test_what_is_told_late_but_was_counted_is_not_added(phones: Phones) -> None:
    """Monday: three units come. Tuesday: somebody else counts thirteen. The phone of Monday tells on Wednesday."""
    goods = await phones.goods(units=10)
    (counted,) = await phones.push(1, phones.count(1, goods, 13, at=-24))
    (late,) = await phones.push(0, phones.receive(0, goods, 3, at=-48))
    assert (counted.outcome, late.outcome, late.reason) == ("accepted", "merged", "counted-already")
    item = await phones.shop.item(goods)
    assert (item.on_hand, item.pending_count) == (13, None)
    kinds = await phones.shop.rows(
        "SELECT kind, on_hand_delta FROM stock_movement WHERE stock_item_id = :id ORDER BY id", id=goods.stock_item_id
    )
    assert [tuple(row) for row in kinds] == [("receive", 10), ("count", 3), ("receive", 3), ("count", -3)]


async def test_a_count_told_late_lets_stand_what_moved_after_it(phones: Phones) -> None:
    goods = await phones.goods(units=10)
    await phones.push(0, phones.receive(0, goods, 5, at=-1))
    (answer,) = await phones.push(1, phones.count(1, goods, 8, at=-2))
    assert (answer.outcome, answer.reason) == ("merged", "moved-since")
    assert (await phones.shop.item(goods)).on_hand == 13


async def test_an_older_count_does_not_undo_a_newer_one(phones: Phones) -> None:
    goods = await phones.goods(units=10)
    await phones.push(0, phones.count(0, goods, 7, at=-1))
    (answer,) = await phones.push(1, phones.count(1, goods, 9, at=-5))
    assert (answer.outcome, answer.reason) == ("merged", "counted-later")
    assert (await phones.shop.item(goods)).on_hand == 7


async def test_fewer_counted_than_buyers_paid_for_is_a_conflict(phones: Phones) -> None:
    account = await phones.shop.account()
    goods = await phones.goods(units=10)
    await phones.shop.listing(account, goods, units=10)
    async with phones.shop.unit() as unit:
        await ingest_order(unit, account, phones.shop.order({goods.sku: 6}))
    (answer,) = await phones.push(0, phones.count(0, goods, 4))
    assert (answer.outcome, answer.reason) == ("conflict", "conflict")
    assert "belong to buyers" in answer.message
    assert (await phones.shop.item(goods)).on_hand == 10


async def test_a_count_below_what_channels_hold_is_booked_when_they_let_go(phones: Phones) -> None:
    account = await phones.shop.account()
    goods = await phones.goods(units=10)
    listing = await phones.shop.listing(account, goods, units=10)
    (answer,) = await phones.push(0, phones.count(0, goods, 6, at=-2))
    assert answer.outcome == "accepted"
    (late,) = await phones.push(1, phones.receive(1, goods, 2, at=-3))
    assert late.reason == "counted-already"
    item = await phones.shop.item(goods)
    assert (item.on_hand, item.pending_count) == (10, 6)
    async with phones.shop.unit() as unit:
        await stock.let_go(unit, listing, 0)
    item = await phones.shop.item(goods)
    assert (item.on_hand, item.pending_count) == (6, None)


async def test_a_file_that_corrects_stock_is_no_look_at_the_shelf(phones: Phones) -> None:
    goods = await phones.goods(units=10)
    async with phones.shop.unit() as unit:
        await stock.count(unit, goods.stock_item_id, 15, key=f"file:{goods.sku}")
    (late,) = await phones.push(0, phones.receive(0, goods, 3, at=-5))
    assert late.outcome == "accepted"
    (counted,) = await phones.push(1, phones.count(1, goods, 13, at=-4))
    assert counted.reason == "moved-since"  # the file's five came after
    assert (await phones.shop.item(goods)).on_hand == 18


async def test_a_clock_that_is_hours_off_changes_nothing(phones: Phones) -> None:
    fast = await phones.another(clock_off=hours(+7))
    slow = await phones.another(clock_off=hours(-7))
    goods = await phones.goods(units=10)
    await phones.push(fast, phones.count(fast, goods, 12, at=-2))
    (late,) = await phones.push(slow, phones.receive(slow, goods, 2, at=-3))
    assert late.reason == "counted-already"
    (after,) = await phones.push(slow, phones.receive(slow, goods, 4, at=-1))
    assert after.outcome == "accepted"
    assert (await phones.shop.item(goods)).on_hand == 16


async def test_where_a_clock_was_set_nothing_that_hangs_on_it_is_booked(phones: Phones) -> None:
    changed = await phones.another()
    goods = await phones.goods(units=10)
    await phones.push(0, phones.count(0, goods, 10, at=-2))
    phones.set_clock(changed, hours(-3))
    (answer,) = await phones.push(changed, phones.receive(changed, goods, 2, at=-1))
    assert (answer.outcome, "clock was set" in answer.message) == ("conflict", True)
    assert (await phones.shop.item(goods)).on_hand == 10
    (sure,) = await phones.push(changed, phones.receive(changed, goods, 2))  # its clock is known again
    assert sure.outcome == "accepted"


async def test_one_that_cannot_be_done_stops_no_other(phones: Phones) -> None:
    goods = await phones.goods(units=1)
    nowhere = Goods(UUID(int=1), UUID(int=2), UUID(int=3), "none")
    told = [phones.receive(0, goods, 1), phones.receive(0, nowhere, 1), phones.receive(0, goods, 1)]
    answers = await phones.push(0, *told)
    assert [each.outcome for each in answers] == ["accepted", "rejected", "accepted"]
    assert answers[1].reason == "not-found"
    assert (await phones.shop.item(goods)).on_hand == 3


async def test_a_gap_waits_and_nothing_overtakes(phones: Phones) -> None:
    goods = await phones.goods(units=0)
    first, second, third = (phones.receive(0, goods, 1) for _ in range(3))
    early = await phones.push(0, third, second)
    assert [(each.outcome, each.reason) for each in early] == [("deferred", "gap")] * 2
    done = await phones.push(0, third, first, second, second)
    assert [each.outcome for each in done] == ["accepted"] * 4
    assert (await phones.shop.item(goods)).on_hand == 3


async def test_a_number_whose_answer_is_forgotten_is_never_booked_again(phones: Phones) -> None:
    goods = await phones.goods(units=0)
    told = phones.receive(0, goods, 5)
    await phones.push(0, told)
    async with phones.shop.unit() as unit:
        await unit.session.execute(phones.forget_statement())
    (answer,) = await phones.push(0, told)
    assert (answer.outcome, answer.reason) == ("rejected", "sequence-used")
    assert (await phones.shop.item(goods)).on_hand == 5


# What it all means, in any order


EVENTS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(1, 96), st.one_of(st.integers(1, 9), st.integers(-9, 0))),
    min_size=1,
    max_size=8,
    unique_by=lambda each: each[1],
)


@settings(max_examples=40, deadline=None)
@given(told=EVENTS, seed=st.randoms(use_true_random=False))
def test_looks_and_movements_mean_the_same_in_any_order(told: list[tuple[int, int, int]], seed: object) -> None:
    things = [
        Movement(MONDAY - hours(back), units) if units > 0 else Look(MONDAY - hours(back), -units)
        for _, back, units in told
    ]
    mixed = list(things)
    seed.shuffle(mixed)  # type: ignore[attr-defined]
    assert on_shelf(mixed) == on_shelf(things)


@settings(max_examples=15, deadline=None)
@given(told=EVENTS, seed=st.randoms(use_true_random=False))
async def test_what_is_booked_is_what_it_means(shop: Shop, told: list[tuple[int, int, int]], seed: object) -> None:
    """Three phones, each in its own order, among one another in any."""
    phones = await phones_of(shop, 3)
    goods = await phones.goods(units=0)
    now = shop.store.clock.now()
    queues: dict[int, list[tuple[int, int]]] = {}
    for phone, back, units in sorted(told, key=lambda each: -each[1]):
        queues.setdefault(phone, []).append((back, units))
    while queues:
        phone = seed.choice(sorted(queues))  # type: ignore[attr-defined]
        back, units = queues[phone].pop(0)
        if units > 0:
            mutation = phones.receive(phone, goods, units, at=-back)
        else:
            mutation = phones.count(phone, goods, -units, at=-back)
        (answer,) = await phones.push(phone, mutation)
        assert answer.outcome in ("accepted", "merged")
        if not queues[phone]:
            del queues[phone]
    meant = on_shelf(
        Movement(now - hours(back), units) if units > 0 else Look(now - hours(back), -units) for _, back, units in told
    )
    assert (await phones.shop.item(goods)).on_hand == meant


# Clocks


def test_a_clock_that_runs_fast_is_placed_in_between() -> None:
    week = timedelta(days=7)
    then, now = ClockMark(MONDAY, MONDAY), ClockMark(MONDAY + week + timedelta(seconds=60), MONDAY + week)
    line = ClockLine(then, then, now)
    placed = line.place(MONDAY + (week + timedelta(seconds=60)) / 2)
    assert placed.sure and placed.first == MONDAY + week / 2


def test_a_queue_told_in_many_pushes_is_placed_as_in_one() -> None:
    """Every push after the first is seconds after the one before; the queue is a week old all the same."""
    week, second = timedelta(days=7), timedelta(seconds=1)
    then, back = ClockMark(MONDAY, MONDAY), ClockMark(MONDAY + week + 60 * second, MONDAY + week)
    before, last = ClockLine(then, then, back).told()
    for _ in range(50):
        line = ClockLine(before, last, ClockMark(last.clock + second, last.server + second))
        placed = line.place(MONDAY + (week + 60 * second) / 2)
        assert placed.sure and abs(placed.first - (MONDAY + week / 2)) < second / 100
        before, last = line.told()
    after = ClockLine(before, last, ClockMark(last.clock + week, last.server + week)).told()
    assert after[0] == last


async def test_a_clock_that_was_set_is_set_for_the_whole_queue(phones: Phones) -> None:
    changed = await phones.another()
    goods, other = await phones.goods(units=10), await phones.goods(units=10)
    await phones.push(0, phones.count(0, goods, 10, at=-2), phones.count(0, other, 10, at=-2))
    phones.set_clock(changed, hours(-3))
    told = [phones.receive(changed, each, 2, at=-1) for each in (goods, other)]
    for each in told:
        (answer,) = await phones.push(changed, each)
        assert (answer.outcome, "clock was set" in answer.message) == ("conflict", True)


async def test_a_count_may_have_seen_what_a_device_with_a_set_clock_received(phones: Phones) -> None:
    changed = await phones.another()
    goods = await phones.goods(units=10)
    phones.set_clock(changed, hours(-3))
    (received,) = await phones.push(changed, phones.receive(changed, goods, 2, at=-2))
    assert received.outcome == "accepted"  # nobody counted: it does not matter when
    (between,) = await phones.push(0, phones.count(0, goods, 12, at=-3))
    assert (between.outcome, "clock was set" in between.message) == ("conflict", True)
    assert (await phones.shop.item(goods)).on_hand == 12
    (again,) = await phones.push(0, phones.count(0, goods, 11))
    assert again.outcome == "accepted"
    assert (await phones.shop.item(goods)).on_hand == 11


async def test_an_old_request_that_comes_again_does_not_move_the_clock(phones: Phones) -> None:
    goods = await phones.goods(units=10)
    told = phones.count(1, goods, 10, at=-2)
    await phones.push(1, told)
    phones.set_clock(1, hours(-7))
    await phones.push(1, told)  # as it was sent seven hours ago
    phones.set_clock(1, hours(0))
    (answer,) = await phones.push(1, phones.count(1, goods, 12))
    assert answer.outcome == "accepted"


@given(
    off=st.timedeltas(min_value=timedelta(days=-800_000), max_value=timedelta(days=100_000)),
    at=st.datetimes(timezones=st.just(UTC)),
)
def test_nothing_is_placed_in_the_future_or_before_a_device_could_be_away(off: timedelta, at: datetime) -> None:
    now = datetime(2026, 3, 9, tzinfo=UTC)
    try:
        clock_now = now + off
    except OverflowError:
        return
    then = ClockMark(MONDAY, MONDAY)
    placed = ClockLine(then, then, ClockMark(clock_now, now)).place(at)
    assert now - AWAY <= placed.first <= placed.last <= now
