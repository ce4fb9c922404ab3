"""Inventory problems: each optimum derived a second way, each learner on a spread of seeds."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.sparse import csr_array

from flipsync.learning.inventory import chain, dual_sourcing, lost_sales, projected_stock, reorder_point

# -- P7 ---------------------------------------------------------------------------------------------------------------

CELLS = [(penalty, lead) for penalty in lost_sales.ZIPKIN for lead in (1, 2, 3, 4)]


@pytest.mark.parametrize(("penalty", "lead"), CELLS)
def test_lost_sales_value_iteration_meets_zipkins_table(penalty: int, lead: int) -> None:
    problem = lost_sales.LostSales(penalty, lead)
    cost, orders = problem.solve()
    known = lost_sales.ZIPKIN[penalty][lead - 1]
    assert cost == pytest.approx(known, abs=1e-3)
    assert problem.cost_of(orders) == pytest.approx(cost, abs=1e-4)
    assert orders.max() < problem.order_cap, "the grid does not bind"


def test_lost_sales_optimum_by_a_linear_programme_over_state_frequencies() -> None:
    """The average-cost optimum as the dual programme (Puterman 1994, section 8.8), for L = 1 on a small grid."""
    problem = lost_sales.LostSales(4, 1)
    size, orders = problem.stock_cap + 1, problem.order_cap + 1
    cost = np.repeat(problem.period_cost, orders)
    flow = np.zeros((size + 1, size * orders))
    for stock, order in product(range(size), range(orders)):
        column = stock * orders + order
        flow[stock, column] += 1
        for left in range(size):
            flow[min(left + order, size - 1), column] -= problem.left_over[stock, left]
        flow[size, column] = 1
    told = linprog(cost, A_eq=flow, b_eq=np.append(np.zeros(size), 1.0), method="highs")
    assert told.fun == pytest.approx(4.0407, abs=5e-4)


def test_the_best_orders_cost_in_simulation_what_value_iteration_says() -> None:
    problem = lost_sales.LostSales(9, 2)
    cost, orders = problem.solve()
    sim = lost_sales.LostSalesWorld(problem, horizon=1500)
    seen, spent = sim.reset(60, seed=3), []
    over = False
    while not over:
        state = np.minimum(seen.astype(int), np.array(problem.shape) - 1)
        seen, reward, over = sim.step(orders[tuple(state.T)][:, None].astype(float))
        spent.append(-reward)
    means = np.mean(spent[100:], axis=0)
    assert means.mean() == pytest.approx(cost, abs=4 * means.std() / 60**0.5)


def test_simulated_cost_of_any_policy_is_its_cost_and_ends_for_one_that_goes_in_circles() -> None:
    problem = lost_sales.LostSales(9, 2)
    cost, orders = problem.solve()
    seen = problem.simulated_cost(orders, seed=4, runs=60, periods=1000)
    assert seen.mean() == pytest.approx(cost, abs=4 * seen.std() / 60**0.5)
    nothing = problem.simulated_cost(np.zeros(problem.shape, dtype=np.int64), seed=4, runs=10, periods=100)
    assert nothing == pytest.approx(9 * 5.0), "all demand is lost"


@pytest.mark.slow
def test_learned_lost_sales_policies_come_close_on_every_seed() -> None:
    problem = lost_sales.LostSales(19, 2)
    optimum, _ = problem.solve()
    for seed in range(1, 11):
        weights = lost_sales.learn(problem, seed=seed, cpu_seconds=0.6, runs=16, periods=200)
        cost = problem.cost_of(lost_sales.orders_of(weights, problem.states(), problem.order_cap))
        assert optimum <= cost + 1e-4 and cost <= 1.015 * optimum, seed


def test_projected_stock_is_what_simulation_leaves_on_hand() -> None:
    problem = lost_sales.LostSales(9, 3)
    told = projected_stock.projected(problem)
    rng = np.random.default_rng(8)
    for stock, first, second in ((7, 4, 6), (0, 0, 9), (20, 3, 0)):
        hand = np.full(40_000, stock)
        for arriving in (first, second, 0):
            hand = np.maximum(hand - rng.poisson(5.0, 40_000), 0) + arriving
        assert told[stock, first, second] == pytest.approx(hand.mean(), abs=4 * hand.std() / 200)


@pytest.mark.slow
def test_search_over_projected_stock_comes_within_a_fifth_of_a_percent_on_every_seed() -> None:
    for penalty, lead in ((4, 1), (4, 4), (39, 3)):
        problem = lost_sales.LostSales(penalty, lead)
        optimum, _ = problem.solve()
        for seed in (1, 2):
            weights = projected_stock.learn(problem, seed=seed, cpu_seconds=2.7)
            gap = problem.cost_of(projected_stock.orders_of(problem, weights)) / optimum - 1
            assert -1e-4 <= gap <= 0.003, (penalty, lead, seed)


# -- P8 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mean", "known"), [(10, (6, 40, 35.0216)), (15, (10, 49, 42.6978)), (20, (14, 62, 49.1730))])
def test_reorder_points_are_the_published_ones(mean: float, known: tuple[int, int, float]) -> None:
    low, high, cost = reorder_point.ReorderPoint(mean).solve()
    assert (low, high) == known[:2]
    assert cost == pytest.approx(known[2], abs=5e-5)


def test_reorder_points_are_the_best_of_all_and_match_value_iteration() -> None:
    problem = reorder_point.ReorderPoint(4.0, fixed=20.0)
    _, _, cost = problem.solve()
    assert cost == pytest.approx(min(problem.cost(s, up) for s in range(-5, 15) for up in range(s + 1, 40)), abs=1e-12)
    from scipy.stats import poisson

    positions = np.arange(-60, 61)  # a different road: relative value iteration over any order-up-to decision
    chance = poisson.pmf(np.arange(40), 4.0)
    middle = {y: float(problem.one_period[y + (len(problem.one_period) - 1) // 2]) for y in positions}
    values = np.zeros(len(positions))
    one = np.array([middle[y] for y in positions])
    shift = np.maximum(np.arange(len(positions))[:, None] - np.arange(40)[None, :], 0)
    for _ in range(4000):
        worth = one + values[shift] @ chance
        best_above = np.minimum.accumulate(worth[::-1])[::-1]
        new = np.minimum(worth, 20.0 + best_above)
        change = new - values
        values = new - new[60]
        if np.ptp(change[30:]) < 1e-9:
            break
    assert change[60] == pytest.approx(cost, abs=1e-5)


# -- P9 ---------------------------------------------------------------------------------------------------------------


def test_dual_sourcing_optimum_holds_on_a_wider_grid_and_in_simulation() -> None:
    problem = dual_sourcing.DualSourcing(2, 110.0)
    optimum, express, regular = problem.solve()
    wider, _, _ = dual_sourcing.DualSourcing(2, 110.0, order_cap=6, express_cap=10).solve()
    assert wider == pytest.approx(optimum, abs=1e-3)
    sim = dual_sourcing.DualSourcingWorld(problem, horizon=1500)
    seen, spent, over = sim.reset(80, seed=2), [], False
    while not over:
        state = seen.astype(int)
        state[:, 0] = np.clip(state[:, 0] - problem.low, 0, problem.shape[0] - 1)
        at = tuple(state.T)
        seen, reward, over = sim.step(np.column_stack([express[at], regular[at]]).astype(float))
        spent.append(-reward)
    means = np.mean(spent[50:], axis=0)
    assert means.mean() == pytest.approx(optimum, abs=4 * means.std() / 80**0.5)


@pytest.mark.parametrize("express_cost", [105.0, 110.0])
def test_dual_sourcing_optimum_by_a_linear_programme_over_state_frequencies(express_cost: float) -> None:
    """As for P7 (Puterman 1994, section 8.8), the two orders and what becomes of a state written out by hand."""
    stocks, pipeline, express, regular = range(-8, 21), range(5), range(9), range(5)
    states = {state: row for row, state in enumerate(product(stocks, pipeline))}
    rows, columns, values, costs = [], [], [], []
    for (stock, coming), fast, slow in product(states, express, regular):
        column, raised = len(costs), min(stock + fast, 20)
        costs.append(100.0 * slow + express_cost * fast)
        rows.append(states[stock, coming])
        columns.append(column)
        values.append(1.0)
        for demand in range(5):
            left = raised - demand
            costs[-1] += (5.0 * max(left, 0) + 495.0 * max(-left, 0)) / 5
            rows.append(states[min(max(left + coming, -8), 20), slow])
            columns.append(column)
            values.append(-0.2)
    rows += [len(states)] * len(costs)
    columns += range(len(costs))
    values += [1.0] * len(costs)
    flow = csr_array((values, (rows, columns)), shape=(len(states) + 1, len(costs)))
    told = linprog(costs, A_eq=flow, b_eq=np.append(np.zeros(len(states)), 1.0), method="highs")
    assert told.fun == pytest.approx(dual_sourcing.DualSourcing(2, express_cost).solve()[0], abs=1e-3)


def test_capped_dual_index_is_within_a_tenth_of_a_percent() -> None:
    problem = dual_sourcing.DualSourcing(2, 105.0)
    optimum, _, _ = problem.solve()
    cost, _ = problem.best_capped_dual_index()
    assert optimum - 1e-3 <= cost <= 1.0011 * optimum


# -- P10 --------------------------------------------------------------------------------------------------------------


def test_the_chains_plan_earns_in_the_simulator_what_it_promised() -> None:
    for seed in (1, 2, 3):
        demand = np.random.default_rng(seed).poisson(chain.MEAN, (chain.PERIODS, 1)).astype(float)
        promised, orders = chain.plan(chain.START, np.zeros((chain.STAGES, chain.PERIODS)), demand[:, 0])
        sim = chain.Chain(demand)
        sim.reset(1, 0)
        earned = sum(float(sim.step(orders[:, [period]].T)[1][0]) for period in range(chain.PERIODS))
        assert earned == pytest.approx(promised, abs=1e-6)


@pytest.mark.slow
def test_foresight_earns_in_the_mean_what_was_published() -> None:
    """556.8 (OPTIMISATION's P10), over 300 seasons whose mean has an error of its own."""
    demand = np.random.default_rng(5).poisson(chain.MEAN, (chain.PERIODS, 300)).astype(float)
    limit = np.array([chain.perfect_information(demand[:, run]) for run in range(300)])
    assert limit.mean() == pytest.approx(556.8, abs=3 * limit.std() / 300**0.5)


@pytest.mark.slow
def test_learned_levels_come_close_to_foresight_and_never_beat_it() -> None:
    demand = np.random.default_rng(77).poisson(chain.MEAN, (chain.PERIODS, 20)).astype(float)
    limit = np.array([chain.perfect_information(demand[:, run]) for run in range(20)])
    for seed in range(1, 11):
        levels = chain.learn_base_stock(seed=seed, cpu_seconds=0.7, runs=20, knots=5)
        earned = chain.judge(levels, demand)
        assert (earned <= limit + 1e-6).all(), seed
        assert earned.mean() >= 0.88 * limit.mean(), seed
