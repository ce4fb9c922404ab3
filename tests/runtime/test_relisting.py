"""Off sale because the owner says so, and on sale again: the same listing where the channel knows it, or a new one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from scripted_channel import Step
from stall import Stall, drain

from agents import ROSTER
from agents.governance.compliance import ComplianceAgent
from flipsync.domain.errors import Conflict, NotFound, Rejected
from flipsync.domain.events import ListingPublished
from flipsync.domain.ids import new_id
from flipsync.runtime.decision_path import DecisionPath
from flipsync.runtime.effects import EffectWorker
from flipsync.runtime.gate import Gate
from flipsync.runtime.graph import Graph
from flipsync.runtime.runner import AgentRunner
from flipsync.services import listings
from flipsync.store.models import Product

GRAPH = Graph(ROSTER)


class Owner:
    """Somebody who takes listings off and puts them back, with the agents and the worker that follow."""

    def __init__(self, stall: Stall, worker: EffectWorker) -> None:
        self.stall, self.worker = stall, worker

    async def takes_off(self, reason: str = "the season is over") -> None:
        async with self.stall.shop.unit() as unit:
            await listings.take_off(unit, self.stall.listing, reason)
        await self.follow()

    async def relists(self) -> None:
        async with self.stall.shop.unit() as unit:
            await listings.relist(unit, self.stall.listing)
        await self.follow()

    async def follow(self) -> None:
        path = DecisionPath(GRAPH, Gate(self.stall.shop.firewall, [ComplianceAgent()]))
        for agent in ("market", "base_market", "inventory"):
            runner = AgentRunner(GRAPH.agents[agent](), self.stall.shop.store, path)
            await runner.begin()
            while await runner.step():
                continue
            await drain(self.worker, self.stall.shop)


@pytest.fixture
async def owner(stall: Stall, hire: Callable[..., EffectWorker]) -> Owner:
    return Owner(stall, hire())


async def test_off_sale_and_on_again_is_one_listing(stall: Stall, owner: Owner) -> None:
    await owner.takes_off()
    row = await stall.row()
    assert (row.status, row.status_reason) == ("ended", "the season is over")
    assert stall.channel.shelves[stall.external_id].status == "ended"
    stall.channel.script("publish", Step(before=lambda: _revive(stall)))
    await owner.relists()
    row = await stall.row()
    assert (row.status, row.external_id, row.status_reason) == ("active", stall.external_id, "")
    assert len(await stall.shop.events(ListingPublished)) == 1
    assert stall.channel.shelves[stall.external_id].quantity == 5, "its units come back with it"


def _revive(stall: Stall) -> None:
    stall.channel.shelves[stall.external_id].status = "active"


async def test_a_listing_the_channel_forgot_comes_back_under_a_new_id(stall: Stall, owner: Owner) -> None:
    await owner.takes_off()
    del stall.channel.shelves[stall.external_id]
    put: Any = stall.channel.put

    def put_anew(sku: str, quantity: int | None, price_minor: int = 2999) -> str:
        made = put(sku, quantity, price_minor)
        stall.channel.shelves["y-1"] = stall.channel.shelves.pop(made)
        return "y-1"

    stall.channel.put = put_anew  # type: ignore[method-assign]
    await owner.relists()
    row = await stall.row()
    assert (row.status, row.external_id) == ("active", "y-1")
    assert stall.channel.shelves["y-1"].quantity == 5


async def test_what_was_refused_can_be_tried_again(stall: Stall, owner: Owner) -> None:
    await owner.takes_off()
    stall.channel.script("publish", Step(Rejected("category 1 requires item specifics: Size")))
    await owner.relists()
    assert (await stall.row()).status_reason == "category 1 requires item specifics: Size"
    stall.channel.script("publish", Step(before=lambda: _revive(stall)))
    await owner.relists()
    assert (await stall.row()).status == "active"


async def test_what_is_on_sale_or_a_draft_is_not_relisted(stall: Stall, owner: Owner) -> None:
    async with stall.shop.unit() as unit:
        with pytest.raises(Conflict, match="active"):
            await listings.relist(unit, stall.listing)
        with pytest.raises(NotFound):
            await listings.relist(unit, new_id())
    await owner.takes_off()
    async with stall.shop.unit() as unit:
        with pytest.raises(Conflict, match="ended"):
            await listings.take_off(unit, stall.listing, "again")
        (await unit.session.get_one(Product, stall.goods.product_id)).published = False
        await unit.session.flush()
        with pytest.raises(Conflict, match="draft"):
            await listings.relist(unit, stall.listing)
