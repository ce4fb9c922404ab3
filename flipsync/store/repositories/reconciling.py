"""Books that were put back from a backup: which accounts they have not caught up with, and what has to follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import exists, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.store.models import Allocation, Listing, MarketplaceAccount, Order
from flipsync.store.unit_of_work import UnitOfWork


async def awaits_reconciling(session: AsyncSession, account_id: UUID | None = None) -> bool:
    """Whether what an account of the tenant shows, or this one, was not taken over since its books were put back."""
    waiting = exists().where(
        MarketplaceAccount.restored_at.is_not(None),
        MarketplaceAccount.reconciled_at.is_(None),
        MarketplaceAccount.status != "disconnected",
        *([MarketplaceAccount.id == account_id] if account_id is not None else []),
    )
    return bool(await session.scalar(select(waiting)))


_HOLD = text("SELECT pg_advisory_xact_lock(hashtextextended('reconciling ' || CAST(:tenant_id AS text), 0))")


async def hold(unit: UnitOfWork) -> None:
    """One account of a business ends its catching up at a time, until the transaction ends: just one is the last."""
    await unit.session.execute(_HOLD, {"tenant_id": str(unit.tenant_id)})


async def mark_reconciled(session: AsyncSession, account_id: UUID, at: datetime) -> bool:
    """Whether it was still waited for."""
    marked = await session.scalars(
        update(MarketplaceAccount)
        .where(MarketplaceAccount.id == account_id, MarketplaceAccount.reconciled_at.is_(None))
        .values(reconciled_at=at)
        .returning(MarketplaceAccount.id)
    )
    return marked.one_or_none() is not None


async def unpublished_by_sku(session: AsyncSession, account_id: UUID) -> dict[str, UUID]:
    """Listings of the account of which the books know no id on the channel."""
    rows = await session.execute(
        select(Listing.sku, Listing.id).where(
            Listing.account_id == account_id, Listing.status == "requested", Listing.external_id.is_(None)
        )
    )
    return {row.sku: row.id for row in rows}


@dataclass(frozen=True)
class AwayFromTarget:
    """A live listing that is not where it should be. Units."""

    listing_id: UUID
    account_id: UUID
    vendor: str
    target: int
    shown: int | None


async def away_from_target(session: AsyncSession) -> Sequence[AwayFromTarget]:
    """Live listings of our own stock that show, or are entitled to, something else than intended."""
    rows = await session.execute(
        select(Listing.id, Listing.account_id, MarketplaceAccount.vendor, Allocation.target, Listing.quantity_shown)
        .join(Allocation, Allocation.listing_id == Listing.id)
        .join(MarketplaceAccount, MarketplaceAccount.id == Listing.account_id)
        .where(
            Listing.status == "active",
            Listing.pool == "own",
            or_(Listing.quantity_shown.is_distinct_from(Allocation.target), Allocation.entitled != Allocation.target),
        )
        .order_by(Listing.id)
    )
    return [AwayFromTarget(*row) for row in rows]


async def shipped_unbooked(session: AsyncSession, account_id: UUID) -> Sequence[UUID]:
    """Orders out of our own stock that the channel says are shipped, and we still have in the house."""
    return (
        await session.scalars(
            select(Order.id)
            .where(
                Order.account_id == account_id,
                Order.status == "shipped",
                Order.state.in_(("received", "reserved", "ready")),
                Order.pool == "own",
            )
            .order_by(Order.id)
        )
    ).all()
