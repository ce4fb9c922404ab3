"""What was asked about goods before they were bought, what catalogues told, and what was advised.

Amounts are minor units of the row's currency, times are business time.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from flipsync.store.models.base import Base, TenantOwned, TenantParent, owned_key, same_tenant


class SourcingScan(TenantParent, Base):
    """One question about goods, or a supplier's list of them; `lines` is how many."""

    __tablename__ = "sourcing_scan"
    __table_args__ = (owned_key(), CheckConstraint("kind IN ('query','list')", name="kind"))

    kind: Mapped[str]
    name: Mapped[str]
    lines: Mapped[int]
    asked_at: Mapped[datetime]
    asked_by: Mapped[UUID | None]
    #: rows of the file that could not be read, as (row, why)
    problems: Mapped[list[Any]] = mapped_column(default=list)


class SourcingLine(TenantParent, Base):
    """One article that is asked about. `verdict` and what follows is the newest advice; NULL until there is one.

    `chance` is that of earning what the owner asks at `cost_minor` (at `most_minor` where no cost was told); `worth`
    the profit expected on each unit of money. `scores` are the channels compared, `waiting` those that were asked and
    have not answered.
    """

    __tablename__ = "sourcing_line"
    __table_args__ = (
        owned_key(),
        same_tenant("scan_id", "sourcing_scan"),
        same_tenant("variant_id", "variant", ondelete="SET NULL (variant_id)"),
        same_tenant("account_id", "marketplace_account", ondelete="SET NULL (account_id)"),
        UniqueConstraint("scan_id", "place"),
        Index("ix_sourcing_line_variant_id", "variant_id"),
        Index("ix_sourcing_line_account_id", "account_id"),
        Index("ix_sourcing_line_waiting", "tenant_id", "scan_id", postgresql_where=text("waiting <> '[]'::jsonb")),
        CheckConstraint("verdict IN ('buy','pass','ask')", name="verdict"),
    )

    scan_id: Mapped[UUID]
    place: Mapped[int]
    text: Mapped[str]
    gtin: Mapped[str | None] = mapped_column(String(14))
    asin: Mapped[str | None] = mapped_column(String(10))
    title: Mapped[str]
    cost_minor: Mapped[int | None]
    currency: Mapped[str] = mapped_column(String(3))
    units: Mapped[int]
    verdict: Mapped[str | None]
    why: Mapped[str] = mapped_column(default="")
    product: Mapped[str] = mapped_column(default="")
    variant_id: Mapped[UUID | None]
    identified_by: Mapped[str] = mapped_column(default="")
    identity: Mapped[float] = mapped_column(default=0.0)
    account_id: Mapped[UUID | None]
    most_minor: Mapped[int | None]
    low_minor: Mapped[int | None]
    likely_minor: Mapped[int | None]
    high_minor: Mapped[int | None]
    chance: Mapped[float | None]
    days_to_sell: Mapped[float | None]
    worth: Mapped[float | None]
    scores: Mapped[list[Any]] = mapped_column(default=list)
    waiting: Mapped[list[str]] = mapped_column(default=list)
    decision_id: Mapped[UUID | None]
    decided_at: Mapped[datetime | None]


class CatalogueFind(TenantOwned, Base):
    """What a channel's catalogue had for one line; `offers` is what others asked then, cheapest first."""

    __tablename__ = "catalogue_find"
    __table_args__ = (
        same_tenant("line_id", "sourcing_line"),
        same_tenant("account_id", "marketplace_account"),
        UniqueConstraint("line_id", "account_id", "external_id"),
        Index("ix_catalogue_find_account_id", "account_id"),
    )

    line_id: Mapped[UUID]
    account_id: Mapped[UUID]
    external_id: Mapped[str]
    title: Mapped[str]
    brand: Mapped[str]
    codes: Mapped[list[str]]
    sales_rank: Mapped[int | None]
    offers: Mapped[list[Any]]
    currency: Mapped[str] = mapped_column(String(3))
    seen_at: Mapped[datetime]


class CatalogueAnswer(TenantOwned, Base):
    """That a channel was asked about a part of a scan and answered, also when it had nothing."""

    __tablename__ = "catalogue_answer"
    __table_args__ = (
        same_tenant("scan_id", "sourcing_scan"),
        same_tenant("account_id", "marketplace_account"),
        UniqueConstraint("scan_id", "account_id", "part"),
        Index("ix_catalogue_answer_account_id", "account_id"),
    )

    scan_id: Mapped[UUID]
    account_id: Mapped[UUID]
    part: Mapped[int]
    found: Mapped[int]
    at: Mapped[datetime]
