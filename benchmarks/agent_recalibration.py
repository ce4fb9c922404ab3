"""What the map from stated to counted confidence brings: Brier score and calibration error, against what was stated
and against isotonic regression, on drawn agents that are wrong about themselves in known ways, and one that is not.

Each seed draws half a year of decisions whose chances of coming true are known to nobody. An outcome is told a week
after its decision. Maps are fitted anew each day to what was told by then, so that every decision is judged by a map
that has not seen its outcome nor any later one. Figures are of the decisions after the first month.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from benchmarks.measuring import Report
from flipsync.learning.evaluation.recalibration import Group, Recalibration
from flipsync.learning.protocol import Interval, bootstrap
from flipsync.services.recalibrating import HALF_LIFE, LEAST, fitted_map

Array = NDArray[np.float64]
_DAYS, _BEGINS, _TOLD_AFTER, _A_DAY = 180, 30, 7, 4.0
_FIRST_SEED, _BINS = 700, 10


def _logit(p: Array) -> Array:
    return np.log(p / (1 - p))


def _sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


#: what an agent says (true chance, part of the time that has gone) → stated
AGENTS: dict[str, Callable[[Array, Array], Array]] = {
    "too sure": lambda q, t: _sigmoid(2.0 * _logit(q) + 0.5),
    "too high by a fifth": lambda q, t: np.minimum(q + 0.2, 0.99),
    "not sure enough": lambda q, t: _sigmoid(0.5 * _logit(q)),
    "always 80 %, right 60 %": lambda q, t: np.full_like(q, 0.8),
    "too sure from half-time on": lambda q, t: np.where(t < 0.5, q, _sigmoid(2.0 * _logit(q) + 0.5)),
    "calibrated": lambda q, t: q,
}


class History:
    """Decisions of one agent, in their order: day, stated, outcome."""

    def __init__(self, agent: str, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.day = np.repeat(np.arange(_DAYS), rng.poisson(_A_DAY, _DAYS))
        chance = rng.beta(3.0, 2.0, len(self.day)).clip(0.02, 0.98)
        self.stated = AGENTS[agent](chance, self.day / _DAYS).round(3)
        self.came_true = (rng.random(len(self.day)) < chance).astype(np.float64)


def counted(history: History) -> tuple[Array, Array, Array]:
    """Stated, counted by our map, and by isotonic regression, of the decisions that are judged."""
    ours, isotonic = history.stated.copy(), history.stated.copy()
    for day in range(_BEGINS, _DAYS):
        known = history.day + _TOLD_AFTER <= day
        today = history.day == day
        if known.sum() < LEAST or not today.any():
            continue
        stated, came_true = history.stated[known], history.came_true[known]
        weight = 0.5 ** ((day - history.day[known]) / (HALF_LIFE.total_seconds() / 86_400))
        fitted = fitted_map(_groups(stated, came_true, weight), [])
        ours[today] = [_of(fitted, each) for each in history.stated[today]]
        order = np.argsort(stated, kind="stable")
        # equal statements are one case, or their order would decide
        levels, at = np.unique(stated[order], return_inverse=True)
        mass = np.bincount(at, weights=weight[order])
        share = np.bincount(at, weights=(weight * came_true)[order]) / mass
        fit = isotonic_regression(share, weights=mass).x
        isotonic[today] = np.interp(history.stated[today], levels, fit)
    judged = history.day >= _BEGINS
    return history.stated[judged], ours[judged], isotonic[judged]


def _groups(stated: Array, came_true: Array, weight: Array) -> list[Group]:
    levels, at = np.unique(stated, return_inverse=True)
    mass, right = np.bincount(at, weights=weight), np.bincount(at, weights=weight * came_true)
    return [Group(*map(float, each)) for each in zip(levels, mass, right, strict=True)]


def _of(fitted: Recalibration, stated: float) -> float:
    return fitted.of(float(stated))


def brier(p: Array, y: Array) -> float:
    return float(((p - y) ** 2).mean())


def error(p: Array, y: Array) -> float:
    """Expected calibration error, bins of equal width."""
    place = np.minimum((p * _BINS).astype(int), _BINS - 1)
    gap = np.bincount(place, weights=p - y, minlength=_BINS)
    return float(np.abs(gap).sum() / len(p))


def compare(agent: str, seeds: range) -> dict[str, Interval]:
    """Ours less stated, and ours less isotonic (paired by seed; below 0 is better)."""
    found: dict[str, list[float]] = {}
    for seed in seeds:
        history = History(agent, seed)
        y = history.came_true[history.day >= _BEGINS]
        stated, ours, isotonic = counted(history)
        for name, judge in (("Brier", brier), ("error", error)):
            found.setdefault(f"{name} over stated", []).append(judge(ours, y) - judge(stated, y))
            found.setdefault(f"{name} over isotonic", []).append(judge(ours, y) - judge(isotonic, y))
        lowered = float((np.minimum(ours, stated) < stated - 0.05).mean())
        found.setdefault("counted lower by 0.05", []).append(lowered)
    return {name: bootstrap(each) for name, each in found.items()}


def run(report: Report, *, quick: bool) -> None:
    """Add this part's lines to the report."""
    seeds = range(_FIRST_SEED, _FIRST_SEED + (2 if quick else 24))
    result: dict[str, Any] = {"seeds": len(seeds)}
    for agent in AGENTS:
        told = compare(agent, seeds)
        result[agent] = {name: {"mean": each.mean, "low": each.low, "high": each.high} for name, each in told.items()}
        for name in ("Brier over stated", "error over stated", "Brier over isotonic"):
            each = told[name]
            report.row(f"confidence, {agent}: {name}", f"{each.mean:+.4f}", f"{each.low:+.4f} to {each.high:+.4f}")
        share = told["counted lower by 0.05"]
        report.row(f"confidence, {agent}: counted lower by 0.05", f"{share.mean:.1%}", f"to {share.high:.1%}")
    report.result["recalibration"] = result
