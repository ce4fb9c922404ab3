"""What was sold, as figures to add up: by order and SKU, by day. Kept from the orders (services.sales_facts), beside
their hot path; everything here can be made again from the books.

Amounts are minor units of the row's currency. `day` is the day of the business's time zone on which the order was
placed, and what came of it later (money given back, fees told, goods that returned) counts on that day too.
"""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from flipsync.store.models.base import Base, TenantOwned, TenantParent

#: the figures of all these tables, in the order in which they are written
FIGURES = (
    "orders",
    "cancelled",
    "units",
    "returned",
    "goods",
    "shipping",
    "tax",
    "refunds",
    "refunds_before_tax",
    "fees",
    "fees_told",
    "cost",
    "units_without_cost",
    "orders_without_fees",
)
_OWN_ID = text("gen_random_uuid()")


class _Figures:
    """Orders that earn (paid, shipped, refunded) and those called off; the rest is of the earning ones."""

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=_OWN_ID)
    day: Mapped[date]
    account_id: Mapped[UUID]
    currency: Mapped[str] = mapped_column(String(3))
    orders: Mapped[int]
    cancelled: Mapped[int]
    units: Mapped[int]
    #: of those, units that went back on the shelf
    returned: Mapped[int]
    #: after discounts, before tax
    goods: Mapped[int]
    shipping: Mapped[int]
    tax: Mapped[int]
    #: as paid back, tax in it
    refunds: Mapped[int]
    refunds_before_tax: Mapped[int]
    #: what the channel said it keeps, else what the tables of fees say
    fees: Mapped[int]
    #: part of fees
    fees_told: Mapped[int]
    #: landed cost of what did not come back
    cost: Mapped[int]
    units_without_cost: Mapped[int]
    orders_without_fees: Mapped[int]


class SaleFact(_Figures, TenantParent, Base):
    """One SKU of one order. `lead` is the order's first row: whoever counts orders counts these."""

    __tablename__ = "sale_fact"
    __table_args__ = (
        UniqueConstraint("tenant_id", "order_id", "sku"),
        Index("ix_sale_fact_tenant_id_day", "tenant_id", "day", "order_id"),
    )

    #: no reference: checking it would wait for, and hold up, whoever works on the order
    order_id: Mapped[UUID]
    sku: Mapped[str]
    lead: Mapped[bool]


class SkuDay(_Figures, TenantParent, Base):
    """One SKU on one account on one day. `orders` have it among others: do not add them over SKUs."""

    __tablename__ = "sku_day"
    __table_args__ = (UniqueConstraint("tenant_id", "day", "account_id", "sku", "currency"),)

    sku: Mapped[str]


class SkuMonth(_Figures, TenantParent, Base):
    """One SKU on one account in one month; `day` is the month's first. Long spans are added up from these."""

    __tablename__ = "sku_month"
    __table_args__ = (UniqueConstraint("tenant_id", "day", "account_id", "sku", "currency"),)

    sku: Mapped[str]


class ChannelDay(_Figures, TenantParent, Base):
    """One account on one day."""

    __tablename__ = "channel_day"
    __table_args__ = (UniqueConstraint("tenant_id", "day", "account_id", "currency"),)


class SaleDue(TenantParent, Base):
    """An order whose figures changed after they were counted; written by the database (triggers, migration 0025)."""

    __tablename__ = "sale_due"
    __table_args__ = (Index("ix_sale_due_tenant_id", "tenant_id", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=_OWN_ID)
    order_id: Mapped[UUID]


class SalesCount(TenantOwned, Base):
    """How far the counting is. New orders are looked for from `looked_at` on. A walk goes over all orders by id and is
    past `walk_after`, counting what is missing (or, `walk_all`, everything anew); None: there is none. Real time."""

    __tablename__ = "sales_count"
    __table_args__ = (UniqueConstraint("tenant_id"),)

    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenant.id", ondelete="CASCADE"))
    looked_at: Mapped[datetime]
    walk_after: Mapped[UUID | None]
    walk_all: Mapped[bool] = mapped_column(default=False)
    walked_at: Mapped[datetime | None]
    #: what fees are predicted by: another mark, and all orders are counted anew
    fees_mark: Mapped[str] = mapped_column(default="")
    #: when the last count ended that left nothing over
    counted_at: Mapped[datetime | None]
    #: another one with every change of a figure
    revision: Mapped[int] = mapped_column(default=0, server_default="0")
