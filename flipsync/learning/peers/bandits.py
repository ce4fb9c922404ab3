"""MABWiser (Strong, Kleynhans and Kadıoğlu, IJAIT 2021) on P2, P3 and P4: bandits over a grid of prices.

It learns one run at a time, so it plays the first `runs` of the `customers` the others are judged on: the same buyers,
for the simulator draws all of them alike.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from flipsync.learning.pricing import buyers_differ, stock_and_demand, unknown_line
from flipsync.learning.simulator import Array


def _bandits(arms: int, policy: str, runs: int, seed: int, **settings: float) -> list[Any]:
    mab: Any = importlib.import_module("mabwiser.mab")
    rule = getattr(mab.LearningPolicy, policy)(**settings)
    return [mab.MAB(list(range(arms)), rule, seed=seed + run) for run in range(runs)]


def _begin(bandits: list[Any], hope: float, contexts: Array | None = None) -> None:
    """A bandit has to be fitted before it is asked: one look at each arm, at a reward that makes all worth a try."""
    for run, bandit in enumerate(bandits):
        arms = bandit.arms
        told = None if contexts is None else np.repeat(contexts[[run]], len(arms), axis=0)
        bandit.fit(arms, [hope] * len(arms), contexts=told)


def stock_while_it_lasts(sim: stock_and_demand.StockAndDemand, *, runs: int, customers: int, seed: int) -> Array:
    """Revenue of each run on P2, (runs,): UCB1 over the four prices, in units of the dearest. It knows of no stock."""
    sim.reset(customers, seed)
    dearest = float(stock_and_demand.PRICES.max())
    bandits = _bandits(len(stock_and_demand.PRICES), "UCB1", runs, seed, alpha=1.0)
    _begin(bandits, 1.0)
    earned = np.zeros(customers)
    for _ in range(sim.horizon):
        price = np.full(customers, -1.0)
        price[:runs] = [bandit.predict() for bandit in bandits]
        open_ = sim.left[:runs] > 0
        _, reward, _ = sim.step(price[:, None])
        earned += reward
        for run in np.flatnonzero(open_):
            bandits[run].partial_fit([int(price[run])], [reward[run] / dearest])
    return earned[:runs]


def unknown_demand(sim: unknown_line.UnknownLine, *, runs: int, customers: int, seed: int, arms: int = 26) -> Array:
    """Regret on P3, (runs, periods): UCB1 over `arms` prices, its width set to the noise of a period's revenue."""
    prices = np.linspace(unknown_line.LOW, unknown_line.HIGH, arms)
    sim.reset(customers, seed)
    bandits = _bandits(arms, "UCB1", runs, seed, alpha=unknown_line.NOISE)
    _begin(bandits, 1.0)
    regret = np.empty((runs, sim.horizon))
    asked = np.full(customers, unknown_line.LOW)
    for period in range(sim.horizon):
        chosen = [int(bandit.predict()) for bandit in bandits]
        asked[:runs] = prices[chosen]
        best = sim.best()
        seen, reward, _ = sim.step(asked[:, None])
        regret[:, period] = best - reward[:runs]
        for run, bandit in enumerate(bandits):
            bandit.partial_fit([chosen[run]], [float(asked[run] * seen[run, 0])])
    return regret


def buyers(sim: buyers_differ.BuyersDiffer, *, runs: int, customers: int, seed: int) -> Array:
    """Regret on P4, (runs, periods): LinUCB over the 17 prices that our linear peer has, revenue from the buyer's x."""
    buyer = sim.reset(customers, seed)
    bandits = _bandits(len(buyers_differ.ARMS), "LinUCB", runs, seed, alpha=1.0, l2_lambda=1.0)
    _begin(bandits, 2.0, buyer)
    regret = np.empty((runs, sim.horizon))
    asked = np.full(customers, buyers_differ.LOW)
    for period in range(sim.horizon):
        chosen = [int(bandit.predict(buyer[[run]])) for run, bandit in enumerate(bandits)]
        asked[:runs] = buyers_differ.ARMS[chosen]
        best, here = sim.best(), buyer
        buyer, reward, _ = sim.step(asked[:, None])
        regret[:, period] = (best - reward)[:runs]
        for run, bandit in enumerate(bandits):
            paid = float(asked[run]) * float(sim.bought[run])
            bandit.partial_fit([chosen[run]], [paid], contexts=here[[run]])
    return regret
