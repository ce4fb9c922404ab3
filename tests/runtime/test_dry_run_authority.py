"""How much agents may decide alone, tried on past decisions: by declaration, and by what outcomes took away."""

from __future__ import annotations

import pytest
from shop import Shop
from sqlalchemy import text
from trials import GRAPH, choose, figure, priced, tried, work

from agents.governance.compliance import ComplianceAgent
from flipsync.domain.commands import MoveAuthority
from flipsync.domain.decisions import Decision
from flipsync.domain.events import CycleStarted
from flipsync.runtime.agent import Context
from flipsync.runtime.decision_path import DecisionPath
from flipsync.runtime.gate import Gate
from flipsync.services.desk import Services
from flipsync.store import models as m


async def test_authority_sends_decisions_up(shop: Shop) -> None:
    await priced(shop, cost=2000)
    await work(shop, "pricing")
    found = await tried(shop, {"agents.pricing.auto_above": 1.0})
    assert figure(found, "sent up") == (0, 1) and found.changed == 1
    assert found.differences[0].now == found.differences[0].then + " (goes up)"


async def take_away(shop: Shop, to: str, trusted: float) -> None:
    """By a decision of the executive's, as outcomes do it."""
    move = {"agent": "pricing", "kind": "price-move", "was": "full", "to": to, "trusted": trusted, "reason": "too sure"}
    command = MoveAuthority.model_validate({"tenant_id": shop.tenant_id, **move})
    path = DecisionPath(GRAPH, Gate(shop.firewall, [ComplianceAgent()]))
    async with shop.unit() as unit:
        event_id = unit.emit(CycleStarted(tenant_id=shop.tenant_id, cycle="daily"))
        await unit.flush()
        context = Context(
            shop.tenant_id, unit.now, Services(unit.session, shop.tenant_id, unit.now), event_id, event_id
        )
        decision = Decision.propose(command, why="too sure", confidence=0.95)
        await path.record(unit, context, GRAPH.agents["executive"].spec, decision)


@pytest.mark.parametrize(("to", "trusted", "then"), [("none", 0.4, 1), ("reduced", 0.4, 1), ("reduced", 1.0, 0)])
async def test_authority_that_outcomes_took_away_stays_away(shop: Shop, to: str, trusted: float, then: int) -> None:
    await priced(shop, cost=2000)
    await work(shop, "pricing")
    await take_away(shop, to, trusted)
    await priced(shop, cost=2000)
    await work(shop, "pricing")
    found = await tried(shop, {"agents.pricing.auto_above": 0.0})
    assert found.cannot == {"what it read is not kept (any more)": 1}, "the executive's own alone"
    now = then if to == "none" else 0  # who may not decide alone gets nothing from a lower bar
    assert figure(found, "sent up") == (then, now), "of two decisions, the second with less authority"
    assert found.changed == then - now


async def test_a_confidence_counts_in_a_dry_run_as_it_did_then(shop: Shop) -> None:
    async with shop.unit() as unit:
        fitted = {"slope": 0.1, "shift": -4.0, "decisions": 50, "fitted_at": unit.now}
        row = m.RecalibrationRow(tenant_id=shop.tenant_id, agent="pricing", kind="price-move", **fitted)
        unit.session.add(row)
    await priced(shop, cost=2000)
    await work(shop, "pricing")
    async with shop.unit() as unit:  # the map of today is not the one it was judged by
        await unit.session.execute(text("DELETE FROM recalibration"))
    found = await tried(shop, {"agents.pricing.auto_above": 0.0})
    assert found.cannot == {} and figure(found, "sent up") == (1, 0)
    spoilt = text("UPDATE agent_decision SET recalibration = '{}' WHERE recalibration IS NOT NULL")
    async with shop.unit() as unit:
        await unit.session.execute(spoilt)
    (why,) = (await tried(shop, {"agents.pricing.auto_above": 0.0})).cannot
    assert "cannot be read" in why


async def test_a_standing_that_nobody_wrote_down_is_not_guessed(shop: Shop) -> None:
    await priced(shop, cost=2000)
    await work(shop, "pricing")
    async with shop.unit() as unit:
        await unit.session.execute(text("UPDATE agent_decision SET trusted = 0.1 WHERE agent = 'pricing'"))
    found = await tried(shop, {"agents.pricing.auto_above": 0.0})
    assert found.cannot == {"what its agent might decide alone then is not on record": 1}


async def too_sure(shop: Shop) -> None:
    """Two dozen prices were moved with nine chances in ten, and none earned more: that is in the books."""
    for _ in range(24):
        await priced(shop, cost=2000)
    await work(shop, "pricing")
    made = await shop.rows("SELECT id, decision_id FROM proposal WHERE tenant_id = :tenant")
    assert len(made) == 24
    async with shop.unit() as unit:
        common = {"tenant_id": shop.tenant_id, "agent": "pricing", "kind": "price-move", "confidence": 0.9}
        times = dict.fromkeys(("decided_at", "due_at", "look_at", "graded_at"), unit.now)
        for each in made:
            of = {"decision_id": each.decision_id, "proposal_id": each.id}
            unit.session.add(m.DecisionOutcome(**common, **times, **of, drawn=True, state="known", outcome=0))


async def review(shop: Shop) -> None:
    async with shop.unit() as unit:
        unit.emit(CycleStarted(tenant_id=shop.tenant_id, cycle="daily"))
    await work(shop, "executive")


async def test_that_outcomes_move_authority_is_tried(shop: Shop) -> None:
    """The executive takes authority away, and a price is sent up by it: without, neither."""
    await too_sure(shop)
    await review(shop)
    (standing,) = await shop.rows("SELECT level FROM agent_standing WHERE tenant_id = :tenant")
    assert standing.level == "reduced"
    await priced(shop, cost=2000)
    await work(shop, "pricing")
    assert (await tried(shop, {"grades.move_authority": True})).changed == 0
    found = await tried(shop, {"grades.move_authority": False})
    assert (found.changed, found.cannot) == (2, {}) and figure(found, "sent up") == (1, 0)
    told = {each.agent: (each.then, each.now) for each in found.differences}
    assert "MoveAuthority" in told["executive"][0] and "nothing" in told["executive"][1]
    assert told["pricing"][0] == told["pricing"][1] + " (goes up)"


async def test_that_outcomes_do_not_move_authority_is_tried(shop: Shop) -> None:
    """What they say of it is kept while they may not; what their maps would have left of a confidence is not."""
    await choose(shop, {"grades.move_authority": False})
    await too_sure(shop)
    await review(shop)
    assert await shop.rows("SELECT 1 FROM agent_standing WHERE tenant_id = :tenant") == []
    found = await tried(shop, {"grades.move_authority": True})
    assert found.changed == 1 and "MoveAuthority" in found.differences[0].now
    not_known = "what outcomes would have left of its confidence was not worked out while that was off"
    assert found.cannot == {not_known: 24}
    await choose(shop, {"grades.move_authority": True})
    await priced(shop, cost=2000)
    await work(shop, "pricing")
    later = await tried(shop, {"grades.move_authority": True})
    assert (later.decisions, later.cannot) == (found.decisions + 1, {not_known: 24}), "since then it counts as it did"
    assert (await tried(shop, {"grades.move_authority": False})).changed == 0
