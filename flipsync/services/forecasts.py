"""Demand forecasts of goods on channels, from the tenant's own orders and stock ledger, judged against baselines.

Weeks are seven days each and end at the moment of asking. Time with an empty shelf is censored: a week with share s of
its time on the shelf says nothing of the rest, in which the usual rate is expected (the E-step of Poisson demand). The
usual rate is a Gamma's mean: the goods' own sales beside `_ALIKE` weeks of an average good, so that new goods lean on
all others. `History.up_to` is the one pipeline: the back-test cuts with it, serving asks it for the last week.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from math import erf, sqrt
from pathlib import Path
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc  # scipy.stats would cost every process that forecasts 46 MB more
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.learning.forecast.intermittent import HORIZON, imapa, rmsse, zero
from flipsync.learning.forecast.pooled import SHORTEST, PooledForecast
from flipsync.services.forecast_choice import Choice, choose
from flipsync.store.repositories import forecasting as rows

WEEKS, YEAR = 104, 52
#: an average good counts as so many weeks of a good's own
_ALIKE = 4.0
#: fewer series than these teach a regression of fifteen weights nothing
_ENOUGH_SERIES = 60
#: the share of weeks an interval is to hold, and how many weeks calibrate it at least
INSIDE, _ENOUGH_WEEKS = 0.8, 200
#: a week counts in judging when this much of it was on the shelf
WHOLE = 0.99
#: series that the regression learns from at most, evenly taken: more of them teach fifteen weights nothing
_LEARN_FROM = 4000
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Weeks:
    """What a forecast sees, arrays (series, weeks) or (series,): units with censored time filled, and what it rests on.

    `shape` and `rate` are the Gamma believed of each series' weekly demand.
    """

    filled: Array
    shape: Array
    rate: Array


@dataclass(frozen=True)
class History:
    """Units sold, and the share of each week in which they could be, (series, weeks), oldest week first."""

    sold: Array
    open: Array

    def up_to(self, week: int) -> Weeks:
        """The features known at the end of that week; nothing later has a part in them."""
        sold, open_ = self.sold[:, :week], self.open[:, :week]
        usual = (sold.sum() + 0.01) / (open_.sum() + 1.0)
        shape, rate = sold.sum(axis=1) + _ALIKE * usual, open_.sum(axis=1) + _ALIKE
        return Weeks(sold + (1 - open_) * (shape / rate)[:, None], shape, rate)


def shrunk(weeks: Weeks) -> Array:
    """The mean of what is believed of each series: its own sales a week, drawn to all goods' where it has few."""
    return np.asarray(weeks.shape / weeks.rate)


def seasonal_naive(weeks: Weeks) -> Array:
    """The same weeks a year ago, (series, HORIZON); the last weeks again where there is no year."""
    filled = weeks.filled
    back = YEAR if filled.shape[1] >= YEAR else min(HORIZON, filled.shape[1])
    return np.asarray(np.resize(filled[:, -back:].T, (HORIZON, len(filled))).T)


Method = Callable[[Weeks], Array]
BASELINES: dict[str, Method] = {
    "zero": lambda weeks: zero(weeks.filled),
    "seasonal naive": seasonal_naive,
    "IMAPA": lambda weeks: imapa(weeks.filled),
}


