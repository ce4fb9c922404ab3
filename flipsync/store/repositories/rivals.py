"""Rows of what rivals were seen to ask over time, and of alarms about them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from flipsync.domain.ids import new_id
from flipsync.store.models import Listing, PriceChange, RivalAlarm, RivalMove, Variant
from flipsync.store.sorting import Place, Sorts
from flipsync.store.unit_of_work import UnitOfWork

ALARM_SORTS = Sorts(RivalAlarm.id)
#: moves of one listing that are looked at, the newest
_MOST_MOVES = 2000


async def add_moves(unit: UnitOfWork, moves: Sequence[dict[str, Any]]) -> None:
    if moves:
        rows = [{"id": new_id(), "tenant_id": unit.tenant_id, **move} for move in moves]
        await unit.session.execute(insert(RivalMove), rows)


async def listing(session: AsyncSession, listing_id: UUID) -> Row[int | None, str, int | None, str] | None:
    """Our price, and what the goods cost, with their currencies; None for what is not on sale."""
    query = (
        select(Listing.price_minor, Listing.currency, Variant.cost_minor, Variant.currency.label("cost_currency"))
        .join(Variant, Variant.id == Listing.variant_id)
        .where(Listing.id == listing_id, Listing.status == "active", Listing.price_minor.is_not(None))
    )
    return (await session.execute(query)).first()


async def moves(session: AsyncSession, listing_id: UUID, currency: str) -> Sequence[RivalMove]:
    """Oldest first."""
    query = select(RivalMove).where(RivalMove.listing_id == listing_id, RivalMove.currency == currency)
    found = (await session.scalars(query.order_by(RivalMove.at.desc(), RivalMove.id.desc()).limit(_MOST_MOVES))).all()
    return found[::-1]


async def our_prices(session: AsyncSession, listing_id: UUID, since: datetime) -> Sequence[PriceChange]:
    """Oldest first."""
    query = select(PriceChange).where(PriceChange.listing_id == listing_id, PriceChange.at >= since)
    return (await session.scalars(query.order_by(PriceChange.at, PriceChange.id))).all()


async def alarms_since(session: AsyncSession, listing_id: UUID, since: datetime) -> set[str]:
    """Which alarms were raised about a listing."""
    query = select(RivalAlarm.alarm).where(RivalAlarm.listing_id == listing_id, RivalAlarm.raised_at >= since)
    return set(await session.scalars(query))


async def add_alarm(unit: UnitOfWork, listing_id: UUID, alarm: str, why: str, evidence: Sequence[UUID]) -> None:
    unit.session.add(
        RivalAlarm(
            tenant_id=unit.tenant_id,
            listing_id=listing_id,
            alarm=alarm,
            why=why,
            evidence=[str(each) for each in evidence],
            raised_at=unit.now,
        )
    )


async def forget_before(session: AsyncSession, moment: datetime) -> None:
    """Drop older moves but the newest of each rival: who is known stays known."""
    newer = aliased(RivalMove)
    later = select(newer.id).where(
        newer.listing_id == RivalMove.listing_id, newer.seller == RivalMove.seller, newer.at > RivalMove.at
    )
    old = delete(RivalMove).where(RivalMove.at < moment, later.exists())
    await session.execute(old.execution_options(synchronize_session=False))


async def alarms(session: AsyncSession, place: Place, *, listing_id: UUID | None, alarm: str | None) -> Sequence[Any]:
    """(alarm,) and what a cursor is made of."""
    query = select(RivalAlarm)
    if listing_id is not None:
        query = query.where(RivalAlarm.listing_id == listing_id)
    if alarm is not None:
        query = query.where(RivalAlarm.alarm == alarm)
    return (await session.execute(place.put(query))).all()
