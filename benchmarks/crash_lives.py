"""A whole runtime in one process, forked to work until all is quiet or until it is killed on the way.

All agents, the workflow engine and an effect worker, without Ray: what is tried here is what they do between the
database and the channels. The process they are forked from has done such work once, so that a life begins with
everything imported and every statement compiled; it holds no connection and no event loop while it forks. A life opens
its own.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from sqlalchemy import text

from benchmarks.crash_steps import Step, Steps
from flipsync.connectors.base import Unlimited
from flipsync.runtime.carrying_out import CARRIED_OUT
from flipsync.runtime.decision_path import DecisionPath
from flipsync.runtime.effects import EffectWorker
from flipsync.runtime.gate import Gate
from flipsync.runtime.graph import AgentClass, Graph
from flipsync.runtime.runner import AgentRunner, TaskRunner
from flipsync.runtime.workflow import WorkflowEngine
from flipsync.security.secrets import SecretBox
from flipsync.services.pricing.firewall import Firewall
from flipsync.store.database import Database
from flipsync.store.journal import WORKFLOWS
from flipsync.store.unit_of_work import Store

#: nothing may take longer than this to become quiet, in seconds; what an hour's budget denied waits longer, and is not
#: waited for: a killed process's slice of it is out for a minute
PATIENCE = 60.0
_OPEN = text(
    """
    SELECT coalesce((SELECT array_agg(DISTINCT agent) FROM agent_task
                      WHERE state IN ('pending', 'leased') AND not_before <= now()), '{}'),
           (SELECT count(*) FROM agent_task
             WHERE state IN ('pending', 'leased') AND not_before <= now() + interval '5 s'),
           (SELECT count(*) FROM effect WHERE finished_at IS NULL)
    """
)


@dataclass(frozen=True)
class Life:
    """What became of one life: `killed_at` names the step (None: it ended by itself), `quiet` whether nothing is open,
    `passed` the steps of one that ended by itself."""

    killed_at: str | None
    quiet: bool
    passed: tuple[str, ...] = ()


class Runtime:
    """What a life needs to begin. `store` may be used between lives, and must be closed (it opens again) before one."""

    def __init__(self, database_url: str, roster: tuple[AgentClass, ...], box: SecretBox, firewall_key: bytes) -> None:
        self.box = box
        self._firewall_key = firewall_key
        self._graph = Graph(roster, CARRIED_OUT)
        database = Database(database_url, pool_size=4, max_overflow=4, name="chaos")
        self.store = Store(database, self._graph.routing())
        #: for looks at what is left to do, which are no steps
        self._looks = Database(database_url, pool_size=1, max_overflow=0, name="chaos-looks")

    def work_here(self) -> None:
        """Work in this very process until all is quiet: what lives would have to import and compile, each for itself,
        they inherit from then on. Raises RuntimeError when it does not become quiet."""
        if not asyncio.run(self._work(None)):
            raise RuntimeError(f"not quiet after {PATIENCE:.0f} s, with nobody killed")
        gc.freeze()  # lives share these pages: no collection touches them

    def live(self, kill_at: Step | None, dice: Random) -> Life:
        """Fork, work, and say what became of it. The caller must have no event loop running."""
        linger = dice.random() * 0.012
        reader, writer = os.pipe()
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            os.close(reader)
            code = 1
            try:
                random.seed()
                gc.disable()
                steps = Steps(kill_at, lambda name: _tell(writer, name), linger)
                # bounded: without its database, which ends with whoever runs the benchmark, it would wait for ever
                code = 0 if asyncio.run(asyncio.wait_for(self._work(steps), 2 * PATIENCE)) else 3
                _tell(writer, "\n".join(steps.passed))
            finally:
                os._exit(code)
        os.close(writer)
        with os.fdopen(reader) as pipe:
            told = pipe.read().strip()
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            return Life(told or "unknown", quiet=False)
        if not told:
            raise RuntimeError(f"a life ended by an error of its own ({os.waitstatus_to_exitcode(status)})")
        return Life(None, os.WEXITSTATUS(status) == 0, tuple(told.splitlines()))

    async def _work(self, steps: Steps | None) -> bool:
        graph, store = self._graph, self.store
        firewall = Firewall(self._firewall_key, clock=store.clock)
        governance = [agent() for agent in graph.agents.values() if agent.spec.ecosystem == "governance"]
        path = DecisionPath(graph, Gate(firewall, governance))
        runners: dict[str, TaskRunner] = {
            name: AgentRunner(agent(), store, path) for name, agent in graph.agents.items()
        }
        runners[WORKFLOWS] = WorkflowEngine(store)
        worker = EffectWorker(store, self.box, Unlimited(), firewall, slot="chaos-0")
        if steps is not None:
            steps.watch_database(store.database)
            steps.watch_requests()
        await worker.begin()
        begun: set[str] = set()
        deadline, idle = time.monotonic() + PATIENCE, 0.0
        try:
            while time.monotonic() < deadline:
                done = await worker.step()
                due, tasks, effects = await self._open()
                if not tasks and not effects:
                    return True
                for name in due:
                    if name not in begun:
                        await runners[name].begin()
                        begun.add(name)
                    done += await runners[name].step()
                idle = 0.0 if done else min(0.1, idle * 2 or 0.01)
                await asyncio.sleep(idle)
            return False
        finally:
            await worker.aclose()
            await store.aclose()
            await self._looks.aclose()

    async def _open(self) -> tuple[list[str], int, int]:
        async with self._looks.unbound() as session:
            row = (await session.execute(_OPEN)).one()
            return list(row[0]), row[1], row[2]


def _tell(pipe: int, words: str) -> None:
    with os.fdopen(os.dup(pipe), "w") as end:
        end.write(words)


def until_quiet(runtime: Runtime, kills: Callable[[], Step | None], dice: Random) -> list[Life]:
    """Lives one after the other, each killed where `kills` says, until one ends by itself."""
    lives = [runtime.live(kills(), dice)]
    while lives[-1].killed_at is not None:
        lives.append(runtime.live(kills(), dice))
    return lives
