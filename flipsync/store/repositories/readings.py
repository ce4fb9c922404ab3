"""Statements about what language models read of goods."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.errors import NotFound
from flipsync.domain.ids import new_id
from flipsync.store.models import Product, ProductReading
from flipsync.store.unit_of_work import UnitOfWork

#: of a description, in characters
_MOST = 6_000


@dataclass(frozen=True)
class GoodsText:
    """What is written about a product."""

    product_id: UUID
    title: str
    description_html: str
    brand: str | None
    category: str | None


@dataclass(frozen=True)
class KeptReading:
    product_id: UUID
    title: str
    value: dict[str, Any]
    read_at: datetime


async def goods(session: AsyncSession, product_id: UUID) -> GoodsText | None:
    query = select(
        Product.id, Product.title, func.left(Product.description_html, _MOST), Product.brand, Product.category
    ).where(Product.id == product_id)
    row = (await session.execute(query)).one_or_none()
    return None if row is None else GoodsText(*row)


async def put(unit: UnitOfWork, product_id: UUID, call_id: UUID, value: dict[str, Any]) -> None:
    """Raises NotFound."""
    if await unit.session.scalar(select(Product.id).where(Product.id == product_id)) is None:
        raise NotFound(f"no product {product_id}")
    columns = {"call_id": call_id, "value": value, "read_at": unit.now}
    row = {"id": new_id(), "tenant_id": unit.tenant_id, "product_id": product_id, **columns}
    await unit.session.execute(
        insert(ProductReading)
        .values(row)
        .on_conflict_do_update(index_elements=["tenant_id", "product_id"], set_=columns)
    )


async def newest(session: AsyncSession, limit: int) -> list[KeptReading]:
    query = (
        select(ProductReading.product_id, Product.title, ProductReading.value, ProductReading.read_at)
        .join(Product, Product.id == ProductReading.product_id)
        .order_by(ProductReading.read_at.desc(), ProductReading.id)
        .limit(limit)
    )
    return [KeptReading(*row) for row in await session.execute(query)]
