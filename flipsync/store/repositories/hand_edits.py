"""Statements about what channels showed of listings, and about words that were written there by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.clock import utc_now
from flipsync.store.models import Listing, MarketplaceAccount
from flipsync.store.unit_of_work import UnitOfWork


async def lock(session: AsyncSession, listing_id: UUID) -> Listing | None:
    """The listing once nobody else can change it."""
    statement = select(Listing).where(Listing.id == listing_id).with_for_update()
    return (await session.scalars(statement.execution_options(populate_existing=True))).one_or_none()


async def vendor_of(session: AsyncSession, account_id: UUID) -> str | None:
    return await session.scalar(select(MarketplaceAccount.vendor).where(MarketplaceAccount.id == account_id))


async def set_shown(unit: UnitOfWork, listing_id: UUID, shown: dict[str, Any]) -> None:
    await unit.session.execute(update(Listing).where(Listing.id == listing_id).values(shown=shown))


async def set_shown_unless_changed(unit: UnitOfWork, rows: Sequence[tuple[UUID, int, dict[str, Any]]]) -> None:
    """For listings by (id, version, what was shown): nothing where the listing has another version by now."""
    if rows:
        table = Listing.__table__
        statement = (
            update(table)  # type: ignore[arg-type]
            .where(table.c.id == bindparam("row_id"), table.c.version == bindparam("row_version"))
            .values(shown=bindparam("row_shown", type_=table.c.shown.type))
        )
        values = [{"row_id": row_id, "row_version": version, "row_shown": shown} for row_id, version, shown in rows]
        await (await unit.session.connection()).execute(statement, values)


async def set_overrides(
    unit: UnitOfWork, listing_id: UUID, overrides: dict[str, Any], shown: dict[str, Any], title: str
) -> None:
    await unit.session.execute(
        update(Listing)
        .where(Listing.id == listing_id)
        .values(overrides=overrides, shown=shown, title=title, version=Listing.version + 1, updated_at=utc_now())
    )
