"""The changes TrendAgent tells, on drawn shops with labelled ones, against two usual rules.

Each seed draws 200 goods over 78 weeks: a season they share, weeks that vary more than Poisson's, a tenth of the weeks
out of stock; the rate of 30 of them changes to 2.5 or 0.4 of itself between 6 and 24 weeks ago. A hit names the goods,
the direction, and the week within four; F1 of hits. The rules are four weeks against the four before, and a mean of
four weeks that leaves that of thirteen. They see the same seasons and empty shelves as ours, at every week of the
half-year, and have the threshold that did best on other seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from benchmarks.measuring import Report
from flipsync.learning.protocol import bootstrap
from flipsync.services.trends import FALSE, RECENT, SIDE, WINDOW, Array, Ints, changes, seasons

_GOODS, _WEEKS, _CHANGED, _NEAR = 200, 78, 30, 4
_FIRST_SEED, _TUNED_ON = 300, range(900, 908)
_THRESHOLDS = tuple(float(each) for each in np.geomspace(1.2, 8.0, 16))

#: of each of the goods: first week of the new rate and its direction, 0 for none
Told = tuple[Ints, Ints]


def draw(seed: int) -> tuple[Array, Array, Told]:
    """Units, share of each week on the shelf, and what changed."""
    rng = np.random.default_rng(seed)
    rate = rng.gamma(1.2, 4.0, _GOODS) + 0.8
    wave = np.exp(0.5 * np.sin(2 * np.pi * np.arange(_WEEKS) / 52 + rng.uniform(0, 6.28)))
    week = np.full(_GOODS, _WEEKS, dtype=np.int64)
    way = np.zeros(_GOODS, dtype=np.int64)
    week[:_CHANGED] = _WEEKS - rng.integers(6, 25, _CHANGED)
    way[:_CHANGED] = rng.choice([-1, 1], _CHANGED)
    new = np.where(way > 0, 2.5, np.where(way < 0, 0.4, 1.0))[:, None]
    factor = np.where(np.arange(_WEEKS) >= week[:, None], new, 1.0)
    open_ = (rng.random((_GOODS, _WEEKS)) >= 0.1).astype(np.float64)
    mean = rate[:, None] * wave * factor * open_
    return rng.poisson(mean * rng.gamma(4.0, 0.25, mean.shape)).astype(np.float64), open_, (week, way)


def time_to_sell(sold: Array, open_: Array) -> Array:
    return np.asarray(open_ * seasons(sold.sum(axis=0)[None], open_.mean(axis=0)[None]).factor)


def ours(sold: Array, time: Array) -> Told:
    found = changes(sold[:, -WINDOW:], time[:, -WINDOW:])
    week = found.week + (_WEEKS - WINDOW)
    told = (found.q <= FALSE) & (week >= _WEEKS - RECENT)
    return week, np.where(told, np.where(found.ratio > 1, 1, -1), 0)


def _rates(sold: Array, time: Array, size: int) -> Array:
    """Of every so many weeks, as a logarithm."""
    units, spans = (np.cumsum(np.pad(each, ((0, 0), (1, 0))), axis=1) for each in (sold, time))
    of_units, of_time = units[:, size:] - units[:, :-size], spans[:, size:] - spans[:, :-size]
    return np.asarray(np.log((of_units + 0.5) / np.maximum(of_time, 0.5)))


def week_over_week(sold: Array, time: Array, threshold: float) -> Told:
    """Looked at in every week of the last half-year: four weeks against the four before."""
    four = _rates(sold, time, SIDE)
    return _first(four[:, SIDE:] - four[:, :-SIDE], SIDE, threshold)


def crossing(sold: Array, time: Array, threshold: float) -> Told:
    """The mean of four weeks against that of thirteen."""
    return _first(_rates(sold, time, SIDE)[:, 13 - SIDE :] - _rates(sold, time, 13), SIDE, threshold)


def _first(apart: Array, lag: int, threshold: float) -> Told:
    """Where it was furthest apart; the new weeks began `lag` weeks before the look."""
    recent = apart[:, -(RECENT - lag) :]
    at = np.abs(recent).argmax(axis=1)
    most = np.take_along_axis(recent, at[:, None], 1)[:, 0]
    week = _WEEKS - recent.shape[1] + at - lag + 1
    return week, np.where(np.abs(most) >= np.log(threshold), np.sign(most), 0).astype(np.int64)


def f1(told: Told, truth: Told) -> tuple[float, float, float]:
    """F1, precision, recall."""
    hit = (told[1] != 0) & (told[1] == truth[1]) & (np.abs(told[0] - truth[0]) <= _NEAR)
    raised = int((told[1] != 0).sum())
    precision, recall = (hit.sum() / raised if raised else 0.0), hit.sum() / _CHANGED
    both = precision + recall
    return float(2 * precision * recall / both if both else 0.0), float(precision), float(recall)


def _tuned(rule: Callable[[Array, Array, float], Told], seeds: Iterable[int]) -> float:
    drawn = [(sold, time_to_sell(sold, open_), truth) for sold, open_, truth in map(draw, seeds)]
    return max(_THRESHOLDS, key=lambda each: sum(f1(rule(sold, time, each), truth)[0] for sold, time, truth in drawn))


def run(report: Report, *, quick: bool) -> None:
    """Add this agent's lines to the report."""
    seeds = 2 if quick else 24
    rules = {"week over week": week_over_week, "crossing means": crossing}
    bounds = {name: _tuned(rule, _TUNED_ON) for name, rule in rules.items()}
    scores: dict[str, list[tuple[float, float, float]]] = {name: [] for name in ("ours", *rules)}
    wrong: list[float] = []
    for seed in range(_FIRST_SEED, _FIRST_SEED + seeds):
        sold, open_, truth = draw(seed)
        time = time_to_sell(sold, open_)
        told = ours(sold, time)
        scores["ours"].append(f1(told, truth))
        wrong.append(float(((told[1] != 0) & (truth[1] == 0)).sum() / max(1, (told[1] != 0).sum())))
        for name, rule in rules.items():
            scores[name].append(f1(rule(sold, time, bounds[name]), truth))
    result: dict[str, Any] = {"seeds": seeds, "thresholds": bounds, "goods_that_did_not_change": float(np.mean(wrong))}
    for name, each in scores.items():
        figures = np.array(each)
        told_f1 = bootstrap(figures[:, 0])
        result[name] = {"f1": told_f1.mean, "low": told_f1.low, "high": told_f1.high}
        result[name] |= {"precision": float(figures[:, 1].mean()), "recall": float(figures[:, 2].mean())}
        words = f"{told_f1.low:.3f} to {told_f1.high:.3f}; precision {figures[:, 1].mean():.3f}, recall"
        report.row(f"trend: F1 of changes, {name}", f"{told_f1.mean:.3f}", f"{words} {figures[:, 2].mean():.3f}")
    for name in rules:
        better = bootstrap(np.array(scores["ours"])[:, 0] - np.array(scores[name])[:, 0])
        result[f"over {name}"] = {"mean": better.mean, "low": better.low, "high": better.high}
    words = f"{FALSE:.0%} is what is held"
    report.row("trend: share told of goods that did not change", f"{result['goods_that_did_not_change']:.1%}", words)
    report.result["trend"] = result
