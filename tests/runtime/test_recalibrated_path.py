"""Confidence recalibrated by outcomes bears on what goes ahead: never upwards, never by what was not known yet."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from shop import Shop
from sqlalchemy import insert, text
from test_decision_path import GRAPH, House
from test_standing_path import graded, sure

from flipsync.domain.clock import utc_now
from flipsync.domain.commands import SetChannelQuantity
from flipsync.domain.decisions import Decision
from flipsync.domain.events import OfferChanged
from flipsync.domain.ids import new_id
from flipsync.runtime import replaying
from flipsync.runtime.runner import AgentRunner
from flipsync.services import calibration, recalibrating, standing_desk
from flipsync.services.recalibrating import Recalibrated
from flipsync.store import models as m


@pytest.fixture
async def house(shop: Shop) -> House:
    return await House(shop).build()


async def refit(house: House) -> dict[tuple[str, str], Recalibrated]:
    """As the hourly run of grading does; every process heeds it from now on."""
    async with house.shop.unit() as unit:
        await recalibrating.refit(unit)
    house.path._standings.forget(house.shop.tenant_id)
    async with house.shop.store.reader(house.shop.tenant_id) as session:
        return {(each.agent, each.kind): each for each in await recalibrating.of_tenant(session, house.shop.tenant_id)}


async def decided(house: House, decision_id: UUID) -> Any:
    query = "SELECT state, confidence, trusted, recalibration FROM agent_decision WHERE id = :id"
    return (await house.shop.rows(query, id=decision_id))[0]


async def test_what_is_stated_stays_and_what_it_counts_as_is_held_against_the_limit(house: House) -> None:
    before = await house.record("pricing", sure(house))
    assert (await decided(house, before)).trusted is None
    await graded(house, [1, 0, 0, 1, 0] * 12)
    maps = await refit(house)
    fitted = maps["pricing", "price-move"]
    counts = fitted.map.of(0.9)
    assert fitted.decisions == 60 and counts == pytest.approx(0.4, abs=0.05)
    judged = await house.record("pricing", sure(house))
    row = await decided(house, judged)
    assert (row.state, row.confidence, row.trusted) == ("escalated", 0.9, counts)
    kept = row.recalibration
    assert (kept["kind"], kept["slope"], kept["shift"]) == ("price-move", fitted.map.slope, fitted.map.shift)
    told = await house.shop.rows("SELECT payload FROM event WHERE type = 'DecisionEscalated' ORDER BY id DESC LIMIT 1")
    assert "confidence 0.90 counts as 0.4" in told[0].payload["reason"]
    assert "60 decisions, price-move" in told[0].payload["reason"]
    other = await decided(house, await house.record("auto_pricing", sure(house)))
    assert (other.state, other.trusted) == ("applied", None), "another agent's map is its own"
    assert (await decided(house, before)).trusted is None, "what was decided before is as it was"
    # better outcomes: a new map for new decisions; the old ones keep the one they were judged by
    await graded(house, [1] * 200)
    assert (await refit(house))["pricing", "price-move"].map.of(0.9) > counts + 0.2
    assert (await decided(house, judged)).recalibration == kept


async def test_only_what_was_known_when_it_was_fitted_is_in_a_map(house: House) -> None:
    await graded(house, [0] * 40)
    at = utc_now() + timedelta(days=1)
    async with house.shop.unit() as unit:  # due tomorrow, and waiting: neither may be seen today
        await unit.session.execute(text("UPDATE decision_outcome SET due_at = :at WHERE drawn"), {"at": at})
        await unit.session.execute(
            text(
                "UPDATE decision_outcome SET state = 'waiting', outcome = NULL, due_at = now() WHERE id IN"
                " (SELECT id FROM decision_outcome ORDER BY id LIMIT 20)"
            )
        )
    assert await refit(house) == {}
    row = await decided(house, await house.record("pricing", sure(house)))
    assert (row.state, row.trusted) == ("applied", None)


async def test_fewer_than_enough_decisions_leave_confidence_as_stated(house: House) -> None:
    await graded(house, [0] * (recalibrating.LEAST - 1))
    fitted = (await refit(house))["pricing", "price-move"]
    assert fitted.map.of(0.9) == 0.9 and fitted.decisions == recalibrating.LEAST - 1
    assert (await decided(house, await house.record("pricing", sure(house)))).trusted is None


async def test_an_agent_that_is_too_modest_gets_no_authority_by_it(house: House) -> None:
    limit = GRAPH.agents["pricing"].spec.authority.auto_above
    await graded(house, [1] * 80, confidence=limit - 0.1)
    fitted = (await refit(house))["pricing", "price-move"]
    assert fitted.map.of(limit - 0.1) > limit, "the map says that it is more often right"
    row = await decided(house, await house.record("pricing", sure(house, limit - 0.1)))
    assert (row.state, row.trusted, row.recalibration) == ("escalated", None, None)


async def test_what_must_not_wait_and_whoever_is_switched_off_are_not_held_up(house: House) -> None:
    await graded(house, [0] * 60, kind="stock-push")
    await graded(house, [0] * 60)
    assert set(await refit(house)) == {("pricing", "price-move"), ("pricing", "stock-push")}
    push = SetChannelQuantity(account_id=house.account.id, listing_id=house.listing, quantity=4)
    row = await decided(house, await house.record("pricing", Decision.propose(push, why="sold", confidence=0.9)))
    assert (row.state, row.trusted) == ("applied", None)
    async with house.shop.unit() as unit:
        await standing_desk.switch(unit, on=False)
    house.path._standings.forget(house.shop.tenant_id)
    assert (await decided(house, await house.record("pricing", sure(house)))).state == "applied"
    async with house.shop.store.reader(house.shop.tenant_id) as session:
        found = (await calibration.of_agents(session, house.shop.tenant_id, "pricing")).graded
    assert {each.kind: each.recalibration.in_force for each in found if each.recalibration} == {
        "price-move": False,
        "stock-push": False,
    }


async def test_a_map_and_a_standing_together_leave_what_the_stricter_leaves(house: House) -> None:
    await graded(house, [1, 0, 0, 1, 0] * 12)
    fitted = (await refit(house))["pricing", "price-move"]
    async with house.shop.unit() as unit:
        values = {"level": "reduced", "trusted": 0.2, "reason": "too sure", "since": unit.now}
        pair = {"tenant_id": house.shop.tenant_id, "agent": "pricing", "kind": "price-move"}
        await unit.session.execute(insert(m.AgentStanding), [{"id": new_id(), **pair, **values}])
    house.path._standings.forget(house.shop.tenant_id)
    row = await decided(house, await house.record("pricing", sure(house)))
    assert row.trusted == 0.9 * 0.2 < fitted.map.of(0.9) and row.recalibration["share"] == 0.2


async def test_another_businesss_outcomes_fit_no_map_here(house: House) -> None:
    await graded(house, [0] * 60)
    stranger = await House(await Shop(house.shop.store).found()).build()
    assert await refit(stranger) == {}
    assert (await decided(stranger, await stranger.record("pricing", sure(stranger)))).trusted is None
    assert set(await refit(house)) == {("pricing", "price-move")}
    async with stranger.shop.store.reader(stranger.shop.tenant_id) as session:
        assert (await calibration.of_agents(session, stranger.shop.tenant_id)).graded == []


async def test_a_replay_counts_by_the_map_that_was_kept_and_finds_one_that_was_changed(house: House) -> None:
    shop = house.shop
    goods = await shop.variant(units=6, price=2999, cost=2000)
    listing = await shop.listing(house.account, goods, units=4, price=2999)
    async with shop.unit() as unit:
        fitted = {"slope": 0.5, "shift": -2.0, "decisions": 50, "fitted_at": unit.now}
        unit.session.add(m.RecalibrationRow(tenant_id=shop.tenant_id, agent="pricing", kind="price-move", **fitted))
        about = {"listing_id": listing, "account_id": house.account.id, "vendor": "custom"}
        unit.emit(OfferChanged(**about, cause="rivals"))
    start = utc_now()
    runner = AgentRunner(GRAPH.agents["pricing"](), house.shop.store, house.path)
    await runner.begin()
    while await runner.step():
        pass
    (row,) = await shop.rows("SELECT trusted, confidence FROM agent_decision WHERE recalibration IS NOT NULL")
    assert row.trusted < row.confidence, "pricing wants to move a price"

    async def replayed() -> replaying.Replay:
        return await replaying.replay(shop.store, shop.tenant_id, GRAPH.agents, since=start, agent="pricing")

    first = await replayed()
    assert first.identical and first.different == 0
    async with house.shop.unit() as unit:
        await unit.session.execute(
            text(
                "UPDATE agent_decision SET recalibration = jsonb_set(recalibration, '{shift}', '-0.001')"
                " WHERE recalibration IS NOT NULL AND tenant_id = :tenant"
            ),
            {"tenant": house.shop.tenant_id},
        )
    second = await replayed()
    assert {each.part for each in second.differences} == {"counted"}
    async with house.shop.unit() as unit:
        await unit.session.execute(
            text(
                "UPDATE agent_decision SET recalibration = '{}' WHERE recalibration IS NOT NULL AND tenant_id = :tenant"
            ),
            {"tenant": house.shop.tenant_id},
        )
    third = await replayed()
    assert {each.part for each in third.differences} == {"counted"}
    assert all("cannot be read" in str(each.now) for each in third.differences)
