"""Plans of a business: what an agent asks before it makes one, plans and targets kept, and compared with what came."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.clock import local_day
from flipsync.domain.errors import Conflict, NotFound
from flipsync.domain.steering_commands import AdoptPlan, ClosePlan, SetTarget
from flipsync.services.reading_page import Moment, Page, PageRequest, View, cut
from flipsync.services.tenant_settings import profile
from flipsync.store.models import Initiative, Plan
from flipsync.store.repositories import forecast_runs
from flipsync.store.repositories import plans as rows
from flipsync.store.repositories.plans import SeriesRow
from flipsync.store.unit_of_work import UnitOfWork

DAY, WEEK = timedelta(days=1), timedelta(weeks=1)
#: how long a plan runs, and how long after its end what came of it is known: channels tell late
LENGTH, SETTLED = 4 * WEEK, timedelta(days=1)
#: stock for so many weeks that has been there for so long is aged; a category of which that is half is to be cleared
_COVER, _THERE, _HALF, _MOST_SKUS = 26.0, 8.0, 0.5, 200
_LOOK_BACK = timedelta(weeks=12)


@dataclass(frozen=True)
class ChannelOutlook:
    """Turnover in minor units over a plan's time: `base` before, then expected and by quantile of what is drawn."""

    account_id: UUID
    currency: str
    series: int
    base: float
    expected: float
    quantiles: list[float]


@dataclass(frozen=True)
class AgedStock:
    """A category much of which has stood long and will: its aged SKUs, what they cost, and what of them may sell."""

    category: str
    skus: list[str]
    units: int
    tied_minor: int
    base: float
    expected: float
    quantiles: list[float]


@dataclass(frozen=True)
class Outlook:
    """`whole` is of all channels together where they sell in one currency; `sd`: how far off forecasts are."""

    origin: datetime
    series: int
    judged: int
    sd: float
    channels: list[ChannelOutlook]
    whole: ChannelOutlook | None
    aged: AgedStock | None


@dataclass(frozen=True)
class RunningPlan:
    starts_at: datetime
    ends_at: datetime
    targets: int


class StrategyDesk:
    """Questions about plans, from one read-only transaction."""

    def __init__(self, session: AsyncSession, tenant_id: UUID, now: datetime) -> None:
        self._session, self._tenant_id, self._now = session, tenant_id, now

    async def overdue(self) -> list[datetime]:
        """Plans that ended and whose figures are to be told, by their beginning."""
        return list(await rows.overdue(self._session, self._now - SETTLED))

    async def running(self) -> RunningPlan | None:
        plan = await rows.running(self._session, self._now)
        if plan is None:
            return None
        return RunningPlan(plan.starts_at, plan.ends_at, len(await rows.initiatives(self._session, [plan.id])))

    async def planned(self) -> bool:
        """Whether there ever was a plan."""
        return bool(await rows.page(self._session, limit=1, after=None))

    async def outlook(self) -> Outlook | None:
        """The weeks to come, drawn from the newest forecasts; None where there are none of goods on sale."""
        run = await forecast_runs.latest(self._session)
        if run is None:
            return None
        found = await rows.series(self._session, run.id, self._now - _LOOK_BACK)
        if not found:
            return None
        whole = await rows.as_a_whole(self._session, self._now - 2 * _LOOK_BACK, self._now)
        zone = (await profile(self._session, self._tenant_id)).settings.time_zone
        today = local_day(self._now, zone)
        before = await rows.by_channel(self._session, today - LENGTH, today)
        base = {(each.account_id, each.currency): each.goods for each in before}
        aged = _aged(found)
        sold = 0.0 if aged is None else await rows.units_of(self._session, today - LENGTH, today, aged[1])
        # the same books on the same day are drawn alike
        seed = (self._tenant_id.int ^ today.toordinal()) % 2**63
        return await asyncio.to_thread(_drawn, run.origin, found, whole, base, aged, sold, seed)


