"""The agents' mailboxes: claiming across tenants (worker role), completing within one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from flipsync.store.database import ask
from flipsync.store.models import AgentTask, EventRecord
from flipsync.store.reading import Asked, Rows, Sentence
from flipsync.store.repositories.lives import MINE, WHOLE, Shard, Wish

MAX_ATTEMPTS = 5
#: before every tenant in the ring of turns
NOBODY = UUID(int=0)


@dataclass(frozen=True)
class ClaimedTask:
    id: UUID
    tenant_id: UUID
    event_id: UUID
    attempts: int


@dataclass(frozen=True)
class TaskEvent:
    """The journal's row behind a task, as far as an agent needs it."""

    id: UUID
    type: str
    subject_id: UUID
    payload: dict[str, Any]
    correlation_id: UUID
    traceparent: str


@dataclass(frozen=True)
class Claim:
    """Tasks leased to this life of an agent, and the seconds until the earliest of the others is due.

    None: there is none, or as many tasks were found as were asked for.
    """

    tasks: list[ClaimedTask]
    due: float | None
    #: the tenant that was served last: the next claim begins after it
    turn: UUID
    #: what the operator wants of this life; there are no tasks unless it is to "work". None: a later one has begun
    wish: Wish | None


# Tenants with something due sit in a ring; a claim goes round it from the one after :after, taking one task of each in
# a round, each one's most urgent first, and walks no further than it can take: nobody waits for another's backlog. It
# looks at twice what it takes: an earlier life that is not dead yet may be holding the first half. What it found it
# locks one by one by id, in that order: joined, a backlog that the planner has no statistics of was walked for each.
# The last row brings the time of what is not due yet; a full hand is followed by the next at once and needs none. A
# claim that a crash of the server takes back is made again by the next life, so nobody waits for the disk. Tenants of
# other shards are hopped over, one look each, and have no seat.
_FREE = """state IN ('pending', 'leased') AND not_before <= now()
          AND (state = 'pending' OR lease_until < now() OR epoch < :epoch)"""
_DUE = f"agent = :agent AND {_FREE}"
_NEXT_TENANT = f"""coalesce(
        (SELECT tenant_id FROM agent_task WHERE {_DUE} AND tenant_id > {{here}} ORDER BY tenant_id LIMIT 1),
        (SELECT tenant_id FROM agent_task WHERE {_DUE} ORDER BY tenant_id LIMIT 1))"""  # noqa: S608
_CLAIM = Sentence(
    f"""
    WITH RECURSIVE life (wish) AS MATERIALIZED (
        SELECT CASE WHEN restarting THEN 'restart' WHEN draining THEN 'drain' ELSE 'work' END
          FROM agent_status WHERE agent = :agent AND epoch = :epoch
    ), ring (tenant_id, first, seat) AS (
        SELECT tenant_id, tenant_id, ({MINE.format("tenant_id")})::int
          FROM (SELECT {_NEXT_TENANT.format(here=":after")}) AS f (tenant_id)
         WHERE (SELECT wish FROM life) = 'work' AND tenant_id IS NOT NULL
        UNION ALL
        SELECT n.tenant_id, r.first, r.seat + ({MINE.format("n.tenant_id")})::int
          FROM ring r CROSS JOIN LATERAL (SELECT {_NEXT_TENANT.format(here="r.tenant_id")}) AS n (tenant_id)
         WHERE r.seat < 2 * :limit AND n.tenant_id <> r.first
    ), turns AS MATERIALIZED (
        SELECT t.id, r.seat, row_number() OVER (PARTITION BY r.seat ORDER BY t.priority, t.id) AS round
          FROM ring r CROSS JOIN LATERAL (
            SELECT id, priority FROM agent_task WHERE {_DUE} AND tenant_id = r.tenant_id
             ORDER BY priority, id LIMIT 2 * :limit) t
         WHERE {MINE.format("r.tenant_id")}
         ORDER BY round, r.seat LIMIT 2 * :limit
    ), next AS (
        SELECT w.id, t.round, t.seat
          FROM turns t CROSS JOIN LATERAL (
            SELECT id FROM agent_task WHERE id = t.id AND {_FREE} FOR UPDATE SKIP LOCKED) w
         LIMIT :limit
    ), taken AS (
        UPDATE agent_task t
           SET state = 'leased', lease_until = now() + make_interval(secs => :lease), epoch = :epoch,
               attempts = attempts + 1
          FROM next WHERE t.id = next.id
        RETURNING t.id, t.tenant_id, t.event_id, t.attempts, t.priority, next.round, next.seat
    )
    SELECT id, tenant_id, event_id, attempts, priority, round, seat, NULL::float8 AS due, NULL AS wish FROM taken
    UNION ALL
    SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL,
           CASE WHEN set_config('synchronous_commit', 'off', true) IS NOT NULL
                THEN extract(epoch FROM min(not_before) - now())::float8 END,
           (SELECT wish FROM life)
      FROM agent_task
     WHERE (SELECT count(*) FROM taken) < :limit AND (SELECT wish FROM life) = 'work'
       AND agent = :agent AND state = 'pending' AND not_before > now() AND {MINE.format("tenant_id")}
    """,  # noqa: S608
    *("id", "tenant_id", "event_id", "attempts", "priority", "round", "seat", "due", "wish"),
)


