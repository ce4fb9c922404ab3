"""Commands that steer: directives, shares of budgets, plans. `flipsync.domain` registers them with the others."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal
from uuid import UUID

from pydantic import Field

from flipsync.domain.commands import TenantCommand
from flipsync.domain.directives import MOST_DAYS, Terms


class IssueDirective(TenantCommand):
    """Bind agents for a time. One about the same that is in force ends by it."""

    executive_decides: ClassVar[str] = "only the executive binds other agents"

    terms: Terms
    days: int = Field(ge=1, le=MOST_DAYS)
    reason: str = Field(min_length=1, max_length=500)


class RevokeDirective(TenantCommand):
    """End a directive before its time."""

    executive_decides: ClassVar[str] = "only the executive binds other agents"

    directive_id: UUID
    reason: str = Field(min_length=1, max_length=500)


class ShareBudgets(TenantCommand):
    """Divide budgets within the owner's totals: what the fleet may do within an hour among the channels (`fleet.*`),
    cash for goods still to come among suppliers (`purchasing.cash_shares_bps`), a month's money for ads among accounts
    (`advertising.budget_shares_bps`).

    Shares are basis points by id. A budget that is left out keeps its shares.
    """

    listing_shares_bps: dict[str, int] | None = None
    margin_shares_bps: dict[str, int] | None = None
    cash_shares_bps: dict[str, int] | None = None
    ad_shares_bps: dict[str, int] | None = None
    reason: str = Field(min_length=1, max_length=500)


class AdoptPlan(TenantCommand):
    """What the business means to reach within a time, from the forecast of `forecast_origin`; others are replaced."""

    starts_at: datetime
    ends_at: datetime
    goals: str
    why: str
    forecast_origin: datetime


class SetTarget(TenantCommand):
    """A target of the plan adopted by the same decision: so much of a figure within its time, reached with that
    probability by the figure's quantiles. `base` is what it was over as long a time before."""

    plan_starts_at: datetime
    title: str
    owner: str
    figure: Literal["goods", "units", "aged-units"]
    account_id: UUID | None = None
    currency: str | None = None
    skus: tuple[str, ...] = ()
    base: float
    expected: float
    target: float
    probability: float = Field(ge=0, le=1)
    quantiles: tuple[float, ...] = ()


class ClosePlan(TenantCommand):
    """The time of a plan is over: tell what its figures came to."""

    plan_starts_at: datetime
