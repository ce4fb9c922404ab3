"""Queries that show what was edited by hand on channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.events import ListingEdited
from flipsync.store.models import AgentDecision, Approval, EventRecord


@dataclass(frozen=True)
class EditRow:
    """An edit, what the agent that settles edits decided on it, and the question it put."""

    id: UUID
    payload: dict[str, Any]
    occurred_at: datetime
    rationale: str | None
    approval_id: UUID | None
    approval_state: str | None
    expires_at: datetime | None
    answered_at: datetime | None
    answered_by: UUID | None


async def edits(
    session: AsyncSession,
    *,
    limit: int,
    after: UUID | None = None,
    listing_id: UUID | None = None,
    edit_id: UUID | None = None,
    only_open: bool = False,
) -> Sequence[EditRow]:
    """Newest first."""
    asked = (
        select(AgentDecision.event_id, AgentDecision.rationale, Approval)
        .outerjoin(Approval, Approval.decision_id == AgentDecision.id)
        .where(AgentDecision.event_id == EventRecord.id)
        # the one that asks before those that hold, the newest first
        .order_by(Approval.id.desc().nulls_last(), AgentDecision.id.desc())
        .limit(1)
        .lateral("asked")
    )
    query = (
        select(
            EventRecord.id,
            EventRecord.payload,
            EventRecord.occurred_at,
            asked.c.rationale,
            asked.c.id,
            asked.c.state,
            asked.c.expires_at,
            asked.c.answered_at,
            asked.c.answered_by,
        )
        .select_from(EventRecord)
        .outerjoin(asked, asked.c.event_id == EventRecord.id)
        .where(EventRecord.type == ListingEdited.type_name())
        .order_by(EventRecord.id.desc())
        .limit(limit)
    )
    if after is not None:
        query = query.where(EventRecord.id < after)
    if listing_id is not None:
        query = query.where(EventRecord.subject_kind == "listing", EventRecord.subject_id == listing_id)
    if edit_id is not None:
        query = query.where(EventRecord.id == edit_id)
    if only_open:
        query = query.where(asked.c.state == "open")
    return [EditRow(*row) for row in await session.execute(query)]
