"""Run as a program, on a FlipSync that runs: an agent whose process ends at one fact, and agents that begin anew.

    FLIPSYNC_BENCHMARK_HOME=/path/to/home python tests/runtime/deadly_agent.py

The agent is hosted and watched by the runtime's own actor and supervisor. Prints one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import types
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import UUID

from agents import ROSTER
from benchmarks.installation import running
from flipsync.domain.commands import PauseAccount
from flipsync.domain.decisions import Decision
from flipsync.domain.events import CostChanged
from flipsync.domain.ids import new_id
from flipsync.domain.money import usd
from flipsync.runtime import lasting
from flipsync.runtime.actors import AgentActor, Supervisor
from flipsync.runtime.agent import Agent, AgentSpec, Context
from flipsync.runtime.assembly import Assembly
from flipsync.runtime.rolling import Restarted, Rolling
from flipsync.settings import from_environment
from flipsync.store.models import Tenant
from flipsync.store.repositories import lives
from flipsync.store.repositories.lives import WHOLE
from flipsync.store.unit_of_work import Store, Subscription
from flipsync.system import System

NAME = "deadly"
DEADLY = usd("6.66")


class DeadlyAgent(Agent[CostChanged]):
    """Ends its process at one price, as a fault in a library would."""

    spec = AgentSpec(name=NAME, ecosystem="market", reports_to="market")

    async def decide(self, event: CostChanged, ctx: Context) -> Decision[PauseAccount]:
        if event.cost == DEADLY:
            os._exit(139)
        return Decision.hold("alive")


def install() -> None:
    """The roster with this agent, under a name that workers can load it by."""
    module: Any = types.ModuleType("deadly_roster")
    module.ROSTER = [*ROSTER, DeadlyAgent]
    sys.modules[module.__name__] = module
    os.environ["FLIPSYNC_ROSTER"] = "deadly_roster:ROSTER"


class DeadlyActor(AgentActor):
    """The usual one, in a process that knows this agent."""

    def __init__(self, agent: str, index: int = 0, of: int = 1) -> None:
        install()
        super().__init__(agent, index, of)


class Watch(Supervisor):
    """Watches this agent alone."""

    def __init__(self) -> None:  # without stepping back: this process is a test's
        self._settings, self._started = from_environment(), {}


async def tell(store: Store, tenant_id: UUID, costs: list[Any]) -> list[UUID]:
    async with store.unit(tenant_id) as unit:
        return [unit.emit(CostChanged(variant_id=new_id(), cost=cost)) for cost in costs]


async def until_done(store: Store, tenant_id: UUID, agent: str) -> dict[UUID, tuple[str, str]]:
    """State and error of the agent's tasks by fact, once none is open any more. Raises TimeoutError."""
    from sqlalchemy import text

    query = text("SELECT event_id, state, error FROM agent_task WHERE agent = :agent")
    async with asyncio.timeout(90):
        while True:
            async with store.reader(tenant_id) as session:
                found = {row.event_id: (row.state, row.error) for row in await session.execute(query, {"agent": agent})}
            if found and not any(state in ("pending", "leased") for state, _ in found.values()):
                return found
            await asyncio.sleep(0.05)


async def decided(store: Store, tenant_id: UUID, agent: str) -> Counter[UUID]:
    from sqlalchemy import text

    query = text("SELECT event_id FROM agent_decision WHERE agent = :agent")
    async with store.reader(tenant_id) as session:
        return Counter(row.event_id for row in await session.execute(query, {"agent": agent}))


async def deaths(store: Store, tenant_id: UUID) -> dict[str, Any]:
    """What became of the facts around the one that ends the process."""
    lasting._PAUSE = (0.05, 0.1)  # a crash loop is slowed down, which is tested elsewhere
    assembly = Assembly(from_environment(), name="deadly watch", pool_size=2)
    watch = asyncio.create_task(Watch()._watch(assembly, DeadlyActor, NAME, WHOLE))
    costs = [usd("1.00")] * 3 + [DEADLY] + [usd("2.00")] * 3
    told = await tell(store, tenant_id, costs)
    found = await until_done(store, tenant_id, NAME)
    after = await tell(store, tenant_id, [usd("3.00")])
    found |= await until_done(store, tenant_id, NAME)
    async with assembly.store.database.unbound() as session:
        (status,) = await lives.statuses(session, [NAME])
    watch.cancel()
    import ray

    ray.kill(ray.get_actor(NAME))
    await assembly.store.aclose()
    poison = told[costs.index(DEADLY)]
    counts = await decided(store, tenant_id, NAME)
    return {
        "poison": found[poison],
        "decided_once": sorted(counts) == sorted({*told, *after} - {poison}) and set(counts.values()) == {1},
        "lives": status.epoch,
    }


async def restarts(store: Store, system: System, tenant_id: UUID) -> dict[str, Any]:
    """What became of the facts told while an agent of the system began anew, twice."""
    worker = Assembly(from_environment(), name="rolling", pool_size=2).store
    seen: list[Restarted] = []
    told: list[UUID] = []
    ended = asyncio.Event()

    async def trade() -> None:
        while not ended.is_set():
            told.extend(await tell(store, tenant_id, [usd("1.00")] * 3))
            await asyncio.sleep(0.02)

    trading = asyncio.create_task(trade())
    for _ in range(2):
        await Rolling(worker.database, worker.waker, seconds=60).restart(["pricing"], seen.append)
    ended.set()
    await trading
    await until_done(store, tenant_id, "pricing")
    await worker.aclose()
    return {
        "seconds": [each.seconds for each in seen],
        "told": len(told),
        "decided_once": await decided(store, tenant_id, "pricing") == Counter(told),
    }


async def main() -> dict[str, Any]:
    with running(Path(os.environ["FLIPSYNC_BENCHMARK_HOME"])) as system:
        store = system.store({"CostChanged": [Subscription(NAME)]})
        pricing = system.store({"CostChanged": [Subscription("pricing")]})
        install()
        tenants = [new_id(), new_id()]
        for tenant_id in tenants:
            async with store.unit(tenant_id) as unit:
                unit.session.add(Tenant(id=tenant_id, name="Benchmark", settings={}))
        try:
            return {
                "deaths": await deaths(store, tenants[0]),
                "restarts": await restarts(pricing, system, tenants[1]),
            }
        finally:
            await store.aclose()
            await pricing.aclose()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(main()), default=str) + "\n")
