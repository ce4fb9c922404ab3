"""The weeks to come, drawn many times from the kept forecasts: what channels may turn over, what aged stock may sell.

Demand of each series is Gamma-Poisson, as wide as its forecast's interval says; what all series of a business and all
of a channel share is drawn beside it, as wide as earlier forecasts of the business were off as a whole. Goods that were
not restocked lately sell no more than is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
#: weeks a plan looks ahead
WEEKS = 4
#: at these chances a figure's quantiles are told
CHANCES: tuple[float, ...] = tuple(round(0.025 * step, 3) for step in range(1, 40))
#: before anything is known a business's forecasts are off by so much as a whole (standard deviation of the logarithm),
#: which counts as much as so many forecasts; and a channel beside its business
_OFF, _AS_MUCH_AS, _CHANNEL_OFF = 0.15, 4.0, 0.1
#: forecasts overlap in time: each counts for half. Of what they missed, half is forgotten in so many weeks; and so much
#: speaks for their having missed nothing
_WEIGHT, _FORGETS, _LITTLE = 0.5, 2.0, 0.25
#: half-width of the standard normal interval that holds four weeks in five
_INSIDE = 1.2816
#: draws, and numbers drawn in all
_MOST_DRAWS, _FEWEST_DRAWS, _MOST_NUMBERS = 4000, 200, 40_000_000


@dataclass(frozen=True)
class Series:
    """Arrays (series,): forecasts of goods on channels. `item` and `channel` are places; `weekly` is (series, WEEKS).

    `available` is by item; infinite for goods that are restocked.
    """

    item: Ints
    channel: Ints
    weekly: Array
    low: Array
    high: Array
    price: Array
    available: Array
    aged: NDArray[np.bool_]


@dataclass(frozen=True)
class Drawn:
    """Each (channels, draws): turnover in minor units, and units; `aged` (draws,): units of aged stock."""

    goods: Array
    units: Array
    aged: Array


@dataclass(frozen=True)
class Off:
    """How forecasts of the business were off as a whole: their usual factor, and how it varies (of the logarithm)."""

    factor: float
    sd: float


def off_by(runs: Sequence[tuple[float, float, float]]) -> Off:
    """From earlier forecasts as (weeks since, units sold, units expected): how far the next one will be off.

    What the last ones missed goes on for a while: their factor is a mean that forgets. How it varies is what such a
    factor would have missed of later forecasts, Poisson's own variation taken off; where few are known, it is as usual.
    """
    known = [(age, log((sold + 0.5) / (told + 0.5)), 1 / max(told, 1.0)) for age, sold, told in runs if told > 0]
    missed = []
    for age, off, noise in known:
        if before := [each for each in known if each[0] >= age + WEEKS]:
            missed.append(max(0.0, (off - _factor(before)) ** 2 - noise))
    n = _WEIGHT * len(missed)
    spread = _AS_MUCH_AS * _OFF**2 + _WEIGHT * sum(missed)
    return Off(float(np.exp(_factor(known))), float(np.sqrt(spread / (_AS_MUCH_AS + n))))


def _factor(known: Sequence[tuple[float, float, float]]) -> float:
    """The mean logarithm, the newest first, drawn a little to nothing."""
    newest = min((age for age, _, _ in known), default=0.0)
    weights = [float(0.5 ** ((age - newest) / _FORGETS)) for age, _, _ in known]
    return sum(weight * off for weight, (_, off, _) in zip(weights, known, strict=True)) / (sum(weights) + _LITTLE)


def draw(series: Series, off: Off, channels: int, seed: int) -> Drawn:
    """The next weeks, many times."""
    n = len(series.item)
    draws = int(np.clip(_MOST_NUMBERS // max(n, 1), _FEWEST_DRAWS, _MOST_DRAWS))
    rng = np.random.default_rng(seed)
    shared = off.factor * _factors(rng, off.sd, draws)
    own = _factors(rng, _CHANNEL_OFF, (channels, draws))
    mean = np.maximum(series.weekly[:, :WEEKS].sum(axis=1), 1e-6)
    week = mean / WEEKS
    spread = (series.high - series.low) / (2 * _INSIDE)
    # an interval of whole units around a slow seller is wide by itself: what is beyond Poisson is the level's doubt
    extra = np.clip(spread**2 - week - 1 / 12, 0.0, week**2) * WEEKS
    shape = np.where(extra > 1e-9, mean**2 / np.maximum(extra, 1e-9), 1e6)
    goods, units, aged = np.zeros((channels, draws)), np.zeros((channels, draws)), np.zeros(draws)
    limited = np.isfinite(series.available)[series.item]
    for begin in range(0, draws, step := max(1, 4_000_000 // max(n, 1))):
        part = slice(begin, min(begin + step, draws))
        width = part.stop - part.start
        rate = rng.gamma(shape[:, None], (mean / shape)[:, None], (n, width))
        sold = rng.poisson(rate * own[series.channel, part] * shared[part]).astype(np.float64)
        if limited.any():
            wanted = np.zeros((len(series.available), width))
            np.add.at(wanted, series.item, sold)
            there = np.minimum(1.0, series.available[:, None] / np.maximum(wanted, 1.0))
            sold = np.where(limited[:, None], sold * there[series.item], sold)
        np.add.at(units[:, part], series.channel, sold)
        np.add.at(goods[:, part], series.channel, sold * series.price[:, None])
        aged[part] = sold[series.aged].sum(axis=0)
    return Drawn(goods, units, aged)


def _factors(rng: np.random.Generator, sd: float, size: int | tuple[int, int]) -> Array:
    """Lognormal with mean one."""
    return np.asarray(np.exp(rng.normal(-(sd**2) / 2, sd, size)))


def quantiles(values: Array) -> list[float]:
    return [round(float(each), 2) for each in np.quantile(values, CHANCES)]
