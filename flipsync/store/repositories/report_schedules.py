"""Statements about reports that are made by themselves: who wants them, which are due, and their files."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.ids import new_id
from flipsync.store.models import ReportRun, ReportSchedule, User


@dataclass(frozen=True)
class ClaimedRun:
    """A report whose turn it is, until its lease ends."""

    id: UUID
    kind: str
    format: str
    first: date
    last: date
    attempts: int


# -- schedules --------------------------------------------------------------------------------------------------------


async def add(session: AsyncSession, values: dict[str, Any]) -> ReportSchedule:
    made = ReportSchedule(**values)
    session.add(made)
    await session.flush()
    return made


async def count_open(session: AsyncSession, user_id: UUID) -> int:
    mine = ReportSchedule
    query = select(func.count()).where(mine.user_id == user_id, mine.ended_at.is_(None))
    return int(await session.scalar(query) or 0)


async def listed(
    session: AsyncSession, *, user_id: UUID | None, after: UUID | None, most: int
) -> Sequence[tuple[ReportSchedule, str]]:
    """(schedule, whose by mail address), newest first; of one person or of all."""
    query = select(ReportSchedule, User.email).join(User, User.id == ReportSchedule.user_id)
    if user_id is not None:
        query = query.where(ReportSchedule.user_id == user_id)
    if after is not None:
        query = query.where(ReportSchedule.id < after)
    found = await session.execute(query.order_by(ReportSchedule.id.desc()).limit(most))
    return [(row[0], row[1]) for row in found]


async def one(session: AsyncSession, schedule_id: UUID, *, user_id: UUID | None) -> tuple[ReportSchedule, str] | None:
    """(schedule, whose by mail address), held until the transaction ends; of that person or of anybody."""
    query = select(ReportSchedule, User.email).join(User, User.id == ReportSchedule.user_id)
    query = query.where(ReportSchedule.id == schedule_id).with_for_update(of=ReportSchedule)
    if user_id is not None:
        query = query.where(ReportSchedule.user_id == user_id)
    row = (await session.execute(query)).one_or_none()
    return None if row is None else (row[0], row[1])


async def due(session: AsyncSession, now: datetime, most: int) -> Sequence[tuple[ReportSchedule, str | None]]:
    """(schedule, role of the person; None who cannot sign in any more) of what is due; nobody else plans it now."""
    mine = ReportSchedule
    query = (
        select(mine, User.role, User.disabled_at)
        .join(User, User.id == mine.user_id)
        .where(mine.ended_at.is_(None), mine.next_at <= now)
        .order_by(mine.next_at, mine.id)
        .limit(most)
        .with_for_update(of=mine, skip_locked=True)
    )
    return [(row[0], row[1] if row[2] is None else None) for row in await session.execute(query)]


# -- runs -------------------------------------------------------------------------------------------------------------


async def put_run(
    session: AsyncSession, tenant_id: UUID, schedule_id: UUID, due_at: datetime, first: date, last: date
) -> None:
    """It waits to be made, once for each time it was due."""
    values = {"schedule_id": schedule_id, "due_at": due_at, "first": first, "last": last}
    start = {"state": "waiting", "attempts": 0, "detail": "", "file_name": "", "size": 0}
    insert = pg_insert(ReportRun).values(id=new_id(), tenant_id=tenant_id, not_before=func.now(), **start, **values)
    await session.execute(insert.on_conflict_do_nothing(index_elements=["schedule_id", "due_at"]))


_CLAIM = text(
    """
    WITH due AS (
        SELECT id FROM report_run
         WHERE finished_at IS NULL
           AND ((state = 'waiting' AND not_before <= :now) OR (state = 'making' AND lease_until < :now))
         ORDER BY not_before, id LIMIT :most FOR UPDATE SKIP LOCKED)
    UPDATE report_run r SET state = 'making', attempts = r.attempts + 1, lease_until = :until
      FROM due, report_schedule s WHERE due.id = r.id AND s.id = r.schedule_id
    RETURNING r.id, s.kind, s.format, r.first, r.last, r.attempts
    """
)


async def claim(session: AsyncSession, now: datetime, until: datetime, most: int) -> list[ClaimedRun]:
    """Reports whose turn it is, each for one process, until then."""
    return [ClaimedRun(*row) for row in await session.execute(_CLAIM, {"now": now, "until": until, "most": most})]


async def end_run(session: AsyncSession, run_id: UUID, attempt: int, values: dict[str, Any]) -> bool:
    """What came of it; False when another try has begun in the meantime, which has the say then."""
    done = await session.execute(
        update(ReportRun)
        .where(ReportRun.id == run_id, ReportRun.attempts == attempt, ReportRun.state == "making")
        .values(lease_until=None, **values)
        .execution_options(synchronize_session=False)
    )
    return bool(done.rowcount)  # type: ignore[attr-defined]


async def runs(
    session: AsyncSession, *, user_id: UUID | None, after: UUID | None, most: int
) -> Sequence[tuple[ReportRun, ReportSchedule]]:
    """Newest first, without their files; of one person or of all."""
    query = select(ReportRun, ReportSchedule).join(ReportSchedule, ReportSchedule.id == ReportRun.schedule_id)
    if user_id is not None:
        query = query.where(ReportSchedule.user_id == user_id)
    if after is not None:
        query = query.where(ReportRun.id < after)
    found = await session.execute(query.order_by(ReportRun.id.desc()).limit(most))
    return [(row[0], row[1]) for row in found]


async def file(session: AsyncSession, run_id: UUID, *, user_id: UUID | None) -> tuple[str, str, bytes] | None:
    """(name, format, content) of a report that was made; of that person or of anybody."""
    query = (
        select(ReportRun.file_name, ReportSchedule.format, ReportRun.content)
        .join(ReportSchedule, ReportSchedule.id == ReportRun.schedule_id)
        .where(ReportRun.id == run_id, ReportRun.content.is_not(None))
    )
    if user_id is not None:
        query = query.where(ReportSchedule.user_id == user_id)
    row = (await session.execute(query)).one_or_none()
    return None if row is None else (row[0], row[1], row[2] or b"")


async def sizes(session: AsyncSession, run_ids: Collection[UUID], user_id: UUID) -> dict[UUID, int]:
    """Bytes of those of this person that were made."""
    query = (
        select(ReportRun.id, ReportRun.size)
        .join(ReportSchedule, ReportSchedule.id == ReportRun.schedule_id)
        .where(ReportRun.id.in_(run_ids), ReportSchedule.user_id == user_id, ReportRun.state == "made")
    )
    return {row[0]: row[1] for row in await session.execute(query)}
