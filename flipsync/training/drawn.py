"""Problems of the learning core to train on: a season's last items, lost sales, slow movers, moving demand."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from flipsync.learning.forecast.intermittent import HORIZON, Market, rmsse, tsb
from flipsync.learning.inventory.lost_sales import LostSales, LostSalesWorld, learn, orders_of
from flipsync.learning.policies import FadingDemand, SeasonPrice, SmoothOrder, TrackingPrice
from flipsync.learning.policy import Origin, Policy
from flipsync.learning.pricing import finite_stock, moving_line
from flipsync.learning.protocol import JUDGE_SEED
from flipsync.learning.simulator import Array, Simulator
from flipsync.training.problem import Memory, Params, Problem, Range, Step, running_mean

#: searches end by rounds, never by the clock: a step done twice gives the same score
_NO_CLOCK = 1e9


def earned(world: Simulator, policy: Policy, runs: int) -> Array:
    """What a policy earns in every run of a simulator on the judge's seed, asked state by state."""
    seen, total = world.reset(runs, JUDGE_SEED), np.zeros(runs)
    known: dict[tuple[float, ...], float] = {}
    over = False
    while not over:
        states = [tuple(row.tolist()) for row in seen]
        for state in states:
            if state not in known:
                known[state] = policy.advise(state).action
        seen, reward, over = world.step(np.array([[known[state]] for state in states]))
        total += reward
    return total


class SeasonPriceProblem(Problem):
    """P1: ten items and a season. A trial is a CMA-ES search for the price rule; a step is 12 rounds of it."""

    name = "season-price"
    unit = "revenue a season"
    kind = "pricing"
    steps = 5
    items: ClassVar[int] = 10
    space = {  # noqa: RUF012 - declared as ClassVar in the base
        "sigma": Range(0.02, 0.6, log=True),
        "population": Range(6, 24, whole=True),
        "cells": Range(20, 80, whole=True),
    }
    baseline = {"sigma": 0.3, "population": 9, "cells": 40}  # noqa: RUF012

    def advance(self, params: Params, seed: int, step: int, memory: Memory) -> Step:
        rule = finite_stock.search(
            self.items,
            seed=seed * 1_000 + step + 1,
            cpu_seconds=_NO_CLOCK,
            steps=int(params["cells"]),
            rounds=12,
            sigma=params["sigma"],
            population=int(params["population"]),
            begin=tuple(memory.get("rule", finite_stock.RULE_START)),
        )
        worth = finite_stock.worth_of(finite_stock.rule_prices(rule[None], self.items, 160))[0, -1]
        return Step(float(worth), {"rule": rule.tolist()})

    def policy(self, params: Params, memory: Memory, origin: Origin) -> Policy:
        return SeasonPrice(tuple(memory["rule"]), origin)

    def default(self, origin: Origin) -> Policy:
        """The best price that never moves."""
        prices = np.arange(1.0, 4.0, 0.02)
        fixed = np.zeros((len(prices), 6))
        fixed[:, 0] = prices
        worth = finite_stock.worth_of(finite_stock.rule_prices(fixed, self.items, 80))[:, -1]
        return SeasonPrice(tuple(fixed[worth.argmax()].tolist()), origin)

    def judge(self, policy: Policy, runs: int) -> Array:
        return earned(finite_stock.FiniteStock(self.items), policy, runs)


