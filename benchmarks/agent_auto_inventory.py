"""What AutoInventoryAgent buys, against a fixed reorder point and ordering up to what sold lately: profit of a year.

Each seed draws a shop of 40 goods and 4 suppliers: intermittent and seasonal demand, a fifth of it moving for good,
packs and least quantities, lead times that differ from what was stated. Half a year is sold from full shelves, then
each rule runs a year of the same demand and the same lead times, ordering once a week. What is asked for on an empty
shelf is lost. Profit is margin less holding (30 % a year) and 200 for each line of a delivery; goods left are worth
their cost. The baselines' factors are chosen on other seeds, for the most profit; the agent's settings are as it ships.
It sees only what sold and when shelves were empty, and forecasts as DemandAgent does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.measuring import Report
from flipsync.learning.protocol import bootstrap
from flipsync.services.buying import Array, Goods, Terms, plan
from flipsync.services.forecast_choice import Choice, choose
from flipsync.services.forecasts import History, backtest, level, ours, tell
from flipsync.services.lead_times import lead_time
from flipsync.store.repositories.suppliers import Shown

_GOODS, _SUPPLIERS, _BEFORE, _WEEKS = 40, 4, 26, 52
_FIRST_SEED, _TUNING = 300, range(5)
_FACTORS = (0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0)
_TERMS = Terms()
#: weeks between two back-tests: forecasts are made every week by the method that did best then
_BACKED = 4


@dataclass
class Shop:
    """A shop of one seed; demand is (days, goods) from the first day sold on, lead times (weeks, suppliers)."""

    seed: int
    demand: Array = field(init=False)
    before: Array = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng([7, self.seed])
        days = (_BEFORE + _WEEKS) * 7
        rate = rng.gamma(0.7, 6.0, _GOODS) / 7
        at = np.arange(days)[:, None]
        season = np.where(rng.random(_GOODS) < 0.4, rng.uniform(0.3, 0.9, _GOODS), 0.0)
        swing = np.exp(season * np.sin(2 * np.pi * at / 365 + rng.uniform(0, 6.28, _GOODS)))
        moves = np.where(rng.random(_GOODS) < 0.2, rng.choice([0.4, 2.5], _GOODS), 1.0)
        since = rng.integers(_BEFORE * 7, days, _GOODS)
        mean = rate * swing * np.where(at >= since, moves, 1.0)
        wanted = rng.poisson(mean * rng.gamma(2.0, 0.5, mean.shape)).astype(np.float64)
        self.before, self.demand = wanted[: _BEFORE * 7], wanted[_BEFORE * 7 :]
        self.supplier = rng.integers(0, _SUPPLIERS, _GOODS)
        true = rng.uniform(5, 25, _SUPPLIERS)
        self.stated = true * rng.uniform(0.7, 1.3, _SUPPLIERS)
        self.leads = np.maximum(1, np.rint(rng.gamma(11.0, true / 11.0, (_WEEKS, _SUPPLIERS)))).astype(np.int64)
        self.pack = rng.choice([1.0, 6.0, 12.0], _GOODS, p=[0.6, 0.25, 0.15])
        self.least = rng.choice([0.0, 12.0], _GOODS, p=[0.8, 0.2])
        self.cost = np.rint(rng.uniform(300, 3000, _GOODS))
        self.margin = np.rint(self.cost * rng.uniform(0.2, 0.9, _GOODS))

    def whole(self, units: Array) -> Array:
        """In packs, and at least what is sold at once."""
        wanted = np.where(units > 0, np.maximum(units, self.least), 0.0)
        return np.asarray(np.ceil(wanted / self.pack) * self.pack)


@dataclass
class Seen:
    """What a rule may know on the morning it orders."""

    shop: Shop
    day: int
    position: Array
    sold: Array
    open_: Array
    arrived: list[tuple[int, int]]

    @property
    def weekly(self) -> History:
        """Goods by weeks, the half year before in it."""
        sold = np.concatenate([self.shop.before, self.sold]).reshape(-1, 7, _GOODS).sum(axis=1)
        full = np.ones((_BEFORE, _GOODS))
        open_ = np.concatenate([full, self.open_.reshape(-1, 7, _GOODS).mean(axis=1)])
        return History(sold.T, np.where(sold > 0, np.maximum(open_, 1 / 7), open_).T)


Rule = Callable[[Seen], Array]


def play(shop: Shop, rule: Rule) -> dict[str, float]:
    """A year of one rule, in minor units and units."""
    days = _WEEKS * 7
    usual = shop.before.mean(axis=0)
    stock = np.rint(usual * (shop.stated[shop.supplier] + 14))
    coming = np.zeros((days + 400, _GOODS))
    sold, open_ = np.zeros((days, _GOODS)), np.zeros((days, _GOODS))
    arrived: list[tuple[int, int, int]] = []
    profit, lines, lost = 0.0, 0, 0.0
    begin = stock.copy()
    bought = np.zeros(_GOODS)
    for day in range(days):
        stock += coming[day]
        if day % 7 == 0:
            known = [(supplier, took) for supplier, took, at in arrived if at <= day]
            position = stock + coming[day + 1 :].sum(axis=0)
            units = shop.whole(rule(Seen(shop, day, position, sold[:day], open_[:day], known)))
            for supplier in range(_SUPPLIERS):
                theirs = (shop.supplier == supplier) & (units > 0)
                if theirs.any():
                    took = int(shop.leads[day // 7, supplier])
                    coming[day + took] += np.where(theirs, units, 0.0)
                    arrived.append((supplier, took, day + took))
                    lines += int(theirs.sum())
                    bought += np.where(theirs, units, 0.0)
        open_[day] = stock > 0
        sold[day] = np.minimum(stock, shop.demand[day])
        lost += float((shop.demand[day] - sold[day]).sum())
        stock -= sold[day]
        profit += float((sold[day] * shop.margin - stock * shop.cost * _TERMS.holding / 365).sum())
    profit -= lines * _TERMS.line_cost
    assert np.allclose(begin + bought, sold.sum(axis=0) + stock + coming[days:].sum(axis=0)), "no unit is made or lost"
    return {"profit": profit, "lost": lost / float(shop.demand.sum()), "lines": float(lines)}


class Agent:
    """As AutoInventoryAgent decides, on forecasts as DemandAgent makes them."""

    def __init__(self) -> None:
        self._choice: Choice | None = None

    def __call__(self, seen: Seen) -> Array:
        shop, history = seen.shop, seen.weekly
        if self._choice is None or seen.day % (7 * _BACKED) == 0:
            tested = backtest(history)
            name = ours(*history.sold.shape)[0]
            served = self._choice.method if self._choice is not None else None
            self._choice = choose(tested.scores if tested else {}, name, tested.series if tested else 0, served)
        weekly, low, high = (level(each) for each in tell(history, self._choice))
        leads = [self._lead(seen, supplier) for supplier in range(_SUPPLIERS)]
        mean, spread = (np.array([getattr(each, name) for each in leads])[shop.supplier] for name in ("mean", "spread"))
        goods = Goods(
            weekly=weekly,
            spread=np.sqrt(np.maximum(((high - low) / 2.5631) ** 2, weekly)),
            doubt=np.sqrt(weekly / (history.open.sum(axis=1) + 4)),
            position=seen.position,
            margin=shop.margin,
            pack_units=shop.pack,
            pack_cost=shop.cost * shop.pack,
            least_units=shop.least,
            lead_days=mean,
            lead_spread=spread,
            supplier=shop.supplier,
        )
        return plan(goods, _TERMS, least_order=np.zeros(_SUPPLIERS)).units.astype(np.float64)

    @staticmethod
    def _lead(seen: Seen, supplier: int) -> Any:
        took = np.array([days for which, days in seen.arrived if which == supplier], dtype=np.float64)
        known = Shown(None, len(took), float(took.mean()), float(took.var())) if len(took) else None  # type: ignore[arg-type]
        stated = float(seen.shop.stated[supplier])
        return lead_time(stated, 0.3 * stated, known)


def fixed(factor: float) -> Rule:
    """A reorder point for ever, from the half year before and the stated lead time; four weeks' sales at a time."""

    def rule(seen: Seen) -> Array:
        usual = seen.shop.before.mean(axis=0)
        point = usual * (seen.shop.stated[seen.shop.supplier] + 7) * factor
        return np.asarray(np.where(seen.position <= point, np.ceil(usual * 28), 0.0))

    return rule


