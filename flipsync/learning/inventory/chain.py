"""P10: a chain of stages, lost sales, 30 periods (OR-Gym's InvManagement-v1, Hubbs et al. 2020, re-implemented).

The shop (stage 0) sells to customers, stage i+1 supplies stage i, the last stage buys raw material without limit. A
stage ships no more than it holds and its own capacity. Profit of a period is every stage's sales less replenishment,
holding and unfilled demand, discounted by 0.97 a period. A unit between stages is one stage's revenue and the next
one's cost, so inner prices cancel: what is left is the shop's sales at 2.0 less raw material at 0.5.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import lil_matrix

from flipsync.learning.search import minimise
from flipsync.learning.simulator import Array, Simulator

PERIODS, MEAN, DISCOUNT = 30, 20.0, 0.97
START = np.array([100.0, 100.0, 200.0])
PRICE, COSTS = 2.0, np.array([1.5, 1.0, 0.75, 0.5])
UNFILLED, HOLDING = np.array([0.10, 0.075, 0.05, 0.025]), np.array([0.15, 0.10, 0.05])
CAPACITY, LEAD = np.array([100.0, 90.0, 80.0]), np.array([3, 5, 10])
STAGES = 3


class Chain(Simulator):
    """Action: order of each stage. Observation: stock of each stage, then what arrives at each in 10 periods."""

    action_size = STAGES
    observation_size = STAGES * (1 + 10)
    horizon = PERIODS

    def __init__(self, demand: Array | None = None) -> None:
        """`demand` (periods, runs) fixes the customers; otherwise they are Poisson."""
        super().__init__()
        self.fixed = demand
        self.stock = np.zeros((0, STAGES))
        self.coming = np.zeros((0, STAGES, PERIODS + 11))

    def action_bounds(self) -> tuple[Array, Array]:
        return np.zeros(STAGES), CAPACITY.copy()

    def see(self) -> Array:
        ahead = self.coming[:, :, self.period : self.period + 10]
        return np.concatenate([self.stock, ahead.reshape(self.runs, -1)], axis=1)

    def _begin(self) -> Array:
        self.stock = np.tile(START, (self.runs, 1))
        self.coming = np.zeros((self.runs, STAGES, PERIODS + 11))
        return self.see()

    def _move(self, actions: Array) -> tuple[Array, Array]:
        asked = np.floor(np.maximum(actions, 0) + 1e-9)
        above = np.concatenate([self.stock[:, 1:], np.full((self.runs, 1), np.inf)], axis=1)
        order = np.minimum(np.minimum(asked, CAPACITY), above)
        stock = self.stock + self.coming[:, :, self.period]
        demand = self.rng.poisson(MEAN, self.runs).astype(float) if self.fixed is None else self.fixed[self.period]
        sold = np.concatenate([np.minimum(stock[:, 0], demand)[:, None], order], axis=1)
        self.stock = stock - sold[:, :-1]
        for stage in range(STAGES):
            self.coming[:, stage, self.period + LEAD[stage]] += order[:, stage]
        unfilled = np.concatenate([demand[:, None], asked], axis=1) - sold
        bought = np.concatenate([order, order[:, -1:]], axis=1)
        price = np.concatenate([[PRICE], COSTS[:-1]])
        held = self.stock @ HOLDING
        profit = sold @ price - bought @ COSTS - unfilled @ UNFILLED - held
        rewards = DISCOUNT**self.period * profit
        self.period += 1
        seen = self.see()
        self.period -= 1
        return seen, rewards


def plan(stock: Array, coming: Array, demand: Array) -> tuple[float, Array]:
    """Best profit of the periods to come (the first counts 1) and the orders that bring it, (stages, periods).

    A linear programme: stock (stages,), what arrives already `coming` (stages, periods), demand (periods,) known.
    Variables: orders (3n), the shop's sales (n), stock at the end of each period (3n). Inner prices cancel.
    """
    n = len(demand)
    rates = DISCOUNT ** np.arange(n)
    sales, left = 3 * n, 4 * n
    cost = np.concatenate([np.zeros(2 * n), COSTS[-1] * rates, -(PRICE + UNFILLED[0]) * rates, np.kron(HOLDING, rates)])
    flow, known = lil_matrix((3 * n, 7 * n)), np.zeros(3 * n)
    room, most = lil_matrix((2 * n, 7 * n)), np.zeros(2 * n)
    for stage in range(STAGES):
        for t in range(n):
            row = stage * n + t  # left = before + coming + what was ordered a lead time ago − what goes out
            flow[row, left + row] = 1.0
            known[row] = coming[stage, t]
            if t:
                flow[row, left + row - 1] = -1.0
            else:
                known[row] += stock[stage]
            if t >= LEAD[stage]:
                flow[row, row - LEAD[stage]] = -1.0
            flow[row, sales + t if stage == 0 else row - n] = 1.0
            if stage:  # a stage ships only what it held before this period's arrivals
                at = row - n
                room[at, row - n] = 1.0
                if t:
                    room[at, left + row - 1] = -1.0
                else:
                    most[at] = stock[stage]
    bounds = [(0, most_) for most_ in np.repeat(CAPACITY, n)] + [(0, d) for d in demand] + [(0, None)] * (3 * n)
    told = linprog(cost, A_ub=room.tocsr(), b_ub=most, A_eq=flow.tocsr(), b_eq=known, bounds=bounds, method="highs")
    profit = -float(told.fun) - float(UNFILLED[0] * (demand * rates).sum())
    return profit, np.asarray(told.x[: 3 * n]).reshape(STAGES, n)


def perfect_information(demand: Array) -> float:
    """Best profit had the demand of all 30 periods been known: the limit of any policy on it. demand (30,)."""
    return plan(START, np.zeros((STAGES, len(demand))), demand)[0]


def base_stock_orders(levels: Array, seen: Array, period: int) -> Array:
    """Orders that lift each stage's echelon position to its level of this period; levels (…, 3, knots)."""
    knots = levels.shape[-1]
    at = period / (PERIODS - 1) * (knots - 1)
    low = min(int(at), knots - 2)
    level = levels[..., low] * (1 - (at - low)) + levels[..., low + 1] * (at - low)
    stock = seen[..., :STAGES]
    coming = seen[..., STAGES:].reshape(*seen.shape[:-1], STAGES, 10).sum(axis=-1)
    echelon = np.cumsum(stock + coming, axis=-1)
    above = np.concatenate([stock[..., 1:], np.full((*stock.shape[:-1], 1), np.inf)], axis=-1)
    return np.asarray(np.clip(np.rint(level - echelon), 0, np.minimum(CAPACITY, above)))


