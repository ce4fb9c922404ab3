"""P2: demand to be learned while the stock lasts (Ferreira, Simchi-Levi, Wang, Operations Research 2018, section 4.1).

One buyer a period; at price i he buys with probability d_i, unknown. T periods, αT items, four prices. Known d: exact
by dynamic programming, `optimum`; with stock only in expectation: the linear programme `mix`.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from flipsync.learning.pricing.beliefs import PurchaseBelief
from flipsync.learning.simulator import Array, Ints, Simulator

PRICES = np.array([29.9, 34.9, 39.9, 44.9])
PAPER = np.array([0.8, 0.6, 0.3, 0.1])
SHARE = 0.25

#: beliefs are worked out anew every period at first, then every so many
_EARLY, _HELD = 60, 5

Learner = Literal["ours", "ts-fixed", "ts-update", "greedy", "explore-then-exploit"]


def optimum(chances: Array, periods: int, items: int) -> Array:
    """Expected revenue with chances known: instances (…, prices) → (…)."""
    values = np.zeros((*chances.shape[:-1], items + 1))
    for _ in range(periods):
        values = _one_more(chances, values)
    return values[..., -1]


def _lost(values: Array) -> Array:
    """What an item is worth with each stock: the difference it makes one period later."""
    lost = np.zeros_like(values)
    lost[..., 1:] = values[..., 1:] - values[..., :-1]
    return lost


def _one_more(chances: Array, values: Array) -> Array:
    """Worth of each stock, (…, items+1), with one period more to go, at the best prices."""
    lost, best = _lost(values), np.zeros_like(values)
    for price, asked in enumerate(PRICES):
        np.maximum(best, chances[..., price, None] * (asked - lost), out=best)
    best[..., 0] = 0.0
    return np.asarray(values + best)


def worth_later(chances: Array, periods: int, items: int, ahead: int) -> list[Array]:
    """Worth of each stock, (runs, items+1), with so many periods to go: `periods` − 1, − 2 …, `ahead` of them."""
    values = np.zeros((len(chances), items + 1))
    kept = [values] if periods <= ahead else []
    for gone in range(1, periods):
        values = _one_more(chances, values)
        if periods - gone <= ahead:
            kept.append(values)
    return kept[::-1]


def best_now(chances: Array, later: Array, stock: Ints) -> Ints:
    """The price to ask in every run, by the worth of each stock one period later: (runs,)."""
    gain = chances * (PRICES - _lost(later)[np.arange(len(stock)), stock][:, None])
    return np.asarray(gain.argmax(axis=-1), dtype=np.int64)


def mix(chances: Array, rate: Array) -> tuple[Ints, Ints, Array]:
    """The linear programme max Σ x_i p_i d_i, Σ x_i d_i ≤ rate, Σ x_i ≤ 1, for many runs at once.

    Its optimum mixes two options, one that sells no faster than `rate` (runs,) and one faster. Returns both, as price
    indices (−1: do not sell), and the share of the first.
    """
    d = np.concatenate([np.zeros((len(chances), 1)), chances], axis=1)
    revenue = d * np.concatenate([[0.0], PRICES])
    slow, fast = d[:, :, None], d[:, None, :]
    room = rate[:, None, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where((fast <= room) | (fast <= slow), 0.0, (fast - room) / (fast - slow))
    worth = share * revenue[:, :, None] + (1 - share) * revenue[:, None, :]
    worth = np.where((slow <= room) & ((fast > slow) | (fast <= room)), worth, -1.0)
    flat = worth.reshape(len(d), -1).argmax(axis=1)
    first, second = np.divmod(flat, d.shape[1])
    return first - 1, second - 1, share[np.arange(len(d)), first, second]


class StockAndDemand(Simulator):
    """Observation: items left, periods left. Action: index of the price; −1 sells nothing."""

    observation_size = 2

    def __init__(self, chances: Array, horizon: int, share: float = SHARE) -> None:
        """`chances` (prices,) for all runs, or (runs, prices)."""
        super().__init__()
        self.chances, self.horizon, self.items = np.atleast_2d(chances), horizon, round(share * horizon)
        self.left = np.zeros(0, dtype=np.int64)
        self.sold = np.zeros(0, dtype=bool)

    def action_bounds(self) -> tuple[Array, Array]:
        return np.full(1, -1.0), np.full(1, len(PRICES) - 1.0)

    def _see(self) -> Array:
        return np.column_stack([self.left, np.full(self.runs, self.horizon - self.period - 1)]).astype(np.float64)

    def _begin(self) -> Array:
        self.left = np.full(self.runs, self.items)
        return np.column_stack([self.left, np.full(self.runs, self.horizon)]).astype(np.float64)

    def _move(self, actions: Array) -> tuple[Array, Array]:
        price = np.clip(np.rint(actions[:, 0]), -1, len(PRICES) - 1).astype(np.int64)
        chances = np.broadcast_to(self.chances, (self.runs, len(PRICES)))
        drawn = self.rng.random(self.runs)
        self.sold = (price >= 0) & (self.left > 0) & (drawn < chances[np.arange(self.runs), price])
        self.left = self.left - self.sold
        return self._see(), np.where(self.sold, PRICES[price], 0.0)


def play(sim: StockAndDemand, learner: Learner, *, runs: int, seed: int, dynamic_up_to: int = 500) -> Array:
    """Revenue of every run when `learner` prices, (runs,): of `earnings`, the sum."""
    return np.asarray(earnings(sim, learner, runs=runs, seed=seed, dynamic_up_to=dynamic_up_to).sum(axis=1))


def earnings(sim: StockAndDemand, learner: Learner, *, runs: int, seed: int, dynamic_up_to: int = 500) -> Array:
    """Revenue of every period when `learner` prices; (runs, periods).

    ours: exact posterior over falling demand (beliefs.PurchaseBelief), its mean put into the dynamic programme each
    period (into the linear one while more than `dynamic_up_to` are left); Thompson draws where demand does not fall.
    The others are the paper's: Thompson sampling on separate Beta beliefs with the linear programme at α fixed or at
    the stock left, its greedy twin, and exploration first (each price in turn for T^⅔ periods, then the mean).
    """
    observed = sim.reset(runs, seed)
    rng = np.random.default_rng([seed, 1])
    belief = PurchaseBelief(runs, len(PRICES))
    earned = np.zeros((runs, sim.horizon))
    later: list[Array] = []
    for period in range(sim.horizon):
        left, to_go = observed[:, 0].astype(np.int64), sim.horizon - period
        rate = np.full(runs, sim.items / sim.horizon) if learner == "ts-fixed" else left / to_go
        if learner == "ours":
            if fresh := period < _EARLY or period % _HELD == 0:
                believed = belief.structured(rng)
            if to_go > dynamic_up_to:
                price = _draw(mix(believed, rate), rng)
            else:
                if fresh or not later:
                    later = worth_later(believed, to_go, int(left.max(initial=0)), 1 if period < _EARLY else _HELD)
                price = best_now(believed, later.pop(0), left)
        elif learner == "explore-then-exploit" and period < sim.horizon ** (2 / 3):
            price = np.full(runs, period % len(PRICES))
        else:
            sampled = learner in ("ts-fixed", "ts-update")
            price = _draw(mix(belief.draw(rng) if sampled else belief.separate_mean(), rate), rng)
        observed, reward, _ = sim.step(price[:, None].astype(np.float64))
        belief.learn(price, sim.sold, (left > 0) & (price >= 0))
        earned[:, period] = reward
    return earned


def given_away(chances: Array, earned: Array) -> Array:
    """Regret of one instance's `earnings` until each period, (runs, periods): what the optimum is worth at the start,
    less what was earned and what the optimum would still make of the stock that is left."""
    periods = earned.shape[1]
    items = round(SHARE * periods)
    worth = np.concatenate(worth_later(chances[None], periods + 1, items, periods + 1))
    left = items - np.cumsum(earned > 0, axis=1)
    return np.asarray(worth[0, items] - np.cumsum(earned, axis=1) - worth[np.arange(1, periods + 1), left])


def _draw(options: tuple[Ints, Ints, Array], rng: np.random.Generator) -> Ints:
    first, second, share = options
    return np.where(rng.random(len(share)) < share, first, second)


def falling_instances(count: int, seed: int) -> Array:
    """Purchase chances drawn from the prior: four uniform numbers, the largest at the lowest price."""
    return np.asarray(-np.sort(-np.random.default_rng(seed).random((count, len(PRICES))), axis=1), dtype=np.float64)


def odd_instances(count: int, seed: int) -> Array:
    """Instances in which demand does not fall with price (a higher price that sells better than the one below)."""
    drawn = np.random.default_rng(seed).random((4 * count + 40, len(PRICES)))
    return drawn[(np.diff(drawn, axis=1) > 0.1).any(axis=1)][:count]
