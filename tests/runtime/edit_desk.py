"""A listing whose words and price people edit on the channel, and the agents that look after it."""

from __future__ import annotations

from typing import Any

from shop import dollars
from stall import Stall, drain

from agents import ROSTER
from agents.governance.compliance import ComplianceAgent
from flipsync.domain import commands as c
from flipsync.domain.channel import Offer
from flipsync.domain.ids import new_id
from flipsync.runtime.decision_path import DecisionPath
from flipsync.runtime.effects import EffectWorker
from flipsync.runtime.gate import Gate
from flipsync.runtime.graph import Graph
from flipsync.runtime.runner import AgentRunner
from flipsync.services.approvals import answer_approval

GRAPH = Graph(ROSTER)


class Desk:
    """A stall whose channel tells all of a listing's words, and the agents that look after it."""

    def __init__(self, stall: Stall, worker: EffectWorker) -> None:
        self.stall, self.worker = stall, worker
        self.shop, self.shelf = stall.shop, stall.channel.shelves[stall.external_id]

    async def told(self, title: str, **more: Any) -> None:
        """The channel is told these words, as an agent would."""
        self.shelf.description = self.shelf.description or ""
        offer = Offer(sku=self.stall.goods.sku, title=title, price=dollars(2999), quantity=0, **more)
        command = c.ReviseListing(account_id=self.stall.account.id, listing_id=self.stall.listing, offer=offer)
        await self.shop.enqueue(command, self.stall.account)
        await drain(self.worker, self.shop)

    async def verify(self) -> str:
        effect = await self.shop.enqueue(c.VerifyListings(account_id=self.stall.account.id), self.stall.account)
        await drain(self.worker, self.shop)
        (row,) = await self.shop.rows("SELECT detail FROM receipt WHERE effect_id = :effect", effect=effect)
        return str(row.detail)

    async def run(self, *agents: str) -> None:
        path = DecisionPath(GRAPH, Gate(self.shop.firewall, [ComplianceAgent()]))
        for agent in agents:
            runner = AgentRunner(GRAPH.agents[agent](), self.shop.store, path)
            await runner.begin()
            while await runner.step():
                continue

    async def questions(self, state: str = "open") -> list[Any]:
        return await self.shop.rows(
            "SELECT id, question FROM approval WHERE tenant_id = :tenant AND state = :state", state=state
        )

    async def answer(self, *, yes: bool) -> None:
        (asked,) = await self.questions()
        async with self.shop.unit() as unit:
            await answer_approval(unit, asked.id, approved=yes, by=new_id())
        await self.run("executive", "base_market")
        await drain(self.worker, self.shop)
