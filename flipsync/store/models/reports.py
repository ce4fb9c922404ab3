"""Reports that are made by themselves: who wants which when, and each as it was made."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, LargeBinary, UniqueConstraint, text
from sqlalchemy.orm import Mapped, deferred, mapped_column

from flipsync.domain.clock import utc_now
from flipsync.store.models.base import Base, TenantOwned, TenantParent, owned_key, same_tenant


class ReportSchedule(TenantParent, Base):
    """A person's wish for a report, at a time of day in the business's time zone. Times are the business's.

    `weekday` (0: Monday) is set for weekly ones, `day` of the month for monthly ones.
    """

    __tablename__ = "report_schedule"
    __table_args__ = (
        owned_key(),
        same_tenant("user_id", "app_user"),
        Index("ix_report_schedule_due", "tenant_id", "next_at", postgresql_where=text("ended_at IS NULL")),
        CheckConstraint("rhythm IN ('daily','weekly','monthly')", name="rhythm"),
        CheckConstraint("format IN ('csv','xlsx','pdf')", name="format"),
        CheckConstraint("(rhythm = 'weekly') = (weekday IS NOT NULL) AND weekday BETWEEN 0 AND 6", name="weekday"),
        CheckConstraint("(rhythm = 'monthly') = (day IS NOT NULL) AND day BETWEEN 1 AND 28", name="day"),
    )

    user_id: Mapped[UUID] = mapped_column(index=True)
    kind: Mapped[str]
    format: Mapped[str]
    rhythm: Mapped[str]
    at: Mapped[str]
    weekday: Mapped[int | None]
    day: Mapped[int | None]
    next_at: Mapped[datetime]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    ended_at: Mapped[datetime | None]
    why_ended: Mapped[str] = mapped_column(default="")


class ReportRun(TenantOwned, Base):
    """One report of a schedule: waits to be made, is being made, is there with its file, or could not be made. What
    came of telling the person is with their notifications. `due_at` is the business's time, the others are real."""

    __tablename__ = "report_run"
    __table_args__ = (
        same_tenant("schedule_id", "report_schedule"),
        UniqueConstraint("schedule_id", "due_at"),
        Index("ix_report_run_open", "tenant_id", "not_before", postgresql_where=text("finished_at IS NULL")),
        CheckConstraint("state IN ('waiting','making','made','failed')", name="state"),
    )

    schedule_id: Mapped[UUID] = mapped_column(index=True)
    due_at: Mapped[datetime]
    first: Mapped[date]
    last: Mapped[date]
    state: Mapped[str] = mapped_column(default="waiting")
    attempts: Mapped[int] = mapped_column(default=0)
    detail: Mapped[str] = mapped_column(default="")
    file_name: Mapped[str] = mapped_column(default="")
    size: Mapped[int] = mapped_column(default=0)
    content: Mapped[bytes | None] = deferred(mapped_column(LargeBinary))
    not_before: Mapped[datetime] = mapped_column(default=utc_now)
    lease_until: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
