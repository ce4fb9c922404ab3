"""Rows of units that go from our shelf to a channel's warehouse."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, exists, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from flipsync.store.models import Listing, MarketplaceAccount, StockItem, StockTransfer, Variant
from flipsync.store.sorting import Place, Sorts
from flipsync.store.unit_of_work import UnitOfWork

SORTS = Sorts(StockTransfer.id, sent_at=StockTransfer.sent_at, due_at=StockTransfer.due_at)


async def add(unit: UnitOfWork, **columns: Any) -> StockTransfer:
    """A new one with the next number; the caller holds the tenant's turn."""
    last = await unit.session.scalar(select(func.max(StockTransfer.number)))
    transfer = StockTransfer(tenant_id=unit.tenant_id, number=(last or 0) + 1, created_at=unit.now, **columns)
    unit.session.add(transfer)
    await unit.session.flush()
    return transfer


async def lock(session: AsyncSession, transfer_id: UUID) -> StockTransfer | None:
    """Nobody else sends it, calls it off or books what arrived of it before this transaction ends."""
    query = select(StockTransfer).where(StockTransfer.id == transfer_id).with_for_update()
    return (await session.scalars(query.execution_options(populate_existing=True))).one_or_none()


async def under_way_to(session: AsyncSession, to_item_id: UUID) -> Sequence[StockTransfer]:
    """What was sent there and is not over, oldest first; locked."""
    query = (
        select(StockTransfer)
        .where(StockTransfer.to_item_id == to_item_id, StockTransfer.state == "sent")
        .order_by(StockTransfer.sent_at, StockTransfer.id)
        .with_for_update()
    )
    return (await session.scalars(query.execution_options(populate_existing=True))).all()


async def planned_since(session: AsyncSession, account_id: UUID, since: datetime) -> set[UUID]:
    """Variants of which units were set aside for the account's warehouse after that moment, and not called off."""
    query = (
        select(StockItem.variant_id)
        .join(StockTransfer, StockTransfer.from_item_id == StockItem.id)
        .where(StockTransfer.account_id == account_id, StockTransfer.created_at > since)
        .where(StockTransfer.state != "cancelled")
    )
    return set(await session.scalars(query))


async def of_decision(session: AsyncSession, decision_id: UUID) -> Sequence[StockTransfer]:
    """What an agent's decision set aside; locked, by number."""
    query = select(StockTransfer).where(StockTransfer.decision_id == decision_id).order_by(StockTransfer.number)
    return (await session.scalars(query.with_for_update().execution_options(populate_existing=True))).all()


async def sold_from(session: AsyncSession, account_id: UUID, variant_id: UUID, pool: str) -> bool:
    """Whether the account has a listing of the goods that sells out of that pool."""
    listed = exists().where(
        Listing.account_id == account_id,
        Listing.variant_id == variant_id,
        Listing.pool == pool,
        Listing.status.not_in(("recognised", "ended", "vanished", "refused")),
    )
    return bool(await session.scalar(select(MarketplaceAccount.id).where(MarketplaceAccount.id == account_id, listed)))


async def page(
    session: AsyncSession,
    place: Place,
    *,
    variant_id: UUID | None = None,
    state: str | None = None,
    open: bool | None = None,
) -> Sequence[Any]:
    """(transfer, variant id, SKU, pool it goes to) and what a cursor is made of."""
    query = _told()
    if variant_id is not None:
        query = query.where(StockItem.variant_id == variant_id)
    if state is not None:
        query = query.where(StockTransfer.state == state)
    if open is not None:
        query = query.where(StockTransfer.state.in_(("planned", "sent")) == open)
    return (await session.execute(place.put(query))).all()


async def one(session: AsyncSession, transfer_id: UUID) -> Row[Any] | None:
    """As in `page`."""
    query = _told().where(StockTransfer.id == transfer_id)
    return (await session.execute(query.execution_options(populate_existing=True))).one_or_none()


async def numbered(session: AsyncSession, number: int) -> UUID | None:
    return await session.scalar(select(StockTransfer.id).where(StockTransfer.number == number))


def _told() -> Any:
    there = aliased(StockItem)
    return (
        select(StockTransfer, StockItem.variant_id, Variant.sku, there.pool)
        .join(StockItem, StockItem.id == StockTransfer.from_item_id)
        .join(there, there.id == StockTransfer.to_item_id)
        .join(Variant, Variant.id == StockItem.variant_id)
    )
