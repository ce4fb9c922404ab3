"""Fitted Q iteration against a problem with a closed form, and on lost sales against value iteration."""

from __future__ import annotations

import numpy as np
import pytest

from flipsync.learning import fitted_q
from flipsync.learning.inventory.chain import Chain
from flipsync.learning.inventory.lost_sales import LostSales, LostSalesWorld
from flipsync.learning.simulator import Array, Simulator

DISCOUNT, STAYS = 0.9, 0.5


class Drift(Simulator):
    """x' = x/2 + a + noise, reward −(x² + a²): linear and quadratic, worth as in Bertsekas 2017, 3.1."""

    observation_size, horizon = 1, 1000

    def _begin(self) -> Array:
        self.at = self.rng.normal(0, 1, self.runs)
        return self.at[:, None].copy()

    def _move(self, actions: Array) -> tuple[Array, Array]:
        reward = -(self.at**2 + actions[:, 0] ** 2)
        self.at = STAYS * self.at + actions[:, 0] + self.rng.normal(0, 0.1, self.runs)
        return self.at[:, None].copy(), reward


def riccati() -> float:
    """The p of worth −p·x² by its own equation."""
    p = 1.0
    for _ in range(200):
        p = 1 + DISCOUNT * STAYS**2 * p - (DISCOUNT * STAYS * p) ** 2 / (1 + DISCOUNT * p)
    return p


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_worth_of_actions_is_that_of_the_closed_form(seed: int) -> None:
    grid = np.linspace(-2, 2, 41)
    (known,) = fitted_q.learn(
        Drift(), actions=grid, scale=[1, 1], seed=seed, cpu_seconds=[0.0], discount=DISCOUNT, degree=2
    )
    x = np.linspace(-1, 1, 9)
    p = riccati()
    exact = -(x[:, None] ** 2 + grid**2 + DISCOUNT * p * (STAYS * x[:, None] + grid) ** 2)
    learned = known.worth(x[:, None])
    assert learned - learned.mean() == pytest.approx(exact - exact.mean(), abs=0.25)
    assert grid[known.best(x[:, None])] == pytest.approx(-DISCOUNT * STAYS * p / (1 + DISCOUNT * p) * x, abs=0.1)


def test_lost_sales_are_learned_to_within_a_few_percent_of_the_optimum() -> None:
    problem = LostSales(4, 2)
    early, late = fitted_q.learn(
        LostSalesWorld(problem),
        actions=np.arange(problem.order_cap + 1),
        scale=[10, 5, 5],
        seed=3,
        cpu_seconds=[0.0, 1.0],
    )
    states = problem.states().reshape(problem.lead, -1).T
    optimum = problem.simulated_cost(problem.solve()[1], seed=5, runs=50).mean()
    costs = [
        problem.simulated_cost(known.best(states).reshape(problem.shape), seed=5, runs=50).mean()
        for known in (early, late)
    ]
    assert optimum <= costs[1] <= 1.1 * optimum
    nothing = 4 * problem.mean
    assert costs[0] < nothing, "one round already knows better than to order nothing"


def test_a_simulator_with_several_actions_is_refused() -> None:
    with pytest.raises(ValueError, match="this simulator takes 3"):
        fitted_q.learn(Chain(), actions=[0, 1], scale=[1], seed=1, cpu_seconds=[0.1])
