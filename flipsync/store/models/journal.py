"""The path of everything that happens: events, agents' tasks, decisions, proposals with verdicts, effects, receipts."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from flipsync.domain.clock import utc_now
from flipsync.store.models.base import Base, TenantOwned, TenantParent, Timestamped, owned_key, same_tenant


class EventRecord(TenantParent, Base):
    """A fact. `causation_id` is the event, decision or effect it came from; `correlation_id` the first of its chain."""

    __tablename__ = "event"
    __table_args__ = (
        owned_key(),
        Index("uq_event_tenant_id_dedup_key", "tenant_id", "dedup_key", unique=True),
        Index("ix_event_subject", "tenant_id", "subject_kind", "subject_id", "id"),
        Index("ix_event_causation_id", "causation_id", "id"),
        Index("ix_event_listing_edited", "tenant_id", "id", postgresql_where=text("type = 'ListingEdited'")),
    )

    type: Mapped[str]
    subject_kind: Mapped[str]
    subject_id: Mapped[UUID]
    payload: Mapped[dict[str, Any]]
    occurred_at: Mapped[datetime]
    recorded_at: Mapped[datetime] = mapped_column(default=utc_now)
    causation_id: Mapped[UUID | None]
    correlation_id: Mapped[UUID]
    traceparent: Mapped[str] = mapped_column(default="")
    dedup_key: Mapped[str | None]


class AgentTask(TenantOwned, Base):
    """One event waiting for one agent. Claimed with a lease and the agent's epoch; committed with its decision."""

    __tablename__ = "agent_task"
    __table_args__ = (
        same_tenant("event_id", "event"),
        UniqueConstraint("event_id", "agent"),
        Index(
            "ix_agent_task_turn",
            "agent",
            "tenant_id",
            "priority",
            "id",
            postgresql_where=text("state IN ('pending','leased')"),
        ),
        Index("ix_agent_task_failed", "tenant_id", "id", postgresql_where=text("state = 'failed'")),
        CheckConstraint("state IN ('pending','leased','done','failed')", name="state"),
    )

    #: not indexed alone: what is done stays, and nobody asks for all of a tenant's
    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenant.id", ondelete="CASCADE"))
    agent: Mapped[str]
    event_id: Mapped[UUID]
    priority: Mapped[int]
    state: Mapped[str] = mapped_column(default="pending")
    attempts: Mapped[int] = mapped_column(default=0)
    not_before: Mapped[datetime] = mapped_column(default=utc_now)
    lease_until: Mapped[datetime | None]
    epoch: Mapped[int] = mapped_column(default=0)
    error: Mapped[str] = mapped_column(default="")
    finished_at: Mapped[datetime | None]


class AgentDecision(TenantParent, Base):
    """What an agent decided on one event, with its reasons. `state` says what became of it."""

    __tablename__ = "agent_decision"
    __table_args__ = (
        owned_key(),
        same_tenant("event_id", "event"),
        Index("ix_agent_decision_event_id", "event_id"),
        Index("ix_agent_decision_agent", "tenant_id", "agent", "id"),
        CheckConstraint("state IN ('held','applied','escalated','awaiting','overruled')", name="state"),
    )

    agent: Mapped[str]
    agent_version: Mapped[str]
    event_id: Mapped[UUID]
    state: Mapped[str]
    source: Mapped[str]
    rationale: Mapped[str]
    confidence: Mapped[float]
    #: the confidence that counted, where outcomes had shown the agent too sure
    trusted: Mapped[float | None]
    #: the map from stated to counted confidence that was in force, where one bore on it (services.recalibrating)
    recalibration: Mapped[dict[str, Any] | None]
    stake_minor: Mapped[int | None]
    stake_currency: Mapped[str | None] = mapped_column(String(3))
    alternatives: Mapped[list[Any]] = mapped_column(default=list)
    evidence: Mapped[list[Any]] = mapped_column(default=list)
    correlation_id: Mapped[UUID]
    decided_at: Mapped[datetime] = mapped_column(default=utc_now)


class DecisionNotes(TenantParent, Base):
    """What a decision read, packed (services.recorded_desk). `id` is the decision's; `packed` is NULL when it was more
    than is kept: the decision cannot be made again."""

    __tablename__ = "decision_notes"
    __table_args__ = (owned_key(), same_tenant("id", "agent_decision"))

    packed: Mapped[bytes | None]
    size: Mapped[int]


class Proposal(TenantParent, Base):
    """One command of a decision, with the gate's verdict."""

    __tablename__ = "proposal"
    __table_args__ = (
        owned_key(),
        same_tenant("decision_id", "agent_decision"),
        UniqueConstraint("decision_id", "ordinal"),
        Index("ix_proposal_subject", "tenant_id", "subject_kind", "subject_id", "id"),
    )

    decision_id: Mapped[UUID]
    ordinal: Mapped[int]
    command: Mapped[str]
    payload: Mapped[dict[str, Any]]
    subject_kind: Mapped[str]
    subject_id: Mapped[UUID]
    verdict: Mapped[str | None]
    rule: Mapped[str] = mapped_column(default="")
    reason: Mapped[str] = mapped_column(default="")


