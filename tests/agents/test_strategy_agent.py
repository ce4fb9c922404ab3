"""StrategyAgent on real rows: a plan from the kept forecasts, endorsed, compared with what was sold, and graded."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from shop import Shop, open_store
from sqlalchemy import text

from agents import ROSTER
from agents.executive.executive import ExecutiveAgent
from agents.executive.strategy import StrategyAgent
from agents.governance.compliance import ComplianceAgent
from flipsync.domain.clock import ManualClock
from flipsync.domain.commands import MakeForecasts
from flipsync.domain.decisions import Decision
from flipsync.domain.events import CycleStarted, Event
from flipsync.domain.goals import Goals
from flipsync.domain.steering_commands import AdoptPlan, IssueDirective, SetTarget
from flipsync.domain.steering_events import PlanDue
from flipsync.runtime.decision_path import DecisionPath
from flipsync.runtime.gate import Gate
from flipsync.runtime.graph import Graph
from flipsync.runtime.runner import AgentRunner
from flipsync.services import demand_desk, grading, outlook, sales_facts
from flipsync.services.goals import GoalsChange, set_goals
from flipsync.services.orders import ingest_order
from flipsync.services.plan_targets import chance_of, target_for, wanted_chance
from flipsync.services.reading_page import PageRequest
from flipsync.services.strategy_desk import PlanView, _days, list_plans
from flipsync.services.why import explain

WEEK = timedelta(weeks=1)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 3, 2, 12, tzinfo=UTC))


@pytest.fixture
async def shop(database_urls: dict[str, str], clock: ManualClock) -> AsyncIterator[Shop]:
    store = open_store(database_urls["worker"], clock=clock)
    yield await Shop(store).found()
    await store.aclose()


async def decide(shop: Shop, event: Event | None = None) -> Decision[Any]:
    told = await shop.decide(StrategyAgent(), event or PlanDue(tenant_id=shop.tenant_id))
    return cast(Decision[Any], told)


async def run(shop: Shop, agent: Any) -> None:
    path = DecisionPath(Graph(ROSTER), Gate(shop.firewall, [ComplianceAgent()]))
    runner = AgentRunner(agent, shop.store, path)
    await runner.begin()
    while await runner.step():
        pass


async def tell(shop: Shop, event: Event) -> None:
    async with shop.unit() as unit:
        unit.emit(event)
    await run(shop, StrategyAgent())
    await run(shop, ExecutiveAgent())


async def sell(shop: Shop, clock: ManualClock, account: Any, skus: dict[str, int], weeks: int) -> None:
    for _ in range(weeks):
        clock.advance(WEEK)
        async with shop.unit() as unit:
            await ingest_order(unit, account, shop.order(skus))


async def forecast(shop: Shop) -> None:
    async with shop.unit() as unit:
        made = MakeForecasts(
            tenant_id=shop.tenant_id, origin=unit.now, method="shrunk", baseline_wins=False, why="the only one"
        )
        await demand_desk.make(unit, made)


async def plans(shop: Shop, clock: ManualClock) -> list[PlanView]:
    async with shop.store.reader(shop.tenant_id) as session:
        return (await list_plans(session, PageRequest(), clock.now())).items


async def test_without_forecasts_there_is_no_plan(shop: Shop) -> None:
    assert "no forecast" in (await decide(shop)).rationale
    day = CycleStarted(tenant_id=shop.tenant_id, cycle="daily")
    assert "no forecast" in (await decide(shop, day)).rationale, "the first one waits for them alone"
    stranger = await Shop(shop.store).found()
    assert (await decide(shop, PlanDue(tenant_id=stranger.tenant_id))).is_hold


async def test_a_plan_is_made_endorsed_compared_and_graded(shop: Shop, clock: ManualClock) -> None:
    account = await shop.account(name="stall")
    mugs, rugs = await shop.variant(units=900), await shop.variant(units=500, title="Rug")
    for goods in (mugs, rugs):
        await shop.listing(account, goods, units=400)
    async with shop.unit() as unit:
        await unit.session.execute(text("UPDATE product SET category = 'rugs' WHERE id = :id"), {"id": rugs.product_id})
    await sell(shop, clock, account, {mugs.sku: 5, rugs.sku: 1}, 16)
    await sales_facts.run(shop.store, shop.tenant_id)
    await forecast(shop)
    decision = await decide(shop)
    assert decision == await decide(shop), "the same books on the same day are planned alike"
    plan, turnover, aged, directive = decision.proposals
    assert isinstance(plan, AdoptPlan) and plan.ends_at - plan.starts_at == 4 * WEEK
    assert isinstance(turnover, SetTarget) and turnover.owner == "base_market"
    assert turnover.base == pytest.approx(4 * 6 * 2999), "what the four weeks before turned over"
    assert 0.5 < turnover.expected / turnover.base < 1.5
    assert turnover.probability == pytest.approx(0.55, abs=0.12), "balanced goals, in whole mugs"
    assert isinstance(aged, SetTarget) and aged.figure == "aged-units" and aged.skus == (rugs.sku,)
    assert isinstance(directive, IssueDirective) and directive.terms.category == "rugs"
    await tell(shop, PlanDue(tenant_id=shop.tenant_id))
    (view,) = await plans(shop, clock)
    assert [each.owner for each in view.initiatives] == ["base_market", "pricing"]
    assert [each.so_far for each in view.initiatives] == [0.0, 0.0] and view.initiatives[0].met is None
    bound = await shop.rows("SELECT kind, category FROM directive WHERE ended_at IS NULL")
    assert [(row.kind, row.category) for row in bound] == [("clear-stock", "rugs")]
    async with shop.store.reader(shop.tenant_id) as session:
        told = (await explain(session, str(view.decision_id))).to_text(width=400)
    assert "aim at: turn over" in told and f"({turnover.probability:.0%} likely)" in told
    await sell(shop, clock, account, {mugs.sku: 9, rugs.sku: 1}, 2)
    await sales_facts.run(shop.store, shop.tenant_id)
    (view,) = await plans(shop, clock)
    assert view.initiatives[0].so_far == pytest.approx(2 * 10 * 2999)
    assert view.initiatives[0].expected_so_far == pytest.approx(view.initiatives[0].expected / 2, rel=0.1)
    await sell(shop, clock, account, {mugs.sku: 9, rugs.sku: 1}, 2)
    await sales_facts.run(shop.store, shop.tenant_id)
    clock.advance(timedelta(days=2))
    await tell(shop, CycleStarted(tenant_id=shop.tenant_id, cycle="daily"))
    (view,) = await plans(shop, clock)
    first, second = view.initiatives
    assert (first.reached, first.met) == (pytest.approx(4 * 10 * 2999), True)
    assert second.reached == 4.0 and second.met is (second.target <= 4)
    await tell(shop, CycleStarted(tenant_id=shop.tenant_id, cycle="daily"))
    assert len(await shop.rows("SELECT id FROM proposal WHERE command = 'ClosePlan'")) == 1, "told once"


async def test_targets_are_graded_by_their_own_probability(
    shop: Shop, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = await shop.account()
    mugs = await shop.variant(units=900)
    await shop.listing(account, mugs, units=400)
    await sell(shop, clock, account, {mugs.sku: 5}, 12)
    await forecast(shop)
    await tell(shop, CycleStarted(tenant_id=shop.tenant_id, cycle="daily"))
    monkeypatch.setattr(grading, "_SETTLED", timedelta(seconds=-60))
    await grading.run(shop.store, shop.tenant_id)
    rows = await shop.rows("SELECT confidence, state FROM decision_outcome WHERE kind = 'plan-target'")
    (target,) = (await plans(shop, clock))[0].initiatives
    assert [(row.confidence, row.state) for row in rows] == [(pytest.approx(target.probability), "waiting")]
    clock.advance(timedelta(days=31))
    await sales_facts.run(shop.store, shop.tenant_id)
    await tell(shop, CycleStarted(tenant_id=shop.tenant_id, cycle="daily"))
    await grading.run(shop.store, shop.tenant_id)
    rows = await shop.rows("SELECT outcome, why, evidence_kind FROM decision_outcome WHERE kind = 'plan-target'")
    assert [(row.outcome, row.evidence_kind) for row in rows] == [(0, "initiative")] and rows[0].why.startswith("0 of")
    ended = await shop.rows("SELECT state FROM decision_outcome WHERE kind = 'endorsement' AND outcome = 0")
    assert ended == [], "a missed target makes letting the plan go ahead no mistake"


async def test_a_changed_goal_makes_a_new_plan_and_other_settings_none(shop: Shop, clock: ManualClock) -> None:
    account = await shop.account()
    mugs = await shop.variant(units=900)
    await shop.listing(account, mugs, units=400)
    await sell(shop, clock, account, {mugs.sku: 5}, 12)
    await forecast(shop)
    await tell(shop, PlanDue(tenant_id=shop.tenant_id))
    clock.advance(timedelta(hours=1))
    async with shop.unit() as unit:
        await set_goals(unit, GoalsChange(horizon="growth", risk="bold"))
    await run(shop, StrategyAgent())
    await run(shop, ExecutiveAgent())
    newer, older = await plans(shop, clock)
    assert older.replaced_at is not None and newer.replaced_at is None
    assert newer.initiatives[0].probability < older.initiatives[0].probability
    assert newer.initiatives[0].target > older.initiatives[0].target, "growth stretches"


def test_a_plan_runs_by_the_owners_days() -> None:
    at = datetime(2026, 3, 2, 12, tzinfo=UTC)
    plan = cast(Any, SimpleNamespace(starts_at=at, ends_at=at + 4 * WEEK))
    assert _days(plan, at + WEEK, "UTC") == (date(2026, 3, 3), date(2026, 3, 10))
    # noon in UTC is one in the morning of the next day there
    assert _days(plan, at + WEEK, "Pacific/Auckland") == (date(2026, 3, 4), date(2026, 3, 11))
    assert _days(plan, at + 9 * WEEK, "UTC") == (date(2026, 3, 3), date(2026, 3, 31)), "it is over"


def test_chances_and_targets_are_each_others_inverse() -> None:
    values = np.random.default_rng(3).gamma(4.0, 2500.0, 20_000)
    quantiles = outlook.quantiles(values)
    for chance in (0.1, 0.3, 0.55, 0.8, 0.95):
        target = target_for(quantiles, chance)
        assert chance_of(quantiles, target) == pytest.approx(chance, abs=0.02)
        assert (values >= target).mean() == pytest.approx(chance, abs=0.02)
    assert chance_of(quantiles, values.max() * 2) == 0.01 and chance_of(quantiles, 0.0) == 0.99
    assert wanted_chance(Goals(horizon="cash now", risk="careful")) > wanted_chance(
        Goals(horizon="growth", risk="bold")
    )
    assert target_for([0.0] * 39, 0.5) == 0.0


def test_what_is_drawn_keeps_to_the_forecast_and_to_the_shelf() -> None:
    n = 40
    weekly = np.repeat(np.full((n, 1), 3.0), outlook.WEEKS, axis=1)
    known = {"low": np.full(n, 1.0), "high": np.full(n, 5.0), "price": np.full(n, 100.0)}
    aged = np.arange(n) < 10

    def drawn(available: float) -> outlook.Drawn:
        series = outlook.Series(
            item=np.arange(n),
            channel=np.arange(n) % 2,
            weekly=weekly,
            available=np.full(n, available),
            aged=aged,
            **known,
        )
        return outlook.draw(series, outlook.Off(1.0, 0.1), 2, seed=7)

    free, short = drawn(np.inf), drawn(5.0)
    assert free.units.sum(axis=0).mean() == pytest.approx(n * 12, rel=0.03)
    assert free.goods == pytest.approx(free.units * 100)
    assert short.units.max() <= 5 * n / 2 + 1e-6 and short.aged.max() <= 50 + 1e-6
    wild = (10.0, 200.0, 60.0, 140.0, 20.0, 180.0)
    unsure = outlook.off_by([(4.0 * (at + 1), sold, 100.0) for at, sold in enumerate(wild)])
    calm = outlook.off_by([(4.0 * (at + 1), 100.0, 100.0) for at in range(6)])
    assert unsure.sd > 2 * calm.sd and calm.factor == pytest.approx(1.0, abs=0.01)
    low = outlook.off_by([(4.0, 150.0, 100.0), (8.0, 100.0, 100.0), (12.0, 100.0, 100.0)])
    assert low.factor > 1.2, "what was low lately is raised"
    assert outlook.off_by([]).factor == 1.0 and outlook.off_by([]).sd == pytest.approx(0.15), "as usual"
