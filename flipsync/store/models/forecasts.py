"""Forecasts that were made, and what became of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from flipsync.store.models.base import Base, TenantOwned, TenantParent, owned_key, same_tenant


class ForecastRun(TenantParent, Base):
    """Forecasts of a whole catalogue, made at `origin` (business time) for each of `horizon` weeks from then on.

    `inside` is the share of weeks that an interval is to hold, `rmsse` the mean of each method in the back-test,
    `code_version` names the source they were computed with, `weeks_judged` how many weeks were compared with what sold.
    """

    __tablename__ = "forecast_run"
    __table_args__ = (owned_key(), UniqueConstraint("tenant_id", "origin"))

    origin: Mapped[datetime]
    horizon: Mapped[int]
    inside: Mapped[float]
    method: Mapped[str]
    baseline_wins: Mapped[bool]
    why: Mapped[str]
    rmsse: Mapped[dict[str, Any]]
    coverage: Mapped[float | None]
    series: Mapped[int]
    code_version: Mapped[str]
    decision_id: Mapped[UUID | None]
    weeks_judged: Mapped[int] = mapped_column(default=0)


class Forecast(TenantOwned, Base):
    """Goods on one channel: units a week, and sums over the weeks that were compared with what sold since.

    Where a method tells weeks apart, `path` has them one by one and the columns their mean.
    `scale` is the root mean squared step of the weeks before, by which errors are measured. Weeks in which the shelf
    was empty for a time are not compared.
    """

    __tablename__ = "forecast"
    __table_args__ = (
        same_tenant("run_id", "forecast_run"),
        same_tenant("stock_item_id", "stock_item"),
        same_tenant("account_id", "marketplace_account"),
        UniqueConstraint("run_id", "stock_item_id", "account_id"),
        Index("ix_forecast_stock_item_id", "stock_item_id"),
        Index("ix_forecast_account_id", "account_id"),
    )

    run_id: Mapped[UUID]
    stock_item_id: Mapped[UUID]
    account_id: Mapped[UUID]
    weekly: Mapped[float]
    low: Mapped[float]
    high: Mapped[float]
    path: Mapped[dict[str, Any] | None]
    scale: Mapped[float]
    own_share: Mapped[float]
    weeks_on_shelf: Mapped[float]
    units_sold: Mapped[int]
    weeks: Mapped[int] = mapped_column(default=0)
    sold: Mapped[float] = mapped_column(default=0.0)
    expected: Mapped[float] = mapped_column(default=0.0)
    covered: Mapped[int] = mapped_column(default=0)
    squared: Mapped[float] = mapped_column(default=0.0)
    pinball: Mapped[float] = mapped_column(default=0.0)


class Trend(TenantOwned, Base):
    """What sells otherwise than before: goods, or a category. `at` and `since` are business time; `q` is the share of
    false alarms among all that are as sure."""

    __tablename__ = "trend"
    __table_args__ = (
        same_tenant("stock_item_id", "stock_item"),
        Index("ix_trend_stock_item_id", "stock_item_id"),
        CheckConstraint("kind IN ('rising','falling','season','spike','slump')", name="kind"),
        CheckConstraint("(stock_item_id IS NULL) <> (category IS NULL)", name="subject"),
    )

    at: Mapped[datetime]
    kind: Mapped[str]
    stock_item_id: Mapped[UUID | None]
    category: Mapped[str | None]
    since: Mapped[datetime]
    ratio: Mapped[float]
    q: Mapped[float]
    why: Mapped[str]
    evidence: Mapped[dict[str, Any]]
    decision_id: Mapped[UUID | None]
