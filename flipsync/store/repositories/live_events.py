"""Events of the journal as they are shown to whoever watches live."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.store.models import EventRecord as Row


async def events_from(session: AsyncSession, first_event_id: UUID, most: int) -> list[dict[str, Any]]:
    """Events with this id or a later one, in their order, so many at most; the shape of `UnitOfWork.news`."""
    query = (
        select(Row.id, Row.type, Row.subject_kind, Row.subject_id, Row.occurred_at, Row.payload)
        .where(Row.id >= first_event_id)
        .order_by(Row.id)
        .limit(most)
    )
    return [
        {
            "id": str(row.id),
            "type": row.type,
            "subject": {"kind": row.subject_kind, "id": str(row.subject_id)},
            "occurred_at": row.occurred_at.isoformat(),
            "payload": row.payload,
        }
        for row in await session.execute(query)
    ]
