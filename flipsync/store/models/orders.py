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
        Index("ix_customer_order_by_total", "tenant_id", "total_minor", "id"),
        Index(
            "ix_customer_order_closed",
            *("tenant_id", "closed_at"),
            postgresql_where=text("erased_at IS NULL AND closed_at IS NOT NULL"),
        ),
        Index("ix_customer_order_buyer", text("lower(buyer_id)"), postgresql_where=text("buyer_id <> ''")),
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
    #: the buyer by the channel's name for them; "" where it has none
    buyer_id: Mapped[str] = mapped_column(default="", server_default="")
    #: since when nothing more is owed to the buyer; kept by the database (a trigger), what retention counts from
    closed_at: Mapped[datetime | None]
    #: the buyer was forgotten: whatever the channel tells again, name and address stay away (the same trigger)
    erased_at: Mapped[datetime | None]


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


def refund_reference(request_id: UUID) -> str:
    """What the channel is given to find a refund by."""
    return f"FS-{request_id.hex[-12:]}"


REFUND_REQUEST_STATES = ("asked", "issued", "refused", "unknown")


class RefundRequest(TenantOwned, Timestamped, Base):
    """A person's wish to give money back. Of one order, one at a time is `asked` or `unknown` (nobody can tell whether
    the channel did it); all of them together never exceed what was paid (both in the database, migration 0014).

    `units` is what it is about: order lines' external ids to units. `sent_at` is when the channel was last asked.
    """

    __tablename__ = "refund_request"
    __table_args__ = (
        same_tenant("order_id", "customer_order"),
        CheckConstraint("amount_minor > 0", name="amount"),
        CheckConstraint("state IN (" + ",".join(f"'{state}'" for state in REFUND_REQUEST_STATES) + ")", name="state"),
        Index("ix_refund_request_unknown", "tenant_id", "id", postgresql_where=text("state = 'unknown'")),
        Index("uq_refund_request_open", "order_id", unique=True, postgresql_where=text("state IN ('asked','unknown')")),
    )

    order_id: Mapped[UUID] = mapped_column(index=True)
    amount_minor: Mapped[int]
    currency: Mapped[str] = mapped_column(String(3))
    reason: Mapped[str]
    units: Mapped[dict[str, Any]]
    restock: Mapped[bool]
    state: Mapped[str] = mapped_column(default="asked")
    detail: Mapped[str] = mapped_column(default="")
    external_id: Mapped[str | None]
    sent_at: Mapped[datetime | None]
    requested_by: Mapped[UUID | None]

    @property
    def reference(self) -> str:
        return refund_reference(self.id)


LABEL_STATES = ("asked", "bought", "refused", "unknown", "cancelling", "cancelled")


class LabelPurchase(TenantOwned, Timestamped, Base):
    """A label a person wants for an order, and what it cost once it is bought. One an order, unless it was refused or
    given back.

    `parcel` and `ship_from` are what it is bought for, `most_minor` is the most it may cost; `document` is the sealed
    file to print, for it shows where the buyer lives. `sent_at` is when the channel was asked to sell it.
    """

    __tablename__ = "label_purchase"
    __table_args__ = (
        same_tenant("order_id", "customer_order"),
        CheckConstraint("state IN (" + ",".join(f"'{state}'" for state in LABEL_STATES) + ")", name="state"),
        CheckConstraint("cost_minor >= 0 AND most_minor > 0", name="amounts"),
        Index("ix_label_purchase_unknown", "tenant_id", "id", postgresql_where=text("state = 'unknown'")),
        Index(
            "uq_label_purchase_open",
            "order_id",
            unique=True,
            postgresql_where=text("state NOT IN ('refused','cancelled')"),
        ),
    )

    order_id: Mapped[UUID] = mapped_column(index=True)
    parcel: Mapped[dict[str, Any]]
    ship_from: Mapped[dict[str, Any]]
    service: Mapped[str]
    most_minor: Mapped[int]
    currency: Mapped[str] = mapped_column(String(3))
    state: Mapped[str] = mapped_column(default="asked")
    detail: Mapped[str] = mapped_column(default="")
    external_id: Mapped[str | None]
    carrier: Mapped[str] = mapped_column(default="")
    tracking_number: Mapped[str] = mapped_column(default="")
    cost_minor: Mapped[int | None]
    media_type: Mapped[str] = mapped_column(default="")
    document: Mapped[bytes | None]
    sent_at: Mapped[datetime | None]
    requested_by: Mapped[UUID | None]


class Shipment(TenantOwned, Timestamped, Base):
    """A parcel that left, or is about to; the channel has confirmed it when `confirmed_at` is set."""

    __tablename__ = "shipment"
    __table_args__ = (
        same_tenant("order_id", "customer_order"),
        UniqueConstraint("order_id"),
        Index("ix_shipment_refused", "tenant_id", "id", postgresql_where=text("refused_at IS NOT NULL")),
    )

    order_id: Mapped[UUID]
    carrier: Mapped[str]
    tracking_number: Mapped[str]
    confirmed_at: Mapped[datetime | None]
    #: since when it is known that the channel will not be told of it; why is with the receipts
    refused_at: Mapped[datetime | None]
