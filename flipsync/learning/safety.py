"""What no learned price may do, whatever it has learned: floor, ceiling, step, collusion (for its cost: `budget`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from flipsync.learning.simulator import Array, Ints


@dataclass(frozen=True)
class Guarded:
    """A price as it may be asked, and what held it back (empty: nothing)."""

    price: int
    because: tuple[str, ...] = ()


@dataclass(frozen=True)
class PriceGuard:
    """Prices in minor units. `max_step` is the greatest change at once, as a share of the current price.

    The floor is stronger than the step: below the floor nothing is ever asked. Raises ValueError for a floor above the
    ceiling or a step outside (0, 1].
    """

    floor: int
    ceiling: int
    max_step: float

    def __post_init__(self) -> None:
        if not 0 < self.floor <= self.ceiling:
            raise ValueError(f"floor {self.floor} and ceiling {self.ceiling}: 0 < floor ≤ ceiling is needed")
        if not 0 < self.max_step <= 1:
            raise ValueError(f"a step of {self.max_step} is not a share between 0 and 1")

    def hold(self, wanted: float, current: int | None = None) -> Guarded:
        """The nearest price allowed. Raises ValueError for a price that is no finite number."""
        if not np.isfinite(wanted):
            raise ValueError(f"a policy asked for {wanted}, which is no price")
        price, because = round(wanted), []
        if current is not None:
            least, most = int(np.ceil(current * (1 - self.max_step))), int(np.floor(current * (1 + self.max_step)))
            if not least <= price <= most:
                price = min(max(price, least), most)
                because.append(f"no more than {self.max_step:.0%} at once from {current}")
        if price > self.ceiling:
            price = self.ceiling
            because.append(f"ceiling {self.ceiling}")
        if price < self.floor:
            price = self.floor
            because.append(f"floor {self.floor}")
        return Guarded(price, tuple(because))


@dataclass(frozen=True)
class CollusionProbe:
    """What two copies of a pricing policy did to one another, and whether that may ship."""

    gain: float
    punished: float
    limit: float

    @property
    def passed(self) -> bool:
        return self.gain <= self.limit


def probe_collusion(
    play: Callable[[int], tuple[Array, Ints]],
    profit_gain: Callable[[float], float],
    *,
    seeds: tuple[int, ...],
    limit: float,
) -> CollusionProbe:
    """Let a policy meet itself and measure the profit gain Δ (0: competition, 1: monopoly), worst of the seeds.

    `play(seed)` returns profits (periods, 2) and price indices (periods, 2); the last tenth counts. `punished` is the
    share of price cuts that the other side answers by going lower in the next period, told for the record.
    """
    gains, answered, cuts = [], 0, 0
    for seed in seeds:
        profits, prices = play(seed)
        tail = len(profits) // 10
        gains.append(profit_gain(float(profits[-tail:].mean())))
        for side in (0, 1):
            cut = np.flatnonzero(np.diff(prices[-tail:, side]) < 0)
            cut = cut[cut < tail - 2]
            cuts += len(cut)
            other = prices[-tail:, 1 - side]
            answered += int((other[cut + 2] < other[cut]).sum())
    return CollusionProbe(max(gains), answered / cuts if cuts else 0.0, limit)
