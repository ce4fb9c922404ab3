"""A stall with all its agents, its effect worker and the workflow engine, worked until nothing is left to do."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

from sqlalchemy import text
from stall import Stall

from agents import ROSTER
from agents.governance.compliance import ComplianceAgent
from flipsync.runtime.decision_path import DecisionPath
from flipsync.runtime.effects import EffectWorker
from flipsync.runtime.gate import Gate
from flipsync.runtime.graph import Graph
from flipsync.runtime.runner import AgentRunner, TaskRunner
from flipsync.runtime.workflow import WorkflowEngine
from flipsync.services import approvals, workflows
from flipsync.services.reading_page import SortedRequest

GRAPH = Graph(ROSTER)
_DUE = text(
    "SELECT DISTINCT agent FROM agent_task"
    " WHERE state IN ('pending', 'leased') AND not_before <= now() + interval '2 s'"
)
_HURRY = text("UPDATE agent_task SET not_before = now() WHERE agent = 'workflows' AND state = 'pending'")


class House:
    """Everything that works, without Ray."""

    def __init__(self, stall: Stall, worker: EffectWorker) -> None:
        self.stall, self.worker, self.shop = stall, worker, stall.shop
        self.begin()

    def begin(self, only: frozenset[str] | None = None) -> None:
        """New lives of all agents (or those named) and the engine."""
        path = DecisionPath(GRAPH, Gate(self.shop.firewall, [ComplianceAgent()]))
        store = self.shop.store
        roster = [agent for agent in ROSTER if only is None or agent.spec.name in only]
        runners: list[TaskRunner] = [AgentRunner(agent(), store, path) for agent in roster]
        self.runners = {runner.name: runner for runner in (*runners, WorkflowEngine(store))}
        self._begun: set[str] = set()
        self._works = False

    async def settle(self, *, seconds: float = 60.0) -> None:
        """Work until only what waits for a time or for a person is left; looks that would be soon are now."""
        idle = 0
        async with asyncio.timeout(seconds):
            while idle < 2:
                await self._hurry()
                idle = 0 if await self.step() else idle + 1

    async def step(self) -> int:
        if not self._works:
            await self.worker.begin()
            self._works = True
        done = await self.worker.step()
        async with self.shop.store.database.unbound() as session:
            due = list((await session.execute(_DUE)).scalars())
        for name in sorted(self.runners.keys() & due):
            if name not in self._begun:
                await self.runners[name].begin()
                self._begun.add(name)
            before = await self._marks()
            await self.runners[name].step()
            done += before != await self._marks()
        return done

    async def _marks(self) -> list[Any]:
        """What tells whether something happened: a look that finds nothing new is none."""
        return [
            tuple(row)
            for row in await self.shop.rows(
                "SELECT (SELECT count(*) FROM event), (SELECT count(*) FROM agent_decision),"
                " (SELECT count(*) FROM agent_task WHERE state = 'done' AND tenant_id = :tenant),"
                " (SELECT coalesce(sum(step), 0) FROM workflow_run),"
                " (SELECT count(*) FROM workflow_step WHERE state <> 'waiting'),"
                " (SELECT count(*) FROM effect WHERE finished_at IS NULL AND tenant_id = :tenant),"
                " (SELECT coalesce(sum(attempts), 0) FROM agent_task WHERE tenant_id = :tenant)"
            )
        ]

    async def _hurry(self) -> None:
        async with self.shop.store.database.unbound() as session:
            await session.execute(_HURRY)

    # -- what people do ------------------------------------------------------------------------------------------------

    async def write(self, **definition: Any) -> workflows.WorkflowView:
        async with self.shop.unit() as unit:
            return await workflows.write(unit, definition, by=None)

    async def switch_on(self, name: str = "auto-listing") -> workflows.WorkflowView:
        async with self.shop.unit() as unit:
            return await workflows.switch_on(unit, name, by=None)

    async def runs(self, workflow_id: UUID) -> list[workflows.RunDetail]:
        """Oldest first."""
        async with self.shop.store.reader(self.shop.tenant_id) as session:
            page = await workflows.list_runs(session, workflow_id, SortedRequest(limit=200))
            return [await workflows.run(session, each.id) for each in reversed(page.items)]

    async def state(self, workflow_id: UUID) -> workflows.WorkflowView:
        async with self.shop.store.reader(self.shop.tenant_id) as session:
            return await workflows.get(session, workflow_id)

    async def answer(self, approved: bool) -> int:
        """Every open question; how many there were."""
        questions = await self.shop.rows("SELECT id FROM approval WHERE state = 'open'")
        for question in questions:
            async with self.shop.unit() as unit:
                owner = UUID(int=1)
                await approvals.answer_approval(unit, question.id, approved=approved, by=owner)
        return len(questions)
