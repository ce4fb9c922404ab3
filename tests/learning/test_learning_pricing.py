"""Pricing problems: each optimum derived a second way, each learner on a spread of seeds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from flipsync.learning.bench.pricing import price_cycles
from flipsync.learning.pricing import (
    arena,
    arena_rivals,
    buyers_differ,
    duopoly,
    finite_stock,
    shared_stock,
    stock_and_demand,
    unknown_line,
)
from flipsync.learning.pricing.beliefs import PurchaseBelief

# -- P1 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("items", "known"), [(1, 2.1232), (5, 6.0004), (10, 7.2231)])
def test_finite_stock_closed_form_bellman_equation_and_paper_agree(items: int, known: float) -> None:
    assert float(finite_stock.value(items, 1.0)) == pytest.approx(known, abs=5e-5)
    assert finite_stock.solve(items, 4000)[-1] == pytest.approx(float(finite_stock.value(items, 1.0)), abs=1e-6)


@pytest.mark.slow
def test_finite_stock_simulated_under_the_best_prices_earns_the_optimum() -> None:
    sim = finite_stock.FiniteStock(5, horizon=600)
    seen, earned, over = sim.reset(4000, seed=1), np.zeros(4000), False
    while not over:
        prices = np.full(4000, 50.0)
        for items in range(1, 6):
            prices[seen[:, 0] == items] = float(finite_stock.best_price(items, seen[0, 1]))
        seen, reward, over = sim.step(prices[:, None])
        earned += reward
    assert earned.mean() == pytest.approx(6.0004, abs=4 * earned.std() / 4000**0.5 + 0.02)


@pytest.mark.slow
def test_price_rules_found_by_search_are_worth_999_in_a_thousand() -> None:
    for seed in range(1, 11):
        rule = finite_stock.search(5, seed=seed, cpu_seconds=0.3)
        worth = finite_stock.worth_of(finite_stock.rule_prices(rule[None], 5, 400))[0, -1]
        assert 0.999 * 6.0004 <= worth <= 6.0004 + 1e-3, seed


# -- P2 ---------------------------------------------------------------------------------------------------------------


def test_stock_and_demand_optimum_is_the_one_of_the_paper() -> None:
    assert float(stock_and_demand.optimum(stock_and_demand.PAPER, 100, 25)) == pytest.approx(1001.5, abs=0.1)
    assert float(stock_and_demand.optimum(stock_and_demand.PAPER, 1000, 250)) == pytest.approx(10093.5, abs=0.1)


def test_stock_and_demand_optimum_by_enumerating_every_outcome() -> None:
    chances = np.array([0.8, 0.6, 0.3, 0.1])

    def worth(periods: int, items: int) -> float:
        if not periods or not items:
            return 0.0
        wait = worth(periods - 1, items)
        sell = worth(periods - 1, items - 1)
        each = zip(chances, stock_and_demand.PRICES, strict=True)
        return max(wait, *(d * (p + sell) + (1 - d) * wait for d, p in each))

    for periods, items in ((3, 1), (6, 2), (7, 7)):
        found = float(stock_and_demand.optimum(chances, periods, items))
        assert found == pytest.approx(worth(periods, items), abs=1e-9)


def test_mix_solves_the_linear_programme() -> None:
    from scipy.optimize import linprog

    rng = np.random.default_rng(3)
    chances, rates = rng.random((40, 4)), rng.random(40)
    first, second, share = stock_and_demand.mix(chances, rates)
    for run in range(40):
        exact = -linprog(
            -(chances[run] * stock_and_demand.PRICES),
            A_ub=np.vstack([chances[run], np.ones(4)]),
            b_ub=[rates[run], 1.0],
        ).fun
        padded = np.append(chances[run] * stock_and_demand.PRICES, 0.0)
        ours = share[run] * padded[first[run]] + (1 - share[run]) * padded[second[run]]
        assert ours == pytest.approx(exact, abs=1e-7)


def test_belief_in_falling_demand_matches_rejection_sampling() -> None:
    belief = PurchaseBelief(1, 4, prior=0.5)
    belief.sold[0], belief.refused[0] = [3, 0, 1, 0], [1, 0, 2, 2]
    mean, weight = belief.falling()
    rng = np.random.default_rng(0)
    separate = rng.random((400_000, 4))
    falling = -np.sort(-separate, axis=1)

    def likelihood(d: np.ndarray) -> np.ndarray:
        return np.exp((belief.sold[0] * np.log(d) + belief.refused[0] * np.log1p(-d)).sum(axis=1))

    weights = likelihood(falling)
    assert mean[0] == pytest.approx(weights @ falling / weights.sum(), abs=0.01)
    assert weight[0] == pytest.approx(weights.mean() / (weights.mean() + likelihood(separate).mean()), abs=0.02)


def test_learner_of_demand_beats_thompson_sampling_on_most_of_a_spread_of_customers() -> None:
    optimum = float(stock_and_demand.optimum(stock_and_demand.PAPER, 100, 25))
    ours, theirs = (
        stock_and_demand.play(stock_and_demand.StockAndDemand(stock_and_demand.PAPER, 100), learner, runs=150, seed=4)
        for learner in ("ours", "ts-update")
    )
    assert ours.mean() >= 0.985 * optimum
    assert (ours > theirs).mean() > 0.7
    assert 0.9 * optimum < theirs.mean() < 0.98 * optimum


def test_regret_of_limited_stock_is_what_each_choice_gave_away() -> None:
    chances, items = stock_and_demand.PAPER, 25
    earned = stock_and_demand.earnings(
        stock_and_demand.StockAndDemand(chances, 100), "explore-then-exploit", runs=4_000, seed=4
    )
    regret = stock_and_demand.given_away(chances, earned)
    optimum = float(stock_and_demand.optimum(chances, 100, items))
    assert regret[:, -1] == pytest.approx(optimum - earned.sum(axis=1)), "in the end all that is missing"
    # the first customer is asked 29.9: what that gives away in the mean, by hand
    kept, sold = (float(stock_and_demand.optimum(chances, 99, left)) for left in (items, items - 1))
    expected = optimum - 0.8 * (29.9 + sold) - 0.2 * kept
    assert regret[:, 0].mean() == pytest.approx(expected, abs=3 * float(regret[:, 0].std()) / 4_000**0.5)


# -- P2b --------------------------------------------------------------------------------------------------------------


def test_shared_stock_programme_by_enumerating_its_corners() -> None:
    revenue = (shared_stock.PRICES * shared_stock.DEMAND).sum(axis=1)
    use = shared_stock.USES @ shared_stock.DEMAND.T
    best = 0.0  # every corner of {x ≥ 0, use·x ≤ c, Σx ≤ 1}: as many active constraints as unknowns
    from itertools import combinations

    rows = np.vstack([use, np.ones(5), -np.eye(5)])
    bounds = np.concatenate([shared_stock.STOCK_A_PERIOD, [1.0], np.zeros(5)])
    for active in combinations(range(len(rows)), 5):
        a = rows[list(active)]
        if abs(np.linalg.det(a)) < 1e-9:
            continue
        x = np.linalg.solve(a, bounds[list(active)])
        if (rows @ x <= bounds + 1e-9).all():
            best = max(best, float(revenue @ x))
    found, shares = shared_stock.programme(shared_stock.DEMAND, shared_stock.STOCK_A_PERIOD)
    assert found == pytest.approx(best, abs=1e-9) == pytest.approx(20 / 3, abs=1e-9)
    assert shares.sum() <= 1 + 1e-9


@pytest.mark.slow
def test_shared_stock_is_learned_to_within_a_few_percent_of_the_programme_and_better_than_by_exploring_first() -> None:
    limit = shared_stock.programme(shared_stock.DEMAND, shared_stock.STOCK_A_PERIOD)[0] * 300
    earned = {
        learner: shared_stock.play(learner, horizon=300, runs=12, seed=6) / limit
        for learner in ("ours", "explore-then-exploit")
    }
    assert 0.95 <= earned["ours"].mean() <= 1.02
    assert earned["ours"].mean() > earned["explore-then-exploit"].mean() + 0.05


def test_shared_stock_is_never_sold_twice() -> None:
    sim = shared_stock.SharedStock(40)
    left = sim.reset(50, 1)
    over = False
    while not over:
        left, _, over = sim.step(np.zeros((50, 1)))
        assert (left >= 0).all()


# -- P3 ---------------------------------------------------------------------------------------------------------------


def test_best_price_of_a_line_by_a_numerical_search() -> None:
    found = minimize_scalar(lambda p: -p * (1.1 - 0.5 * p), bounds=(0.75, 2), method="bounded")
    assert unknown_line.best_price(1.1, 0.5) == pytest.approx(found.x, abs=1e-5) == pytest.approx(1.1, abs=1e-5)
    assert -found.fun == pytest.approx(0.605)


def test_line_belief_is_ridge_regression() -> None:
    rng = np.random.default_rng(0)
    belief = unknown_line.LineBelief(1, width=0.5)
    prices = rng.uniform(0.75, 2, 30)
    demands = 0.9 - 0.4 * prices + rng.normal(0, 0.1, 30)
    for price, demand in zip(prices, demands, strict=True):
        belief.learn(np.array([price]), np.array([demand]))
    design, unit = np.column_stack([np.ones(30), -prices]), (0.1 / 0.5) ** 2
    exact = np.linalg.solve(design.T @ design + unit * np.eye(2), design.T @ demands + unit * np.array([1.0, 0.5]))
    a, b = belief.estimate()
    assert [a[0], b[0]] == pytest.approx(exact)


def test_the_information_wanted_is_the_cheapest_and_caps_what_mean_and_tail_can_both_be() -> None:
    a, b, periods = 1.1, 0.5, 10_000.0

    def mean(information: float) -> float:
        """Expected regret of exploring first: b·J, then T·b·e² with e normal of sd p*σ/(2bJ^½)."""
        return b * information + periods * b * (1.1 * unknown_line.NOISE / (2 * b)) ** 2 / information

    wanted = float(unknown_line.wanted_information(np.array(a), np.array(b), periods, 1.0))
    found = minimize_scalar(mean, bounds=(0.1, 200.0), method="bounded", options={"xatol": 1e-8})
    assert wanted == pytest.approx(found.x, rel=1e-4) and found.fun == pytest.approx(11.0, abs=0.01)
    error = np.random.default_rng(3).standard_normal(400_000) ** 2
    shares = np.linspace(1.0, 3.0, 81)
    explored = [b * wanted * k + (found.fun - b * wanted) / k * error for k in shares]
    within = [float(each.mean()) for each in explored if np.quantile(each, 0.95) <= 22.0]
    assert within and min(within) == pytest.approx(12.2, abs=0.15), "a tail of 22 costs more mean than 11"


def test_controlled_variance_regrets_less_than_greedy_on_a_spread_of_seeds() -> None:
    ours, greedy = (
        unknown_line.play(learner, unknown_line.UnknownLine(2000), runs=200, seed=6).sum(axis=1)
        for learner in ("ours", "greedy")
    )
    assert ours.mean() < 0.6 * greedy.mean()
    assert np.quantile(ours, 0.95) < 0.5 * np.quantile(greedy, 0.95)


def test_a_jump_in_demand_is_found() -> None:
    def after(watch: bool) -> float:
        sim = unknown_line.UnknownLine(2000, jump=(1000, (1.5, 0.45)))
        return float(unknown_line.play("ours", sim, runs=60, seed=2, watch=watch)[:, 1000:].sum(axis=1).mean())

    assert after(watch=True) < 0.5 * after(watch=False)


# -- P4 ---------------------------------------------------------------------------------------------------------------


def test_lamberts_price_by_a_numerical_search() -> None:
    for value, scale in ((3.0, 0.5), (1.0, 1.0), (-1.0, 0.3)):

        def revenue(price: float, value: float = value, scale: float = scale) -> float:
            return -price / (1 + np.exp((price - value) / scale))

        found = minimize_scalar(revenue, bounds=(0.01, 8), method="bounded", options={"xatol": 1e-9})
        assert float(buyers_differ.best_price(np.array(value), scale)) == pytest.approx(found.x, abs=1e-5)


def test_structured_belief_regrets_a_fraction_of_linear_thompson_sampling() -> None:
    ours, theirs = (
        buyers_differ.play(learner, buyers_differ.BuyersDiffer(1500), runs=8, seed=3).sum(axis=1)
        for learner in ("ours", "lin-ts")
    )
    assert (ours < theirs).all()
    assert ours.mean() < 0.4 * theirs.mean()


# -- P5 ---------------------------------------------------------------------------------------------------------------


def test_nash_and_monopoly_are_the_papers_and_nobody_gains_by_leaving() -> None:
    nash, monopoly = duopoly.nash(), duopoly.monopoly()
    assert nash == pytest.approx(1.472927, abs=1e-6)
    assert monopoly == pytest.approx(1.924981, abs=1e-6)
    assert float(duopoly.profit(nash, nash)) == pytest.approx(0.222927, abs=1e-6)
    assert float(duopoly.profit(monopoly, monopoly)) == pytest.approx(0.337490, abs=1e-6)
    elsewhere = np.linspace(1.0, 3.0, 20_001)
    assert duopoly.profit(elsewhere, nash).max() <= float(duopoly.profit(nash, nash)) + 1e-9
    assert duopoly.profit(elsewhere, elsewhere).max() <= float(duopoly.profit(monopoly, monopoly)) + 1e-9


def test_best_response_by_value_iteration_is_confirmed_by_policy_evaluation() -> None:
    for rival in duopoly.frozen_rivals(5).values():
        worth, policy = duopoly.best_response(rival.reaction())
        assert duopoly.worth_against(rival.reaction(), policy) == pytest.approx(worth, abs=1e-6)
        other = np.random.default_rng(1).integers(0, duopoly.POINTS, policy.shape)
        assert (duopoly.worth_against(rival.reaction(), other) <= worth + 1e-6).all()


def test_best_responder_exploits_a_frozen_rival_and_does_not_collude_with_its_like() -> None:
    for seed in range(1, 11):
        rival = duopoly.frozen_rivals(seed)["punishes"]
        seller = duopoly.BestResponder(seed)
        _, prices = duopoly.duel(seller, rival, 5000, seed)
        best, _ = duopoly.best_response(rival.reaction())
        own, other = prices[-1]
        assert duopoly.worth_against(rival.reaction(), seller.policy)[own, other] >= 0.98 * best[own, other], seed
        profits, _ = duopoly.duel(duopoly.BestResponder(seed), duopoly.BestResponder(seed + 50), 6000, seed)
        assert duopoly.profit_gain(float(profits[-500:].mean())) <= 0.1, seed


# -- P6 ---------------------------------------------------------------------------------------------------------------


def test_a_monopolist_of_loyals_asks_what_they_pay_on_average() -> None:
    game = arena.Game(np.array([100.0]), np.array([0.0]), np.array([10.0]), np.array([10.0]))
    prices = np.linspace(1, 40, 4000)
    revenue = np.array([float(p * game.mean_sales(np.array([[p]]))[0, 0]) for p in prices])
    assert prices[revenue.argmax()] == pytest.approx(10.0, abs=0.02)
    assert revenue.max() == pytest.approx(100 * 10 / np.e, rel=1e-4)


def test_ours_comes_first_in_most_arenas_and_keeps_its_floor() -> None:
    outcome = arena.play([arena.BayesFirm(particles=200), *arena_rivals.rivals()], runs=12, seed=8, periods=400)
    assert (outcome.revenue.argmax(axis=1) == 0).mean() >= 0.6
    assert outcome.prices[:, :, 0].min() >= arena.FLOOR


def test_a_cycle_is_a_fall_by_a_third_and_a_rise_by_half() -> None:
    saw = np.array([9.0, 6.0, 9.0, 6.0, 9.0])
    shallow = np.array([9.0, 6.1, 9.0, 6.1, 9.0])
    once = np.array([9.0, 3.0, 3.0, 3.0, 3.0])
    counted = price_cycles(np.column_stack([saw, shallow, once]))
    assert counted.tolist() == [40.0, 0.0, 0.0]
    assert price_cycles(np.column_stack([saw, shallow, once]), rise=1.25).tolist() == [40.0, 40.0, 0.0]


def test_the_corridor_ends_price_cycles_and_costs_little_revenue_on_a_spread_of_draws() -> None:
    calm, free = (
        arena.play(
            [arena.BayesFirm(particles=200, corridor=width), *arena_rivals.rivals()], runs=16, seed=12, periods=500
        )
        for width in (1.49, 1e9)
    )
    cycles, before = (price_cycles(outcome.prices[200:, :, 0]).mean() for outcome in (calm, free))
    assert cycles <= 1.0 < 4.0 < before
    assert calm.revenue[:, 0].mean() >= 0.96 * free.revenue[:, 0].mean()
    asked = calm.prices[200:, :, 0]
    inside = [asked[at : at + 2].max(axis=0) / asked[at : at + 2].min(axis=0) <= 1.49 for at in range(len(asked) - 1)]
    assert np.mean(inside) >= 0.97, "the corridor seldom moves"