def _aged(found: Sequence[SeriesRow]) -> tuple[str, list[str], int, int] | None:
    """The category with most money in aged stock, its aged SKUs, their units and cost; None where little is aged."""
    weekly: defaultdict[UUID, float] = defaultdict(float)
    of: dict[UUID, SeriesRow] = {}
    skus: defaultdict[UUID, set[str]] = defaultdict(set)
    for row in found:
        weekly[row.stock_item_id] += row.weekly
        of[row.stock_item_id] = row
        skus[row.stock_item_id].add(row.sku)
    units: defaultdict[str, int] = defaultdict(int)
    old: defaultdict[str, list[UUID]] = defaultdict(list)
    for item, row in of.items():
        if row.category:
            units[row.category] += row.available
            if row.available >= 2 and row.weeks_on_shelf >= _THERE and row.available > _COVER * weekly[item]:
                old[row.category].append(item)
    best: tuple[int, str] | None = None
    for category, items in sorted(old.items()):
        there = sum(of[item].available for item in items)
        tied = sum(of[item].available * (of[item].cost_minor or 0) for item in items)
        if there >= _HALF * units[category] and tied > (best[0] if best else 0):
            best = (tied, category)
    if best is None:
        return None
    items = sorted(old[best[1]], key=lambda item: -of[item].available * (of[item].cost_minor or 0))[:_MOST_SKUS]
    tied = sum(of[item].available * (of[item].cost_minor or 0) for item in items)
    named = sorted({sku for item in items for sku in skus[item]})
    return best[1], named, sum(of[item].available for item in items), tied


def _drawn(
    origin: datetime,
    found: Sequence[SeriesRow],
    whole: Sequence[tuple[float, float, float]],
    base: Mapping[tuple[UUID, str], float],
    aged: tuple[str, list[str], int, int] | None,
    aged_sold: float,
    seed: int,
) -> Outlook:
    import numpy as np

    from flipsync.services import outlook as o

    places = {key: at for at, key in enumerate(dict.fromkeys((row.account_id, row.currency) for row in found))}
    items = {key: at for at, key in enumerate(dict.fromkeys(row.stock_item_id for row in found))}
    available = np.full(len(items), np.inf)
    for row in found:
        if not row.restocked:
            available[items[row.stock_item_id]] = row.available
    old = set(aged[1]) if aged is not None else set()
    series = o.Series(
        item=np.array([items[row.stock_item_id] for row in found], dtype=np.int64),
        channel=np.array([places[row.account_id, row.currency] for row in found], dtype=np.int64),
        weekly=np.array([_path(row) for row in found], dtype=np.float64),
        low=np.array([row.low for row in found], dtype=np.float64),
        high=np.array([row.high for row in found], dtype=np.float64),
        price=np.array([row.price_minor for row in found], dtype=np.float64),
        available=available,
        aged=np.array([row.sku in old for row in found], dtype=np.bool_),
    )
    off = o.off_by(whole)
    drawn = o.draw(series, off, len(places), seed)
    count = np.bincount(series.channel, minlength=len(places))

    def told(account_id: UUID, currency: str, number: int, before: float, values: Any) -> ChannelOutlook:
        return ChannelOutlook(
            account_id, currency, number, round(before, 2), round(float(values.mean()), 2), o.quantiles(values)
        )

    channels = [
        told(account_id, currency, int(count[at]), base.get((account_id, currency), 0.0), drawn.goods[at])
        for (account_id, currency), at in places.items()
    ]
    together = None
    if len({currency for _, currency in places}) == 1 and len(places) > 1:
        first = channels[0]
        before = sum(each.base for each in channels)
        together = told(first.account_id, first.currency, len(found), before, drawn.goods.sum(axis=0))
    stock = None
    if aged is not None:
        category, skus, units, tied = aged
        sold = [round(aged_sold, 2), round(float(drawn.aged.mean()), 2)]
        stock = AgedStock(category, skus, units, tied, sold[0], sold[1], o.quantiles(drawn.aged))
    return Outlook(origin, len(found), len(whole), round(off.sd, 4), channels, together, stock)


def _path(row: SeriesRow) -> list[float]:
    """Week by week as far as a plan looks."""
    weeks = LENGTH // WEEK
    path = (row.path or [])[:weeks]
    return [*path, *[row.weekly] * (weeks - len(path))]


async def adopt(unit: UnitOfWork, command: AdoptPlan) -> None:
    """Raises Conflict where a plan begins at that very moment."""
    if await rows.starting(unit.session, command.starts_at) is not None:
        raise Conflict("a plan begins at that moment already")
    await rows.replace(
        unit,
        **command.model_dump(include={"starts_at", "ends_at", "goals", "why", "forecast_origin"}),
        decision_id=unit.cause.causation_id,
    )


async def set_target(unit: UnitOfWork, command: SetTarget) -> None:
    """A target of the plan that the same decision adopts. Raises Conflict without one."""
    plan = await rows.starting(unit.session, command.plan_starts_at)
    if plan is None or plan.decision_id != unit.cause.causation_id:
        raise Conflict("the plan it belongs to was not adopted")
    columns = command.model_dump(exclude={"tenant_id", "plan_starts_at", "skus", "quantiles"})
    await rows.add_initiative(
        unit, plan_id=plan.id, **columns, skus=list(command.skus), quantiles=list(command.quantiles)
    )


