"""P1: n items, a fixed season, buyers who pay an exponential price (Gallego and van Ryzin, Management Science 1994).

Demand at price p is a Poisson process of rate λ(p) = 20·e^{-p}; time runs down from t to 0. The optimum has a closed
form, V(n, t) = ln Σ_{i≤n} (20t/e)^i / i!, and the best price is V(n, t) − V(n−1, t) + 1.
"""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln, logsumexp

from flipsync.learning.search import minimise
from flipsync.learning.simulator import Array, Simulator

RATE = 20.0
#: where the search for a price rule begins, see `rule_prices`
RULE_START = (1.0, 0.6, 0.0, 0.0, 0.0, 0.0)


def value(items: int, time: Array | float) -> Array:
    """Optimal expected revenue with `items` left and `time` to go; shape of `time`."""
    left = np.asarray(time, dtype=np.float64)[..., None]
    i = np.arange(items + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(i == 0, 0.0, i * np.log(RATE * left / np.e) - gammaln(i + 1))
    return np.asarray(logsumexp(terms, axis=-1), dtype=np.float64)


def best_price(items: int, time: Array | float) -> Array:
    return np.asarray(value(items, time) - value(items - 1, time) + 1.0, dtype=np.float64)


def solve(items: int, steps: int = 20_000) -> Array:
    """V(0..items, 1) by integrating the Bellman equation dV_n/dt = λ(p*)·1 with p* = 1 + V_n − V_{n−1} (RK4)."""
    values = np.zeros(items + 1)
    dt = 1.0 / steps

    def slope(v: Array) -> Array:
        return np.concatenate([[0.0], RATE / np.e * np.exp(v[:-1] - v[1:])])

    for _ in range(steps):
        a = slope(values)
        b = slope(values + dt / 2 * a)
        c = slope(values + dt / 2 * b)
        d = slope(values + dt * c)
        values = values + dt / 6 * (a + 2 * b + 2 * c + d)
    return values


def worth_of(prices: Array) -> Array:
    """Exact expected revenue of a price table, (policies, steps, items+1): price by time to go (cells) and items.

    Integrates dV_n/dt = λ(p)(p + V_{n−1} − V_n), exactly within a cell for n given V_{n−1} at the cell's middle.
    """
    policies, steps, columns = prices.shape
    values = np.zeros((policies, columns))
    rate = RATE * np.exp(-prices)
    dt = 1.0 / steps
    for step in range(steps):
        lam, price = rate[:, step, 1:], prices[:, step, 1:]

        def slope(v: Array, lam: Array = lam, price: Array = price) -> Array:
            out = np.zeros_like(v)
            out[:, 1:] = lam * (price + v[:, :-1] - v[:, 1:])
            return out

        a = slope(values)
        middle = slope(values + dt / 2 * a)
        values = values + dt * middle
    return values


def rule_prices(rules: Array, items: int, steps: int) -> Array:
    """Prices of parametric rules, (policies, 6), at the middles of time cells: (policies, steps, items+1).

    With x = ln(1 + 20t/(e·n)), price = max(½, a + b·x + c·x² + d·ln n + e·x·ln n + f·x/n). No closed form inside.
    """
    time = (np.arange(steps) + 0.5) / steps
    n = np.arange(1, items + 1)
    x = np.log1p(RATE * time[:, None] / (np.e * n))
    log_n = np.broadcast_to(np.log(n), x.shape)
    features = np.stack([np.ones_like(x), x, x**2, log_n, x * log_n, x / n])
    prices = np.maximum(np.einsum("pk,ktn->ptn", rules, features), 0.5)
    return np.concatenate([np.full((len(rules), steps, 1), 50.0), prices], axis=2)


class FiniteStock(Simulator):
    """The season in `horizon` short periods, at most one buyer each. Observation: items left, share of season left."""

    observation_size = 2

    def __init__(self, items: int, horizon: int = 400) -> None:
        super().__init__()
        self.items, self.horizon = items, horizon
        self.left = np.zeros(0)

    def action_bounds(self) -> tuple[Array, Array]:
        return np.zeros(1), np.full(1, 50.0)

    def _begin(self) -> Array:
        self.left = np.full(self.runs, float(self.items))
        return np.column_stack([self.left, np.ones(self.runs)])

    def _move(self, actions: Array) -> tuple[Array, Array]:
        comes = self.rng.random(self.runs) < -np.expm1(-RATE / self.horizon)
        pays = self.rng.exponential(size=self.runs)
        sold = comes & (pays >= actions[:, 0]) & (self.left > 0)
        self.left = self.left - sold
        to_go = 1 - (self.period + 1) / self.horizon
        return np.column_stack([self.left, np.full(self.runs, to_go)]), actions[:, 0] * sold


def search(
    items: int,
    *,
    seed: int,
    cpu_seconds: float = 1.0,
    steps: int = 80,
    rounds: int = 10_000,
    sigma: float = 0.3,
    population: int | None = None,
    begin: tuple[float, ...] = RULE_START,
) -> Array:
    """A price rule found by CMA-ES, (6,). Demand is known here, so a rule's worth is computed and not sampled."""

    def cost(rules: Array) -> Array:
        return -worth_of(rule_prices(rules, items, steps))[:, -1]

    return minimise(cost, begin, sigma, seed=seed, cpu_seconds=cpu_seconds, rounds=rounds, population=population)
