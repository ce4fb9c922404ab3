"""Refunds' statements: what people asked for, and what of it channels have done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.store.models import Effect, MarketplaceAccount, Order, Refund, RefundRequest
from flipsync.store.repositories.effects import ClaimedEffect
from flipsync.store.unit_of_work import UnitOfWork

OPEN = ("asked", "unknown")


@dataclass(frozen=True)
class RefundedOrder:
    """An order as far as a refund needs it: `booked` are its refunds in the books, and since when they are there."""

    order: Order
    vendor: str
    booked: Mapping[str, datetime]
    given_minor: int


async def order_with_refunds(session: AsyncSession, order_id: UUID) -> RefundedOrder | None:
    """`given_minor` counts what is on its way too."""
    row = (
        await session.execute(
            select(Order, MarketplaceAccount.vendor)
            .join(MarketplaceAccount, MarketplaceAccount.id == Order.account_id)
            .where(Order.id == order_id)
        )
    ).one_or_none()
    if row is None:
        return None
    refunds = (
        await session.execute(
            select(Refund.external_id, Refund.amount_minor, Refund.created_at).where(Refund.order_id == order_id)
        )
    ).all()
    booked = {each.external_id: each.created_at for each in refunds}
    promised = await session.scalar(
        select(func.coalesce(func.sum(RefundRequest.amount_minor), 0)).where(
            RefundRequest.order_id == order_id,
            RefundRequest.state != "refused",
            or_(RefundRequest.external_id.is_(None), RefundRequest.external_id.not_in(list(booked))),
        )
    )
    return RefundedOrder(row[0], row[1], booked, sum(each.amount_minor for each in refunds) + int(promised or 0))


async def order_ids(session: AsyncSession, number: str) -> Sequence[UUID]:
    """Orders with this number, or this id on their channel."""
    found = await session.scalars(select(Order.id).where(or_(Order.number == number, Order.external_id == number)))
    return found.all()


async def get(session: AsyncSession, request_id: UUID) -> RefundRequest | None:
    return await session.get(RefundRequest, request_id, populate_existing=True)


async def lock(session: AsyncSession, request_id: UUID) -> RefundRequest | None:
    await session.flush()
    wanted = select(RefundRequest).where(RefundRequest.id == request_id).with_for_update()
    return (await session.scalars(wanted.execution_options(populate_existing=True))).one_or_none()


async def open_of(session: AsyncSession, order_id: UUID) -> RefundRequest | None:
    return (
        await session.scalars(
            select(RefundRequest).where(RefundRequest.order_id == order_id, RefundRequest.state.in_(OPEN))
        )
    ).one_or_none()


async def of_order(session: AsyncSession, order_id: UUID) -> Sequence[RefundRequest]:
    """Oldest first."""
    wanted = select(RefundRequest).where(RefundRequest.order_id == order_id).order_by(RefundRequest.id)
    return (await session.scalars(wanted)).all()


async def settle(
    unit: UnitOfWork, request_id: UUID, state: str, detail: str, *, external_id: str | None = None
) -> RefundRequest | None:
    """Close an open wish, or say that nobody can tell; None when it was closed before."""
    changed = await unit.session.scalar(
        update(RefundRequest)
        .where(RefundRequest.id == request_id, RefundRequest.state.in_(OPEN))
        .values(state=state, detail=detail[:1000], external_id=external_id, updated_at=unit.now)
        .returning(RefundRequest.id)
        .execution_options(synchronize_session=False)
    )
    return None if changed is None else await get(unit.session, request_id)


async def mark_sent(unit: UnitOfWork, request_id: UUID, effect: ClaimedEffect, at: datetime | None) -> bool:
    """Write down, before it happens, that the channel is asked. False when the effect is not ours any more."""
    ours = select(Effect.id).where(Effect.id == effect.id, Effect.epoch == effect.epoch, Effect.state == "leased")
    changed = await unit.session.scalar(
        update(RefundRequest)
        .where(RefundRequest.id == request_id, RefundRequest.state == "asked", ours.exists())
        .values(sent_at=at, updated_at=unit.now)
        .returning(RefundRequest.id)
        .execution_options(synchronize_session=False)
    )
    return changed is not None


async def note_answer(unit: UnitOfWork, request_id: UUID, effect: ClaimedEffect, external_id: str) -> None:
    """Keep the channel's id of a refund that it took and does not show yet."""
    ours = select(Effect.id).where(Effect.id == effect.id, Effect.epoch == effect.epoch, Effect.state == "leased")
    await unit.session.execute(
        update(RefundRequest)
        .where(RefundRequest.id == request_id, RefundRequest.state == "asked", ours.exists())
        .values(external_id=external_id, updated_at=unit.now)
        .execution_options(synchronize_session=False)
    )