async def close(unit: UnitOfWork, command: ClosePlan) -> None:
    """Tell what each figure of a plan came to. Raises NotFound, and Conflict before its time."""
    plan = await rows.starting(unit.session, command.plan_starts_at)
    if plan is None:
        raise NotFound("there is no such plan")
    if unit.now < plan.ends_at + SETTLED:
        raise Conflict("the plan's time is not over")
    initiatives = [row for row, _ in await rows.initiatives(unit.session, [plan.id]) if row.reached_at is None]
    for row, reached in zip(initiatives, await _figures(unit.session, plan, initiatives, unit.now), strict=True):
        row.reached, row.reached_at = reached, unit.now
    await unit.session.flush()


def _days(plan: Plan, now: datetime, zone: str) -> tuple[date, date]:
    """The whole days of the owner's a plan runs, as far as they have come."""
    until = min(plan.ends_at, now)
    return local_day(plan.starts_at + DAY, zone), local_day(until + DAY, zone)


async def _figures(session: AsyncSession, plan: Plan, initiatives: Sequence[Initiative], now: datetime) -> list[float]:
    """What each figure came to by now."""
    first, until = _days(plan, now, (await profile(session, plan.tenant_id)).settings.time_zone)
    sums = await rows.by_channel(session, first, until)
    found = []
    for row in initiatives:
        if row.figure == "aged-units":
            found.append(await rows.units_of(session, first, until, row.skus))
        else:
            mine = [
                each for each in sums if row.account_id in (None, each.account_id) and each.currency == row.currency
            ]
            found.append(sum(each.goods if row.figure == "goods" else each.units for each in mine))
    return found


class InitiativeView(View):
    """A target, how likely it was when it was set, and what the figure is so far; `figure` goods: minor units.

    `expected_so_far` is what the plan expected by now; `reached` is told a day after the plan's end.
    """

    title: str
    owner: str
    figure: str
    account_id: UUID | None
    account: str | None
    currency: str | None
    base: float
    expected: float
    target: float
    probability: float
    so_far: float
    expected_so_far: float
    reached: float | None
    met: bool | None


class PlanView(View):
    """A plan and what came of it. Times are business time; `replaced_at`: another one took its place."""

    id: UUID
    starts_at: Moment
    ends_at: Moment
    goals: str
    why: str
    forecast_origin: Moment
    replaced_at: Moment | None
    decision_id: UUID | None
    initiatives: list[InitiativeView]


async def list_plans(session: AsyncSession, request: PageRequest, now: datetime) -> Page[PlanView]:
    """Newest first, with what is reached by now."""
    found = await rows.page(session, limit=request.limit + 1, after=request.after_id())
    by_plan: defaultdict[UUID, list[tuple[Initiative, str | None]]] = defaultdict(list)
    for row, name in await rows.initiatives(session, [plan.id for plan in found[: request.limit]]):
        by_plan[row.plan_id].append((row, name))
    told: dict[UUID, list[InitiativeView]] = {}
    for plan in found[: request.limit]:
        of = by_plan[plan.id]
        open_ = [row for row, _ in of if row.reached is None]
        figures = await _figures(session, plan, open_, now) if open_ else []
        so_far = {row.id: figure for row, figure in zip(open_, figures, strict=True)}
        told[plan.id] = [_initiative(plan, row, name, so_far.get(row.id), now) for row, name in of]
    return cut(found, request.limit, lambda plan: _plan(plan, told[plan.id]), lambda plan: [str(plan.id)])


def _plan(plan: Plan, initiatives: list[InitiativeView]) -> PlanView:
    columns = ("id", "starts_at", "ends_at", "goals", "why", "forecast_origin", "replaced_at", "decision_id")
    return PlanView(**{name: getattr(plan, name) for name in columns}, initiatives=initiatives)


def _initiative(plan: Plan, row: Initiative, name: str | None, so_far: float | None, now: datetime) -> InitiativeView:
    columns = ("title", "owner", "figure", "account_id", "currency", "base", "expected", "target", "probability")
    gone = min(max((now - plan.starts_at) / (plan.ends_at - plan.starts_at), 0.0), 1.0)
    return InitiativeView(
        **{column: getattr(row, column) for column in columns},
        account=name,
        so_far=round(row.reached if row.reached is not None else so_far or 0.0, 2),
        expected_so_far=round(row.expected * gone, 2),
        reached=row.reached,
        met=None if row.reached is None else row.reached >= row.target,
    )
