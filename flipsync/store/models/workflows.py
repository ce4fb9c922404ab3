"""Automations: what they are in every version, their runs, the steps of these, and which facts they are told of.

Steps keep ids and our own words: no payload of a fact, no buyer.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from flipsync.domain.clock import utc_now
from flipsync.store.models.base import Base, TenantOwned, TenantParent, owned_key, same_tenant


class Workflow(TenantParent, Base):
    """One version of an automation. Runs end by the version they began with. `note` says why it was stopped."""

    __tablename__ = "workflow"
    __table_args__ = (
        owned_key(),
        UniqueConstraint("tenant_id", "name", "version"),
        Index(
            "uq_workflow_current",
            "tenant_id",
            "name",
            unique=True,
            postgresql_where=text("state IN ('active','paused','stopped')"),
        ),
        CheckConstraint("state IN ('active','paused','stopped','replaced','removed')", name="state"),
        CheckConstraint("origin IN ('owner','built-in')", name="origin"),
    )

    name: Mapped[str]
    version: Mapped[int]
    origin: Mapped[str]
    state: Mapped[str]
    definition: Mapped[dict[str, Any]]
    note: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    created_by: Mapped[UUID | None]
    changed_at: Mapped[datetime] = mapped_column(default=utc_now)


class WorkflowRun(TenantParent, Base):
    """One run. `event_id` is the fact that triggered it, `began_id` its own: the task for that is its alarm clock.

    `parent_id` is the run that brought the triggering fact about. `step` counts from 0. Times are business time.
    """

    __tablename__ = "workflow_run"
    __table_args__ = (
        owned_key(),
        same_tenant("workflow_id", "workflow"),
        same_tenant("event_id", "event"),
        UniqueConstraint("workflow_id", "event_id"),
        Index("ix_workflow_run_workflow", "workflow_id", "started_at"),
        Index("ix_workflow_run_subject", "tenant_id", "subject_id"),
        Index("ix_workflow_run_open", "workflow_id", postgresql_where=text("ended_at IS NULL")),
        Index("ix_workflow_run_ended", "tenant_id", "ended_at", postgresql_where=text("ended_at IS NOT NULL")),
        Index("ix_workflow_run_parent", "parent_id", postgresql_where=text("parent_id IS NOT NULL")),
        CheckConstraint("state IN ('running','undoing','done','failed','cancelled','quarantined')", name="state"),
    )

    workflow_id: Mapped[UUID]
    event_id: Mapped[UUID]
    began_id: Mapped[UUID]
    parent_id: Mapped[UUID | None]
    subject_kind: Mapped[str]
    subject_id: Mapped[UUID]
    state: Mapped[str] = mapped_column(default="running")
    step: Mapped[int] = mapped_column(default=0)
    why: Mapped[str] = mapped_column(default="")
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class WorkflowStep(TenantOwned, Base):
    """A step of a run that was come to. `facts` are events by which it was set going, `detail` what undoing needs."""

    __tablename__ = "workflow_step"
    __table_args__ = (
        same_tenant("run_id", "workflow_run"),
        UniqueConstraint("run_id", "undo", "ordinal"),
        Index("ix_workflow_step_told", "tenant_id", "ended_at", postgresql_where=text("kind = 'tell'")),
        CheckConstraint("state IN ('waiting','done','skipped','failed')", name="state"),
    )

    run_id: Mapped[UUID]
    ordinal: Mapped[int]
    undo: Mapped[bool] = mapped_column(default=False)
    kind: Mapped[str]
    state: Mapped[str]
    why: Mapped[str] = mapped_column(default="")
    facts: Mapped[list[str]] = mapped_column(default=list)
    detail: Mapped[list[Any]] = mapped_column(default=list)
    looks: Mapped[int] = mapped_column(default=0)
    began_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class WorkflowWatch(TenantOwned, Base):
    """A kind of fact the engine is told of (store.journal): a trigger's, or what one run waits for about one thing."""

    __tablename__ = "workflow_watch"
    __table_args__ = (
        same_tenant("workflow_id", "workflow"),
        same_tenant("run_id", "workflow_run"),
        Index("ix_workflow_watch_told", "tenant_id", "event_type", "subject_id"),
        CheckConstraint("run_id IS NOT NULL OR workflow_id IS NOT NULL", name="whose"),
    )

    event_type: Mapped[str]
    workflow_id: Mapped[UUID | None] = mapped_column(index=True)
    run_id: Mapped[UUID | None] = mapped_column(index=True)
    subject_id: Mapped[UUID | None]
