"""`shop-order`: the knobs of the buying rule, searched in shops that are not what the rule believes in.

A shop is 20 goods of two suppliers. Demand moves (a random walk of its logarithm) and comes in bursts; suppliers take
another time than the owner believes; what is asked for and not there is lost. Every day is one in the running system:
the forecast is made weekly from what was sold and when the shelf was empty, all goods are looked at daily, and an order
goes to each supplier for whom one is due. A shop is worth its margin less the keeping of goods and the work of lines,
as a share of the margin that all demand would have brought, from the fifth week to the twenty-sixth. No cash limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

import numpy as np
from scipy.stats import gamma

from flipsync.learning.policy import Origin, Policy
from flipsync.learning.protocol import JUDGE_SEED
from flipsync.learning.simulator import Array, Ints
from flipsync.services.buying import INTERVAL_SPREADS, Goods, Terms, goods_of, plan, runs_low
from flipsync.services.buying_rule import Rule
from flipsync.services.forecast_choice import Choice
from flipsync.services.forecasts import History, foresee, level, tell
from flipsync.services.lead_times import lead_time
from flipsync.services.learned_buying import STEP, ShopOrder, shipped_knobs
from flipsync.store.repositories.suppliers import Shown
from flipsync.training.problem import Memory, Params, Problem, Range, Step, running_mean

GOODS, SUPPLIERS, WEEKS_BEFORE, WEEKS, WEEKS_UNJUDGED = 20, 2, 52, 26, 4
TERMS = Terms()
_DAYS = 7 * WEEKS
_NOBODY = UUID(int=0)


@dataclass(frozen=True)
class Stockrooms:
    """Shops side by side, a row a good; what happens to them whatever is ordered.

    `before` are the weeks sold before, (goods, weeks), `demand` the units asked for by day, (days, goods); `takes` the
    days an order placed that day would take, (days, suppliers); `believed` the owner's word on it, mean and spread.
    """

    before: Array
    demand: Array
    begin: Array
    margin: Array
    pack_units: Array
    pack_cost: Array
    least_units: Array
    supplier: Ints
    takes: Ints
    believed: Array
    least_order: Array

    @classmethod
    def draw(cls, shops: int, seed: int) -> Stockrooms:
        rng = np.random.default_rng(seed)
        n, suppliers, weeks = shops * GOODS, shops * SUPPLIERS, WEEKS_BEFORE + WEEKS
        walk = np.cumsum(rng.normal(0, 0.04, (weeks, n)), axis=0)
        rate = rng.lognormal(np.log(3.0), 0.9, n) * np.exp(walk - walk[WEEKS_BEFORE - 1])
        burst = rng.uniform(2.0, 20.0, n)  # shape of the week's own Gamma: 2 doubles the variance of two a week
        rate = rate * gamma.ppf(rng.random((weeks, n)), burst, scale=1 / burst)
        cost = np.rint(rng.lognormal(np.log(1_200), 0.6, n))
        pack = rng.choice([1.0, 1.0, 1.0, 6.0, 12.0], n)
        supplier = (np.arange(n) // GOODS) * SUPPLIERS + rng.integers(0, SUPPLIERS, n)
        mean = rng.uniform(4, 28, suppliers)
        spread = mean * rng.uniform(0.1, 0.5, suppliers)
        spent = np.bincount(supplier, weights=rate[:WEEKS_BEFORE].mean(0) * cost, minlength=suppliers)
        shape = (mean / spread) ** 2
        takes = np.ceil(gamma.ppf(rng.random((_DAYS, suppliers)), shape, scale=mean / shape))
        return cls(
            before=rng.poisson(rate[:WEEKS_BEFORE]).T.astype(np.float64),
            demand=rng.poisson(np.repeat(rate[WEEKS_BEFORE:], 7, axis=0) / 7).astype(np.float64),
            begin=np.ceil(rate[:WEEKS_BEFORE].mean(0) * (mean[supplier] / 7 + 1) * rng.uniform(0.5, 1.5, n)),
            margin=np.rint(cost * rng.uniform(0.2, 1.5, n)),
            pack_units=pack,
            pack_cost=cost * pack,
            least_units=np.where(rng.random(n) < 0.2, rng.integers(2, 12, n), 0).astype(np.float64),
            supplier=supplier.astype(np.int64),
            takes=np.maximum(takes, 1).astype(np.int64),
            believed=np.stack([mean, spread]) * rng.uniform(0.75, 1.3, (2, suppliers)),
            least_order=np.where(rng.random(suppliers) < 0.5, spent * rng.uniform(0.3, 1.5, suppliers), 0.0),
        )

    @property
    def shops(self) -> int:
        return len(self.margin) // GOODS

    def by_shop(self, of_goods: Array) -> Array:
        return np.asarray(of_goods.reshape(-1, GOODS).sum(axis=1))

    def play(self, rule: Rule, step: float = STEP) -> Array:
        """What every shop is worth when this rule buys for it."""
        return Played(self).worth(rule, step)


class Played:
    """The shops as they become under one rule."""

    def __init__(self, rooms: Stockrooms) -> None:
        n, suppliers = len(rooms.margin), len(rooms.least_order)
        self.rooms = rooms
        self.on_hand = rooms.begin.copy()
        self.coming = np.zeros((_DAYS + int(rooms.takes.max()) + 1, n))
        self.sold = np.concatenate([rooms.before, np.zeros((n, WEEKS))], axis=1)
        self.open = np.ones_like(self.sold)
        self.placed = np.full(suppliers, -10_000)
        #: of every supplier's orders: days they took, and the day they came
        self.shown: list[list[tuple[int, int]]] = [[] for _ in range(suppliers)]
        self.methods = [self._method(shop) for shop in range(rooms.shops)]
        self.told = (np.zeros(n), np.zeros(n))

    def worth(self, rule: Rule, step: float) -> Array:
        rooms, n = self.rooms, len(self.rooms.margin)
        keeping = rooms.pack_cost / rooms.pack_units * TERMS.holding / 365
        earned, possible = np.zeros(n), np.zeros(n)
        for day in range(_DAYS):
            week = WEEKS_BEFORE + day // 7
            self.on_hand += self.coming[day]
            if day % 7 == 0:
                self.told = self.forecast(week)
            lines = self._order(day, week, rule, step)
            asked = rooms.demand[day]
            sold = np.minimum(asked, self.on_hand)
            shut = np.where(asked > 0, 1 - sold / np.maximum(asked, 1), self.on_hand <= 0)
            self.on_hand -= sold
            self.sold[:, week] += sold
            self.open[:, week] -= shut / 7
            if day >= 7 * WEEKS_UNJUDGED:
                earned += sold * rooms.margin - self.on_hand * keeping - lines * TERMS.line_cost
                possible += asked * rooms.margin
        return rooms.by_shop(earned) / rooms.by_shop(possible)

    def goods(self, day: int, week: int) -> Goods:
        """As the desk of the running system has them (`services.buying_desk`)."""
        rooms = self.rooms
        leads = [self._lead(each, day) for each in range(len(rooms.least_order))]
        mean, spread = (np.array(each)[rooms.supplier] for each in zip(*leads, strict=True))
        return goods_of(
            weekly=self.told[0],
            variance=self.told[1],
            weeks_on_shelf=self.open[:, :week].sum(axis=1),
            position=self.on_hand + self.coming[day + 1 :].sum(axis=0),
            margin=rooms.margin,
            pack_units=rooms.pack_units,
            pack_cost=rooms.pack_cost,
            least_units=rooms.least_units,
            lead_days=mean,
            lead_spread=spread,
            supplier=rooms.supplier,
        )

    def _order(self, day: int, week: int, rule: Rule, step: float) -> Array:
        """Place what is due; the lines ordered, (goods,)."""
        rooms = self.rooms
        goods = self.goods(day, week)
        units = plan(goods, TERMS, least_order=rooms.least_order, rule=rule, step=step).units
        wanted = units > 0
        pressing = np.bincount(rooms.supplier, weights=wanted & runs_low(goods), minlength=len(self.placed)) > 0
        due = pressing | (day - self.placed >= TERMS.review_days)
        lines = wanted & due[rooms.supplier]
        for each in np.unique(rooms.supplier[lines]):
            took = int(rooms.takes[day, each])
            theirs = lines & (rooms.supplier == each)
            self.coming[day + took, theirs] += units[theirs]
            self.shown[each].append((took, day + took))
            self.placed[each] = day
        return lines.astype(np.float64)

    def _lead(self, supplier: int, day: int) -> tuple[float, float]:
        mean, spread = (float(each) for each in self.rooms.believed[:, supplier])
        came = np.array([took for took, at in self.shown[supplier] if at <= day], dtype=np.float64)
        if not len(came):
            return mean, spread
        known = lead_time(mean, spread, Shown(_NOBODY, len(came), float(came.mean()), float(came.var())))
        return known.mean, known.spread

    def _history(self, shop: int, week: int) -> History:
        of_shop = slice(shop * GOODS, (shop + 1) * GOODS)
        return History(self.sold[of_shop, :week], np.clip(self.open[of_shop, :week], 0.0, 1.0))

    def _method(self, shop: int) -> Choice:
        """What the shop's own past says to forecast by; it is served from then on."""
        told = foresee(self._history(shop, WEEKS_BEFORE))
        return Choice(told.method, told.baseline_wins, True, told.why)

    def forecast(self, week: int) -> tuple[Array, Array]:
        """Units a week and the variance of a week, of each shop by itself."""
        weekly, variance = [], []
        for shop, method in enumerate(self.methods):
            told, low, high = tell(self._history(shop, week), method)
            weekly.append(level(told))
            variance.append((level(high - low) / INTERVAL_SPREADS) ** 2)
        return np.concatenate(weekly), np.concatenate(variance)


