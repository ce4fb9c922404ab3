"""Decisions made again from what they read: alike to the byte, and seen when they are not."""

from __future__ import annotations

import itertools
import zlib
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from rich.console import Console
from shop import Shop, dollars
from sqlalchemy import update

from agents import ROSTER
from agents.governance.compliance import ComplianceAgent
from agents.market.pricing import PricingAgent
from flipsync.cli import console
from flipsync.domain.channel import RivalOffer
from flipsync.domain.clock import utc_now
from flipsync.domain.commands import ChangePrice
from flipsync.domain.decisions import Decision
from flipsync.domain.errors import FlipSyncError
from flipsync.domain.events import CostChanged, CycleStarted, OfferChanged
from flipsync.domain.ids import new_id
from flipsync.runtime.agent import Agent, AgentSpec, Context
from flipsync.runtime.decision_path import DecisionPath
from flipsync.runtime.gate import Gate
from flipsync.runtime.graph import Graph
from flipsync.runtime.replaying import Replay, canonical, replay
from flipsync.runtime.runner import AgentRunner
from flipsync.services import orders, recorded_desk, stock
from flipsync.services.recorded_desk import MOST_BYTES, RecordedDesk
from flipsync.store.models import Listing, Tenant, Variant
from flipsync.store.repositories import listings as listing_rows
from flipsync.store.repositories import replay as replay_rows

GRAPH = Graph(ROSTER)


class Unsteady(Agent[OfferChanged | CostChanged]):
    """Says something else each time: the comparison has to see it."""

    spec = AgentSpec(name="pricing", ecosystem="market", reports_to="market", version=PricingAgent.spec.version)
    mood = itertools.count()

    async def decide(self, event: OfferChanged | CostChanged, ctx: Context) -> Decision[ChangePrice]:
        await ctx.services.profile()
        return Decision.hold(f"in mood {next(self.mood)}")


class Incurious(Unsteady):
    """Decides without looking."""

    async def decide(self, event: OfferChanged | CostChanged, ctx: Context) -> Decision[ChangePrice]:
        return Decision.hold("whatever there is")


async def work(shop: Shop, *, rounds: int = 3, **instead: type[Agent[Any]]) -> None:
    """Let every agent of the roster decide on what there is, and on what follows from it."""
    path = DecisionPath(GRAPH, Gate(shop.firewall, [ComplianceAgent()]))
    runners = [AgentRunner(instead.get(agent.spec.name, agent)(), shop.store, path) for agent in ROSTER]
    for each in runners:
        await each.begin()
    for _ in range(rounds):
        for each in runners:
            await each.step()


async def again(shop: Shop, **wanted: Any) -> Replay:
    agents = wanted.pop("agents", GRAPH.agents)
    since = utc_now() - timedelta(hours=1)
    return await replay(shop.store, shop.tenant_id, agents, since=since, **wanted)


@pytest.fixture
async def busy(shop: Shop) -> Shop:
    """A shop in which something happened for pricing, stock, orders and listings."""
    account = await shop.account()
    goods = await shop.variant(units=6)
    listing = await shop.listing(account, goods, units=4)
    await shop.variant(units=1)
    rival = RivalOffer(sku=goods.sku, seller="rival", price=dollars(2600), in_stock=True, seen_at=utc_now())
    async with shop.unit() as unit:
        row = rival.model_dump(exclude={"sku", "price"}) | {
            "listing_id": listing,
            "price_minor": rival.price.amount_minor,
            "currency": "USD",
        }
        await listing_rows.record_rivals(unit, [row], [listing], utc_now())
        await orders.ingest_order(unit, account, shop.order({goods.sku: 2}))
        await stock.receive(unit, goods.variant_id, 3, key="more", mode="escrow")
        unit.emit(OfferChanged(listing_id=listing, account_id=account.id, vendor="custom", cause="sale"))
        unit.emit(CostChanged(variant_id=goods.variant_id, cost=dollars(1100)))
    return shop


async def test_what_agents_decided_comes_out_alike_when_the_world_has_moved_on(busy: Shop) -> None:
    await work(busy)
    async with busy.unit() as unit:  # another cost, other settings: what is read now is not what was read then
        await unit.session.execute(update(Variant).values(cost_minor=2000))
        await unit.session.execute(update(Listing).values(price_minor=4000))
    found = await again(busy)
    assert found.differences == []
    assert found.identical == found.decisions >= 6 and found.ok
    agents = {row.agent for row in await busy.rows("SELECT agent FROM agent_decision WHERE tenant_id = :tenant")}
    assert {"pricing", "inventory", "fulfillment"} <= agents


async def test_an_unsteady_agent_is_found_out(busy: Shop) -> None:
    await work(busy, pricing=Unsteady)
    found = await again(busy, agents=GRAPH.agents | {"pricing": Unsteady})
    assert found.different == len(found.differences) > 0 and not found.ok
    assert {(each.agent, each.part) for each in found.differences} == {("pricing", "rationale")}
    assert found.differences[0].then != found.differences[0].now
    assert found.identical == found.decisions - found.different


