"""`flipsync bench pricing`: problems P1 to P6, ours beside their optimum and beside peers run on the same customers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from flipsync.learning.peers import bandits, installed, missing
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
from flipsync.learning.protocol import JUDGE_SEED, SEEDS, Cpu, Curve, Report, Row, bootstrap, regret_curve
from flipsync.learning.simulator import Array


def run(quick: bool, say: Callable[[str], None] = lambda part: None) -> Report:
    """All pricing problems. `quick` takes fewer runs, not other problems."""
    report = Report("pricing", quick, left_out=missing("mabwiser", "vowpalwabbit"))
    with Cpu() as clock:
        for part in (known, stock, shared, line, differing, two_sellers, repricing):
            say(part.__doc__ or part.__name__)
            report.add(*part(quick))
    report.cpu_seconds = clock.seconds
    return report


def known(quick: bool) -> tuple[list[Row], list[Curve]]:
    """P1 known demand, finite stock"""
    rows = []
    for items in (1, 5, 10):
        limit = float(finite_stock.value(items, 1.0))
        with Cpu() as clock:
            error = abs(finite_stock.solve(items)[-1] - limit)
        rows.append(
            Row(
                *("P1", f"N={items}", "Bellman equation integrated", error, "distance from the closed form"),
                limit=limit,
                target=1e-6,
                sense="at most",
                cpu_seconds=clock.seconds,
            )
        )
        with Cpu() as clock:
            rules = np.stack([finite_stock.search(items, seed=seed, cpu_seconds=1.0) for seed in SEEDS])
        worth = finite_stock.worth_of(finite_stock.rule_prices(rules, items, 800))[:, -1] / limit * 100
        rows.append(_share("P1", f"N={items}", "CMA-ES on a six-figure rule", worth, 99.9, clock, limit))
    return rows, []


def _share(
    problem: str, case: str, method: str, shares: Array, target: float | None, clock: Cpu | None, limit: float
) -> Row:
    told = bootstrap(shares)
    seeds = tuple(np.round(shares, 4).tolist()) if len(shares) <= 10 else ()
    seconds = clock.seconds / (len(SEEDS) if len(shares) == len(SEEDS) else 1) if clock else None
    return Row(
        *(problem, case, method, told.mean, "% of optimum"),
        low=told.low,
        high=told.high,
        limit=limit,
        target=target,
        cpu_seconds=seconds,
        seeds=seeds,
    )


def stock(quick: bool) -> tuple[list[Row], list[Curve]]:
    """P2 demand learned while the stock lasts"""
    rows, curves = [], []
    learners: tuple[stock_and_demand.Learner, ...] = ("ours", "ts-update", "ts-fixed", "greedy", "explore-then-exploit")
    falling, odd = (
        make(200, JUDGE_SEED) for make in (stock_and_demand.falling_instances, stock_and_demand.odd_instances)
    )
    cases: list[tuple[str, Array, int, float | None]] = [
        ("paper", stock_and_demand.PAPER, 100, 98.5),
        ("paper", stock_and_demand.PAPER, 1000, 99.8),
    ]
    cases += [("200 from the prior", falling, 100, None), ("200 not falling", odd, 100, None)]
    if not quick:
        cases += [("200 from the prior", falling, 1000, None), ("200 not falling", odd, 1000, None)]
    for name, chances, periods, target in cases:
        limit = stock_and_demand.optimum(np.atleast_2d(chances), periods, round(stock_and_demand.SHARE * periods))
        runs = 200 if chances.ndim == 2 or (quick and periods > 100) else 500 if quick else 1000
        shares: dict[str, Array] = {}
        for learner in learners:
            with Cpu() as clock:
                sim = stock_and_demand.StockAndDemand(chances, periods)
                each = stock_and_demand.earnings(sim, learner, runs=runs, seed=JUDGE_SEED)
            earned = each.sum(axis=1)
            if chances.ndim == 1:
                regret = stock_and_demand.given_away(chances, each[:200])
                curves.append(regret_curve(f"P2 regret, stock and demand, T={periods}", learner, regret))
            aim = target if learner == "ours" else None
            case = f"{name}, T={periods}"
            shares[learner] = earned / limit * 100
            rows.append(_share("P2", case, learner, shares[learner], aim, clock, float(limit.mean())))
        rows += _paired("P2", case, shares, "points of optimum gained")
        if installed("mabwiser") and chances.ndim == 1:
            few = 20 if quick else 50
            with Cpu() as clock:
                sim = stock_and_demand.StockAndDemand(chances, periods)
                earned = bandits.stock_while_it_lasts(sim, runs=few, customers=runs, seed=JUDGE_SEED)
            told = _share("P2", case, "UCB1, MABWiser", earned / limit * 100, None, clock, float(limit.mean()))
            rows.append(replace(told, note=f"the first {few} runs; knows no stock"))
    return rows, curves


def _paired(problem: str, case: str, by_learner: dict[str, Array], unit: str) -> list[Row]:
    """What `ours` has more than each other learner on the same run, the same customers before both."""
    rows = []
    for learner in by_learner:
        if learner != "ours":
            told = bootstrap(by_learner["ours"] - by_learner[learner])
            method = f"ours, on {learner}"
            rows.append(Row(problem, case, method, told.mean, unit, low=told.low, high=told.high))
    return rows


def shared(quick: bool) -> tuple[list[Row], list[Curve]]:
    """P2b goods that share stock"""
    rows = []
    limit = shared_stock.programme(shared_stock.DEMAND, shared_stock.STOCK_A_PERIOD)[0]
    learners: tuple[shared_stock.Learner, ...] = ("ours", "ts-update", "greedy", "explore-then-exploit")
    shares: dict[str, Array] = {}
    for learner in learners:
        with Cpu() as clock:
            earned = shared_stock.play(learner, horizon=1000, runs=20 if quick else 100, seed=JUDGE_SEED)
        aim = 98.0 if learner == "ours" else None
        shares[learner] = earned / limit / 10
        rows.append(_share("P2b", "T=1000", learner, shares[learner], aim, clock, limit))
    return rows + _paired("P2b", "T=1000", shares, "points of optimum gained"), []


def line(quick: bool) -> tuple[list[Row], list[Curve]]:
    """P3 a demand line to be learned"""
    rows, curves = [], []
    runs, horizon = 400 if quick else 2000, 10_000
    learners: tuple[unknown_line.Learner, ...] = ("ours", "greedy", "cils", "ts")
    saved: dict[str, Array] = {}
    for learner in learners:
        with Cpu() as clock:
            regret = unknown_line.play(learner, unknown_line.UnknownLine(horizon), runs=runs, seed=JUDGE_SEED)
        ours = learner == "ours"
        saved[learner] = -regret.sum(axis=1)
        rows += _regrets("P3", "T=10⁴", learner, regret, clock, 11.0 if ours else None, 22.0 if ours else None)
        curves.append(regret_curve("P3 regret, demand line unknown", learner, np.cumsum(regret[:200], axis=1)))
    rows += _paired("P3", "T=10⁴", saved, "regret saved")
    if installed("mabwiser"):
        few = 2 if quick else 8
        with Cpu() as clock:
            sim = unknown_line.UnknownLine(horizon)
            regret = bandits.unknown_demand(sim, runs=few, customers=runs, seed=JUDGE_SEED)
        told = _regrets("P3", "T=10⁴", "UCB1, MABWiser", regret, clock, None, None)
        rows += [replace(row, note=f"the first {few} runs") for row in told]
    jump = (5000, (1.5, 0.45))
    watched: tuple[tuple[unknown_line.Learner, bool], ...] = (("ours", True), ("ours", False), ("ts", False))
    for learner, watch in watched:
        with Cpu() as clock:
            sim = unknown_line.UnknownLine(horizon, jump=jump)
            regret = unknown_line.play(learner, sim, runs=min(runs, 400), seed=JUDGE_SEED, watch=watch)
        name = f"{learner}, drift watched" if watch else learner
        rows += _regrets("P3", "demand jumps at 5,000", name, regret, clock, None, None)
        curves.append(regret_curve("P3 regret, demand jumps half way", name, np.cumsum(regret[:200], axis=1)))
    return rows, curves


def _regrets(
    problem: str, case: str, method: str, regret: Array, clock: Cpu, mean: float | None, p95: float | None
) -> list[Row]:
    total = regret.sum(axis=1)
    told = bootstrap(total)
    seeds = tuple(np.round(total, 2).tolist()) if len(total) <= 10 else ()
    return [
        Row(
            *(problem, case, method, told.mean, "regret, mean"),
            low=told.low,
            high=told.high,
            target=mean,
            sense="at most",
            cpu_seconds=clock.seconds,
            seeds=seeds,
        ),
        Row(*(problem, case, method, float(np.quantile(total, 0.95)), "regret, p95"), target=p95, sense="at most"),
    ]


def differing(quick: bool) -> tuple[list[Row], list[Curve]]:
    """P4 buyers who differ"""
    rows, curves = [], []
    for horizon, runs in ((10_000, 10),) if quick else ((10_000, 20), (100_000, 5)):
        learners: list[buyers_differ.Learner] = ["ours", "greedy", "lin-ts"]
        if installed("vowpalwabbit"):
            learners.append("vw-cats")
        totals: dict[str, float] = {}
        saved: dict[str, Array] = {}
        case = f"T={horizon:,}"
        for learner in learners:
            with Cpu() as clock:
                regret = buyers_differ.play(
                    learner, buyers_differ.BuyersDiffer(horizon), runs=min(runs, 10), seed=JUDGE_SEED
                )
            saved[learner] = -regret.sum(axis=1)
            totals[learner] = -float(saved[learner].mean())
            rows += _regrets("P4", case, learner, regret, clock, None, None)
            if horizon == 10_000:
                curves.append(regret_curve("P4 regret, buyers differ", learner, np.cumsum(regret, axis=1)))
        if installed("mabwiser") and horizon == 10_000:
            few = 1 if quick else 3
            with Cpu() as clock:
                sim = buyers_differ.BuyersDiffer(horizon)
                regret = bandits.buyers(sim, runs=few, customers=min(runs, 10), seed=JUDGE_SEED)
            told = _regrets("P4", case, "LinUCB, MABWiser", regret, clock, None, None)
            rows += [replace(row, note=f"the first {few} runs") for row in told]
        rows += _paired("P4", case, saved, "regret saved")
        best_peer = min(totals[peer] for peer in totals if peer in ("lin-ts", "vw-cats"))
        peers = "LinTS and VW" if "vw-cats" in totals else "LinTS (VW is not installed)"
        share = totals["ours"] / best_peer * 100
        rows.append(
            Row("P4", case, "ours", share, "% of the best peer's regret", target=100.0, sense="at most", note=peers)
        )
    return rows, curves


def two_sellers(quick: bool) -> tuple[list[Row], list[Curve]]:
    """P5 two sellers, logit buyers"""
    rows = []
    with Cpu() as clock:
        worst: dict[str, list[float]] = {}
        for seed in SEEDS[: 2 if quick else None]:
            for name, rival in duopoly.frozen_rivals(seed).items():
                seller = duopoly.BestResponder(seed)
                duopoly.duel(seller, rival, 10_000, seed)
                best, _ = duopoly.best_response(rival.reaction())
                worth, seen = duopoly.worth_against(rival.reaction(), seller.policy), seller.counts.sum(axis=2)
                worst.setdefault(name, []).append(float((worth / best * seen).sum() / seen.sum()) * 100)
    for name, shares in worst.items():
        limit = 100.0
        rows.append(_share("P5", f"frozen rival {name}, 10⁴ periods", "ours", np.array(shares), 98.0, clock, limit))
    gains = []
    for seed in SEEDS:
        profits, _ = duopoly.duel(duopoly.BestResponder(seed), duopoly.BestResponder(seed + 1000), 10_000, seed)
        gains.append(duopoly.profit_gain(float(profits[-1000:].mean())))
    told = bootstrap(gains)
    rows.append(
        Row(
            *("P5", "self-play, 10⁴ periods", "ours", told.mean, "profit gain Δ"),
            low=told.low,
            high=told.high,
            target=0.1,
            sense="at most",
            seeds=tuple(np.round(gains, 4).tolist()),
        )
    )
    periods, beta = (100_000, 1e-4) if quick else (600_000, 2e-5)
    with Cpu() as clock:
        theirs = bootstrap(duopoly.q_self_play(30, periods, beta=beta, seed=JUDGE_SEED))
    rows.append(
        Row(
            *("P5", f"self-play, {periods:,} periods", "Q-learning", theirs.mean, "profit gain Δ"),
            low=theirs.low,
            high=theirs.high,
            cpu_seconds=clock.seconds,
            note=f"β={beta:g}; in the paper β is smaller and play longer",
        )
    )
    rows.append(Row("P5", "self-play", "Q-learning", 0.87, "profit gain Δ", source="published"))
    return rows, []


def repricing(quick: bool) -> tuple[list[Row], list[Curve]]:
    """P6 the repricing arena"""
    firms: list[arena.Firm] = [arena.BayesFirm(), *arena_rivals.rivals()]
    with Cpu() as clock:
        outcome = arena.play(firms, runs=50 if quick else 200, seed=JUDGE_SEED)
    first = outcome.revenue.argmax(axis=1)
    rows = []
    for me, firm in enumerate(firms):
        won = bootstrap((first == me) * 100.0)
        rows.append(
            Row(
                *("P6", "8 firms, T=1000", firm.name, won.mean, "% of draws first"),
                low=won.low,
                high=won.high,
                target=80.0 if me == 0 else None,
                cpu_seconds=clock.seconds if me == 0 else None,
                note=f"revenue {outcome.revenue[:, me].mean():,.0f}",
            )
        )
    lowest = float(outcome.prices[:, :, 0].min())
    rows.append(Row("P6", "8 firms, T=1000", "ours", lowest, "lowest price asked", target=arena.FLOOR))
    cycles = price_cycles(outcome.prices[200:, :, 0])
    rows.append(
        Row(
            *("P6", "8 firms, after period 200", "ours", float(cycles.mean()), "price cycles a 100 periods"),
            target=1.0,
            sense="at most",
            note="a cycle: down by a third or more, then up again by half or more",
        )
    )
    small = price_cycles(outcome.prices[200:, :, 0], rise=1.25)
    told = replace(rows[-1], value=float(small.mean()), unit="small price cycles a 100 periods", target=None)
    rows.append(replace(told, note="down by a fifth or more, then up again by a quarter or more"))
    return rows, []


def price_cycles(prices: Array, rise: float = 1.5) -> Array:
    """Cycles a 100 periods in every run, prices (periods, runs): a fall to 1/`rise` of the last high, then a rise by
    that factor: to ⅔ and up by half."""
    high, low = prices[0].copy(), prices[0].copy()
    falling, cycles = np.zeros(prices.shape[1], dtype=bool), np.zeros(prices.shape[1])
    for now in prices:
        high = np.where(falling, high, np.maximum(high, now))
        turned = ~falling & (now * rise <= high)
        low = np.where(turned, now, np.minimum(low, now))
        back = falling & (now >= low * rise)
        cycles += back
        high, falling = np.where(back, now, high), (falling | turned) & ~back
    return np.asarray(cycles / len(prices) * 100, dtype=np.float64)
