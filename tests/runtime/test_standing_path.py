"""What outcomes took from an agent holds on the decision path; the change is a decision of the executive's."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from shop import Shop
from sqlalchemy import insert
from test_decision_path import GRAPH, House

from flipsync.domain.clock import utc_now
from flipsync.domain.commands import ChangePrice, MoveAuthority, SetChannelQuantity
from flipsync.domain.decisions import Decision
from flipsync.domain.errors import Conflict
from flipsync.domain.events import CycleStarted, OfferChanged
from flipsync.domain.ids import new_id
from flipsync.runtime import replaying
from flipsync.services import standing as module
from flipsync.services import standing_desk
from flipsync.services.why import explain
from flipsync.store import models as m

HOUR = timedelta(hours=1)


@pytest.fixture
async def house(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setattr(module, "_FIRST_EPOCH", utc_now() - timedelta(days=30))  # none begins within the test
    return await House(shop).build()


def sure(house: House, confidence: float = 0.9) -> Decision[ChangePrice]:
    return Decision.propose(house.price(), why="it earns more", confidence=confidence)


async def lose(house: House, *, to: str = "none", trusted: float = 0.4, kind: str = "price-move", was: str = "full"):
    command = MoveAuthority.model_validate(
        {
            "tenant_id": house.shop.tenant_id,
            "agent": "pricing",
            "kind": kind,
            "was": was,
            "to": to,
            "trusted": trusted,
            "reason": "40% came true where 90% was stated, 50 decisions",
        }
    )
    async with house.shop.unit() as unit:
        await standing_desk.move(unit, command)
    house.path._standings.forget(house.shop.tenant_id)


async def graded(house: House, outcomes: list[int], *, confidence: float = 0.9, kind: str = "price-move") -> None:
    """Decisions an hour apart whose outcomes are known, the last of them now."""
    for index, outcome in enumerate(outcomes):
        decision_id = await house.record("pricing", sure(house, confidence))
        at = utc_now() - (len(outcomes) - index) * HOUR
        rows = await house.shop.rows("SELECT id FROM proposal WHERE decision_id = :id", id=decision_id)
        async with house.shop.unit() as unit:
            await unit.session.execute(
                insert(m.DecisionOutcome),
                [
                    {
                        "id": new_id(),
                        "tenant_id": house.shop.tenant_id,
                        "decision_id": decision_id,
                        "proposal_id": rows[0].id,
                        "agent": "pricing",
                        "kind": kind,
                        "confidence": confidence,
                        "drawn": True,
                        "decided_at": at,
                        "due_at": at,
                        "look_at": at,
                        "state": "known",
                        "outcome": outcome,
                        "graded_at": at,
                    }
                ],
            )


async def day(house: House) -> UUID:
    """The daily review; the executive's decision."""
    async with house.shop.unit() as unit:
        event_id = unit.emit(CycleStarted(tenant_id=house.shop.tenant_id, cycle="daily"))
    while await house.run("executive"):
        pass
    query = "SELECT id FROM agent_decision WHERE event_id = :id AND agent = 'executive'"
    rows = await house.shop.rows(query, id=event_id)
    return rows[0].id


async def standing(house: House) -> tuple[str, float] | None:
    rows = await house.shop.rows("SELECT level, trusted FROM agent_standing WHERE agent = 'pricing'")
    return (rows[0].level, rows[0].trusted) if rows else None


async def test_who_proves_too_sure_is_taken_authority_by_a_decision_on_record(house: House) -> None:
    await graded(house, [1, 0, 0, 1, 0] * 8)
    decided = await day(house)
    level, trusted = await standing(house) or ("", 0.0)
    assert level == "reduced" and trusted == pytest.approx(0.4 / 0.9)
    row = (await house.shop.rows("SELECT * FROM agent_decision WHERE id = :id", id=decided))[0]
    assert row.state == "applied" and "40% came true where 90% was stated, 40 decisions" in row.rationale
    async with house.shop.store.reader(house.shop.tenant_id) as session:
        told = (await explain(session, str(decided))).to_text(width=400)
    assert "authority over price-move becomes reduced" in told, told
    assert await house.verdicts(await day(house)) == [], "once: the same outcomes move nothing twice"
    replay = await replaying.replay(
        house.shop.store,
        house.shop.tenant_id,
        GRAPH.agents,
        since=utc_now() - HOUR,
        agent="executive",
    )
    assert replay.identical >= 2 and replay.different == 0
    held = await house.record("pricing", sure(house))
    assert await house.state(held) == "escalated", "0.90 counts as 0.40"


async def test_a_calibrated_agent_keeps_it(house: House) -> None:
    await graded(house, ([1] * 9 + [0]) * 4)
    decided = await day(house)
    assert await standing(house) is None and await house.verdicts(decided) == []


async def test_without_authority_all_of_the_kind_goes_up_with_the_confidence_that_counts(house: House) -> None:
    await lose(house)
    decision_id = await house.record("pricing", sure(house))
    assert await house.state(decision_id) == "escalated"
    row = (await house.shop.rows("SELECT confidence, trusted FROM agent_decision WHERE id = :id", id=decision_id))[0]
    assert (row.confidence, row.trusted) == (0.9, pytest.approx(0.36)), "what it said stays; what counts is beside it"
    await house.run("market")
    assert await house.state(decision_id) == "overruled", "its superior goes by what counts"
    other = await house.record("auto_pricing", sure(house))
    assert await house.state(other) == "applied", "another agent's standing is its own"


async def test_a_persons_wish_and_stock_are_never_held_up(house: House) -> None:
    await lose(house)
    async with house.shop.unit() as unit:
        sold = OfferChanged(listing_id=house.listing, account_id=house.account.id, vendor="custom", cause="sale")
        event_id = unit.emit(sold)
        await unit.flush()
        spec = GRAPH.agents["pricing"].spec
        context = house._context(unit, event_id)
        wished = await house.path.record(unit, context, spec, sure(house), fact="PriceUnwanted")
    assert await house.state(wished) == "applied"
    with pytest.raises(Conflict, match="waiting would do harm"):
        await lose(house, kind="stock-push")
    with pytest.raises(Conflict, match="waiting would do harm"):
        await lose(house, kind="no-such-kind")
    push = SetChannelQuantity(account_id=house.account.id, listing_id=house.listing, quantity=4)
    assert await house.state(await house.record("inventory", Decision.propose(push, why="sold"))) == "applied"


async def test_the_owner_switches_it_off_and_on(house: House) -> None:
    await lose(house)
    async with house.shop.unit() as unit:
        await standing_desk.switch(unit, on=False)
    house.path._standings.forget(house.shop.tenant_id)
    assert await house.state(await house.record("pricing", sure(house))) == "applied"
    with pytest.raises(Conflict, match="switched it off"):
        await lose(house, was="none", to="reduced")
    await graded(house, [0] * 60)
    assert await house.verdicts(await day(house)) == []
    async with house.shop.unit() as unit:
        view = await standing_desk.switch(unit, on=True)
    assert view.move_authority and [(each.kind, each.level) for each in view.standings] == [("price-move", "none")]


async def test_two_reviews_at_once_take_one_level(house: House) -> None:
    await lose(house, to="reduced")
    with pytest.raises(Conflict, match="changed meanwhile"):
        await lose(house, to="reduced")
    await lose(house, was="reduced", to="none")
    with pytest.raises(Conflict, match="changed meanwhile"):
        await lose(house, was="reduced", to="full")
    assert await standing(house) == ("none", 0.4)
