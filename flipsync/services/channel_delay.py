"""What is known of a channel that sells from a shared shelf: its demand and its delays.

Delays are a handful of points: quick to average over, and with the mean of what was measured, long tails included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, inf, lgamma, log

#: shares of the shortest, …, the longest delays; each is kept as its mean. Fine at the top, to one in a thousand:
#: breakdowns are there, and two sales within one go by its square, which the mean of many lengths understates
WEIGHTS: tuple[float, ...] = (0.45, 0.3, 0.15, 0.08, 0.012, 0.005, 0.002, 0.001)
#: what is believed of an account before it sold anything, and counts as so many sales: seconds, by WEIGHTS. A careful
#: guess: a notice in seconds, polling when it is lost, and one sale in a hundred in a breakdown of an hour
BELIEVED_SALES = 10
BELIEVED_TOLD: tuple[float, ...] = (3.0, 10.0, 45.0, 240.0, 900.0, 1800.0, 4500.0, 7200.0)
BELIEVED_SHOWN: tuple[float, ...] = (1.3, 3.5, 15.0, 95.0, 900.0, 1800.0, 4500.0, 7200.0)


@dataclass(frozen=True)
class Goods:
    """How much some goods are wanted: sales a second on a channel of weight 1.

    A mixture of Gammas: share, shape, seconds.
    """

    parts: tuple[tuple[float, float, float], ...]

    @classmethod
    def gamma(cls, shape: float, seconds: float) -> Goods:
        return cls(((1.0, shape, seconds),))

    @property
    def rate(self) -> float:
        """Expected."""
        return sum(share * shape / seconds for share, shape, seconds in self.parts)

    def after(self, sold: float, seconds: float) -> Goods:
        """What is known once so much was sold in so many seconds on show (those of a channel of weight 1)."""
        likely = [
            log(share) + lgamma(shape + sold) - lgamma(shape) + shape * log(time) - (shape + sold) * log(time + seconds)
            for share, shape, time in self.parts
        ]
        most = max(likely)
        whole = sum(exp(each - most) for each in likely)
        return Goods(
            tuple(
                (exp(each - most) / whole, shape + sold, time + seconds)
                for each, (_, shape, time) in zip(likely, self.parts, strict=True)
                if each - most > -25.0
            )
        )


@dataclass(frozen=True)
class Seller:
    """A channel: how much of the demand comes to it, and its two delays (points of `WEIGHTS`).

    `alike` is how sure its part in the demand for these goods is, in sales; without end where it is known.
    """

    weight: float
    told: tuple[float, ...]
    shown: tuple[float, ...]
    alike: float = inf


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
