"""Where it is sold: accounts, listings, prices that were set, rivals that were seen, webhooks that came."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, LargeBinary, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from flipsync.domain.clock import utc_now
from flipsync.store.models.base import Base, TenantOwned, TenantParent, Timestamped, owned_key, same_tenant


class MarketplaceAccount(TenantParent, Timestamped, Base):
    """One seller account. Credentials are encrypted at rest; `webhook_token` is the secret part of its callback URL."""

    __tablename__ = "marketplace_account"
    __table_args__ = (
        owned_key(),
        UniqueConstraint("tenant_id", "name"),
        CheckConstraint("status IN ('connected','paused','disconnected')", name="status"),
        CheckConstraint("rated IN ('','top','good','below')", name="rated"),
    )

    vendor: Mapped[str]
    name: Mapped[str]
    config: Mapped[dict[str, Any]]
    credentials_encrypted: Mapped[bytes] = mapped_column(LargeBinary)
    webhook_token: Mapped[str] = mapped_column(unique=True)
    status: Mapped[str] = mapped_column(default="connected")
    status_reason: Mapped[str] = mapped_column(default="")
    stock_mode: Mapped[str] = mapped_column(default="escrow")
    #: counts what people and agents change of it; tokens that renew themselves are no change
    version: Mapped[int] = mapped_column(default=1, server_default="1")
    #: who sells there, as the vendor says; "" where it says nothing, or the address alone tells
    seller_id: Mapped[str] = mapped_column(default="", server_default="")
    #: how the channel rates us there ("": it does not, or nobody looked), and by what
    rated: Mapped[str] = mapped_column(default="", server_default="")
    rated_because: Mapped[str] = mapped_column(default="", server_default="")
    #: a renewal of its tokens that began and has not ended: under way, or cut off (see services.account_vault)
    renewal_id: Mapped[UUID | None]
    renewal_began_at: Mapped[datetime | None]
    orders_cursor: Mapped[datetime | None]
    #: from when on its payouts are known, and when they were last read
    payouts_from: Mapped[datetime | None]
    payouts_read_at: Mapped[datetime | None]
    #: when it was first seen what the account offers; before that nothing new is listed on it
    surveyed_at: Mapped[datetime | None]
    #: the books were put back from a backup, and what the channel shows was taken over since (runtime.reconciling)
    restored_at: Mapped[datetime | None]
    reconciled_at: Mapped[datetime | None]
    last_ok_at: Mapped[datetime | None]
    consecutive_failures: Mapped[int] = mapped_column(default=0)


class Listing(TenantParent, Timestamped, Base):
    """A variant on an account. `price_minor` and `quantity_shown` are what the channel confirmed, not what we wish.

    One that is `recognised` was there before us, and nobody has said yet whether it offers this variant.
    """

    __tablename__ = "listing"
    __table_args__ = (
        owned_key(),
        same_tenant("account_id", "marketplace_account"),
        same_tenant("variant_id", "variant"),
        # in a warehouse of the channel's, one article may lie under several SKUs
        Index("uq_listing_own", "account_id", "variant_id", unique=True, postgresql_where=text("pool = 'own'")),
        Index("uq_listing_account_id_external_id", "account_id", "external_id", unique=True),
        Index("ix_listing_by_price", "tenant_id", text("GREATEST(price_minor, '-9223372036854775807'::bigint)"), "id"),
        CheckConstraint("status IN ('requested','active','refused','ended','vanished','recognised')", name="status"),
        CheckConstraint("price_minor IS NULL OR price_minor > 0", name="price_positive"),
    )

    account_id: Mapped[UUID] = mapped_column(index=True)
    variant_id: Mapped[UUID] = mapped_column(index=True)
    #: whose units it sells: "own", or a pool that a warehouse of the channel's holds (services.warehouses)
    pool: Mapped[str] = mapped_column(default="own", server_default="own")
    sku: Mapped[str]
    external_id: Mapped[str | None]
    status: Mapped[str] = mapped_column(default="requested")
    status_reason: Mapped[str] = mapped_column(default="")
    title: Mapped[str]
    currency: Mapped[str] = mapped_column(String(3))
    price_minor: Mapped[int | None]
    price_changed_at: Mapped[datetime | None]
    quantity_shown: Mapped[int | None]
    published_at: Mapped[datetime | None]
    #: marks of the words the channel showed after our last write, to tell a hand edit by (services.hand_edits)
    shown: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")
    #: what somebody wrote on the channel and the owner let stand: a ListingText, or `price_minor`
    overrides: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")
    #: the owner's words as this channel takes them (services.listing_care): titles by what they stand for, specifics
    fitted: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")
    version: Mapped[int] = mapped_column(default=1)


class ListingNeed(TenantOwned, Base):
    """What only a person can put right about a listing, from when it was told until it was so no longer.

    `gain_minor`: the sales a week it is thought to cost, in the listing's currency.
    """

    __tablename__ = "listing_need"
    __table_args__ = (
        same_tenant("listing_id", "listing"),
        Index("uq_listing_need_open", "listing_id", "check", unique=True, postgresql_where=text("settled_at IS NULL")),
        CheckConstraint("minutes >= 0 AND gain_minor >= 0", name="not_negative"),
    )

    listing_id: Mapped[UUID]
    check: Mapped[str]
    says: Mapped[str]
    minutes: Mapped[int]
    gain_minor: Mapped[int]
    at: Mapped[datetime]
    decision_id: Mapped[UUID | None]
    settled_at: Mapped[datetime | None]


class ChannelPace(TenantOwned, Base):
    """How soon an account's sales are in our books (told), how soon it shows what others sold (shown), what share of
    demand comes to it, and the Gammas of that demand. Seconds as points of services.channel_delay, of so many sales."""

    __tablename__ = "channel_pace"
    __table_args__ = (
        same_tenant("account_id", "marketplace_account"),
        UniqueConstraint("account_id"),
        CheckConstraint("demand_weight > 0", name="positive"),
    )

    account_id: Mapped[UUID]
    told_sales: Mapped[int]
    told_seconds: Mapped[list[float]]
    shown_sales: Mapped[int]
    shown_seconds: Mapped[list[float]]
    demand_weight: Mapped[float]
    demand_shares: Mapped[list[float]]
    demand_shapes: Mapped[list[float]]
    demand_seconds: Mapped[list[float]]
    measured_at: Mapped[datetime] = mapped_column(default=utc_now)


class PriceChange(TenantOwned, Base):
    """A price that a channel confirmed."""

    __tablename__ = "price_change"
    __table_args__ = (
        same_tenant("listing_id", "listing"),
        Index("ix_price_change_listing_id_at", "listing_id", "at"),
    )

    listing_id: Mapped[UUID]
    old_minor: Mapped[int | None]
    new_minor: Mapped[int]
    currency: Mapped[str] = mapped_column(String(3))
    floor_minor: Mapped[int]
    effect_id: Mapped[UUID]
    reason: Mapped[str] = mapped_column(default="")
    at: Mapped[datetime] = mapped_column(default=utc_now)


class SignedMove(TenantOwned, Base):
    """A price move the firewall signed, whether or not it reached its channel: what the global brakes count.

    `risk_minor` is the step times the units on offer.
    """

    __tablename__ = "signed_move"
    __table_args__ = (
        same_tenant("listing_id", "listing"),
        Index("ix_signed_move_tenant_id_currency_at", "tenant_id", "currency", "at"),
    )

    listing_id: Mapped[UUID]
    currency: Mapped[str] = mapped_column(String(3))
    from_minor: Mapped[int]
    to_minor: Mapped[int]
    risk_minor: Mapped[int]
    certificate_sha256: Mapped[str]
    at: Mapped[datetime]


class RivalOfferSeen(TenantOwned, Base):
    """The latest offer of one rival for one listing."""

    __tablename__ = "rival_offer"
    __table_args__ = (
        same_tenant("listing_id", "listing"),
        UniqueConstraint("listing_id", "seller"),
    )

    listing_id: Mapped[UUID]
    seller: Mapped[str]
    price_minor: Mapped[int]
    currency: Mapped[str] = mapped_column(String(3))
    in_stock: Mapped[bool]
    seen_at: Mapped[datetime]
    featured: Mapped[bool] = mapped_column(default=False)


class WebhookDelivery(TenantOwned, Base):
    """A verified webhook. One row a fact: a repeat finds the row and is dropped."""

    __tablename__ = "webhook_delivery"
    __table_args__ = (
        same_tenant("account_id", "marketplace_account"),
        UniqueConstraint("account_id", "dedup_key"),
    )

    account_id: Mapped[UUID]
    dedup_key: Mapped[str]
    topic: Mapped[str]
    received_at: Mapped[datetime] = mapped_column(default=utc_now)
    #: what it is about there (an order's external id), and when that changed; empty for what is no order
    order_id: Mapped[str] = mapped_column(default="")
    changed_at: Mapped[datetime | None]


class WebhookTrouble(TenantOwned, Base):
    """Deliveries of one minute that were refused, could not be read, or had come before."""

    __tablename__ = "webhook_trouble"
    __table_args__ = (
        same_tenant("account_id", "marketplace_account"),
        UniqueConstraint("account_id", "kind", "minute"),
        CheckConstraint("kind IN ('forged','garbled','duplicate','replay')", name="kind"),
    )

    account_id: Mapped[UUID]
    kind: Mapped[str]
    minute: Mapped[datetime]
    last_at: Mapped[datetime]
    count: Mapped[int]


class ListingKnowledge(TenantParent, Base):
    """What a connector must know of a listing before it writes units, as it was learnt at `learnt_at` (real time).

    `external_id` is the listing's of that time: what was learnt of another is of no use.
    """

    __tablename__ = "listing_knowledge"
    __table_args__ = (same_tenant("listing_id", "listing"), UniqueConstraint("tenant_id", "listing_id"))

    listing_id: Mapped[UUID]
    external_id: Mapped[str]
    facts: Mapped[dict[str, Any]]
    learnt_at: Mapped[datetime]


class ChannelFault(TenantOwned, Base):
    """A way in which a channel does not tell the truth, from when it was found until it was seen no more."""

    __tablename__ = "channel_fault"
    __table_args__ = (
        same_tenant("account_id", "marketplace_account"),
        Index("uq_channel_fault_open", "account_id", "cause", unique=True, postgresql_where=text("closed_at IS NULL")),
    )

    account_id: Mapped[UUID]
    cause: Mapped[str]
    #: the first sign of it, which may be before it was found; business time, as all of these
    since: Mapped[datetime]
    opened_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]
    evidence: Mapped[list[str]]
    hint: Mapped[str]
