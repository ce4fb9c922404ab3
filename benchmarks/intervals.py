"""Confidence intervals for shares that a benchmark counted, and for slopes of what it saw over time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt
from statistics import fmean

_Z95 = 1.959963984540054


def wilson(hits: int, of: int) -> dict[str, float]:
    """Share with its 95 % interval (E. B. Wilson 1927), which stays honest at 0 and at 1. `of` is at least 1."""
    share, square = hits / of, _Z95 * _Z95
    middle = (share + square / (2 * of)) / (1 + square / of)
    half = _Z95 / (1 + square / of) * sqrt(share * (1 - share) / of + square / (4 * of * of))
    return {"hits": hits, "of": of, "share": share, "low": max(0.0, middle - half), "high": min(1.0, middle + half)}


def slope(points: Sequence[tuple[float, float]]) -> dict[str, float]:
    """How fast y grows with x, by least squares, with its 95 % interval. Raises ValueError for fewer than three points.

    Points that follow each other are alike, which makes the plain interval too narrow: its standard error is multiplied
    by ((1 + r) / (1 - r))^½ for the residuals' correlation r from one to the next, where that is above zero (an AR(1)
    process: C. W. J. Granger and P. Newbold 1974; G. E. P. Box, G. M. Jenkins and G. C. Reinsel, "Time Series
    Analysis").
    """
    x, y = [point[0] for point in points], [point[1] for point in points]
    spread = sum((each - fmean(x)) ** 2 for each in x) if points else 0.0
    if len(points) < 3 or not spread:
        raise ValueError("a slope needs three points that lie apart")
    mean = sum((a - fmean(x)) * (b - fmean(y)) for a, b in points) / spread
    rest = [b - fmean(y) - mean * (a - fmean(x)) for a, b in points]
    squares = sum(each * each for each in rest)
    alike = sum(a * b for a, b in pairwise(rest)) / squares if squares else 0.0
    alike = min(0.95, max(0.0, alike))
    half = _Z95 * sqrt(squares / (len(points) - 2) / spread * (1 + alike) / (1 - alike))
    return {"mean": mean, "low": mean - half, "high": mean + half}
