"""Rows of trends that were told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.store.models import Product, StockItem, Trend, Variant
from flipsync.store.unit_of_work import UnitOfWork


async def categories(session: AsyncSession) -> dict[UUID, str]:
    """The category of each stock item that has one."""
    query = (
        select(StockItem.id, Product.category)
        .join(Variant, Variant.id == StockItem.variant_id)
        .join(Product, Product.id == Variant.product_id)
        .where(Product.category.is_not(None), Product.category != "")
    )
    return {item: name for item, name in await session.execute(query) if name}


async def told_since(session: AsyncSession, since: datetime) -> Sequence[Row[str, UUID | None, str | None, datetime]]:
    """Kind, stock item, category and beginning of what was told."""
    query = select(Trend.kind, Trend.stock_item_id, Trend.category, Trend.since).where(Trend.at >= since)
    return (await session.execute(query)).all()


async def add(unit: UnitOfWork, **columns: Any) -> None:
    unit.session.add(Trend(tenant_id=unit.tenant_id, at=unit.now, **columns))


async def forget_before(session: AsyncSession, since: datetime) -> None:
    await session.execute(delete(Trend).where(Trend.at < since).execution_options(synchronize_session=False))


async def page(
    session: AsyncSession,
    *,
    limit: int,
    after: UUID | None,
    kind: str | None,
    stock_item_id: UUID | None,
    category: str | None,
) -> Sequence[Row[Trend, str | None]]:
    """Newest first, with the SKU of what is about goods; `after` is the id of the last one seen."""
    query = (
        select(Trend, Variant.sku)
        .outerjoin(StockItem, StockItem.id == Trend.stock_item_id)
        .outerjoin(Variant, Variant.id == StockItem.variant_id)
        .order_by(Trend.id.desc())
        .limit(limit)
    )
    if after is not None:
        query = query.where(Trend.id < after)
    if kind is not None:
        query = query.where(Trend.kind == kind)
    if stock_item_id is not None:
        query = query.where(Trend.stock_item_id == stock_item_id)
    if category is not None:
        query = query.where(Trend.category == category)
    return (await session.execute(query)).all()
