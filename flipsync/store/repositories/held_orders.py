"""Rows of orders that cannot be read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Row, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.channel import UnreadOrder
from flipsync.domain.ids import new_id
from flipsync.store.models import HeldOrder, MarketplaceAccount

#: of an account, so many are looked at in a pull
MOST_OPEN = 1_000

_NOTE = text(
    """
    INSERT INTO held_order AS h (id, tenant_id, account_id, key, external_id, mark, reason, told, looks, look_at,
                                 first_seen_at, last_seen_at, settled_at, outcome)
    VALUES (:id, :tenant_id, :account_id, :key, :external_id, :mark, :reason, :told, 0, :look_at, :now, :now, NULL, '')
    ON CONFLICT (account_id, key) DO UPDATE
       SET last_seen_at = excluded.last_seen_at, mark = excluded.mark, reason = excluded.reason, told = excluded.told,
           settled_at = CASE WHEN h.outcome = 'by-hand' THEN h.settled_at END,
           outcome = CASE WHEN h.outcome = 'by-hand' THEN h.outcome ELSE '' END,
           first_seen_at = CASE WHEN h.settled_at IS NULL THEN h.first_seen_at ELSE excluded.first_seen_at END
    """
)


async def open_of(session: AsyncSession, account_id: UUID) -> Sequence[HeldOrder]:
    """Those of an account that nobody has dealt with, the longest unasked first."""
    query = (
        select(HeldOrder)
        .where(HeldOrder.account_id == account_id, HeldOrder.settled_at.is_(None))
        .order_by(HeldOrder.look_at)
        .limit(MOST_OPEN)
    )
    return (await session.scalars(query)).all()


async def count_open(session: AsyncSession, account_id: UUID) -> int:
    query = (
        select(func.count())
        .select_from(HeldOrder)
        .where(HeldOrder.account_id == account_id, HeldOrder.settled_at.is_(None))
    )
    return await session.scalar(query) or 0


async def by_hand(session: AsyncSession, account_id: UUID, keys: Collection[str]) -> set[str]:
    """Those of them that a person has booked by hand."""
    query = select(HeldOrder.key).where(
        HeldOrder.account_id == account_id, HeldOrder.key.in_(sorted(keys)), HeldOrder.outcome == "by-hand"
    )
    return set(await session.scalars(query))


async def note(
    session: AsyncSession,
    tenant_id: UUID,
    account_id: UUID,
    found: Sequence[UnreadOrder],
    *,
    now: datetime,
    look_at: datetime,
) -> None:
    """Hold them, or keep holding them. One that a person has dealt with stays so."""
    for each in sorted(found, key=lambda each: each.key):
        values = {name: getattr(each, name) for name in ("key", "external_id", "mark", "reason", "told")}
        await session.execute(
            _NOTE,
            values | {"id": new_id(), "tenant_id": tenant_id, "account_id": account_id, "now": now, "look_at": look_at},
        )


async def settle(
    session: AsyncSession, account_id: UUID, keys: Collection[str], outcome: str, now: datetime
) -> Sequence[UUID]:
    """End the hold of those of them that are open; their ids."""
    statement = (
        update(HeldOrder)
        .where(HeldOrder.account_id == account_id, HeldOrder.key.in_(sorted(keys)), HeldOrder.settled_at.is_(None))
        .values(settled_at=now, outcome=outcome)
        .returning(HeldOrder.id)
        .execution_options(synchronize_session=False)
    )
    return (await session.scalars(statement)).all()


async def asked(session: AsyncSession, held_id: UUID, look_at: datetime, reason: str) -> None:
    """It was asked for by itself, in vain."""
    values: dict[str, object] = {"looks": HeldOrder.looks + 1, "look_at": look_at}
    if reason:
        values["reason"] = reason[:500]
    await session.execute(
        update(HeldOrder)
        .where(HeldOrder.id == held_id, HeldOrder.settled_at.is_(None))
        .values(**values)
        .execution_options(synchronize_session=False)
    )


async def every(
    session: AsyncSession, *, limit: int, after: UUID | None = None, account_id: UUID | None = None
) -> Sequence[Row[HeldOrder, MarketplaceAccount]]:
    """The tenant's that nobody has dealt with, newest first, each with its account."""
    query = (
        select(HeldOrder, MarketplaceAccount)
        .join(MarketplaceAccount, MarketplaceAccount.id == HeldOrder.account_id)
        .where(HeldOrder.settled_at.is_(None))
        .order_by(HeldOrder.id.desc())
        .limit(limit)
    )
    if after is not None:
        query = query.where(HeldOrder.id < after)
    if account_id is not None:
        query = query.where(HeldOrder.account_id == account_id)
    return (await session.execute(query)).all()


async def lock_open(session: AsyncSession, held_id: UUID) -> HeldOrder | None:
    query = select(HeldOrder).where(HeldOrder.id == held_id, HeldOrder.settled_at.is_(None)).with_for_update()
    return (await session.scalars(query)).one_or_none()
