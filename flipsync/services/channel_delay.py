"""What is known of a channel that sells from a shared shelf: its demand and its delays.

Delays are a handful of points: quick to average over, and with the mean of what was measured, long tails included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: shares of the shortest, …, the longest delays; each is kept as its mean
WEIGHTS: tuple[float, ...] = (0.25, 0.25, 0.25, 0.15, 0.07, 0.02, 0.01)
#: what is believed of an account before it sold anything, and counts as so many sales: seconds, by WEIGHTS. A careful
#: guess: a notice in seconds, polling when it is lost, and one sale in a hundred in a breakdown of an hour
BELIEVED_SALES = 20
BELIEVED_TOLD: tuple[float, ...] = (2.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)
BELIEVED_SHOWN: tuple[float, ...] = (1.0, 2.0, 5.0, 20.0, 120.0, 900.0, 3600.0)


@dataclass(frozen=True)
class Goods:
    """How much some goods are wanted: sales a second on a channel of weight 1, Gamma with `shape` and `seconds`."""

    shape: float
    seconds: float

    @property
    def rate(self) -> float:
        return self.shape / self.seconds


@dataclass(frozen=True)
class Seller:
    """A channel: how much of the demand comes to it, and its two delays (points of `WEIGHTS`)."""

    weight: float
    told: tuple[float, ...]
    shown: tuple[float, ...]


def points_of(measured: Sequence[float], believed: Sequence[float], sales: int = BELIEVED_SALES) -> tuple[float, ...]:
    """Measured seconds together with what was believed, which counts as `sales` of them, as the means of `WEIGHTS`."""
    total = len(measured) + sales
    if total == 0:
        raise ValueError("neither measured nor believed")
    mass = [(seconds, 1.0 / total) for seconds in measured]
    if sales:
        mass += [(seconds, share * sales / total) for seconds, share in zip(believed, WEIGHTS, strict=True)]
    mass.sort()
    points, left, index = [], mass[0][1], 0
    for share in WEIGHTS:
        wanted, weighed, last = share, 0.0, mass[index][0]
        while wanted > 1e-12:
            if left <= 1e-15:
                if index + 1 == len(mass):
                    break
                index += 1
                left = mass[index][1]
            take = min(left, wanted)
            last = mass[index][0]
            weighed, wanted, left = weighed + take * last, wanted - take, left - take
        points.append(weighed / (share - wanted) if share - wanted > 1e-12 else last)
    return tuple(points)
