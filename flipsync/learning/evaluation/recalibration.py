"""What a stated confidence is worth, by what came of those stated before: logistic recalibration.

log-odds counted = slope * log-odds stated + shift (D. R. Cox, "Two further applications of a model for binary
regression", Biometrika 45, 1958). A slope of at least 0 keeps the order: of two decisions the surer one stays the
surer. Slope and shift are the most likely ones under a normal prior around a map believed before (identity, or what the
agent's other decisions show). How far to go from that map is the chance that there is anything to correct, by the two
hypotheses' evidence (Laplace's approximation, even odds): little data, or a calibrated agent, leaves things as they
are. Plain Python: cases come grouped by what was stated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log, log1p
from typing import Final, NamedTuple

#: a probability of 0 or 1 counts as this far from it
_EDGE: Final = 0.001
#: standard deviations of the prior: of the slope, and of the shift (log-odds)
_SLOPE, _SHIFT = 0.5, 1.0
_TURNS, _NEAR = 60, 1e-9


class Group(NamedTuple):
    """Decisions that stated the same: what they count for together, and how much of that came true."""

    stated: float
    weight: float
    came_true: float


@dataclass(frozen=True)
class Recalibration:
    slope: float = 1.0
    shift: float = 0.0

    def of(self, stated: float) -> float:
        """What the confidence counts as, in [0, 1]; the same again for the map that changes nothing."""
        if (self.slope, self.shift) == (1.0, 0.0):
            return stated
        return _chance(self.slope * _odds(stated) + self.shift)

    def towards(self, other: Recalibration, part: float) -> Recalibration:
        """So far on the way to another map; the order of confidences is kept all along."""
        return Recalibration(
            self.slope + part * (other.slope - self.slope), self.shift + part * (other.shift - self.shift)
        )


IDENTITY: Final = Recalibration()


def fit(groups: Sequence[Group], believed: Recalibration = IDENTITY) -> tuple[Recalibration, float]:
    """The map, and the chance that there is something to correct about the one `believed` before.

    Raises ValueError for a weight below 0, more that came true than there was, or a probability outside [0, 1].
    """
    for each in groups:
        if not (0 <= each.stated <= 1 and each.weight >= 0 and -_NEAR <= each.came_true <= each.weight + _NEAR):
            raise ValueError(f"{each} is no group of decisions")
    known = [(_odds(each.stated), each.weight, each.came_true) for each in groups if each.weight > 0]
    if not known:
        return believed, 0.5
    slope, shift = _most_likely(known, believed)
    _, (a, b, c) = _slopes(known, believed, slope, shift)
    away = ((slope - believed.slope) / _SLOPE) ** 2 + ((shift - believed.shift) / _SHIFT) ** 2
    gained = _likely(known, slope, shift) - _likely(known, believed.slope, believed.shift)
    gained -= away / 2 + log(_SLOPE * _SHIFT) + log(a * c - b * b) / 2
    chance = _chance(gained)
    return believed.towards(Recalibration(slope, shift), chance), chance


def _most_likely(known: Sequence[tuple[float, float, float]], believed: Recalibration) -> tuple[float, float]:
    """Newton's steps, halved while they lead down: the logarithm is concave. A slope below 0 is held at 0."""

    def height(at: tuple[float, float]) -> float:
        away = ((at[0] - believed.slope) / _SLOPE) ** 2 + ((at[1] - believed.shift) / _SHIFT) ** 2
        return _likely(known, *at) - away / 2

    at = (max(0.0, believed.slope), believed.shift)
    now = height(at)
    for _ in range(_TURNS):
        (up_slope, up_shift), (a, b, c) = _slopes(known, believed, *at)
        if at[0] == 0.0 and up_slope <= 0:  # it stands at the border, and would go on
            step = (0.0, up_shift / c)
        else:
            whole = a * c - b * b
            step = ((c * up_slope - b * up_shift) / whole, (a * up_shift - b * up_slope) / whole)
        size = 1.0
        while size > _NEAR:
            to = (max(0.0, at[0] + size * step[0]), at[1] + size * step[1])
            if (then := height(to)) >= now:
                break
            size /= 2
        else:
            return at
        near = abs(to[0] - at[0]) + abs(to[1] - at[1]) < _NEAR
        at, now = to, then
        if near:
            break
    return at


def _likely(known: Sequence[tuple[float, float, float]], slope: float, shift: float) -> float:
    """The logarithm of how likely the outcomes are."""
    total = 0.0
    for odds, weight, came_true in known:
        x = slope * odds + shift
        total += came_true * x - weight * (max(x, 0.0) + log1p(exp(-abs(x))))
    return total


def _slopes(
    known: Sequence[tuple[float, float, float]], believed: Recalibration, slope: float, shift: float
) -> tuple[tuple[float, float], tuple[float, float, float]]:
    """First derivatives by slope and shift, and the second ones with their sign turned: (slope, both, shift)."""
    up_slope, up_shift = (believed.slope - slope) / _SLOPE**2, (believed.shift - shift) / _SHIFT**2
    a, b, c = 1 / _SLOPE**2, 0.0, 1 / _SHIFT**2
    for odds, weight, came_true in known:
        chance = _chance(slope * odds + shift)
        off, bend = came_true - weight * chance, weight * chance * (1 - chance)
        up_slope, up_shift = up_slope + off * odds, up_shift + off
        a, b, c = a + bend * odds * odds, b + bend * odds, c + bend
    return (up_slope, up_shift), (a, b, c)


def _odds(chance: float) -> float:
    edged = min(max(chance, _EDGE), 1 - _EDGE)
    return log(edged / (1 - edged))


def _chance(odds: float) -> float:
    return 1 / (1 + exp(-odds)) if odds >= 0 else exp(odds) / (1 + exp(odds))
