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

from sqlalchemy import insert
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.clock import Clock, SystemClock, utc_now
from flipsync.domain.commands import Command
from flipsync.domain.events import Event
from flipsync.domain.ids import new_id
from flipsync.store.database import Database
from flipsync.store.models import AgentTask, Effect, EventRecord

EVENT_PRIORITY = {"urgent": 10, "normal": 50, "bulk": 80}
EFFECTS = "effects"


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
                "tenant_id": self.tenant_id,
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
            rows, self._effects = self._effects, []
            await self.session.execute(
                pg_insert(Effect).on_conflict_do_nothing(index_elements=["tenant_id", "key"]), rows
            )
            self.wake.add(EFFECTS)
        if self._events:
            pending, self._events = self._events, []
            await self._write_events(pending)

    async def _write_events(self, pending: list[tuple[UUID, Event, str | None, Cause]]) -> None:
        rows = []
        recorded_at = utc_now()
        for event_id, event, dedup_key, cause in pending:
            kind, subject_id = event.subject()
            rows.append(
                {
                    "id": event_id,
                    "tenant_id": self.tenant_id,
                    "type": event.type_name(),
                    "subject_kind": kind,
                    "subject_id": subject_id,
                    "payload": event.model_dump(mode="json"),
                    "occurred_at": self.now,
                    "recorded_at": recorded_at,
                    "causation_id": cause.causation_id,
                    "correlation_id": cause.correlation_id or event_id,
                    "traceparent": cause.traceparent,
                    "dedup_key": dedup_key,
                }
            )
        plain = [row for row in rows if row["dedup_key"] is None]
        keyed = [row for row in rows if row["dedup_key"] is not None]
        fresh = {row["id"] for row in plain}
        if plain:
            await self.session.execute(insert(EventRecord), plain)
        for row in keyed:
            inserted = await self.session.execute(
                pg_insert(EventRecord)
                .values(row)
                .on_conflict_do_nothing(index_elements=["tenant_id", "dedup_key"])
                .returning(EventRecord.id)
            )
            fresh.update(inserted.scalars())
        self.news += [_as_news(row) for row in rows if row["id"] in fresh]
        tasks = []
        for event_id, event, _, _ in pending:
            if event_id not in fresh:
                continue
            for subscription in self.routing.get(event.type_name(), ()):
                if not subscription.wants(event):
                    continue
                tasks.append(
                    {
                        "id": new_id(),
                        "tenant_id": self.tenant_id,
                        "agent": subscription.agent,
                        "event_id": event_id,
                        "priority": EVENT_PRIORITY[event.urgency],
                    }
                )
                self.wake.add(subscription.agent)
        if tasks:
            await self.session.execute(insert(AgentTask), tasks)


def _as_news(row: dict[str, Any]) -> dict[str, Any]:
    """A journal row as it is shown to whoever watches live."""
    return {
        "id": str(row["id"]),
        "type": row["type"],
        "subject": {"kind": row["subject_kind"], "id": str(row["subject_id"])},
        "occurred_at": row["occurred_at"].isoformat(),
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
