"""What an agent asks before it has goods sent to a channel's own warehouse, worked out for all goods at once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.purchase_commands import OfferTransfers
from flipsync.services.buying_desk import FRESH, REFUSED, SAID_NO, net_of, terms_of
from flipsync.services.lead_times import LeadTime, lead_time
from flipsync.services.tenant_settings import TenantSettings, profile
from flipsync.store.repositories import forecast_runs
from flipsync.store.repositories import sending_reading as rows
from flipsync.store.repositories.sending_reading import Asked, SendRow

if TYPE_CHECKING:
    from flipsync.services.buying import Goods

#: days from planning a transfer until all of it is on sale there, as long as none has shown it: packing, a parcel of a
#: week, and a warehouse's counting. A choice of ours; it counts as much as `lead_times.PRIOR_ORDERS` transfers.
ASSUMED_DAYS, ASSUMED_SPREAD = 14.0, 5.0
#: a question about what runs out is asked again after so long, when the last has had its time
PRESSED = timedelta(days=3)
#: lines of one question to the owner
MOST_LINES = 200
#: lines that are told one by one
_SHOWN = 5


@dataclass(frozen=True)
class SendLine:
    """Units to send, and why so many. `service` is the chance that `level` covers what is asked for there until a later
    transfer could arrive; `short_without` and `short_with` are units asked for and not there by then, in both places.
    `scarce`: the shelf does not reach for the warehouse and its own sales."""

    variant_id: UUID
    stock_item_id: UUID
    sku: str
    units: int
    free: int
    there: int
    under_way: int
    weekly: float
    weekly_here: float
    level: float
    service: float
    short_without: float
    short_with: float
    margin_minor: float
    scarce: bool
    urgent: bool

    def words(self) -> str:
        coming = f" and {self.under_way} on their way" if self.under_way else ""
        tight = "; the shelf has too few for both, so each goes where it is likelier asked for" if self.scarce else ""
        sells = f"{self.weekly:.1f} a week sell there and {self.weekly_here:.1f} here"
        enough = f"{self.level:.0f} would do with a chance of {self.service:.0%}"
        return f"{self.units} of {self.free} × {self.sku} ({self.there} there{coming}; {sells}; {enough}{tight})"[:300]


@dataclass(frozen=True)
class WarehousePlan:
    """What to send to one account's warehouse; of `more` lines only the count is told."""

    account_id: UUID
    name: str
    lines: tuple[SendLine, ...]
    more: int
    lead: LeadTime

    def saved(self) -> float:
        """Units more that can be sold, in both places together."""
        return sum(line.short_without - line.short_with for line in self.lines)

    def missed(self, *, sent: bool) -> float:
        """The margin of what is asked for and not there, in minor units."""
        short = ((line.short_with if sent else line.short_without, line.margin_minor) for line in self.lines)
        return round(sum(units * margin for units, margin in short), 1)

    def words(self) -> str:
        told = "; ".join(line.words() for line in self.lines[:_SHOWN])
        rest = len(self.lines) - _SHOWN + self.more
        more = f"; {rest} more" if rest > 0 else ""
        shown = f"seen in {self.lead.orders} transfers" if self.lead.orders else "assumed, until some were seen"
        units = sum(line.units for line in self.lines)
        arrives = f"on sale there in about {self.lead.mean:.0f} days ({shown})"
        return f"send {units} units to the warehouse of {self.name}, {arrives}: {told}{more}"[:1500]


@dataclass(frozen=True)
class SendReview:
    """All warehouses looked at: those to send to now, and why others have to wait."""

    goods: int
    due: tuple[UUID, ...]
    names: tuple[str, ...]
    waiting: tuple[str, ...]


class TransferDesk:
    """Questions about channels' own warehouses, from one read-only transaction; worked out once for all of them."""

    def __init__(self, session: AsyncSession, tenant_id: UUID, now: datetime) -> None:
        self._session = session
        self._tenant_id = tenant_id
        self._now = now
        self._worked: tuple[list[WarehousePlan], dict[UUID, Asked], int] | None = None

    async def review(self, urgent: bool) -> SendReview:
        """Where to send something. `urgent`: only where something may run out before it would arrive."""
        plans, asked, goods = await self._work()
        settings = (await profile(self._session, self._tenant_id)).settings
        due, waiting = [], []
        for each in plans:
            why = _waits(each, asked[each.account_id], settings, self._now, urgent=urgent)
            if why:
                waiting.append(f"{each.name}: {why}")
            else:
                due.append(each)
        ids, names = tuple(each.account_id for each in due), tuple(each.name for each in due)
        return SendReview(goods, ids, names, tuple(waiting))

    async def plan(self, account_id: UUID) -> WarehousePlan | None:
        """What to send there now; None for nothing."""
        plans, _, _ = await self._work()
        return next((each for each in plans if each.account_id == account_id), None)

    async def _work(self) -> tuple[list[WarehousePlan], dict[UUID, Asked], int]:
        if self._worked is None:
            self._worked = await self._look()
        return self._worked

    async def _look(self) -> tuple[list[WarehousePlan], dict[UUID, Asked], int]:
        if not await rows.anything_there(self._session):
            return [], {}, 0
        run = await forecast_runs.latest(self._session)
        if run is None or self._now - run.origin > FRESH:
            return [], {}, 0
        # what keeping them costs is needed to say how many are worth it
        found = [row for row in await rows.goods(self._session, run.id, self._now) if row.cost_minor is not None]
        if not found:
            return [], {}, 0
        settings = (await profile(self._session, self._tenant_id)).settings
        accounts = sorted({row.account_id for row in found})
        asked = await rows.asked(self._session, accounts, OfferTransfers.type_name(), SAID_NO)
        shown = await rows.days(self._session, self._now)
        leads = {each: lead_time(ASSUMED_DAYS, ASSUMED_SPREAD, shown.get(each)) for each in accounts}
        names = {each: asked[each].name for each in accounts}
        plans = await asyncio.to_thread(planned, found, names, leads, settings)
        return plans, asked, len(found)


