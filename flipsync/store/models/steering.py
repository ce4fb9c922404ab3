"""What binds agents and keeps them apart: directives, leases of listings; and plans with what came of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from flipsync.store.models.base import Base, TenantOwned, TenantParent, owned_key, same_tenant


class DirectiveRow(TenantOwned, Base):
    """What agents are bound to from `starts_at` to `ends_at` (business time), unless it `ended_at` before.

    `decision_id` is the executive's or the one it endorsed; `given_by` is the user, where a person gave it.
    """

    __tablename__ = "directive"
    __table_args__ = (
        same_tenant("account_id", "marketplace_account"),
        CheckConstraint("kind IN ('clear-stock','hold-prices','cap-labels','list-nothing')", name="kind"),
        CheckConstraint("ends_at > starts_at", name="time"),
        CheckConstraint("(kind = 'clear-stock') = (patience_days IS NOT NULL)", name="patience"),
        CheckConstraint("(kind = 'cap-labels') = (limit_minor IS NOT NULL)", name="limit"),
        Index("ix_directive_open", "tenant_id", postgresql_where=text("ended_at IS NULL")),
        Index("ix_directive_account_id", "account_id"),
    )

    kind: Mapped[str]
    account_id: Mapped[UUID | None]
    category: Mapped[str | None]
    patience_days: Mapped[int | None]
    limit_minor: Mapped[int | None]
    reason: Mapped[str]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    ended_why: Mapped[str] = mapped_column(default="")
    decision_id: Mapped[UUID | None]
    given_by: Mapped[UUID | None]


class ListingLease(TenantOwned, Base):
    """Whose a part of a listing is until then (business time): by rank, then by score. See services.arbitration."""

    __tablename__ = "listing_lease"
    __table_args__ = (
        same_tenant("listing_id", "listing"),
        UniqueConstraint("tenant_id", "listing_id", "part"),
        CheckConstraint("part IN ('price','words','presence')", name="part"),
        Index("ix_listing_lease_listing_id", "listing_id"),
        Index("ix_listing_lease_until", "tenant_id", "until"),
    )

    listing_id: Mapped[UUID]
    part: Mapped[str]
    agent: Mapped[str]
    rank: Mapped[int]
    score: Mapped[float]
    decision_id: Mapped[UUID]
    until: Mapped[datetime]


class Plan(TenantParent, Base):
    """What a business means to reach within a time (business time), from a forecast; a newer one takes its place."""

    __tablename__ = "plan"
    __table_args__ = (
        owned_key(),
        UniqueConstraint("tenant_id", "starts_at"),
        CheckConstraint("ends_at > starts_at", name="time"),
    )

    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    goals: Mapped[str]
    why: Mapped[str]
    forecast_origin: Mapped[datetime]
    replaced_at: Mapped[datetime | None]
    decision_id: Mapped[UUID | None]


class Initiative(TenantOwned, Base):
    """One target of a plan: so much of a figure by the plan's end, with the probability it was given then.

    `base` is what the figure was over as long a time before. `reached` is what it came to, once that is known.
    """

    __tablename__ = "initiative"
    __table_args__ = (
        same_tenant("plan_id", "plan"),
        same_tenant("account_id", "marketplace_account"),
        CheckConstraint("figure IN ('goods','units','aged-units')", name="figure"),
        CheckConstraint("probability BETWEEN 0 AND 1", name="probability"),
        Index("ix_initiative_plan_id", "plan_id"),
        Index("ix_initiative_account_id", "account_id"),
    )

    plan_id: Mapped[UUID]
    title: Mapped[str]
    owner: Mapped[str]
    figure: Mapped[str]
    account_id: Mapped[UUID | None]
    currency: Mapped[str | None] = mapped_column(String(3))
    #: of aged stock: the SKUs that counted as such
    skus: Mapped[list[str]]
    base: Mapped[float]
    expected: Mapped[float]
    target: Mapped[float]
    probability: Mapped[float]
    quantiles: Mapped[list[Any]]
    reached: Mapped[float | None]
    reached_at: Mapped[datetime | None]
