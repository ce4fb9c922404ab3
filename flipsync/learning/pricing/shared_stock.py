"""P2b: several goods made of shared stock, demand unknown (Besbes and Zeevi, Operations Research 2012, section 5).

Two goods, three resources, five price pairs. Demand of a period is Poisson with mean linear in the good's own price;
good j uses A[i, j] of resource i, of which cT_i are there for T periods. With demand known and stock only in
expectation the optimum is a linear programme; what stock allows is sold, the rest is lost.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.optimize import linprog

from flipsync.learning.simulator import Array, Simulator

USES = np.array([[1.0, 1.0], [3.0, 1.0], [0.0, 5.0]])
PRICES = np.array([[1.0, 1.5], [1.0, 2.0], [2.0, 3.0], [4.0, 4.0], [4.0, 6.5]])
STOCK_A_PERIOD = np.array([3.0, 5.0, 7.0])
DEMAND = np.maximum(np.array([8.0, 9.0]) - np.array([1.5, 3.0]) * PRICES, 0.0)

Learner = Literal["ours", "ts-update", "greedy", "explore-then-exploit"]


def programme(demand: Array, rate: Array) -> tuple[float, Array]:
    """Best revenue a period and shares of the price pairs, demand (5, 2), stock a period (3,)."""
    told = linprog(
        -(PRICES * demand).sum(axis=1),
        A_ub=np.vstack([USES @ demand.T, np.ones(len(PRICES))]),
        b_ub=np.append(np.maximum(rate, 0.0), 1.0),
        method="highs",
    )
    return float(-told.fun), np.clip(np.asarray(told.x, dtype=np.float64), 0, None)


class SharedStock(Simulator):
    """Observation: the three stocks. Action: index of the price pair, −1 closes the shop for a period."""

    observation_size = 3

    def __init__(self, horizon: int) -> None:
        super().__init__()
        self.horizon = horizon
        self.left = np.zeros((0, 3))
        self.asked = np.zeros((0, 2))

    def action_bounds(self) -> tuple[Array, Array]:
        return np.full(1, -1.0), np.full(1, len(PRICES) - 1.0)

    def _begin(self) -> Array:
        self.left = np.tile(STOCK_A_PERIOD * self.horizon, (self.runs, 1))
        return self.left.copy()

    def _move(self, actions: Array) -> tuple[Array, Array]:
        pair = np.rint(actions[:, 0]).astype(np.int64)
        means = np.where(pair[:, None] >= 0, DEMAND[pair], 0.0)
        self.asked = self.rng.poisson(means).astype(np.float64)
        revenue = np.zeros(self.runs)
        for good in (0, 1):
            with np.errstate(divide="ignore"):
                most = np.floor((self.left / USES[:, good]).min(axis=1) + 1e-9)
            sold = np.minimum(self.asked[:, good], most)
            self.left = self.left - sold[:, None] * USES[:, good]
            revenue += sold * np.where(pair >= 0, PRICES[pair, good], 0.0)
        return self.left.copy(), revenue


def believed_line(tries: Array, sums: Array, rng: np.random.Generator | None = None) -> Array:
    """Demand of each good as a line in its own price, (5, 2): least squares with a weak prior, never rising.

    `tries` (5,), `sums` of demand (5, 2). Weights 1/variance, the variance the mean (Poisson). With `rng`, a draw.
    """
    means = np.zeros_like(DEMAND)
    for good in (0, 1):
        price = PRICES[:, good]
        design = np.column_stack([np.ones(5), price])
        seen = sums[:, good] / np.maximum(tries, 1)
        weight = tries / np.maximum(seen, 0.5)
        precision = design.T @ (weight[:, None] * design) + np.diag([1e-3, 1e-2])
        covariance = np.linalg.inv(precision)
        line = covariance @ (design.T @ (weight * seen) + np.array([1e-3 * 8, 0.0]))
        if rng is not None:
            line = np.asarray(rng.multivariate_normal(line, covariance))
        line[1] = min(line[1], 0.0)
        means[:, good] = np.maximum(design @ line, 0.0)
        known = tries >= 10  # where demand has been seen often, what was seen counts (the line ends at zero)
        means[known, good] = seen[known]
    return np.asarray(means, dtype=np.float64)


def play(learner: Learner, *, horizon: int, runs: int, seed: int) -> Array:
    """Revenue of every run, (runs,).

    ours: demand as a falling line in the good's own price (`believed_line`), one draw of it put into the linear
    programme of the stock left; a programme is solved again while what is known or the stock rate has moved. Peers:
    Thompson sampling with separate Gamma beliefs a price and good, its greedy twin, and exploration first (T^⅔).
    """
    sim = SharedStock(horizon)
    sim.reset(runs, seed)
    rng = np.random.default_rng([seed, 1])
    tries, sums = np.zeros((runs, 5)), np.zeros((runs, 5, 2))
    earned, shares = np.zeros(runs), np.zeros((runs, 5))
    for period in range(horizon):
        rates = sim.left / (horizon - period)
        pairs = np.full(runs, period % 5)
        if not (learner == "explore-then-exploit" and period < horizon ** (2 / 3)):
            for run in range(runs) if period < 40 or period % 10 == 0 else ():
                shape, scale = sums[run] + 1, (tries[run] + 0.2)[:, None]
                if learner == "ours":
                    demand = believed_line(tries[run], sums[run], rng)
                else:
                    demand = rng.gamma(shape) / scale if learner == "ts-update" else shape / scale
                shares[run] = programme(demand, rates[run])[1]
            edges = np.cumsum(shares, axis=1)
            pairs = (rng.random((runs, 1)) >= edges).sum(axis=1)
            pairs[pairs == 5] = -1
        _, reward, _ = sim.step(pairs[:, None].astype(np.float64))
        open_ = np.flatnonzero(pairs >= 0)
        tries[open_, pairs[open_]] += 1
        sums[open_, pairs[open_]] += sim.asked[open_]
        earned += reward
    return earned
