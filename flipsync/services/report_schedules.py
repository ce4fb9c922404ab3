"""Reports that are made by themselves: wished for, listed, ended; and their files, for whose they are."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.clock import local_day
from flipsync.domain.errors import Conflict, InvalidInput, NotFound
from flipsync.services.notices.preferences import TimeOfDay
from flipsync.services.reading_page import Moment, Page, PageRequest, View, cut
from flipsync.services.report_files import Format, media_type
from flipsync.services.reports import TITLES, Kind
from flipsync.store.models import ReportRun, ReportSchedule
from flipsync.store.repositories import deliveries, tenants
from flipsync.store.repositories import report_schedules as rows
from flipsync.store.unit_of_work import UnitOfWork

Rhythm = Literal["daily", "weekly", "monthly"]
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
_WEEKDAYS: tuple[Weekday, ...] = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
#: schedules of a person that have not ended
MOST = 20


class ScheduleForm(BaseModel):
    """Daily it is about the day before, weekly about the seven days before, monthly about the month before."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind
    format: Format = "pdf"
    rhythm: Rhythm = "weekly"
    at: TimeOfDay = Field(default=time(7, 0), description="time of day in the business's time zone", examples=["07:00"])
    weekday: Weekday | None = Field(default=None, description="of a weekly one; monday unless told")
    day: int | None = Field(
        default=None, ge=1, le=28, description="of the month, of a monthly one; the first unless told"
    )


class ScheduleView(View):
    id: UUID
    user_id: UUID
    email: str
    kind: Kind
    title: str
    format: Format
    rhythm: Rhythm
    at: str
    weekday: Weekday | None
    day: int | None
    next_at: Moment | None = Field(description="null: it has ended")
    created_at: Moment
    ended_at: Moment | None
    why_ended: str


class ReportRunView(View):
    """One report. `detail` says why it is not there (yet)."""

    id: UUID
    schedule_id: UUID
    kind: Kind
    title: str
    format: Format
    first: date
    last: date
    due_at: Moment
    state: Literal["waiting", "making", "made", "failed"]
    detail: str
    size: int
    finished_at: Moment | None
    file: str | None = Field(description="where it is, for 30 days")


class ReportFile(BaseModel):
    name: str
    media_type: str
    content: bytes


async def schedule(unit: UnitOfWork, user_id: UUID, form: ScheduleForm) -> ScheduleView:
    """It goes to where this person is told of things, from the next time on. Raises InvalidInput, Conflict."""
    if form.weekday is not None and form.rhythm != "weekly":
        raise InvalidInput("only a weekly report has a weekday")
    if form.day is not None and form.rhythm != "monthly":
        raise InvalidInput("only a monthly report has a day of the month")
    if not await deliveries.lock_person(unit.session, user_id):
        raise NotFound(f"no user {user_id}")
    if await rows.count_open(unit.session, user_id) >= MOST:
        raise Conflict(f"nobody has more than {MOST} scheduled reports", hint="end one first")
    weekday = _WEEKDAYS.index(form.weekday or "monday") if form.rhythm == "weekly" else None
    day = (form.day or 1) if form.rhythm == "monthly" else None
    zone = await tenants.zone(unit.session)
    row = await rows.add(
        unit.session,
        {
            "tenant_id": unit.tenant_id,
            "user_id": user_id,
            "kind": form.kind,
            "format": form.format,
            "rhythm": form.rhythm,
            "at": f"{form.at:%H:%M}",
            "weekday": weekday,
            "day": day,
            "next_at": next_due(form.at, weekday, day, zone, unit.now),
        },
    )
    unit.audit("report.scheduled", "report_schedule", row.id, kind=form.kind, rhythm=form.rhythm)
    found = await rows.one(unit.session, row.id, user_id=user_id)
    assert found is not None, "just made"
    return _view(*found)