class Effect(TenantParent, Base):
    """The outbox: one thing to do (or read) outside, exactly once as the outside sees it."""

    __tablename__ = "effect"
    __table_args__ = (
        owned_key(),
        same_tenant("account_id", "marketplace_account"),
        same_tenant("proposal_id", "proposal"),
        UniqueConstraint("tenant_id", "key"),
        Index(
            "ix_effect_turn",
            "account_id",
            "priority",
            "id",
            postgresql_where=text("finished_at IS NULL"),
        ),
        Index("ix_effect_subject", "tenant_id", "subject_kind", "subject_id", "id"),
        CheckConstraint("state IN ('pending','leased','unknown','confirmed','rejected','superseded')", name="state"),
    )

    account_id: Mapped[UUID] = mapped_column(index=True)
    proposal_id: Mapped[UUID | None] = mapped_column(index=True)
    command: Mapped[str]
    payload: Mapped[dict[str, Any]]
    subject_kind: Mapped[str]
    subject_id: Mapped[UUID]
    key: Mapped[str]
    priority: Mapped[int]
    state: Mapped[str] = mapped_column(default="pending")
    attempts: Mapped[int] = mapped_column(default=0)
    not_before: Mapped[datetime] = mapped_column(default=utc_now)
    lease_owner: Mapped[str] = mapped_column(default="")
    lease_until: Mapped[datetime | None]
    epoch: Mapped[int] = mapped_column(default=0)
    #: leased to go out in one call with others: an urgent effect of the same listing does not wait for it
    bulk: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    correlation_id: Mapped[UUID]
    traceparent: Mapped[str] = mapped_column(default="")
    result: Mapped[dict[str, Any]] = mapped_column(default=dict)
    undo: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    finished_at: Mapped[datetime | None]


class Receipt(TenantOwned, Base):
    """What came of one attempt at one effect."""

    __tablename__ = "receipt"
    __table_args__ = (
        same_tenant("effect_id", "effect"),
        UniqueConstraint("effect_id", "attempt"),
        CheckConstraint("outcome IN ('confirmed','rejected','retryable','unknown')", name="outcome"),
    )

    effect_id: Mapped[UUID] = mapped_column(index=True)
    attempt: Mapped[int]
    outcome: Mapped[str]
    detail: Mapped[str] = mapped_column(default="")
    vendor_code: Mapped[str] = mapped_column(default="")
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime] = mapped_column(default=utc_now)


class Approval(TenantOwned, Base):
    """A question to a person. `escalated_at`: nobody had answered, and the next person was told."""

    __tablename__ = "approval"
    __table_args__ = (
        same_tenant("decision_id", "agent_decision"),
        UniqueConstraint("decision_id"),
        Index("ix_approval_open", "tenant_id", "id", postgresql_where=text("state = 'open'")),
        CheckConstraint("state IN ('open','approved','refused','expired','superseded')", name="state"),
    )

    decision_id: Mapped[UUID]
    question: Mapped[str]
    state: Mapped[str] = mapped_column(default="open")
    asked_at: Mapped[datetime] = mapped_column(default=utc_now)
    expires_at: Mapped[datetime]
    escalated_at: Mapped[datetime | None]
    answered_at: Mapped[datetime | None]
    answered_by: Mapped[UUID | None]
    note: Mapped[str] = mapped_column(default="")


class AgentStatus(Timestamped, Base):
    """How an agent's actor is: one row a replica, which serves its share of all tenants (`repositories.lives`).

    Not a tenant's row. `epoch` counts the lives of all replicas together and fences earlier ones. `draining` and
    `restarting` are what the operator wants; "drained": it holds nothing any more.
    """

    __tablename__ = "agent_status"
    __table_args__ = (
        CheckConstraint("state IN ('starting','ready','down','drained')", name="state"),
        CheckConstraint("replica >= 0 AND replica < replicas", name="replica"),
    )

    agent: Mapped[str] = mapped_column(primary_key=True)
    replica: Mapped[int] = mapped_column(primary_key=True, default=0)
    #: how many there were when this one began
    replicas: Mapped[int] = mapped_column(default=1)
    state: Mapped[str] = mapped_column(default="starting")
    epoch: Mapped[int] = mapped_column(default=0)
    restarts: Mapped[int] = mapped_column(default=0)
    pid: Mapped[int | None]
    last_error: Mapped[str] = mapped_column(default="")
    ready_at: Mapped[datetime | None]
    draining: Mapped[bool] = mapped_column(default=False)
    restarting: Mapped[bool] = mapped_column(default=False)
