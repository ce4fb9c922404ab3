"""The Ray actors: one an agent, a few effect workers, one supervisor. They only host what runs without Ray as well.

State in an actor is a cache: whatever dies is started again by Ray and takes its open work back from the database.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import os
from typing import Any

import structlog

from flipsync.runtime.assembly import Assembly
from flipsync.settings import RuntimeSettings, from_environment
from flipsync.store.repositories import tasks as task_rows

log = structlog.get_logger()
SUPERVISOR = "supervisor"
#: a crash loop is slowed down to one life a minute
_RESTART_PAUSE = (0.1, 60.0)
#: objects made before the collector looks: with Python's 700 a page of orders has it walk all there is several times
_COLLECT_AFTER = 10_000


class Host:
    """Base of the actors: runs one coroutine for ever, however often it is asked to.

    `NICE`: how far it steps back for whoever else wants the processor (nice(2)): people wait for the API. Linux keeps
    it by thread, and this is the one that works.
    """

    NICE = 5

    def __init__(self) -> None:
        gc.set_threshold(_COLLECT_AFTER, 20, 20)
        os.nice(max(0, self.NICE - os.nice(0)))
        self._work: asyncio.Task[None] | None = None

    async def _main(self) -> None:
        raise TypeError(f"{type(self).__name__} has nothing to run")

    async def run(self) -> None:
        """Start the work unless it runs, and wait with it. Ends only by an error."""
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._main())
        await asyncio.shield(self._work)

    async def ping(self) -> bool:
        return True


class AgentActor(Host):
    """Hosts one agent."""

    def __init__(self, agent: str) -> None:
        super().__init__()
        self._agent = agent

    async def _main(self) -> None:
        assembly = Assembly(from_environment(), name=f"agent {self._agent}")
        await assembly.runner(self._agent).run()


class EffectActor(Host):
    """Hosts one effect worker. What it writes, channels sell by: it steps back for nobody."""

    NICE = 0

    def __init__(self, slot: str) -> None:
        super().__init__()
        self._slot = slot

    async def _main(self) -> None:
        assembly = Assembly(from_environment(), name=self._slot, pool_size=6)
        await assembly.effect_worker(self._slot).run()


class Supervisor(Host):
    """Starts the others, starts them again, and keeps the record of how they are. Also runs scheduler and notifier."""

    def __init__(self) -> None:
        super().__init__()
        self._settings: RuntimeSettings = from_environment()

    async def _main(self) -> None:
        assembly = Assembly(self._settings, name=SUPERVISOR, pool_size=2)
        assembly.check()
        names = list(assembly.graph.agents)
        async with assembly.store.database.unbound() as session:
            for name in names:
                await task_rows.set_status(session, name, "starting")
        watched = [self._watch(assembly, AgentActor, name, name) for name in names]
        slots = [f"effects-{index}" for index in range(self._settings.effect_workers)]
        watched += [self._watch(assembly, EffectActor, slot, slot) for slot in slots]
        beside = importlib.import_module("flipsync.runtime.beside")  # brings much that no agent needs
        await asyncio.gather(*watched, beside.run(assembly, self._settings))

    async def _watch(self, assembly: Assembly, kind: type[Host], name: str, argument: str) -> None:
        pause = _RESTART_PAUSE[0]
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await start_actor(kind, name, argument).run.remote()
            except Exception as error:  # Ray's own tree: the actor died, is being restarted, or its work failed
                short = f"{type(error).__name__}: {error}".splitlines()[0][:500]
                log.warning("an actor stopped", actor=name, error=short)
                await self._record(assembly, kind, name, short)
            lived = asyncio.get_running_loop().time() - began
            pause = _RESTART_PAUSE[0] if lived > 30 else min(pause * 2, _RESTART_PAUSE[1])
            await asyncio.sleep(pause)

    async def _record(self, assembly: Assembly, kind: type[Host], name: str, error: str) -> None:
        if kind is not AgentActor:
            return
        try:
            async with assembly.store.database.unbound() as session:
                await task_rows.set_status(session, name, "down", error=error, restarted=True)
        except Exception as problem:  # the record can wait; the restart cannot
            log.warning("status not recorded", actor=name, error=str(problem).splitlines()[0])


def start_actor(kind: type[Host], name: str, *arguments: Any) -> Any:
    """The named actor, started when it is not there. It outlives its starter and is restarted by Ray for ever."""
    ray = importlib.import_module("ray")
    options = {
        "name": name,
        "get_if_exists": True,
        "lifetime": "detached",
        "max_restarts": -1,
        "max_task_retries": 0,
        "num_cpus": 0,
        "max_concurrency": 100,
    }
    return ray.remote(kind).options(**options).remote(*arguments)


def start_supervisor() -> Any:
    """Start the supervisor and its work; returns the reference of its endless call."""
    supervisor = start_actor(Supervisor, SUPERVISOR)
    return supervisor, supervisor.run.options(max_task_retries=-1).remote()
