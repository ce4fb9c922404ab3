"""P4: every buyer differs: he values the goods at v = xᵀθ + s·ε, ε logistic, x is seen, and buys when v ≥ price.

The best price for x is p* = s(1 + W(e^{xᵀθ/s − 1})), W Lambert's function: where p·σ((xᵀθ − p)/s) is greatest.
"""

from __future__ import annotations

import importlib
from typing import Any, Literal

import numpy as np
from scipy.special import expit, wrightomega

from flipsync.learning.simulator import Array, Simulator

THETA = np.array([3.0, 0.8, -0.6, 0.5, 0.3])
SCALE = 0.5
LOW, HIGH = 0.5, 6.0
ARMS = np.linspace(1.0, 5.0, 17)

Learner = Literal["ours", "greedy", "lin-ts", "vw-cats"]


def best_price(value: Array, scale: Array | float) -> Array:
    """p* for mean value xᵀθ and scale s; W(e^z) is Wright's ω(z)."""
    return np.asarray(scale * (1 + np.real(wrightomega(value / scale - 1))), dtype=np.float64)


class BuyersDiffer(Simulator):
    """Observation: the next buyer's features (a one first). Reward: expected revenue, free of the coin's noise."""

    def __init__(self, horizon: int, theta: Array = THETA, scale: float = SCALE) -> None:
        super().__init__()
        self.horizon, self.theta, self.scale = horizon, theta, scale
        self.observation_size = len(theta)
        self.buyer = np.zeros((0, len(theta)))
        self.bought = np.zeros(0, dtype=bool)

    def action_bounds(self) -> tuple[Array, Array]:
        return np.full(1, LOW), np.full(1, HIGH)

    def best(self) -> Array:
        """Expected revenue of the best price for the buyers at the door."""
        price = best_price(self.buyer @ self.theta, self.scale)
        return np.asarray(price * expit((self.buyer @ self.theta - price) / self.scale), dtype=np.float64)

    def _next(self) -> Array:
        features = self.rng.uniform(-1, 1, (self.runs, len(self.theta)))
        features[:, 0] = 1.0
        self.buyer = features
        return features

    def _begin(self) -> Array:
        return self._next()

    def _move(self, actions: Array) -> tuple[Array, Array]:
        price = actions[:, 0]
        chance = expit((self.buyer @ self.theta - price) / self.scale)
        self.bought = self.rng.random(self.runs) < chance
        return self._next(), np.asarray(price * chance, dtype=np.float64)


class LogitBelief:
    """Gaussian belief about (θ/s, 1/s) from sales alone: Laplace's approximation, in many runs.

    Between refits each sale moves mean and covariance one Newton step; refits over all that was seen come when the
    record has grown by half. Prior: value 2 ± 2 at the average buyer, features ± 1.5, s between about ¼ and 2.
    """

    def __init__(self, runs: int, features: int, horizon: int) -> None:
        size = features + 1
        self.prior_mean = np.zeros(size)
        self.prior_mean[0], self.prior_mean[-1] = 3.0, 1.5
        self.prior_precision = 1 / np.array([3.0, *[1.5] * (features - 1), 0.8]) ** 2
        self.mean = np.tile(self.prior_mean, (runs, 1))
        self.covariance = np.tile(np.diag(1 / self.prior_precision), (runs, 1, 1))
        self.seen = np.empty((horizon, runs, size), dtype=np.float32)
        self.sold = np.empty((horizon, runs), dtype=np.float32)
        self.count, self.next_refit = 0, 24

    def learn(self, buyer: Array, price: Array, bought: np.ndarray) -> None:
        row = np.column_stack([buyer, -price])
        self.seen[self.count], self.sold[self.count] = row, bought
        self.count += 1
        if self.count >= self.next_refit:
            self._refit()
            self.next_refit = self.count * 3 // 2
            return
        spread = np.einsum("rij,rj->ri", self.covariance, row)
        chance = expit(np.einsum("ri,ri->r", self.mean, row))
        weight = np.maximum(chance * (1 - chance), 0.02)
        gain = spread / (1 / weight + np.einsum("ri,ri->r", spread, row))[:, None]
        self.mean = self.mean + gain * ((bought - chance) / weight)[:, None]
        self.covariance = self.covariance - gain[:, :, None] * spread[:, None, :]

    def _refit(self) -> None:
        """Newton's method on the whole record, run by run."""
        for run in range(len(self.mean)):
            rows, sold = self.seen[: self.count, run].astype(np.float64), self.sold[: self.count, run]
            mean = self.mean[run]
            for _ in range(8):
                chance = expit(rows @ mean)
                precision = rows.T @ (rows * (chance * (1 - chance))[:, None]) + np.diag(self.prior_precision)
                uphill = rows.T @ (sold - chance) - self.prior_precision * (mean - self.prior_mean)
                change = np.linalg.solve(precision, uphill)
                mean = mean + change * min(1.0, 2.0 / (np.abs(change).max() + 1e-9))
                if np.abs(change).max() < 1e-4:
                    break
            self.mean[run], self.covariance[run] = mean, np.linalg.inv(precision)

    def draw(self, rng: np.random.Generator) -> Array:
        factor = np.linalg.cholesky(self.covariance + 1e-12 * np.eye(self.mean.shape[1]))
        return np.asarray(self.mean + np.einsum("rij,rj->ri", factor, rng.standard_normal(self.mean.shape)))


