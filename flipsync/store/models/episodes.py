"""What was tried and what came of it: one row for each proposal whose outcome is known."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Computed, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from flipsync.domain.clock import utc_now
from flipsync.store.models.base import Base, TenantParent, owned_key, same_tenant

#: what words are looked for in; English stems, since the house speaks English
SEARCHED = "to_tsvector('english'::regconfig, (((situation || ' ') || tried) || ' ') || came)"


class Episode(TenantParent, Base):
    """One attempt. `situation`, `tried` and `came` are in our own words and the goods' title: no buyer is in them.

    `outcome` is 1 or 0 as it was graded, NULL for what the gate or a superior stopped. `money_minor` is what it brought
    or lost where that is known, by its kind (services.memory.MONEY). Times are business time but for `written_at` and
    `indexed_at`: when the index of meanings had it, NULL while it is to come.
    """

    __tablename__ = "episode"
    __table_args__ = (
        owned_key(),
        same_tenant("decision_id", "agent_decision"),
        same_tenant("proposal_id", "proposal"),
        same_tenant("product_id", "product"),
        same_tenant("account_id", "marketplace_account"),
        UniqueConstraint("proposal_id"),
        CheckConstraint("outcome IN (0, 1)", name="outcome"),
        CheckConstraint("(money_minor IS NULL) = (currency IS NULL)", name="money"),
        Index("ix_episode_subject_id", "tenant_id", "subject_id", "known_at"),
        Index("ix_episode_product_id", "tenant_id", "product_id", "known_at"),
        Index("ix_episode_kind", "tenant_id", "kind", "known_at"),
        Index("ix_episode_decision_id", "decision_id"),
        Index("ix_episode_account_id", "account_id"),
        Index("ix_episode_unindexed", "tenant_id", postgresql_where=text("indexed_at IS NULL")),
    )

    decision_id: Mapped[UUID]
    proposal_id: Mapped[UUID]
    agent: Mapped[str]
    kind: Mapped[str]
    command: Mapped[str]
    subject_kind: Mapped[str]
    subject_id: Mapped[UUID]
    product_id: Mapped[UUID | None]
    account_id: Mapped[UUID | None]
    category: Mapped[str | None]
    situation: Mapped[str]
    #: figures of the situation by name, units in the name
    figures: Mapped[dict[str, Any]]
    tried: Mapped[str]
    confidence: Mapped[float]
    verdict: Mapped[str | None]
    rule: Mapped[str]
    outcome: Mapped[int | None]
    came: Mapped[str]
    money_minor: Mapped[int | None]
    currency: Mapped[str | None]
    evidence_kind: Mapped[str | None]
    evidence_id: Mapped[UUID | None]
    decided_at: Mapped[datetime]
    known_at: Mapped[datetime]
    written_at: Mapped[datetime] = mapped_column(default=utc_now)
    indexed_at: Mapped[datetime | None]
    search: Mapped[Any] = mapped_column(TSVECTOR, Computed(SEARCHED, persisted=True), deferred=True)