def up_to_lately(factor: float) -> Rule:
    """Up to what sold in the last 28 days, for lead time and a week."""

    def rule(seen: Seen) -> Array:
        lately = np.concatenate([seen.shop.before, seen.sold])[-28:].mean(axis=0)
        wanted = np.ceil(lately * (seen.shop.stated[seen.shop.supplier] + 7) * factor)
        return np.asarray(np.maximum(wanted - seen.position, 0.0))

    return rule


BASELINES: dict[str, Callable[[float], Rule]] = {"fixed reorder point": fixed, "up to the last 28 days": up_to_lately}


def tuned(quick: bool) -> dict[str, float]:
    """The factor of each baseline that earned most on other seeds."""
    shops = [Shop(seed) for seed in (_TUNING[:1] if quick else _TUNING)]
    return {
        name: max(_FACTORS, key=lambda factor: sum(play(shop, make(factor))["profit"] for shop in shops))
        for name, make in BASELINES.items()
    }


def run(report: Report, *, quick: bool) -> None:
    """Add this agent's lines to the report."""
    seeds = 2 if quick else 24
    factors = tuned(quick)
    played: list[dict[str, dict[str, float]]] = []
    for seed in range(_FIRST_SEED, _FIRST_SEED + seeds):
        shop = Shop(seed)
        rules: dict[str, Rule] = {"agent": Agent(), **{name: make(factors[name]) for name, make in BASELINES.items()}}
        played.append({name: play(shop, rule) for name, rule in rules.items()})
    result: dict[str, Any] = {"seeds": seeds, "factors": factors}
    for name in ("agent", *BASELINES):
        result[name] = {key: float(np.mean([each[name][key] for each in played])) for key in played[0][name]}
    for name in BASELINES:
        gain = bootstrap(np.array([each["agent"]["profit"] / each[name]["profit"] - 1 for each in played]))
        result[f"gain on {name}"] = {"mean": gain.mean, "low": gain.low, "high": gain.high}
        result[f"won against {name}"] = sum(each["agent"]["profit"] > each[name]["profit"] for each in played)
        words = (
            f"{gain.low:.1%} to {gain.high:.1%}; more in {result[f'won against {name}']} of {seeds}; "
            f"lost sales {result['agent']['lost']:.1%}, {result[name]['lost']:.1%} (factor {factors[name]})"
        )
        report.row(f"auto_inventory: profit above {name}", f"{gain.mean:.1%}", words)
    report.result["auto_inventory"] = result
