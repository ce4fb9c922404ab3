"""DemandAgent on real rows: it backs what forecast best, keeps every forecast, and compares it with what sold since."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import numpy as np
import pytest
from shop import Goods, Shop, open_store

from agents import ROSTER
from agents.governance.compliance import ComplianceAgent
from agents.market.demand import DemandAgent
from flipsync.domain.clock import ManualClock
from flipsync.domain.commands import MakeForecasts
from flipsync.domain.decisions import Decision
from flipsync.domain.events import CycleStarted
from flipsync.domain.ids import new_id
from flipsync.runtime.agent import Context
from flipsync.runtime.decision_path import DecisionPath
from flipsync.runtime.gate import Gate
from flipsync.runtime.graph import Graph
from flipsync.services import demand_desk, reading_forecasts
from flipsync.services.demand_desk import DemandReview, DemandState
from flipsync.services.desk import Services
from flipsync.services.forecast_choice import choose
from flipsync.services.orders import AccountRef, ingest_order

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SCORES = {"pooled": 0.70, "zero": 0.75, "seasonal naive": 0.9, "IMAPA": 0.72}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
async def shop(database_urls: dict[str, str], clock: ManualClock) -> AsyncIterator[Shop]:
    store = open_store(database_urls["worker"], clock=clock)
    yield await Shop(store).found()
    await store.aclose()


async def decide(shop: Shop, cycle: str) -> Decision[Any]:
    told = await shop.decide(DemandAgent(), CycleStarted.model_validate({"tenant_id": shop.tenant_id, "cycle": cycle}))
    return cast(Decision[Any], told)


async def sold(shop: Shop, account: AccountRef, goods: Goods, units: int) -> None:
    async with shop.unit() as unit:
        await ingest_order(unit, account, shop.order({goods.sku: units}))


async def make(shop: Shop, decision: Decision[Any]) -> str:
    """As the runtime does; what became of it."""
    path = DecisionPath(Graph(ROSTER), Gate(shop.firewall, [ComplianceAgent()]))
    async with shop.unit() as unit:
        event_id = unit.emit(CycleStarted(tenant_id=shop.tenant_id, cycle="daily"))
        await unit.flush()
        services = Services(unit.session, shop.tenant_id, unit.now)
        context = Context(shop.tenant_id, unit.now, services, event_id, event_id)
        decision_id = await path.record(unit, context, DemandAgent.spec, decision)
    (row,) = await shop.rows("SELECT verdict, reason FROM proposal WHERE decision_id = :id", id=decision_id)
    return f"{row.verdict}: {row.reason}"


class Desk:
    """What the agent is told, without books."""

    def __init__(self, review: DemandReview, state: DemandState) -> None:
        self._review, self._state = review, state

    async def review(self) -> DemandReview:
        return self._review

    async def state(self) -> DemandState:
        return self._state


async def told(cycle: str, *, scores: dict[str, float] | None = None, **state: Any) -> Decision[Any]:
    known = DemandState(**({"origin": NOON - timedelta(days=1), "method": "pooled", "weekly": 70.0, "sold": 5} | state))
    review = DemandReview(300, 290, "pooled", SCORES if scores is None else scores, 0.81, 0.9, [])
    services: Any = type("Services", (), {"demand": Desk(review, known)})()
    tenant = new_id()
    event = CycleStarted.model_validate({"tenant_id": tenant, "cycle": cycle})
    return await DemandAgent().decide(event, Context(tenant, NOON, services, new_id(), new_id()))


async def test_it_forecasts_daily_and_in_between_when_sales_ask_for_it() -> None:
    assert not (await told("daily")).is_hold
    calm = await told("hourly")
    assert calm.is_hold and "5 units sold since" in calm.rationale
    assert not (await told("hourly", sold=36)).is_hold, "half a week's in a day"
    assert (await told("hourly", sold=500, origin=NOON - timedelta(hours=5))).is_hold, "not every hour"
    assert (await told("hourly", origin=None, method="", weekly=0.0, sold=19)).is_hold
    assert not (await told("hourly", origin=None, method="", weekly=0.0, sold=20)).is_hold
    assert (await told("daily", origin=NOON)).is_hold, "once for one moment"
    assert (await told("weekly")).is_hold and (await told("pulse")).is_hold


async def test_a_baseline_that_does_best_is_shipped_and_named() -> None:
    decision = await told("daily", scores=SCORES | {"IMAPA": 0.66})
    (command,) = decision.proposals
    assert isinstance(command, MakeForecasts)
    assert (command.method, command.baseline_wins) == ("IMAPA", True)
    assert "the baseline IMAPA is shipped" in decision.rationale
    assert [each.name for each in decision.alternatives if each.chosen] == ["IMAPA"]
    young = await told("daily", scores={})
    (command,) = young.proposals
    assert command.method == "pooled" and not command.baseline_wins and "too young" in command.why


def test_what_was_served_stays_while_it_is_as_good() -> None:
    close = {"pooled": 0.700, "IMAPA": 0.703}
    assert choose(close, "pooled", 9, "IMAPA").method == "IMAPA"
    assert choose(close, "pooled", 9, "pooled").method == "pooled"
    assert choose(close, "pooled", 9).method == "pooled"
    assert choose({"pooled": 0.703, "IMAPA": 0.7}, "pooled", 9, "shrunk").method == "pooled", "ours, by another name"
    assert choose({"pooled": 0.72, "IMAPA": 0.7}, "pooled", 9, "pooled").method == "IMAPA"


async def test_forecasts_are_kept_and_later_compared_with_what_sold(shop: Shop, clock: ManualClock) -> None:
    account = await shop.account()
    kept, empty = await shop.variant(units=500), await shop.variant(units=2)
    for goods in (kept, empty):
        await shop.listing(account, goods, units=2)
    for _ in range(4):
        clock.advance(timedelta(weeks=1))
        await sold(shop, account, kept, 4)
    decision = await decide(shop, "daily")
    assert (await make(shop, decision)).startswith("proceed")
    again = await make(shop, decision)
    assert again.startswith("deny") and "made already" in again
    (run,) = await shop.rows("SELECT * FROM forecast_run")
    (kept_as,) = await shop.rows("SELECT id FROM agent_decision WHERE id = :id", id=run.decision_id)
    assert (
        kept_as
        and run.origin == clock.now()
        and run.method == "shrunk"
        and run.series == 2
        and len(run.code_version) == 12
    )
    told = {row.stock_item_id: row for row in await shop.rows("SELECT * FROM forecast")}
    before = told[kept.stock_item_id]
    assert 2 < before.weekly < 4 and before.low <= before.weekly <= before.high

    clock.advance(timedelta(days=3))
    await sold(shop, account, empty, 2)  # its shelf is empty from here on: the week says nothing of it
    clock.advance(timedelta(days=2))
    await sold(shop, account, kept, 3)
    clock.advance(timedelta(days=3))
    await sold(shop, account, kept, 90)  # in the second week, far outside; that week is not over
    await make(shop, await decide(shop, "daily"))
    first = {row.stock_item_id: row for row in await shop.rows(f"SELECT * FROM forecast WHERE run_id = '{run.id}'")}
    row = first[kept.stock_item_id]
    assert (row.weeks, row.sold, row.covered) == (1, 3, 1)
    assert row.squared == pytest.approx((3 - before.weekly) ** 2)
    assert row.pinball == pytest.approx(0.05 * (3 - before.low) + 0.05 * (before.high - 3))
    assert first[empty.stock_item_id].weeks == 0
    clock.advance(timedelta(weeks=1))
    await make(shop, await decide(shop, "daily"))
    async with shop.store.reader(shop.tenant_id) as session:
        (told_of,) = (await reading_forecasts.accuracy(session, clock.now())).items
        shown = await reading_forecasts.of_goods(session, kept.stock_item_id, clock.now())
    assert (told_of.method, told_of.baseline, told_of.weeks) == ("shrunk", False, 3)
    oldest = shown.forecasts[-1]
    assert (oldest.weeks, oldest.sold, oldest.inside) == (2, 93, 1)
    wanted = np.sqrt(((3 - before.weekly) ** 2 + (90 - before.weekly) ** 2) / 2) / before.scale
    assert oldest.rmsse == pytest.approx(wanted, abs=1e-3)


async def test_old_forecasts_go_but_one_a_week(shop: Shop, clock: ManualClock) -> None:
    account, goods = await shop.account(), await shop.variant(units=50)
    await shop.listing(account, goods, units=2)
    command = MakeForecasts(
        tenant_id=shop.tenant_id, origin=NOON, method="zero", baseline_wins=True, why="", rmsse={"zero": 1.0}
    )
    for _ in range(3 * 40):
        clock.advance(timedelta(hours=8))
        async with shop.unit() as unit:
            await demand_desk.make(unit, command.model_copy(update={"origin": unit.now}))
    async with shop.unit() as unit:
        await demand_desk.forget_old(unit)
    origins = [row.origin for row in await shop.rows("SELECT origin FROM forecast_run ORDER BY origin")]
    assert clock.now().date().isoformat() == "2026-04-11", "a Saturday"
    daily = [origin for origin in origins if origin.date().isoformat() >= "2026-03-23"]
    weekly = origins[: -len(daily)]
    assert len({origin.date() for origin in daily}) == 20 and len(daily) == 21, "the first of each day, of today both"
    assert [origin.date().isoformat() for origin in weekly] == ["2026-03-02", "2026-03-09", "2026-03-16"]
    clock.advance(timedelta(weeks=30))
    async with shop.unit() as unit:
        await demand_desk.forget_old(unit)
    assert await shop.rows("SELECT id FROM forecast") == []


async def test_another_business_has_no_forecasts_of_ours(shop: Shop, clock: ManualClock) -> None:
    account, goods = await shop.account(), await shop.variant(units=50)
    await shop.listing(account, goods, units=2)
    clock.advance(timedelta(weeks=2))
    await make(shop, await decide(shop, "daily"))
    stranger = await Shop(shop.store).found()
    decision = await decide(stranger, "daily")
    assert decision.is_hold and "for sale" in decision.rationale
    foreign = await stranger.decide(DemandAgent(), CycleStarted(tenant_id=shop.tenant_id, cycle="daily"))
    assert foreign.is_hold
    async with stranger.store.reader(stranger.tenant_id) as session:
        assert await reading_forecasts.stored_forecasts(session, clock.now()) is None
    async with shop.store.reader(shop.tenant_id) as session:
        stored = await reading_forecasts.stored_forecasts(session, clock.now(), goods.sku)
        assert stored is not None and stored.items[0].sku == goods.sku and stored.stored
        later = clock.now() + timedelta(hours=37)
        assert await reading_forecasts.stored_forecasts(session, later) is None, "too old"
