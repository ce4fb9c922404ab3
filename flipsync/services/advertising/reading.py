"""Ads as people see them: which listings are advertised at which rate, what it brought and cost, and why not more."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.errors import NotFound, VersionMismatch
from flipsync.domain.money import Money
from flipsync.services.advertising.desk import NO_UNITS, OFF_SALE, THIN, UNKNOWN, VENDORS, unit_ads
from flipsync.services.reading_page import Moment, Page, SortedRequest, View, cut, sorted_by
from flipsync.services.settings_changes import set_settings
from flipsync.services.tenant_settings import AdvertisingChoices, TenantSettings, profile
from flipsync.store.models import AdDay, Tenant
from flipsync.store.repositories import advertising as rows
from flipsync.store.repositories import listings as listing_rows
from flipsync.store.repositories import tenants
from flipsync.store.unit_of_work import UnitOfWork

AdSort = Annotated[str | None, sorted_by(rows.SORTS)]

#: days that figures are of, and days that are shown one by one
_FIGURES, _SHOWN = timedelta(days=30), timedelta(days=90)


class AdFigures(View):
    """What whole days and today came to. `units` are all that the listing sold, `ad_units` those by ads."""

    days: int
    units: int
    ad_units: int
    ad_sales: Money
    ad_fees: Money


class AdView(View):
    """A listing that is advertised, or was. Rates are basis points of the sale, 0: no ad."""

    id: UUID
    listing_id: UUID
    account_id: UUID
    sku: str
    title: str
    rate_bps: int
    resume_bps: int = Field(description="what it goes back to once there are units; 0: nothing waits")
    campaign_id: str = Field(description="the channel's own; empty until the channel was asked")
    rate_since: Moment
    changed_at: Moment | None = Field(description="when FlipSync last changed it; null: it never did")
    seen_at: Moment
    last_30_days: AdFigures


class AdDayView(View):
    """A day (UTC). `rate_bps` is null where the day is not over, had several rates, or nobody saw it; impressions and
    clicks are null where the channel does not tell them."""

    day: date
    rate_bps: int | None
    offered: bool
    units: int
    ad_units: int
    ad_sales: Money
    ad_fees: Money
    impressions: int | None
    clicks: int | None


class AdMargin(View):
    """What one sale leaves before an ad, what it has to leave with one, and the highest rate that allows; null where
    price, cost or fees are not known."""

    margin: Money
    least: Money
    most_bps: int
    fee: Money = Field(description="of an ad at the present rate")


class AdDetail(View):
    listing_id: UUID
    account_id: UUID
    sku: str
    title: str
    ad: AdView | None = Field(description="null: it was never advertised")
    margin: AdMargin | None
    reasons: list[str] = Field(description="why it cannot be advertised now; empty: it can")
    days: list[AdDayView] = Field(description="newest first, 90 at most")


class AdFilter(View):
    account_id: UUID | None = None
    advertised: bool | None = Field(default=None, description="true: those with an ad now; false: those without")


class LimitsForm(BaseModel):
    """All of the limits: what is left out goes back to what it is without the owner's word."""

    model_config = ConfigDict(extra="forbid")

    mode: str = Field(pattern="^(off|ask|auto)$", examples=["ask"])
    max_rate_bps: int = Field(default=AdvertisingChoices().max_rate_bps, ge=200, le=5_000)
    monthly_budget_minor: int | None = Field(default=None, ge=0, le=10**12)
    total_budget_minor: int | None = Field(default=None, ge=0, le=10**12)


class AdSpent(View):
    account_id: UUID
    fees: Money


class LimitsView(View):
    """The owner's limits, and what ads have cost this month by account."""

    limits: AdvertisingChoices
    spent: list[AdSpent]
    version: int


async def list_ads(session: AsyncSession, page: SortedRequest, where: AdFilter, now: datetime) -> Page[AdView]:
    """Last found first. Raises InvalidInput for a foreign cursor."""
    place = page.place(rows.SORTS)
    found = await rows.listed(session, place, account_id=where.account_id, advertised=where.advertised)
    sums = await rows.sums(session, [each.AdListing.listing_id for each in found], (now - _FIGURES).date())
    return cut(found, page.limit, lambda row: _ad(row, sums), place.cursor_of)


