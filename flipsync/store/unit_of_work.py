"""One transaction that changes books and records facts together, then wakes whom it concerns.

    async with store.unit(tenant_id, cause) as unit:
        ...                       # services write through unit.session
        unit.emit(OrderReceived(...))

Events, the tasks they make for agents, and effects are in the same transaction as the change itself. Wake-ups are sent
after the commit; a lost one costs seconds, never work (see runtime.mailbox).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.clock import Clock, SystemClock, utc_now
from flipsync.domain.commands import Command
from flipsync.domain.events import Event
from flipsync.domain.ids import new_id
from flipsync.store.database import Database

EVENT_PRIORITY = {"urgent": 10, "normal": 50, "bulk": 80}
EFFECTS = "effects"

# All rows travel as one JSON parameter and events bring their tasks along: one statement and one round trip for a
# single fact as for thousands. A fact that is known already brings neither a row nor tasks.
_INSERT_EVENTS = text(
    """
    WITH fresh AS (
        INSERT INTO event (id, tenant_id, type, subject_kind, subject_id, payload, occurred_at, recorded_at,
                           causation_id, correlation_id, traceparent, dedup_key)
        SELECT e.id, :tenant_id, e.type, e.subject_kind, e.subject_id, e.payload, :occurred_at, :recorded_at,
               e.causation_id, e.correlation_id, e.traceparent, e.dedup_key
          FROM json_to_recordset(CAST(:events AS json)) AS e(
               id uuid, type text, subject_kind text, subject_id uuid, payload jsonb, causation_id uuid,
               correlation_id uuid, traceparent text, dedup_key text)
        ON CONFLICT (tenant_id, dedup_key) DO NOTHING
        RETURNING id
    ), made AS (
        INSERT INTO agent_task (id, tenant_id, agent, event_id, priority, state, attempts, not_before, epoch, error)
        SELECT t.id, :tenant_id, t.agent, t.event_id, t.priority, 'pending', 0, :recorded_at, 0, ''
          FROM json_to_recordset(CAST(:tasks AS json)) AS t(id uuid, agent text, event_id uuid, priority bigint)
          JOIN fresh ON fresh.id = t.event_id
    )
    SELECT id FROM fresh
    """
)
_INSERT_EFFECTS = text(
    """
    INSERT INTO effect (id, tenant_id, account_id, proposal_id, command, payload, subject_kind, subject_id, key,
                        priority, state, attempts, not_before, lease_owner, epoch, correlation_id, traceparent, result,
                        undo, created_at)
    SELECT e.id, :tenant_id, e.account_id, e.proposal_id, e.command, e.payload, e.subject_kind, e.subject_id, e.key,
           e.priority, 'pending', 0, :created_at, '', 0, e.correlation_id, e.traceparent, '{}', e.undo, :created_at
      FROM json_to_recordset(CAST(:effects AS json)) AS e(
           id uuid, account_id uuid, proposal_id uuid, command text, payload jsonb, subject_kind text, subject_id uuid,
           key text, priority bigint, correlation_id uuid, traceparent text, undo jsonb)
    ON CONFLICT (tenant_id, key) DO NOTHING
    """
)


@dataclass(frozen=True)
class Subscription:
    """An agent that wants an event type; `vendors` limits it to accounts of these vendors."""

    agent: str
    vendors: frozenset[str] | None = None

    def wants(self, event: Event) -> bool:
        if getattr(event, "to_agent", self.agent) != self.agent:
            return False
        vendor = event.routing_vendor()
        return self.vendors is None or vendor is None or vendor in self.vendors


#: event type name → who wants it; made from the agents' declarations (runtime.graph)
Routing = Mapping[str, Sequence[Subscription]]


class Waker(Protocol):
    """Tells sleepers that there is work, and watching people what happened. Best effort."""

    async def wake(self, names: frozenset[str], tenant_id: UUID, news: Sequence[dict[str, Any]]) -> None: ...


class SilentWaker:
    """Wakes nobody; for tools and tests that look for themselves."""

    async def wake(self, names: frozenset[str], tenant_id: UUID, news: Sequence[dict[str, Any]]) -> None:
        return None


@dataclass(frozen=True)
class Cause:
    """Where a change comes from, so that every step can be explained."""

    causation_id: UUID | None = None
    correlation_id: UUID | None = None
    traceparent: str = ""


@dataclass
class UnitOfWork:
    """An open transaction. `now` is business time, read once."""

    session: AsyncSession
    tenant_id: UUID
    cause: Cause
    now: datetime
    routing: Routing
    wake: set[str] = field(default_factory=set)
    news: list[dict[str, Any]] = field(default_factory=list)
    _events: list[tuple[UUID, Event, str | None, Cause]] = field(default_factory=list)
    _effects: list[dict[str, Any]] = field(default_factory=list)

    def emit(self, event: Event, *, dedup_key: str | None = None, cause: Cause | None = None) -> UUID:
        """Record a fact. With `dedup_key` the same fact is recorded once, however often it is told."""
        event_id = new_id()
        self._events.append((event_id, event, dedup_key, cause or self.cause))
        return event_id

    def enqueue(
        self,
        command: Command,
        *,
        account_id: UUID,
        key: str,
        proposal_id: UUID | None = None,
        undo: Command | None = None,
    ) -> UUID:
        """Put an effect in the outbox. A key that exists already is left as it is: asking twice does nothing twice."""
        effect_id = new_id()
        kind, subject_id = command.subject()
        self._effects.append(
            {
                "id": effect_id,
                "account_id": account_id,
                "proposal_id": proposal_id,
                "command": command.type_name(),
                "payload": command.model_dump(mode="json"),
                "subject_kind": kind,
                "subject_id": subject_id,
                "key": key,
                "priority": command.priority(),
                "correlation_id": self.cause.correlation_id or effect_id,
                "traceparent": self.cause.traceparent,
                "undo": {"command": undo.type_name(), "payload": undo.model_dump(mode="json")} if undo else None,
            }
        )
        return effect_id

    async def flush(self) -> None:
        """Write what was emitted so far; called on leaving the unit."""
        await self.session.flush()
        if self._effects:
            effects, self._effects = self._effects, []
            await self.session.execute(
                _INSERT_EFFECTS, {"tenant_id": self.tenant_id, "created_at": utc_now(), "effects": _json(effects)}
            )
            self.wake.add(EFFECTS)
        if self._events:
            pending, self._events = self._events, []
            await self._write_events(pending)

    async def _write_events(self, pending: list[tuple[UUID, Event, str | None, Cause]]) -> None:
        rows: list[dict[str, Any]] = []
        tasks: list[dict[str, Any]] = []
        for event_id, event, dedup_key, cause in pending:
            kind, subject_id = event.subject()
            rows.append(
                {
                    "id": event_id,
                    "type": event.type_name(),
                    "subject_kind": kind,
                    "subject_id": subject_id,
                    "payload": event.model_dump(mode="json"),
                    "causation_id": cause.causation_id,
                    "correlation_id": cause.correlation_id or event_id,
                    "traceparent": cause.traceparent,
                    "dedup_key": dedup_key,
                }
            )
            tasks += [
                {
                    "id": new_id(),
                    "agent": subscription.agent,
                    "event_id": event_id,
                    "priority": EVENT_PRIORITY[event.urgency],
                }
                for subscription in self.routing.get(event.type_name(), ())
                if subscription.wants(event)
            ]
        inserted = await self.session.execute(
            _INSERT_EVENTS,
            {
                "tenant_id": self.tenant_id,
                "occurred_at": self.now,
                "recorded_at": utc_now(),
                "events": _json(rows),
                "tasks": _json(tasks),
            },
        )
        fresh = set(inserted.scalars())
        occurred_at = self.now.isoformat()
        self.news += [_as_news(row, occurred_at) for row in rows if row["id"] in fresh]
        self.wake.update(task["agent"] for task in tasks if task["event_id"] in fresh)


def _json(rows: Sequence[Mapping[str, Any]]) -> str:
    return orjson.dumps(rows).decode()


def _as_news(row: dict[str, Any], occurred_at: str) -> dict[str, Any]:
    """A journal row as it is shown to whoever watches live."""
    return {
        "id": str(row["id"]),
        "type": row["type"],
        "subject": {"kind": row["subject_kind"], "id": str(row["subject_id"])},
        "occurred_at": occurred_at,
        "payload": row["payload"],
    }


class Store:
    """Makes units of work: the database, who subscribes to what, how to wake them, and what time it is."""

    def __init__(
        self, database: Database, routing: Routing, waker: Waker | None = None, clock: Clock | None = None
    ) -> None:
        self.database = database
        self.routing = routing
        self.waker: Waker = waker or SilentWaker()
        self.clock: Clock = clock or SystemClock()

    @asynccontextmanager
    async def unit(self, tenant_id: UUID, cause: Cause | None = None) -> AsyncIterator[UnitOfWork]:
        """A transaction that changes things. All or nothing, wake-ups included."""
        async with self.database.session(tenant_id) as session:
            unit = UnitOfWork(session, tenant_id, cause or Cause(), self.clock.now(), self.routing)
            yield unit
            await unit.flush()
        if unit.wake or unit.news:
            await self.waker.wake(frozenset(unit.wake), tenant_id, unit.news)

    @asynccontextmanager
    async def reader(self, tenant_id: UUID) -> AsyncIterator[AsyncSession]:
        """A transaction that cannot change anything."""
        async with self.database.reader(tenant_id) as session:
            yield session

    async def aclose(self) -> None:
        await self.database.aclose()
