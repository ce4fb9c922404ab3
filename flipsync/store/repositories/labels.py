"""Labels' statements: what people want bought, and what was."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.store.models import Effect, LabelPurchase
from flipsync.store.repositories.effects import ClaimedEffect
from flipsync.store.unit_of_work import UnitOfWork


async def get(session: AsyncSession, label_id: UUID) -> LabelPurchase | None:
    return await session.get(LabelPurchase, label_id, populate_existing=True)


async def lock(session: AsyncSession, label_id: UUID) -> LabelPurchase | None:
    await session.flush()
    wanted = select(LabelPurchase).where(LabelPurchase.id == label_id).with_for_update()
    return (await session.scalars(wanted.execution_options(populate_existing=True))).one_or_none()


async def current_of(session: AsyncSession, order_id: UUID) -> LabelPurchase | None:
    """The order's label that is bought, or asked for, or in doubt."""
    found = await session.scalars(
        select(LabelPurchase).where(
            LabelPurchase.order_id == order_id, LabelPurchase.state.not_in(("refused", "cancelled"))
        )
    )
    return found.one_or_none()


async def of_order(session: AsyncSession, order_id: UUID) -> Sequence[LabelPurchase]:
    """Oldest first."""
    wanted = select(LabelPurchase).where(LabelPurchase.order_id == order_id).order_by(LabelPurchase.id)
    return (await session.scalars(wanted)).all()


async def last_sender(session: AsyncSession) -> dict[str, Any] | None:
    """Where the last label was sent from."""
    query = select(LabelPurchase.ship_from).order_by(LabelPurchase.id.desc()).limit(1)
    found: dict[str, Any] | None = await session.scalar(query)
    return found


async def change(unit: UnitOfWork, label_id: UUID, before: tuple[str, ...], **values: Any) -> bool:
    """Change a label that is in one of these states; False when it is not."""
    changed = await unit.session.scalar(
        update(LabelPurchase)
        .where(LabelPurchase.id == label_id, LabelPurchase.state.in_(before))
        .values(updated_at=unit.now, **values)
        .returning(LabelPurchase.id)
        .execution_options(synchronize_session=False)
    )
    return changed is not None


async def mark_sent(unit: UnitOfWork, label_id: UUID, effect: ClaimedEffect, at: datetime | None) -> bool:
    """Write down, before it happens, that the channel is asked. False when the effect is not ours any more."""
    ours = select(Effect.id).where(Effect.id == effect.id, Effect.epoch == effect.epoch, Effect.state == "leased")
    changed = await unit.session.scalar(
        update(LabelPurchase)
        .where(LabelPurchase.id == label_id, LabelPurchase.state == "asked", ours.exists())
        .values(sent_at=at, updated_at=unit.now)
        .returning(LabelPurchase.id)
        .execution_options(synchronize_session=False)
    )
    return changed is not None
