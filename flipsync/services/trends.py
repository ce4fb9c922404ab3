"""Trends in weekly sales: goods and categories that rise or fall, seasons, weeks out of line. Pure, all series at once.

A change is the split of a series' weeks into two rates with the greatest Poisson likelihood ratio. How great it gets by
chance is told by shuffling each series' own weeks, which keeps what they vary by; shuffles of all series, each measured
in its own mean, are one distribution, fine enough for what is rare. Of all that is tested at once, the share of false
alarms is held (Benjamini and Hochberg 1995). Empty shelves and the category's season count as less time to sell in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, fdtrc, xlogy

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

#: weeks that are looked at for changes, on each side of one at least, and how old one may be to be told
WINDOW, SIDE, RECENT = 52, 4, 26
#: the share of false alarms among what is told
FALSE = 0.05
#: fewer units than this say nothing
_FEWEST = 10
_SHUFFLES, _LEAST_SHUFFLES = 4000, 20
#: a season needs so many weeks to show, and has to make the best week so much better than the worst
_SEASON_WEEKS, _SEASON_SWING = 78, 1.3
#: a week is out of line when it sold so much more, or less than its inverse; a rate of its own needs weeks
_SPIKE, _SPIKE_WEEKS = 2.0, 8


@dataclass(frozen=True)
class Changes:
    """Of each series: the first week of the new rate, units and time to sell before and from then on, p and q.

    `q` is the least share of false alarms at which it would be told; 1 where too little sold to say.
    """

    week: Ints
    before: Array
    after: Array
    time_before: Array
    time_after: Array
    p: Array
    q: Array

    @property
    def ratio(self) -> Array:
        """The new rate over the old one; half a unit is added to each, lest nothing divides."""
        old = (self.before + 0.5) / np.maximum(self.time_before, 0.5)
        return np.asarray((self.after + 0.5) / np.maximum(self.time_after, 0.5) / old)


def false_discovery(p: Array) -> Array:
    """Benjamini and Hochberg's q of each p."""
    order = np.argsort(p)
    ranked = p[order] * len(p) / np.arange(1, len(p) + 1)
    q = np.empty(len(p))
    q[order] = np.minimum(np.minimum.accumulate(ranked[::-1])[::-1], 1.0)
    return q


