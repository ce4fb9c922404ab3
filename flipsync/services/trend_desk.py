"""What an agent asks about trends, from the books; and trends, kept."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.commands import NoteTrend, TrendKind
from flipsync.store.repositories import forecasting
from flipsync.store.repositories import trends as rows
from flipsync.store.unit_of_work import UnitOfWork

if TYPE_CHECKING:
    from flipsync.services.forecasts import History

#: how long trends are kept, and what is the same one when it is found again
KEPT, _SAME = timedelta(weeks=52), timedelta(weeks=4)
WEEK = timedelta(weeks=1)
#: told at one time, the surest
MOST = 50
_FEWEST_WEEKS = 8


@dataclass(frozen=True)
class Finding:
    """A trend of goods (all channels together) or of a category. `q`: the share of false alarms if all as sure were
    told; `ratio` is the new rate over the old, of a season its best week over its worst."""

    kind: TrendKind
    label: str
    stock_item_id: UUID | None
    category: str | None
    since: datetime
    ratio: float
    q: float
    why: str
    evidence: dict[str, float]


@dataclass(frozen=True)
class TrendReview:
    """What is new, the surest first; how many were found and are not in it, and how many were told before."""

    goods: int
    categories: int
    weeks: int
    found: list[Finding]
    more: int
    known: int


class TrendDesk:
    """Questions about trends, from one read-only transaction."""

    def __init__(self, session: AsyncSession, now: datetime) -> None:
        self._session = session
        self._now = now

    async def review(self) -> TrendReview:
        begun = await forecasting.first_moved(self._session)
        oldest = min(begun.values(), default=self._now)
        if self._now - oldest < _FEWEST_WEEKS * WEEK:
            return TrendReview(0, 0, int((self._now - oldest) / WEEK), [], 0, 0)
        from flipsync.services.forecasts import read_history  # numpy: not in every process

        known, history = await read_history(self._session, self._now)
        goods = {row.stock_item_id: row.sku for row in known if row.active}
        of = await rows.categories(self._session)
        place = [row.stock_item_id for row in known]
        found, categories = await asyncio.to_thread(findings, history, place, goods, of, self._now)
        told = await rows.told_since(self._session, self._now - KEPT)
        new = [each for each in found if not any(_same(each, *row) for row in told)]
        weeks = history.sold.shape[1]
        return TrendReview(len(goods), categories, weeks, new[:MOST], len(new[MOST:]), len(found) - len(new))


def _same(found: Finding, kind: str, stock_item_id: UUID | None, category: str | None, since: datetime) -> bool:
    subject = (found.kind, found.stock_item_id, found.category) == (kind, stock_item_id, category)
    return subject and (found.kind == "season" or abs(found.since - since) <= _SAME)


def findings(
    history: History, place: Sequence[UUID], goods: Mapping[UUID, str], of: Mapping[UUID, str], now: datetime
) -> tuple[list[Finding], int]:
    """All there is to tell, the surest first, and how many categories were looked at. `place`: whose each series is."""
    import numpy as np

    from flipsync.services import trends as t

    items = list(goods)
    index = {item: at for at, item in enumerate(items)}
    weeks = history.sold.shape[1]
    sold, open_ = np.zeros((len(items), weeks)), np.zeros((len(items), weeks))
    for series, item in enumerate(place):
        if item in index:
            sold[index[item]] += history.sold[series]
            open_[index[item]] = np.maximum(open_[index[item]], history.open[series])
    names = sorted({of[item] for item in items if item in of})
    place_of = {name: at for at, name in enumerate(names)}
    grouped = np.array([at for item, at in index.items() if item in of], dtype=np.int64)
    group = np.array([place_of[of[item]] for item in items if item in of], dtype=np.int64)
    rate = (sold.sum(axis=1) + 0.5) / np.maximum(open_.sum(axis=1), 1.0)
    total, time, weight = np.zeros((len(names), weeks)), np.zeros((len(names), weeks)), np.zeros(len(names))
    np.add.at(total, group, sold[grouped])
    np.add.at(time, group, rate[grouped, None] * open_[grouped])
    np.add.at(weight, group, rate[grouped])
    time /= np.maximum(weight, 1e-9)[:, None]
    season = t.seasons(total, time)
    found: list[Finding] = []
    subjects: list[tuple[str, UUID | None, str | None]] = [(f"category {name}"[:100], None, name) for name in names]
    for at in map(int, np.flatnonzero(season.q < 1)):
        factor = season.factor[at, -52:]
        best = now - (len(factor) - int(factor.argmax())) * WEEK
        swing = float(factor.max() / factor.min())
        why = f"{subjects[at][0]} sells {swing:.1f} times as much around {best:%B} as at its lowest"
        figures = {"weeks": float(weeks), "best_week": float(factor.max()), "worst_week": float(factor.min())}
        found.append(Finding("season", *subjects[at], best, swing, float(season.q[at]), why, figures))
    mine = np.ones((len(items), weeks))
    mine[grouped] = season.factor[group]
    of_goods: list[tuple[str, UUID | None, str | None]] = [(goods[item][:100], item, None) for item in items]
    window = min(weeks, t.WINDOW)
    for who, units, span in ((of_goods, sold, open_ * mine), (subjects, total, time * season.factor)):
        y, e = units[:, -window:], span[:, -window:]
        if not len(y):
            continue
        changed = t.changes(y, e)
        told = (changed.q <= t.FALSE) & (changed.week >= window - t.RECENT)
        for at in map(int, np.flatnonzero(told)):
            ratio = float(changed.ratio[at])
            since = now - (window - int(changed.week[at])) * WEEK
            before, after = changed.before[at], changed.after[at]
            spans = changed.time_before[at], changed.time_after[at]
            why = (
                f"{who[at][0]}: {after / max(spans[1], 0.5):.1f} units a week since {since:%Y-%m-%d}, "
                f"{before / max(spans[0], 0.5):.1f} before"
            )
            names_of = ("units_before", "weeks_before", "units_after", "weeks_after")
            figures = dict(
                zip(names_of, (round(float(each), 2) for each in (before, spans[0], after, spans[1])), strict=True)
            )
            kind: TrendKind = "rising" if ratio > 1 else "falling"
            found.append(Finding(kind, *who[at], since, round(ratio, 3), float(changed.q[at]), why, figures))
        ratios, q = t.out_of_line(y, e, np.where(told, changed.week, 0))
        for at in map(int, np.flatnonzero(t.is_spike(ratios, q))):
            ratio, units_now = float(ratios[at]), float(y[at, -1])
            usual = units_now / ratio if units_now else 0.5 / ratio - 0.5
            why = f"{who[at][0]}: {units_now:.0f} units since {now - WEEK:%Y-%m-%d}, {usual:.1f} expected"
            figures = {"units": units_now, "expected": round(usual, 2)}
            kind = "spike" if ratio > 1 else "slump"
            found.append(Finding(kind, *who[at], now - WEEK, round(ratio, 3), float(q[at]), why, figures))
    return sorted(found, key=lambda each: (each.q, -abs(np.log(each.ratio)), each.label)), len(names)


async def note(unit: UnitOfWork, command: NoteTrend) -> None:
    """Keep a trend."""
    await rows.add(
        unit,
        kind=command.kind,
        stock_item_id=command.stock_item_id,
        category=command.category,
        since=command.since,
        ratio=command.ratio,
        q=command.q,
        why=command.why,
        evidence=dict(command.evidence),
        decision_id=unit.cause.causation_id,
    )


async def forget_old(unit: UnitOfWork) -> None:
    await rows.forget_before(unit.session, unit.now - KEPT)
