"""The engine ended at its steps, one after the other: no step's effect is done twice, and none is lost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from random import Random

import pytest
from automations import House
from shop import ROUTING
from stall import Stall

from benchmarks.crash_steps import Step, Steps, steps_of
from flipsync.domain.events import OfferChanged
from flipsync.domain.workflow_messages import WorkflowBegan, WorkflowEnded
from flipsync.runtime.effects import EffectWorker
from flipsync.runtime.workflow import WorkflowEngine
from flipsync.store.database import Database
from flipsync.store.unit_of_work import Store

pytestmark = pytest.mark.slow
_AGENTS = frozenset({"market", "base_market", "executive"})


class Killed(BaseException):
    """Nothing catches it, as nothing catches SIGKILL; what was not committed is rolled back as the server would."""


class Falls(Steps):
    """Ends a life at a step by an exception: the life after it is in the same process."""

    def _end(self, name: str) -> None:
        raise Killed(name)


@pytest.fixture
async def house(stall: Stall, hire: Callable[..., EffectWorker]) -> House:
    house = House(stall, hire())
    house.begin(_AGENTS)
    return house


@pytest.fixture
async def lives(queue_urls: dict[str, str]) -> AsyncIterator[Callable[[Step | None], tuple[WorkflowEngine, Steps]]]:
    """Makes engines with connections of their own, whose database steps are counted."""
    opened: list[Store] = []

    def live(kill_at: Step | None) -> tuple[WorkflowEngine, Steps]:
        opened.append(Store(Database(queue_urls["worker"], pool_size=1), ROUTING))
        steps = Falls(kill_at, lambda _: None)
        steps.watch_database(opened[-1].database)
        return WorkflowEngine(opened[-1], batch=4), steps

    yield live
    for store in opened:
        await store.aclose()


async def run_once(house: House, engine: WorkflowEngine) -> str | None:
    """One run to its end; the name of the step the engine fell at, after which another takes over."""
    stall, fell = house.stall, None
    async with house.shop.unit() as unit:
        about = {"listing_id": stall.listing, "account_id": stall.account.id, "vendor": stall.account.vendor}
        unit.emit(OfferChanged(**about, cause="drift"))
    house.begin(_AGENTS)
    house.runners["workflows"] = engine
    for _ in range(4):
        try:
            await house.settle(seconds=60)
        except Killed as killed:
            fell = str(killed)
            house.begin(_AGENTS)  # the next life; agents and worker begin again too
        await house.answer(approved=True)
        if (await stall.row()).status == "active" and not await house.shop.rows(
            "SELECT id FROM workflow_run WHERE ended_at IS NULL"
        ):
            return fell
    raise AssertionError("the run has not come to its end")


async def test_killed_anywhere_each_step_is_done_once(
    house: House, lives: Callable[[Step | None], tuple[WorkflowEngine, Steps]]
) -> None:
    view = await house.write(
        name="off-and-on",
        trigger={"event": "OfferChanged", "where": {"all": [{"field": "cause", "op": "eq", "value": "drift"}]}},
        steps=[
            {"do": "end-listing", "reason": "killed"},
            {"do": "ask", "question": "On again?"},
            {"do": "relist"},
            {"do": "tell", "message": "it is back"},
        ],
        per_hour=5_000,
    )
    engine, steps = lives(None)
    assert await run_once(house, engine) is None
    every = steps_of(steps.passed)
    assert len(every) > 40
    dice, fallen = Random(11), set()
    for kill_at in dice.sample(every, 8):
        engine, _ = lives(kill_at)
        fallen.add(await run_once(house, engine))
    assert len(fallen - {None}) >= 3, f"it fell at {fallen}"
    runs = await house.runs(view.id)
    assert {run.state for run in runs} == {"done"}, [run for run in runs if run.state != "done"]
    assert len(runs) == 9
    for run in runs:
        assert [step.state for step in run.steps] == ["done"] * 4
        assert [len(step.facts) for step in run.steps] == [1, 1, 0, 0]
    for kind in (WorkflowBegan, WorkflowEnded):
        assert len(await house.shop.events(kind)) == 9
    (effects,) = await house.shop.rows(
        "SELECT count(*) FILTER (WHERE command = 'EndListing') AS ended,"
        " count(*) FILTER (WHERE command = 'PublishListing') AS published FROM effect WHERE tenant_id = :tenant"
    )
    assert (effects.ended, effects.published) == (9, 9)
    (asked,) = await house.shop.rows("SELECT count(*) AS n FROM approval")
    assert asked.n == 9
