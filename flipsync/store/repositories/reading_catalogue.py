"""Queries that show products and variants."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import exists, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.store.models import Product, Variant


async def products(
    session: AsyncSession,
    *,
    limit: int,
    after: UUID | None = None,
    text: str | None = None,
    brand: str | None = None,
    category: str | None = None,
    sku: str | None = None,
    barcode: str | None = None,
) -> Sequence[Product]:
    """Newest first. `text` is part of a title or handle, in any case."""
    query = select(Product).order_by(Product.id.desc()).limit(limit)
    if after is not None:
        query = query.where(Product.id < after)
    if text:
        query = query.where(
            or_(Product.title.icontains(text, autoescape=True), Product.handle.icontains(text, autoescape=True))
        )
    if brand is not None:
        query = query.where(Product.brand == brand)
    if category is not None:
        query = query.where(Product.category == category)
    if sku is not None:
        query = query.where(exists().where(Variant.product_id == Product.id, Variant.sku == sku))
    if barcode is not None:
        query = query.where(exists().where(Variant.product_id == Product.id, Variant.barcode == barcode))
    return (await session.execute(query)).scalars().all()


async def product(session: AsyncSession, product_id: UUID, *, lock: bool = False) -> Product | None:
    query = select(Product).where(Product.id == product_id)
    return (await session.execute(query.with_for_update() if lock else query)).scalar_one_or_none()


async def variants_of(session: AsyncSession, product_ids: Sequence[UUID]) -> Sequence[Variant]:
    query = select(Variant).where(Variant.product_id.in_(product_ids)).order_by(Variant.id)
    return (await session.execute(query)).scalars().all()


async def variant(session: AsyncSession, variant_id: UUID, *, lock: bool = False) -> Variant | None:
    query = select(Variant).where(Variant.id == variant_id)
    return (await session.execute(query.with_for_update() if lock else query)).scalar_one_or_none()
