"""What the price firewall's global brakes count: moves signed within the hour, over all processes, without races.

Whoever judges a price holds the tenant's lock until its transaction ends, so that two never count the same room. The
size of the catalogue is read without it: it changes slowly.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.money import Money
from flipsync.store.models import Allocation, Listing, SignedMove
from flipsync.store.unit_of_work import UnitOfWork

HOUR = timedelta(hours=1)
#: a lock of its own kind: the first key of PostgreSQL's two-key advisory locks
_LOCK_KIND = 0x70726963


@dataclass(frozen=True)
class CatalogueSize:
    """Listings on sale in one currency, and their prices times units on offer (one unit where none is)."""

    listings: int
    value_minor: int


@dataclass(frozen=True)
class HourOfMoves:
    """Moves signed within the hour in one currency: listings other than the one asked about, and risk of all."""

    size: CatalogueSize
    others_moved: int
    at_risk_minor: int


async def hold(session: AsyncSession, tenant_id: UUID) -> None:
    """Wait for our turn to judge prices of this tenant; given back when the transaction ends."""
    key = int.from_bytes(tenant_id.bytes[-4:], "big", signed=True)
    await session.execute(text("SELECT pg_advisory_xact_lock(:kind, :key)"), {"kind": _LOCK_KIND, "key": key})


async def catalogue_size(session: AsyncSession, currency: str) -> CatalogueSize:
    units = func.greatest(func.coalesce(Allocation.entitled, 0), 1)
    row = (
        await session.execute(
            select(func.count(), func.coalesce(func.sum(Listing.price_minor * units), 0))
            .select_from(Listing)
            .outerjoin(Allocation, Allocation.listing_id == Listing.id)
            .where(Listing.status == "active", Listing.currency == currency, Listing.price_minor.is_not(None))
        )
    ).one()
    return CatalogueSize(row[0], int(row[1] or 0))


async def hour_of_moves(
    session: AsyncSession, listing_id: UUID, currency: str, now: datetime, size: CatalogueSize
) -> HourOfMoves:
    moves = SignedMove
    row = (
        await session.execute(
            select(
                func.count(moves.listing_id.distinct()).filter(moves.listing_id != listing_id),
                func.coalesce(func.sum(moves.risk_minor), 0),
            ).where(moves.currency == currency, moves.at > now - HOUR)
        )
    ).one()
    return HourOfMoves(size, int(row[0]), int(row[1]))


async def record(
    unit: UnitOfWork, listing_id: UUID, current: Money, to: Money, units: int, sha256: str, at: datetime
) -> None:
    """Count a move that was signed. Refused and asked-about ones do not count."""
    unit.session.add(
        SignedMove(
            tenant_id=unit.tenant_id,
            listing_id=listing_id,
            currency=to.currency,
            from_minor=current.amount_minor,
            to_minor=to.amount_minor,
            risk_minor=abs(to.amount_minor - current.amount_minor) * units,
            certificate_sha256=sha256,
            at=at,
        )
    )
    await unit.session.flush()
