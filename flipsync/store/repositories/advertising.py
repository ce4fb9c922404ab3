"""Statements about advertising: which listings have which ad rate, their days, and what an ad needs to be judged by."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.ids import new_id
from flipsync.store.models import AdDay, AdListing, Allocation, Listing, MarketplaceAccount, StockItem
from flipsync.store.sorting import Place, Sorts
from flipsync.store.unit_of_work import UnitOfWork

SORTS = Sorts(AdListing.id, rate_bps=AdListing.rate_bps, title=Listing.title)
#: the least rate of the channel that has ads
LEAST_BPS = 200
#: how an effect says that it was not carried out for want of units, or by the owner's limits: nothing was refused
NO_UNITS, LIMITS = "no-units", "limits"


async def named(session: AsyncSession, account_id: UUID, external_ids: Collection[str]) -> dict[str, UUID]:
    """Listings of an account by the channel's id."""
    found = await session.execute(
        select(Listing.external_id, Listing.id).where(
            Listing.account_id == account_id, Listing.external_id.in_(list(external_ids))
        )
    )
    return {external_id: id for external_id, id in found if external_id is not None}


# What a channel shows by now is not what it showed before a change of ours that is newer than the look.
_SHOWN = text(
    """
    INSERT INTO ad_listing (id, tenant_id, listing_id, account_id, campaign_id, rate_bps, rate_since, resume_bps,
                            first_at, seen_at)
    SELECT t.id, :tenant_id, t.listing_id, :account_id, t.campaign_id, t.rate_bps, :now, 0, :now, :now
      FROM json_to_recordset(CAST(:told AS json)) AS t(id uuid, listing_id uuid, campaign_id text, rate_bps bigint)
    ON CONFLICT (listing_id) DO UPDATE
       SET campaign_id = excluded.campaign_id, seen_at = :now, rate_bps = excluded.rate_bps,
           rate_since = CASE WHEN ad_listing.rate_bps = excluded.rate_bps THEN ad_listing.rate_since ELSE :now END,
           resume_bps = 0
     WHERE ad_listing.changed_at IS NULL OR ad_listing.changed_at < :begun
    """
)
_GONE = text(
    """
    UPDATE ad_listing
       SET seen_at = :now, rate_bps = 0, rate_since = CASE WHEN rate_bps = 0 THEN rate_since ELSE :now END
     WHERE account_id = :account_id AND NOT listing_id = ANY(:still) AND (changed_at IS NULL OR changed_at < :begun)
    """
)


async def record_shown(
    unit: UnitOfWork, account_id: UUID, ads: Mapping[UUID, tuple[str, int]], begun: datetime
) -> None:
    """What the channel showed, looked at since `begun`: listing → (campaign, rate). All others are not advertised."""
    told = [
        {"id": new_id(), "listing_id": listing_id, "campaign_id": campaign_id, "rate_bps": rate}
        for listing_id, (campaign_id, rate) in ads.items()
    ]
    where = {"account_id": account_id, "now": unit.now, "begun": begun}
    values = {"tenant_id": unit.tenant_id, "told": orjson.dumps(told).decode()}
    await unit.session.execute(_SHOWN, {**where, **values})
    await unit.session.execute(_GONE, {**where, "still": list(ads)})


_BOOK = text(
    """
    INSERT INTO ad_listing (id, tenant_id, listing_id, account_id, campaign_id, rate_bps, rate_since, resume_bps,
                            changed_at, effect_id, first_at, seen_at)
    VALUES (:id, :tenant_id, :listing_id, :account_id, '', :rate_bps, :now, :resume_bps, :now, :effect_id, :now, :now)
    ON CONFLICT (listing_id) DO UPDATE
       SET rate_since = CASE WHEN ad_listing.rate_bps = excluded.rate_bps THEN ad_listing.rate_since ELSE :now END,
           rate_bps = excluded.rate_bps, resume_bps = excluded.resume_bps, changed_at = :now,
           effect_id = excluded.effect_id, seen_at = :now
    """
)


async def book_rate(
    unit: UnitOfWork, listing_id: UUID, account_id: UUID, rate_bps: int, resume_bps: int, effect_id: UUID
) -> None:
    """A rate that the channel confirmed."""
    await unit.session.execute(
        _BOOK,
        {
            "id": new_id(),
            "tenant_id": unit.tenant_id,
            "listing_id": listing_id,
            "account_id": account_id,
            "rate_bps": rate_bps,
            "resume_bps": resume_bps,
            "effect_id": effect_id,
            "now": unit.now,
        },
    )