def pooled(weeks: Weeks) -> Array:
    filled = weeks.filled
    return PooledForecast.fit(filled[:: max(1, -(-len(filled) // _LEARN_FROM))]).forecast(filled)


def ours(series: int, weeks: int) -> tuple[str, Method]:
    """The forecast to back: the regression over all goods, or shrinkage where that has too little to learn from."""
    if series >= _ENOUGH_SERIES and weeks >= HORIZON + SHORTEST:
        return "pooled", pooled
    return "shrunk", shrunk


@dataclass(frozen=True)
class Backtest:
    """The last `HORIZON` weeks, forecast from what was known before: mean RMSSE by method, and of each series.

    `coverage` is the share of those weeks inside an interval calibrated on the `HORIZON` weeks before them; None where
    the books do not go back that far. `scores` is what a method is chosen by: the mean of those weeks and, where the
    books have them, of those half a year before. `sure` is how likely the best is no chance, against the next best.
    """

    series: int
    rmsse: dict[str, float]
    scores: dict[str, float]
    of_series: dict[str, Array]
    coverage: float | None
    sure: float


@dataclass(frozen=True)
class Told:
    """A forecast of all series, units a week, (series,) or (series, HORIZON) where weeks differ; an interval holds
    `INSIDE` of weeks. `why` says why this method."""

    weekly: Array
    low: Array
    high: Array
    method: str
    baseline_wins: bool
    why: str
    backtest: Backtest | None


def foresee(history: History) -> Told:
    """The forecast of all series at once: what did best in the back-test, and ours where none could be made."""
    tested = backtest(history)
    scores = tested.scores if tested is not None else {}
    choice = choose(scores, ours(*history.sold.shape)[0], tested.series if tested is not None else 0)
    weekly, low, high = tell(history, choice)
    return Told(weekly, low, high, choice.method, choice.baseline_wins, choice.why, tested)


def tell(history: History, choice: Choice) -> tuple[Array, Array, Array]:
    """Units a week of all series and their interval's edges, by the method that was chosen: (series,), or
    (series, HORIZON) of a method that tells weeks apart."""
    series, weeks = history.sold.shape
    now, known = history.up_to(weeks), weeks - HORIZON
    residuals = None
    if choice.tested:
        residuals = _residuals(history, known, BASELINES.get(choice.method) or _backed(history, known))
    method = BASELINES.get(choice.method) or ours(series, weeks)[1]
    weekly = np.maximum(method(now), 0.0)
    return weekly, *_interval(weekly, residuals, now)


def _backed(history: History, week: int) -> Method:
    return ours(len(history.sold), week)[1]


def level(forecast: Array) -> Array:
    """Of the mean week, (series,)."""
    return forecast if forecast.ndim == 1 else np.asarray(forecast.mean(axis=1))


def backtest(history: History) -> Backtest | None:
    """None where the books are too young."""
    weeks = history.sold.shape[1]
    last = _errors(history, weeks - HORIZON)
    if last is None:
        return None
    means, of_series, judged = last
    scores = means
    earlier = weeks - HORIZON - YEAR // 2
    if earlier >= YEAR and (before := _errors(history, earlier)) is not None:
        # the other half of a year: one window may be a flat part of a season
        scores = {
            each: (mean + other) / 2 for (each, mean), other in zip(means.items(), before[0].values(), strict=True)
        }
    best, second = sorted(scores, key=lambda each: scores[each])[:2]
    apart = (of_series[second] - of_series[best])[judged]
    error = float(apart.std()) / sqrt(len(apart))
    sure = 0.5 * (1 + erf(float(apart.mean()) / error / sqrt(2))) if error > 0 else 0.5
    coverage = _coverage(history, weeks - HORIZON, best)
    return Backtest(int(judged.sum()), means, scores, of_series, coverage, sure)


def _errors(history: History, cut: int) -> tuple[dict[str, float], dict[str, Array], NDArray[np.bool_]] | None:
    """Of the `HORIZON` weeks from `cut` on: mean RMSSE by method, ours first, that of each series, and which count."""
    if cut < HORIZON:
        return None
    series, until = len(history.sold), cut + HORIZON
    past, actual = history.up_to(cut), history.sold[:, cut:until]
    whole = history.open[:, cut:until] >= WHOLE
    judged = (whole.sum(axis=1) > 0) & (history.open[:, :cut].sum(axis=1) >= 2)
    if not judged.any():
        return None
    name, method = ours(series, cut)
    of_series = {}
    for each, how in {name: method, **BASELINES}.items():
        told = how(past)
        by_week = np.broadcast_to(_column(told), actual.shape)
        # a censored week has no error of its own; the mean is over the others
        errors = rmsse(by_week, np.where(whole, actual, by_week), past.filled)
        of_series[each] = np.where(judged, errors * np.sqrt(HORIZON / np.maximum(whole.sum(axis=1), 1)), np.nan)
    return {each: float(np.nanmean(errors)) for each, errors in of_series.items()}, of_series, judged


def _residuals(history: History, week: int, method: Method) -> tuple[Array, Array] | None:
    """What the whole weeks after `week` were expected to sell, and what they sold; None where they are too few."""
    if week < HORIZON:
        return None
    actual, whole = history.sold[:, week : week + HORIZON], history.open[:, week : week + HORIZON] >= WHOLE
    weekly = np.maximum(method(history.up_to(week)), 0.0)
    expected = np.broadcast_to(_column(weekly), actual.shape)[whole]
    return (expected, actual[whole]) if len(expected) >= _ENOUGH_WEEKS else None


def _interval(weekly: Array, residuals: tuple[Array, Array] | None, weeks: Weeks) -> tuple[Array, Array]:
    """Whole units: the narrowest edges that held `INSIDE` of the weeks in `residuals`, in roots of what was expected.

    Without those, the Gamma-Poisson prediction of what is believed (wide for new goods).
    """
    if residuals is None:
        edge, chance = (1 - INSIDE) / 2, weeks.rate / (weeks.rate + 1)
        low, high = (negative_binomial(share, weeks.shape, chance) for share in (edge, 1 - edge))
        if weekly.ndim == 2:
            return np.repeat(low[:, None], HORIZON, axis=1), np.repeat(high[:, None], HORIZON, axis=1)
        return low, high
    expected, actual = residuals
    errors = (actual - expected) / np.sqrt(expected + 0.1)
    edges = np.linspace(0.4, 0.0, 81)  # edges are rounded to units, which alone takes many weeks in
    offsets = np.quantile(errors, np.stack([edges, 1 - edges], axis=1))
    narrow, wide = 0, len(edges) - 1  # each interval lies in the next, so what it holds only grows
    while narrow < wide:
        middle = (narrow + wide) // 2
        below, above = _edges(expected, offsets[middle])
        enough = ((actual >= below) & (actual <= above)).mean() >= INSIDE
        narrow, wide = (narrow, middle) if enough else (middle + 1, wide)
    return _edges(weekly, offsets[narrow])


def negative_binomial(share: float | Array, shape: Array, chance: Array) -> Array:
    """The quantile `share` of each series' distribution: the least whole n with a probability of n or less above it."""
    low, high = np.full(len(shape), -1.0), np.ones(len(shape))
    while (short := betainc(shape, high + 1, chance) < share).any():
        low, high = np.where(short, high, low), np.where(short, 2 * high, high)
    while (high - low > 1).any():
        middle = np.floor((low + high) / 2)
        reached = betainc(shape, middle + 1, chance) >= share
        low, high = np.where(reached, low, middle), np.where(reached, middle, high)
    return np.asarray(high)


def _column(forecast: Array) -> Array:
    """As it is added to (series, HORIZON)."""
    return forecast[:, None] if forecast.ndim == 1 else forecast


def _edges(weekly: Array, offsets: Array) -> tuple[Array, Array]:
    low, high = (np.rint(np.maximum(weekly + off * np.sqrt(weekly + 0.1), 0.0)) for off in offsets)
    return low, high


def _coverage(history: History, cut: int, name: str) -> float | None:
    def method(week: int) -> Method:
        return BASELINES[name] if name in BASELINES else _backed(history, week)

    residuals = _residuals(history, cut - HORIZON, method(cut - HORIZON))
    whole = history.open[:, cut:] >= WHOLE
    if residuals is None or not whole.any():
        return None
    past = history.up_to(cut)
    low, high = _interval(np.maximum(method(cut)(past), 0.0), residuals, past)
    actual = history.sold[:, cut:]
    return float(((actual >= _column(low)) & (actual <= _column(high)))[whole].mean())


def own_share(on_shelf: Array) -> Array:
    """How much of what is believed is the goods' own sales, by their weeks on the shelf."""
    return on_shelf / (on_shelf + _ALIKE)


# -- of the books -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Forecast:
    """Goods on one channel: units a week, and what this rests on.

    `own_share` is how much of the belief is the goods' own sales, the rest being those of all goods. `rmsse` is of this
    series in the back-test, by method; empty when it could not be judged or was not kept.
    """

    sku: str
    stock_item_id: UUID
    account_id: UUID
    channel: str
    weekly: float
    low: float
    high: float
    method: str
    weeks_on_shelf: float
    units_sold: int
    own_share: float
    rmsse: dict[str, float]


@dataclass(frozen=True)
class Forecasts:
    """Of a tenant's whole catalogue, and how the method was chosen."""

    at: datetime
    method: str
    baseline_wins: bool
    why: str
    series: int
    rmsse: dict[str, float]
    coverage: float | None
    items: tuple[Forecast, ...]
    #: made at `at` and kept; of such, the errors of single series are not
    stored: bool = False


async def forecasts(session: AsyncSession, now: datetime, sku: str | None = None) -> Forecasts:
    """Forecasts of all goods for sale, or of one SKU; learned from all of them either way, in one vectorised call."""
    known, history = await read_history(session, now)
    if not known:
        return Forecasts(now, "none", False, "nothing is or was for sale", 0, {}, None, ())
    told = await asyncio.to_thread(foresee, history)
    weekly, low, high = level(told.weekly), level(told.low), level(told.high)
    on_shelf, units = history.open.sum(axis=1), history.sold.sum(axis=1)
    judged = told.backtest.of_series if told.backtest else {}
    items = tuple(
        Forecast(
            sku=row.sku,
            stock_item_id=row.stock_item_id,
            account_id=row.account_id,
            channel=row.channel,
            weekly=round(float(weekly[at]), 4),
            low=round(float(low[at]), 2),
            high=round(float(high[at]), 2),
            method=told.method,
            weeks_on_shelf=round(float(on_shelf[at]), 2),
            units_sold=int(units[at]),
            own_share=round(float(own_share(on_shelf[at])), 3),
            rmsse={name: round(float(error[at]), 4) for name, error in judged.items() if not np.isnan(error[at])},
        )
        for at, row in enumerate(known)
        if row.active and (sku is None or row.sku == sku)
    )
    scores = {name: round(mean, 4) for name, mean in told.backtest.rmsse.items()} if told.backtest else {}
    coverage = told.backtest.coverage if told.backtest else None
    return Forecasts(now, told.method, told.baseline_wins, told.why, len(known), scores, coverage, items)


async def read_history(session: AsyncSession, now: datetime) -> tuple[list[rows.Offered], History]:
    """Each goods' weeks on each channel; as many weeks as the oldest ledger has, at most `WEEKS`.

    A channel's own share of the shelf is not in the ledger over time: time counts as open while any unit was free.
    """
    known, begun = await on_books(session)
    oldest = min((begun[row.stock_item_id] for row in known if row.stock_item_id in begun), default=now)
    weeks = int(np.clip(-(-(now - oldest) // timedelta(weeks=1)), 1, WEEKS))
    return known, await weeks_of(session, known, begun, now - timedelta(weeks=weeks), weeks)


async def on_books(session: AsyncSession) -> tuple[list[rows.Offered], dict[UUID, datetime]]:
    """All series, and when the ledger of each stock item begins."""
    return await rows.offered(session), await rows.first_moved(session)


async def weeks_of(
    session: AsyncSession, known: Sequence[rows.Offered], begun: Mapping[UUID, datetime], start: datetime, weeks: int
) -> History:
    """So many weeks of these series from `start` on."""
    end = start + timedelta(weeks=weeks)
    place = {(row.stock_item_id, row.account_id): at for at, row in enumerate(known)}
    sold, open_ = np.zeros((len(known), weeks)), np.ones((len(known), weeks))
    for item, account, week, units in await rows.sold(session, start, end):
        if (item, account) in place:
            sold[place[item, account], week] = units
    of_item: dict[UUID, list[int]] = {}
    for series, row in enumerate(known):
        of_item.setdefault(row.stock_item_id, []).append(series)
        _close(open_[series], start, start, _for_sale(row, begun, end))
    for item, since, until in await rows.empty(session, start, end):
        for series in of_item.get(item, ()):
            _close(open_[series], start, max(since, _for_sale(known[series], begun, end)), until)
    # a sale in a week proves that it was for sale; the last unit may have gone within the second
    return History(sold, np.where(sold > 0, np.maximum(open_, 1 / 7), np.clip(open_, 0.0, 1.0)))


def _for_sale(row: rows.Offered, begun: Mapping[UUID, datetime], now: datetime) -> datetime:
    return max(row.since, begun.get(row.stock_item_id, now))


def _close(open_: Array, start: datetime, since: datetime, until: datetime) -> None:
    """Take a span of time off a series' open shares."""
    week = timedelta(weeks=1)
    first, last = max((since - start) / week, 0.0), min((until - start) / week, float(len(open_)))
    if last > first:
        at = np.arange(len(open_))
        open_ -= np.clip(np.minimum(at + 1, last) - np.maximum(at, first), 0.0, 1.0)


@cache
def code_version() -> str:
    """Twelve hex digits over the source of everything that a forecast depends on."""
    package = Path(__file__).resolve().parents[1]
    parts = ("learning/forecast/intermittent.py", "learning/forecast/pooled.py", "store/repositories/forecasting.py")
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for part in parts:
        digest.update(part.encode() + b"\0" + (package / part).read_bytes())
    return digest.hexdigest()[:12]
