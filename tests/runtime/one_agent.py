"""An agent that does what a test says, told facts by it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, ClassVar
from uuid import UUID

from shop import Shop

from flipsync.domain.commands import AskOwner, PauseAccount, PullOrders
from flipsync.domain.decisions import Decision
from flipsync.domain.events import (
    ApprovalAnswered,
    DecisionEscalated,
    OfferChanged,
)
from flipsync.domain.ids import new_id
from flipsync.runtime.agent import Agent, AgentSpec, Context
from flipsync.runtime.decision_path import DecisionPath
from flipsync.runtime.gate import Gate
from flipsync.runtime.graph import Graph
from flipsync.runtime.runner import AgentRunner
from flipsync.store.repositories import lives

Behaviour = Callable[[OfferChanged, Context], Awaitable[Decision[Any]]]


async def hold(event: OfferChanged, ctx: Context) -> Decision[Any]:
    return Decision.hold("nothing to do")


class Boss(Agent[DecisionEscalated | ApprovalAnswered]):
    """The superior of the agent under test."""

    spec = AgentSpec(name="test_boss", ecosystem="executive", reports_to=None)

    async def decide(self, event: DecisionEscalated | ApprovalAnswered, ctx: Context) -> Decision[AskOwner]:
        return Decision.hold("let it be")


class Worker(Agent[OfferChanged]):
    """Does what the test says."""

    spec = AgentSpec(name="test_worker", ecosystem="market", reports_to="test_boss", batch=8)
    behaviour: ClassVar[Behaviour] = staticmethod(hold)
    seen: ClassVar[list[UUID]] = []

    async def decide(self, event: OfferChanged, ctx: Context) -> Decision[PullOrders | PauseAccount]:
        self.seen.append(event.listing_id)
        return await type(self).behaviour(event, ctx)


class Loose(Graph):
    """A graph of test agents: it need not handle every event there is."""

    def _faults(self, agents: Any) -> list[str]:
        return [fault for fault in super()._faults(agents) if "nobody handles" not in fault]


def runner(shop: Shop) -> AgentRunner:
    return AgentRunner(Worker(), shop.store, DecisionPath(Loose([Boss, Worker]), Gate(shop.firewall)))


async def tell(shop: Shop, count: int = 1, *, urgent: bool = False) -> list[UUID]:
    """`count` facts for the agent; returns the listings they name, in order."""
    listings = [new_id() for _ in range(count)]
    async with shop.unit() as unit:
        for listing in listings:
            unit.emit(OfferChanged(listing_id=listing, account_id=new_id(), vendor="custom", cause="sale"))
    return listings


async def begun(shop: Shop) -> int:
    """A life of the agent; its epoch."""
    async with shop.store.database.unbound() as session:
        return await lives.begin_life(session, "test_worker", 1)


async def states(shop: Shop) -> list[str]:
    return [row.state for row in await shop.rows("SELECT state FROM agent_task WHERE tenant_id = :tenant ORDER BY id")]
