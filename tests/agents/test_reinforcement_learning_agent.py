"""ReinforcementLearningAgent: what it does about canaries, shadows, candidates, drift and age, carried out too."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from shop import ROUTING, Shop
from sqlalchemy import text, update

from agents import ROSTER
from agents.executive.reinforcement_learning import ReinforcementLearningAgent
from agents.governance.compliance import ComplianceAgent
from flipsync.domain.clock import utc_now
from flipsync.domain.commands import PromotePolicy, RollBackPolicy, TrainPolicy
from flipsync.domain.decisions import Decision
from flipsync.domain.events import CycleStarted
from flipsync.domain.ids import new_id
from flipsync.learning.evaluation.off_policy import Estimate
from flipsync.learning.policy import Origin
from flipsync.learning.protocol import Interval
from flipsync.runtime.agent import Context
from flipsync.runtime.decision_path import DecisionPath
from flipsync.runtime.gate import Gate
from flipsync.runtime.graph import Graph
from flipsync.services import model_registry as registry
from flipsync.services.desk import Services
from flipsync.services.learned_buying import ShopOrder
from flipsync.services.learned_pricing import ShopPrice, shipped_knobs
from flipsync.services.model_review import Review
from flipsync.services.policy_outcomes import OffPolicy, drifted
from flipsync.store.models import DecisionOutcome, Tenant
from flipsync.store.repositories.policies import ChoiceRow
from flipsync.training.requests import open_requests

GOOD = {"difference": [0.1, 0.05, 0.15], "unit": "profit", "runs": 10, "learned": True}


async def keep(shop: Shop, min_gain: float, scores: dict[str, Any] = GOOD, stages: int = 0) -> UUID:
    policy = ShopPrice.of({**shipped_knobs(), "min_gain": min_gain}, Origin("shop-price", "test", 1))
    async with shop.unit() as unit:
        kept = await registry.keep(
            unit, "shop-price", policy, experiment_id=None, code_version="c", data={}, seeds={}, scores=scores
        )
        for _ in range(stages):
            await registry.promote(unit, str(kept), on_my_word=True)
    return kept


async def decide(shop: Shop, cycle: Any = "daily") -> Decision[Any]:
    return await shop.decide(ReinforcementLearningAgent(), CycleStarted(tenant_id=shop.tenant_id, cycle=cycle))


async def carry_out(shop: Shop, decision: Decision[Any]) -> str:
    """As the runtime does; what became of the first proposal."""
    path = DecisionPath(Graph(ROSTER), Gate(shop.firewall, [ComplianceAgent()]))
    async with shop.unit() as unit:
        event_id = unit.emit(CycleStarted(tenant_id=shop.tenant_id, cycle="daily"))
        await unit.flush()
        context = Context(
            shop.tenant_id, unit.now, Services(unit.session, shop.tenant_id, unit.now), event_id, event_id
        )
        decision_id = await path.record(unit, context, ReinforcementLearningAgent.spec, decision)
    (row,) = await shop.rows("SELECT verdict, reason FROM proposal WHERE decision_id = :id", id=decision_id)
    return f"{row.verdict}: {row.reason}"


async def settings(shop: Shop, part: str = "pricing", **choices: Any) -> None:
    async with shop.unit() as unit:
        await unit.session.execute(update(Tenant).where(Tenant.id == shop.tenant_id).values(settings={part: choices}))


async def test_without_policies_and_unless_the_owner_says_so_nothing_is_trained(shop: Shop) -> None:
    decision = await decide(shop)
    assert decision.is_hold and "as shipped decides" in decision.rationale


async def test_a_candidate_that_beat_the_baseline_looks_on(shop: Shop) -> None:
    kept = await keep(shop, 0.01)
    decision = await decide(shop, "hourly")
    (command,) = decision.proposals
    assert command == PromotePolicy(policy_id=kept, to="shadow", reason="it beat the baseline in simulation")
    assert (await carry_out(shop, decision)).startswith("proceed")
    assert (await decide(shop, "hourly")).is_hold, "it looks on; there is nothing to tell yet"
    assert (await carry_out(shop, decision)).startswith("deny"), "it is not a candidate any more"


async def test_the_baseline_that_ships_is_no_candidate(shop: Shop) -> None:
    await keep(shop, 0.01, {**GOOD, "learned": False})
    assert (await decide(shop)).is_hold


@pytest.mark.parametrize(("verdict", "kind"), [("incumbent", RollBackPolicy), ("challenger", PromotePolicy)])
async def test_a_canary_is_taken_back_or_moved_on_when_its_test_says_so(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, verdict: str, kind: type[Any]
) -> None:
    """The test itself, on blocks with a known difference, is in tests/services/test_model_registry.py."""
    kept = await keep(shop, 0.01, stages=2)
    assert (await decide(shop)).is_hold, "still open"

    class Told:
        n, mean = 90, 1.0

        def verdict(self) -> str:
            return verdict

        def interval(self) -> Any:
            return Interval(-2.0, -3.0, -1.0)

    monkeypatch.setattr("flipsync.services.policy_outcomes.canary_test", lambda *_: Told())
    decision = await decide(shop)
    (command,) = decision.proposals
    assert isinstance(command, kind) and command.policy_id == kept
    assert "90 blocks" in command.reason
    if kind is RollBackPolicy:
        assert (await carry_out(shop, decision)).startswith("proceed")
        (row,) = await shop.rows("SELECT stage FROM policy_version")
        assert row.stage == "retired"


async def test_a_training_is_asked_for_when_the_owner_wants_one_in_so_many_days(shop: Shop) -> None:
    await settings(shop, retrain_days=30)
    assert (await decide(shop, "hourly")).is_hold
    decision = await decide(shop)
    (command,) = decision.proposals
    assert isinstance(command, TrainPolicy) and command.cause == "there was none yet" and command.seed == 0
    assert (await carry_out(shop, decision)).startswith("proceed")
    (wanted,) = await open_requests(shop.store, shop.tenant_id)
    assert (wanted.name, wanted.seed, wanted.samples) == ("shop-price", 0, 40)
    assert (await decide(shop)).rationale.startswith("shop-price: a training is under way; shop-order: nothing")
    assert (await carry_out(shop, decision)).startswith("deny"), "one at a time"


async def test_buying_policies_are_trained_like_those_of_prices(shop: Shop) -> None:
    await settings(shop, "purchasing", retrain_days=30)
    decision = await decide(shop)
    (command,) = decision.proposals
    assert isinstance(command, TrainPolicy) and command.name == "shop-order"
    assert (await carry_out(shop, decision)).startswith("proceed")
    (wanted,) = await open_requests(shop.store, shop.tenant_id)
    assert wanted.name == "shop-order"


async def test_buying_policies_look_on_before_they_act(shop: Shop) -> None:
    policy = ShopOrder.as_shipped(Origin("shop-order", "test", 1))
    async with shop.unit() as unit:
        kept = await registry.keep(
            unit, "shop-order", policy, experiment_id=None, code_version="c", data={}, seeds={}, scores=GOOD
        )
    decision = await decide(shop, "hourly")
    (command,) = decision.proposals
    assert command == PromotePolicy(policy_id=kept, to="shadow", reason="it beat the baseline in simulation")
    assert (await carry_out(shop, decision)).startswith("proceed")
    told = await decide(shop, "hourly")
    assert told.is_hold and "looked on at 0 lines" in told.rationale


async def tell_outcomes(shop: Shop, count: int) -> None:
    """So many price moves have shown what came of them. (The proposals they belong to are of no matter here.)"""
    gone = PromotePolicy(policy_id=new_id(), to="shadow", reason="it is not there")
    for _ in range(count):
        assert (await carry_out(shop, Decision.propose(gone, why="", confidence=1.0))).startswith("deny")
    free = "SELECT p.id, p.decision_id FROM proposal p LEFT JOIN decision_outcome o ON o.proposal_id = p.id"
    found = await shop.rows(f"{free} WHERE o.id IS NULL ORDER BY p.id DESC LIMIT :count", count=count)
    async with shop.unit() as unit:
        times = dict.fromkeys(("decided_at", "due_at", "look_at", "graded_at"), unit.now)
        for row in found:
            common = {"tenant_id": shop.tenant_id, "agent": "pricing", "kind": "price-move", "confidence": 0.9}
            of = {"decision_id": row.decision_id, "proposal_id": row.id}
            unit.session.add(DecisionOutcome(**common, **times, **of, drawn=True, state="known", outcome=1))


@pytest.mark.parametrize(("verdict", "ends"), [("challenger", "live"), ("incumbent", "retired")])
async def test_enough_outcomes_begin_a_round_that_ends_with_a_policy_live_or_taken_back(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, verdict: str, ends: str
) -> None:
    """Outcomes, training, a look at its record, a share, all or nothing: each step is the agent's own proposal."""

    async def next_step() -> Any:
        decision = await decide(shop)
        (command,) = decision.proposals
        assert (await carry_out(shop, decision)).startswith("proceed")
        return command

    await settings(shop, retrain_outcomes=3)
    await tell_outcomes(shop, 2)
    assert (await decide(shop)).is_hold, "too few as yet"
    await tell_outcomes(shop, 1)
    asked = await next_step()
    assert isinstance(asked, TrainPolicy) and asked.cause == "3 outcomes are known and there was none yet"
    async with shop.unit() as unit:  # what the trainer does in the end
        await unit.session.execute(
            text("UPDATE experiment SET state = 'finished', finished_at = :now"), {"now": unit.now}
        )
    kept = await keep(shop, 0.01)
    assert await next_step() == PromotePolicy(policy_id=kept, to="shadow", reason="it beat the baseline in simulation")
    assert (await decide(shop)).is_hold, "its record says nothing as yet"
    value = Estimate(Interval(9.0, 8.0, 10.0), 80.0)
    told = OffPolicy(90, 0.2, Interval(5.0, 4.0, 6.0), value, value, value)
    monkeypatch.setattr("flipsync.services.policy_outcomes.off_policy", lambda *_: told)
    shown = await next_step()
    assert (shown.to, shown.policy_id) == ("canary", kept) and "9 [8, 10] against 5" in shown.reason
    assert (await decide(shop)).is_hold, "still open"

    class Told:
        n = 90

        def verdict(self) -> str:
            return verdict

        def interval(self) -> Any:
            return Interval(2.0, 1.0, 3.0)

    monkeypatch.setattr("flipsync.services.policy_outcomes.canary_test", lambda *_: Told())
    await next_step()
    (row,) = await shop.rows("SELECT stage FROM policy_version")
    assert row.stage == ends
    assert (await decide(shop)).is_hold, "those outcomes have had their training"
    await tell_outcomes(shop, 3)
    again = await next_step()
    assert isinstance(again, TrainPolicy) and again.cause == "3 outcomes are known since the last one"


