"""Targets from quantiles: which one is reached with a wanted probability, and how likely one is. Plain arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, log10

from flipsync.domain.goals import Goals

#: the chances of the quantiles (services.outlook)
_STEPS = 40


def wanted_chance(goals: Goals) -> float:
    """How likely an owner of these goals wants a target to be: growth stretches, care does not."""
    chance = {"cash now": 0.6, "balanced": 0.55, "growth": 0.4}[goals.horizon]
    return round(chance + {"careful": 0.15, "balanced": 0.0, "bold": -0.1}[goals.risk], 2)


def target_for(quantiles: Sequence[float], chance: float) -> float:
    """The figure reached with that chance, to two or three digits as people say it."""
    exact = _at(quantiles, 1 - chance)
    if exact <= 0:
        return 0.0
    digit = 10 ** (floor(log10(exact)) - 2)
    return float(max(1.0, round(exact / digit) * digit))


def chance_of(quantiles: Sequence[float], target: float) -> float:
    """The probability to reach the target, between 0.01 and 0.99: quantiles do not know what is rarer."""
    if target <= quantiles[0]:
        return _bounded(1 - _edge(quantiles[0], target))
    if target > quantiles[-1]:
        return 0.01
    for place in range(1, len(quantiles)):
        if target <= quantiles[place]:
            low, high = quantiles[place - 1], quantiles[place]
            share = (target - low) / (high - low) if high > low else 0.0
            return _bounded(1 - (place + share) / _STEPS)
    return 0.01


def _edge(first: float, target: float) -> float:
    return (target / first if first > 0 else 1.0) / _STEPS


def _at(quantiles: Sequence[float], level: float) -> float:
    place = min(max(level * _STEPS - 1, 0.0), len(quantiles) - 1.0)
    below = int(place)
    above = min(below + 1, len(quantiles) - 1)
    return quantiles[below] + (quantiles[above] - quantiles[below]) * (place - below)


def _bounded(chance: float) -> float:
    return round(min(max(chance, 0.01), 0.99), 4)
