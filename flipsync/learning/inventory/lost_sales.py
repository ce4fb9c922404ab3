"""P7: one item, lead time L, what is not on the shelf is lost (Zipkin, Operations Research 2008).

Each period: the order of L periods ago arrives, an order is placed, Poisson demand comes. Cost h for each unit left and
p for each lost. State: the stock on hand after arrival and the L−1 orders on their way, oldest first.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.stats import poisson

from flipsync.learning.search import minimise
from flipsync.learning.simulator import Array, Ints, Simulator

MEAN, HOLDING = 5.0, 1.0
#: optimal mean cost a period, by penalty and lead time 1..4
ZIPKIN = {
    4: (4.0407, 4.3953, 4.5987, 4.7285),
    9: (5.4382, 6.0936, 6.5313, 6.8353),
    19: (6.6757, 7.6644, 8.3625, 8.8868),
    39: (7.8359, 9.1064, 10.0385, 10.7938),
}


@dataclass(frozen=True)
class LostSales:
    """The problem on a finite grid of states: on hand 0..stock_cap, each order 0..order_cap."""

    penalty: float
    lead: int
    mean: float = MEAN

    @cached_property
    def order_cap(self) -> int:
        """No optimal order exceeds the newsvendor quantity of one period's demand (Zipkin 2008, section 3)."""
        return int(poisson.ppf(self.penalty / (self.penalty + HOLDING), self.mean)) + 1

    @cached_property
    def stock_cap(self) -> int:
        """Above the newsvendor level of L+1 periods' demand nothing is ordered; a margin of one order is kept."""
        ratio = self.penalty / (self.penalty + HOLDING)
        return int(poisson.ppf(ratio, self.mean * (self.lead + 1))) + self.order_cap

    @cached_property
    def shape(self) -> tuple[int, ...]:
        return (self.stock_cap + 1, *[self.order_cap + 1] * (self.lead - 1))

    @cached_property
    def period_cost(self) -> Array:
        """Expected cost of a period begun with x on hand: h·E(x − D)⁺ + p·E(D − x)⁺."""
        x, d = np.arange(self.stock_cap + 1)[:, None], np.arange(200)
        chance = poisson.pmf(d, self.mean)
        return np.asarray((chance * (HOLDING * np.maximum(x - d, 0) + self.penalty * np.maximum(d - x, 0))).sum(axis=1))

    @cached_property
    def left_over(self) -> Array:
        """Chance of z units left from x on hand: (stock_cap+1, stock_cap+1), lower triangular."""
        size = self.stock_cap + 1
        x, z = np.arange(size)[:, None], np.arange(size)[None, :]
        chance = np.where(z <= x, poisson.pmf(np.maximum(x - z, 0), self.mean), 0.0)
        chance[:, 0] = poisson.sf(np.arange(size) - 1, self.mean)
        return np.asarray(chance)

    def _after(self, values: Array) -> Array:
        """Expected worth one period on, (stock, pipeline…, order): demand taken off, oldest order (or this one) added.

        Values have the shape of the state; stock beyond the cap counts as the cap.
        """
        size = self.stock_cap + 1
        if self.lead == 1:
            arrived = np.minimum(np.arange(size)[:, None] + np.arange(self.order_cap + 1)[None, :], self.stock_cap)
            return np.asarray(self.left_over @ values[arrived])
        came = np.arange(self.order_cap + 1)
        arrived = np.minimum(np.arange(size)[:, None] + came[None, :], self.stock_cap)
        moved = values[arrived]  # (left, oldest, younger…, order)
        return np.asarray(np.tensordot(self.left_over, moved, axes=(1, 0)))

    def solve(self, tolerance: float = 1e-5) -> tuple[float, Ints]:
        """Optimal mean cost and orders by relative value iteration; cost within `tolerance`."""
        values = np.zeros(self.shape)
        cost = self.period_cost.reshape(-1, *[1] * (self.lead - 1))
        while True:
            ahead = self._after(values)
            new = cost + ahead.min(axis=-1)
            change = new - values
            if change.max() - change.min() < tolerance:
                return float((change.max() + change.min()) / 2), np.asarray(ahead.argmin(axis=-1), dtype=np.int64)
            values = new - new.flat[0]

    def cost_of(self, orders: Ints, tolerance: float = 1e-5) -> float:
        """Mean cost of a stationary policy (orders by state), by iterating its own equation."""
        values = np.zeros(self.shape)
        cost = self.period_cost.reshape(-1, *[1] * (self.lead - 1))
        index = orders[..., None]
        while True:
            new = cost + np.take_along_axis(self._after(values), index, axis=-1)[..., 0]
            change = new - values
            if change.max() - change.min() < tolerance:
                return float((change.max() + change.min()) / 2)
            values = new - new.flat[0]

    def simulated_cost(self, orders: Ints, *, seed: int, runs: int = 200, periods: int = 2000) -> Array:
        """Mean cost a period of a policy (orders by state) in each run, after 100 periods of settling in.

        For policies of which nothing is known: `cost_of` does not end for one that goes in circles. The same seed
        brings the same demand whatever is ordered.
        """
        demand = np.random.default_rng(seed).poisson(self.mean, (periods + 100, runs))
        state = np.full((self.lead, runs), int(self.mean))
        spent = np.zeros(runs)
        for period, wanted in enumerate(demand):
            order = orders[tuple(np.minimum(state, np.array(self.shape)[:, None] - 1))]
            if period >= 100:
                spent += self.period_cost[np.minimum(state[0], self.stock_cap)]
            coming = np.concatenate([state[1:], order[None]])
            state = np.concatenate([(np.maximum(state[0] - wanted, 0) + coming[0])[None], coming[1:]])
        return np.asarray(spent / periods)

    def states(self) -> Array:
        """All states, (L, …shape)."""
        return np.stack(np.meshgrid(*[np.arange(n) for n in self.shape], indexing="ij")).astype(np.float64)


