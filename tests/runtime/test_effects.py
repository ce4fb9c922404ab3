"""The effect worker against a channel that fails as scripted: everything happens once, or somebody is told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from scripted_channel import Channels, Step
from shop import Shop, dollars
from sqlalchemy import text
from stall import Stall, drain

from flipsync.connectors.base import Unlimited
from flipsync.domain import commands as c
from flipsync.domain.channel import SellerRating
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import OutcomeUnknown, Rejected, Retryable
from flipsync.domain.events import (
    AccountHealthChanged,
    EffectFailed,
    PriceSet,
)
from flipsync.runtime import carrying_out, effects
from flipsync.runtime.effects import EffectWorker, backoff
from flipsync.security.secrets import SecretBox
from flipsync.services import accounts
from flipsync.store.repositories import effects as effect_rows
from flipsync.store.repositories.effects import ClaimedEffect, Outcome

Hire = Callable[..., EffectWorker]


async def give_up(shop: Shop, effect_id: UUID) -> None:
    """The next attempt of the effect will be its last."""
    async with shop.unit() as unit:
        await unit.session.execute(
            text("UPDATE effect SET attempts = :attempts WHERE id = :id"),
            {"attempts": effects.MAX_ATTEMPTS - 1, "id": effect_id},
        )


# -- prices -----------------------------------------------------------------------------------------------------------


async def test_a_price_is_written_read_back_and_booked(stall: Stall, hire: Hire) -> None:
    effect = await stall.price(3100)
    await drain(hire(), stall.shop)
    assert [call.method for call in stall.channel.calls] == ["set_price", "read_listing"]
    assert (await stall.shop.effect(effect)).state == "confirmed"
    assert await stall.outcomes(effect) == ["confirmed"]
    assert (await stall.row()).price_minor == 3100
    change = (await stall.shop.rows("SELECT old_minor, new_minor, floor_minor FROM price_change"))[0]
    assert (change.old_minor, change.new_minor) == (2999, 3100)
    assert 1000 < change.floor_minor < 2999, "the floor that was in force, above cost"
    assert [event["price"] for event in await stall.shop.events(PriceSet)] == [dollars(3100).model_dump()]


async def test_retryable_comes_back_after_a_pause_and_succeeds(stall: Stall, hire: Hire) -> None:
    stall.channel.script("set_price", Step(Retryable("busy", after=1.5)), Step(Retryable("busy")))
    effect = await stall.price()
    worker = hire()
    await worker.step()
    waiting = await stall.shop.effect(effect)
    assert waiting.state == "pending" and waiting.finished_at is None
    assert waiting.not_before > utc_now()
    assert await worker.step() == 0, "not before its time"
    await drain(worker, stall.shop)
    assert await stall.outcomes(effect) == ["retryable", "retryable", "confirmed"]


async def test_rejected_is_final_and_told(stall: Stall, hire: Hire) -> None:
    stall.channel.script("set_price", Step(Rejected("price too silly", vendor_code="E17")))
    effect = await stall.price()
    await drain(hire(), stall.shop)
    assert (await stall.shop.effect(effect)).state == "rejected"
    assert (await stall.row()).price_minor == 2999
    told = (await stall.shop.events(EffectFailed))[0]
    assert (told["effect_id"], told["outcome"], told["auth"]) == (str(effect), "rejected", False)
    assert (await stall.shop.rows("SELECT vendor_code FROM receipt"))[0][0] == "E17"


async def test_refused_credentials_are_told_as_such(stall: Stall, hire: Hire) -> None:
    stall.channel.script("set_price", Step(Rejected("who are you?", auth=True)))
    await stall.price()
    await drain(hire(), stall.shop)
    assert (await stall.shop.events(EffectFailed))[0]["auth"] is True


@pytest.mark.parametrize(("applied", "writes"), [(True, 1), (False, 2)])
async def test_when_nobody_knows_the_channel_is_read_before_it_is_written(
    stall: Stall, hire: Hire, applied: bool, writes: int
) -> None:
    stall.channel.script("set_price", Step(OutcomeUnknown("timeout"), applied=applied))
    effect = await stall.price(3100)
    await drain(hire(), stall.shop)
    methods = [call.method for call in stall.channel.calls]
    assert methods[:2] == ["set_price", "read_listing"]
    assert methods.count("set_price") == writes
    assert await stall.outcomes(effect) == ["unknown", "confirmed"]
    assert (await stall.row()).price_minor == 3100
    assert len(await stall.shop.rows("SELECT 1 FROM price_change")) == 1


async def test_a_write_that_the_channel_ignores_is_not_confirmed(stall: Stall, hire: Hire) -> None:
    stall.channel.script("set_price", Step(ignored=True))
    effect = await stall.price(3100)
    await drain(hire(), stall.shop)
    assert await stall.outcomes(effect) == ["unknown", "confirmed"]
    assert len(stall.channel.made("set_price")) == 2


async def test_after_the_last_attempt_unknown_stays_unknown_and_a_person_hears_of_it(stall: Stall, hire: Hire) -> None:
    """One attempt may have happened, all others were told to come back: nobody may say that nothing happened."""
    stall.channel.script("set_price", Step(OutcomeUnknown("timeout")))
    effect = await stall.price(3100)
    worker = hire()
    await worker.step()
    await give_up(stall.shop, effect)
    stall.channel.script("read_listing", Step(Retryable("maintenance")))
    await drain(worker, stall.shop)
    assert (await stall.shop.effect(effect)).state == "unknown"
    assert [event["outcome"] for event in await stall.shop.events(EffectFailed)] == ["unknown"]


async def test_what_never_happened_is_tried_for_a_day_and_then_rejected(
    stall: Stall, hire: Hire, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = await stall.price(3100)
    await give_up(stall.shop, patient)
    stall.channel.script("set_price", Step(Retryable("maintenance")))
    await drain(hire(), stall.shop)
    assert (await stall.shop.effect(patient)).state == "confirmed", "an outage of minutes costs nothing but time"
    monkeypatch.setattr(effects, "PATIENCE_HOURS", 0.0)
    effect = await stall.price(3200)
    await give_up(stall.shop, effect)
    stall.channel.script("set_price", Step(Retryable("maintenance")))
    await drain(hire(), stall.shop)
    assert (await stall.shop.effect(effect)).state == "rejected"
    assert [event["outcome"] for event in await stall.shop.events(EffectFailed)] == ["rejected"]


def _forged(command: c.ChangePrice, **changes: Any) -> c.ChangePrice:
    assert command.certificate is not None
    return command.model_copy(update={"certificate": {**command.certificate, **changes}})


async def test_no_price_leaves_without_the_firewalls_fresh_signature(stall: Stall, hire: Hire) -> None:
    good = await stall.shop.signed_price(stall.account, stall.listing, 3100)
    assert good.certificate is not None
    stranger = Shop(stall.shop.store, stall.shop.tenant_id)
    other = await stall.shop.listing(await stall.shop.account(), stall.goods)
    for bad in (
        good.model_copy(update={"certificate": None}),
        good.model_copy(update={"price": dollars(1)}),
        _forged(good, signature="0" * 64),
        _forged(good, payload=good.certificate["payload"].replace("3100", "1100")),
        await stranger.signed_price(stall.account, stall.listing, 3100),
        good.model_copy(
            update={"certificate": (await stall.shop.signed_price(stall.account, other, 3100)).certificate}
        ),
    ):
        effect = await stall.shop.enqueue(bad, stall.account)
        await drain(hire(), stall.shop)
        assert (await stall.shop.effect(effect)).state == "rejected"
    assert stall.channel.calls == [], "nothing was sent"
    assert {row.vendor_code for row in await stall.shop.rows("SELECT vendor_code FROM receipt")} == {"certificate"}


async def test_a_price_signed_against_another_price_is_stale(stall: Stall, hire: Hire) -> None:
    """Two agents decided from 29.99 at once; the second step would be measured from a price that is gone."""
    first, second = await stall.price(3100), await stall.price(2800)
    await drain(hire(), stall.shop)
    assert (await stall.shop.effect(first)).state == "confirmed"
    assert (await stall.shop.effect(second)).state == "rejected"
    assert stall.channel.shelves[stall.external_id].price == dollars(3100)


async def test_an_expired_signature_is_refused(stall: Stall, hire: Hire, monkeypatch: pytest.MonkeyPatch) -> None:
    effect = await stall.price(3100)

    class Later:
        def now(self) -> Any:
            return utc_now() + timedelta(hours=1)

    monkeypatch.setattr(stall.shop.store, "clock", Later())
    await drain(hire(), stall.shop)
    assert (await stall.shop.effect(effect)).state == "rejected"
    assert stall.channel.calls == []


async def test_a_price_that_was_sent_in_time_is_booked_however_late_its_worker_comes_back(
    stall: Stall, hire: Hire, monkeypatch: pytest.MonkeyPatch
) -> None:
    effect = await stall.price(3100)
    stall.channel.script("set_price", Step(OutcomeUnknown("no answer"), applied=True))
    await hire().step()
    assert (await stall.shop.effect(effect)).state == "unknown"

    class Later:
        def now(self) -> Any:
            return utc_now() + timedelta(hours=1)

    monkeypatch.setattr(stall.shop.store, "clock", Later())
    await drain(hire(), stall.shop)
    assert (await stall.shop.effect(effect)).state == "confirmed"
    assert (await stall.row()).price_minor == 3100 and len(stall.channel.made("set_price")) == 1


async def test_a_price_that_was_written_and_cannot_be_read_back_is_unknown(stall: Stall, hire: Hire) -> None:
    """It has happened: a newer price must not take its place as if it had not."""
    effect = await stall.price(3100)
    stall.channel.script("read_listing", Step(Retryable("busy")))
    await hire().step()
    assert (await stall.shop.effect(effect)).state == "unknown"
    await drain(hire(), stall.shop)
    assert (await stall.shop.effect(effect)).state == "confirmed"
    assert len(stall.channel.made("set_price")) == 1, "it was there already"


# -- claiming ---------------------------------------------------------------------------------------------------------


async def claim(shop: Shop, *, owner: str = "a:1", limit: int = 10, lease: float = 60) -> list[Any]:
    async with shop.store.database.unbound() as session:
        return (await effect_rows.claim(session, owner=owner, limit=limit, lease_seconds=lease)).effects


async def finish(shop: Shop, *effects: ClaimedEffect, detail: str = "") -> set[UUID]:
    """Those that were still ours."""
    async with shop.unit() as unit:
        outcome = Outcome("confirmed", "confirmed", utc_now(), detail=detail)
        return await effect_rows.finish(unit.session, shop.tenant_id, [(effect, outcome) for effect in effects])


async def test_one_effect_of_a_subject_at_a_time(stall: Stall) -> None:
    first, second = await stall.quantity(3), await stall.quantity(2)
    claimed = await claim(stall.shop)
    assert [effect.id for effect in claimed] == [first]
    assert await claim(stall.shop) == []
    assert await finish(stall.shop, claimed[0]) == {first}
    assert [effect.id for effect in await claim(stall.shop)] == [second]


async def test_orders_are_fetched_while_ten_thousand_listings_are_compared(stall: Stall) -> None:
    compare = await stall.shop.enqueue(c.VerifyListings(account_id=stall.account.id), stall.account)
    assert [effect.id for effect in await claim(stall.shop)] == [compare]
    pull = await stall.shop.enqueue(c.PullOrders(account_id=stall.account.id), stall.account)
    await stall.shop.enqueue(c.PullOrders(account_id=stall.account.id), stall.account)
    assert [effect.id for effect in await claim(stall.shop)] == [pull], "one of a kind at a time"


@pytest.mark.parametrize("refused", [False, True])
async def test_how_the_channel_rates_us_is_noted_and_spoils_nothing(
    stall: Stall, hire: Hire, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def rating() -> SellerRating:
        if refused:
            raise Rejected("not yours to read", auth=True)
        return SellerRating(level="below", because=("LATE_SHIPMENT_RATE",))

    monkeypatch.setattr(stall.channel, "rating", rating)
    effect = await stall.shop.enqueue(c.VerifyListings(account_id=stall.account.id), stall.account)
    await drain(hire(), stall.shop)
    assert await stall.outcomes(effect) == ["confirmed"]
    (row,) = await stall.shop.rows("SELECT rated, rated_because, status FROM marketplace_account")
    told = ("", "") if refused else ("below", "LATE_SHIPMENT_RATE")
    assert (row.rated, row.rated_because, row.status) == (*told, "connected")
    assert len(await stall.shop.events(AccountHealthChanged)) == (0 if refused else 1)


async def test_many_workers_never_claim_the_same_effect(stall: Stall, channels: Channels) -> None:
    for _ in range(8):
        other = await Stall(stall.shop, channels).open(units=1)
        await other.quantity(1)
    batches = await asyncio.gather(*(claim(stall.shop, owner=f"w{n}:1", limit=3) for n in range(5)))
    ids = [effect.id for batch in batches for effect in batch]
    assert len(ids) == len(set(ids)) == 8


async def test_the_most_urgent_goes_first(stall: Stall, channels: Channels) -> None:
    bulk = await stall.shop.enqueue(c.VerifyListings(account_id=stall.account.id), stall.account)
    stalls = [await Stall(stall.shop, channels).open(units=4) for _ in range(3)]
    price = await stalls[0].price()
    shelf = await stalls[1].quantity(3)
    last = await stalls[2].quantity(1, last_unit=True)
    claimed = [(await claim(stall.shop, limit=1))[0].id for _ in range(4)]
    assert claimed == [last, shelf, price, bulk]


async def test_an_old_life_of_a_worker_cannot_finish_what_a_new_one_took_over(stall: Stall) -> None:
    await stall.price()
    (old,) = await claim(stall.shop, lease=0.01)
    await asyncio.sleep(0.05)
    (new,) = await claim(stall.shop, owner="a:2")
    assert new.id == old.id and new.epoch == old.epoch + 1
    assert new.uncertain, "the old life may have written"
    finished = []
    for mine in (old, new):
        finished.append(await finish(stall.shop, mine))
    assert finished == [set(), {new.id}]
    assert len(await stall.shop.rows("SELECT 1 FROM receipt")) == 1


async def test_a_worker_that_dies_in_the_middle_of_a_write_is_followed_by_one_that_looks_first(
    stall: Stall, hire: Hire
) -> None:
    reached, never = asyncio.Event(), asyncio.Event()
    real = stall.channel.set_price

    async def hang(*arguments: Any) -> Any:
        await real(*arguments)
        reached.set()
        await never.wait()

    stall.channel.set_price = hang  # type: ignore[method-assign]
    effect = await stall.price(3100)
    dying = asyncio.create_task(hire().step())
    await asyncio.wait_for(reached.wait(), 5)
    dying.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await dying
    stall.channel.set_price = real  # type: ignore[method-assign]
    assert (await stall.shop.effect(effect)).state == "leased"
    await drain(hire(), stall.shop)
    assert (await stall.shop.effect(effect)).state == "confirmed"
    assert len(stall.channel.made("set_price")) == 1, "it had happened already"
    assert len(await stall.shop.rows("SELECT 1 FROM price_change")) == 1


async def test_a_worker_of_another_slot_leaves_running_effects_alone(stall: Stall, hire: Hire) -> None:
    await stall.price()
    await claim(stall.shop, owner="effects-1:life")
    worker = hire("effects-10")
    await worker.begin()
    assert await worker.step() == 0


async def test_a_newer_command_makes_waiting_older_ones_pointless(stall: Stall) -> None:
    older = await stall.quantity(3)
    async with stall.shop.unit() as unit:
        newer = stall.instead(unit, 2)
    assert [effect.id for effect in await claim(stall.shop)] == [newer]
    assert (await stall.shop.effect(older)).state == "superseded"


async def test_of_one_batch_only_the_newest_goes_out(stall: Stall) -> None:
    async with stall.shop.unit() as unit:
        older, newer = stall.instead(unit, 3), stall.instead(unit, 2)
    assert [effect.id for effect in await claim(stall.shop)] == [newer]
    row = await stall.shop.effect(older)
    assert row.state == "superseded" and row.finished_at is not None


async def test_what_is_superseded_while_it_is_being_claimed_is_not_sent(stall: Stall) -> None:
    older = await stall.quantity(3)
    async with stall.shop.unit() as unit:
        stall.instead(unit, 2)
        await unit.flush()
        claiming = asyncio.create_task(claim(stall.shop))
        await asyncio.sleep(0.2)  # it waits for the row now
    assert await claiming == []
    assert (await stall.shop.effect(older)).state == "superseded"


async def test_asking_twice_with_one_key_does_nothing_twice(stall: Stall, hire: Hire) -> None:
    command = await stall.shop.signed_price(stall.account, stall.listing, 3100)
    for _ in range(2):
        await stall.shop.enqueue(command, stall.account, key="once")
    await drain(hire(), stall.shop)
    assert len(stall.channel.made("set_price")) == 1


# -- accounts ---------------------------------------------------------------------------------------------------------


async def test_a_paused_account_is_not_written_to_but_read(stall: Stall, hire: Hire) -> None:
    async with stall.shop.unit() as unit:
        await accounts.pause_account(unit, stall.account.id, "credentials refused")
    write = await stall.price()
    read = await stall.shop.enqueue(c.PullOrders(account_id=stall.account.id), stall.account)
    await hire().step()
    waiting = await stall.shop.effect(write)
    assert (waiting.state, waiting.attempts) == ("pending", 0)
    assert waiting.not_before > utc_now() + timedelta(seconds=20)
    assert (await stall.shop.effect(read)).state == "confirmed"
    assert stall.channel.made("set_price") == []


async def test_five_failures_open_the_circuit_and_success_closes_it(stall: Stall, hire: Hire) -> None:
    stall.channel.script("orders", *[Step(Retryable("down", vendor_status=503))] * effects.BREAKER_FAILURES)
    effect = await stall.shop.enqueue(c.PullOrders(account_id=stall.account.id), stall.account)
    worker = hire()
    for _ in range(60):
        await worker.step()
        if len(stall.channel.made("orders")) == effects.BREAKER_FAILURES:
            break
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.03)
    await worker.step()
    held = await stall.shop.effect(effect)
    assert held.attempts == effects.BREAKER_FAILURES, "waiting counts as no attempt"
    assert len(stall.channel.made("orders")) == effects.BREAKER_FAILURES, "nobody knocks while the circuit is open"
    assert held.not_before > utc_now() + timedelta(seconds=0.3)
    await drain(worker, stall.shop)
    assert len(stall.channel.made("orders")) == effects.BREAKER_FAILURES + 1


async def test_a_channel_that_stays_down_is_told_once_and_its_return_too(stall: Stall, hire: Hire) -> None:
    worker = hire()
    stall.channel.script("orders", *[Step(Retryable("down"))] * (4 * effects.BREAKER_FAILURES))
    for _ in range(4 * effects.BREAKER_FAILURES):
        effect = await stall.shop.enqueue(c.PullOrders(account_id=stall.account.id), stall.account)
        link = worker._links.get(stall.account.id)
        if link is not None:
            link.open_until = 0.0
        await give_up(stall.shop, effect)
        await worker.step()
    assert [event["healthy"] for event in await stall.shop.events(AccountHealthChanged)] == [False]
    worker._links[stall.account.id].open_until = 0.0
    await stall.shop.enqueue(c.PullOrders(account_id=stall.account.id), stall.account)
    await drain(worker, stall.shop)
    assert [event["healthy"] for event in await stall.shop.events(AccountHealthChanged)] == [False, True]


async def test_a_disconnected_account_refuses_what_still_waits(stall: Stall, hire: Hire) -> None:
    effect = await stall.price()
    async with stall.shop.unit() as unit:
        await accounts.disconnect_account(unit, stall.account.id, "sold")
    await drain(hire(), stall.shop)
    assert (await stall.shop.effect(effect)).state == "rejected"
    assert stall.channel.calls == []


async def test_credentials_that_do_not_open_are_tried_again_not_lost(stall: Stall, channels: Channels) -> None:
    effect = await stall.price()
    wrong = EffectWorker(stall.shop.store, SecretBox(b"w" * 32), Unlimited(), stall.shop.firewall)
    await wrong.step()
    waiting = await stall.shop.effect(effect)
    assert (waiting.state, waiting.finished_at) == ("pending", None)
    assert await stall.outcomes(effect) == ["retryable"]


async def test_a_command_of_another_version_is_refused_not_retried_for_ever(
    stall: Stall, hire: Hire, as_owner: Callable[..., None]
) -> None:
    effect = await stall.price()
    as_owner("UPDATE effect SET command = 'BribeBuyer' WHERE id = :id", id=effect)
    await drain(hire(), stall.shop)
    assert (await stall.shop.effect(effect)).state == "rejected"


async def test_an_error_in_our_own_code_is_unknown_and_does_not_stop_the_worker(stall: Stall, hire: Hire) -> None:
    def broken() -> None:
        raise ZeroDivisionError("our mistake")

    stall.channel.script("set_price", Step(before=broken))
    effect = await stall.price()
    await drain(hire(), stall.shop)
    assert await stall.outcomes(effect) == ["unknown", "confirmed"]


def test_backoff_doubles_is_jittered_and_bounded() -> None:
    for attempt in range(1, 40):
        ceiling = min(60.0, 0.4 * 2 ** (attempt - 1))
        drawn = [backoff(attempt) for _ in range(50)]
        assert all(ceiling / 2 <= each <= ceiling for each in drawn)
    assert len(set(drawn)) > 1


def test_every_external_command_has_a_handler() -> None:
    external = {command for command in c.Command._registry.values() if command.scope == "external"}
    bases = {c.AccountCommand, c.ListingCommand, c.LabelCommand}
    assert external - bases == set(carrying_out._WRITES)
