"""How well stated probabilities agree with what happened.

Brier score and its decomposition (A. H. Murphy 1973; the parts within bins D. B. Stephenson et al. 2008), log score,
reliability with intervals (E. B. Wilson 1927), expected calibration error, D. J. Spiegelhalter's test (1986).

Cases of one decision are alike, perhaps one case: intervals and tests count them as one (L. Kish's effective number,
at the careful end), and the bootstrap draws whole decisions.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import erfc, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from flipsync.learning.protocol import Interval

Floats = npt.NDArray[np.float64]
#: as many bins as distinct probabilities up to this, else this many of equal width
BINS = 10
#: a probability of 0 or 1 counts as this far from it in the log score, which would be infinite otherwise
_EDGE = 0.001
_Z95 = 1.959964
_RESAMPLES = 1000


@dataclass(frozen=True)
class Bin:
    """Cases with about the same stated probability. `low` and `high` are the interval of the share that came true."""

    stated: float
    count: int
    worth: float
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Calibration:
    """`brier` = `reliability` − `resolution` + `uncertainty` + `within_bins`, exactly.

    `decisions` is how many different ones the cases belong to, `worth` how many independent cases they are taken for.
    `error` is the expected calibration error with a bootstrap interval; of a perfectly calibrated forecaster it is
    about `error_by_chance`. `z` is Spiegelhalter's statistic, None where every probability is 0, 1/2 or 1; being too
    sure below 1/2 and above it cancel in it, which the error sees.
    """

    cases: int
    decisions: int
    worth: float
    stated: float
    distinct: int
    share: Interval
    brier: float
    reliability: float
    resolution: float
    uncertainty: float
    within_bins: float
    log_score: float
    error: Interval
    error_by_chance: float
    z: float | None
    p_value: float | None
    bins: tuple[Bin, ...]


def wilson(share: float, worth: float) -> tuple[float, float]:
    """The 95 % interval of a share seen in so many independent cases."""
    square = _Z95 * _Z95
    middle = (share + square / (2 * worth)) / (1 + square / worth)
    half = _Z95 / (1 + square / worth) * sqrt(share * (1 - share) / worth + square / (4 * worth * worth))
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))


def calibration(
    stated: Sequence[float], came_true: Sequence[int], decisions: Sequence[Hashable], *, seed: int = 0
) -> Calibration:
    """Judge probabilities by outcomes; `decisions` says which cases belong together. Raises ValueError for no cases."""
    p, y = np.asarray(stated, dtype=np.float64), np.asarray(came_true, dtype=np.float64)
    if not p.size or p.size != y.size or p.size != len(decisions):
        raise ValueError("as many probabilities as outcomes and decisions, and at least one")
    numbers: dict[Hashable, int] = {}
    owner = np.array([numbers.setdefault(each, len(numbers)) for each in decisions], dtype=np.int64)
    distinct = np.unique(p)
    few = distinct.size <= BINS
    place = np.searchsorted(distinct, p) if few else np.minimum((p * BINS).astype(np.int64), BINS - 1)
    n, base = p.size, float(y.mean())
    bins, reliability, resolution = [], 0.0, 0.0
    for index in np.unique(place):
        here = place == index
        count, mean_p, share = int(here.sum()), float(p[here].mean()), float(y[here].mean())
        worth = _worth(owner[here])
        bins.append(Bin(mean_p, count, worth, share, *wilson(share, worth)))
        reliability += count * (mean_p - share) ** 2 / n
        resolution += count * (share - base) ** 2 / n
    brier, uncertainty = float(((p - y) ** 2).mean()), base * (1 - base)
    edged = np.clip(p, _EDGE, 1 - _EDGE)
    worth = _worth(owner)
    z = _spiegelhalter(p, y, owner)
    error, by_chance = _expected_error(p, y, place, owner, seed)
    return Calibration(
        cases=n,
        decisions=len(numbers),
        worth=worth,
        stated=float(p.mean()),
        distinct=int(distinct.size),
        share=Interval(base, *wilson(base, worth)),
        brier=brier,
        reliability=reliability,
        resolution=resolution,
        uncertainty=uncertainty,
        within_bins=brier - (reliability - resolution + uncertainty),
        log_score=float(-(y * np.log(edged) + (1 - y) * np.log(1 - edged)).mean()),
        error=error,
        error_by_chance=by_chance,
        z=z,
        p_value=None if z is None else erfc(abs(z) / sqrt(2)),
        bins=tuple(bins),
    )


def _worth(owner: npt.NDArray[np.int64]) -> float:
    """How many independent cases these are, if cases of one decision are all alike."""
    sizes = np.bincount(owner).astype(np.float64)
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def _spiegelhalter(p: Floats, y: Floats, owner: npt.NDArray[np.int64]) -> float | None:
    told = float(((y - p) * (1 - 2 * p)).sum())
    spread = np.abs(1 - 2 * p) * np.sqrt(p * (1 - p))
    variance = float((np.bincount(owner, weights=spread) ** 2).sum())
    return told / sqrt(variance) if variance > 0 else None


def _expected_error(
    p: Floats, y: Floats, place: npt.NDArray[Any], owner: npt.NDArray[np.int64], seed: int
) -> tuple[Interval, float]:
    """The error, its interval over resampled decisions, and what chance alone makes of it (outcomes drawn from `p`)."""
    rng = np.random.default_rng(seed)
    bins, many = int(place.max()) + 1, int(owner.max()) + 1
    gap = np.zeros((many, bins))  # of each decision, by how much it was too sure in each bin
    np.add.at(gap, (owner, place), p - y)
    size = np.bincount(owner, minlength=many).astype(np.float64)

    def error(weights: Floats) -> Floats:
        told: Floats = np.abs(weights @ gap).sum(axis=-1) / (weights @ size)
        return told

    drawn = rng.multinomial(many, np.full(many, 1 / many), size=_RESAMPLES).astype(np.float64)
    low, high = np.quantile(error(drawn), [0.025, 0.975])
    luck = rng.random((200, many))[:, owner] < p
    chance = [np.abs(np.bincount(place, weights=p - each)).sum() / p.size for each in luck]
    seen = float(error(np.ones(many)))
    return Interval(seen, float(min(low, seen)), float(max(high, seen))), float(np.mean(chance))
