"""Queries that show products and variants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Select, bindparam, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.store.models import Product, Variant
from flipsync.store.reading import Question, where
from flipsync.store.sorting import Exact, SortedQuestion, Sorts

_VARIANTS = select(func.count()).where(Variant.product_id == Product.id).scalar_subquery()
_SUMMARY = select(
    Product.id,
    Product.handle,
    Product.title,
    Product.brand,
    Product.category,
    Product.tags,
    Product.images,
    Product.version,
    Product.created_at,
    Product.updated_at,
    _VARIANTS.label("variant_count"),
)


def _products(given: frozenset[str]) -> Select[*tuple[Any, ...]]:
    part = func.lower(bindparam("part"))
    return where(
        _SUMMARY,
        given,
        part=or_(func.lower(Product.title).like(part, escape="/"), func.lower(Product.handle).like(part, escape="/")),
        brand=Product.brand == bindparam("brand"),
        category=Product.category == bindparam("category"),
        sku=exists().where(Variant.product_id == Product.id, Variant.sku == bindparam("sku")),
        barcode=exists().where(Variant.product_id == Product.id, Variant.barcode == bindparam("barcode")),
    )


PRODUCT_SORTS = Sorts(Product.id, handle=Exact(Product.handle), updated_at=Product.updated_at)
#: any of part (a pattern, see `contains`), brand, category, sku, barcode
PRODUCTS = SortedQuestion(PRODUCT_SORTS, _products)
#: product_id
PRODUCT = Question(lambda _: select(*Product.__table__.c).where(Product.id == bindparam("product_id")))
#: product_id or variant_id
VARIANTS = Question(
    lambda given: where(
        select(*Variant.__table__.c).order_by(Variant.id),
        given,
        product_id=Variant.product_id == bindparam("product_id"),
        variant_id=Variant.id == bindparam("variant_id"),
    )
)


async def product(session: AsyncSession, product_id: UUID) -> Product | None:
    """To be changed: nobody else does before this transaction ends."""
    return (
        await session.execute(select(Product).where(Product.id == product_id).with_for_update())
    ).scalar_one_or_none()


async def product_exists(session: AsyncSession, product_id: UUID) -> bool:
    return await session.scalar(select(Product.id).where(Product.id == product_id)) is not None


async def variants_of(session: AsyncSession, product_ids: Sequence[UUID]) -> Sequence[Variant]:
    query = select(Variant).where(Variant.product_id.in_(product_ids)).order_by(Variant.id)
    return (await session.execute(query)).scalars().all()


async def variant(session: AsyncSession, variant_id: UUID) -> Variant | None:
    """To be changed: nobody else does before this transaction ends."""
    return (
        await session.execute(select(Variant).where(Variant.id == variant_id).with_for_update())
    ).scalar_one_or_none()
