"""Where goods come from: suppliers, what they ask, orders placed with them, and what arrived of each."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from flipsync.store.models.base import Base, TenantOwned, TenantParent, Timestamped, owned_key, same_tenant

ORDER_STATES = ("draft", "placing", "ordered", "partly_received", "received", "cancelled")
MAIL_STATES = ("none", "waiting", "sending", "sent", "rejected", "unknown")


class Supplier(TenantParent, Timestamped, Base):
    """Somebody goods are bought from. Amounts are minor units of `currency`.

    `lead_mean_days` and `lead_spread_days` are what the owner expects, before any order has shown how long it takes.
    """

    __tablename__ = "supplier"
    __table_args__ = (
        owned_key(),
        UniqueConstraint("tenant_id", "name"),
        CheckConstraint("lead_mean_days > 0 AND lead_spread_days >= 0", name="lead"),
        CheckConstraint("least_order_minor >= 0", name="least_order"),
    )

    name: Mapped[str]
    currency: Mapped[str] = mapped_column(String(3))
    #: where orders are mailed to; None: the owner places them
    email: Mapped[str | None]
    lead_mean_days: Mapped[float]
    lead_spread_days: Mapped[float]
    least_order_minor: Mapped[int] = mapped_column(default=0)
    active: Mapped[bool] = mapped_column(default=True)
    note: Mapped[str] = mapped_column(default="")
    version: Mapped[int] = mapped_column(default=1)


class SupplierOffer(TenantParent, Timestamped, Base):
    """What a supplier asks for goods: `pack_cost_minor` for one pack of `pack_units`, of which at least `least_units`
    units are taken."""

    __tablename__ = "supplier_offer"
    __table_args__ = (
        owned_key(),
        same_tenant("supplier_id", "supplier"),
        same_tenant("variant_id", "variant"),
        UniqueConstraint("supplier_id", "variant_id"),
        Index("ix_supplier_offer_variant_id", "variant_id"),
        CheckConstraint("pack_units > 0 AND pack_cost_minor > 0 AND least_units >= 0", name="positive"),
        CheckConstraint("valid_until IS NULL OR valid_from IS NULL OR valid_until > valid_from", name="validity"),
    )

    supplier_id: Mapped[UUID]
    variant_id: Mapped[UUID]
    supplier_sku: Mapped[str] = mapped_column(default="")
    pack_units: Mapped[int] = mapped_column(default=1)
    pack_cost_minor: Mapped[int]
    least_units: Mapped[int] = mapped_column(default=0)
    valid_from: Mapped[datetime | None]
    valid_until: Mapped[datetime | None]


class PurchaseOrder(TenantParent, Timestamped, Base):
    """An order with a supplier. Times but those of the mail are business time.

    draft → placing (on its way to the supplier) → ordered → partly received → received, or cancelled. What never came
    of a partly received one is closed (`closed_at`). `mail` is how far the message is that tells the supplier:
    `mail_about` the order, or its cancellation. `unknown`: it may have arrived, and is not sent again.
    """

    __tablename__ = "purchase_order"
    __table_args__ = (
        owned_key(),
        same_tenant("supplier_id", "supplier"),
        UniqueConstraint("tenant_id", "number"),
        UniqueConstraint("decision_id"),
        Index("ix_purchase_order_supplier_id", "supplier_id", "placed_at"),
        Index(
            "ix_purchase_order_open",
            "tenant_id",
            postgresql_where=text("state IN ('placing','ordered','partly_received')"),
        ),
        Index(
            "ix_purchase_order_mail",
            "tenant_id",
            "mail_not_before",
            postgresql_where=text("mail IN ('waiting','sending')"),
        ),
        CheckConstraint("state IN (" + ",".join(f"'{each}'" for each in ORDER_STATES) + ")", name="state"),
        CheckConstraint("mail IN (" + ",".join(f"'{each}'" for each in MAIL_STATES) + ")", name="mail"),
        CheckConstraint("mail_about IN ('order','cancellation')", name="mail_about"),
        CheckConstraint("freight_minor >= 0 AND duty_minor >= 0", name="charges"),
    )

    supplier_id: Mapped[UUID]
    number: Mapped[int]
    state: Mapped[str] = mapped_column(default="draft")
    currency: Mapped[str] = mapped_column(String(3))
    freight_minor: Mapped[int] = mapped_column(default=0)
    duty_minor: Mapped[int] = mapped_column(default=0)
    note: Mapped[str] = mapped_column(default="")
    #: what the supplier is asked for it to be at, and when hardly any order of theirs is still out
    expected_at: Mapped[datetime | None]
    latest_at: Mapped[datetime | None]
    placed_at: Mapped[datetime | None]
    ordered_at: Mapped[datetime | None]
    received_at: Mapped[datetime | None]
    cancelled_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    reason: Mapped[str] = mapped_column(default="")
    decision_id: Mapped[UUID | None]
    created_by: Mapped[UUID | None]
    version: Mapped[int] = mapped_column(default=1)
    mail: Mapped[str] = mapped_column(default="none")
    mail_about: Mapped[str] = mapped_column(default="order")
    mail_attempts: Mapped[int] = mapped_column(default=0)
    mail_detail: Mapped[str] = mapped_column(default="")
    mail_not_before: Mapped[datetime | None]
    mail_lease_until: Mapped[datetime | None]


class PurchaseOrderLine(TenantParent, Base):
    """Goods of an order: `units` for `cost_minor` in all, before freight and duty."""

    __tablename__ = "purchase_order_line"
    __table_args__ = (
        owned_key(),
        same_tenant("order_id", "purchase_order"),
        same_tenant("variant_id", "variant"),
        UniqueConstraint("order_id", "variant_id"),
        Index("ix_purchase_order_line_variant_id", "variant_id"),
        CheckConstraint("units > 0 AND cost_minor > 0 AND received >= 0", name="positive"),
    )

    order_id: Mapped[UUID]
    variant_id: Mapped[UUID]
    supplier_sku: Mapped[str] = mapped_column(default="")
    units: Mapped[int]
    cost_minor: Mapped[int]
    received: Mapped[int] = mapped_column(default=0)


class PurchaseReceipt(TenantOwned, Base):
    """Units of a line that arrived at one time, with their share of freight and duty. `key` makes a repeat harmless."""

    __tablename__ = "purchase_receipt"
    __table_args__ = (
        same_tenant("line_id", "purchase_order_line"),
        UniqueConstraint("line_id", "key"),
        CheckConstraint("units > 0 AND landed_minor >= 0", name="positive"),
    )

    line_id: Mapped[UUID]
    key: Mapped[str]
    units: Mapped[int]
    landed_minor: Mapped[int]
    at: Mapped[datetime]
    note: Mapped[str] = mapped_column(default="")
