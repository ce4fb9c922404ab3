"""What was trained, what came of it, and which policy decides: experiments, their trials, policies, their choices."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from flipsync.domain.clock import utc_now
from flipsync.store.models.base import Base, TenantOwned, TenantParent, owned_key, same_tenant


class Experiment(TenantParent, Base):
    """One search for a policy: problem, space, seeds, code and data it depends on, and the comparison it ended with."""

    __tablename__ = "experiment"
    __table_args__ = (
        owned_key(),
        CheckConstraint("state IN ('running','finished','failed')", name="state"),
        Index("ix_experiment_problem", "tenant_id", "problem", "started_at"),
    )

    problem: Mapped[str]
    seed: Mapped[int]
    samples: Mapped[int]
    code_version: Mapped[str]
    #: scenarios, space, steps, scheduler and a digest over them
    data: Mapped[dict[str, Any]]
    cause: Mapped[str] = mapped_column(default="")
    state: Mapped[str] = mapped_column(default="running")
    error: Mapped[str] = mapped_column(default="")
    #: best trial, worth of policy and baseline, paired difference with its interval; empty until finished
    result: Mapped[dict[str, Any]] = mapped_column(default=dict)
    started_at: Mapped[datetime] = mapped_column(default=utc_now)
    finished_at: Mapped[datetime | None]


class ExperimentTrial(TenantOwned, Base):
    """One trial. `scores` has a figure a step; a step is written once, however often it was computed."""

    __tablename__ = "experiment_trial"
    __table_args__ = (
        same_tenant("experiment_id", "experiment"),
        UniqueConstraint("experiment_id", "number"),
        CheckConstraint("state IN ('running','finished','stopped','failed')", name="state"),
    )

    experiment_id: Mapped[UUID]
    number: Mapped[int]
    state: Mapped[str] = mapped_column(default="running")
    params: Mapped[dict[str, Any]]
    scores: Mapped[list[Any]]
    memory: Mapped[dict[str, Any]]
    updated_at: Mapped[datetime] = mapped_column(default=utc_now)


class PolicyVersion(TenantParent, Base):
    """A policy as it is kept: JSON whose SHA-256 is `digest`, where it comes from, and its stage.

    A stage of `live`, `canary` or `shadow` is held by one version a name; `retired` and `candidate` by any number.
    """

    __tablename__ = "policy_version"
    __table_args__ = (
        owned_key(),
        same_tenant("experiment_id", "experiment"),
        UniqueConstraint("tenant_id", "name", "digest"),
        CheckConstraint("stage IN ('candidate','shadow','canary','live','retired')", name="stage"),
        Index(
            "uq_policy_version_stage",
            *("tenant_id", "name", "stage"),
            unique=True,
            postgresql_where=text("stage IN ('shadow','canary','live')"),
        ),
    )

    name: Mapped[str]
    kind: Mapped[str]
    version: Mapped[str]
    digest: Mapped[str]
    artefact: Mapped[str]
    experiment_id: Mapped[UUID | None]
    code_version: Mapped[str]
    data: Mapped[dict[str, Any]]
    seeds: Mapped[dict[str, Any]]
    scores: Mapped[dict[str, Any]]
    stage: Mapped[str] = mapped_column(default="candidate")
    staged_at: Mapped[datetime] = mapped_column(default=utc_now)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class PolicyStage(TenantOwned, Base):
    """A policy moved from one stage to another: why, and the checks it passed."""

    __tablename__ = "policy_stage"
    __table_args__ = (
        same_tenant("policy_id", "policy_version"),
        Index("ix_policy_stage_policy_id", "policy_id", "at"),
    )

    policy_id: Mapped[UUID]
    was: Mapped[str]
    becomes: Mapped[str]
    reason: Mapped[str]
    checks: Mapped[list[Any]]
    at: Mapped[datetime] = mapped_column(default=utc_now)


class PolicyChoice(TenantOwned, Base):
    """What a policy chose for a listing in a decision. `role` is whether it acted; `chance` what the choice had.

    `rung` is the choice as an action that two policies can share: how far from the price then, see
    `services.policy_choice`. `policy_id` is null for the rule as shipped, `canary_share` (the chance the canary had to
    price the listing) where there was no canary.
    """

    __tablename__ = "policy_choice"
    __table_args__ = (
        same_tenant("policy_id", "policy_version"),
        same_tenant("listing_id", "listing"),
        same_tenant("decision_id", "agent_decision"),
        UniqueConstraint("decision_id", "listing_id", "role"),
        CheckConstraint("role IN ('acting','canary','shadow')", name="role"),
        CheckConstraint("canary_share BETWEEN 0 AND 1", name="canary_share"),
        Index("ix_policy_choice_at", "tenant_id", "at"),
    )

    policy_id: Mapped[UUID | None]
    listing_id: Mapped[UUID]
    decision_id: Mapped[UUID]
    role: Mapped[str]
    rung: Mapped[int]
    chance: Mapped[float]
    canary_share: Mapped[float | None]
    price_minor: Mapped[int]
    current_minor: Mapped[int]
    currency: Mapped[str]
    at: Mapped[datetime] = mapped_column(default=utc_now)


class OrderChoice(TenantOwned, Base):
    """How many units of a good a buying policy would buy in a decision, beside what the rule as shipped would.

    `level` and `up_to` are its s and S (`services.buying`). `policy_id` is null for the rule as shipped.
    """

    __tablename__ = "order_choice"
    __table_args__ = (
        same_tenant("policy_id", "policy_version"),
        same_tenant("stock_item_id", "stock_item"),
        same_tenant("decision_id", "agent_decision"),
        UniqueConstraint("decision_id", "stock_item_id", "role"),
        CheckConstraint("role IN ('acting','canary','shadow')", name="role"),
        CheckConstraint("units >= 0 AND shipped_units >= 0", name="units"),
        Index("ix_order_choice_at", "tenant_id", "at"),
        Index("ix_order_choice_policy_id", "policy_id"),
    )

    policy_id: Mapped[UUID | None]
    stock_item_id: Mapped[UUID]
    decision_id: Mapped[UUID]
    role: Mapped[str]
    units: Mapped[int]
    shipped_units: Mapped[int]
    level: Mapped[float]
    up_to: Mapped[float]
    at: Mapped[datetime] = mapped_column(default=utc_now)
