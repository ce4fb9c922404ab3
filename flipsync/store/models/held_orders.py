"""Orders that channels have told and nobody can read yet: what they have sold is not in the books."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from flipsync.store.models.base import Base, TenantOwned, same_tenant


class HeldOrder(TenantOwned, Base):
    """An order that could not be read or booked, until it is, or a person says that it was booked by hand.

    While one is open no unit is put on sale on the account behind a look at its orders. Real time.
    """

    __tablename__ = "held_order"
    __table_args__ = (
        same_tenant("account_id", "marketplace_account"),
        UniqueConstraint("account_id", "key"),
        Index("ix_held_order_open", "account_id", postgresql_where=text("settled_at IS NULL")),
        CheckConstraint("(settled_at IS NULL) = (outcome = '')", name="settled"),
        CheckConstraint("outcome IN ('','read','by-hand','gone')", name="outcome"),
    )

    account_id: Mapped[UUID]
    #: the channel's id, or where that cannot be read either a digest of what came
    key: Mapped[str]
    external_id: Mapped[str]
    mark: Mapped[str]
    reason: Mapped[str]
    #: a short copy of what came, without what may be about a person
    told: Mapped[str]
    #: times that it was asked for by itself, and when that is done next
    looks: Mapped[int] = mapped_column(default=0)
    look_at: Mapped[datetime]
    first_seen_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    settled_at: Mapped[datetime | None]
    outcome: Mapped[str] = mapped_column(default="")