class ShopOrderProblem(Problem):
    """A step plays the rule in 6 more shops; the score is the mean of what they are worth."""

    name = "shop-order"
    unit = "profit of the margin all demand would bring"
    kind = "inventory"
    steps = 8
    shops: ClassVar[int] = 6
    space = {  # noqa: RUF012 - declared as ClassVar in the base
        "review": Range(0.6, 1.2),
        "spread": Range(0.7, 1.3),
        "doubt": Range(0.0, 2.0),
        "lead": Range(0.5, 1.5),
        "holding": Range(0.5, 3.0, log=True),
        "batch": Range(0.6, 1.6, log=True),
        "patience": Range(0.0, 5.0),
    }
    baseline = shipped_knobs()

    def draw(self, seed: int, number: int) -> dict[str, float]:
        """The rule as shipped is near the best of its kind: every second knob stays where it is, but for patience,
        which it has none of."""
        drawn = super().draw(seed, number)
        stays = np.random.default_rng([seed, number, 1]).random(len(drawn)) < 0.5
        return {
            name: self.baseline[name] if stay and name != "patience" else value
            for (name, value), stay in zip(drawn.items(), stays, strict=True)
        }

    def advance(self, params: Params, seed: int, step: int, memory: Memory) -> Step:
        rooms = Stockrooms.draw(self.shops, seed * 1_000 + step)
        worth = rooms.play(ShopOrder.of(dict(params), Origin(self.name, "", seed)).rule)
        return running_mean(memory, float(worth.mean()))

    def policy(self, params: Params, memory: Memory, origin: Origin) -> Policy:
        return ShopOrder.of(dict(params), origin)

    def default(self, origin: Origin) -> Policy:
        return ShopOrder.as_shipped(origin)

    def judge(self, policy: Policy, runs: int) -> Array:
        assert isinstance(policy, ShopOrder)
        return Stockrooms.draw(runs, JUDGE_SEED).play(policy.rule)

    def describe(self) -> dict[str, Any]:
        return {
            "scenarios": f"{self.shops} drawn shops of {GOODS} goods a step, {WEEKS} weeks, levels within {STEP:.0%}",
            "problem": self.name,
        }