async def test_a_question_not_asked_then_is_a_difference(busy: Shop) -> None:
    await work(busy, pricing=Unsteady)
    found = await again(busy, agent="pricing")
    assert found.decisions == found.different > 0
    assert any("did not ask then" in str(each.now) for each in found.differences)


async def test_a_question_not_asked_now_is_a_difference(busy: Shop) -> None:
    await work(busy)
    found = await again(busy, agents=GRAPH.agents | {"pricing": Incurious}, agent="pricing")
    assert ("reads", "pricing.quote") in [(each.part, each.then) for each in found.differences]


async def test_another_version_is_told_apart(busy: Shop) -> None:
    class Newer(Unsteady):
        spec = AgentSpec(name="pricing", ecosystem="market", reports_to="market", version="another")

    await work(busy)
    found = await again(busy, agents=GRAPH.agents | {"pricing": Newer})
    assert found.ok and found.other_version > 0
    assert found.other_version_identical == 0 and {each.agent for each in found.by_version} == {"pricing"}
    assert found.identical + found.other_version == found.decisions


async def test_what_read_too_much_says_so_and_old_notes_go(busy: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded_desk, "MOST_BYTES", 100)
    await work(busy)
    monkeypatch.undo()
    sizes = await busy.rows("SELECT size, packed FROM decision_notes WHERE tenant_id = :tenant")
    assert {row.packed is None for row in sizes if row.size > 100} == {True}
    found = await again(busy)
    assert found.too_large + found.identical == found.decisions and found.too_large == sum(
        row.size > 100 for row in sizes
    )
    async with busy.unit() as unit:
        await replay_rows.forget_before(unit.session, utc_now() + timedelta(seconds=1))
    found = await again(busy)
    assert found.not_kept == found.decisions and not found.ok, "nothing was shown to come out alike"


async def test_a_review_of_all_there_is_may_read_more_and_pages_stay_small(
    busy: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes once a day is kept where the same, hour by hour, would be too much; page by page all are there."""
    monkeypatch.setattr(recorded_desk, "MOST_BYTES", 100)
    async with busy.unit() as unit:
        for cycle in ("hourly", "daily"):
            unit.emit(CycleStarted(tenant_id=busy.tenant_id, cycle=cycle))
    await work(busy)
    kept = await busy.rows(
        "SELECT e.payload->>'cycle' AS cycle, n.packed IS NOT NULL AS kept, n.size FROM decision_notes n"
        " JOIN agent_decision d ON d.id = n.id JOIN event e ON e.id = d.event_id"
        " WHERE n.tenant_id = :tenant AND e.type = 'CycleStarted' AND n.size > 100"
    )
    assert {(row.cycle, row.kept) for row in kept} == {("hourly", False), ("daily", True)}
    whole = await again(busy)
    monkeypatch.setattr(replay_rows, "_PAGE_BYTES", 1)
    assert await again(busy) == whole and whole.decisions > 3


async def test_forgetting_keeps_what_is_young(busy: Shop) -> None:
    await work(busy)
    async with busy.unit() as unit:
        await recorded_desk.forget_old(unit)
    assert (await again(busy)).not_kept == 0


async def test_reads_are_kept_as_long_as_the_owner_says(busy: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    await work(busy)
    in_two_days = utc_now() + timedelta(days=2)
    monkeypatch.setattr(recorded_desk, "utc_now", lambda: in_two_days)
    async with busy.unit() as unit:
        await recorded_desk.forget_old(unit)
    assert (await again(busy)).not_kept == 0, "ninety days, unless the owner says otherwise"
    async with busy.unit() as unit:
        tenant = await unit.session.get_one(Tenant, busy.tenant_id)
        tenant.settings = {"journal": {"reads_kept_days": 1}}
        await unit.session.flush()
        await recorded_desk.forget_old(unit)
    found = await again(busy)
    assert found.not_kept == found.decisions > 0


def test_how_far_it_is_is_told_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "_PATIENCE", 0.0)
    for terminal, as_json, shown in ((True, False, True), (True, True, False), (False, False, False)):
        screen = StringIO()
        monkeypatch.setattr(console, "err", Console(file=screen, force_terminal=terminal))
        with console.counting("replaying", as_json=as_json) as progress:
            progress(Replay(decisions=1200))
        assert ("replaying: 1,200 decisions" in screen.getvalue()) is shown


def test_spoiled_notes_are_refused() -> None:
    for packed in (b"", b"spoiled", zlib.compress(b"[")[:5], zlib.compress(b"{")):
        with pytest.raises(FlipSyncError):
            RecordedDesk(new_id(), packed)


def test_canonical_bytes_do_not_depend_on_what_jsonb_changes() -> None:
    assert canonical({"b": 1.0, "a": [-0.0, 0.1]}) == canonical({"a": [0, 0.1], "b": 1}) == b'{"a":[0,0.1],"b":1}'
    assert canonical(0.1) != canonical(0.1 + 2**-54 * 2)
    assert MOST_BYTES > 10_000
