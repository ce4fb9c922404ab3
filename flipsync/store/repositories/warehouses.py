"""Statements about goods in channels' own warehouses."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import exists, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from flipsync.store.models import Allocation, Listing, MarketplaceAccount, StockItem
from flipsync.store.unit_of_work import UnitOfWork


async def is_first(session: AsyncSession, account_id: UUID) -> bool:
    """Whether no account of the same vendor was connected before this one."""
    this, other = MarketplaceAccount, aliased(MarketplaceAccount)
    earlier = exists().where(other.vendor == this.vendor, other.id < this.id)
    return (await session.scalar(select(this.id).where(this.id == account_id, ~earlier))) is not None


async def variants_by_sku(session: AsyncSession, account_id: UUID, skus: Collection[str]) -> dict[str, UUID]:
    """Of the account's listings that a person need not judge any more."""
    rows = await session.execute(
        select(Listing.sku, Listing.variant_id).where(
            Listing.account_id == account_id, Listing.sku.in_(list(skus)), Listing.status != "recognised"
        )
    )
    return {row[0]: row[1] for row in rows}


async def variants_of_listings(session: AsyncSession, listing_ids: Collection[UUID]) -> dict[UUID, UUID]:
    rows = await session.execute(select(Listing.id, Listing.variant_id).where(Listing.id.in_(list(listing_ids))))
    return {row[0]: row[1] for row in rows}


async def variants_in_pool(session: AsyncSession, pool: str) -> Sequence[UUID]:
    return (await session.scalars(select(StockItem.variant_id).where(StockItem.pool == pool))).all()


async def move(unit: UnitOfWork, listing_id: UUID, pool: str) -> bool:
    """Into another pool, with nothing of the last one. False where our own stock of the article is listed too."""
    listing, other = Listing, aliased(Listing)
    taken = exists().where(
        other.account_id == listing.account_id, other.variant_id == listing.variant_id, other.pool == "own"
    )
    statement = update(listing).where(listing.id == listing_id).values(pool=pool, version=listing.version + 1)
    if pool == "own":
        statement = statement.where(~taken)
    moved = await unit.session.execute(statement.returning(listing.id).execution_options(synchronize_session=False))
    if moved.scalar() is None:
        return False
    await unit.session.execute(update(Allocation).where(Allocation.listing_id == listing_id).values(target=0))
    return True
