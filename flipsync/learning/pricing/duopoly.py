"""P5: two sellers, logit buyers, prices set again and again (Calvano et al., American Economic Review 2020).

Demand q_i = e^{(a−p_i)/μ} / (Σ_j e^{(a−p_j)/μ} + e^{a0/μ}) with a = 2, a0 = 0, μ = ¼, unit cost 1. The one-shot Nash
price is 1.472927 (profit 0.222927), the joint monopoly 1.924981 (0.337490). Profit gain Δ is 0 at Nash and 1 at
monopoly. Prices lie on 15 points from a tenth of the distance below Nash to a tenth above monopoly; δ = 0.95.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.optimize import brentq, least_squares

from flipsync.learning.simulator import Array, Ints, Simulator

#: profit a period between prices that count as worth the same
TIE = 3e-4
QUALITY, OUTSIDE, SPREAD, COST, DISCOUNT, POINTS, XI = 2.0, 0.0, 0.25, 1.0, 0.95, 15, 0.1


def share(own: Array | float, other: Array | float) -> Array:
    mine, theirs = np.exp((QUALITY - np.asarray(own)) / SPREAD), np.exp((QUALITY - np.asarray(other)) / SPREAD)
    return np.asarray(mine / (mine + theirs + np.exp(OUTSIDE / SPREAD)), dtype=np.float64)


def profit(own: Array | float, other: Array | float) -> Array:
    return np.asarray((np.asarray(own) - COST) * share(own, other), dtype=np.float64)


def nash() -> float:
    """p solves the first-order condition p − c = μ / (1 − q(p, p))."""
    return float(brentq(lambda p: p - COST - SPREAD / (1 - float(share(p, p))), COST, 3.0, xtol=1e-12))


def monopoly() -> float:
    """Joint optimum: p − c = μ / q0, q0 the share that buys nothing."""
    return float(brentq(lambda p: p - COST - SPREAD / (1 - 2 * float(share(p, p))), COST, 3.0, xtol=1e-12))


def price_grid() -> Array:
    low, high = nash(), monopoly()
    return np.linspace(low - XI * (high - low), high + XI * (high - low), POINTS)


GRID = price_grid()
PROFIT = profit(GRID[:, None], GRID[None, :])


def profit_gain(mean_profit: float) -> float:
    """Δ of Calvano et al."""
    low, high = float(profit(nash(), nash())), float(profit(monopoly(), monopoly()))
    return (mean_profit - low) / (high - low)


def best_response(
    reaction: Array, profits: Array = PROFIT, *, tolerance: float = 1e-9, slack: float = 0.0
) -> tuple[Array, Ints]:
    """Value iteration against a rival whose next price has distribution `reaction` (own last, his last, his next).

    Returns discounted worth and best action of each state (own last, his last): the lowest price within `slack` of it.
    """
    values = np.zeros((POINTS, POINTS))
    now = reaction @ profits.T
    while True:
        q = now + DISCOUNT * reaction @ values.T
        new = q.max(axis=2)
        if np.abs(new - values).max() < tolerance:
            return new, np.asarray((q >= new[:, :, None] - slack).argmax(axis=2), dtype=np.int64)
        values = new


def worth_against(reaction: Array, policy: Ints) -> Array:
    """Exact discounted worth of a policy (own last, his last) → action, by solving the linear system."""
    size = POINTS * POINTS
    flat, moves = reaction.reshape(size, POINTS), policy.ravel()
    transition = np.zeros((size, size))
    for his in range(POINTS):
        transition[np.arange(size), moves * POINTS + his] += flat[:, his]
    gained = (flat * PROFIT[moves]).sum(axis=1)
    return np.asarray(np.linalg.solve(np.eye(size) - DISCOUNT * transition, gained).reshape(POINTS, POINTS))


class Seller(Protocol):
    """Sees last prices as grid indices, names the next; is told what it earned."""

    def choose(self, own: int, other: int) -> int: ...

    def learn(self, own: int, other: int, action: int, other_action: int, sold: float) -> None: ...


@dataclass
class Frozen:
    """A rival with a fixed rule: `table` (his own last, the other's last) → price index."""

    table: Ints

    def choose(self, own: int, other: int) -> int:
        return int(self.table[own, other])

    def learn(self, own: int, other: int, action: int, other_action: int, sold: float) -> None:
        return None

    def reaction(self) -> Array:
        """His next price as the other side sees it: (other's last, his last, his next), one-hot."""
        out = np.zeros((POINTS, POINTS, POINTS))
        own, other = np.meshgrid(np.arange(POINTS), np.arange(POINTS), indexing="ij")
        out[other, own, self.table] = 1.0
        return out


def frozen_rivals(seed: int) -> dict[str, Frozen]:
    """Rivals of different minds: steady, matching, undercutting, forgiving, and two drawn at random."""
    own, other = np.meshgrid(np.arange(POINTS), np.arange(POINTS), indexing="ij")
    rng = np.random.default_rng(seed)
    return {
        "steady": Frozen(np.full((POINTS, POINTS), 7)),
        "matches": Frozen(other.copy()),
        "undercuts": Frozen(np.where(other > 2, other - 1, 12)),
        "punishes": Frozen(np.where(other < 9, 1, 12)),
        "random": Frozen(rng.integers(0, POINTS, (POINTS, POINTS))),
        "random, slow": Frozen(np.clip(own + rng.integers(-2, 3, (POINTS, POINTS)), 0, POINTS - 1)),
    }


class Duopoly(Simulator):
    """One seller against a frozen rival. Observation: own and his last price, as grid indices; drawn at first. Action:
    an index. Reward: the period's profit; what is maximised is its sum discounted by `DISCOUNT`."""

    observation_size = 2

    def __init__(self, rival: Frozen, horizon: int = 1000) -> None:
        super().__init__()
        self.rival, self.horizon = rival, horizon
        self.last = np.zeros((2, 0), dtype=np.int64)

    def action_bounds(self) -> tuple[Array, Array]:
        return np.zeros(1), np.full(1, POINTS - 1.0)

    def _begin(self) -> Array:
        self.last = self.rng.integers(POINTS, size=(2, self.runs))
        return self.last.T.astype(np.float64)

    def _move(self, actions: Array) -> tuple[Array, Array]:
        own, other = self.last
        asked = np.clip(np.rint(actions[:, 0]), 0, POINTS - 1).astype(np.int64)
        self.last = np.stack([asked, self.rival.table[other, own]])
        return self.last.T.astype(np.float64), PROFIT[self.last[0], self.last[1]]


class BestResponder:
    """Ours: learns buyers (two logit figures) and the rival's reaction (counts), and best-responds to both.

    It does not assume that its own price moves the rival: unless he answered our random prices by a rule (`reacts`), he
    is believed to go on as of late, whatever we do. Two of a kind see each other explore, so neither takes the other's
    price for an answer, and both find Nash instead of collusion. Of prices worth the same it asks the lowest (`TIE`):
    on the grid both points beside the Nash price are equilibria.
    """

    def __init__(self, seed: int, *, explore: int = 4000, replan: int = 500) -> None:
        self.rng = np.random.default_rng(seed)
        self.counts = np.zeros((POINTS, POINTS, POINTS))
        self.recent = np.full(POINTS, 1.0)
        self.foretold = np.zeros(2, dtype=np.int64)
        self.profits = PROFIT * 0
        self.policy = np.zeros((POINTS, POINTS), dtype=np.int64)
        self.explore, self.replan, self.period = explore, replan, 0
        self.sales: list[tuple[int, int, float]] = []

    def choose(self, own: int, other: int) -> int:
        if self.rng.random() < 1 - self.period / self.explore:
            return int(self.rng.integers(POINTS))
        return int(self.policy[own, other])

    def learn(self, own: int, other: int, action: int, other_action: int, sold: float) -> None:
        before = self.counts[own, other]
        if self.period < self.explore and before.sum() >= 2:
            self.foretold += (before.argmax() == other_action, 1)
        self.counts[own, other, other_action] += 1
        self.recent *= 0.995
        self.recent[other_action] += 1
        if len(self.sales) < 60:
            self.sales.append((action, other_action, sold))
            if len(self.sales) == 60:
                self.profits = self._fit_buyers()
        self.period += 1
        if self.period % self.replan == 0:
            self.policy = best_response(self.believed(), self.profits, tolerance=1e-7, slack=TIE)[1]

    def believed(self) -> Array:
        """The rival's next price by (own last, his last): as of late, or, if he `reacts`, as it followed before."""
        prior = self.recent / self.recent.sum()
        if not self.reacts():
            return np.broadcast_to(prior, self.counts.shape)
        weight = self.counts + 2.0 * prior
        return np.asarray(weight / weight.sum(axis=2, keepdims=True), dtype=np.float64)

    def reacts(self) -> bool:
        """Whether his answers to our random prices could be foretold from the same state's past, four times in five."""
        hits, tries = self.foretold.tolist()
        return bool(tries >= 100 and hits >= 0.8 * tries)

    def _fit_buyers(self) -> Array:
        own, other, sold = (np.array(column) for column in zip(*self.sales, strict=True))

        def shares(figures: Array, mine: Array, theirs: Array) -> Array:
            first, second = np.exp(figures[0] - figures[1] * mine), np.exp(figures[0] - figures[1] * theirs)
            return np.asarray(first / (first + second + 1), dtype=np.float64)

        fit = least_squares(lambda f: shares(f, GRID[own], GRID[other]) - sold, x0=[4.0, 2.0])
        return np.asarray((GRID[:, None] - COST) * shares(fit.x, GRID[:, None], GRID[None, :]), dtype=np.float64)


class QSeller:
    """Calvano et al.'s seller: tabular Q-learning, rate 0.15, exploring with chance e^{−βt}."""

    def __init__(self, seed: int, *, rate: float = 0.15, beta: float = 4e-6) -> None:
        self.rng = np.random.default_rng(seed)
        self.q = np.tile(PROFIT.mean(axis=1) / (1 - DISCOUNT), (POINTS, POINTS, 1))
        self.rate, self.beta, self.period = rate, beta, 0

    def choose(self, own: int, other: int) -> int:
        if self.rng.random() < np.exp(-self.beta * self.period):
            return int(self.rng.integers(POINTS))
        return int(self.q[own, other].argmax())

    def learn(self, own: int, other: int, action: int, other_action: int, sold: float) -> None:
        gained = (GRID[action] - COST) * sold
        target = gained + DISCOUNT * self.q[action, other_action].max()
        self.q[own, other, action] += self.rate * (target - self.q[own, other, action])
        self.period += 1


def q_self_play(sessions: int, periods: int, *, beta: float, seed: int, rate: float = 0.15) -> Array:
    """Δ of pairs of Q-learners after `periods`, all sessions side by side: (sessions,), mean over the last tenth."""
    rng = np.random.default_rng(seed)
    start = PROFIT.mean(axis=1) / (1 - DISCOUNT)
    q = np.tile(start, (2, sessions, POINTS * POINTS, 1))
    state = rng.integers(POINTS, size=(2, sessions))
    side, each = np.arange(2)[:, None], np.arange(sessions)[None, :]
    gained, counted = np.zeros(sessions), 0
    for period in range(periods):
        at = np.stack([state[0] * POINTS + state[1], state[1] * POINTS + state[0]])
        action = q[side, each, at].argmax(axis=2)
        wander = rng.random((2, sessions)) < np.exp(-beta * period)
        action = np.where(wander, rng.integers(POINTS, size=(2, sessions)), action)
        earned = np.stack([PROFIT[action[0], action[1]], PROFIT[action[1], action[0]]])
        after = np.stack([action[0] * POINTS + action[1], action[1] * POINTS + action[0]])
        target = earned + DISCOUNT * q[side, each, after].max(axis=2)
        q[side, each, at, action] += rate * (target - q[side, each, at, action])
        state = action
        if period >= periods * 9 // 10:
            gained, counted = gained + earned.mean(axis=0), counted + 1
    return np.array([profit_gain(value) for value in gained / counted])


def duel(first: Seller, second: Seller, periods: int, seed: int) -> tuple[Array, Ints]:
    """Profits (periods, 2) and price indices (periods, 2) when two sellers meet."""
    rng = np.random.default_rng(seed)
    a, b = (int(each) for each in rng.integers(POINTS, size=2))
    profits, prices = np.empty((periods, 2)), np.empty((periods, 2), dtype=np.int64)
    sold = share(GRID[:, None], GRID[None, :])
    for period in range(periods):
        i, j = first.choose(a, b), second.choose(b, a)
        profits[period], prices[period] = (PROFIT[i, j], PROFIT[j, i]), (i, j)
        first.learn(a, b, i, j, float(sold[i, j]))
        second.learn(b, a, j, i, float(sold[j, i]))
        a, b = i, j
    return profits, prices