def features(state: Array, shown: int) -> Array:
    """What the policy looks at: a one, each of the L figures, and squares of stock and of the whole position."""
    position = state.sum(axis=0)
    rows = [np.ones_like(position), *state, position**2 / 20, state[0] ** 2 / 20]
    return np.stack(rows[: shown or None])


def orders_of(weights: Array, state: Array, cap: int) -> Ints:
    """Order = linear in `features`, rounded, between 0 and the cap."""
    wanted = np.tensordot(weights, features(state, len(weights)), axes=(0, 0))
    return np.clip(np.rint(wanted), 0, cap).astype(np.int64)


def learn(
    problem: LostSales,
    *,
    seed: int,
    cpu_seconds: float,
    runs: int = 48,
    periods: int = 500,
    rounds: int = 10_000,
    sigma: float = 0.5,
    begin: Array | None = None,
) -> Array:
    """Weights of the policy by CMA-ES from simulation, the same demands for every candidate.

    A period is charged what it costs in expectation given the stock it begins with, with less noise. `begin` goes on
    from earlier weights.
    """
    expected = problem.period_cost
    rng = np.random.default_rng(seed)
    demand = rng.poisson(problem.mean, (periods + 50, runs)).astype(np.float64)
    lead = problem.lead
    base = poisson.ppf(problem.penalty / (problem.penalty + HOLDING), problem.mean * (lead + 1)) * 0.8

    def cost(points: Array) -> Array:
        state = np.full((lead, len(points), runs), problem.mean)
        spent = np.zeros((len(points), runs))
        for period in range(len(demand)):
            position = state.sum(axis=0)
            wanted = points[:, 0, None] + np.einsum("pl,lpr->pr", points[:, 1 : 1 + lead], state)
            wanted += points[:, lead + 1, None] * position**2 / 20 + points[:, lead + 2, None] * state[0] ** 2 / 20
            order = np.clip(np.rint(wanted), 0, problem.order_cap)
            if period >= 50:
                spent += expected[np.minimum(state[0], problem.stock_cap).astype(np.int64)]
            on_hand = np.maximum(state[0] - demand[period], 0)
            state = np.concatenate([(on_hand + (state[1] if lead > 1 else order))[None], state[2:], order[None]])[:lead]
        return np.asarray(spent.mean(axis=1) / periods)

    start = np.concatenate([[base * 0.55], np.linspace(-0.45, -0.6, lead), [0.0, 0.0]]) if begin is None else begin
    scale = np.concatenate([[2.0], np.full(lead, 0.2), [0.05, 0.05]])
    return minimise(cost, start, sigma, seed=seed, cpu_seconds=cpu_seconds, scale=scale, rounds=rounds)


class LostSalesWorld(Simulator):
    """Observation: stock on hand and the orders on their way. Action: an order. Reward: minus the period's cost."""

    def __init__(self, problem: LostSales, horizon: int = 1000) -> None:
        super().__init__()
        self.problem, self.horizon, self.observation_size = problem, horizon, problem.lead
        self.state = np.zeros((problem.lead, 0))

    def action_bounds(self) -> tuple[Array, Array]:
        return np.zeros(1), np.full(1, float(self.problem.order_cap))

    def _begin(self) -> Array:
        self.state = np.zeros((self.problem.lead, self.runs))
        return self.state.T.copy()

    def _move(self, actions: Array) -> tuple[Array, Array]:
        order = np.rint(np.clip(actions[:, 0], 0, self.problem.order_cap))
        left = self.state[0] - self.rng.poisson(self.problem.mean, self.runs)
        cost = np.where(left > 0, HOLDING * left, -self.problem.penalty * left)
        rows = np.concatenate([self.state[1:], order[None]])
        self.state = np.concatenate([(np.maximum(left, 0) + rows[0])[None], rows[1:]])
        return self.state.T.copy(), -cost
