"""Read statements for deciding on stock: an item with all its listings and what they sold lately."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, cast, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.store.models import Allocation, Listing, MarketplaceAccount, Order, OrderLine, StockItem


@dataclass(frozen=True)
class ShareRow:
    """One listing's part of a stock item. Units; `sold` since the time asked for."""

    listing_id: UUID
    account_id: UUID
    vendor: str
    account_status: str
    listing_status: str
    entitled: int
    pending: int
    target: int
    quantity_shown: int | None
    sold: int


@dataclass(frozen=True)
class ItemRow:
    stock_item_id: UUID
    variant_id: UUID
    mode: str
    on_hand: int
    reserved: int
    allocated: int
    pending_count: int | None


async def item(session: AsyncSession, stock_item_id: UUID) -> ItemRow | None:
    row = (
        await session.execute(
            select(
                StockItem.id,
                StockItem.variant_id,
                StockItem.mode,
                StockItem.on_hand,
                StockItem.reserved,
                StockItem.allocated,
                StockItem.pending_count,
            ).where(StockItem.id == stock_item_id)
        )
    ).one_or_none()
    return ItemRow(*row) if row else None


async def shares(session: AsyncSession, stock_item_id: UUID, *, since: datetime) -> Sequence[ShareRow]:
    sold = (
        select(cast(func.coalesce(func.sum(OrderLine.quantity), 0), BigInteger))
        .join(Order, Order.id == OrderLine.order_id)
        .where(OrderLine.listing_id == Listing.id, Order.placed_at >= since, Order.holds_stock)
        .correlate(Listing)
        .scalar_subquery()
    )
    rows = await session.execute(
        select(
            Listing.id,
            Listing.account_id,
            MarketplaceAccount.vendor,
            MarketplaceAccount.status,
            Listing.status,
            Allocation.entitled,
            Allocation.pending,
            Allocation.target,
            Listing.quantity_shown,
            sold,
        )
        .join(Allocation, Allocation.listing_id == Listing.id)
        .join(MarketplaceAccount, MarketplaceAccount.id == Listing.account_id)
        .where(Allocation.stock_item_id == stock_item_id)
        .order_by(Listing.id)
    )
    return [ShareRow(*row) for row in rows]


async def item_of_listing(session: AsyncSession, listing_id: UUID) -> UUID | None:
    return (
        await session.scalars(select(Allocation.stock_item_id).where(Allocation.listing_id == listing_id))
    ).one_or_none()


async def short_orders(session: AsyncSession, stock_item_id: UUID) -> Sequence[UUID]:
    """Orders that wait for units of this item, oldest first."""
    rows = await session.scalars(
        select(Order.id)
        .join(OrderLine, OrderLine.order_id == Order.id)
        .join(Allocation, Allocation.listing_id == OrderLine.listing_id)
        .where(Allocation.stock_item_id == stock_item_id, OrderLine.short > 0, Order.holds_stock)
        .group_by(Order.id, Order.placed_at)
        .order_by(Order.placed_at)
    )
    return rows.all()


@dataclass(frozen=True)
class OrderRow:
    order_id: UUID
    account_id: UUID
    vendor: str
    number: str
    status: str
    state: str
    holds_stock: bool
    total_minor: int
    currency: str
    short_units: int


async def order(session: AsyncSession, order_id: UUID) -> OrderRow | None:
    row = (
        await session.execute(
            select(
                Order.id,
                Order.account_id,
                MarketplaceAccount.vendor,
                Order.number,
                Order.status,
                Order.state,
                Order.holds_stock,
                Order.total_minor,
                Order.currency,
                cast(func.coalesce(func.sum(OrderLine.short), 0), BigInteger),
            )
            .join(MarketplaceAccount, MarketplaceAccount.id == Order.account_id)
            .outerjoin(OrderLine, OrderLine.order_id == Order.id)
            .where(Order.id == order_id)
            .group_by(Order.id, MarketplaceAccount.vendor)
        )
    ).one_or_none()
    return OrderRow(*tuple(row)) if row else None
