"""Statements about what persons changed, so that it can be taken back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.ids import first_id_at


@dataclass(frozen=True)
class ChangeRow:
    """A change as the journal has it."""

    id: UUID
    type: str
    subject_kind: str
    subject_id: UUID
    payload: dict[str, Any]
    recorded_at: datetime


_CHANGES = """
    SELECT id, type, subject_kind, subject_id, payload, recorded_at FROM event
     WHERE type = ANY(:types) AND {which}
"""
_GET = text(_CHANGES.format(which="id = :id"))
_LATER = text(_CHANGES.format(which="subject_kind = :kind AND subject_id = :subject AND id > :id") + " ORDER BY id")
_OF = text(
    _CHANGES.format(
        which="subject_kind = :kind AND subject_id = :subject AND (CAST(:before AS uuid) IS NULL OR id < :before)"
    )
    + " ORDER BY id DESC LIMIT :limit"
)
_SINCE = text(_CHANGES.format(which="id > :since") + " ORDER BY id DESC LIMIT :limit")


async def get(session: AsyncSession, types: Sequence[str], change_id: UUID) -> ChangeRow | None:
    row = (await session.execute(_GET, {"types": list(types), "id": change_id})).mappings().first()
    return None if row is None else ChangeRow(**row)


async def later(session: AsyncSession, types: Sequence[str], change: ChangeRow) -> list[ChangeRow]:
    """Changes of the same thing that came after, oldest first."""
    about = {"kind": change.subject_kind, "subject": change.subject_id, "id": change.id}
    return [ChangeRow(**row) for row in (await session.execute(_LATER, {"types": list(types), **about})).mappings()]


async def of(
    session: AsyncSession, types: Sequence[str], kind: str, subject_id: UUID, before: UUID | None, limit: int
) -> list[ChangeRow]:
    """Changes of one thing, newest first; `before`: only those that came before that one."""
    values = {"types": list(types), "kind": kind, "subject": subject_id, "before": before, "limit": limit}
    return [ChangeRow(**row) for row in (await session.execute(_OF, values)).mappings()]


async def since(session: AsyncSession, types: Sequence[str], moment: datetime, limit: int) -> list[ChangeRow]:
    """Newest first, since then (wall clock)."""
    values = {"types": list(types), "since": first_id_at(moment), "limit": limit}
    return [ChangeRow(**row) for row in (await session.execute(_SINCE, values)).mappings()]
