"""Whether stated probabilities are too high, asked as often as one likes.

Two bets (I. Waudby-Smith and A. Ramdas, "Estimating means of bounded random variables by betting", 2024): one against
"things come true at least as often as stated, less a tolerance", one against "at most that often". Each bet's wealth
is a supermartingale while its hypothesis holds, so by Ville's inequality it ever reaches 1/α with a chance of at most
α, whatever the probabilities are and however often it is looked at. Both have the same border: between them nothing
moves to and fro.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import exp, log

#: stakes of the bets that are mixed; below 1, so that no bet can be lost whole
_STAKES = (0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9)


@dataclass(frozen=True)
class Wealth:
    """What the bets are worth, having begun with 1, after so many decisions; with the mean stated and come true."""

    too_sure: float
    sure_enough: float
    decisions: int
    stated: float
    came_true: float


def wealth(cases: Iterable[tuple[float, float]], tolerance: float) -> Wealth:
    """Of (probability stated, share that came true), a decision each, in the order they came due."""
    against, for_it = [0.0] * len(_STAKES), [0.0] * len(_STAKES)
    count, stated, came_true = 0, 0.0, 0.0
    for p, y in cases:
        short = max(0.0, p - tolerance) - y
        for index, stake in enumerate(_STAKES):
            against[index] += log(1 + stake * short)
            for_it[index] += log(1 - stake * short)
        count, stated, came_true = count + 1, stated + p, came_true + y
    many = max(count, 1)
    return Wealth(_mean(against), _mean(for_it), count, stated / many, came_true / many)


def _mean(logs: list[float]) -> float:
    """Of what each stake made; beyond counting it is as good as sure."""
    return sum(exp(min(each, 300.0)) for each in logs) / len(logs)
