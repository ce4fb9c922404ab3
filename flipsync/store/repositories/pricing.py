"""Read statements for deciding on prices: a listing with everything that bears on its price."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, ScalarSelect, and_, bindparam, cast, func, null, or_, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.store.database import ask
from flipsync.store.models import (
    Allocation,
    Listing,
    MarketplaceAccount,
    Order,
    OrderLine,
    PriceChange,
    Product,
    RivalOfferSeen,
    Supplier,
    SupplierOffer,
    Variant,
)
from flipsync.store.reading import Question


@dataclass(frozen=True)
class RivalRow:
    seller: str
    price_minor: int
    in_stock: bool
    #: the channel puts it first
    featured: bool = False


@dataclass(frozen=True)
class SaleRow:
    """Units sold until a time since the price changed last, with what one unit brought."""

    at: datetime
    unit_minor: int
    units: int


@dataclass
class PriceRow:
    """Everything about one listing that its price depends on. Amounts in minor units of `currency`."""

    listing_id: UUID
    account_id: UUID
    vendor: str
    currency: str
    sku: str
    status: str
    current_minor: int | None
    list_minor: int | None
    cost_minor: int | None
    cost_as_of: datetime | None
    floor_minor: int | None
    ceiling_minor: int | None
    entitled: int
    published_at: datetime | None
    price_changed_at: datetime | None
    variant_currency: str
    #: the price somebody set on the channel, where the owner lets it stand
    by_hand_minor: int | None
    category: str | None = None
    #: how long more of it takes, by the word of the supplier that is quickest; None where nobody offers it
    restock_days: float | None = None
    rivals: list[RivalRow] = field(default_factory=list)
    sales: list[SaleRow] = field(default_factory=list)
    #: (when, old, new) of the window asked for, oldest first
    changes: list[tuple[datetime, int | None, int]] = field(default_factory=list)
    #: (from, until; None: still) nothing was free on the shelf it sells from, oldest first, since its first movement
    empty: list[tuple[datetime, datetime | None]] = field(default_factory=list)
    #: since when sales, changes and empty shelves were read
    since: datetime | None = None


def _restock(now: datetime) -> ScalarSelect[float | None]:
    """Days until more of a variant is there, by the quickest supplier that offers it."""
    offer = SupplierOffer
    return (
        select(func.min(Supplier.lead_mean_days))
        .join(offer, offer.supplier_id == Supplier.id)
        .where(offer.variant_id == Variant.id, Supplier.active)
        .where(or_(offer.valid_from.is_(None), offer.valid_from <= now))
        .where(or_(offer.valid_until.is_(None), offer.valid_until > now))
        .scalar_subquery()
    )


async def rows(
    session: AsyncSession,
    *,
    since: datetime,
    listing_ids: Sequence[UUID] | None = None,
    market: bool = True,
    now: datetime | None = None,
) -> list[PriceRow]:
    """The listings asked for, or every active one, with price changes and, for `market`, sales and empty shelves since
    that time and rivals. What suppliers offer at `now` says how long more of the goods take; else none is asked."""
    statement = (
        select(
            Listing.id,
            Listing.account_id,
            MarketplaceAccount.vendor,
            Listing.currency,
            Listing.sku,
            Listing.status,
            Listing.price_minor,
            Variant.price_minor,
            Variant.cost_minor,
            Variant.cost_as_of,
            Variant.floor_minor,
            Variant.ceiling_minor,
            func.coalesce(Allocation.entitled, 0),
            Listing.published_at,
            Listing.price_changed_at,
            Variant.currency,
            cast(Listing.overrides["price_minor"].astext, BigInteger),
            Product.category,
            _restock(now) if now is not None else null(),
        )
        .join(Variant, Variant.id == Listing.variant_id)
        .join(Product, Product.id == Variant.product_id)
        .join(MarketplaceAccount, MarketplaceAccount.id == Listing.account_id)
        .outerjoin(Allocation, Allocation.listing_id == Listing.id)
        .order_by(Listing.id)
    )
    if listing_ids is not None:
        statement = statement.where(Listing.id.in_(listing_ids))
    else:
        statement = statement.where(Listing.status == "active", MarketplaceAccount.status == "connected")
    found = {row[0]: PriceRow(*tuple(row)) for row in await session.execute(statement)}
    if not found:
        return []
    for row in found.values():
        row.since = since
    wanted = list(found) if listing_ids is not None else None
    if market:
        await _attach_rivals(session, found, wanted)
        await _attach_sales(session, found, wanted, since)
        await _attach_empty(session, found, wanted, since)
    await _attach_changes(session, found, wanted, since)
    return list(found.values())


async def _attach_rivals(session: AsyncSession, found: dict[UUID, PriceRow], wanted: list[UUID] | None) -> None:
    seen = RivalOfferSeen
    statement = select(seen.listing_id, seen.seller, seen.price_minor, seen.in_stock, seen.featured).order_by(
        seen.seller
    )
    if wanted is not None:
        statement = statement.where(seen.listing_id.in_(wanted))
    for rival in await session.execute(statement):
        if rival.listing_id in found:
            found[rival.listing_id].rivals.append(
                RivalRow(rival.seller, rival.price_minor, rival.in_stock, rival.featured)
            )


async def _attach_sales(
    session: AsyncSession, found: dict[UUID, PriceRow], wanted: list[UUID] | None, since: datetime
) -> None:
    # weeks of sales are many rows, and more of one price tell no more than their sum
    price_since = (
        select(func.max(PriceChange.at))
        .where(PriceChange.listing_id == OrderLine.listing_id, PriceChange.at <= Order.placed_at)
        .scalar_subquery()
    )
    until, units = func.max(Order.placed_at), cast(func.sum(OrderLine.quantity), BigInteger)
    statement = (
        select(OrderLine.listing_id, until, cast(func.sum(OrderLine.total_minor), BigInteger), units)
        .join(Order, Order.id == OrderLine.order_id)
        .where(Order.placed_at >= since, Order.holds_stock, OrderLine.quantity > 0, OrderLine.listing_id.is_not(None))
        .group_by(OrderLine.listing_id, price_since)
        .order_by(until)
    )
    if wanted is not None:
        statement = statement.where(OrderLine.listing_id.in_(wanted))
    for listing_id, at, total, sold in await session.execute(statement):
        if listing_id in found:
            found[listing_id].sales.append(SaleRow(at, total // sold, sold))


# Balances are rolled back from today's over the movements since, for the ledger is long. An item whose ledger begins
# later than `since` has no row at `since`: nobody knows what there was before.
_EMPTY = text(
    """
    SELECT a.listing_id, moved.at, moved.until FROM (
      SELECT s.id AS item, m.at, lead(m.at) OVER (PARTITION BY s.id ORDER BY m.at, m.id NULLS FIRST) AS until,
             s.on_hand - s.reserved - coalesce(sum(m.delta) OVER later, 0) AS free
        FROM stock_item s JOIN (
          SELECT stock_item_id AS item, at, id, on_hand_delta - reserved_delta AS delta
            FROM stock_movement WHERE tenant_id = current_tenant() AND at > :since
          UNION ALL
          SELECT i.id, :since, NULL, 0 FROM stock_item i
           WHERE i.tenant_id = current_tenant()
             AND EXISTS (SELECT 1 FROM stock_movement b WHERE b.stock_item_id = i.id AND b.at <= :since)
        ) m ON m.item = s.id
       WHERE s.tenant_id = current_tenant() AND (CAST(:listings AS uuid[]) IS NULL OR s.id IN (
         SELECT w.stock_item_id FROM allocation w WHERE w.listing_id = ANY(:listings)))
      WINDOW later AS (PARTITION BY s.id ORDER BY m.at DESC, m.id DESC NULLS LAST
                       ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)) moved
      JOIN allocation a ON a.stock_item_id = moved.item
     WHERE moved.free <= 0 AND moved.until IS DISTINCT FROM moved.at ORDER BY moved.at
    """
)


async def _attach_empty(
    session: AsyncSession, found: dict[UUID, PriceRow], wanted: list[UUID] | None, since: datetime
) -> None:
    for listing_id, at, until in await session.execute(_EMPTY, {"since": since, "listings": wanted}):
        if listing_id in found:
            found[listing_id].empty.append((at, until))


async def _attach_changes(
    session: AsyncSession, found: dict[UUID, PriceRow], wanted: list[UUID] | None, since: datetime
) -> None:
    statement = (
        select(PriceChange.listing_id, PriceChange.at, PriceChange.old_minor, PriceChange.new_minor)
        .where(PriceChange.at >= since)
        .order_by(PriceChange.at)
    )
    if wanted is not None:
        statement = statement.where(PriceChange.listing_id.in_(wanted))
    by_listing: dict[UUID, list[tuple[datetime, int | None, int]]] = defaultdict(list)
    for listing_id, at, old, new in await session.execute(statement):
        by_listing[listing_id].append((at, old, new))
    for listing_id, changes in by_listing.items():
        if listing_id in found:
            found[listing_id].changes = changes


async def variants_of_product(session: AsyncSession, product_id: UUID) -> Sequence[Variant]:
    return (await session.scalars(select(Variant).where(Variant.product_id == product_id).order_by(Variant.sku))).all()


_OF_VARIANT = Question(lambda given: select(Listing.id).where(Listing.variant_id == bindparam("variant_id")))


async def listings_of_variant(session: AsyncSession, variant_id: UUID) -> Sequence[UUID]:
    (rows,) = await ask(session, [_OF_VARIANT(variant_id=variant_id)])
    return [row.id for row in rows]


async def category_of(session: AsyncSession, listing_id: UUID) -> str | None:
    query = (
        select(Product.category)
        .join(Variant, Variant.product_id == Product.id)
        .join(Listing, Listing.variant_id == Variant.id)
    )
    return (await session.execute(query.where(Listing.id == listing_id))).scalar()


async def bought_together(
    session: AsyncSession, since: datetime, wanted: Mapping[UUID, int]
) -> tuple[dict[UUID, int], int]:
    """Orders since then with each of the listings, and with at least so many units of all of them."""
    held = (
        select(OrderLine.order_id, OrderLine.listing_id, func.sum(OrderLine.quantity).label("units"))
        .join(Order, Order.id == OrderLine.order_id)
        .where(Order.placed_at >= since, Order.holds_stock, OrderLine.quantity > 0)
        .where(OrderLine.listing_id.in_(list(wanted)))
        .group_by(OrderLine.order_id, OrderLine.listing_id)
        .cte("held")
    )
    counts = await session.execute(select(held.c.listing_id, func.count()).group_by(held.c.listing_id))
    enough = or_(*(and_(held.c.listing_id == listing, held.c.units >= units) for listing, units in wanted.items()))
    whole = (
        select(held.c.order_id).where(enough).group_by(held.c.order_id).having(func.count() == len(wanted)).subquery()
    )
    together = await session.scalar(select(func.count()).select_from(whole))
    return {row[0]: row[1] for row in counts}, int(together or 0)
