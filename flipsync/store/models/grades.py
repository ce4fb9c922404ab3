"""How right decisions were, and how much agents may do: outcomes of proposals, how many there were, budgets' slices."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from flipsync.domain.clock import utc_now
from flipsync.store.models.base import Base, TenantOwned, same_tenant


class DecisionOutcome(TenantOwned, Base):
    """One proposal of a decision: the confidence it was made with, and whether what it predicted came true.

    `outcome` is 1 or 0 when `known`, NULL while `waiting` and when it can `never` be known; `why` says it in words,
    `evidence_kind` and `evidence_id` name the row to look at. `decided_at` and `due_at` are business time.
    `drawn`: it is part of the sample that calibration rests on (the others were looked up for one that is). `look_at`
    is when it is looked at next, while it waits.
    """

    __tablename__ = "decision_outcome"
    __table_args__ = (
        same_tenant("decision_id", "agent_decision"),
        same_tenant("proposal_id", "proposal"),
        UniqueConstraint("proposal_id"),
        CheckConstraint("state IN ('waiting','known','never')", name="state"),
        CheckConstraint("(outcome IS NOT NULL) = (state = 'known') AND outcome IN (0, 1)", name="outcome"),
        Index("ix_decision_outcome_look_at", "tenant_id", "look_at", postgresql_where=text("state = 'waiting'")),
        Index("ix_decision_outcome_agent", "tenant_id", "agent", "kind", "due_at"),
        Index("ix_decision_outcome_decision_id", "decision_id"),
    )

    decision_id: Mapped[UUID]
    proposal_id: Mapped[UUID]
    agent: Mapped[str]
    kind: Mapped[str]
    confidence: Mapped[float]
    drawn: Mapped[bool]
    decided_at: Mapped[datetime]
    due_at: Mapped[datetime]
    look_at: Mapped[datetime]
    state: Mapped[str] = mapped_column(default="waiting")
    outcome: Mapped[int | None]
    why: Mapped[str] = mapped_column(default="")
    evidence_kind: Mapped[str | None]
    evidence_id: Mapped[UUID | None]
    graded_at: Mapped[datetime | None]


class DecisionTally(TenantOwned, Base):
    """How many proposals of a kind an agent has made since its grades are kept; holds count as a kind."""

    __tablename__ = "decision_tally"
    __table_args__ = (UniqueConstraint("tenant_id", "agent", "kind"),)

    agent: Mapped[str]
    kind: Mapped[str]
    made: Mapped[int]


class GradedThrough(TenantOwned, Base):
    """Up to which decision a business's journal was gone through for grading."""

    __tablename__ = "graded_through"
    __table_args__ = (UniqueConstraint("tenant_id"),)

    decision_id: Mapped[UUID]
    at: Mapped[datetime] = mapped_column(default=utc_now)


class AgentStanding(TenantOwned, Base):
    """What an agent may decide alone of one kind since outcomes last changed it (business time)."""

    __tablename__ = "agent_standing"
    __table_args__ = (
        UniqueConstraint("tenant_id", "agent", "kind"),
        CheckConstraint("level IN ('full','reduced','none')", name="level"),
        CheckConstraint("trusted BETWEEN 0 AND 1", name="trusted"),
    )

    agent: Mapped[str]
    kind: Mapped[str]
    level: Mapped[str]
    trusted: Mapped[float]
    reason: Mapped[str]
    since: Mapped[datetime]


class RecalibrationRow(TenantOwned, Base):
    """What an agent's confidence in decisions of a kind counts as (learning.evaluation.recalibration), by so many of
    them whose outcome was known then (business time)."""

    __tablename__ = "recalibration"
    __table_args__ = (
        UniqueConstraint("tenant_id", "agent", "kind"),
        CheckConstraint("slope >= 0", name="slope"),
    )

    agent: Mapped[str]
    kind: Mapped[str]
    slope: Mapped[float]
    shift: Mapped[float]
    decisions: Mapped[int]
    fitted_at: Mapped[datetime]


class BudgetSlice(TenantOwned, Base):
    """Part of an agent's hourly budget, leased to one process until it expires; then it is worth what was spent of it.

    Times are the database's, since processes' clocks need not agree.
    """

    __tablename__ = "budget_slice"
    __table_args__ = (
        CheckConstraint("spent >= 0 AND spent <= granted", name="spent"),
        Index("ix_budget_slice_agent", "tenant_id", "agent", "taken_at"),
    )

    agent: Mapped[str]
    granted: Mapped[int]
    spent: Mapped[int] = mapped_column(default=0)
    taken_at: Mapped[datetime]
    expires_at: Mapped[datetime]
