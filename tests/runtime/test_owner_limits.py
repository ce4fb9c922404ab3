"""The owner's limits of an agent: what is above them is asked, whoever else would let it go ahead."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from shop import Shop, dollars
from test_decision_path import GRAPH, House
from trials import figure, priced, tried, work

from flipsync.domain.decisions import Decision
from flipsync.domain.errors import InvalidInput
from flipsync.domain.events import DecisionEscalated
from flipsync.services.settings_changes import set_settings
from flipsync.services.tenant_settings import AgentLimits, TenantSettings, changed, refuse_unknown_agents, value_of
from flipsync.services.undo_changes import undo_change
from flipsync.services.why import explain

MOST = "agents.pricing.max_stake_minor"


@pytest.fixture
async def house(shop: Shop) -> House:
    return await House(shop).build()


async def limits(shop: Shop, **change: Any) -> UUID | None:
    async with shop.unit() as unit:
        fact = await set_settings(unit, {f"agents.{name.replace('__', '.')}": each for name, each in change.items()})
        return None if fact is None else unit.audit("settings.changed", "tenant", unit.tenant_id)


def staked(house: House, minor: int, confidence: float = 0.9) -> Decision[Any]:
    return Decision.propose(house.price(), why="rivals went up", confidence=confidence, stake=dollars(minor))


async def test_above_the_owners_limit_the_owner_is_asked_and_nobody_else(house: House) -> None:
    within, above = 1_000, 1_001
    await limits(house.shop, pricing__max_stake_minor=within)
    assert await house.state(await house.record("pricing", staked(house, within))) == "applied"
    asked = await house.record("pricing", staked(house, above, confidence=0.1))
    assert await house.state(asked) == "awaiting" and await house.shop.events(DecisionEscalated) == []
    (question,) = await house.shop.rows("SELECT question FROM approval WHERE state = 'open'")
    assert "1001 minor units at stake are above 1000, the owner's limit for pricing" in question.question
    async with house.shop.store.reader(house.shop.tenant_id) as session:
        assert "the owner's limit for pricing" in (await explain(session, str(asked))).to_text(width=400)
    await house.answer(approved=True)
    assert await house.run("executive") == 1
    assert await house.state(asked) == "applied" and await house.verdicts(asked) == ["proceed"]


async def test_a_limit_may_be_wider_than_what_the_agent_declares(house: House) -> None:
    most = GRAPH.agents["pricing"].spec.authority.max_stake.amount_minor
    assert await house.state(await house.record("pricing", staked(house, most + 1))) == "escalated"
    await limits(house.shop, pricing__max_stake_minor=most + 1, pricing__auto_above=0.3)
    assert await house.state(await house.record("pricing", staked(house, most + 1, confidence=0.3))) == "applied"
    assert await house.state(await house.record("pricing", staked(house, most, confidence=0.29))) == "escalated"


async def test_a_superior_cannot_let_go_ahead_what_the_owner_has_since_limited(house: House) -> None:
    unsure = await house.record("pricing", staked(house, 900, confidence=0.5))
    assert await house.state(unsure) == "escalated"
    await limits(house.shop, pricing__max_stake_minor=899)
    assert await house.run("market") == 1
    assert await house.state(unsure) == "awaiting" and await house.outbox() == []
    await house.answer(approved=False)
    assert await house.run("executive") == 1
    assert await house.state(unsure) == "overruled"


async def test_who_stands_in_for_an_agent_is_bound_by_its_limits() -> None:
    settings = changed(TenantSettings(), {"agents.executive.max_stake_minor": 5, "agents.ai_executive.auto_above": 0.9})
    assert settings.limits_of("ai_executive", "executive") == AgentLimits(auto_above=0.9, max_stake_minor=5)
    assert settings.limits_of("executive") == AgentLimits(max_stake_minor=5)
    assert settings.limits_of("pricing") == AgentLimits()


async def test_the_executive_asks_above_its_limit(house: House) -> None:
    await limits(house.shop, executive__max_stake_minor=500, pricing__max_stake_minor=None)
    up = await house.record("strategy", Decision.propose(house.price(), why="w", confidence=0.4, stake=dollars(501)))
    assert await house.run("executive") == 1
    assert await house.state(up) in ("awaiting", "overruled") and await house.outbox() == []


async def test_what_a_person_wished_is_not_asked_again(house: House) -> None:
    await limits(house.shop, pricing__max_stake_minor=0)
    async with house.shop.unit() as unit:
        event_id = unit.emit(DecisionEscalated(decision_id=unit.tenant_id, from_agent="a", to_agent="b", reason="r"))
        await unit.flush()
        context, spec = house._context(unit, event_id), GRAPH.agents["pricing"].spec
        wished = await house.path.record(unit, context, spec, staked(house, 1), fact="PriceWished")
    assert await house.state(wished) == "applied"


async def test_limits_are_tried_on_the_past_as_they_were_then(shop: Shop) -> None:
    await priced(shop, cost=2000)
    await work(shop, "pricing")
    found = await tried(shop, {MOST: 0})
    assert figure(found, "questions") == (0, 1) and figure(found, "sent up") == (0, 0)
    assert found.differences[0].now == found.differences[0].then + " (asks the owner)"
    await limits(shop, pricing__max_stake_minor=0)
    await priced(shop, cost=2000)
    await work(shop, "pricing")
    (asked,) = await shop.rows("SELECT count(*) AS n FROM approval WHERE state = 'open'")
    assert asked.n == 1
    assert (await tried(shop, {MOST: 0})).changed == 1, "the second was decided under it"
    back = await tried(shop, {MOST: None})
    assert back.changed == 1 and figure(back, "questions") == (1, 0)
    assert (await tried(shop, {"agents": {}})).changed == 1


async def test_a_limit_is_on_record_and_taken_back(shop: Shop) -> None:
    await limits(shop, pricing__auto_above=0.8, market__max_stake_minor=100)
    (change,) = await shop.rows("SELECT id, payload FROM event WHERE type = 'SettingsChanged'")
    assert change.payload["after"] == {"agents.pricing.auto_above": 0.8, "agents.market.max_stake_minor": 100}
    async with shop.unit() as unit:
        done = await undo_change(unit, change.id, allowed=lambda _: True)
    assert {part.outcome for part in done.parts} == {"undone"}
    async with shop.unit() as unit:
        assert await set_settings(unit, {"agents.pricing.auto_above": None}) is None, "it is as before"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"agents.pricing.auto_above": 1.01}, "less than or equal to 1"),
        ({"agents.pricing.max_stake_minor": -1}, "greater than or equal to 0"),
        ({"agents.pricing.max_stake": 1}, "no setting"),
        ({"agents": {"no such name!": {}}}, "match"),
        ({"agents.nobody.auto_above": 0.5}, "no agent is called"),
        ({"agents": {"nobody": {}}}, "no agent is called"),
    ],
)
def test_what_is_no_limit_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        changed(TenantSettings(), change)
        refuse_unknown_agents(change, GRAPH.agents)
    assert value_of(TenantSettings(), "agents.pricing.auto_above") is None