def planned(
    found: Sequence[SendRow], names: Mapping[UUID, str], leads: Mapping[UUID, LeadTime], settings: TenantSettings
) -> list[WarehousePlan]:
    """What to send to each account's warehouse, sorted by name; what saves most is named first."""
    import numpy as np  # not in every process

    from flipsync.services import buying, sending

    terms = terms_of(settings)
    order = sorted(names, key=lambda each: names[each])
    there, here = (_goods(found, order, leads, settings, shelf=shelf) for shelf in (False, True))
    told = sending.send(there, here, np.array([float(row.free) for row in found]), terms)
    low = buying.runs_low(there)
    lines: dict[UUID, list[SendLine]] = {}
    for at in map(int, np.flatnonzero(told.units > 0)):
        row = found[at]
        lines.setdefault(row.account_id, []).append(
            SendLine(
                variant_id=row.variant_id,
                stock_item_id=row.stock_item_id,
                sku=row.sku,
                units=int(told.units[at]),
                free=row.free,
                there=row.there,
                under_way=row.under_way,
                weekly=round(row.weekly, 3),
                weekly_here=round(row.weekly_here, 3),
                level=float(told.level[at]),
                service=round(float(told.service[at]), 4),
                short_without=round(float(told.short_without[at]), 3),
                short_with=round(float(told.short_with[at]), 3),
                margin_minor=round(float(there.margin[at]), 1),
                scarce=bool(told.scarce[at]),
                urgent=bool(low[at]),
            )
        )
    plans = []
    for each in order:
        worth = sorted(
            lines.get(each, ()), key=lambda line: -(line.short_without - line.short_with) * line.margin_minor
        )
        if worth:
            kept = tuple(worth[:MOST_LINES])
            plans.append(WarehousePlan(each, names[each], kept, len(worth) - len(kept), leads[each]))
    return plans


def _goods(
    found: Sequence[SendRow],
    order: Sequence[UUID],
    leads: Mapping[UUID, LeadTime],
    settings: TenantSettings,
    *,
    shelf: bool,
) -> Goods:
    """The rows as a rule looks at them, of our shelf or of the warehouses, whose places in `order` are suppliers'."""
    import numpy as np

    from flipsync.services.buying import goods_of

    place = {each: at for at, each in enumerate(order)}
    pricing, end = settings.pricing, "_here" if shelf else ""
    fee, fixed = pricing.marketplace_fee_bps, pricing.marketplace_fee_fixed_minor
    net = np.array([net_of(row, fee, fixed) for row in found])
    cost = np.array([float(row.cost_minor or 0) for row in found])
    weekly, variance = (np.array([getattr(row, name + end) for row in found]) for name in ("weekly", "variance"))
    return goods_of(
        weekly=weekly,
        variance=variance,
        weeks_on_shelf=np.array([row.weeks_here if shelf else row.weeks_on_shelf for row in found]),
        position=np.array([float(row.free if shelf else row.there + row.under_way) for row in found]),
        margin=net - pricing.shipping_cost_minor - cost,
        pack_units=np.ones(len(found)),
        pack_cost=cost,
        least_units=np.ones(len(found)),
        lead_days=np.array([leads[row.account_id].mean for row in found]),
        lead_spread=np.array([leads[row.account_id].spread for row in found]),
        supplier=np.array([place[row.account_id] for row in found], dtype=np.int64),
    )


def _waits(each: WarehousePlan, known: Asked, settings: TenantSettings, now: datetime, *, urgent: bool) -> str:
    """Why nothing is sent there now; empty when it is."""
    if known.refused_at is not None and now - known.refused_at < REFUSED:
        return f"you said no on {known.refused_at:%Y-%m-%d}, and are asked again a week later"
    pressing = any(line.urgent for line in each.lines)
    if urgent and not pressing:
        return "nothing there runs out before it would arrive"
    pause = PRESSED if pressing else timedelta(days=settings.purchasing.review_days)
    if known.asked_at is not None and now - known.asked_at < pause:
        return f"you were asked on {known.asked_at:%Y-%m-%d}"
    return ""
