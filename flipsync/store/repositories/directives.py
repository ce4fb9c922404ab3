"""Rows of directives."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, and_, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.directives import Terms
from flipsync.domain.ids import new_id
from flipsync.store.models import DirectiveRow, MarketplaceAccount, Tenant
from flipsync.store.unit_of_work import UnitOfWork

_COLUMNS = ("id", "kind", "account_id", "category", "patience_days", "limit_minor", "reason", "starts_at", "ends_at")
#: those nobody ended, as a column of the tenant's row: read with the settings, not by a statement of their own
IN_FORCE = (
    select(
        func.jsonb_agg(
            func.jsonb_build_object(*(part for name in _COLUMNS for part in (name, getattr(DirectiveRow, name))))
        )
    )
    .where(DirectiveRow.tenant_id == Tenant.id, DirectiveRow.ended_at.is_(None))
    .correlate(Tenant)
    .scalar_subquery()
)


async def add(
    unit: UnitOfWork, terms: Terms, *, reason: str, ends_at: datetime, decision_id: UUID | None, given_by: UUID | None
) -> UUID:
    directive_id = new_id()
    unit.session.add(
        DirectiveRow(
            id=directive_id,
            tenant_id=unit.tenant_id,
            **terms.model_dump(),
            reason=reason,
            starts_at=unit.now,
            ends_at=ends_at,
            decision_id=decision_id,
            given_by=given_by,
        )
    )
    await unit.session.flush()
    return directive_id


async def hold(session: AsyncSession, tenant_id: UUID) -> None:
    """Who gives or ends directives of a business at once waits for the other."""
    key = func.hashtextextended(f"directives:{tenant_id}", 0)
    await session.execute(select(func.pg_advisory_xact_lock(key)))


async def count_open(session: AsyncSession) -> int:
    query = select(func.count()).select_from(DirectiveRow).where(DirectiveRow.ended_at.is_(None))
    return (await session.execute(query)).scalar_one()


async def end_alike(session: AsyncSession, terms: Terms, now: datetime, why: str) -> Sequence[UUID]:
    """End those about the same; their ids."""
    alike = and_(
        DirectiveRow.ended_at.is_(None),
        DirectiveRow.kind == terms.kind,
        DirectiveRow.account_id.is_not_distinct_from(terms.account_id),
        DirectiveRow.category.is_not_distinct_from(terms.category),
    )
    return await _end(session, alike, now, why)


async def end(session: AsyncSession, directive_id: UUID, now: datetime, why: str) -> bool:
    """False where it is over already, or there is none."""
    return bool(await _end(session, and_(DirectiveRow.ended_at.is_(None), DirectiveRow.id == directive_id), now, why))


async def end_overdue(session: AsyncSession, now: datetime, why: str) -> Sequence[UUID]:
    """Their time is over; their ids."""
    return await _end(session, and_(DirectiveRow.ended_at.is_(None), DirectiveRow.ends_at <= now), now, why)


async def _end(session: AsyncSession, which: Any, now: datetime, why: str) -> Sequence[UUID]:
    ended = await session.execute(
        update(DirectiveRow)
        .where(which)
        .values(ended_at=now, ended_why=why)
        .returning(DirectiveRow.id)
        .execution_options(synchronize_session=False)
    )
    return ended.scalars().all()


async def get(session: AsyncSession, directive_id: UUID) -> Row[DirectiveRow, str | None] | None:
    return (await session.execute(_named().where(DirectiveRow.id == directive_id))).one_or_none()


async def page(
    session: AsyncSession, *, limit: int, after: UUID | None, now: datetime | None
) -> Sequence[Row[DirectiveRow, str | None]]:
    """Newest first, with the account's name; with `now` those that bind at that moment."""
    query = _named().order_by(DirectiveRow.id.desc()).limit(limit)
    if after is not None:
        query = query.where(DirectiveRow.id < after)
    if now is not None:
        query = query.where(DirectiveRow.ended_at.is_(None), DirectiveRow.ends_at > now)
    return (await session.execute(query)).all()


async def account_exists(session: AsyncSession, account_id: UUID) -> bool:
    connected = and_(MarketplaceAccount.id == account_id, or_(MarketplaceAccount.status != "disconnected"))
    return (await session.execute(select(MarketplaceAccount.id).where(connected))).scalar() is not None


def _named() -> Any:
    return select(DirectiveRow, MarketplaceAccount.name).outerjoin(
        MarketplaceAccount, MarketplaceAccount.id == DirectiveRow.account_id
    )
