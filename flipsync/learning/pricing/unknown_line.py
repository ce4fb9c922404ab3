"""P3: incomplete learning (Keskin and Zeevi, Operations Research 2014): D = a − bp + N(0, σ²), a and b unknown.

Pricing greedily at the least-squares optimum stops learning: the price hardly moves, so the slope stays wrong. Here
a = 1.1, b = 0.5, σ = 0.1, prices in [0.75, 2]: the best price is a/2b = 1.1, worth 0.605 a period.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from flipsync.learning.simulator import Array, Simulator

LOW, HIGH, NOISE = 0.75, 2.0, 0.1
LINE = (1.1, 0.5)

Learner = Literal["ours", "greedy", "cils", "ts"]


def best_price(a: float, b: float) -> float:
    return min(max(a / (2 * b), LOW), HIGH)


class UnknownLine(Simulator):
    """Action: a price. Observation: demand. Reward: mean revenue a − bp times p, so that regret carries no noise.

    `jump` is a period and the line that holds from then on.
    """

    observation_size = 1

    def __init__(
        self, horizon: int, line: tuple[float, float] = LINE, jump: tuple[int, tuple[float, float]] | None = None
    ) -> None:
        super().__init__()
        self.horizon, self.line, self.jump = horizon, line, jump

    def action_bounds(self) -> tuple[Array, Array]:
        return np.full(1, LOW), np.full(1, HIGH)

    def now(self) -> tuple[float, float]:
        return self.jump[1] if self.jump and self.period >= self.jump[0] else self.line

    def best(self) -> float:
        """Revenue of the best price in this period."""
        a, b = self.now()
        price = best_price(a, b)
        return price * (a - b * price)

    def _begin(self) -> Array:
        return np.zeros((self.runs, 1))

    def _move(self, actions: Array) -> tuple[Array, Array]:
        a, b = self.now()
        price = np.clip(actions[:, 0], LOW, HIGH)
        mean = a - b * price
        return (mean + NOISE * self.rng.standard_normal(self.runs))[:, None], price * mean


class LineBelief:
    """Gaussian belief about (a, b) in many runs, as sums; a prior that says D(p) ≈ 1 − ½p ± `width` and no more."""

    def __init__(self, runs: int, *, mean: tuple[float, float] = (1.0, 0.5), width: float = 0.5) -> None:
        self.mean, self.unit = np.array(mean), (NOISE / width) ** 2
        self.sums = np.zeros((runs, 5))  # n, Σp, Σp², ΣD, ΣpD
        self.forget(np.ones(runs, dtype=bool))

    def forget(self, which: np.ndarray) -> None:
        """Back to the prior in the runs named."""
        a, b = self.mean
        self.sums[which] = self.unit * np.array([1.0, 0.0, 1.0, a, -b])

    def learn(self, price: Array, demand: Array) -> None:
        self.sums += np.column_stack([np.ones_like(price), price, price**2, demand, price * demand])

    def estimate(self) -> tuple[Array, Array]:
        """Posterior mean of a and of b (kept positive)."""
        n, p, pp, d, pd = self.sums.T
        det = n * pp - p**2
        slope = (n * pd - p * d) / det
        return (d - slope * p) / n, np.maximum(-slope, 0.05)

    def information(self) -> Array:
        """Σ(p − p̄)²: what is known of the slope, in units of σ²."""
        n, p, pp, _, _ = self.sums.T
        return np.asarray(pp - p**2 / n, dtype=np.float64)

    def draw(self, rng: np.random.Generator) -> tuple[Array, Array]:
        a, b = self.estimate()
        n, p = self.sums[:, 0], self.sums[:, 1]
        spread = NOISE / np.sqrt(self.information())
        slope = b + spread * rng.standard_normal(len(b))
        level = NOISE / np.sqrt(n) * rng.standard_normal(len(b))
        return a + b * 0 + (slope - b) * p / n + level, np.maximum(slope, 0.05)


def wanted_information(a: Array, b: Array, to_go: float, most: float) -> Array:
    """Σ(p − p̄)² worth having with `to_go` periods left.

    A price off by e costs b·e² a period; with information J the price errs by sd p*·σ/(2bJ^½), and J itself costs b·J.
    So b·J + b·to_go·(p*σ/2b)²/J is least at J = p*σ/(2b)·to_go^½. `most` multiplies it (less spread for more mean).
    """
    price = np.clip(a / (2 * b), LOW, HIGH)
    return np.asarray(most * price * NOISE / (2 * b) * np.sqrt(to_go), dtype=np.float64)


def play(
    learner: Learner,
    sim: UnknownLine,
    *,
    runs: int,
    seed: int,
    watch: bool = False,
    step: float = 0.35,
    most: float = 1.15,
    kappa: float = 0.3,
) -> Array:
    """Regret of every run and period, (runs, periods), not cumulated.

    ours: posterior mean, and beside it, on the better side in turn, `step` away from it while the information is worth
    less than `wanted_information`. With `watch`, residuals are watched for a change (two-sided CUSUM, Page 1954), which
    forgets all. cils: constrained iterated least squares, price held κt^{-¼} from the running mean price. ts: draws.
    """
    sim.reset(runs, seed)
    rng = np.random.default_rng([seed, 1])
    belief = LineBelief(runs)
    alarm = np.zeros((runs, 2))
    since = np.zeros(runs)
    regret = np.empty((runs, sim.horizon))
    for period in range(sim.horizon):
        a, b = belief.draw(rng) if learner == "ts" else belief.estimate()
        price = np.clip(a / (2 * b), LOW, HIGH)
        if learner == "ours":
            to_go = float(sim.horizon - period)
            lacking = belief.information() < wanted_information(a, b, to_go, most)
            side = np.where(period % 2 == 0, 1.0, -1.0)
            price = np.where(lacking, np.clip(price + side * step, LOW, HIGH), price)
        elif learner == "cils" and period:
            middle = belief.sums[:, 1] / belief.sums[:, 0]
            least = kappa * (period + 1) ** -0.25
            off = price - middle
            held = middle + np.where(off < 0, -1.0, 1.0) * least
            price = np.clip(np.where(np.abs(off) < least, held, price), LOW, HIGH)
        best = sim.best()
        seen, reward, _ = sim.step(price[:, None])
        regret[:, period] = best - reward
        if watch:
            since += 1
            error = (seen[:, 0] - (a - b * price)) / NOISE
            slack = 0.5
            alarm = np.maximum(0.0, alarm + np.column_stack([error, -error]) - slack)
            alarm[since < 30] = 0.0
            found = alarm.max(axis=1) > 12.0
            if found.any():
                belief.forget(found)
                alarm[found], since[found] = 0.0, 0.0
        belief.learn(price, seen[:, 0])
    return regret
