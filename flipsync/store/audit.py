"""The audit log's rows: written at the end of the transaction they tell of, read in pages, read for verification.

The database numbers, dates and chains them (migrations/guards_0016.sql).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

import orjson
from sqlalchemy import Select, Text, bindparam, cast, select
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.ids import new_id
from flipsync.store.models import AuditEntry
from flipsync.store.reading import Asked, Question, Sentence, where

ActorKind = Literal["user", "key", "system", "nobody"]


@dataclass(frozen=True)
class Actor:
    """Who did it: a user, a user's API key, the installation itself, or nobody we know (a failed sign-in)."""

    kind: ActorKind = "system"
    id: UUID | None = None
    address: str = ""


SYSTEM = Actor()


@dataclass(frozen=True)
class Line:
    """One thing that was done, before the database has numbered it."""

    actor: Actor
    action: str
    subject_kind: str
    subject_id: str
    details: dict[str, Any]
    traceparent: str


_APPEND = Sentence(
    """
    INSERT INTO audit_entry (id, tenant_id, actor_kind, actor_id, action, subject_kind, subject_id, details, address,
                             traceparent)
    VALUES (:id, :tenant_id, :actor_kind, :actor_id, :action, :subject_kind, :subject_id, CAST(:details AS jsonb),
            :address, :traceparent)
    """
)


def appended(tenant_id: UUID, line: Line) -> Asked:
    """What writes it. From there to the end of the transaction the tenant's other writers wait: asked last."""
    return _APPEND(
        id=new_id(),
        tenant_id=tenant_id,
        actor_kind=line.actor.kind,
        actor_id=line.actor.id,
        action=line.action,
        subject_kind=line.subject_kind,
        subject_id=line.subject_id,
        details=orjson.dumps(line.details).decode(),
        address=line.actor.address,
        traceparent=line.traceparent,
    )


def _entries(given: frozenset[str]) -> Select[*tuple[Any, ...]]:
    return where(
        select(*AuditEntry.__table__.c).order_by(AuditEntry.seq.desc()).limit(bindparam("limit")),
        given,
        before=AuditEntry.seq < bindparam("before"),
        action=AuditEntry.action == bindparam("action"),
        actor_id=AuditEntry.actor_id == bindparam("actor_id"),
        subject_id=AuditEntry.subject_id == bindparam("subject_id"),
        at_from=AuditEntry.at >= bindparam("at_from"),
        at_before=AuditEntry.at < bindparam("at_before"),
    )


#: limit, and any of before (a number), action, actor_id, subject_id, at_from, at_before; newest first
ENTRIES = Question(_entries)


async def in_order(session: AsyncSession, batch: int = 1000) -> AsyncIterator[Any]:
    """Every line of the session's tenant from the first, `details_text` as the database hashed it."""
    after = 0
    query = select(*AuditEntry.__table__.c, cast(AuditEntry.details, Text).label("details_text"))
    while True:
        found = await session.execute(query.where(AuditEntry.seq > after).order_by(AuditEntry.seq).limit(batch))
        rows = found.all()
        for row in rows:
            yield row
        if len(rows) < batch:
            return
        after = rows[-1].seq
