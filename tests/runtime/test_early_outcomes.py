"""What is certain of a long call is concluded while the rest is waited for; what is unknown of many is learnt once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
import test_bulk_writes
from scripted_channel import Channels
from shop import Shop
from sqlalchemy import text
from stall import drain
from test_bulk_writes import BulkChannel, Row, killed

from flipsync.connectors.base import LearnsAll, QuantityChange, QuantityOutcome, Taken, Told
from flipsync.domain.errors import ChannelError, OutcomeUnknown, Rejected
from flipsync.domain.ids import new_id
from flipsync.runtime.early import Early
from flipsync.runtime.effects import EffectWorker
from flipsync.store.repositories import knowledge as knowledge_rows

Hire = Callable[..., EffectWorker]
TOLD = 2


class TellingChannel(BulkChannel):
    """Tells the first outcomes of a call at once, and the others when `rest` is set. Learns of all of its listings."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.rest = asyncio.Event()
        self.tells_now: Callable[[list[QuantityOutcome]], list[QuantityOutcome]] = lambda outcomes: outcomes
        self.ends: ChannelError | None = None
        self.learning: list[str] = []
        self.pushed: list[int] = []
        self.learning_fails: ChannelError | None = None

    async def push_quantities(
        self, changes: Sequence[QuantityChange], taken: Taken, told: Told | None = None
    ) -> list[QuantityOutcome]:
        self.pushed += [change.quantity for change in changes]
        outcomes = await self.set_quantities(changes)
        assert told is not None
        told(self.tells_now(outcomes[:TOLD]))
        await self.rest.wait()
        if self.ends is not None:
            raise self.ends
        return outcomes

    async def learn_all(self) -> AsyncIterator[int]:
        self.learning.append("begun")
        await asyncio.sleep(0.05)
        if self.learning_fails is not None:
            raise self.learning_fails
        for one, word in self.true.items():
            self.known.keep(one, word)
            yield 1


@pytest.fixture
async def row(shop: Shop, channels: Channels, monkeypatch: pytest.MonkeyPatch) -> Row:
    monkeypatch.setattr(test_bulk_writes, "BulkChannel", TellingChannel)
    return await Row(shop, channels).open(6)