async def claim(
    session: AsyncSession | AsyncConnection,
    agent: str,
    *,
    epoch: int,
    limit: int,
    lease_seconds: float,
    after: UUID = NOBODY,
    shard: Shard = WHOLE,
) -> Claim:
    """An agent's tasks by turns of the shard's tenants after `after`, each one's most urgent first, leased to this life
    of it.

    Tasks of earlier lives are taken over at once.
    """
    values = {"agent": agent, "epoch": epoch, "limit": limit, "lease": lease_seconds, "after": after}
    values |= {"shard": shard.index, "shards": shard.of}
    ((*found, last),) = await ask(session, [_CLAIM(**values)])
    turn = max(((row.round, row.seat, row.tenant_id) for row in found), default=(0, 0, after))[2]
    found.sort(key=lambda row: (row.priority, row.id))
    tasks = [ClaimedTask(row.id, row.tenant_id, row.event_id, row.attempts) for row in found]
    return Claim(tasks, None if last.due is None else max(0.0, last.due), turn, last.wish)


_OF_EVENT = ("id", "type", "subject_id", "payload", "correlation_id", "traceparent")
_EVENTS = Sentence(f"SELECT {', '.join(_OF_EVENT)} FROM event WHERE id = ANY(:ids)", *_OF_EVENT)  # noqa: S608


async def events(session: AsyncSession, ids: Sequence[UUID]) -> Mapping[UUID, TaskEvent]:
    (rows,) = await ask(session, [events_asked(ids)])
    return events_from(rows)


def events_asked(ids: Sequence[UUID]) -> Asked:
    return _EVENTS(ids=list(ids))


def events_from(rows: Rows) -> Mapping[UUID, TaskEvent]:
    """The journal's rows, as `events_asked` has them answered, by their ids."""
    return {row[0]: TaskEvent(*row) for row in rows}


# The life's row is held until the commit: none of its decisions can be committed after a later one has begun.
_DONE = """
    WITH life AS MATERIALIZED (
        SELECT epoch FROM agent_status WHERE agent = :agent AND epoch = :epoch FOR SHARE)
    UPDATE agent_task t SET state = 'done', finished_at = now(), error = ''
      FROM life
     WHERE t.id = ANY(:ids) AND t.state = 'leased' AND t.epoch = life.epoch
    RETURNING t.id"""
_COMPLETE = Sentence(_DONE, "id")
# Divides by zero unless all were ours: what is sent in the same round trip is taken back with it.
_COMPLETE_ALL = Sentence(f"WITH done AS ({_DONE}) SELECT 1 / (count(*) = :count)::int FROM done", "all")  # noqa: S608


async def complete(session: AsyncSession, agent: str, ids: Sequence[UUID], epoch: int) -> set[UUID]:
    """Mark tasks done; returns those that were still ours. The rest belongs to a later life: drop their results."""
    (rows,) = await ask(session, [_COMPLETE(agent=agent, ids=list(ids), epoch=epoch)])
    return {row.id for row in rows}


