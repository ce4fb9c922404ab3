"""The Ray actors: one an agent, or several that share the tenants out; effect workers; one supervisor. They only host
what runs without Ray as well.

State in an actor is a cache: whatever dies is started again by Ray and takes its open work back from the database.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import structlog

from flipsync.runtime.assembly import Assembly
from flipsync.runtime.lasting import LONG, lasting
from flipsync.settings import RuntimeSettings, from_environment
from flipsync.store.repositories import lives
from flipsync.store.repositories.lives import Shard

if TYPE_CHECKING:
    from flipsync.runtime.effects import EffectWorker
    from flipsync.runtime.runner import AgentRunner

log = structlog.get_logger()
SUPERVISOR = "supervisor"
#: seconds between two looks whether an actor is there again; of the supervisor they become longer
_LOOK, _MOST_PAUSE = 0.1, 5.0
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
        self._worker: AgentRunner | EffectWorker | None = None

    async def _main(self) -> None:
        """Work until it is to end. Raises for everything else that ends it."""
        raise TypeError(f"{type(self).__name__} has nothing to run")

    async def run(self) -> None:
        """Start the work unless it runs, and wait with it."""
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._main())
        await asyncio.shield(self._work)

    async def ping(self) -> bool:
        return True

    async def drain(self) -> None:
        """Finish what it holds and take nothing new; returns when that is so."""
        if self._worker is not None and self._work is not None:
            self._worker.end()
            await asyncio.wait([self._work])


class AgentActor(Host):
    """Hosts one agent, or one of its replicas."""

    def __init__(self, agent: str, index: int = 0, of: int = 1) -> None:
        super().__init__()
        self._agent, self._shard = agent, Shard(index, of)

    async def _main(self) -> None:
        assembly = Assembly(from_environment(), name=f"agent {self._agent}")
        self._worker = assembly.runner(self._agent, self._shard)
        await self._worker.run()


class EffectActor(Host):
    """Hosts one effect worker. What it writes, channels sell by: it steps back for nobody."""

    NICE = 0

    def __init__(self, slot: str) -> None:
        super().__init__()
        self._slot = slot

    async def _main(self) -> None:
        assembly = Assembly(from_environment(), name=self._slot, pool_size=6)
        self._worker = assembly.effect_worker(self._slot)
        await self._worker.run()


class Supervisor(Host):
    """Starts the others, starts them again, and keeps the record of how they are. Also runs scheduler and notifier.

    Nothing of it ends by an error, be the database away while it begins: agents that die would stay away.
    """

    def __init__(self) -> None:
        super().__init__()
        self._settings: RuntimeSettings = from_environment()
        self._started: dict[str, Any] = {}

    async def _main(self) -> None:
        assembly = Assembly(self._settings, name=SUPERVISOR, pool_size=2)
        assembly.check()
        watched = [
            self._watch(assembly, AgentActor, agent, Shard(index, of))
            for agent in assembly.graph.agents
            for of in [self._settings.replicas_of(agent)]
            for index in range(of)
        ]
        slots = [f"effects-{index}" for index in range(self._settings.effect_workers)]
        watched += [self._watch(assembly, EffectActor, slot) for slot in slots]
        beside = importlib.import_module("flipsync.runtime.beside")  # brings much that no agent needs
        parts = beside.parts(assembly, self._settings)
        await asyncio.gather(*watched, *(lasting(name, live) for name, live in parts.items()))

    async def drain(self) -> None:
        """Nobody is started again; whoever is there finishes what it holds. Returns when that is so."""
        if self._work is not None:
            self._work.cancel()
        await asyncio.gather(*(actor.drain.remote() for actor in self._started.values()), return_exceptions=True)

    async def _watch(self, assembly: Assembly, kind: type[Host], hosted: str, shard: Shard | None = None) -> None:
        name = hosted if shard is None or shard.index == 0 else f"{hosted}.{shard.index}"
        arguments = (hosted,) if shard is None else (hosted, shard.index, shard.of)

        async def record(state: str, **more: Any) -> None:
            if shard is None:
                return
            try:
                async with assembly.store.database.unbound() as session:
                    await lives.set_status(session, hosted, state, shard=shard, **more)
            except Exception as problem:  # the record can wait; the restart cannot
                log.warning("status not recorded", actor=name, error=str(problem).splitlines()[0])

        async def live() -> None:
            self._started[name] = actor = start_actor(kind, name, *arguments)
            await _there(actor)  # that Ray is not done starting it again is no short life of its own
            await actor.run.remote()
            # it was asked to begin anew: in a process of its own again
            importlib.import_module("ray").kill(actor, no_restart=False)

        async def died(error: str) -> None:  # Ray's own tree: it died, is being restarted, or its work failed
            await record("down", error=error, restarted=True)

        await record("starting")
        await lasting(name, live, died)


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


async def _there(actor: Any) -> None:
    """Until it answers. Raises Ray's errors for one that does not come back."""
    restarting = importlib.import_module("ray").exceptions.ActorUnavailableError
    while True:
        try:
            await actor.ping.remote()
        except restarting:
            await asyncio.sleep(_LOOK)
        else:
            return


class SupervisorKeeper(threading.Thread):
    """Starts the supervisor, and its work again whenever that ends, from the process that started the system.

    Ray would do so for a process that died (`max_task_retries`), each time after twice as long as the time before, and
    not for work that ended by an error.
    """

    def __init__(self) -> None:
        super().__init__(name="supervisor keeper", daemon=True)
        self._ending = threading.Event()

    def run(self) -> None:
        ray, pause = importlib.import_module("ray"), _LOOK
        while not self._ending.is_set():
            began = time.monotonic()
            try:
                work = start_actor(Supervisor, SUPERVISOR).run.remote()
                while not ray.wait([work], timeout=1.0)[0]:
                    if self._ending.is_set():
                        return
                ray.get(work)
            except Exception as error:
                log.warning("the supervisor stopped", error=f"{type(error).__name__}: {error}".splitlines()[0][:300])
            pause = _LOOK if time.monotonic() - began > LONG else min(2 * pause, _MOST_PAUSE)
            self._ending.wait(pause)

    def stop(self, seconds: float = 0.0) -> bool:
        """It starts nothing any more. Whoever is at work has `seconds` to finish what it holds; whether all have."""
        self._ending.set()
        self.join()
        if seconds <= 0:
            return False
        ray = importlib.import_module("ray")
        try:
            ray.get(ray.get_actor(SUPERVISOR).drain.remote(), timeout=seconds)
        except Exception as error:
            log.warning("stopped amid work", error=f"{type(error).__name__}: {error}".splitlines()[0][:300])
            return False
        return True
