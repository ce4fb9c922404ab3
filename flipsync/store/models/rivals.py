"""What rivals were seen to ask over time, and alarms about them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from flipsync.store.models.base import Base, TenantOwned, same_tenant


class RivalMove(TenantOwned, Base):
    """What a rival asked from `at` on: written when it differs from what was seen before. Business time."""

    __tablename__ = "rival_move"
    __table_args__ = (same_tenant("listing_id", "listing"), Index("ix_rival_move_listing_id_at", "listing_id", "at"))

    listing_id: Mapped[UUID]
    seller: Mapped[str]
    price_minor: Mapped[int]
    currency: Mapped[str] = mapped_column(String(3))
    in_stock: Mapped[bool]
    at: Mapped[datetime]


class RivalAlarm(TenantOwned, Base):
    """An alarm about a listing's rivals; `evidence` holds ids of rival_move."""

    __tablename__ = "rival_alarm"
    __table_args__ = (
        same_tenant("listing_id", "listing"),
        Index("ix_rival_alarm_listing_id_raised_at", "listing_id", "raised_at"),
        CheckConstraint("alarm IN ('price-war','hijack')", name="alarm"),
    )

    listing_id: Mapped[UUID]
    alarm: Mapped[str]
    why: Mapped[str]
    evidence: Mapped[list[str]]
    raised_at: Mapped[datetime]
