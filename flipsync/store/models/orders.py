"""What was sold: orders, lines, refunds, shipments. Amounts are minor units of the order's currency."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from flipsync.domain.clock import utc_now
from flipsync.store.models.base import Base, TenantOwned, TenantParent, Timestamped, owned_key, same_tenant

ORDER_STATES = ("received", "reserved", "ready", "shipped", "cancelled")


class Order(TenantParent, Timestamped, Base):
    """One order of one channel. `status` is the channel's word, `state` is how far we are."""

    __tablename__ = "customer_order"
    __table_args__ = (
        owned_key(),
        same_tenant("account_id", "marketplace_account"),
        UniqueConstraint("account_id", "external_id"),
        Index("ix_customer_order_tenant_id_placed_at", "tenant_id", "placed_at"),
        Index("ix_customer_order_tenant_id_number", "tenant_id", "number"),
        CheckConstraint("state IN (" + ",".join(f"'{state}'" for state in ORDER_STATES) + ")", name="state"),
    )

    account_id: Mapped[UUID]
    external_id: Mapped[str]
    number: Mapped[str]
    status: Mapped[str]
    vendor_status: Mapped[str]
    holds_stock: Mapped[bool]
    state: Mapped[str] = mapped_column(default="received")
    #: whose units it takes, and so who ships it: "own" is us
    pool: Mapped[str] = mapped_column(default="own", server_default="own")
    #: units that were not there when it came, or were given to another order since
    oversold: Mapped[int] = mapped_column(default=0, server_default="0")
    currency: Mapped[str] = mapped_column(String(3))
    total_minor: Mapped[int]
    tax_minor: Mapped[int]
    shipping_minor: Mapped[int]
    fee_minor: Mapped[int | None]
    placed_at: Mapped[datetime]
    modified_at: Mapped[datetime]
    ship_to: Mapped[dict[str, Any]] = mapped_column(default=dict)


class OrderLine(TenantOwned, Base):
    """`reserved` units are set aside, `short` units do not exist (oversold), `returned` went back on the shelf."""

    __tablename__ = "order_line"
    __table_args__ = (
        same_tenant("order_id", "customer_order"),
        same_tenant("listing_id", "listing", ondelete="SET NULL (listing_id)"),
        UniqueConstraint("order_id", "external_id"),
        CheckConstraint("reserved >= 0 AND short >= 0 AND shipped >= 0 AND returned >= 0", name="not_negative"),
        Index("ix_order_line_short", "listing_id", postgresql_where=text("short > 0")),
    )

    order_id: Mapped[UUID] = mapped_column(index=True)
    external_id: Mapped[str]
    listing_id: Mapped[UUID | None] = mapped_column(index=True)
    sku: Mapped[str]
    title: Mapped[str]
    quantity: Mapped[int]
    total_minor: Mapped[int]
    tax_minor: Mapped[int]
    cost_minor: Mapped[int | None]
    reserved: Mapped[int] = mapped_column(default=0)
    short: Mapped[int] = mapped_column(default=0)
    shipped: Mapped[int] = mapped_column(default=0)
    returned: Mapped[int] = mapped_column(default=0)


class Refund(TenantOwned, Base):
    __tablename__ = "refund"
    __table_args__ = (
        same_tenant("order_id", "customer_order"),
        UniqueConstraint("order_id", "external_id"),
    )

    order_id: Mapped[UUID] = mapped_column(index=True)
    external_id: Mapped[str]
    amount_minor: Mapped[int]
    currency: Mapped[str] = mapped_column(String(3))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class Shipment(TenantOwned, Timestamped, Base):
    """A parcel that left, or is about to; the channel has confirmed it when `confirmed_at` is set."""

    __tablename__ = "shipment"
    __table_args__ = (
        same_tenant("order_id", "customer_order"),
        UniqueConstraint("order_id"),
    )

    order_id: Mapped[UUID]
    carrier: Mapped[str]
    tracking_number: Mapped[str]
    confirmed_at: Mapped[datetime | None]