def complete_all(agent: str, ids: Sequence[UUID], epoch: int) -> Asked:
    """Marks tasks done, or fails with a DataError where a later life has one of them."""
    return _COMPLETE_ALL(agent=agent, ids=list(ids), epoch=epoch, count=len(ids))


async def postpone(session: AsyncSession, task: ClaimedTask, epoch: int, error: str) -> bool:
    """Give a failed task back with a delay that doubles, or set it aside after too many tries; True when set aside."""
    failed = task.attempts >= MAX_ATTEMPTS
    await session.execute(
        update(AgentTask)
        .where(AgentTask.id == task.id, AgentTask.state == "leased", AgentTask.epoch == epoch)
        .values(
            state="failed" if failed else "pending",
            error=error[:2000],
            not_before=func.now() + func.make_interval(0, 0, 0, 0, 0, 0, 0.2 * 2**task.attempts),
            finished_at=func.now() if failed else None,
        )
        .execution_options(synchronize_session=False)
    )
    return failed


_PUT_OFF = text(
    """
    UPDATE agent_task SET state = 'pending', attempts = 0, finished_at = NULL,
           not_before = now() + greatest(:least * interval '1 second',
                                         least(:most * interval '1 second', now() - event.recorded_at)) * :spread
      FROM event
     WHERE agent_task.id = :id AND event.id = agent_task.event_id
       AND event.recorded_at > now() - :longest * interval '1 second'
    """
)


async def put_off(
    session: AsyncSession, task_id: UUID, *, least: float, most: float, spread: float, longest: float
) -> None:
    """Have a task that is done come again, unless its fact is `longest` seconds old by now: after as long as it has
    waited already, between `least` and `most` seconds, times `spread`."""
    values = {"id": task_id, "least": least, "most": most, "spread": spread, "longest": longest}
    await session.execute(_PUT_OFF, values)


async def set_aside(
    session: AsyncSession, *, limit: int, after: UUID | None = None, agent: str | None = None
) -> Sequence[Row[AgentTask, EventRecord]]:
    """The tenant's tasks that failed every time, each with its fact; newest first."""
    query = (
        select(AgentTask, EventRecord)
        .join(EventRecord, EventRecord.id == AgentTask.event_id)
        .where(AgentTask.state == "failed")
        .order_by(AgentTask.id.desc())
        .limit(limit)
    )
    if after is not None:
        query = query.where(AgentTask.id < after)
    if agent is not None:
        query = query.where(AgentTask.agent == agent)
    return (await session.execute(query)).all()


async def release(session: AsyncSession, task_id: UUID) -> str | None:
    """Let a task that was set aside be tried again; its agent, or None when no such task is set aside."""
    agent: str | None = await session.scalar(
        update(AgentTask)
        .where(AgentTask.id == task_id, AgentTask.state == "failed")
        .values(state="pending", attempts=0, not_before=func.now(), finished_at=None)
        .returning(AgentTask.agent)
        .execution_options(synchronize_session=False)
    )
    return agent


_DIED_WITH = text(
    "SELECT count(*) FROM agent_task"  # noqa: S608
    f" WHERE agent = :agent AND state = 'leased' AND attempts >= :lives AND {MINE.format('tenant_id')}"
)


async def died_with(session: AsyncSession, agent: str, *, lives: int = 2, shard: Shard = WHOLE) -> int:
    """Tasks of the shard that the agent's process has died with that many times."""
    values = {"agent": agent, "lives": lives, "shard": shard.index, "shards": shard.of}
    return await session.scalar(_DIED_WITH, values) or 0


async def open_tasks(session: AsyncSession, tenant_id: UUID) -> int:
    """Tasks of a tenant that wait or run."""
    return (
        await session.scalar(
            select(func.count())
            .select_from(AgentTask)
            .where(AgentTask.tenant_id == tenant_id, or_(AgentTask.state == "pending", AgentTask.state == "leased"))
        )
    ) or 0