async def ad_of(session: AsyncSession, tenant_id: UUID, listing_id: UUID, now: datetime) -> AdDetail:
    """Raises NotFound."""
    listing = await listing_rows.get(session, listing_id)
    if listing is None:
        raise NotFound(f"no listing {listing_id}")
    found = await rows.listed(session, rows.SORTS.first(1), listing_id=listing_id)
    sums = await rows.sums(session, [listing_id], (now - _FIGURES).date())
    days = await rows.days(session, listing_id, (now - _SHOWN).date())
    ad = _ad(found[0], sums) if found else None
    margin, reasons = await _judged(session, tenant_id, listing.account_id, listing_id, now)
    return AdDetail(
        listing_id=listing_id,
        account_id=listing.account_id,
        sku=listing.sku,
        title=listing.title,
        ad=ad,
        margin=margin,
        reasons=reasons,
        days=[_day(each) for each in days],
    )


async def _judged(
    session: AsyncSession, tenant_id: UUID, account_id: UUID, listing_id: UUID, now: datetime
) -> tuple[AdMargin | None, list[str]]:
    """What a sale leaves, and why there can be no ad."""
    settings = (await profile(session, tenant_id)).settings
    if account_id not in await rows.accounts(session, VENDORS):
        return None, ["its channel has no ads that are paid by the sale, or is not connected"]
    reasons = ["advertising.mode is off"] if settings.advertising.mode == "off" else []
    (row,) = await rows.review(session, account_id, now, now, now, listing_id)
    if row.status != "active":
        reasons.append(OFF_SALE)
    elif row.available <= 0 or row.shown <= 0:
        reasons.append(NO_UNITS)
    unit = unit_ads(settings.pricing, row.currency, now)(row)
    if unit is None:
        return None, [*reasons, UNKNOWN]

    def money(minor: int) -> Money:
        return Money(amount_minor=minor, currency=row.currency)

    if unit.most_bps < rows.LEAST_BPS:
        reasons.append(THIN)
    fee = round(unit.fee * row.rate_bps / 10_000)
    margin = AdMargin(
        margin=money(unit.margin), least=money(unit.least), most_bps=min(10_000, unit.most_bps), fee=money(fee)
    )
    return margin, reasons


def _ad(row: Any, sums: dict[UUID, Any]) -> AdView:
    ad, told = row.AdListing, sums.get(row.AdListing.listing_id)
    figures = told or (0, 0, 0, 0, 0)
    count, units, ad_units, sales, fees = (int(each) for each in figures)
    values = {name: getattr(ad, name) for name in AdView.model_fields if hasattr(ad, name)}
    return AdView.model_validate(
        values
        | {"sku": row.sku, "title": row.title}
        | {
            "last_30_days": AdFigures(
                days=count,
                units=units,
                ad_units=ad_units,
                ad_sales=Money(amount_minor=sales, currency=row.currency),
                ad_fees=Money(amount_minor=fees, currency=row.currency),
            )
        }
    )


def _day(row: AdDay) -> AdDayView:
    return AdDayView(
        day=row.day,
        rate_bps=row.rate_bps,
        offered=row.offered,
        units=row.units,
        ad_units=row.ad_units,
        ad_sales=Money(amount_minor=row.ad_sales_minor, currency=row.currency),
        ad_fees=Money(amount_minor=row.ad_fees_minor, currency=row.currency),
        impressions=row.impressions,
        clicks=row.clicks,
    )


async def limits(session: AsyncSession, tenant_id: UUID, now: datetime) -> LimitsView:
    return await _limits(session, _there(await tenants.get(session, tenant_id), tenant_id), now)


async def set_limits(unit: UnitOfWork, form: LimitsForm, expected_version: int | None) -> LimitsView:
    """From the next decision on, and at the gate. Raises VersionMismatch when the settings are not at
    `expected_version` any more."""
    tenant = _there(await tenants.lock(unit.session, unit.tenant_id), unit.tenant_id)
    if expected_version is not None and _version(tenant) != expected_version:
        raise VersionMismatch("the limits were changed since they were read", hint="read them again, then change them")
    wanted = form.model_dump()
    if await set_settings(unit, {f"advertising.{name}": value for name, value in wanted.items()}):
        unit.audit("advertising.limits-changed", "tenant", unit.tenant_id, **wanted)
    return await _limits(unit.session, tenant, unit.now)


def _there(tenant: Tenant | None, tenant_id: UUID) -> Tenant:
    if tenant is None:
        raise NotFound(f"tenant {tenant_id} does not exist")
    return tenant


def _version(tenant: Tenant) -> int:
    return int(tenant.updated_at.timestamp() * 1_000_000)


async def _limits(session: AsyncSession, tenant: Tenant, now: datetime) -> LimitsView:
    spent = await rows.spent_by_account(session, now.date().replace(day=1))
    return LimitsView(
        limits=TenantSettings.model_validate(tenant.settings).advertising,
        spent=[
            AdSpent(account_id=account_id, fees=Money(amount_minor=int(fees), currency=currency))
            for account_id, currency, fees in spent
        ],
        version=_version(tenant),
    )
