"""Automations at work: steps that wait, ask, act through agents and gate, are taken back, stopped, set aside."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from automations import House
from scripted_channel import Step
from shop import dollars
from stall import Stall

from flipsync.domain.clock import utc_now
from flipsync.domain.errors import Conflict, Rejected
from flipsync.domain.events import OfferChanged, PriceSet
from flipsync.domain.workflow_messages import WorkflowEnded, WorkflowStopped
from flipsync.runtime.effects import EffectWorker
from flipsync.runtime.mailbox import LOOK_SECONDS, Mailbox, RedisWaker
from flipsync.runtime.runner import SupersededError
from flipsync.runtime.workflow import WorkflowEngine
from flipsync.services import set_aside, workflows
from flipsync.services.reading_page import SortedRequest
from flipsync.store.journal import WORKFLOWS
from flipsync.store.repositories.matters import open_matters

DEARER = {"do": "set-price", "change_bps": 300}
ON_PRICE = {"event": "PriceSet"}


@pytest.fixture
async def house(stall: Stall, hire: Callable[..., EffectWorker]) -> House:
    return House(stall, hire())


async def tell_price(house: House, minor: int = 2999) -> None:
    stall = house.stall
    async with house.shop.unit() as unit:
        about = {"listing_id": stall.listing, "account_id": stall.account.id, "vendor": stall.account.vendor}
        unit.emit(PriceSet(**about, price=dollars(minor)))


async def states(house: House, automation: workflows.WorkflowView) -> list[str]:
    return [run.state for run in await house.runs(automation.id)]


async def test_an_action_goes_through_agent_gate_and_channel_once(house: House) -> None:
    view = await house.write(name="dearer", trigger={"event": "OrderReceived"}, steps=[{"do": "check-channel"}])
    assert view.version == 1 and view.state == "active"
    view = await house.write(name="dearer", trigger=ON_PRICE, steps=[DEARER, {"do": "tell", "message": "it is dearer"}])
    assert view.version == 2
    # a fact of another price does not meet the condition
    cond = {"all": [{"field": "price.amount_minor", "op": "eq", "value": 2999}, _active()]}
    view = await house.write(
        name="dearer", trigger=ON_PRICE | {"where": cond}, steps=[DEARER, {"do": "tell", "message": "it is dearer"}]
    )
    await tell_price(house, 1000)
    await tell_price(house)
    await house.settle()
    (run,) = await house.runs(view.id)
    assert (run.state, run.version, [step.state for step in run.steps]) == ("done", 3, ["done", "done"])
    assert run.steps[0].why == "the channel has confirmed it"
    assert house.stall.channel.shelves[house.stall.external_id].price == dollars(3089)
    assert len([call for call in house.stall.channel.calls if call.method == "update_price"]) <= 1
    assert len(await house.shop.events(WorkflowEnded)) == 1
    assert (await house.state(view.id)).runs == {"done": 1}


def _active() -> dict[str, object]:
    return {"field": "listing.status", "op": "eq", "value": "active"}


async def test_what_is_refused_fails_the_run_and_what_was_done_before_is_taken_back(house: House) -> None:
    view = await house.write(
        name="undone",
        trigger=ON_PRICE | {"where": {"all": [{"field": "price.amount_minor", "op": "eq", "value": 2999}]}},
        steps=[DEARER, {"do": "ask", "question": "Keep it?"}],
        on_failure="undo",
    )
    await tell_price(house)
    await house.settle()
    assert house.stall.channel.shelves[house.stall.external_id].price == dollars(3089)
    assert await house.answer(approved=False) == 1
    await house.settle()
    (run,) = await house.runs(view.id)
    assert run.state == "failed", run
    assert [(step.do, step.undo, step.state) for step in run.steps] == [
        ("set-price", False, "done"),
        ("ask", False, "failed"),
        ("set-price", True, "done"),
    ]
    assert house.stall.channel.shelves[house.stall.external_id].price == dollars(2999)


async def test_a_refusal_of_the_channel_is_the_runs_reason(house: House) -> None:
    house.stall.channel.script("set_price", *[Step(raises=Rejected("no such offer"))] * 3)
    view = await house.write(name="refused", trigger=ON_PRICE, steps=[DEARER, {"do": "tell", "message": "never"}])
    await tell_price(house)
    await house.settle()
    (run,) = await house.runs(view.id)
    assert run.state == "failed" and "refused" in run.why
    assert len(run.steps) == 1


async def test_yes_goes_on_and_no_ends_it(house: House) -> None:
    view = await house.write(
        name="asks-first",
        trigger=ON_PRICE,
        steps=[{"do": "ask", "question": "Really?"}, {"do": "end-listing", "reason": "test"}],
    )
    await tell_price(house)
    await house.settle()
    assert await states(house, view) == ["running"]
    assert await house.answer(approved=True) == 1
    await house.settle()
    assert await states(house, view) == ["done"]
    assert (await house.stall.row()).status == "ended"


async def test_an_automation_that_triggers_itself_is_stopped_and_told(house: House) -> None:
    view = await house.write(name="circle", trigger=ON_PRICE, steps=[DEARER])
    assert view.may_trigger_itself
    await tell_price(house)
    await house.settle()
    found = await house.state(view.id)
    assert found.state == "stopped" and found.note.startswith("it triggered itself")
    assert len(await house.runs(view.id)) == 1
    (told,) = await house.shop.events(WorkflowStopped)
    assert told["name"] == "circle"
    async with house.shop.store.reader(house.shop.tenant_id) as session:
        matters = await open_matters(session, utc_now(), utc_now(), 10)
    ours = [(each.kind, each.facts["automation"]) for each in matters if each.source == "automation"]
    assert ours == [("automation-stopped", "circle")]
    await tell_price(house)
    await house.settle()
    assert len(await house.runs(view.id)) == 1, "a stopped one does not run"


async def test_two_that_set_each_other_going_are_stopped(house: House) -> None:
    steps = [{"do": "set-price", "change_bps": 10}]
    first = await house.write(name="one", trigger=ON_PRICE, steps=steps)
    other = await house.write(
        name="two", trigger={"event": "OfferChanged"}, steps=[{"do": "set-price", "change_bps": -10}]
    )
    stall = house.stall
    async with house.shop.unit() as unit:
        about = {"listing_id": stall.listing, "account_id": stall.account.id, "vendor": stall.account.vendor}
        unit.emit(OfferChanged(**about, cause="cost"))
    await house.settle()
    ran = len(await house.runs(first.id)) + len(await house.runs(other.id))
    assert ran <= 4


async def test_more_than_it_may_within_an_hour_stops_it(house: House) -> None:
    view = await house.write(name="often", trigger=ON_PRICE, steps=[{"do": "tell", "message": "told"}], per_hour=3)
    for _ in range(6):
        await tell_price(house)
    await house.settle()
    found = await house.state(view.id)
    assert found.state == "stopped" and "3 times within an hour" in found.note
    assert await states(house, view) == ["done"] * 3
    async with house.shop.unit() as unit:
        await workflows.resume(unit, view.id)
    await tell_price(house)
    await house.settle()
    assert await states(house, view) == ["done"] * 4, "what was before it was resumed counts no more"


async def test_once_about_one_thing_in_so_many_hours(house: House) -> None:
    view = await house.write(
        name="seldom", trigger=ON_PRICE, steps=[{"do": "tell", "message": "told"}], quiet_hours_per_thing=24
    )
    for _ in range(3):
        await tell_price(house)
    await house.settle()
    assert await states(house, view) == ["done"]


async def test_waiting_for_a_fact_hears_it_and_gives_up_in_time(house: House) -> None:
    waits = {
        "do": "await",
        "event": "OfferChanged",
        "where": {"all": [{"field": "cause", "op": "eq", "value": "sale"}]},
        "within_hours": 5,
    }
    view = await house.write(name="waits", trigger=ON_PRICE, steps=[waits, {"do": "tell", "message": "heard"}])
    await tell_price(house)
    await house.settle()
    assert await states(house, view) == ["running"]
    stall = house.stall
    about = {"listing_id": stall.listing, "account_id": stall.account.id, "vendor": stall.account.vendor}
    for cause in ("stock", "sale"):
        # facts that are not meant, more than are read at once, are passed over
        if cause == "stock":
            async with house.shop.unit() as unit:
                for _ in range(120):
                    unit.emit(OfferChanged(**about, cause="cost"))
        async with house.shop.unit() as unit:
            unit.emit(OfferChanged(**about, cause=cause))
    await house.settle()
    assert await states(house, view) == ["done"]
    assert await house.shop.rows("SELECT id FROM workflow_watch WHERE run_id IS NOT NULL") == []


async def test_a_run_is_cancelled_and_its_question_closed(house: House) -> None:
    view = await house.write(name="cancelled", trigger=ON_PRICE, steps=[{"do": "ask", "question": "Shall it?"}])
    await tell_price(house)
    await house.settle()
    (run,) = await house.runs(view.id)
    async with house.shop.unit() as unit:
        await workflows.cancel(unit, run.id, undo=False)
    await house.settle()
    assert await states(house, view) == ["cancelled"]
    assert await house.answer(approved=True) == 0
    with pytest.raises(Conflict, match="cancelled already"):
        async with house.shop.unit() as unit:
            await workflows.cancel(unit, run.id, undo=False)
    open_ = await house.shop.rows(
        "SELECT id FROM agent_task WHERE agent = 'workflows' AND tenant_id = :tenant AND state <> 'done'"
    )
    assert open_ == []


async def test_cancelled_with_undo_while_a_price_is_on_its_way(house: House) -> None:
    view = await house.write(
        name="midway",
        trigger=ON_PRICE | {"where": {"all": [{"field": "price.amount_minor", "op": "eq", "value": 2999}]}},
        steps=[DEARER, {"do": "wait", "hours": 5}],
    )
    await tell_price(house)
    await house.settle()
    (run,) = await house.runs(view.id)
    assert run.steps[-1].do == "wait"
    async with house.shop.unit() as unit:
        await workflows.cancel(unit, run.id, undo=True)
    await house.settle()
    assert await states(house, view) == ["cancelled"]
    assert house.stall.channel.shelves[house.stall.external_id].price == dollars(2999)


async def test_what_always_fails_is_set_aside_with_its_message_and_others_go_on(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flipsync.runtime import workflow_steps

    poison = await house.write(name="poison", trigger=ON_PRICE, steps=[{"do": "tell", "message": "poison"}])
    good = await house.write(name="good", trigger=ON_PRICE, steps=[{"do": "tell", "message": "good"}])
    come_to = workflow_steps.come_to

    async def spoiled(at: workflow_steps.At) -> workflow_steps.Outcome:
        if at.workflow.name == "poison":
            raise ZeroDivisionError("cannot be divided")
        return await come_to(at)

    monkeypatch.setattr(workflow_steps, "come_to", spoiled)
    await tell_price(house)
    await house.settle()
    assert await states(house, good) == ["done"]
    (run,) = await house.runs(poison.id)
    assert (run.state, run.why) == ("quarantined", "ZeroDivisionError: cannot be divided")
    async with house.shop.store.reader(house.shop.tenant_id) as session:
        page = await set_aside.list_set_aside(session, SortedRequest(), set_aside.SetAsideFilter())
    (aside,) = page.items
    assert aside.agent == "workflows" and "cannot be divided" in aside.error
    monkeypatch.undo()
    async with house.shop.unit() as unit:
        await set_aside.release(unit, aside.id)
    await house.settle()
    assert await states(house, poison) == ["done"]


async def test_paused_it_begins_nothing_new(house: House) -> None:
    view = await house.write(name="paused", trigger=ON_PRICE, steps=[{"do": "tell", "message": "told"}])
    async with house.shop.unit() as unit:
        await workflows.pause(unit, view.id)
    await tell_price(house)
    await house.settle()
    assert await house.runs(view.id) == []
    async with house.shop.unit() as unit:
        await workflows.resume(unit, view.id)
    await tell_price(house)
    await house.settle()
    assert await states(house, view) == ["done"]


async def test_it_is_woken_by_the_fact_and_looks_at_nothing_meanwhile(
    house: House, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = house.shop.store
    waker = RedisWaker(redis_url)
    monkeypatch.setattr(store, "waker", waker)
    view = await house.write(name="woken", trigger=ON_PRICE, steps=[{"do": "tell", "message": "told"}])
    engine = WorkflowEngine(store, Mailbox(redis_url, [WORKFLOWS]))
    work = asyncio.create_task(engine.run())
    try:
        await asyncio.sleep(0.6)  # it has looked, and sleeps
        await tell_price(house)
        async with asyncio.timeout(LOOK_SECONDS / 2):
            while await states(house, view) != ["done"]:
                await asyncio.sleep(0.02)
    finally:
        work.cancel()
        await waker.aclose()
    async with store.reader(house.shop.tenant_id) as session:
        matters = await open_matters(session, utc_now(), utc_now(), 10)
    ours = [(each.kind, each.facts["message"]) for each in matters if each.source == "automation"]
    assert ours == [("automation-says", "told")]


async def test_an_earlier_life_of_the_engine_does_nothing_more(house: House) -> None:
    view = await house.write(name="fenced", trigger=ON_PRICE, steps=[{"do": "tell", "message": "told"}])
    old, new = WorkflowEngine(house.shop.store), WorkflowEngine(house.shop.store)
    await old.begin()
    await new.begin()
    await tell_price(house)
    with pytest.raises(SupersededError):
        await old.step()  # it claims with its old epoch, and what it would write is the next life's
    for _ in range(4):
        await new.step()
    assert await states(house, view) == ["done"]
    assert len(await house.shop.events(WorkflowEnded)) == 1
