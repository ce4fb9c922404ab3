"""ResourceAgent on real rows: an hour that is scarce goes where it brings most, and the owner can take it back."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from shop import Shop
from sqlalchemy import text

from agents import ROSTER
from agents.executive.resource import ResourceAgent
from flipsync.domain.decisions import Decision
from flipsync.domain.events import CycleStarted, SettingsChanged
from flipsync.domain.ids import new_id
from flipsync.domain.steering_commands import ShareBudgets
from flipsync.domain.steering_events import BudgetRunningLow
from flipsync.runtime.agent import Context
from flipsync.runtime.decision_path import DecisionPath
from flipsync.runtime.gate import Gate
from flipsync.runtime.graph import Graph
from flipsync.services import undo_changes
from flipsync.services.desk import Services
from flipsync.services.settings_changes import set_settings
from flipsync.services.tenant_settings import profile


async def fleet(shop: Shop, **values: Any) -> None:
    async with shop.unit() as unit:
        await set_settings(unit, {f"fleet.{name}": value for name, value in values.items()})


async def on_sale(shop: Shop, name: str, goods: int, *, units: int, cost: int) -> UUID:
    account = await shop.account(name=name)
    for _ in range(goods):
        await shop.listing(account, await shop.variant(units=units, cost=cost), units=units)
    return account.id


async def spent(shop: Shop, units: int) -> None:
    async with shop.unit() as unit:
        await unit.session.execute(
            text(
                "INSERT INTO budget_slice (id, tenant_id, agent, granted, spent, taken_at, expires_at)"
                " VALUES (:id, :tenant, 'fleet:listings', :units, :units, now(), now())"
            ),
            {"id": new_id(), "tenant": shop.tenant_id, "units": units},
        )


async def low(shop: Shop) -> Decision[Any]:
    fact = BudgetRunningLow(tenant_id=shop.tenant_id, budget="fleet:listings", share=0.9)
    decided: Decision[Any] = await shop.decide(ResourceAgent(), fact)
    return decided


async def apply(shop: Shop, decision: Decision[Any]) -> list[str | None]:
    path = DecisionPath(Graph(ROSTER), Gate(shop.firewall))
    async with shop.unit() as unit:
        event_id = unit.emit(BudgetRunningLow(tenant_id=shop.tenant_id, budget="fleet:listings", share=0.9))
        await unit.flush()
        services = Services(unit.session, shop.tenant_id, unit.now)
        context = Context(shop.tenant_id, unit.now, services, event_id, event_id)
        decided = await path.record(unit, context, ResourceAgent.spec, decision)
    rows = await shop.rows("SELECT verdict FROM proposal WHERE decision_id = :id", id=decided)
    return [row.verdict for row in rows]


async def test_with_plenty_nothing_is_divided(shop: Shop) -> None:
    await on_sale(shop, "one", 1, units=6, cost=1000)
    held = await shop.decide(ResourceAgent(), CycleStarted(tenant_id=shop.tenant_id, cycle="hourly"))
    assert held.is_hold and "no budget is scarce" in held.rationale
    assert "one channel has all of it" in (await low(shop)).rationale
    daily = await shop.decide(ResourceAgent(), CycleStarted(tenant_id=shop.tenant_id, cycle="daily"))
    assert daily.is_hold


async def test_a_scarce_hour_goes_where_it_brings_most_and_says_what_one_more_would_bring(shop: Shop) -> None:
    rich = await on_sale(shop, "rich", 3, units=3, cost=1800)
    poor = await on_sale(shop, "poor", 3, units=1, cost=400)
    await fleet(shop, listings_per_hour=3)
    await spent(shop, 2)
    decision = await low(shop)
    (command,) = decision.proposals
    assert isinstance(command, ShareBudgets) and command.listing_shares_bps is not None
    assert sum(command.listing_shares_bps.values()) == 10_000
    assert set(command.listing_shares_bps) == {str(rich), str(poor)}
    worth = {each.name: each for each in decision.alternatives}
    first = max(worth, key=lambda name: worth[name].scores["listings_per_hour"])
    most = max(command.listing_shares_bps, key=lambda each: command.listing_shares_bps[each])  # type: ignore[index]
    assert most == str({"rich": rich, "poor": poor}[first])
    assert "one more listing an hour would bring" in decision.rationale
    assert "one more call an hour on rich would bring nothing" in worth["rich"].why
    assert await apply(shop, decision) == ["proceed"]
    async with shop.store.reader(shop.tenant_id) as session:
        kept = (await profile(session, shop.tenant_id)).settings.fleet
    assert kept.listing_shares_bps == command.listing_shares_bps and kept.listings_per_hour == 3
    assert "right as they are" in (await low(shop)).rationale, "once"
    (_, fact) = await shop.rows("SELECT id FROM event WHERE type = 'SettingsChanged' ORDER BY id")
    async with shop.unit() as unit:
        report = await undo_changes.undo_change(unit, fact.id, allowed=lambda _: True)
    assert [part.outcome for part in report.parts] == ["undone"]
    assert len(await shop.events(SettingsChanged)) == 3


async def test_the_owner_keeps_the_shares_by_a_setting(shop: Shop) -> None:
    await on_sale(shop, "one", 2, units=6, cost=1000)
    await on_sale(shop, "two", 2, units=6, cost=1000)
    await fleet(shop, listings_per_hour=1, share_out=False)
    await spent(shop, 1)
    assert "the owner keeps the shares" in (await low(shop)).rationale
    stubborn = Decision.propose(
        ShareBudgets(tenant_id=shop.tenant_id, listing_shares_bps={str(new_id()): 5_000}, reason="mine"), why="mine"
    )
    assert await apply(shop, stubborn) == ["deny"]


@pytest.mark.parametrize("shares", [{"not-an-id": 100}, {str(new_id()): 10_001}, {str(new_id()): -1}])
async def test_shares_that_cannot_be_are_no_settings(shop: Shop, shares: dict[str, int]) -> None:
    with pytest.raises(Exception, match="listing_shares_bps"):
        await fleet(shop, listing_shares_bps=shares)


async def test_another_businesss_budget_is_not_looked_at(shop: Shop) -> None:
    stranger = await Shop(shop.store).found()
    fact = BudgetRunningLow(tenant_id=stranger.tenant_id, budget="fleet:listings", share=0.9)
    assert (await shop.decide(ResourceAgent(), fact)).is_hold
