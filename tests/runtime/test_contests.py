"""Two agents that want contradictory prices: what arbitration does not settle the executive decides, once."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from shop import Shop, dollars
from test_arbitration import rule
from test_decision_path import GRAPH, House

from flipsync.domain.decisions import Decision
from flipsync.domain.events import DecisionEscalated
from flipsync.domain.steering_events import DecisionOutranked
from flipsync.services.settings_changes import set_settings
from flipsync.services.why import explain

#: above what pricing may stake alone, in two halves
HALF = GRAPH.agents["pricing"].spec.authority.max_stake.amount_minor // 2 + 1
UP, DOWN = 3100, 2900


@pytest.fixture
async def house(shop: Shop) -> House:
    return await House(shop).build()


async def wants(house: House, agent: str, minor: int, confidence: float, stake: int = 100) -> UUID:
    price = house.price(minor)
    return await house.record(
        agent, Decision.propose(price, why=f"{agent}'s reason", confidence=confidence, stake=dollars(stake))
    )


async def outranked(house: House) -> list[tuple[str, str]]:
    return [(each["agent"], each["by_agent"]) for each in await house.shop.events(DecisionOutranked)]


async def alternatives(house: House) -> dict[str, bool]:
    rows = await house.shop.rows("SELECT alternatives FROM agent_decision WHERE agent = 'executive' ORDER BY id")
    return {each["name"]: each["chosen"] for each in rows[-1].alternatives}


async def test_small_contradictions_are_settled_by_who_is_surer(house: House) -> None:
    await wants(house, "pricing", UP, 0.6)
    second = await wants(house, "auto_pricing", DOWN, 0.9)
    assert await rule(house, second) == ("proceed", "price-firewall")
    assert await house.shop.events(DecisionEscalated) == [] and await outranked(house) == [("pricing", "auto_pricing")]


async def test_the_same_direction_is_no_contradiction(house: House) -> None:
    await wants(house, "pricing", UP, 0.9, HALF)
    assert await rule(house, await wants(house, "auto_pricing", UP - 50, 0.9, HALF)) == ("deny", "arbitration")
    assert await house.shop.events(DecisionEscalated) == []


@pytest.mark.parametrize(("first", "second", "stake"), [(0.9, 0.9, 100), (0.9, 0.6, HALF), (0.9, 0.95, HALF)])
async def test_a_draw_and_a_great_stake_go_up_with_both_ways(
    house: House, first: float, second: float, stake: int
) -> None:
    held = await wants(house, "pricing", UP, first, stake)
    contested = await wants(house, "auto_pricing", DOWN, second, stake)
    assert await house.state(contested) == "escalated" and await rule(house, contested) == ("ask", "contested")
    (up,) = await house.shop.events(DecisionEscalated)
    assert (up["from_agent"], up["to_agent"], up["against"]) == ("auto_pricing", "executive", [str(held)])
    assert up["stake_minor"] == 2 * stake
    assert await house.outbox() == [("ChangePrice", "pending")], "who was first keeps it until it is decided"
    again = await wants(house, "auto_pricing", DOWN - 10, second, stake)
    assert await rule(house, again) == ("deny", "arbitration"), "it is asked once"
    assert await house.run("executive") == 1
    assert {"pricing keeps it", "auto_pricing takes it", "ask the owner"} == (await alternatives(house)).keys()
    async with house.shop.store.reader(house.shop.tenant_id) as session:
        why = (await explain(session, str(contested))).to_text(width=400)
    assert "auto_pricing passed the decision up to executive" in why and "minor units at stake together" in why


async def test_the_surer_takes_it_and_the_loser_is_told(house: House) -> None:
    await wants(house, "pricing", UP, 0.56, HALF)
    contested = await wants(house, "auto_pricing", DOWN, 0.98, HALF)
    assert await house.run("executive") == 1
    assert (await alternatives(house))["auto_pricing takes it"]
    assert await house.state(contested) == "applied"
    assert await rule(house, contested) == ("proceed", "price-firewall")
    assert await house.outbox() == [("ChangePrice", "superseded"), ("ChangePrice", "pending")]
    assert await outranked(house) == [("pricing", "auto_pricing")]
    again = await wants(house, "pricing", UP, 0.99, HALF)
    assert await rule(house, again) == ("deny", "arbitration"), "it was decided: nobody asks again"
    assert len(await house.shop.events(DecisionEscalated)) == 1


async def test_who_came_second_may_lose_and_is_told_too(house: House) -> None:
    held = await wants(house, "pricing", UP, 0.98, HALF)
    contested = await wants(house, "auto_pricing", DOWN, 0.81, HALF)
    assert await house.run("executive") == 1
    assert (await alternatives(house))["pricing keeps it"]
    assert await house.state(contested) == "overruled"
    assert await house.outbox() == [("ChangePrice", "pending")]
    assert await outranked(house) == [("auto_pricing", "pricing")]
    (told,) = await house.shop.events(DecisionOutranked)
    assert (told["decision_id"], told["by_decision_id"]) == (str(contested), str(held))
    again = await wants(house, "auto_pricing", DOWN, 0.99, HALF)
    assert await rule(house, again) == ("deny", "arbitration"), "it was decided: nobody asks again"
    assert len(await house.shop.events(DecisionEscalated)) == 1


async def test_more_than_the_executive_may_stake_is_never_its_own_to_give(house: House) -> None:
    async with house.shop.unit() as unit:
        await set_settings(unit, {"agents.executive.max_stake_minor": HALF})
    await wants(house, "pricing", UP, 0.56, HALF)
    contested = await wants(house, "auto_pricing", DOWN, 0.98, HALF)
    assert await house.run("executive") == 1
    assert not (await alternatives(house))["auto_pricing takes it"]
    assert await house.state(contested) in ("awaiting", "overruled")


async def test_of_a_batch_only_what_is_contested_waits(house: House) -> None:
    goods = await house.shop.variant(units=3)
    other = await house.shop.listing(house.account, goods, units=3)
    await wants(house, "pricing", UP, 0.9)
    both: Decision[Any] = Decision.propose(
        house.price(DOWN),
        house.price(UP).model_copy(update={"listing_id": other}),
        why="both",
        confidence=0.9,
        stake=dollars(400),
    )
    decided = await house.record("auto_pricing", both)
    assert await house.state(decided) == "escalated" and await house.verdicts(decided) == ["ask", "proceed"]
    (up,) = await house.shop.events(DecisionEscalated)
    assert up["stake_minor"] == 200 + 100, "half of the batch's, and the first one's"


@pytest.mark.parametrize(
    ("yes", "becomes", "loser"),
    [(True, "applied", ("pricing", "auto_pricing")), (False, "overruled", ("auto_pricing", "pricing"))],
)
async def test_the_owners_word_settles_what_was_asked(
    house: House, yes: bool, becomes: str, loser: tuple[str, str]
) -> None:
    async with house.shop.unit() as unit:
        await set_settings(unit, {"goals.questions": "many", "agents.executive.max_stake_minor": 0})
    await wants(house, "pricing", UP, 0.6, HALF)
    contested = await wants(house, "auto_pricing", DOWN, 0.82, HALF)
    assert await house.run("executive") == 1
    assert (await alternatives(house))["ask the owner"] and await house.state(contested) == "awaiting"
    (asked,) = await house.shop.rows("SELECT question FROM approval WHERE state = 'open'")
    assert "pricing's reason" in asked.question and "auto_pricing's reason" in asked.question
    await house.answer(approved=yes)
    assert await house.run("executive") == 1
    assert await house.state(contested) == becomes and await outranked(house) == [loser]