# In the order of their ids, as orders lock them.
_MARK = text(
    """
    WITH due AS MATERIALIZED (
        SELECT i.id
          FROM stock_item i
         WHERE i.id IN (SELECT g.stock_item_id FROM allocation g WHERE g.listing_id = ANY(:listing_ids))
           AND i.advertised <> (:surely OR EXISTS (
               SELECT FROM allocation g JOIN ad_listing a ON a.listing_id = g.listing_id
                WHERE g.stock_item_id = i.id AND (a.rate_bps > 0 OR a.resume_bps > 0)))
         ORDER BY i.id
           FOR UPDATE
    )
    UPDATE stock_item SET advertised = NOT advertised FROM due WHERE stock_item.id = due.id
    """
)


async def mark_goods(session: AsyncSession, listing_ids: Collection[UUID], *, surely: bool = False) -> None:
    """Have the goods of these listings say whether they are advertised, or about to be (`surely`)."""
    await session.execute(_MARK, {"listing_ids": list(listing_ids), "surely": surely})


async def listings_of_account(session: AsyncSession, account_id: UUID) -> Sequence[UUID]:
    """Those that are advertised, or were."""
    return (await session.scalars(select(AdListing.listing_id).where(AdListing.account_id == account_id))).all()


_DAYS = text(
    """
    WITH sold AS (
        SELECT line.listing_id, (o.placed_at AT TIME ZONE 'UTC')::date AS day, sum(line.quantity)::bigint AS units
          FROM ad_listing a
          JOIN order_line line ON line.listing_id = a.listing_id
          JOIN customer_order o ON o.id = line.order_id
         WHERE a.account_id = :account_id AND o.placed_at >= :first AND o.holds_stock AND line.quantity > 0
         GROUP BY 1, 2
    ), told AS (
        SELECT * FROM json_to_recordset(CAST(:told AS json)) AS t(
               listing_id uuid, day date, units bigint, sales bigint, fees bigint, currency text)
    )
    INSERT INTO ad_day (id, tenant_id, listing_id, day, rate_bps, offered, units, ad_units, ad_sales_minor,
                        ad_fees_minor, currency)
    SELECT gen_random_uuid(), a.tenant_id, a.listing_id, d.day,
           CASE WHEN d.day < :today AND a.rate_since <= d.day::timestamp AT TIME ZONE 'UTC' THEN a.rate_bps END,
           (l.status = 'active' AND coalesce(l.quantity_shown, 0) > 0) OR sold.units IS NOT NULL,
           coalesce(sold.units, 0), coalesce(told.units, 0), coalesce(told.sales, 0), coalesce(told.fees, 0), l.currency
      FROM ad_listing a
      JOIN listing l ON l.id = a.listing_id
     CROSS JOIN LATERAL (
           SELECT generate_series(greatest(:first_day, (a.first_at AT TIME ZONE 'UTC')::date), :today,
                                  interval '1 day')::date AS day) d
      LEFT JOIN sold ON sold.listing_id = a.listing_id AND sold.day = d.day
      LEFT JOIN told ON told.listing_id = a.listing_id AND told.day = d.day AND told.currency = l.currency
     WHERE a.account_id = :account_id
    ON CONFLICT (listing_id, day) DO UPDATE
       SET units = excluded.units, ad_units = excluded.ad_units, ad_sales_minor = excluded.ad_sales_minor,
           ad_fees_minor = excluded.ad_fees_minor, rate_bps = coalesce(ad_day.rate_bps, excluded.rate_bps),
           offered = ad_day.offered OR excluded.offered
     WHERE (ad_day.units, ad_day.ad_units, ad_day.ad_sales_minor, ad_day.ad_fees_minor, ad_day.offered)
           IS DISTINCT FROM (excluded.units, excluded.ad_units, excluded.ad_sales_minor, excluded.ad_fees_minor,
                             ad_day.offered OR excluded.offered)
        OR (ad_day.rate_bps IS NULL AND excluded.rate_bps IS NOT NULL)
    """
)


async def record_days(
    unit: UnitOfWork, account_id: UUID, first: datetime, sales: Mapping[tuple[UUID, date, str], tuple[int, int, int]]
) -> None:
    """The days from `first` (the beginning of one) till now. `sales`: (listing, day, currency) → units, sales, fees."""
    told = [
        {"listing_id": listing_id, "day": day, "currency": currency, "units": units, "sales": brought, "fees": fees}
        for (listing_id, day, currency), (units, brought, fees) in sales.items()
    ]
    values = {"account_id": account_id, "first": first, "first_day": first.date(), "today": unit.now.date()}
    await unit.session.execute(_DAYS, {**values, "told": orjson.dumps(told).decode()})


@dataclass(frozen=True)
class AdStand:
    """A listing of advertised goods. `available`: units on the shelf that nobody has bought."""

    listing_id: UUID
    account_id: UUID
    sku: str
    status: str
    rate_bps: int
    resume_bps: int
    available: int


