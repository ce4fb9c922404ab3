"""How fast each account is: measured from our own books every hour, read for every decision on pooled stock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.services.channel_delay import BELIEVED_SHOWN, BELIEVED_TOLD, Goods, Seller, points_of
from flipsync.store.repositories import channel_pace as rows
from flipsync.store.repositories import listings as listing_rows
from flipsync.store.unit_of_work import UnitOfWork

_WINDOW = timedelta(days=30)
_DAY = 86_400.0
#: what is believed of goods before any were sold: a sale in sixty days on average, most far less, some far more
BELIEVED_SHAPE, BELIEVED_SECONDS = 0.25, 0.25 * 60 * _DAY
_BELIEVED = Goods.gamma(BELIEVED_SHAPE, BELIEVED_SECONDS)


#: how alike goods sell on a channel: a listing's own sales count beside so many that go by the channel's weight
_ALIKE = 6.0


@dataclass(frozen=True)
class Pace:
    """One account's; `sales` are those its delays were measured on. `goods` are all goods of the tenant."""

    told: tuple[float, ...] = BELIEVED_TOLD
    shown: tuple[float, ...] = BELIEVED_SHOWN
    weight: float = 1.0
    goods: Goods = _BELIEVED
    sales: int = 0


def racing(
    paces: Sequence[Pace], sold: Sequence[float], on_show: Sequence[float], window_days: int
) -> tuple[Goods, list[Seller]]:
    """Goods with one listing at each pace, and what each sold in how many seconds. No listing counts with more than a
    window full of its own time."""
    window = window_days * _DAY
    part = [min(1.0, window / time) if time > 0 else 1.0 for time in on_show]
    units = [count * share for count, share in zip(sold, part, strict=True)]
    times = [time * share for time, share in zip(on_show, part, strict=True)]
    exposure = sum(pace.weight * time for pace, time in zip(paces, times, strict=True))
    known = max(paces, key=lambda pace: pace.sales)  # an account that is new has not been measured yet
    goods = known.goods.after(sum(units), exposure) if exposure or any(units) else known.goods
    alike = _ALIKE * len(paces) / sum(pace.weight for pace in paces)
    sellers = [
        Seller(
            pace.weight * (_ALIKE + count) / (_ALIKE + goods.rate * pace.weight * time),
            pace.told,
            pace.shown,
            alike * pace.weight + count,
        )
        for pace, count, time in zip(paces, units, times, strict=True)
    ]
    return goods, sellers


def never_told(seller: Seller) -> Seller:
    """A channel that cannot be written to now: what others sold it shows for a day more, for all we know."""
    return replace(seller, shown=(_DAY,) * len(seller.shown))


async def measure(unit: UnitOfWork) -> None:
    """Measure every account that is in use, and what goods sell on them."""
    from flipsync.services.demand import fit_demand  # brings numpy: not for every process

    accounts = [each.id for each in await listing_rows.accounts(unit.session) if each.status != "disconnected"]
    place = {account_id: number for number, account_id in enumerate(accounts)}
    listings = [row for row in await rows.selling(unit.session) if row[1] in place]
    items = {item: number for number, item in enumerate(dict.fromkeys(row[0] for row in listings))}
    demand = fit_demand(
        [items[row[0]] for row in listings],
        [place[row[1]] for row in listings],
        [row[2] for row in listings],
        [row[3] for row in listings],
        shape=BELIEVED_SHAPE,
        mean=BELIEVED_SHAPE / BELIEVED_SECONDS,
        count=len(accounts),
    )
    for account_id in accounts:
        told, shown = await rows.delays(unit, account_id, unit.now - _WINDOW)
        await rows.keep(
            unit,
            account_id,
            told=(len(told), points_of(told, BELIEVED_TOLD)),
            shown=(len(shown), points_of(shown, BELIEVED_SHOWN)),
            weight=demand.weights[place[account_id]],
            demand=demand.goods.parts,
        )


async def paces(session: AsyncSession) -> dict[UUID, Pace]:
    """What was measured last, by account."""
    return {
        row.account_id: Pace(
            tuple(row.told_seconds),
            tuple(row.shown_seconds),
            row.demand_weight,
            Goods(tuple(zip(row.demand_shares, row.demand_shapes, row.demand_seconds, strict=True))),
            min(row.told_sales, row.shown_sales),
        )
        for row in await rows.all_of_tenant(session)
    }
