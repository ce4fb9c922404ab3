"""The arena's other firms: the ways of pricing that sellers and the challenge's entrants are known to use."""

from __future__ import annotations

import numpy as np

from flipsync.learning.pricing.arena import FLOOR, Firm
from flipsync.learning.simulator import Array

_ARMS = np.geomspace(2.0, 30.0, 14)


class Fixed(Firm):
    """Asks its opening price for ever."""

    name = "fixed"


class Undercut(Firm):
    """Two per cent below the cheapest other, but not below 3: then back to its opening price."""

    name = "undercut"

    def price(self, last: Array | None) -> Array:
        if last is None:
            return self.opening
        wanted = last[:, self.others].min(axis=1) * 0.98
        return np.where(wanted < 3.0, self.opening, np.minimum(wanted, 30.0))


class Regression(Firm):
    """Sales as a line in its own price, least squares over a fading past, and the line's best price; some noise."""

    name = "regression"

    def begin(self, runs: int, firms: int, me: int, rng: np.random.Generator) -> None:
        super().begin(runs, firms, me, rng)
        self.sums = np.zeros((runs, 5))

    def price(self, last: Array | None) -> Array:
        n, p, pp, d, pd = self.sums.T
        det = n * pp - p**2
        usable = det > 1e-6
        slope = np.where(usable, (n * pd - p * d) / np.where(usable, det, 1.0), 0.0)
        level = (d - slope * p) / np.maximum(n, 1e-9)
        falling = usable & (slope < -1e-3)
        best = np.where(falling, level / (-2 * np.where(falling, slope, -1.0)), self.opening)
        return np.clip(best, 2, 30) * np.exp(0.08 * self.rng.standard_normal(self.runs))

    def learn(self, prices: Array, sales: Array) -> None:
        mine = prices[:, self.me]
        seen = np.column_stack([np.ones_like(mine), mine, mine**2, sales, mine * sales])
        self.sums = 0.98 * self.sums + seen


class Logit(Firm):
    """Sales as N/(1 + e^{a + b·ln(p / cheapest other)}), b and N by stochastic gradient; best price on a grid."""

    name = "logit"

    def begin(self, runs: int, firms: int, me: int, rng: np.random.Generator) -> None:
        super().begin(runs, firms, me, rng)
        self.figures = np.tile([np.log(30.0), 0.0, 1.5], (runs, 1))

    def _sales(self, ratio: Array) -> Array:
        n, a, b = (self.figures[:, i].reshape(-1, *[1] * (ratio.ndim - 1)) for i in range(3))
        return np.asarray(np.exp(n) / (1 + np.exp(np.clip(a + b * ratio, -30, 30))), dtype=np.float64)

    def price(self, last: Array | None) -> Array:
        if last is None:
            return self.opening
        other = last[:, self.others].min(axis=1)
        revenue = _ARMS * self._sales(np.log(_ARMS[None, :] / other[:, None]))
        return np.asarray(_ARMS[revenue.argmax(axis=1)] * np.exp(0.05 * self.rng.standard_normal(self.runs)))

    def learn(self, prices: Array, sales: Array) -> None:
        ratio = np.log(prices[:, self.me] / prices[:, self.others].min(axis=1))
        told = self._sales(ratio)
        size = np.exp(self.figures[:, 0])
        error = (sales - told) / np.maximum(told, 1.0)
        bend = 1 - told / size
        uphill = np.column_stack([np.ones_like(ratio), -bend, -bend * ratio])
        self.figures = np.clip(self.figures + 0.03 * error[:, None] * uphill, [1, -5, 0.2], [6, 5, 8])


class Bandit(Firm):
    """UCB1 over fourteen prices, revenue scaled by the greatest seen."""

    name = "bandit"

    def begin(self, runs: int, firms: int, me: int, rng: np.random.Generator) -> None:
        super().begin(runs, firms, me, rng)
        self.tries, self.sums = np.zeros((runs, len(_ARMS))), np.zeros((runs, len(_ARMS)))
        self.most, self.arm, self.period = np.ones(runs), np.zeros(runs, dtype=np.int64), 0

    def price(self, last: Array | None) -> Array:
        self.period += 1
        bonus = np.sqrt(2 * np.log(self.period) / np.maximum(self.tries, 1e-3))
        self.arm = (self.sums / np.maximum(self.tries, 1) / self.most[:, None] + bonus).argmax(axis=1)
        return _ARMS[self.arm]

    def learn(self, prices: Array, sales: Array) -> None:
        revenue, each = prices[:, self.me] * sales, np.arange(self.runs)
        self.tries[each, self.arm] += 1
        self.sums[each, self.arm] += revenue
        self.most = np.maximum(self.most, revenue)


class Greedy(Firm):
    """Follows revenue uphill: the same direction while it rose, back when it fell."""

    name = "greedy"

    def begin(self, runs: int, firms: int, me: int, rng: np.random.Generator) -> None:
        super().begin(runs, firms, me, rng)
        self.asked, self.way, self.earned = self.opening.copy(), np.ones(runs), np.zeros(runs)

    def price(self, last: Array | None) -> Array:
        return self.asked

    def learn(self, prices: Array, sales: Array) -> None:
        revenue = prices[:, self.me] * sales
        self.way = np.where(revenue < self.earned, -self.way, self.way)
        self.earned = revenue
        self.asked = np.clip(self.asked * np.exp(0.04 * self.way), FLOOR * 4, 30)


class QFirm(Firm):
    """Q-learning over the cheapest other's price (ten bands) and fourteen prices, exploring ever less."""

    name = "q-learner"

    def begin(self, runs: int, firms: int, me: int, rng: np.random.Generator) -> None:
        super().begin(runs, firms, me, rng)
        self.q = np.full((runs, 10, len(_ARMS)), 2000.0)
        self.state = np.zeros(runs, dtype=np.int64)
        self.arm, self.period = np.zeros(runs, dtype=np.int64), 0

    def price(self, last: Array | None) -> Array:
        each = np.arange(self.runs)
        wander = self.rng.random(self.runs) < np.exp(-self.period / 150)
        self.arm = np.where(
            wander, self.rng.integers(len(_ARMS), size=self.runs), self.q[each, self.state].argmax(axis=1)
        )
        self.period += 1
        return _ARMS[self.arm]

    def learn(self, prices: Array, sales: Array) -> None:
        each = np.arange(self.runs)
        other = prices[:, self.others].min(axis=1)
        after = np.clip((np.log(other / 2) / np.log(15) * 10).astype(np.int64), 0, 9)
        target = prices[:, self.me] * sales + 0.9 * self.q[each, after].max(axis=1)
        self.q[each, self.state, self.arm] += 0.15 * (target - self.q[each, self.state, self.arm])
        self.state = after


def rivals() -> list[Firm]:
    """One of each."""
    return [Fixed(), Undercut(), Regression(), Logit(), Bandit(), Greedy(), QFirm()]
