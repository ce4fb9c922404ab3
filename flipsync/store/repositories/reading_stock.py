"""Queries that show the stock ledger."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.store.models import Allocation, Listing, Product, StockItem, StockMovement, Variant

ItemRow = Row[StockItem, str, str]


async def items(
    session: AsyncSession,
    *,
    limit: int,
    after: UUID | None = None,
    stock_item_id: UUID | None = None,
    variant_id: UUID | None = None,
    sku: str | None = None,
    pool: str | None = None,
    available_at_most: int | None = None,
) -> Sequence[ItemRow]:
    """(stock item, SKU, product title), newest first. Available: on the shelf and not a buyer's."""
    query = (
        select(StockItem, Variant.sku, Product.title)
        .join(Variant, Variant.id == StockItem.variant_id)
        .join(Product, Product.id == Variant.product_id)
        .order_by(StockItem.id.desc())
        .limit(limit)
    )
    if after is not None:
        query = query.where(StockItem.id < after)
    if stock_item_id is not None:
        query = query.where(StockItem.id == stock_item_id)
    if variant_id is not None:
        query = query.where(StockItem.variant_id == variant_id)
    if sku is not None:
        query = query.where(Variant.sku == sku)
    if pool is not None:
        query = query.where(StockItem.pool == pool)
    if available_at_most is not None:
        query = query.where(StockItem.on_hand - StockItem.reserved <= available_at_most)
    return (await session.execute(query)).all()


async def allocations(session: AsyncSession, stock_item_id: UUID) -> Sequence[Row[Allocation, UUID]]:
    """(allocation, account id)."""
    query = (
        select(Allocation, Listing.account_id)
        .join(Listing, Listing.id == Allocation.listing_id)
        .where(Allocation.stock_item_id == stock_item_id)
        .order_by(Allocation.id)
    )
    return (await session.execute(query)).all()


async def movements(
    session: AsyncSession,
    stock_item_id: UUID,
    *,
    limit: int,
    after: UUID | None = None,
    kind: str | None = None,
) -> Sequence[StockMovement]:
    """Newest first."""
    query = (
        select(StockMovement)
        .where(StockMovement.stock_item_id == stock_item_id)
        .order_by(StockMovement.id.desc())
        .limit(limit)
    )
    if after is not None:
        query = query.where(StockMovement.id < after)
    if kind is not None:
        query = query.where(StockMovement.kind == kind)
    return (await session.execute(query)).scalars().all()
