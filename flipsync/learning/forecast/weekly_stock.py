"""P11 week by week: how many to have, of goods that sell now and then, as their weeks go by."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from flipsync.learning.forecast.intermittent import HORIZON, Market, newsvendor_cost
from flipsync.learning.simulator import Array, Simulator


def drawn_weeks(seed: int, weeks: int = 52) -> Array:
    """Units sold of one good of a drawn market, (weeks,)."""
    sold: Array = Market.draw(40, weeks, seed).sold[0]
    return sold


class WeeklyStock(Simulator):
    """One good a run, `weeks(seed)` its (seen + HORIZON,) weekly sales. Observation: the last `seen` weeks. Action:
    units to have next week. Reward: minus its share of the newsvendor's cost, so that an episode's rewards are minus
    `newsvendor_cost` of the last HORIZON weeks where the same stock is held in all of them. Raises ValueError at
    `reset` for another number of weeks."""

    horizon = HORIZON

    def __init__(self, service: float = 0.9, seen: int = 40, weeks: Callable[[int], Array] = drawn_weeks) -> None:
        super().__init__()
        self.service, self.observation_size, self.weeks = service, seen, weeks
        self.sold = np.zeros((0, seen + HORIZON))

    def _begin(self) -> Array:
        self.sold = np.stack([self.weeks(seed) for seed in self._seeds()])
        if self.sold.shape[1] != self.observation_size + HORIZON:
            raise ValueError(f"{self.sold.shape[1]} weeks, expected {self.observation_size} + {HORIZON}")
        return self.sold[:, : self.observation_size].copy()

    def _move(self, actions: Array) -> tuple[Array, Array]:
        after = self.period + 1
        seen = self.sold[:, after : after + self.observation_size].copy()
        return seen, -newsvendor_cost(np.maximum(actions[:, 0], 0.0), seen[:, -1:], self.service) / HORIZON