def changes(sold: Array, time: Array, seed: int = 0) -> Changes:
    """Changes of rate in (series, weeks): units, and how much of each week there was to sell in."""
    series, weeks = sold.shape
    tested = (sold.sum(axis=1) >= _FEWEST) & ((time > 0).sum(axis=1) >= 2 * SIDE)
    at = np.full(series, weeks, dtype=np.int64)
    p = np.ones(series)
    if weeks >= 2 * SIDE and tested.any():
        y, e = sold[tested], time[tested]
        found, at[tested] = _scan(y, e)
        rng = np.random.default_rng(seed)
        rounds = max(_LEAST_SHUFFLES, -(-_SHUFFLES // len(y)))
        chance = np.empty((rounds, len(y)))
        for round_ in range(rounds):
            order = rng.random(y.shape).argsort(axis=1)
            chance[round_] = _scan(np.take_along_axis(y, order, 1), np.take_along_axis(e, order, 1))[0]
        usual = np.maximum(chance.mean(axis=0), 1e-9)
        by_chance = np.sort((chance / usual).ravel())
        above = len(by_chance) - np.searchsorted(by_chance, found / usual, side="left")
        p[tested] = (1 + above) / (1 + len(by_chance))
    index = np.arange(weeks)
    later = index >= at[:, None]
    q = np.ones(series)
    if tested.any():
        q[tested] = false_discovery(p[tested])
    return Changes(
        at,
        np.asarray((sold * ~later).sum(axis=1)),
        np.asarray((sold * later).sum(axis=1)),
        np.asarray((time * ~later).sum(axis=1)),
        np.asarray((time * later).sum(axis=1)),
        p,
        q,
    )


def _scan(y: Array, e: Array) -> tuple[Array, Ints]:
    """The greatest log likelihood ratio of two rates against one, and where the second begins."""
    units, time = y.cumsum(axis=1), e.cumsum(axis=1)
    n1, t1 = units[:, SIDE - 1 : -SIDE], time[:, SIDE - 1 : -SIDE]
    n, t = units[:, -1:], time[:, -1:]
    n2, t2 = n - n1, t - t1

    def fit(count: Array, span: Array) -> Array:
        return np.asarray(xlogy(count, count / np.maximum(span, 1e-9)))

    gain = np.where((t1 > 0.5) & (t2 > 0.5), fit(n1, t1) + fit(n2, t2) - fit(n, t), 0.0)
    best = gain.argmax(axis=1)
    return np.take_along_axis(gain, best[:, None], 1)[:, 0], best + SIDE


@dataclass(frozen=True)
class Seasons:
    """Of each series: how much each week sells of a usual one, (series, weeks), and q. Flat without a season."""

    factor: Array
    q: Array


def seasons(sold: Array, time: Array) -> Seasons:
    """A yearly wave in roots of sales, by least squares beside a straight trend, and an F test of it."""
    series, weeks = sold.shape
    flat = Seasons(np.ones((series, weeks)), np.ones(series))
    if weeks < _SEASON_WEEKS or not series:
        return flat
    share = time / np.maximum(time.mean(axis=1, keepdims=True), 1e-9)
    z = np.sqrt(sold / np.maximum(share, 0.1))
    angle = 2 * np.pi * np.arange(weeks) / 52
    line = np.stack([np.ones(weeks), np.arange(weeks) / weeks], axis=1)
    whole = np.column_stack([line, np.cos(angle), np.sin(angle)])
    weights, *_ = np.linalg.lstsq(whole, z.T, rcond=None)
    left = ((z.T - whole @ weights) ** 2).sum(axis=0)
    straight, *_ = np.linalg.lstsq(line, z.T, rcond=None)
    without = ((z.T - line @ straight) ** 2).sum(axis=0)
    free = weeks - whole.shape[1]
    p = np.where(left > 0, fdtrc(2, free, np.maximum(without - left, 0) / 2 / np.maximum(left, 1e-9) * free), 1.0)
    level = np.maximum(z.mean(axis=1), 1e-9)
    wave = (whole[:, 2:] @ weights[2:]).T / level[:, None]
    factor = np.maximum(1 + wave, 0.1) ** 2
    factor /= factor.mean(axis=1, keepdims=True)
    q = false_discovery(p)
    is_season = (q <= FALSE) & (factor.max(axis=1) >= _SEASON_SWING * factor.min(axis=1))
    return Seasons(np.where(is_season[:, None], factor, 1.0), np.where(is_season, q, 1.0))


def out_of_line(sold: Array, time: Array, since: Ints) -> tuple[Array, Array]:
    """Of the last week of each series: what it sold over what it was to sell, and q.

    The rate is that of the weeks from `since` on; they also tell by how much weeks vary (negative binomial).
    """
    weeks = sold.shape[1]
    index = np.arange(weeks - 1)
    if weeks < 2:
        return np.ones(len(sold)), np.ones(len(sold))
    known = np.where(weeks - 1 - since >= _SPIKE_WEEKS, since, 0)
    part = (index >= known[:, None]) & (time[:, :-1] > 0.5)
    count, span = part.sum(axis=1), (time[:, :-1] * part).sum(axis=1)
    rate = ((sold[:, :-1] * part).sum(axis=1) + 0.5) / np.maximum(span, 0.5)
    expected = rate[:, None] * time[:, :-1]
    spread = (((sold[:, :-1] - expected) ** 2 - expected) * part).sum(axis=1) / np.maximum(
        ((expected**2) * part).sum(axis=1), 1e-9
    )
    shape = 1 / np.maximum(spread, 1e-3)
    shape = np.minimum(shape, np.maximum(rate, 0.05) * span)  # the rate itself is not known better than that
    last, mean = sold[:, -1], np.maximum(rate * time[:, -1], 1e-9)
    chance = mean / (mean + shape)
    upper = np.where(last > 0, betainc(np.maximum(last, 1.0), shape, chance), 1.0)
    lower = 1 - betainc(last + 1.0, shape, chance)
    judged = (count >= _SPIKE_WEEKS) & (time[:, -1] > 0.5)
    p = np.where(judged, np.minimum(2 * np.minimum(upper, lower), 1.0), 1.0)
    q = np.ones(len(sold))
    if judged.any():
        q[judged] = false_discovery(p[judged])
    return (last + 0.5) / (mean + 0.5), q


def is_spike(ratio: Array, q: Array) -> NDArray[np.bool_]:
    return np.asarray((q <= FALSE) & ((ratio >= _SPIKE) | (ratio <= 1 / _SPIKE)))