class SmoothOrderProblem(Problem):
    """P7: two periods' lead time, what is not there is lost. A trial is a CMA-ES search in simulation."""

    name = "smooth-order"
    unit = "cost a period, negative"
    kind = "inventory"
    steps = 4
    world: ClassVar[LostSales] = LostSales(penalty=9.0, lead=2)
    space = {  # noqa: RUF012
        "sigma": Range(0.1, 1.0, log=True),
        "runs": Range(8, 32, whole=True),
        "periods": Range(80, 240, whole=True),
    }
    baseline = {"sigma": 0.5, "runs": 16, "periods": 120}  # noqa: RUF012

    def advance(self, params: Params, seed: int, step: int, memory: Memory) -> Step:
        begin = np.array(memory["weights"]) if "weights" in memory else None
        weights = learn(
            self.world,
            seed=seed * 1_000 + step + 1,
            cpu_seconds=_NO_CLOCK,
            runs=int(params["runs"]),
            periods=int(params["periods"]),
            rounds=12,
            sigma=params["sigma"],
            begin=begin,
        )
        cost = self.world.cost_of(orders_of(weights, self.world.states(), self.world.order_cap), 1e-3)
        return Step(-float(cost), {"weights": weights.tolist()})

    def policy(self, params: Params, memory: Memory, origin: Origin) -> Policy:
        return SmoothOrder(tuple(memory["weights"]), self.world.penalty, self.world.lead, self.world.mean, origin)

    def default(self, origin: Origin) -> Policy:
        """The best base stock: order up to one level, whatever is on the way."""
        states, cap = self.world.states(), self.world.order_cap
        rules = [(float(level), *[-1.0] * self.world.lead) for level in range(8, 26)]
        costs = [self.world.cost_of(orders_of(np.array(rule), states, cap), 1e-3) for rule in rules]
        best = rules[int(np.argmin(costs))]
        return SmoothOrder(best, self.world.penalty, self.world.lead, self.world.mean, origin)

    def judge(self, policy: Policy, runs: int) -> Array:
        horizon = 300
        return earned(LostSalesWorld(self.world, horizon), policy, runs) / horizon

    def describe(self) -> dict[str, Any]:
        return {"scenarios": "Poisson 5, lead time 2, penalty 9 (Zipkin 2008)", "problem": self.name}


class FadingDemandProblem(Problem):
    """P11: slow movers. A step back-tests the two smoothing paces on 150 more drawn goods."""

    name = "fading-demand"
    unit = "RMSSE, negative"
    kind = "forecast"
    steps = 5
    space = {"size_pace": Range(0.01, 0.5, log=True), "chance_pace": Range(0.01, 0.5, log=True)}  # noqa: RUF012
    baseline = {"size_pace": 0.2, "chance_pace": 0.2}  # noqa: RUF012

    def _errors(self, params: Params, seed: int, series: int) -> Array:
        market = Market.draw(series, 52, seed)
        history, ahead = market.sold[:, :-HORIZON], market.sold[:, -HORIZON:]
        return rmsse(tsb(history, params["size_pace"], params["chance_pace"]), ahead, history)

    def advance(self, params: Params, seed: int, step: int, memory: Memory) -> Step:
        return running_mean(memory, -float(self._errors(params, seed * 1_000 + step, 150).mean()))

    def policy(self, params: Params, memory: Memory, origin: Origin) -> Policy:
        return FadingDemand(params["size_pace"], params["chance_pace"], origin)

    def default(self, origin: Origin) -> Policy:
        return FadingDemand(**self.baseline, origin=origin)

    def judge(self, policy: Policy, runs: int) -> Array:
        """A run is a market of 60 goods."""
        assert isinstance(policy, FadingDemand)
        paces = {"size_pace": policy.size_pace, "chance_pace": policy.chance_pace}
        return np.array([-self._errors(paces, JUDGE_SEED + run, 60).mean() for run in range(runs)])


class MovingDemandProblem(Problem):
    """P3 with a line that jumps. A step is 300 periods; the belief goes on from step to step, the knobs may change."""

    name = "moving-demand"
    unit = "share of the best possible revenue"
    kind = "pricing"
    scheduler = "pbt"
    steps = 8
    runs: ClassVar[int] = 12
    periods: ClassVar[int] = 300
    space = {"memory": Range(0.9, 0.9999), "step": Range(0.05, 0.6), "most": Range(0.05, 1.5)}  # noqa: RUF012
    baseline = {"memory": 0.9999, "step": 0.35, "most": 1.15}  # noqa: RUF012

    def advance(self, params: Params, seed: int, step: int, memory: Memory) -> Step:
        lines = moving_line.MovingLines(self.runs, self.periods, seed * 1_000 + step)
        sums = np.array(memory["sums"]) if "sums" in memory else None
        share, after = moving_line.play(lines, sums, **{name: params[name] for name in self.space})
        return Step(float(share.mean()), {"sums": np.round(after, 9).tolist()})

    def policy(self, params: Params, memory: Memory, origin: Origin) -> Policy:
        return TrackingPrice(params["memory"], params["step"], params["most"], origin)

    def default(self, origin: Origin) -> Policy:
        """P3's learner, which forgets next to nothing."""
        return TrackingPrice(**self.baseline, origin=origin)

    def judge(self, policy: Policy, runs: int) -> Array:
        assert isinstance(policy, TrackingPrice)
        lines = moving_line.MovingLines(runs, 2_400, JUDGE_SEED)
        return moving_line.play(lines, None, memory=policy.memory, step=policy.step, most=policy.most)[0]
