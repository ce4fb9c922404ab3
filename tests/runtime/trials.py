"""How a change of settings is tried in tests: agents decide on what there is, then they are asked again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from shop import Shop, dollars

from agents import ROSTER
from agents.governance.compliance import ComplianceAgent
from flipsync.domain.channel import RivalOffer
from flipsync.domain.clock import utc_now
from flipsync.domain.events import OfferChanged
from flipsync.runtime.agent import Agent
from flipsync.runtime.decision_path import DecisionPath
from flipsync.runtime.dry_running import DryRun, dry_run
from flipsync.runtime.gate import Gate
from flipsync.runtime.graph import Graph
from flipsync.runtime.runner import AgentRunner
from flipsync.services.dry_run_change import change_of
from flipsync.services.dry_run_money import MEANS
from flipsync.services.settings_changes import set_settings
from flipsync.store.repositories import listings as listing_rows

GRAPH = Graph(ROSTER)


async def work(shop: Shop, *names: str, **instead: type[Agent[Any]]) -> None:
    """Let these agents decide on what there is."""
    path = DecisionPath(GRAPH, Gate(shop.firewall, [ComplianceAgent()]))
    for name in names:
        runner = AgentRunner(instead.get(name, GRAPH.agents[name])(), shop.store, path)
        await runner.begin()
        while await runner.step():
            continue


async def tried(shop: Shop, change: dict[str, Any], **how: Any) -> DryRun:
    agents = how.pop("agents", GRAPH.agents)
    since = how.pop("since", None) or utc_now() - timedelta(hours=1)
    return await dry_run(shop.store, shop.tenant_id, agents, change_of(change, agents), since=since, **how)


def figure(found: DryRun, name: str, of: str = "") -> tuple[float, float]:
    (one,) = [each for each in found.figures if (each.name, each.of) == (name, of)]
    assert one.difference == pytest.approx(one.now - one.then) and (one.means, one.limit) == MEANS[name]
    return one.then, one.now


async def priced(shop: Shop, *, price: int = 2999, cost: int = 1000, units: int = 4, rival: int | None = None) -> UUID:
    """A listing about whose price the pricing agent decides."""
    account = await shop.account()
    goods = await shop.variant(units=6, price=price, cost=cost)
    listing = await shop.listing(account, goods, units=units, price=price)
    async with shop.unit() as unit:
        if rival is not None:
            seen = RivalOffer(sku=goods.sku, seller="rival", price=dollars(rival), in_stock=True, seen_at=utc_now())
            row = seen.model_dump(exclude={"sku", "price"}) | {
                "listing_id": listing,
                "price_minor": rival,
                "currency": "USD",
            }
            await listing_rows.record_rivals(unit, [row], [listing], utc_now())
        unit.emit(OfferChanged(listing_id=listing, account_id=account.id, vendor="custom", cause="rivals"))
    return listing


async def choose(shop: Shop, settings: dict[str, Any]) -> None:
    async with shop.unit() as unit:
        await set_settings(unit, settings)