def price_of(belief: Array, buyer: Array) -> Array:
    """Best price if (θ/s, 1/s) were `belief`."""
    inverse = np.maximum(belief[:, -1], 0.3)
    value = np.einsum("ri,ri->r", belief[:, :-1], buyer) / inverse
    return np.clip(best_price(value, 1 / inverse), LOW, HIGH)


def play(learner: Learner, sim: BuyersDiffer, *, runs: int, seed: int, shrink: float = 0.3) -> Array:
    """Regret of every run and period, (runs, periods).

    ours: narrowed Thompson draws (`shrink`) of the logit belief; greedy: its mean. lin-ts: Thompson sampling with a
    linear model of revenue for each of 17 prices. vw-cats: Vowpal Wabbit's continuous-action trees, where installed.
    """
    if learner == "vw-cats":
        return _vowpal(sim, runs, seed)
    buyer = sim.reset(runs, seed)
    rng = np.random.default_rng([seed, 1])
    regret = np.empty((runs, sim.horizon))
    every = np.arange(runs)
    if learner == "lin-ts":
        size = sim.observation_size
        inverse = np.tile(np.eye(size), (runs, len(ARMS), 1, 1))
        sums = np.zeros((runs, len(ARMS), size))
    else:
        belief = LogitBelief(runs, sim.observation_size, sim.horizon)
    for period in range(sim.horizon):
        if learner == "lin-ts":
            mean = np.einsum("raij,raj->rai", inverse, sums)
            sd = np.sqrt(np.einsum("ri,raij,rj->ra", buyer, inverse, buyer))
            arm = (np.einsum("rai,ri->ra", mean, buyer) + sd * rng.standard_normal(sd.shape)).argmax(axis=1)
            price = ARMS[arm]
        elif learner == "greedy":
            price = price_of(belief.mean, buyer)
        else:
            price = price_of(belief.mean + shrink * (belief.draw(rng) - belief.mean), buyer)
        best, here = sim.best(), buyer
        buyer, reward, _ = sim.step(price[:, None])
        regret[:, period] = best - reward
        if learner == "lin-ts":
            chosen = inverse[every, arm]
            spread = np.einsum("rij,rj->ri", chosen, here)
            shrinkage = (
                spread[:, :, None] * spread[:, None, :] / (1 + np.einsum("ri,ri->r", spread, here))[:, None, None]
            )
            inverse[every, arm] = chosen - shrinkage
            sums[every, arm] += here * (price * sim.bought)[:, None]
        else:
            belief.learn(here, price, sim.bought)
    return regret


def _vowpal(sim: BuyersDiffer, runs: int, seed: int) -> Array:
    """VW's CATS (Majzoubi et al. 2020), 32 actions, bandwidth 0.25, one learner a run."""
    vowpal: Any = importlib.import_module("vowpalwabbit")
    words = (
        f"--cats 32 --bandwidth 0.25 --min_value {LOW} --max_value {HIGH} --epsilon 0.05 --quiet --random_seed {seed}"
    )
    learners = [vowpal.Workspace(words) for _ in range(runs)]
    buyer = sim.reset(runs, seed)
    regret = np.empty((runs, sim.horizon))
    for period in range(sim.horizon):
        lines = ["| " + " ".join(f"f{i}:{value:.4f}" for i, value in enumerate(each)) for each in buyer]
        told = [learner.predict(line) for learner, line in zip(learners, lines, strict=True)]
        price = np.array([action for action, _ in told])
        best = sim.best()
        buyer, reward, _ = sim.step(price[:, None])
        regret[:, period] = best - reward
        for run, (learner, line) in enumerate(zip(learners, lines, strict=True)):
            cost = -price[run] * float(sim.bought[run]) / HIGH
            learner.learn(f"ca {price[run]:.5f}:{cost:.5f}:{told[run][1]:.5f} {line}")
    for learner in learners:
        learner.finish()
    return regret
