"""P8: the best (s, S) policy, exactly (Zheng and Federgruen, Operations Research 1991).

Poisson demand of mean μ a period, lead time 0, holding h, backorder b, fixed cost K an order. When the stock position
is at or below s it is raised to S. Mean cost c(s, S) = (K + Σ_j m(j)·G(S − j)) / M(S − s), m demand's renewal density.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.stats import poisson

from flipsync.learning.simulator import Array, Simulator


@dataclass(frozen=True)
class ReorderPoint:
    """The problem; costs a unit and period (h, b) and an order (K)."""

    mean: float
    holding: float = 1.0
    backorder: float = 9.0
    fixed: float = 64.0

    @cached_property
    def _span(self) -> int:
        """How far from zero a sensible position lies."""
        return int(10 * self.mean + 4 * np.sqrt(2 * self.fixed * self.mean / self.holding)) + 20

    @cached_property
    def one_period(self) -> Array:
        """G(y) = h·E(y − D)⁺ + b·E(D − y)⁺ for y = −span..span."""
        y = np.arange(-self._span, self._span + 1)
        over = np.where(y > 0, y * poisson.cdf(y, self.mean) - self.mean * poisson.cdf(y - 1, self.mean), 0.0)
        return np.asarray(self.holding * over + self.backorder * (over + self.mean - y))

    @cached_property
    def renewals(self) -> tuple[Array, Array]:
        """m(j), expected visits to S − j in a cycle, and M(j) = Σ_{i<j} m(i), the expected length."""
        size = 2 * self._span
        chance = poisson.pmf(np.arange(size), self.mean)
        visits = np.empty(size)
        visits[0] = 1 / (1 - chance[0])
        for j in range(1, size):
            visits[j] = visits[0] * (chance[1 : j + 1] @ visits[j - 1 :: -1])
        return visits, np.concatenate([[0.0], np.cumsum(visits)])

    def cost(self, reorder: int, up_to: int) -> float:
        """Mean cost of (s, S) a period. Raises ValueError unless s < S and both lie in the range looked at."""
        if not -self._span <= reorder < up_to <= self._span:
            raise ValueError("s must be below S, both within the range of sensible positions")
        visits, length = self.renewals
        steps = up_to - reorder
        costs = self.one_period[up_to + self._span - np.arange(steps)]
        return float((self.fixed + visits[:steps] @ costs) / length[steps])

    def solve(self) -> tuple[int, int, float]:
        """(s, S, cost), optimal: Zheng and Federgruen's search, which looks at each S once."""
        at = self._span
        best_one = int(self.one_period.argmin()) - at
        up_to, reorder = best_one, best_one - 1
        while self.cost(reorder, up_to) > self.one_period[reorder + at]:
            reorder -= 1
        lowest = self.cost(reorder, up_to)
        best, trial = (reorder, up_to), up_to + 1
        while trial < at and self.one_period[trial + at] <= lowest:
            if self.cost(best[0], trial) < lowest:
                reorder = best[0]
                while self.cost(reorder, trial) <= self.one_period[reorder + 1 + at]:
                    reorder += 1
                best, lowest = (reorder, trial), self.cost(reorder, trial)
            trial += 1
        return best[0], best[1], lowest


class ReorderWorld(Simulator):
    """Observation: stock, below zero what is owed. Action: an order, here at once. Reward: minus the period's cost."""

    observation_size = 1

    def __init__(self, problem: ReorderPoint, horizon: int = 1000) -> None:
        super().__init__()
        self.problem, self.horizon = problem, horizon
        self.stock = np.zeros(0)

    def action_bounds(self) -> tuple[Array, Array]:
        return np.zeros(1), np.full(1, 2.0 * self.problem._span)

    def _begin(self) -> Array:
        self.stock = np.zeros(self.runs)
        return self.stock[:, None].copy()

    def _move(self, actions: Array) -> tuple[Array, Array]:
        order = np.rint(np.clip(actions[:, 0], *self.action_bounds()))
        self.stock = self.stock + order - self.rng.poisson(self.problem.mean, self.runs)
        lying = np.where(self.stock > 0, self.problem.holding * self.stock, -self.problem.backorder * self.stock)
        return self.stock[:, None].copy(), -(lying + self.problem.fixed * (order > 0))
