"""Lives of agents' actors: who serves whom, which life counts, and what the operator wants of it.

An agent has one row a replica. Tenants are dealt out by their ids alone, so there is no table to keep of it. All
replicas of an agent draw their epochs from one sequence, in a lock: a life that begins has a higher one than every life
before it, also of those that shared the tenants out otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.clock import utc_now
from flipsync.store.models import AgentStatus

Wish = Literal["work", "drain", "restart"]
#: the end of an id of ours is random (RFC 9562); `Shard.serves` in SQL
MINE = "('x' || right({}::text, 8))::bit(32)::bigint % :shards = :shard"


@dataclass(frozen=True)
class Shard:
    """The tenants that one replica of an agent serves: those whose id leaves `index` when divided by `of`."""

    index: int = 0
    of: int = 1

    def serves(self, tenant_id: UUID) -> bool:
        return (tenant_id.int & 0xFFFFFFFF) % self.of == self.index


WHOLE = Shard()
_NO_LIFE = 0


async def begin_life(session: AsyncSession, agent: str, pid: int | None, shard: Shard = WHOLE) -> int:
    """A new life of a replica: its epoch is above all others of the agent. Returns the epoch.

    Every earlier life of the replica is over, and every life that shares tenants out among another number of replicas:
    it claims nothing any more, and what it has claimed it cannot complete. Waits for commits of theirs under way.

    Without a `pid` it is no agent: a guest in another's process, which is not counted among those that are ready.
    """
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"lives of {agent}"))))
    of_agent = AgentStatus.agent == agent
    epoch: int = (await session.scalar(select(func.coalesce(func.max(AgentStatus.epoch), 0)).where(of_agent)) or 0) + 1
    await session.execute(delete(AgentStatus).where(of_agent, AgentStatus.replica >= shard.of))
    await session.execute(
        update(AgentStatus)
        .where(of_agent, AgentStatus.replicas != shard.of, AgentStatus.replica != shard.index)
        .values(epoch=_NO_LIFE, replicas=shard.of, state="starting", updated_at=utc_now())
    )
    now = utc_now()
    born: dict[str, Any] = {
        "state": "ready" if pid is not None else "starting",
        "epoch": epoch,
        "replicas": shard.of,
        "pid": pid,
        "restarting": False,
        "ready_at": now,
        "updated_at": now,
    }
    statement = insert(AgentStatus).values(agent=agent, replica=shard.index, created_at=now, **born)
    await session.execute(statement.on_conflict_do_update(index_elements=["agent", "replica"], set_=born))
    return epoch


async def set_status(
    session: AsyncSession, agent: str, state: str, *, error: str = "", restarted: bool = False, shard: Shard = WHOLE
) -> None:
    now = utc_now()
    statement = insert(AgentStatus).values(
        agent=agent,
        replica=shard.index,
        replicas=shard.of,
        state=state,
        last_error=error,
        created_at=now,
        updated_at=now,
    )
    changes: dict[str, Any] = {"state": state, "updated_at": now}
    if error:
        changes["last_error"] = error
    if restarted:
        changes["restarts"] = AgentStatus.restarts + 1
    await session.execute(statement.on_conflict_do_update(index_elements=["agent", "replica"], set_=changes))


async def set_state(session: AsyncSession, agent: str, state: str, epoch: int) -> None:
    """A life's word about itself; nothing where it is over."""
    await session.execute(
        update(AgentStatus)
        .where(AgentStatus.agent == agent, AgentStatus.epoch == epoch)
        .values(state=state, updated_at=utc_now())
    )


async def statuses(session: AsyncSession, agents: Sequence[str] | None = None) -> Sequence[AgentStatus]:
    """Of these agents, or of all; by name and replica."""
    query = select(AgentStatus).order_by(AgentStatus.agent, AgentStatus.replica)
    if agents is not None:
        query = query.where(AgentStatus.agent.in_(agents))
    return (await session.scalars(query.execution_options(populate_existing=True))).all()


async def set_draining(session: AsyncSession, agents: Sequence[str], draining: bool) -> None:
    """Have all replicas of these agents take nothing new, or go on."""
    await session.execute(
        update(AgentStatus).where(AgentStatus.agent.in_(agents)).values(draining=draining, updated_at=utc_now())
    )


async def ask_restart(session: AsyncSession, agent: str, replica: int) -> int | None:
    """Have one replica begin a new life once it holds nothing; returns the epoch of the present one."""
    epoch: int | None = await session.scalar(
        update(AgentStatus)
        .where(AgentStatus.agent == agent, AgentStatus.replica == replica)
        .values(restarting=True, updated_at=utc_now())
        .returning(AgentStatus.epoch)
    )
    return epoch