async def of_item(session: AsyncSession, stock_item_id: UUID) -> list[AdStand]:
    """Listings of a stock item that are advertised, or wait for units to be."""
    found = await session.execute(
        select(
            Listing.id,
            Listing.account_id,
            Listing.sku,
            Listing.status,
            AdListing.rate_bps,
            AdListing.resume_bps,
            func.greatest(0, StockItem.on_hand - StockItem.reserved),
        )
        .join(Allocation, Allocation.listing_id == Listing.id)
        .join(StockItem, StockItem.id == Allocation.stock_item_id)
        .join(AdListing, AdListing.listing_id == Listing.id)
        .where(StockItem.id == stock_item_id, (AdListing.rate_bps > 0) | (AdListing.resume_bps > 0))
        .order_by(Listing.id)
    )
    return [AdStand(*row) for row in found]


@dataclass(frozen=True)
class AdGoods:
    """The goods of a listing: units that nobody has bought, and those that the listing may sell of them."""

    stock_item_id: UUID
    available: int
    entitled: int


async def goods(session: AsyncSession, listing_id: UUID) -> AdGoods | None:
    """None where it has none."""
    found = await session.execute(
        select(StockItem.id, func.greatest(0, StockItem.on_hand - StockItem.reserved), Allocation.entitled)
        .join(Allocation, Allocation.stock_item_id == StockItem.id)
        .where(Allocation.listing_id == listing_id)
    )
    row = found.first()
    return None if row is None else AdGoods(row[0], int(row[1]), int(row[2]))


async def state(session: AsyncSession, listing_id: UUID) -> AdListing | None:
    return (await session.scalars(select(AdListing).where(AdListing.listing_id == listing_id))).one_or_none()


async def spent(session: AsyncSession, account_id: UUID, since: date, currency: str) -> int:
    """What ads have cost on an account since that day, as far as the channel has told, in minor units."""
    query = (
        select(func.coalesce(func.sum(AdDay.ad_fees_minor), 0))
        .join(Listing, Listing.id == AdDay.listing_id)
        .where(Listing.account_id == account_id, AdDay.day >= since, AdDay.currency == currency)
    )
    return int((await session.execute(query)).scalar_one())


async def own_ads(session: AsyncSession) -> list[AdStand]:
    """Listings that FlipSync advertises now; what of them is there is not asked."""
    found = await session.execute(
        select(Listing.id, Listing.account_id, Listing.sku, Listing.status, AdListing.rate_bps, AdListing.resume_bps)
        .join(AdListing, AdListing.listing_id == Listing.id)
        .where(AdListing.rate_bps > 0, AdListing.changed_at.is_not(None))
        .order_by(Listing.id)
    )
    return [AdStand(*row, available=0) for row in found]


@dataclass(frozen=True)
class AdRow:
    """A listing as it is judged for an ad. `sold` and `days` are from before it was ever advertised."""

    listing_id: UUID
    sku: str
    status: str
    currency: str
    price_minor: int | None
    cost_minor: int | None
    shown: int
    available: int
    rate_bps: int
    resume_bps: int
    changed_at: datetime | None
    days: float
    sold: int
    busy: bool


_REVIEW = text(
    """
    SELECT l.id, l.sku, l.status, l.currency, l.price_minor,
           CASE WHEN v.currency = l.currency THEN v.cost_minor END,
           coalesce(l.quantity_shown, 0), greatest(0, coalesce(i.on_hand - i.reserved, 0)),
           coalesce(a.rate_bps, 0), coalesce(a.resume_bps, 0), a.changed_at,
           greatest(0, extract(epoch FROM coalesce(a.first_at, :now) - s.begins) / 86400)::float8 AS days,
           coalesce(sold.units, 0)::bigint,
           EXISTS (SELECT FROM effect e
                    WHERE e.tenant_id = l.tenant_id AND e.subject_kind = 'listing' AND e.subject_id = l.id
                      AND e.command = 'SetAdRate' AND (e.state IN ('pending', 'leased', 'unknown')
                           OR (e.state = 'rejected' AND e.finished_at >= :refused_since
                               AND NOT e.result->>'vendor_code' = ANY(:ours))))
      FROM listing l
      JOIN variant v ON v.id = l.variant_id
      LEFT JOIN allocation g ON g.listing_id = l.id
      LEFT JOIN stock_item i ON i.id = g.stock_item_id
      LEFT JOIN ad_listing a ON a.listing_id = l.id
     CROSS JOIN LATERAL (SELECT greatest(coalesce(l.published_at, :now), :since) AS begins) s
      LEFT JOIN LATERAL (
           SELECT sum(line.quantity) AS units
             FROM order_line line JOIN customer_order o ON o.id = line.order_id
            WHERE line.listing_id = l.id AND o.holds_stock AND line.quantity > 0
              AND o.placed_at >= s.begins AND o.placed_at < coalesce(a.first_at, :now)) sold ON true
     WHERE l.account_id = :account_id
       AND CASE WHEN CAST(:listing_id AS uuid) IS NULL THEN l.status = 'active' OR a.rate_bps > 0
                ELSE l.id = :listing_id END
     ORDER BY l.id
    """
)