async def list_schedules(session: AsyncSession, user_id: UUID | None, page: PageRequest) -> Page[ScheduleView]:
    """Newest first, ended ones too; of one person or (None) of all. Raises InvalidInput for a foreign cursor."""
    found = await rows.listed(session, user_id=user_id, after=page.after_id(), most=page.limit + 1)
    return cut(found, page.limit, lambda row: _view(*row), lambda row: [str(row[0].id)])


async def end(unit: UnitOfWork, user_id: UUID | None, schedule_id: UUID) -> ScheduleView:
    """No more of it is made; what was made stays. Doing it again changes nothing. Raises NotFound."""
    found = await rows.one(unit.session, schedule_id, user_id=user_id)
    if found is None:
        raise NotFound(f"no scheduled report {schedule_id}")
    row, email = found
    if row.ended_at is None:
        row.ended_at, row.why_ended = unit.now, "ended by a person"
        unit.audit("report.schedule-ended", "report_schedule", row.id)
        await unit.session.flush()
    return _view(row, email)


async def list_runs(session: AsyncSession, user_id: UUID | None, page: PageRequest) -> Page[ReportRunView]:
    """Newest first; of one person or (None) of all. Raises InvalidInput for a foreign cursor."""
    found = await rows.runs(session, user_id=user_id, after=page.after_id(), most=page.limit + 1)
    return cut(found, page.limit, lambda row: _run(*row), lambda row: [str(row[0].id)])


async def file(session: AsyncSession, user_id: UUID | None, run_id: UUID) -> ReportFile:
    """Raises NotFound where there is none (yet, or any more)."""
    found = await rows.file(session, run_id, user_id=user_id)
    if found is None:
        raise NotFound(f"no file of report {run_id}", hint="it is kept for 30 days")
    name, form, content = found
    return ReportFile(name=name, media_type=media_type(form), content=content)


def next_due(at: time, weekday: int | None, day: int | None, zone: str, after: datetime) -> datetime:
    """The first such moment after `after`. A time of day that a change of clocks leaves out is an hour later then, one
    that comes twice is the first."""
    found, today = after, local_day(after, zone)
    for ahead in range(-1, 33):
        each = today + timedelta(days=ahead)
        if weekday in (None, each.weekday()) and day in (None, each.day):
            found = datetime.combine(each, at, ZoneInfo(zone)).astimezone(ZoneInfo("UTC"))
            if found > after:
                break
    return found


def newest_due(row: ReportSchedule, zone: str, now: datetime) -> datetime:
    """Of the times it was due until now the last one: a system that slept makes one report, not a pile."""
    due = row.next_at
    while (following := next_due(time.fromisoformat(row.at), row.weekday, row.day, zone, due)) <= now:
        due = following
    return due


def span(row: ReportSchedule, due: date) -> tuple[date, date]:
    """The days a report is about that is due on this one."""
    last = due - timedelta(days=1)
    if row.rhythm == "daily":
        return last, last
    if row.rhythm == "weekly":
        return last - timedelta(days=6), last
    last = due.replace(day=1) - timedelta(days=1)
    return last.replace(day=1), last


def _view(row: ReportSchedule, email: str) -> ScheduleView:
    names = ("id", "user_id", "kind", "format", "rhythm", "at", "day", "created_at", "ended_at", "why_ended")
    return ScheduleView.model_validate(
        {name: getattr(row, name) for name in names}
        | {
            "email": email,
            "title": title(row.kind),
            "weekday": None if row.weekday is None else _WEEKDAYS[row.weekday],
            "next_at": row.next_at if row.ended_at is None else None,
        }
    )


def _run(row: ReportRun, of: ReportSchedule) -> ReportRunView:
    names = ("id", "schedule_id", "first", "last", "due_at", "state", "detail", "size", "finished_at")
    return ReportRunView.model_validate(
        {name: getattr(row, name) for name in names}
        | {
            "kind": of.kind,
            "title": title(of.kind),
            "format": of.format,
            "file": f"/api/v1/reports/runs/{row.id}/file" if row.state == "made" else None,
        }
    )


def title(kind: str) -> str:
    return next((text for name, text in TITLES.items() if name == kind), kind)
