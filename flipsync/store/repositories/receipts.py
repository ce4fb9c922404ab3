"""Receipts with their landed cost, and what left the shelf since."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.ids import new_id
from flipsync.domain.money import Money
from flipsync.store.models import StockMovement, StockReceipt, Variant
from flipsync.store.unit_of_work import UnitOfWork


async def variant(session: AsyncSession, variant_id: UUID) -> Variant | None:
    return (await session.scalars(select(Variant).where(Variant.id == variant_id))).one_or_none()


async def add(unit: UnitOfWork, stock_item_id: UUID, *, key: str, units: int, landed: Money) -> bool:
    """Write a receipt down; False when its key is on record."""
    made = await unit.session.scalar(
        insert(StockReceipt)
        .values(
            id=new_id(),
            tenant_id=unit.tenant_id,
            stock_item_id=stock_item_id,
            key=key,
            units=units,
            landed_minor=landed.amount_minor,
            currency=landed.currency,
            at=unit.now,
        )
        .on_conflict_do_nothing(index_elements=["tenant_id", "key"])
        .returning(StockReceipt.id)
    )
    return made is not None


async def receipts_of(session: AsyncSession, stock_item_id: UUID) -> list[tuple[UUID, datetime, int, int]]:
    """(id, when, units, landed cost of all of them), oldest first."""
    rows = await session.execute(
        select(StockReceipt.id, StockReceipt.at, StockReceipt.units, StockReceipt.landed_minor)
        .where(StockReceipt.stock_item_id == stock_item_id)
        .order_by(StockReceipt.at, StockReceipt.id)
    )
    return [(row[0], row[1], row[2], row[3]) for row in rows]


async def outflows_of(session: AsyncSession, stock_item_id: UUID) -> list[tuple[datetime, int]]:
    """When units left the shelf for good (shipped, or counted away), oldest first."""
    rows = await session.execute(
        select(StockMovement.at, -StockMovement.on_hand_delta)
        .where(StockMovement.stock_item_id == stock_item_id, StockMovement.on_hand_delta < 0)
        .order_by(StockMovement.at, StockMovement.id)
    )
    return [(row[0], row[1]) for row in rows]
