"""Queries that show listings, their prices and rivals, and orders."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Row, exists, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.store.models import (
    Allocation,
    Listing,
    MarketplaceAccount,
    Order,
    OrderLine,
    PriceChange,
    Refund,
    RivalOfferSeen,
    Shipment,
    Variant,
)

ListingRow = Row[Listing, str, str, int]
OrderRow = Row[Order, str, str]


async def listings(
    session: AsyncSession,
    *,
    limit: int,
    after: UUID | None = None,
    listing_id: UUID | None = None,
    account_id: UUID | None = None,
    variant_id: UUID | None = None,
    product_id: UUID | None = None,
    status: str | None = None,
    sku: str | None = None,
    text: str | None = None,
) -> Sequence[ListingRow]:
    """(listing, vendor, account name, units it may sell), newest first."""
    query = (
        select(Listing, MarketplaceAccount.vendor, MarketplaceAccount.name, Allocation.entitled)
        .join(MarketplaceAccount, MarketplaceAccount.id == Listing.account_id)
        .outerjoin(Allocation, Allocation.listing_id == Listing.id)
        .order_by(Listing.id.desc())
        .limit(limit)
    )
    if after is not None:
        query = query.where(Listing.id < after)
    if listing_id is not None:
        query = query.where(Listing.id == listing_id)
    if account_id is not None:
        query = query.where(Listing.account_id == account_id)
    if variant_id is not None:
        query = query.where(Listing.variant_id == variant_id)
    if product_id is not None:
        query = query.where(exists().where(Variant.id == Listing.variant_id, Variant.product_id == product_id))
    if status is not None:
        query = query.where(Listing.status == status)
    if sku is not None:
        query = query.where(Listing.sku == sku)
    if text:
        query = query.where(Listing.title.icontains(text, autoescape=True))
    return (await session.execute(query)).all()


async def price_changes(
    session: AsyncSession, listing_id: UUID, *, limit: int, after: UUID | None = None
) -> Sequence[PriceChange]:
    """Newest first."""
    query = select(PriceChange).where(PriceChange.listing_id == listing_id).order_by(PriceChange.id.desc()).limit(limit)
    if after is not None:
        query = query.where(PriceChange.id < after)
    return (await session.execute(query)).scalars().all()


async def rivals(session: AsyncSession, listing_id: UUID) -> Sequence[RivalOfferSeen]:
    """Cheapest first."""
    query = select(RivalOfferSeen).where(RivalOfferSeen.listing_id == listing_id).order_by(RivalOfferSeen.price_minor)
    return (await session.execute(query)).scalars().all()


async def live_listings_of_variant(session: AsyncSession, variant_id: UUID) -> Sequence[Row[UUID, UUID, str]]:
    """(listing id, account id, vendor) of what is on sale."""
    query = (
        select(Listing.id, Listing.account_id, MarketplaceAccount.vendor)
        .join(MarketplaceAccount, MarketplaceAccount.id == Listing.account_id)
        .where(Listing.variant_id == variant_id, Listing.status == "active")
    )
    return (await session.execute(query)).all()


async def orders(
    session: AsyncSession,
    *,
    limit: int,
    after: tuple[datetime, UUID] | None = None,
    order_id: UUID | None = None,
    account_id: UUID | None = None,
    state: str | None = None,
    status: str | None = None,
    number: str | None = None,
    sku: str | None = None,
    placed_from: datetime | None = None,
    placed_before: datetime | None = None,
) -> Sequence[OrderRow]:
    """(order, vendor, account name), last placed first."""
    query = (
        select(Order, MarketplaceAccount.vendor, MarketplaceAccount.name)
        .join(MarketplaceAccount, MarketplaceAccount.id == Order.account_id)
        .order_by(Order.placed_at.desc(), Order.id.desc())
        .limit(limit)
    )
    if after is not None:
        query = query.where(tuple_(Order.placed_at, Order.id) < tuple_(*after))
    if order_id is not None:
        query = query.where(Order.id == order_id)
    if account_id is not None:
        query = query.where(Order.account_id == account_id)
    if state is not None:
        query = query.where(Order.state == state)
    if status is not None:
        query = query.where(Order.status == status)
    if number is not None:
        query = query.where(Order.number == number)
    if sku is not None:
        query = query.where(exists().where(OrderLine.order_id == Order.id, OrderLine.sku == sku))
    if placed_from is not None:
        query = query.where(Order.placed_at >= placed_from)
    if placed_before is not None:
        query = query.where(Order.placed_at < placed_before)
    return (await session.execute(query)).all()


async def lines_of(session: AsyncSession, order_ids: Sequence[UUID]) -> Sequence[OrderLine]:
    query = select(OrderLine).where(OrderLine.order_id.in_(order_ids)).order_by(OrderLine.id)
    return (await session.execute(query)).scalars().all()


async def refunds_of(session: AsyncSession, order_id: UUID) -> Sequence[Refund]:
    query = select(Refund).where(Refund.order_id == order_id).order_by(Refund.id)
    return (await session.execute(query)).scalars().all()


async def shipment_of(session: AsyncSession, order_id: UUID) -> Shipment | None:
    return (await session.execute(select(Shipment).where(Shipment.order_id == order_id))).scalar_one_or_none()
