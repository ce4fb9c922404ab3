"""How fast each account is: measured from our own books every hour, read for every decision on pooled stock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.services.channel_delay import BELIEVED_SHOWN, BELIEVED_TOLD, Seller, points_of
from flipsync.store.repositories import channel_pace as rows
from flipsync.store.repositories import listings as listing_rows
from flipsync.store.unit_of_work import UnitOfWork

_WINDOW = timedelta(days=30)
_DAY = 86_400.0
#: what is believed of goods before any were sold: a sale in sixty days on average, most far less, some far more
BELIEVED_SHAPE, BELIEVED_SECONDS = 0.25, 0.25 * 60 * _DAY


@dataclass(frozen=True)
class Pace:
    """One account's; `sales` are those its delays were measured on."""

    told: tuple[float, ...] = BELIEVED_TOLD
    shown: tuple[float, ...] = BELIEVED_SHOWN
    shape: float = BELIEVED_SHAPE
    seconds: float = BELIEVED_SECONDS
    sales: int = 0

    def seller(self, sold: int, on_show: float, window_days: int) -> Seller:
        """A listing that sold so many units in so many seconds on show; no more counts than a window full of them."""
        part = min(1.0, window_days * _DAY / on_show) if on_show > 0 else 1.0
        return Seller(self.shape + sold * part, self.seconds + on_show * part, self.told, self.shown)


async def measure(unit: UnitOfWork) -> None:
    """Measure every account that is in use."""
    from flipsync.services.oversell import fit_demand  # brings numpy: not for every process

    for account in await listing_rows.accounts(unit.session):
        if account.status == "disconnected":
            continue
        found = await rows.measured(unit, account.id, unit.now - _WINDOW)
        shape, seconds = BELIEVED_SHAPE, BELIEVED_SECONDS
        if found.selling:
            sold, times = zip(*found.selling, strict=True)
            shape, seconds = fit_demand(sold, times, shape=BELIEVED_SHAPE, mean=BELIEVED_SHAPE / BELIEVED_SECONDS)
        await rows.keep(
            unit,
            account.id,
            told_sales=len(found.told),
            told_seconds=list(points_of(found.told, BELIEVED_TOLD)),
            shown_sales=len(found.shown),
            shown_seconds=list(points_of(found.shown, BELIEVED_SHOWN)),
            listings=len(found.selling),
            demand_shape=shape,
            demand_seconds=seconds,
        )


async def paces(session: AsyncSession) -> dict[UUID, Pace]:
    """What was measured last, by account."""
    return {
        row.account_id: Pace(
            tuple(row.told_seconds),
            tuple(row.shown_seconds),
            row.demand_shape,
            row.demand_seconds,
            min(row.told_sales, row.shown_sales),
        )
        for row in await rows.all_of_tenant(session)
    }
