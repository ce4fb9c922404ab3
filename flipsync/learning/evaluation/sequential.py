"""A/B tests that may be looked at as often as one likes.

A confidence sequence by the normal mixture (Robbins 1970; Howard, Ramdas et al. 2021; Waudby-Smith et al. 2024 for an
estimated variance): with chance 1 − α it holds the true difference at every moment at once, not at one chosen before.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from flipsync.learning.protocol import Interval
from flipsync.learning.simulator import Array


def radius(variance: Array | float, n: Array | float, alpha: float, tuned_for: float) -> Array:
    """Half width of the sequence after n observations; tightest near n = `tuned_for`."""
    rho2 = (-2 * np.log(alpha) + np.log(-2 * np.log(alpha) + 1)) / tuned_for
    count = np.asarray(n, dtype=np.float64)
    grows = count * rho2 + 1
    return np.asarray(np.sqrt(variance * 2 * grows / (count**2 * rho2) * np.log(np.sqrt(grows) / alpha)))


@dataclass
class PeekableTest:
    """Differences (challenger minus incumbent, paired or randomised half by half) come in; the verdict is always valid.

    `least` observations are seen before any verdict, for the variance is estimated. The difference's unit is the
    reward's.
    """

    alpha: float = 0.05
    tuned_for: float = 500.0
    least: int = 50
    n: int = 0
    mean: float = 0.0
    squares: float = field(default=0.0, repr=False)

    def observe(self, difference: float) -> None:
        self.n += 1
        step = difference - self.mean
        self.mean += step / self.n
        self.squares += step * (difference - self.mean)

    def interval(self) -> Interval:
        """Where the true difference lies, now and at every other look."""
        if self.n < self.least:
            return Interval(self.mean, float("-inf"), float("inf"))
        half = float(radius(self.squares / (self.n - 1), self.n, self.alpha, self.tuned_for))
        return Interval(self.mean, self.mean - half, self.mean + half)

    def verdict(self) -> str:
        """`challenger`, `incumbent` or `open`."""
        told = self.interval()
        return "challenger" if told.low > 0 else "incumbent" if told.high < 0 else "open"


def ever_rejects(differences: Array, *, alpha: float = 0.05, tuned_for: float = 500.0, least: int = 50) -> np.ndarray:
    """For many tests at once, (tests, n): whether somebody who looks after every observation ever sees a winner."""
    n = np.arange(1, differences.shape[1] + 1)
    mean = np.cumsum(differences, axis=1) / n
    variance = np.maximum(np.cumsum(differences**2, axis=1) / n - mean**2, 0) * n / np.maximum(n - 1, 1)
    outside = np.abs(mean) > radius(variance, n, alpha, tuned_for)
    return np.asarray(outside[:, least - 1 :].any(axis=1))
