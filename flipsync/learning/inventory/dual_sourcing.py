"""P9: two sources, a cheap slow one and a dear fast one (Gijsbrechts et al., M&SOM 2022, section 5.2, figure 9).

Each period: order from the regular source (arrives l_r periods on, c_r a unit) and from the express one (at once,
c_e a unit); demand, uniform on {0..4}, is met or backordered: h a unit left, b a unit owed. State: net stock plus what
arrives now, and the regular orders on their way.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np

from flipsync.learning.simulator import Array, Ints, Simulator

DEMAND = np.arange(5)


@dataclass(frozen=True)
class DualSourcing:
    """The problem on a finite grid: net stock −span..span, orders 0..order_cap."""

    lead: int
    express: float
    regular: float = 100.0
    holding: float = 5.0
    backorder: float = 495.0
    order_cap: int = 4
    express_cap: int = 8

    @cached_property
    def low(self) -> int:
        return -8

    @cached_property
    def high(self) -> int:
        return 4 * (self.lead + 1) + 8

    @cached_property
    def shape(self) -> tuple[int, ...]:
        return (self.high - self.low + 1, *[self.order_cap + 1] * (self.lead - 1))

    @cached_property
    def period_cost(self) -> Array:
        """Expected holding and backorder cost of ending at y − D, y the net stock after arrivals and express."""
        y = np.arange(self.low, self.high + 1)[:, None] - DEMAND[None, :]
        return np.asarray((self.holding * np.maximum(y, 0) - self.backorder * np.minimum(y, 0)).mean(axis=1))

    def _ahead(self, values: Array) -> Array:
        """Worth of every (net stock after express, pipeline…, regular order): cost now and the value one period on."""
        size, came = self.shape[0], np.arange(self.order_cap + 1)
        stock = np.arange(size)
        total: Array = np.zeros((size, *[self.order_cap + 1] * self.lead))
        for demand in DEMAND:
            # next net stock = this − demand + oldest regular order; the new order joins the end of the pipeline
            arrived = np.clip(stock[:, None] - demand + came[None, :], 0, size - 1)
            total += values[arrived] / len(DEMAND)
        cost = self.period_cost.reshape(-1, *[1] * self.lead)
        return cost + self.regular * came + total

    def _choices(self, values: Array) -> tuple[Array, Ints, Ints]:
        """Least worth of every state, and the express and regular orders that bring it."""
        ahead = self._ahead(values)
        best, regular = ahead.min(axis=-1), ahead.argmin(axis=-1)
        size = self.shape[0]
        worth, express = np.full(self.shape, np.inf), np.zeros(self.shape, dtype=np.int64)
        for units in range(self.express_cap + 1):
            here = np.minimum(np.arange(size) + units, size - 1)
            tried = best[here] + self.express * units
            better = tried < worth - 1e-12
            worth, express = np.where(better, tried, worth), np.where(better, units, express)
        raised = np.minimum(np.arange(size).reshape(-1, *[1] * (self.lead - 1)) + express, size - 1)
        rest = np.indices(self.shape)[1:]
        return worth, express, regular[(raised, *rest)]

    def solve(self, tolerance: float = 1e-4) -> tuple[float, Ints, Ints]:
        """Optimal mean cost, express and regular orders by state; relative value iteration."""
        values = np.zeros(self.shape)
        while True:
            new, express, regular = self._choices(values)
            change = new - values
            if change.max() - change.min() < tolerance:
                return float((change.max() + change.min()) / 2), express, regular
            values = new - new.flat[0]

    def cost_of(self, express: Ints, regular: Ints, tolerance: float = 1e-4, rounds: int = 5000) -> float:
        """Mean cost of a stationary policy; inf when its equation does not settle within `rounds`."""
        size, rest = self.shape[0], np.indices(self.shape)[1:]
        raised = np.minimum(np.arange(size).reshape(-1, *[1] * (self.lead - 1)) + express, size - 1)
        values = np.zeros(self.shape)
        for _ in range(rounds):
            new = self._ahead(values)[(raised, *rest, regular)] + self.express * express
            change = new - values
            if change.max() - change.min() < tolerance:
                return float((change.max() + change.min()) / 2)
            values = new - new.flat[0]
        return float("inf")

    def capped_dual_index(self, express_to: int, regular_to: int, cap: int) -> tuple[Ints, Ints]:
        """Sun and Van Mieghem's policy (Operations Research 2019): express lifts the net stock to one level, regular
        lifts stock and all that is on its way to another, but by no more than a cap."""
        states = np.indices(self.shape)
        net = states[0] + self.low
        express = np.clip(express_to - net, 0, self.express_cap)
        position = net + express + states[1:].sum(axis=0)
        return express, np.clip(regular_to - position, 0, min(cap, self.order_cap))

    def best_capped_dual_index(self) -> tuple[float, tuple[int, int, int]]:
        """The best of that family, by looking at all in a sensible range."""
        best = (float("inf"), (0, 0, 0))
        for express_to, cap in product(range(7), range(1, self.order_cap + 1)):
            for regular_to in range(express_to, 4 * (self.lead + 1) + 5):
                orders = self.capped_dual_index(express_to, regular_to, cap)
                found = self.cost_of(*orders, tolerance=0.02, rounds=400)
                best = min(best, (found, (express_to, regular_to, cap)))
        exact = self.cost_of(*self.capped_dual_index(*best[1]))
        return exact, best[1]


class DualSourcingWorld(Simulator):
    """Observation: net stock and the regular orders on their way. Action: (express, regular). Reward: minus cost."""

    action_size = 2

    def __init__(self, problem: DualSourcing, horizon: int = 500) -> None:
        super().__init__()
        self.problem, self.horizon, self.observation_size = problem, horizon, problem.lead
        self.state = np.zeros((problem.lead, 0))

    def action_bounds(self) -> tuple[Array, Array]:
        return np.zeros(2), np.array([float(self.problem.express_cap), float(self.problem.order_cap)])

    def _begin(self) -> Array:
        self.state = np.zeros((self.problem.lead, self.runs))
        return self.state.T.copy()

    def _move(self, actions: Array) -> tuple[Array, Array]:
        express, regular = np.rint(np.clip(actions, *self.action_bounds())).T
        net = self.state[0] + express - self.rng.integers(0, 5, self.runs)
        cost = self.problem.holding * np.maximum(net, 0) - self.problem.backorder * np.minimum(net, 0)
        cost = cost + self.problem.express * express + self.problem.regular * regular
        rows = np.concatenate([self.state[1:], regular[None]])
        self.state = np.concatenate([(net + rows[0])[None], rows[1:]])
        return self.state.T.copy(), -cost
