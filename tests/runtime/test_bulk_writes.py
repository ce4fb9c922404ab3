"""Many quantities in one call: each effect has its own outcome, nothing is written twice, and urgent ones go first."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import pytest
from scripted_channel import Channels, ScriptedChannel, Step
from shop import Goods, Shop
from sqlalchemy import text
from stall import Stall, drain

from flipsync.connectors.base import QuantityChange, QuantityOutcome, Taken, Told
from flipsync.connectors.knowledge import Facts, Recalled, Remembered
from flipsync.domain import commands as c
from flipsync.domain.channel import ListingState
from flipsync.domain.errors import ChannelError, OutcomeUnknown, Rejected, Retryable
from flipsync.domain.events import EffectFailed, QuantityDrifted
from flipsync.domain.ids import new_id
from flipsync.runtime import bulk_writes, effects
from flipsync.runtime.effects import EffectWorker
from flipsync.services import stock
from flipsync.services.orders import AccountRef
from flipsync.store.repositories import bulk_effects
from flipsync.store.repositories import effects as effect_rows
from flipsync.store.repositories import knowledge as knowledge_rows

Hire = Callable[..., EffectWorker]


class BulkChannel(ScriptedChannel):
    """Takes many quantities a call. Tests say what is refused, what the answer leaves out, and when it comes."""

    def __init__(self, *, bulk: int = 100, at_once: int = 4) -> None:
        super().__init__()
        self.capabilities = self.capabilities.model_copy(  # type: ignore[misc]
            update={"bulk_quantity": bulk, "bulk_at_once": at_once}
        )
        self.refused: dict[str, ChannelError] = {}
        self.silent: set[str] = set()
        #: the answer waits for it, before or after the quantities are written
        self.answer, self.write = asyncio.Event(), asyncio.Event()
        self.answer.set()
        self.write.set()
        self.reached = asyncio.Event()
        self.name = ""
        self.known = Remembered(lambda word: {"word": word}, lambda facts: str(facts["word"]), lasts=1000.0)
        #: what has to be known of each listing; nothing when it is empty
        self.true: dict[str, str] = {}
        self.asked: list[str] = []

    async def push_quantities(
        self, changes: Sequence[QuantityChange], taken: Taken, told: Told | None = None
    ) -> list[QuantityOutcome]:
        if self.name:
            await taken(self.name, changes)
        self.tells = told
        return await self.set_quantities(changes)

    async def set_quantities(self, changes: Sequence[QuantityChange]) -> list[QuantityOutcome]:
        step = self._begin("set_quantities", tuple(change.external_id for change in changes))
        self.reached.set()
        await self.write.wait()
        outcomes = []
        for change in changes:
            error = self.refused.get(change.external_id) or self._knows(change.external_id)
            if error is None and not step.ignored:
                self.shelves[change.external_id].quantity = change.quantity
            if change.external_id not in self.silent:
                state = None if error is not None else self._shown(change.external_id)
                outcomes.append(QuantityOutcome(change, state, error))
        await self.answer.wait()
        self._end(step)
        return outcomes

    def _knows(self, external_id: str) -> Rejected | None:
        if not self.true:
            return None
        if self.known.get(external_id) is None:
            self.asked.append(external_id)
            self.known.keep(external_id, self.true[external_id])
        return None if self.known.get(external_id) == self.true[external_id] else Rejected("another type of goods")

    def lacks(self, external_ids: Sequence[str]) -> list[str]:
        return [one for one in external_ids if self.true and self.known.get(one) is None]

    def recall(self, known: Mapping[str, Recalled]) -> None:
        self.known.recall(known)

    def learnt(self) -> dict[str, Facts | None]:
        return self.known.learnt()

    def doubt(self, external_ids: Collection[str]) -> set[str]:
        return self.known.doubt(external_ids)

    def restarts(self) -> None:
        """As the connector of a process that has just begun."""
        self.known = Remembered(lambda word: {"word": word}, lambda facts: str(facts["word"]), lasts=1000.0)
        self.asked.clear()

    async def read_listings(self, external_ids: Sequence[str]) -> dict[str, ListingState]:
        self._begin("read_listings", tuple(external_ids))
        return {one: state for one in external_ids if (state := self._state(one)) is not None}

    async def finished(self, taken: str) -> None:
        self._end(self._begin("finished", taken))

    def quantity(self, external_id: str) -> int | None:
        return self.shelves[external_id].quantity


class Row:
    """A shelf of pooled goods on one account."""

    def __init__(self, shop: Shop, channels: Channels) -> None:
        self.shop, self._channels = shop, channels

    async def open(self, size: int, *, units: int = 5, mode: str = "pooled", **channel: Any) -> Row:
        self.channel = BulkChannel(**channel)
        self.reads_first(False)
        self.account: AccountRef = await self.shop.account(stock_mode=mode)
        self._channels.by_account[str(self.account.id)] = self.channel
        self.goods: list[Goods] = [await self.shop.variant(units=units, mode=mode) for _ in range(size)]
        self.listings: list[UUID] = [await self.shop.listing(self.account, each) for each in self.goods]
        self.ids = [self.channel.put(each.sku, 0) for each in self.goods]
        return self

    def reads_first(self, yes: bool) -> None:
        """Whether its answers leave open what was there, so that a few listings are read before they are written."""
        known = self.channel.capabilities.model_copy(update={"tells_replaced": not yes})
        self.channel.capabilities = known  # type: ignore[misc]

    async def aim(self, place: int, units: int, *, last_unit: bool = False) -> UUID:
        async with self.shop.unit() as unit:
            await stock.set_targets(unit, self.goods[place].stock_item_id, {self.listings[place]: units})
        command = c.SetChannelQuantity(
            account_id=self.account.id, listing_id=self.listings[place], quantity=units, last_unit=last_unit
        )
        return await self.shop.enqueue(command, self.account)

    async def push(self, units: int = 5) -> list[UUID]:
        return [await self.aim(place, units) for place in range(len(self.goods))]

    async def outcomes(self, effect_id: UUID) -> list[str]:
        rows = await self.shop.rows("SELECT outcome FROM receipt WHERE effect_id = :id ORDER BY attempt", id=effect_id)
        return [row.outcome for row in rows]

    async def shown(self) -> list[int]:
        rows = await self.shop.rows("SELECT id, quantity_shown FROM listing")
        told = {row.id: row.quantity_shown for row in rows}
        return [told[listing] for listing in self.listings]

    @property
    def shelf(self) -> list[int | None]:
        return [self.channel.quantity(one) for one in self.ids]


@pytest.fixture
async def row(shop: Shop, channels: Channels) -> Row:
    return await Row(shop, channels).open(6)


async def killed(work: asyncio.Task[Any]) -> None:
    work.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await work


# -- one call, many outcomes ------------------------------------------------------------------------------------------


async def test_what_waits_goes_out_in_one_call_however_narrow_the_worker(row: Row, hire: Hire) -> None:
    pushed = await row.push(4)
    await drain(hire(width=2), row.shop)
    assert [len(call.argument) for call in row.channel.made("set_quantities")] == [6]  # type: ignore[arg-type]
    assert row.channel.made("set_quantity") == []
    assert row.shelf == await row.shown() == [4] * 6
    assert [await row.outcomes(effect) for effect in pushed] == [["confirmed"]] * 6


async def test_what_one_worker_has_learnt_the_next_one_knows(row: Row, hire: Hire) -> None:
    row.channel.true = {one: f"type of {one}" for one in row.ids}
    await row.push(3)
    await drain(hire(), row.shop)
    assert sorted(row.channel.asked) == sorted(row.ids)
    row.channel.restarts()
    await row.push(4)
    await drain(hire(), row.shop)
    assert row.channel.asked == [] and await row.shown() == [4] * 6


async def test_what_one_worker_has_learnt_and_is_wrong_by_now_is_learnt_anew_by_the_next(row: Row, hire: Hire) -> None:
    row.channel.true = dict.fromkeys(row.ids, "lamp")
    await row.push(3)
    await drain(hire(), row.shop)
    row.channel.restarts()
    row.channel.true[row.ids[2]] = "chair"
    effects = await row.push(4)
    await drain(hire(), row.shop)
    assert row.channel.asked == [row.ids[2]] and await row.shown() == [4] * 6
    assert await row.outcomes(effects[2]) == ["confirmed"]
    kept = await row.shop.rows("SELECT external_id, facts FROM listing_knowledge WHERE tenant_id = :tenant")
    assert {each.external_id: each.facts["word"] for each in kept} == row.channel.true


async def test_what_was_learnt_of_another_listing_or_by_another_business_is_not_told(row: Row, hire: Hire) -> None:
    row.channel.true = dict.fromkeys(row.ids, "lamp")
    await row.push(3)
    await drain(hire(), row.shop)
    async with row.shop.unit() as unit:
        await unit.session.execute(
            text("UPDATE listing SET external_id = 'new' WHERE id = :id"), {"id": row.listings[0]}
        )
    async with row.shop.store.reader(row.shop.tenant_id) as session:
        known = await knowledge_rows.load(session, row.account.id, [*row.ids, "new"])
        assert set(known) == set(row.ids[1:])
        assert await knowledge_rows.load(session, new_id(), row.ids) == {}
    async with row.shop.store.database.session(new_id()) as session:
        await knowledge_rows.keep(session, row.account.id, {row.ids[1]: {"word": "mine"}, row.ids[2]: None})
    async with row.shop.store.reader(row.shop.tenant_id) as session:
        after = await knowledge_rows.load(session, row.account.id, row.ids)
    assert {one: facts for one, (facts, _) in after.items()} == {one: facts for one, (facts, _) in known.items()}


async def test_a_call_takes_no_more_than_the_channel_does(shop: Shop, channels: Channels, hire: Hire) -> None:
    row = await Row(shop, channels).open(7, bulk=3)
    await row.push(2)
    await drain(hire(width=2), shop)
    sizes = [len(call.argument) for call in row.channel.made("set_quantities")]  # type: ignore[arg-type]
    assert max(sizes) == 3 and sum(sizes) + len(row.channel.made("set_quantity")) == 7
    assert row.shelf == [2] * 7


async def test_in_one_call_some_are_refused_some_wait_and_the_rest_is_done(row: Row, hire: Hire) -> None:
    row.channel.refused = {row.ids[1]: Rejected("in no category"), row.ids[2]: Retryable("busy with this one")}
    pushed = await row.push(3)
    worker = hire()
    await worker.step()
    assert row.shelf == [3, 0, 0, 3, 3, 3]
    del row.channel.refused[row.ids[2]]
    await drain(worker, row.shop)
    told = [await row.outcomes(effect) for effect in pushed]
    assert told == [["confirmed"], ["rejected"], ["retryable", "confirmed"], *[["confirmed"]] * 3]
    (failure,) = await row.shop.events(EffectFailed)
    assert (failure["effect_id"], failure["detail"]) == (str(pushed[1]), "in no category")


@pytest.mark.parametrize("applied", [True, False])
async def test_what_the_answer_leaves_out_is_read_and_not_taken_for_done_or_failed(
    row: Row, hire: Hire, applied: bool
) -> None:
    row.channel.silent = {row.ids[0]}
    if not applied:
        row.channel.refused = {row.ids[0]: OutcomeUnknown("nobody hears of it")}
    pushed = await row.push(3)
    worker = hire()
    await worker.step()
    assert [call.argument for call in row.channel.made("read_listings")] == [(row.ids[0],)]
    assert await row.outcomes(pushed[0]) == ["confirmed" if applied else "unknown"]
    row.channel.silent, row.channel.refused = set(), {}
    await drain(worker, row.shop)
    assert row.shelf == [3] * 6
    assert await row.outcomes(pushed[1]) == ["confirmed"]


async def test_units_sold_since_the_write_are_no_failure_and_units_too_many_are(row: Row, hire: Hire) -> None:
    real = row.channel._shown

    def told(external_id: str) -> ListingState:
        shifted = {row.ids[0]: 2, row.ids[1]: 9}
        if external_id in shifted:
            row.channel.shelves[external_id].quantity = shifted.pop(external_id)
        return real(external_id)

    row.channel._shown = told  # type: ignore[method-assign]
    pushed = await row.push(3)
    worker = hire()
    await worker.step()
    assert (await row.outcomes(pushed[0]), await row.outcomes(pushed[1])) == (["confirmed"], ["unknown"])
    row.channel._shown = real  # type: ignore[method-assign]
    await drain(worker, row.shop)
    assert row.shelf == [2, 3, 3, 3, 3, 3]


async def test_escrow_goes_alone_on_a_channel_that_takes_many(shop: Shop, channels: Channels, hire: Hire) -> None:
    row = await Row(shop, channels).open(3, mode="escrow")
    await row.push(5)
    await drain(hire(), shop)
    assert row.channel.made("set_quantities") == []
    assert row.shelf == [5] * 3


async def test_a_call_refused_as_a_whole_is_each_effects_refusal(row: Row, hire: Hire) -> None:
    row.channel.script("set_quantities", Step(Retryable("maintenance")), Step(Retryable("maintenance")))
    pushed = await row.push(3)
    await drain(hire(), row.shop)
    for effect in pushed:
        assert (await row.outcomes(effect))[0] == "retryable"
        assert (await row.outcomes(effect))[-1] == "confirmed"
    assert row.shelf == [3] * 6


# -- when nobody knows ------------------------------------------------------------------------------------------------


async def test_a_timed_out_call_that_took_effect_is_read_back_and_not_repeated(row: Row, hire: Hire) -> None:
    row.channel.script("set_quantities", Step(OutcomeUnknown("no answer in time"), applied=True))
    pushed = await row.push(3)
    await drain(hire(), row.shop)
    assert len(row.channel.made("set_quantities")) == len(row.channel.made("read_listings")) == 1
    assert [await row.outcomes(effect) for effect in pushed] == [["confirmed"]] * 6


async def test_a_timed_out_call_that_did_nothing_is_made_again_after_looking(row: Row, hire: Hire) -> None:
    row.channel.script("set_quantities", Step(OutcomeUnknown("no answer in time"), applied=True, ignored=True))
    pushed = await row.push(3)
    await drain(hire(), row.shop)
    assert [call.method for call in row.channel.calls][:2] == ["set_quantities", "read_listings"]
    assert [await row.outcomes(effect) for effect in pushed] == [["unknown", "confirmed"]] * 6
    assert row.shelf == [3] * 6


async def test_after_a_worker_died_with_its_call_the_next_one_looks_and_writes_nothing_twice(
    row: Row, hire: Hire
) -> None:
    row.channel.answer.clear()
    pushed = await row.push(3)
    dying = asyncio.create_task(hire().step())
    await asyncio.wait_for(row.channel.reached.wait(), 5)
    await asyncio.sleep(0.02)
    await killed(dying)
    row.channel.answer.set()
    await drain(hire(), row.shop)
    assert len(row.channel.made("set_quantities")) == 1
    assert [await row.outcomes(effect) for effect in pushed] == [["confirmed"]] * 6
    assert row.shelf == [3] * 6


async def test_work_that_the_vendor_took_is_waited_for_by_whoever_takes_over(row: Row, hire: Hire) -> None:
    """A feed may land minutes after its sender died: sending another one would race it."""
    row.channel.name = "feed-1"
    row.channel.write.clear()
    pushed = await row.push(3)
    dying = asyncio.create_task(hire().step())
    await asyncio.wait_for(row.channel.reached.wait(), 5)
    await killed(dying)
    row.channel.name = ""
    row.channel.write.set()

    def lands() -> None:
        for one in row.ids:
            row.channel.shelves[one].quantity = 3

    row.channel.script("finished", Step(OutcomeUnknown("still in the queue")), Step(before=lands))
    await drain(hire(), row.shop)
    asked = [call.argument for call in row.channel.made("finished")]
    assert len(asked) >= 2 and set(asked) == {"feed-1"}, "some may come back a moment after the others"
    assert len(row.channel.made("set_quantities")) == 1 and not row.channel.made("set_quantity")
    assert [await row.outcomes(effect) for effect in pushed] == [["unknown", "confirmed"]] * 6
    kept = await row.shop.rows("SELECT count(*) AS n FROM effect WHERE result ? 'taken' AND tenant_id = :tenant")
    assert kept[0].n == 0


# -- leases -----------------------------------------------------------------------------------------------------------


async def test_a_call_that_outlives_its_lease_keeps_it(row: Row, hire: Hire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effects, "LEASE_SECONDS", 0.3)
    row.channel.answer.clear()
    pushed = await row.push(3)
    working = asyncio.create_task(hire().step())
    await asyncio.wait_for(row.channel.reached.wait(), 5)
    other = hire("effects-1")
    for _ in range(8):
        await asyncio.sleep(0.1)
        assert await other.step() == 0, "nobody else may take what is under way"
    row.channel.answer.set()
    await working
    assert [await row.outcomes(effect) for effect in pushed] == [["confirmed"]] * 6


async def test_a_single_write_keeps_its_lease_too(stall: Stall, hire: Hire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effects, "LEASE_SECONDS", 0.3)
    real, reached, answer = stall.channel.set_price, asyncio.Event(), asyncio.Event()

    async def slow(*arguments: Any) -> Any:
        reached.set()
        await answer.wait()
        return await real(*arguments)

    stall.channel.set_price = slow  # type: ignore[method-assign]
    effect = await stall.price(3100)
    working = asyncio.create_task(hire().step())
    await asyncio.wait_for(reached.wait(), 5)
    await asyncio.sleep(0.7)
    assert await hire("effects-1").step() == 0
    answer.set()
    await working
    assert await stall.outcomes(effect) == ["confirmed"]


async def test_a_lease_that_another_has_taken_is_not_renewed(row: Row) -> None:
    await row.aim(0, 3)

    async def claimed(owner: str, lease: float) -> Any:
        async with row.shop.store.database.unbound() as session:
            return (await effect_rows.claim(session, owner=owner, limit=1, lease_seconds=lease)).effects[0]

    old = await claimed("a:1", 0.01)
    await asyncio.sleep(0.05)
    new = await claimed("b:1", 60)
    async with row.shop.store.database.unbound() as session:
        assert await bulk_effects.renew(session, [old, new], 90) == {new.id}
        await bulk_effects.make_urgent(session, [old])
        await bulk_effects.note_taken(session, [old], "feed-9")
    untouched = await row.shop.effect(new.id)
    assert (untouched.priority, untouched.result) == (c.PRIORITY_STOCK, {})


# -- who goes first ---------------------------------------------------------------------------------------------------


async def test_the_last_unit_passes_a_call_under_way_and_its_own_listing_is_put_right_after_it(
    row: Row, hire: Hire
) -> None:
    row.channel.write.clear()
    pushed = await row.push(5)
    working, passing = hire(), hire("effects-1")
    call = asyncio.create_task(working.step())
    await asyncio.wait_for(row.channel.reached.wait(), 5)
    urgent = [await row.aim(0, 0), await row.aim(1, 1, last_unit=True)]
    await passing.step()
    assert row.shelf[:2] == [0, 1], "both are on the channel while the call is still under way"
    assert [await row.outcomes(effect) for effect in urgent] == [["confirmed"]] * 2
    row.channel.write.set()
    await call
    assert row.shelf == [5] * 6, "the call landed late"
    assert [await row.outcomes(effect) for effect in pushed[:2]] == [["retryable"]] * 2
    returned = await row.shop.effect(pushed[0])
    assert (returned.state, returned.priority) == ("pending", c.PRIORITY_LAST_UNIT)
    await drain(passing, row.shop)
    assert row.shelf == await row.shown() == [0, 1, 5, 5, 5, 5]
    assert [await row.outcomes(effect) for effect in pushed[2:]] == [["confirmed"]] * 4


async def test_lesser_work_on_a_listing_waits_for_the_call_about_it(row: Row, hire: Hire) -> None:
    row.channel.write.clear()
    await row.push(5)
    call = asyncio.create_task(hire().step())
    await asyncio.wait_for(row.channel.reached.wait(), 5)
    await row.aim(0, 4)
    assert await hire("effects-1").step() == 0
    row.channel.write.set()
    await call
    await drain(hire(), row.shop)
    assert row.shelf == [4, 5, 5, 5, 5, 5]


async def test_urgent_work_has_places_when_all_others_are_taken(stall: Stall, channels: Channels, hire: Hire) -> None:
    answer, real = asyncio.Event(), stall.channel.set_price
    reached = asyncio.Event()

    async def slow(*arguments: Any) -> Any:
        reached.set()
        await answer.wait()
        return await real(*arguments)

    stall.channel.set_price = slow  # type: ignore[method-assign]
    await stall.price(3100)
    worker = hire(width=1)
    full = asyncio.create_task(worker.step())
    await asyncio.wait_for(reached.wait(), 5)
    other = await Stall(stall.shop, channels).open(units=4)
    lesser, last = await other.price(), await other.quantity(0)
    assert await worker._start_some() == 1
    async with asyncio.timeout(5):
        while not await other.outcomes(last):
            await asyncio.sleep(0.01)
    assert await other.outcomes(lesser) == []
    answer.set()
    await full


async def test_no_account_starves_behind_another_ones_queue(stall: Stall, channels: Channels, hire: Hire) -> None:
    """A tenant's hundreds of stock updates, and one price of another tenant's: the price does not wait for them."""
    async with stall.shop.unit() as unit:
        for number in range(300):
            command = c.SetChannelQuantity(account_id=stall.account.id, listing_id=stall.listing, quantity=1)
            other = command.model_copy(update={"listing_id": UUID(int=number + 1)})
            unit.enqueue(other, account_id=stall.account.id, key=f"queue:{number}")
    neighbour = await Stall(await Shop(stall.shop.store).found(), channels).open()
    price = await neighbour.price()

    async def claimed(limit: int, **busy: Any) -> list[Any]:
        async with stall.shop.store.database.unbound() as session:
            return (await effect_rows.claim(session, owner="a:1", limit=limit, lease_seconds=60, **busy)).effects

    assert [each.id for each in await claimed(1, busy={stall.account.id: 3})] == [price]
    again = await neighbour.quantity(3)
    found = await claimed(4)
    assert again not in [each.id for each in found], "its price is under way: one effect of a subject at a time"
    assert {each.account_id for each in found} == {stall.account.id}


async def test_an_account_with_enough_calls_under_way_holds_its_other_quantities_back(
    shop: Shop, channels: Channels, hire: Hire
) -> None:
    row = await Row(shop, channels).open(9, bulk=3, at_once=1)
    row.channel.write.clear()
    await row.push(5)
    price = await shop.enqueue(await shop.signed_price(row.account, row.listings[8], 3100), row.account)
    worker = hire(width=3)
    for _ in range(3):
        await worker._start_some()
        await asyncio.sleep(0.05)
    assert len(row.channel.made("set_quantities")) == 1
    row.channel.write.set()
    await drain(worker, shop)
    assert await row.outcomes(price) == ["confirmed"]
    assert row.shelf == [5] * 9


# -- units that somebody wrote on the channel --------------------------------------------------------------------------


async def _told(row: Row) -> dict[UUID, tuple[int, int, bool]]:
    events = await row.shop.events(QuantityDrifted)
    return {UUID(each["listing_id"]): (each["expected"], each["seen"], each["overwritten"]) for each in events}


async def test_a_few_are_read_in_one_call_before_they_are_written_over(row: Row, hire: Hire) -> None:
    await row.push(4)
    await drain(hire(), row.shop)
    row.channel.calls.clear()
    row.reads_first(True)
    row.channel.shelves[row.ids[2]].quantity = 9
    row.channel.shelves[row.ids[3]].quantity = 1
    await row.push(3)
    await drain(hire(), row.shop)
    assert row.shelf == [3] * 6 and await _told(row) == {row.listings[2]: (4, 9, True)}
    assert len(row.channel.made("read_listings")) == 1


async def test_a_full_call_is_not_read_first(row: Row, hire: Hire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_writes, "READ_FIRST", 5)
    row.reads_first(True)
    await row.push(4)
    await drain(hire(), row.shop)
    row.channel.shelves[row.ids[2]].quantity = 9
    await row.push(3)
    await drain(hire(), row.shop)
    assert row.channel.made("read_listings") == [] and await _told(row) == {}
