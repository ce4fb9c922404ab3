"""Confidence intervals for shares that a benchmark counted."""

from __future__ import annotations

from math import sqrt

_Z95 = 1.959963984540054


def wilson(hits: int, of: int) -> dict[str, float]:
    """Share with its 95 % interval (E. B. Wilson 1927), which stays honest at 0 and at 1. `of` is at least 1."""
    share, square = hits / of, _Z95 * _Z95
    middle = (share + square / (2 * of)) / (1 + square / of)
    half = _Z95 / (1 + square / of) * sqrt(share * (1 - share) / of + square / (4 * of * of))
    return {"hits": hits, "of": of, "share": share, "low": max(0.0, middle - half), "high": min(1.0, middle + half)}
