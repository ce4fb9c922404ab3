"""ExecutiveAgent: weighs profit against risk, carries out the owner's answers, reviews the business."""

from __future__ import annotations

from uuid import UUID

import pytest
from shop import Shop

from agents.executive.executive import ExecutiveAgent
from flipsync.domain.commands import AskOwner, EndorseDecision, OverruleDecision
from flipsync.domain.events import ApprovalAnswered, CycleStarted, DecisionEscalated, OfferChanged
from flipsync.domain.ids import new_id
from flipsync.services import accounts
from flipsync.services.goals import GoalsChange, set_goals
from flipsync.services.why import explain
from flipsync.store.models import AgentDecision


async def escalated(shop: Shop, *, confidence: float, stake: int | None = None, state: str = "escalated") -> UUID:
    """A decision of the market agent that came up. Stake in cents."""
    async with shop.unit() as unit:
        event_id = unit.emit(OfferChanged(listing_id=new_id(), account_id=new_id(), vendor="custom", cause="sale"))
        await unit.flush()
        decision = AgentDecision(
            tenant_id=shop.tenant_id,
            agent="market",
            agent_version="1",
            event_id=event_id,
            state=state,
            source="policy",
            rationale="sell it cheaper",
            confidence=confidence,
            stake_minor=stake,
            stake_currency="USD" if stake is not None else None,
            correlation_id=event_id,
        )
        unit.session.add(decision)
        await unit.session.flush()
    return decision.id


@pytest.mark.parametrize(
    ("confidence", "stake", "command"),
    [
        (0.95, 1_000, EndorseDecision),
        (0.9, 200_000, AskOwner),
        (0.05, 90_000, OverruleDecision),
    ],
)
async def test_arbitrates_by_what_is_gained_and_what_is_at_stake(
    shop: Shop, confidence: float, stake: int, command: type
) -> None:
    decision_id = await escalated(shop, confidence=confidence, stake=stake)
    event = DecisionEscalated(decision_id=decision_id, from_agent="market", to_agent="executive", reason="stake")
    decision = await shop.decide(ExecutiveAgent(), event)
    assert [type(each) for each in decision.proposals] == [command]
    assert decision.proposals[0].decision_id == decision_id
    assert {each.name for each in decision.alternatives} == {"let it go ahead", "ask the owner", "stop it"}
    assert [each.chosen for each in decision.alternatives].count(True) == 1
    assert all("total" in each.scores for each in decision.alternatives)


async def test_more_than_it_may_risk_is_never_let_go_ahead(shop: Shop) -> None:
    decision_id = await escalated(shop, confidence=1.0, stake=100_001)
    event = DecisionEscalated(decision_id=decision_id, from_agent="market", to_agent="executive", reason="stake")
    decision = await shop.decide(ExecutiveAgent(), event)
    assert not any(isinstance(each, EndorseDecision) for each in decision.proposals)
    forbidden = next(each for each in decision.alternatives if each.name == "let it go ahead")
    assert "100000 is the limit" in forbidden.why


async def test_what_was_settled_meanwhile_is_left_alone(shop: Shop) -> None:
    decision_id = await escalated(shop, confidence=0.9, state="overruled")
    event = DecisionEscalated(decision_id=decision_id, from_agent="market", to_agent="executive", reason="")
    assert (await shop.decide(ExecutiveAgent(), event)).is_hold


@pytest.mark.parametrize(("approved", "command"), [(True, EndorseDecision), (False, OverruleDecision)])
async def test_carries_out_what_the_owner_said(shop: Shop, approved: bool, command: type) -> None:
    answer = ApprovalAnswered(approval_id=new_id(), decision_id=new_id(), approved=approved)
    decision = await shop.decide(ExecutiveAgent(), answer)
    assert [type(each) for each in decision.proposals] == [command]
    assert decision.confidence == 1.0
    assert decision.evidence[0].id == answer.approval_id


async def test_its_review_names_accounts_that_cannot_be_written_to(shop: Shop) -> None:
    cycle = CycleStarted(tenant_id=shop.tenant_id, cycle="daily")
    paused = await shop.account(name="Broken shop")
    await shop.account(name="Good shop")
    assert "none paused" in (await shop.decide(ExecutiveAgent(), cycle)).rationale
    async with shop.unit() as unit:
        await accounts.pause_account(unit, paused.id, "credentials refused")
    review = await shop.decide(ExecutiveAgent(), cycle)
    assert "Broken shop" in review.rationale and "Good shop" not in review.rationale
    assert [each.id for each in review.evidence] == [paused.id]


async def test_the_owners_goals_move_the_choice_and_what_would_change_it_is_told(shop: Shop) -> None:
    decision_id = await escalated(shop, confidence=0.7, stake=30_000)
    event = DecisionEscalated(decision_id=decision_id, from_agent="market", to_agent="executive", reason="stake")
    assert isinstance((await shop.decide(ExecutiveAgent(), event)).proposals[0], EndorseDecision)
    async with shop.unit() as unit:
        await set_goals(unit, GoalsChange(risk="careful", questions="many"))
    decision = await shop.decide(ExecutiveAgent(), event)
    assert isinstance(decision.proposals[0], AskOwner)
    assert "careful" in decision.rationale
    chosen = next(each for each in decision.alternatives if each.chosen)
    assert "would be “let it go ahead” if" in chosen.why
    async with shop.unit() as unit:
        row = await unit.session.get_one(AgentDecision, decision_id)
        row.alternatives = [each.model_dump(mode="json") for each in decision.alternatives]
    async with shop.store.reader(shop.tenant_id) as session:
        told = (await explain(session, str(decision_id))).to_text(width=400)
    assert "would be “let it go ahead” if" in told


async def test_no_goal_moves_the_limit(shop: Shop) -> None:
    async with shop.unit() as unit:
        await set_goals(unit, GoalsChange(horizon="growth", risk="bold", questions="few"))
    decision_id = await escalated(shop, confidence=1.0, stake=100_001)
    event = DecisionEscalated(decision_id=decision_id, from_agent="market", to_agent="executive", reason="stake")
    decision = await shop.decide(ExecutiveAgent(), event)
    assert not any(isinstance(each, EndorseDecision) for each in decision.proposals)
    assert "beyond_stake_limit" in decision.alternatives[-1].scores
