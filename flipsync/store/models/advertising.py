"""Advertising paid by the sale: the rate each listing has on its channel, and what its days with it came to."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from flipsync.store.models.base import Base, TenantOwned, same_tenant


class AdListing(TenantOwned, Base):
    """A listing that is advertised, or was. `rate_bps` is what the channel was last seen to show, 0: no ad.

    `resume_bps` is what it goes back to once there are units again; 0 where it stopped for another reason.
    """

    __tablename__ = "ad_listing"
    __table_args__ = (
        same_tenant("listing_id", "listing"),
        same_tenant("account_id", "marketplace_account"),
        UniqueConstraint("listing_id"),
        Index("ix_ad_listing_account_id", "account_id"),
        CheckConstraint("rate_bps BETWEEN 0 AND 10000 AND resume_bps BETWEEN 0 AND 10000", name="rates"),
    )

    listing_id: Mapped[UUID]
    account_id: Mapped[UUID]
    campaign_id: Mapped[str] = mapped_column(default="")
    rate_bps: Mapped[int]
    rate_since: Mapped[datetime]
    resume_bps: Mapped[int] = mapped_column(default=0)
    #: when we last changed the rate, and by which effect; None where only somebody else ever did
    changed_at: Mapped[datetime | None]
    effect_id: Mapped[UUID | None]
    first_at: Mapped[datetime]
    #: when the channel was last asked
    seen_at: Mapped[datetime]


class AdDay(TenantOwned, Base):
    """One day (UTC) of a listing that has been advertised. Figures of ads are the channel's own; None: it tells none.

    `rate_bps` is None for a day that has not ended, had several rates, or whose rate nobody saw. `units` are all that
    the listing sold that day, by ads or not, and `offered` says whether there was something to sell.
    """

    __tablename__ = "ad_day"
    __table_args__ = (
        same_tenant("listing_id", "listing"),
        UniqueConstraint("listing_id", "day"),
        Index("ix_ad_day_tenant_id_day", "tenant_id", "day"),
        CheckConstraint("units >= 0 AND ad_units >= 0", name="units"),
    )

    listing_id: Mapped[UUID]
    day: Mapped[date]
    rate_bps: Mapped[int | None]
    offered: Mapped[bool]
    units: Mapped[int] = mapped_column(default=0)
    ad_units: Mapped[int] = mapped_column(default=0)
    ad_sales_minor: Mapped[int] = mapped_column(default=0)
    ad_fees_minor: Mapped[int] = mapped_column(default=0)
    currency: Mapped[str] = mapped_column(String(3))
    impressions: Mapped[int | None]
    clicks: Mapped[int | None]