async def until(true: Callable[[], Any], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not await true():
            await asyncio.sleep(0.02)


async def told_of(row: Row, pushed: Sequence[Any]) -> list[list[str]]:
    return [await row.outcomes(effect) for effect in pushed]


def early(row: Row, pushed: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Effects of the listings that the call names first, and the others."""
    (call,) = row.channel.made("set_quantities")
    first = set(call.argument[:TOLD])  # type: ignore[index]
    return (
        [effect for effect, one in zip(pushed, row.ids, strict=True) if one in first],
        [effect for effect, one in zip(pushed, row.ids, strict=True) if one not in first],
    )


async def begun(row: Row, worker: EffectWorker, pushed: Sequence[Any]) -> asyncio.Task[int]:
    """A call under way whose first outcomes are concluded."""
    working = asyncio.create_task(worker.step())
    await asyncio.wait_for(row.channel.reached.wait(), 10)

    async def concluded() -> bool:
        return sum(map(bool, await told_of(row, pushed))) >= TOLD

    await until(concluded)
    return working


async def test_what_is_read_back_first_is_confirmed_while_the_rest_is_waited_for(row: Row, hire: Hire) -> None:
    pushed = await row.push(4)
    working = await begun(row, hire(), pushed)
    first, others = early(row, pushed)
    assert await told_of(row, first) == [["confirmed"]] * TOLD
    assert await told_of(row, others) == [[]] * 4
    row.channel.rest.set()
    await working
    assert await told_of(row, pushed) == [["confirmed"]] * 6, "each once"
    assert await row.shown() == row.shelf == [4] * 6


async def test_a_worker_that_dies_in_between_leaves_only_the_rest_to_be_looked_at(row: Row, hire: Hire) -> None:
    pushed = await row.push(4)
    dying = await begun(row, hire(), pushed)
    first, others = early(row, pushed)
    await killed(dying)
    row.channel.rest.set()
    await drain(hire(), row.shop)
    assert len(row.channel.made("set_quantities")) == 1
    looked = {one for call in row.channel.made("read_listings") for one in call.argument}  # type: ignore[attr-defined]
    assert len(looked) == 4
    assert await told_of(row, first) == [["confirmed"]] * TOLD and await told_of(row, others) == [["confirmed"]] * 4


async def test_a_call_that_ends_in_doubt_takes_nothing_back(row: Row, hire: Hire) -> None:
    pushed = await row.push(4)
    working = await begun(row, hire(), pushed)
    first, _ = early(row, pushed)
    row.channel.ends = OutcomeUnknown("the connection broke")
    row.channel.rest.set()
    await working
    (looked,) = row.channel.made("read_listings")
    assert len(looked.argument) == 4  # type: ignore[arg-type]
    assert await told_of(row, first) == [["confirmed"]] * TOLD
    assert await told_of(row, pushed) == [["confirmed"]] * 6


async def test_what_shows_another_quantity_is_not_concluded_early(row: Row, hire: Hire) -> None:
    heard = asyncio.Event()

    def wrong(outcomes: list[QuantityOutcome]) -> list[QuantityOutcome]:
        heard.set()
        return [
            QuantityOutcome(each.change, each.state.model_copy(update={"quantity": 99}), None)
            for each in outcomes
            if each.state is not None
        ]

    row.channel.tells_now = wrong
    pushed = await row.push(4)
    working = asyncio.create_task(hire().step())
    await asyncio.wait_for(heard.wait(), 10)
    await asyncio.sleep(0.3)
    assert await told_of(row, pushed) == [[]] * 6
    row.channel.rest.set()
    await working
    assert await told_of(row, pushed) == [["confirmed"]] * 6


async def test_units_that_the_ledger_has_taken_away_meanwhile_come_back_at_once(row: Row, hire: Hire) -> None:
    pushed = await row.push(4)
    row.channel.answer.clear()
    worker = hire()
    working = asyncio.create_task(worker.step())
    await asyncio.wait_for(row.channel.reached.wait(), 10)
    (call,) = row.channel.made("set_quantities")
    sold = row.ids.index(call.argument[0])  # type: ignore[index]
    newer = await row.aim(sold, 1)
    row.channel.answer.set()

    async def concluded() -> bool:
        return bool(await row.outcomes(pushed[sold]))

    await until(concluded)
    assert await row.outcomes(pushed[sold]) == ["retryable"]
    row.channel.rest.set()
    await working
    await drain(worker, row.shop)
    assert row.channel.quantity(row.ids[sold]) == 1
    last = [(await row.outcomes(effect))[-1:] for effect in (pushed[sold], newer)]
    assert ["confirmed"] in last


async def test_with_the_database_away_nothing_more_is_concluded_early() -> None:
    concluded: list[int] = []

    async def conclude(batch: Sequence[int]) -> None:
        if not concluded and batch == [1]:
            concluded.append(1)
            return
        raise OSError("the database is away")

    async with Early(conclude, lambda parts: parts) as ours:
        for part in (1, 2, 3):
            ours.tell([part])
            await asyncio.sleep(0.01)
    assert concluded == [1]


async def test_a_mistake_in_concluding_is_told_at_the_end() -> None:
    async def conclude(batch: Sequence[int]) -> None:
        raise KeyError("ours")

    with pytest.raises(KeyError):
        async with Early(conclude, lambda parts: parts) as ours:
            ours.tell([1])
    with pytest.raises(OutcomeUnknown):
        async with Early(conclude, lambda parts: parts) as ours:
            ours.tell([1])
            await asyncio.sleep(0.01)
            raise OutcomeUnknown("the call itself")


# -- learning of all at once ------------------------------------------------------------------------------------------


@pytest.fixture
async def shelf(shop: Shop, channels: Channels, monkeypatch: pytest.MonkeyPatch) -> Row:
    """Six listings, of each of which something must be known; three a call, two calls at once."""
    monkeypatch.setattr(test_bulk_writes, "BulkChannel", TellingChannel)
    row = await Row(shop, channels).open(6, bulk=3, at_once=2)
    row.channel.rest.set()
    row.channel.true = {one: f"type of {one}" for one in row.ids}
    row.channel.learns_all = LearnsAll(fewest=4, lasts=1000.0)  # type: ignore[misc]
    return row


async def test_what_is_unknown_of_many_is_learnt_once_for_all_calls(shelf: Row, hire: Hire) -> None:
    pushed = await shelf.push(4)
    await drain(hire(), shelf.shop)
    assert shelf.channel.learning == ["begun"] and shelf.channel.asked == []
    assert await told_of(shelf, pushed) == [["confirmed"]] * 6
    shelf.channel.restarts()
    await shelf.push(3)
    await drain(hire(), shelf.shop)
    assert shelf.channel.learning == ["begun"], "the books know"
    assert shelf.channel.asked == [] and await shelf.shown() == [3] * 6


async def test_few_are_asked_for_one_by_one(shelf: Row, hire: Hire) -> None:
    for place in range(3):
        await shelf.aim(place, 4)
    await drain(hire(), shelf.shop)
    assert shelf.channel.learning == [] and sorted(shelf.channel.asked) == sorted(shelf.ids[:3])


async def test_where_all_cannot_be_learnt_of_each_is_asked_for_and_it_is_not_tried_again(
    shelf: Row, hire: Hire
) -> None:
    shelf.channel.learning_fails = Rejected("another export is under way")
    pushed = await shelf.push(4)
    await drain(hire(), shelf.shop)
    assert shelf.channel.learning == ["begun"]
    assert sorted(set(shelf.channel.asked)) == sorted(shelf.ids)
    assert await told_of(shelf, pushed) == [["confirmed"]] * 6


async def test_units_are_granted_after_the_learning_and_not_before(shelf: Row, hire: Hire) -> None:
    real, sold = shelf.channel.learn_all, asyncio.Event()

    async def sells_meanwhile() -> AsyncIterator[int]:
        for place in range(6):
            await shelf.aim(place, 2)
        sold.set()
        async for count in real():
            yield count

    shelf.channel.learn_all = sells_meanwhile  # type: ignore[method-assign]
    await shelf.push(4)
    await drain(hire(), shelf.shop)
    assert sold.is_set() and shelf.shelf == [2] * 6
    assert set(shelf.channel.pushed) == {2}, "what was granted before was never shown"


async def test_a_shelf_that_is_pooled_no_more_after_the_learning_is_written_as_escrow_is(
    shelf: Row, hire: Hire
) -> None:
    real = shelf.channel.learn_all

    async def parted() -> AsyncIterator[int]:
        async with shelf.shop.unit() as unit:
            await unit.session.execute(text("UPDATE stock_item SET mode = 'escrow'"))
        async for count in real():
            yield count

    shelf.channel.learn_all = parted  # type: ignore[method-assign]
    pushed = await shelf.push(4)
    await drain(hire(), shelf.shop)
    assert shelf.channel.learning == ["begun"] and shelf.channel.made("set_quantities") == []
    assert [(await shelf.outcomes(effect))[-1] for effect in pushed] == ["confirmed"] * 6


async def test_what_is_unknown_is_counted_within_ones_own_business(shelf: Row) -> None:
    await shelf.push(4)
    counts = {}
    for tenant_id in (shelf.shop.tenant_id, new_id()):
        async with shelf.shop.store.database.session(tenant_id) as session:
            counts[tenant_id] = await knowledge_rows.unknown_waiting(session, shelf.account.id, lasts=60.0, most=5)
    assert list(counts.values()) == [5, 0]
    async with shelf.shop.store.database.session(shelf.shop.tenant_id) as session:
        await knowledge_rows.keep(session, shelf.account.id, {one: {"word": "x"} for one in shelf.ids[:2]})
        assert await knowledge_rows.unknown_waiting(session, shelf.account.id, lasts=60.0, most=9) == 4
        assert await knowledge_rows.unknown_waiting(session, shelf.account.id, lasts=0.0, most=9) == 6
