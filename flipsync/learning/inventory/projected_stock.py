"""P7 by policy search: order up to a level of *projected* stock (van Jaarsveld and Arts 2024), bent by CMA-ES.

What counts with lost sales is not all that is owned but what will be on hand when an order placed now arrives:
E[stock after L periods of demand], with what is lost in between taken into account. The rule is linear in it, in every
figure of the state and in two squares; its weights are found in common random numbers.
"""

from __future__ import annotations

import numpy as np

from flipsync.learning.inventory.lost_sales import LostSales
from flipsync.learning.protocol import Cpu
from flipsync.learning.search import minimise
from flipsync.learning.simulator import Array, Ints


def projected(problem: LostSales) -> Array:
    """Stock to be expected on hand after L periods' demand, before what is ordered now arrives; `problem.shape`.

    Exact on the grid: demand takes from what is there, the oldest order arrives, and so on; stock counts up to the cap.
    """
    size = problem.stock_cap + 1
    after = problem.left_over @ np.arange(size, dtype=np.float64)
    arrived = np.minimum(np.arange(size)[:, None] + np.arange(problem.order_cap + 1)[None], problem.stock_cap)
    for _ in range(1, problem.lead):
        after = np.tensordot(problem.left_over, after[arrived], axes=(1, 0))
    return np.asarray(after)


def views(problem: LostSales) -> Array:
    """What the rule is linear in, (L + 4, states): a one, projected stock, each figure of the state, two squares."""
    state = problem.states().reshape(problem.lead, -1) - problem.mean
    stock = projected(problem).reshape(-1) - problem.mean
    return np.stack([np.ones_like(stock), stock, *state, state.sum(axis=0) ** 2 / 20, stock**2 / 20])


def orders_of(problem: LostSales, weights: Array) -> Ints:
    """Orders by state, in `problem.shape`."""
    return _rounded(problem, weights[None] @ views(problem)).astype(np.int64).reshape(problem.shape)


def _rounded(problem: LostSales, wanted: np.ndarray) -> Ints:
    return np.asarray(np.clip(np.rint(wanted), 0, problem.order_cap).astype(np.int16))


def learn(
    problem: LostSales, *, seed: int, cpu_seconds: float, runs: int = 48, periods: int = 800, settle: int = 30
) -> Array:
    """Weights of the rule, (L + 4,): the best of a few plain levels of projected stock, then CMA-ES from there.

    A period is charged what it costs in expectation given the stock it begins with. Uses the distribution of demand and
    simulation, not the optimum.
    """
    with Cpu() as clock:
        seen = views(problem).astype(np.float32)
        demand = np.random.default_rng(seed).poisson(problem.mean, (periods + settle, runs))
        base = problem.order_cap + 1
        oldest = base ** max(problem.lead - 2, 0)
        typical = int(problem.mean)
        pipeline = sum(typical * base**place for place in range(problem.lead - 1))

        def cost(points: Array) -> Array:
            orders = _rounded(problem, points.astype(np.float32) @ seen).ravel()
            first = (np.arange(len(points)) * seen.shape[1])[:, None]
            stock = np.full((len(points), runs), typical)
            coming = np.full((len(points), runs), pipeline)  # orders on their way, as one number in base cap + 1
            spent = np.zeros((len(points), runs))
            for period, wanted in enumerate(demand):
                order = orders[first + stock * base ** (problem.lead - 1) + coming]
                if period >= settle:
                    spent += problem.period_cost[stock]
                arriving = order if problem.lead == 1 else coming // oldest
                stock = np.minimum(np.maximum(stock - wanted, 0) + arriving, problem.stock_cap)
                if problem.lead > 1:
                    coming = (coming - arriving * oldest) * base + order
            return np.asarray(spent.mean(axis=1) / periods)

        plain = np.zeros((33, len(seen)))
        plain[:, 0] = np.tile(np.arange(1.5, 9.1, 0.75), 3) * problem.mean / 5
        plain[:, 1] = np.repeat([-1.0, -0.75, -0.5], 11)
        start = plain[int(cost(plain).argmin())]
        scale = np.array([1.0, 0.2, *[0.1] * problem.lead, 0.05, 0.05])
    return minimise(cost, start, 0.3, seed=seed, cpu_seconds=cpu_seconds - clock.seconds, scale=scale)
