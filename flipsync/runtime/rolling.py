"""What the operator wants of running agents: drained, at work again, begun anew one after another.

The wish is in a row (`repositories.lives`) that the agent's next claim reads, so it is obeyed between two batches:
nothing is given up half done, and a wish outlives whoever dies meanwhile. Waking the agent makes it look at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flipsync.domain.errors import NotFound, Unavailable
from flipsync.runtime.mailbox import EVERYBODY
from flipsync.store.database import Database
from flipsync.store.models import AgentStatus
from flipsync.store.repositories import lives
from flipsync.store.unit_of_work import Waker

_LOOK_SECONDS = 0.05
#: holds nothing and takes nothing, or is not there
_IDLE = ("drained", "down")
_UP = ("ready", "drained")


@dataclass(frozen=True)
class Restarted:
    """A replica that is at work again, `seconds` after it was asked to begin anew."""

    agent: str
    replica: int
    replicas: int
    seconds: float


class Rolling:
    """`seconds`: how long one replica may take to do what is asked of it."""

    def __init__(self, database: Database, waker: Waker, *, seconds: float = 60.0) -> None:
        self._database, self._waker, self._seconds = database, waker, seconds

    async def drain(self, agents: Sequence[str]) -> None:
        """Until these hold nothing. The wish stays, also over a restart of the system, until they are resumed.

        Raises NotFound for one that never reported, Unavailable when one does not finish in time: it still will.
        """
        await self._wish(agents, draining=True)
        await self._until(agents, lambda rows: [row for row in rows if row.state not in _IDLE], "still at work")

    async def resume(self, agents: Sequence[str]) -> None:
        """Until these take work again. Raises as `drain`."""
        await self._wish(agents, draining=False)
        await self._until(agents, lambda rows: [row for row in rows if row.state == "drained"], "not at work yet")

    async def restart(self, agents: Sequence[str], told: Callable[[Restarted], None]) -> None:
        """Each replica of each in its turn, once the one before is ready again.

        Raises NotFound for one that never reported, Unavailable for one that is not back in time: the others stay up.
        """
        clock = asyncio.get_running_loop().time
        for row in await self._rows(agents):
            began = clock()
            async with self._database.unbound() as session:
                epoch = await lives.ask_restart(session, row.agent, row.replica)
            await self._wake([row.agent])

            def missing(
                rows: Sequence[AgentStatus], old: AgentStatus = row, epoch: int = epoch or 0
            ) -> list[AgentStatus]:
                return [
                    each
                    for each in rows
                    if each.replica == old.replica and not (each.epoch > epoch and each.state in _UP)
                ]

            await self._until([row.agent], missing, "not back")
            told(Restarted(row.agent, row.replica, row.replicas, clock() - began))

    async def _wish(self, agents: Sequence[str], *, draining: bool) -> None:
        await self._rows(agents)
        async with self._database.unbound() as session:
            await lives.set_draining(session, agents, draining)
        await self._wake(agents)

    async def _wake(self, agents: Sequence[str]) -> None:
        await self._waker.wake(frozenset(agents), EVERYBODY, [])

    async def _rows(self, agents: Sequence[str]) -> Sequence[AgentStatus]:
        async with self._database.unbound() as session:
            rows = await lives.statuses(session, agents)
        for agent in agents:
            if not any(row.agent == agent for row in rows):
                raise NotFound(f"no agent {agent} has ever reported", hint="flipsync agents list")
        return rows

    async def _until(
        self,
        agents: Sequence[str],
        missing: Callable[[Sequence[AgentStatus]], Sequence[AgentStatus]],
        lacks: str,
    ) -> None:
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._seconds
        while late := missing(await self._rows(agents)):
            if clock() > deadline:
                names = ", ".join(sorted({row.agent for row in late}))
                raise Unavailable(
                    f"{names}: {lacks} after {self._seconds:.0f} s", hint="flipsync agents list shows how they are"
                )
            await asyncio.sleep(_LOOK_SECONDS)