def learn_base_stock(*, seed: int, cpu_seconds: float, runs: int = 100, knots: int = 7) -> Array:
    """Echelon base-stock levels that move with time, (3, knots), by CMA-ES in common random numbers."""
    demand = np.random.default_rng(seed).poisson(MEAN, (PERIODS, runs)).astype(np.float64)

    def cost(points: Array) -> Array:
        many = np.tile(demand, (1, len(points)))
        sim = Chain(many)
        seen, earned = sim.reset(many.shape[1], 0), np.zeros(many.shape[1])
        levels = np.repeat(points.reshape(len(points), STAGES, knots), runs, axis=0)
        for period in range(PERIODS):
            seen, reward, _ = sim.step(base_stock_orders(levels, seen, period))
            earned += reward
        return np.asarray(-earned.reshape(len(points), runs).mean(axis=1))

    fade = np.clip(np.linspace(1.6, -0.4, knots), 0, 1)
    start = np.concatenate([100 * fade, 190 * fade, 350 * fade])
    best = minimise(cost, start, 0.5, seed=seed, cpu_seconds=cpu_seconds, scale=np.full(len(start), 40.0))
    return best.reshape(STAGES, knots)


def judge(levels: Array, demand: Array) -> Array:
    """Profit of base-stock levels on each column of demand (30, runs)."""
    sim = Chain(demand)
    seen, earned = sim.reset(demand.shape[1], 0), np.zeros(demand.shape[1])
    for period in range(PERIODS):
        seen, reward, _ = sim.step(base_stock_orders(levels, seen, period))
        earned += reward
    return earned
