"""`flipsync bench inventory`: problems P7 to P10, ours beside the optimum and beside peers run on the same demands."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from flipsync.learning import fitted_q
from flipsync.learning.inventory import chain, dual_sourcing, lost_sales, projected_stock, reorder_point
from flipsync.learning.peers import deep, installed, missing
from flipsync.learning.protocol import JUDGE_SEED, SEEDS, Cpu, Curve, Report, Row, bootstrap
from flipsync.learning.simulator import Ints

#: gaps below are drawn as this: a policy may meet the simulated demands as well as the optimum, or better
_LEAST = 0.01


def run(quick: bool, say: Callable[[str], None] = lambda part: None) -> Report:
    """All inventory problems. `quick` takes fewer cells and seeds."""
    report = Report("inventory", quick, left_out=missing("stable_baselines3", "stockpyl"))
    with Cpu() as clock:
        for part in (lost, reorder, sources, stages):
            say(part.__doc__ or part.__name__)
            report.add(part(quick))
        say(challengers.__doc__ or "")
        report.add(*challengers(quick))
    report.cpu_seconds = clock.seconds
    return report


def lost(quick: bool) -> list[Row]:
    """P7 lost sales"""
    rows = []
    seconds = 3.0
    for penalty, published in lost_sales.ZIPKIN.items():
        for lead, known in enumerate(published, 1):
            problem = lost_sales.LostSales(penalty, lead)
            case = f"p={penalty}, L={lead}"
            with Cpu() as clock:
                optimum, orders = problem.solve()
            gap = (problem.cost_of(orders) / known - 1) * 100
            rows.append(
                Row(
                    *("P7", case, "value iteration", gap, "% above the optimum"),
                    limit=known,
                    target=0.2,
                    sense="at most",
                    cpu_seconds=clock.seconds,
                    note=f"cost {optimum:.4f}, Zipkin {known}",
                )
            )
            if quick and (lead, penalty) not in ((1, 4), (4, 4), (4, 39)):
                continue
            gaps = []
            for seed in SEEDS[: 2 if quick else None]:
                weights = projected_stock.learn(problem, seed=seed, cpu_seconds=seconds * 0.9)
                found = problem.cost_of(projected_stock.orders_of(problem, weights))
                gaps.append((found / optimum - 1) * 100)
            told = bootstrap(gaps)
            rows.append(
                Row(
                    *("P7", case, "CMA-ES, projected stock", told.mean, "% above the optimum"),
                    low=told.low,
                    high=told.high,
                    limit=optimum,
                    target=0.2,
                    sense="at most",
                    cpu_seconds=seconds,
                    seeds=tuple(np.round(gaps, 4).tolist()),
                    note="knows the distribution of demand, not the optimum",
                )
            )
    return rows


def challengers(quick: bool) -> tuple[list[Row], list[Curve]]:
    """P7 against fitted Q and deep learners, equal processor time"""
    problem, case = lost_sales.LostSales(4, 4), "p=4, L=4"
    budgets = [1.0, 10.0] if quick else [1.0, 10.0, 100.0]
    seeds = SEEDS[: 1 if quick else None]
    optimum = problem.simulated_cost(problem.solve()[1], seed=JUDGE_SEED)
    found: dict[str, list[list[Ints]]] = {"CMA-ES, projected stock": [], "fitted Q": []}
    for seed in seeds:
        learned = [projected_stock.learn(problem, seed=seed, cpu_seconds=budget) for budget in budgets]
        found["CMA-ES, projected stock"].append([projected_stock.orders_of(problem, each) for each in learned])
        found["fitted Q"].append(_fitted(problem, seed, budgets))
    if installed("stable_baselines3"):
        for algorithm in deep.ALGORITHMS:
            found[algorithm] = [deep.learn_orders(problem, algorithm, seed=each, cpu_seconds=budgets) for each in seeds]
    rows, curves = [], []
    for method, by_seed in found.items():
        reached: list[list[float]] = []
        for at, budget in enumerate(budgets):
            costs = [problem.simulated_cost(each[at], seed=JUDGE_SEED) for each in by_seed]
            gaps = [float(cost.mean() / optimum.mean() - 1) * 100 for cost in costs]
            reached.append(gaps)
            told = bootstrap(gaps)
            rows.append(
                Row(
                    *("P7", f"{case}, {budget:g} CPU-s", method, told.mean, "% above the optimum"),
                    low=told.low,
                    high=told.high,
                    cpu_seconds=budget,
                    seeds=tuple(np.round(gaps, 3).tolist()),
                    note="on the same simulated demands as the optimum",
                )
            )
        shown = [
            (max(float(np.mean(gaps)), _LEAST), *(max(end(gaps), _LEAST) for end in (min, max))) for gaps in reached
        ]
        mean, low, high = zip(*shown, strict=True)
        title = f"P7 % above the optimum by CPU-s, {case}"
        curves.append(Curve(title, method, tuple(budgets), mean, low, high, log=True))
    return rows, curves


def _fitted(problem: lost_sales.LostSales, seed: int, budgets: list[float]) -> list[Ints]:
    """Orders by state of fitted Q iteration after each budget; as for deep learners, looking is not counted."""
    choices = np.arange(problem.order_cap + 1)
    scale = [2 * problem.mean, *[problem.mean] * problem.lead]
    world = lost_sales.LostSalesWorld(problem)
    known = fitted_q.learn(world, actions=choices, scale=scale, seed=seed, cpu_seconds=budgets)
    states = problem.states().reshape(problem.lead, -1).T
    # worth of every choice takes much memory: some states at a time
    return [
        np.concatenate([each.best(part) for part in np.array_split(states, 64)]).reshape(problem.shape)
        for each in known
    ]


def reorder(quick: bool) -> list[Row]:
    """P8 (s, S)"""
    rows = []
    known = {10: (6, 40, 35.0216), 15: (10, 49, 42.6978), 20: (14, 62, 49.1730)}
    for mean, (low, high, cost) in known.items():
        with Cpu() as clock:
            for _ in range(20):
                found = reorder_point.ReorderPoint(mean).solve()
        ours = clock.seconds / 20
        off = abs(found[2] - cost) if found[:2] == (low, high) else float("inf")
        rows.append(
            Row(
                *("P8", f"μ={mean}", "ours", off, "distance from the published cost"),
                limit=cost,
                target=5e-5,
                sense="at most",
                cpu_seconds=ours,
                note=f"(s, S) = ({found[0]}, {found[1]}), {found[2]:.4f}",
            )
        )
        if installed("stockpyl"):
            peer: Any = importlib.import_module("stockpyl.ss")
            with Cpu() as clock:
                theirs = peer.s_s_discrete_exact(1, 9, 64, True, demand_mean=mean)
            rows.append(
                Row(
                    *("P8", f"μ={mean}", "stockpyl", abs(theirs[2] - cost), "distance from the published cost"),
                    cpu_seconds=clock.seconds,
                    note=f"(s, S) = ({theirs[0]:.0f}, {theirs[1]:.0f})",
                )
            )
            rows.append(
                Row("P8", f"μ={mean}", "ours", clock.seconds / max(ours, 1e-6), "× faster than stockpyl", target=10.0)
            )
    return rows


def sources(quick: bool) -> list[Row]:
    """P9 two sources"""
    rows = []
    for express in (105.0, 110.0):
        for lead in (2, 3, 4):
            problem = dual_sourcing.DualSourcing(lead, express)
            with Cpu() as clock:
                optimum, now, later = problem.solve()
            gap = (problem.cost_of(now, later) / optimum - 1) * 100
            case = f"c_e={express:g}, l_r={lead}"
            rows.append(
                Row(
                    *("P9", case, "value iteration", gap, "% above the optimum"),
                    limit=optimum,
                    target=0.1,
                    sense="at most",
                    cpu_seconds=clock.seconds,
                )
            )
            if quick and lead == 4:
                continue
            with Cpu() as clock:
                cost, (low, high, cap) = problem.best_capped_dual_index()
            rows.append(
                Row(
                    *("P9", case, "capped dual index", (cost / optimum - 1) * 100, "% above the optimum"),
                    limit=optimum,
                    cpu_seconds=clock.seconds,
                    note=f"express to {low}, regular to {high}, at most {cap}",
                )
            )
    rows.append(Row("P9", "all", "A3C", 1.9, "% above the optimum", source="published", note="0.5 to 1.9"))
    return rows


def stages(quick: bool) -> list[Row]:
    """P10 a chain of stages"""
    runs = 100 if quick else 1000
    demand = np.random.default_rng(JUDGE_SEED).poisson(chain.MEAN, (chain.PERIODS, runs)).astype(np.float64)
    with Cpu() as clock:
        limit = np.array([chain.perfect_information(demand[:, run]) for run in range(runs)])
    told = bootstrap(limit)
    case = f"{runs} seasons"
    rows = [
        Row(
            *("P10", case, "perfect information", told.mean, "profit"),
            low=told.low,
            high=told.high,
            source="exact",
            cpu_seconds=clock.seconds,
        )
    ]
    fresh = np.random.default_rng(JUDGE_SEED + 1).poisson(chain.MEAN, (chain.PERIODS, 300)).astype(np.float64)
    profits, means, chosen_by = [], [], []
    seconds = 6.0 if quick else 20.0
    for seed in SEEDS[: 2 if quick else None]:
        levels = chain.learn_base_stock(seed=seed, cpu_seconds=seconds, runs=100 if quick else 200)
        profits.append(chain.judge(levels, demand))
        means.append(float(profits[-1].mean()))
        chosen_by.append(float(chain.judge(levels, fresh).mean()))
    told = bootstrap(np.mean(profits, axis=0))
    rows.append(
        Row(
            *("P10", case, "CMA-ES, levels that move with time", told.mean, "profit"),
            low=told.low,
            high=told.high,
            limit=float(limit.mean()),
            cpu_seconds=seconds,
            seeds=tuple(np.round(means, 2).tolist()),
            note="mean of all optimiser seeds",
        )
    )
    best = profits[int(np.argmax(chosen_by))]
    told = bootstrap(best)
    rows.append(
        Row(
            *("P10", case, "ours", told.mean, "profit"),
            low=told.low,
            high=told.high,
            limit=float(limit.mean()),
            target=520.0,
            cpu_seconds=seconds * len(profits),
            note="of the seeds, the one best on 300 other seasons",
        )
    )
    share = bootstrap(best - limit)
    rows.append(
        Row("P10", case, "ours", share.mean, "profit beside perfect information", low=share.low, high=share.high)
    )
    return rows