async def test_a_training_asked_of_other_code_is_given_up(shop: Shop) -> None:
    await settings(shop, retrain_days=30)
    await carry_out(shop, await decide(shop))
    async with shop.unit() as unit:
        await unit.session.execute(text("UPDATE experiment SET code_version = 'older'"))
    assert await open_requests(shop.store, shop.tenant_id) == []
    (row,) = await shop.rows("SELECT state, error FROM experiment")
    assert row.state == "failed" and "code changed" in row.error


def earning(listings: int, hours: int, *, later: float, seed: int) -> list[ChoiceRow]:
    """Hours of listings that earn 100 and, in the second half, `later`."""
    rng, ids, began = np.random.default_rng(seed), [new_id() for _ in range(listings)], utc_now() - timedelta(days=60)
    return [
        ChoiceRow(
            *(one, "acting", None, 2, 1.0, began + timedelta(hours=hour), 1.0),
            *(float(rng.normal(100 if hour < hours / 2 else later, 25)), None, None),
        )
        for hour in range(hours)
        for one in ids
    ]


def test_drift_is_seen_where_it_is_and_seldom_where_it_is_not() -> None:
    assert all(drifted(earning(10, 120, later=70, seed=seed)) for seed in range(5))
    assert sum(drifted(earning(10, 120, later=100, seed=seed)) for seed in range(20)) <= 4


def test_a_review_says_who_decides() -> None:
    assert Review().words == "the rule as shipped decides"
    assert "reinforcement_learning" in {each.agent for each in ROUTING["CycleStarted"]}
