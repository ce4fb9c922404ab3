"""Who was forgotten: what keeps an erased buyer erased."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from flipsync.domain.clock import utc_now
from flipsync.store.models.base import Base, TenantOwned


class Erasure(TenantOwned, Base):
    """A tombstone: the buyer of this order asked to be forgotten, or the channel closed their account.

    It names the order as the channel does, so that it holds for books put back from before the order came. Until
    `erased_at` it waits for the order to be over: its parcel needs an address.
    """

    __tablename__ = "erasure"
    __table_args__ = (
        UniqueConstraint("tenant_id", "account_id", "order_external_id"),
        CheckConstraint("reason IN ('asked','account-deleted')", name="reason"),
    )

    #: no reference: the account may not be in books that were put back
    account_id: Mapped[UUID]
    order_external_id: Mapped[str]
    reason: Mapped[str]
    asked_at: Mapped[datetime] = mapped_column(default=utc_now)
    erased_at: Mapped[datetime | None]


class UserErasure(TenantOwned, Base):
    """A tombstone: this person of the business was forgotten. Their row stays, under an address that names nobody."""

    __tablename__ = "user_erasure"
    __table_args__ = (UniqueConstraint("tenant_id", "user_id"),)

    #: no reference: they may not be in books that were put back
    user_id: Mapped[UUID]
    erased_at: Mapped[datetime]
