"""Ours for P11: what many goods have in common. Two regressions over all series, for the level and for the tail."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, pdtrc

from flipsync.learning.forecast.intermittent import HORIZON, Array, croston_sba, fading_mean, imapa, scale, tsb

SHORTEST, SALES = 16, 4


def _views(history: Array) -> Array:
    """What the regression sees of each series, (series, k): means that fade at many paces, and the classics."""
    weeks = history.shape[1]
    mean = history.mean(axis=1)
    last = np.where((history > 0).any(axis=1), (history[:, ::-1] > 0).argmax(axis=1), weeks)
    rows = [mean, *(history[:, -window:].mean(axis=1) for window in (2, 4, 8, 16, 26))]
    rows += [fading_mean(history, alpha) for alpha in (0.03, 0.1, 0.25)]
    rows += [croston_sba(history), tsb(history), imapa(history), mean * np.exp(-last / 8.0), np.sqrt(mean) * 0.1]
    rows.append(np.full(len(history), float(mean.mean())) * np.minimum(1.0, 4.0 * mean))
    return np.stack(rows, axis=1)


#: whole units at which the chance of selling more is learned; at others the same regression speaks
_AT = (0, 1, 2, 3, 4, 6, 9, 14, 22, 35)


def _logit(chance: Array) -> Array:
    held = np.clip(chance, 1e-3, 1 - 1e-3)
    return np.asarray(np.log(held / (1 - held)))


def _exceeding(history: Array, units: int, level: Array, usual: float, by_imapa: Array) -> Array:
    """What bears on a week selling more than `units`, (series, k): how often weeks did, of late too, and what Poisson
    demand of the forecast level would do. `usual` is the share of all goods' weeks that sold more, a mild prior."""
    over = (history > units).astype(np.float64)
    shares = [over.mean(axis=1), *(over[:, -window:].mean(axis=1) for window in (16, 8)), fading_mean(over, 0.1)]
    counts = (history.shape[1], 16, 8, 10)
    rows = [_logit((share * n + 2 * usual) / (n + 2)) for share, n in zip(shares, counts, strict=True)]
    rows += [_logit(pdtrc(units, np.maximum(mean, 0.01))) for mean in (level, by_imapa, history.mean(axis=1))]
    rows += [np.log(level + 0.05), np.full(len(history), np.log(units + 0.5)), np.ones(len(history))]
    return np.stack(rows, axis=1)


@dataclass(frozen=True)
class PooledForecast:
    """Weights of the views for the least mean RMSSE (`level`), and of what bears on selling more than n units (`more`).

    RMSSE is a mean of roots, so the fit counts each series by the inverse of its own root (iteratively reweighted least
    squares). `more` is one logistic regression over all goods and all n: a whole distribution of a week's sales, of
    which stock takes the quantile that the newsvendor needs.
    """

    level: Array
    more: Array

    @staticmethod
    def fit(history: Array, *, origins: int = 4) -> PooledForecast:
        """Learn from the forecasts that could have been made at `origins` earlier weeks, two weeks apart.

        Raises ValueError when history (series, weeks) is too short for one.
        """
        weeks = history.shape[1]
        cuts = [cut for back in range(origins) if (cut := weeks - HORIZON - 2 * back) >= SHORTEST]
        if not cuts:
            raise ValueError(f"{weeks} weeks are too few to learn to forecast {HORIZON}: at least {HORIZON + SHORTEST}")
        # only goods that had sold by then: those that were to sell later would teach too much hope
        known = [(history[:, :cut] > 0).sum(axis=1) >= SALES for cut in cuts]
        pasts = [history[which, :cut] for which, cut in zip(known, cuts, strict=True)]
        aheads = [history[which, cut : cut + HORIZON] for which, cut in zip(known, cuts, strict=True)]
        unit = np.concatenate([scale(past) for past in pasts])
        y = np.concatenate(aheads) / unit[:, None]
        views = np.concatenate([_views(past) for past in pasts])
        level = _least_root(views / unit[:, None], y.mean(axis=1), y.var(axis=1))
        rows, shares, weight = [], [], []
        for past, ahead in zip(pasts, aheads, strict=True):
            told, smooth = np.maximum(_views(past) @ level, 0.0), imapa(past)
            for units in _AT:
                rows.append(_exceeding(past, units, told, float((past > units).mean()), smooth))
                shares.append((ahead > units).mean(axis=1))
                weight.append(1 / scale(past))
        more = _logistic(np.concatenate(rows), np.concatenate(shares), np.concatenate(weight))
        return PooledForecast(level, more)

    def forecast(self, history: Array) -> Array:
        """Weekly demand to come, (series,)."""
        return np.maximum(_views(history) @ self.level, 0.0)

    def stock(self, history: Array, service: float, most: int = 200) -> Array:
        """Units to have every week, (series,): the least n ≤ `most` that a week outsells with chance ≤ 1 − service."""
        told, smooth = self.forecast(history), imapa(history)
        units, open_ = np.zeros(len(history)), np.arange(len(history))
        for n in range(most):
            rows = _exceeding(history[open_], n, told[open_], float((history > n).mean()), smooth[open_])
            more = expit(rows @ self.more) > 1 - service
            open_ = open_[more]
            units[open_] = n + 1
            if not len(open_):
                break
        return units


def _ridge(x: Array, y: Array, weight: Array) -> Array:
    gram = x.T @ (x * weight[:, None])
    return np.asarray(np.linalg.solve(gram + 3e-4 * np.trace(gram) / len(gram) * np.eye(len(gram)), x.T @ (weight * y)))


def _least_root(x: Array, mean: Array, noise: Array) -> Array:
    """Weights of the least mean of √((x·w − mean)² + noise)."""
    weights = _ridge(x, mean, np.ones(len(x)))
    for _ in range(15):
        weights = _ridge(x, mean, 1 / np.maximum(np.sqrt((x @ weights - mean) ** 2 + noise), 0.05))
    return weights


def _logistic(x: Array, share: Array, weight: Array) -> Array:
    """Newton's method for a logistic regression of shares, with a light ridge."""
    weights = np.zeros(x.shape[1])
    for _ in range(12):
        chance = expit(x @ weights)
        gram = x.T @ (x * (weight * chance * (1 - chance))[:, None]) + 1.0 * np.eye(x.shape[1])
        weights = weights + np.linalg.solve(gram, x.T @ (weight * (share - chance)) - 1.0 * weights)
    return weights
