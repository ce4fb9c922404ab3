"""P3 when demand does not stand still: D = a − bp + N(0, σ²), and the line jumps now and then (Keskin, Zeevi 2017).

The learner is P3's (`unknown_line`) with a memory that fades: sums lose the share 1 − `memory` a period, and it looks
beside its price while it knows less than `most` times what P3 would want over the periods it remembers.
"""

from __future__ import annotations

import numpy as np

from flipsync.learning.pricing.unknown_line import HIGH, LOW, NOISE, LineBelief, wanted_information
from flipsync.learning.simulator import Array

#: chance of a jump in a period
JUMPS = 1 / 400


class MovingLines:
    """Lines of many runs over `periods`, each (runs, periods), and the noise of demand. Same seed, same worlds."""

    def __init__(self, runs: int, periods: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        jumps = rng.random((runs, periods)) < JUMPS
        jumps[:, 0] = True
        which = np.maximum.accumulate(np.where(jumps, np.arange(periods), 0), axis=1)
        best, slope = rng.uniform(0.9, 1.7, (runs, periods)), rng.uniform(0.3, 0.7, (runs, periods))
        rows = np.arange(runs)[:, None]
        self.b = slope[rows, which]
        self.a = 2 * best[rows, which] * self.b
        self.noise = NOISE * rng.standard_normal((runs, periods))


def lacks_information(sums: Array, memory: float, most: float) -> Array:
    """Whether the slope is known worse than it should be, (runs,); `sums` (runs, 5) as in `LineBelief`."""
    n, p, pp, d, pd = sums.T
    slope = (n * pd - p * d) / (n * pp - p**2)
    a, b = (d - slope * p) / n, np.maximum(-slope, 0.05)
    remembered = 1 / max(1 - memory, 1e-6)
    return np.asarray(pp - p**2 / n < wanted_information(a, b, remembered, most))


def play(lines: MovingLines, sums: Array | None, *, memory: float, step: float, most: float) -> tuple[Array, Array]:
    """Revenue as a share of the best possible in every run, (runs,), and the belief's sums afterwards."""
    runs, periods = lines.a.shape
    belief = LineBelief(runs)
    prior = belief.sums.copy()
    belief.sums = prior.copy() if sums is None else sums.copy()
    earned, possible = np.zeros(runs), np.zeros(runs)
    for period in range(periods):
        a, b = belief.estimate()
        price = np.clip(a / (2 * b), LOW, HIGH)
        side = step if period % 2 == 0 else -step
        price = np.where(lacks_information(belief.sums, memory, most), np.clip(price + side, LOW, HIGH), price)
        true_a, true_b = lines.a[:, period], lines.b[:, period]
        mean = true_a - true_b * price
        earned += price * mean
        possible += true_a**2 / (4 * true_b)
        belief.learn(price, mean + lines.noise[:, period])
        belief.sums = prior + memory * (belief.sums - prior)
    return earned / possible, belief.sums
