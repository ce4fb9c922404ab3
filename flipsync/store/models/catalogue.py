"""What is sold: products, their variants, and the runs that imported them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from flipsync.domain.clock import utc_now
from flipsync.store.models.base import Base, TenantOwned, TenantParent, Timestamped, owned_key, same_tenant


class Product(TenantParent, Timestamped, Base):
    """A thing with one description; its variants are what is stocked and sold. `handle` is the owner's stable key."""

    __tablename__ = "product"
    __table_args__ = (
        owned_key(),
        UniqueConstraint("tenant_id", "handle"),
        Index("ix_product_by_updated_at", "tenant_id", "updated_at", "id"),
    )

    handle: Mapped[str]
    title: Mapped[str]
    description_html: Mapped[str] = mapped_column(default="")
    brand: Mapped[str | None]
    category: Mapped[str | None]
    tags: Mapped[list[str]] = mapped_column(default=list)
    images: Mapped[list[str]] = mapped_column(default=list)
    option_names: Mapped[list[str]] = mapped_column(default=list)
    #: what the owner keeps as a draft is known, but offered nowhere
    published: Mapped[bool] = mapped_column(default=True)
    version: Mapped[int] = mapped_column(default=1)
    #: field → the version its words are from, when and by whom (services.product_edits.EditMark)
    edits: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")


class Variant(TenantParent, Timestamped, Base):
    """One stock-keeping unit. Amounts are minor units of `currency`; `cost_minor` is the landed unit cost.

    `imported_quantity` is the part of the stock that catalogue files account for, in units: what the last file said, as
    far as it could be booked. None: no file ever said a quantity.
    """

    __tablename__ = "variant"
    __table_args__ = (
        owned_key(),
        same_tenant("product_id", "product"),
        UniqueConstraint("tenant_id", "sku"),
        CheckConstraint("price_minor IS NULL OR price_minor > 0", name="price_positive"),
        CheckConstraint("cost_minor IS NULL OR cost_minor > 0", name="cost_positive"),
        CheckConstraint("floor_minor IS NULL OR floor_minor > 0", name="floor_positive"),
        CheckConstraint("ceiling_minor IS NULL OR floor_minor IS NULL OR ceiling_minor >= floor_minor", name="bounds"),
    )

    product_id: Mapped[UUID] = mapped_column(index=True)
    sku: Mapped[str]
    sku_derived: Mapped[bool] = mapped_column(default=False)
    options: Mapped[dict[str, Any]] = mapped_column(default=dict)
    barcode: Mapped[str | None]
    currency: Mapped[str] = mapped_column(String(3))
    price_minor: Mapped[int | None]
    compare_at_minor: Mapped[int | None]
    cost_minor: Mapped[int | None]
    cost_as_of: Mapped[datetime | None]
    floor_minor: Mapped[int | None]
    ceiling_minor: Mapped[int | None]
    weight_grams: Mapped[int | None]
    condition: Mapped[str | None]
    image: Mapped[str | None]
    imported_quantity: Mapped[int | None]


class ImportRun(TenantOwned, Base):
    """One catalogue file that was read: what it brought and which rows were refused, and why."""

    __tablename__ = "import_run"

    file_name: Mapped[str]
    format: Mapped[str]
    started_at: Mapped[datetime] = mapped_column(default=utc_now)
    finished_at: Mapped[datetime | None]
    counts: Mapped[dict[str, Any]] = mapped_column(default=dict)
    problems: Mapped[list[Any]] = mapped_column(default=list)
