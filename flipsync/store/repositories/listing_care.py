"""Statements about what listings lack: what is known of many at once, what was proposed before, needs of a person."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import Select, and_, bindparam, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.store.models import Listing, ListingNeed, MarketplaceAccount, Product, ProductReading, Variant
from flipsync.store.unit_of_work import UnitOfWork

#: products that are read to conclude something from, and listings whose needs are shown
_MOST_GOODS = 5_000
Row = tuple[Listing, Variant, Product, MarketplaceAccount]
Options = dict[str, Any]


def _rows() -> Select[Listing, Variant, Product, MarketplaceAccount]:
    return (
        select(Listing, Variant, Product, MarketplaceAccount)
        .join(Variant, Variant.id == Listing.variant_id)
        .join(Product, Product.id == Variant.product_id)
        .join(MarketplaceAccount, MarketplaceAccount.id == Listing.account_id)
        .where(Listing.status.in_(("active", "refused")), MarketplaceAccount.status == "connected")
        .order_by(Listing.id)
    )


async def some(session: AsyncSession, listing_ids: Collection[UUID]) -> list[Row]:
    """Those of the listings that are on sale or refused, on connected accounts."""
    found = await session.execute(_rows().where(Listing.id.in_(listing_ids)))
    return [(row[0], row[1], row[2], row[3]) for row in found]


async def page(session: AsyncSession, after: UUID | None, limit: int, *, sku: str | None = None) -> list[Row]:
    """The next so many, by id; of one SKU where it is named."""
    query = _rows().limit(limit)
    if after is not None:
        query = query.where(Listing.id > after)
    if sku is not None:
        query = query.where(Listing.sku == sku)
    return [(row[0], row[1], row[2], row[3]) for row in await session.execute(query)]


async def nth(session: AsyncSession, place: int) -> UUID | None:
    """The id before the one at that place among all that are looked at; None at the beginning."""
    if place <= 0:
        return None
    query = _rows().with_only_columns(Listing.id).offset(place - 1).limit(1)
    return await session.scalar(query)


async def count(session: AsyncSession) -> int:
    query = _rows().with_only_columns(func.count()).order_by(None)
    return await session.scalar(query) or 0


_WORDS = "e.command IN ('PublishListing', 'ReviseListing')"
_MINE = "e.tenant_id = current_tenant() AND e.subject_kind = 'listing'"
_TOLD = text(
    f"""
    SELECT a.id, CASE WHEN told.lost THEN NULL ELSE told.offer END AS told, refused.offer AS refused,
           coalesce(refused.detail, '') AS detail,
           EXISTS (SELECT FROM effect e
                    WHERE {_MINE} AND e.subject_id = a.id AND e.finished_at IS NULL
                      AND e.command IN ('PublishListing', 'ReviseListing', 'EndListing'))
           OR EXISTS (SELECT FROM event v JOIN agent_task t ON t.event_id = v.id
                       WHERE v.tenant_id = current_tenant() AND v.subject_kind = 'listing' AND v.subject_id = a.id
                         AND v.type IN ('ListingOutdated', 'ListingEdited') AND t.finished_at IS NULL) AS busy
      FROM listing a
      LEFT JOIN LATERAL (
           SELECT e.id, e.payload -> 'offer' AS offer, e.state = 'unknown' AND e.finished_at IS NOT NULL AS lost
             FROM effect e
            WHERE {_MINE} AND e.subject_id = a.id AND {_WORDS} AND e.state NOT IN ('rejected', 'superseded')
            ORDER BY e.id DESC LIMIT 1) told ON true
      LEFT JOIN LATERAL (
           SELECT e.id, e.payload -> 'offer' AS offer, e.result ->> 'detail' AS detail
             FROM effect e
            WHERE {_MINE} AND e.subject_id = a.id AND {_WORDS} AND e.state = 'rejected'
              AND e.result ->> 'vendor_code' IS DISTINCT FROM 'edited'
              AND EXISTS (SELECT FROM receipt r WHERE r.effect_id = e.id AND r.outcome = 'rejected')
            ORDER BY e.id DESC LIMIT 1) refused
        ON refused.id > coalesce(told.id, '00000000-0000-0000-0000-000000000000'::uuid)
     WHERE a.id = ANY(CAST(:ids AS uuid[]))
    """  # noqa: S608 - made of constants
)


@dataclass(frozen=True)
class Told:
    """What a channel was told of a listing last, and what it refused since then, as they were written down."""

    offer: dict[str, Any] | None = None
    refused: dict[str, Any] | None = None
    detail: str = ""
    busy: bool = False


async def told(session: AsyncSession, listing_ids: Sequence[UUID]) -> dict[UUID, Told]:
    found = await session.execute(_TOLD, {"ids": list(listing_ids)})
    return {row.id: Told(row.told, row.refused, row.detail, row.busy) for row in found}


async def variants(session: AsyncSession, product_ids: Collection[UUID]) -> dict[UUID, list[tuple[str, Options]]]:
    """SKU and options of each variant, in the order they came into the catalogue."""
    query = select(Variant.product_id, Variant.sku, Variant.options).where(Variant.product_id.in_(product_ids))
    found: dict[UUID, list[tuple[str, Options]]] = {}
    for product_id, sku, options in await session.execute(query.order_by(Variant.id)):
        found.setdefault(product_id, []).append((sku, options))
    return found


_FAMILIES = text(
    f"""
    SELECT v.product_id, l.account_id, count(*) AS for_sale,
           count(*) FILTER (WHERE CASE WHEN m.vendor = 'woocommerce' THEN position('/' IN l.external_id) = 0
                                       ELSE told.alone END) AS alone
      FROM variant v
      JOIN listing l ON l.variant_id = v.id AND l.status = 'active' AND l.pool = 'own'
      JOIN marketplace_account m ON m.id = l.account_id
      LEFT JOIN LATERAL (
           SELECT e.payload #> '{{offer,group}}' IS NOT DISTINCT FROM 'null'::jsonb AS alone
             FROM effect e
            WHERE {_MINE} AND e.subject_id = l.id AND e.command = 'PublishListing' AND e.state = 'confirmed'
            ORDER BY e.id DESC LIMIT 1) told ON true
     WHERE v.product_id = ANY(CAST(:products AS uuid[]))
     GROUP BY v.product_id, l.account_id
    """  # noqa: S608 - made of constants
)


async def families(session: AsyncSession, product_ids: Collection[UUID]) -> dict[tuple[UUID, UUID], tuple[int, int]]:
    """By product and account: listings for sale, and those of them that were published alone."""
    found = await session.execute(_FAMILIES, {"products": list(product_ids)})
    return {(row.product_id, row.account_id): (row.for_sale, row.alone) for row in found}


_SALES = text(
    """
    SELECT account_id, sku, currency, sum(goods)::bigint AS goods FROM sku_day
     WHERE tenant_id = current_tenant() AND day >= :since AND sku = ANY(CAST(:skus AS text[]))
     GROUP BY account_id, sku, currency
    """
)
_MEDIAN = text(
    """
    SELECT account_id, currency, percentile_cont(0.5) WITHIN GROUP (ORDER BY goods)::float8 AS goods
      FROM (SELECT account_id, sku, currency, sum(goods)::float8 AS goods FROM sku_day
             WHERE tenant_id = current_tenant() AND day >= :since GROUP BY account_id, sku, currency) AS each
     GROUP BY account_id, currency
    """
)


async def sales(session: AsyncSession, since: date, skus: Collection[str]) -> dict[tuple[UUID, str, str], int]:
    """What was taken in since that day, by account, SKU and currency."""
    found = await session.execute(_SALES, {"since": since, "skus": list(skus)})
    return {(row.account_id, row.sku, row.currency): row.goods for row in found}


async def median_sales(session: AsyncSession, since: date) -> dict[tuple[UUID, str], float]:
    """The same of the middle one of all SKUs that sold, by account and currency."""
    found = await session.execute(_MEDIAN, {"since": since})
    return {(row.account_id, row.currency): row.goods for row in found}


async def goods(session: AsyncSession) -> list[tuple[str, str | None, str | None]]:
    """Title, brand and category of the newest products."""
    query = select(Product.title, Product.brand, Product.category).order_by(Product.id.desc()).limit(_MOST_GOODS)
    return [(title, brand, category) for title, brand, category in await session.execute(query)]


async def read(session: AsyncSession, product_ids: Collection[UUID]) -> dict[UUID, list[dict[str, str]]]:
    """Attributes that were read in the text of products."""
    query = select(ProductReading.product_id, ProductReading.value).where(ProductReading.product_id.in_(product_ids))
    return {product_id: list(value.get("attributes", ())) for product_id, value in await session.execute(query)}


_OUTCOMES = text(
    """
    SELECT p.payload ->> 'check' AS what, count(*) FILTER (WHERE o.outcome = 1) AS right, count(*) AS known
      FROM decision_outcome o JOIN proposal p ON p.id = o.proposal_id
     WHERE o.tenant_id = current_tenant() AND o.agent = 'listing' AND o.kind = :kind AND o.state = 'known'
     GROUP BY 1
    """
)


async def outcomes(session: AsyncSession, kind: str) -> dict[str, tuple[int, int]]:
    """By check: how many fixes of this kind of prediction came out right, and of how many that is known."""
    found = await session.execute(_OUTCOMES, {"kind": kind})
    return {row[0]: (row[1], row[2]) for row in found if row[0] is not None}


_PROPOSED = text(
    """
    SELECT p.subject_id, p.payload ->> 'check' AS what, p.payload ->> 'mark' AS mark
      FROM proposal p
     WHERE p.tenant_id = current_tenant() AND p.subject_kind IN ('listing', 'product')
       AND p.subject_id = ANY(CAST(:ids AS uuid[])) AND p.command = ANY(:commands)
       AND NOT (p.verdict = 'deny' AND p.rule <> 'overruled')
    """
)


async def proposed(
    session: AsyncSession, subject_ids: Collection[UUID], commands: Collection[str]
) -> dict[UUID, set[tuple[str, str]]]:
    """(check, mark) of what was proposed about listings and products; what could not be done does not count."""
    found: dict[UUID, set[tuple[str, str]]] = {}
    for row in await session.execute(_PROPOSED, {"ids": list(subject_ids), "commands": list(commands)}):
        found.setdefault(row.subject_id, set()).add((row.what, row.mark))
    return found


async def open_needs(session: AsyncSession, listing_ids: Collection[UUID]) -> dict[UUID, dict[str, ListingNeed]]:
    """By listing and check."""
    query = select(ListingNeed).where(ListingNeed.listing_id.in_(listing_ids), ListingNeed.settled_at.is_(None))
    found: dict[UUID, dict[str, ListingNeed]] = {}
    for row in await session.scalars(query):
        found.setdefault(row.listing_id, {})[row.check] = row
    return found


async def settle_needs(unit: UnitOfWork, listing_id: UUID, checks: Collection[str]) -> None:
    if checks:
        mine = and_(ListingNeed.listing_id == listing_id, ListingNeed.check.in_(checks))
        await unit.session.execute(
            update(ListingNeed).where(mine, ListingNeed.settled_at.is_(None)).values(settled_at=unit.now)
        )


async def add_need(unit: UnitOfWork, listing_id: UUID, **columns: Any) -> None:
    unit.session.add(
        ListingNeed(
            tenant_id=unit.tenant_id,
            listing_id=listing_id,
            at=unit.now,
            decision_id=unit.cause.causation_id,
            **columns,
        )
    )
    await unit.session.flush()


async def forget_needs(session: AsyncSession, before: Any) -> None:
    statement = delete(ListingNeed).where(ListingNeed.settled_at < before)
    await session.execute(statement.execution_options(synchronize_session=False))


async def set_fitted(unit: UnitOfWork, listing_id: UUID, fitted: dict[str, Any]) -> None:
    await unit.session.execute(
        update(Listing).where(Listing.id == listing_id).values(fitted=fitted, version=Listing.version + 1)
    )


_NAMED = (
    select(Listing.id)
    .where(
        Listing.account_id == bindparam("account_id"),
        Listing.status == "active",
        (Listing.sku + " (" + Listing.external_id + ")") == func.any(bindparam("names", type_=ARRAY(Listing.sku.type))),
    )
    .order_by(Listing.id)
    .limit(50)
)


async def named(session: AsyncSession, account_id: UUID, names: Collection[str]) -> list[UUID]:
    """Listings of the account that are called so in the evidence of a fault: "SKU (external id)"."""
    return list(await session.scalars(_NAMED, {"account_id": account_id, "names": list(names)}))


async def waiting(session: AsyncSession, product_id: UUID) -> list[UUID]:
    """Listings of the product that the channel refused, or about which a person was told something."""
    has_need = (
        select(ListingNeed.id).where(ListingNeed.listing_id == Listing.id, ListingNeed.settled_at.is_(None)).exists()
    )
    query = (
        select(Listing.id)
        .join(Variant, Variant.id == Listing.variant_id)
        .where(Variant.product_id == product_id, (Listing.status == "refused") | has_need)
        .order_by(Listing.id)
        .limit(50)
    )
    return list(await session.scalars(query))


_SOLD = text(
    """
    SELECT a.id, coalesce(sum(d.units) FILTER (WHERE d.sku = l.sku AND d.day < a.at), 0)::bigint AS before,
           coalesce(sum(d.units) FILTER (WHERE d.sku = l.sku AND d.day > a.at), 0)::bigint AS after,
           coalesce(sum(d.units) FILTER (WHERE d.sku <> l.sku AND d.day < a.at), 0)::bigint AS others_before,
           coalesce(sum(d.units) FILTER (WHERE d.sku <> l.sku AND d.day > a.at), 0)::bigint AS others_after
      FROM unnest(CAST(:ids AS uuid[]), CAST(:listings AS uuid[]), CAST(:days AS date[])) AS a(id, listing_id, at)
      JOIN listing l ON l.id = a.listing_id
      LEFT JOIN sku_day d ON d.tenant_id = l.tenant_id AND d.account_id = l.account_id
           AND d.day BETWEEN a.at - :span AND a.at + :span
     GROUP BY a.id
    """
)


@dataclass(frozen=True)
class SoldAround:
    """Units of a listing in so many days before and after a day, and those of all others of its account."""

    before: int
    after: int
    others_before: int
    others_after: int


async def sold_around(
    session: AsyncSession, asked: Sequence[tuple[UUID, UUID, date]], span: int
) -> dict[UUID, SoldAround]:
    """By the first of (id, listing, day)."""
    ids, listings, days = zip(*asked, strict=True) if asked else ((), (), ())
    values = {"ids": list(ids), "listings": list(listings), "days": list(days), "span": span}
    return {row[0]: SoldAround(*row[1:]) for row in await session.execute(_SOLD, values)}