async def review(
    session: AsyncSession,
    account_id: UUID,
    now: datetime,
    since: datetime,
    refused_since: datetime,
    listing_id: UUID | None = None,
) -> list[AdRow]:
    """Every listing of an account that is on sale, or advertised; or one, whatever it is."""
    values = {"account_id": account_id, "now": now, "since": since, "refused_since": refused_since}
    values |= {"listing_id": listing_id, "ours": [NO_UNITS, LIMITS]}
    return [AdRow(*row) for row in await session.execute(_REVIEW, values)]


async def days_seen(
    session: AsyncSession, account_id: UUID, since: date, until: date
) -> dict[UUID, list[tuple[int, int, int, int]]]:
    """By listing, of whole days with one rate and something to sell: (rate, days, units, units by ads)."""
    query = (
        select(AdDay.listing_id, AdDay.rate_bps, func.count(), func.sum(AdDay.units), func.sum(AdDay.ad_units))
        .join(Listing, Listing.id == AdDay.listing_id)
        .where(
            Listing.account_id == account_id,
            AdDay.day >= since,
            AdDay.day < until,
            AdDay.rate_bps.is_not(None),
            AdDay.offered,
        )
        .group_by(AdDay.listing_id, AdDay.rate_bps)
        .order_by(AdDay.listing_id, AdDay.rate_bps)
    )
    found: dict[UUID, list[tuple[int, int, int, int]]] = {}
    for listing_id, rate, count, units, by_ads in await session.execute(query):
        found.setdefault(listing_id, []).append((int(rate or 0), int(count), int(units), int(by_ads)))
    return found


async def forget_before(session: AsyncSession, day: date) -> None:
    await session.execute(text("DELETE FROM ad_day WHERE day < :day"), {"day": day})


async def accounts(session: AsyncSession, vendors: Collection[str]) -> Sequence[UUID]:
    """Connected accounts of these vendors."""
    account = MarketplaceAccount
    query = select(account.id).where(account.vendor.in_(list(vendors)), account.status == "connected")
    return (await session.scalars(query.order_by(account.id))).all()


async def listed(
    session: AsyncSession,
    place: Place,
    *,
    account_id: UUID | None = None,
    advertised: bool | None = None,
    listing_id: UUID | None = None,
) -> Sequence[Any]:
    """Rows of (AdListing, sku, title, currency) and what a cursor is made of."""
    query = select(AdListing, Listing.sku, Listing.title, Listing.currency).join(
        Listing, Listing.id == AdListing.listing_id
    )
    if account_id is not None:
        query = query.where(AdListing.account_id == account_id)
    if advertised is not None:
        query = query.where(AdListing.rate_bps > 0 if advertised else AdListing.rate_bps == 0)
    if listing_id is not None:
        query = query.where(AdListing.listing_id == listing_id)
    return (await session.execute(place.put(query))).all()


async def sums(session: AsyncSession, listing_ids: Sequence[UUID], since: date) -> dict[UUID, tuple[int, ...]]:
    """By listing: days, units, units by ads, what these brought, what they cost."""
    figures = (func.count(), *map(func.sum, (AdDay.units, AdDay.ad_units, AdDay.ad_sales_minor, AdDay.ad_fees_minor)))
    query = select(AdDay.listing_id, *figures).where(AdDay.listing_id.in_(listing_ids), AdDay.day >= since)
    return {row[0]: tuple(row[1:]) for row in await session.execute(query.group_by(AdDay.listing_id))}


async def days(session: AsyncSession, listing_id: UUID, since: date) -> Sequence[AdDay]:
    """Newest first."""
    query = select(AdDay).where(AdDay.listing_id == listing_id, AdDay.day >= since).order_by(AdDay.day.desc())
    return (await session.scalars(query)).all()


async def spent_by_account(session: AsyncSession, since: date) -> Sequence[Any]:
    """(account, currency, fees in minor units) since that day."""
    query = (
        select(Listing.account_id, AdDay.currency, func.sum(AdDay.ad_fees_minor))
        .join(Listing, Listing.id == AdDay.listing_id)
        .where(AdDay.day >= since)
        .group_by(Listing.account_id, AdDay.currency)
        .order_by(Listing.account_id, AdDay.currency)
    )
    return (await session.execute(query)).all()
