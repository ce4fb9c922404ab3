"""What AutoInventoryAgent's transfers to a channel's warehouse bring, against rules of thumb.

Each seed draws a shop of 60 goods that sell from our shelf and, on another channel, from its own warehouse, at rates
that differ by place and change for a quarter of them. A transfer is on sale there after a gamma of fourteen days on
average; goods are bought weekly, by the same rule for everybody (services.buying, on what both places have), and are
there after a gamma of ten days to eight weeks. Every rule looks weekly at what sold in the last eight weeks on days
with something to sell. Judged by profit of half a year: margin less holding and 200 a line bought or sent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.agent_cash import seen
from benchmarks.measuring import Report
from flipsync.learning.protocol import bootstrap
from flipsync.services.buying import Array, Goods, Terms, plan
from flipsync.services.sending import send

_GOODS, _BEFORE, _DAYS, _QUICK_DAYS, _FIRST_SEED = 60, 56, 182, 28, 1300
_TERMS, _WAY_DAYS, _WAY_SPREAD = Terms(), 14.0, 5.0


class Shop:
    """Arrays (days, 2 places, goods): place 0 is our shelf, place 1 the channel's warehouse."""

    def __init__(self, seed: int, days_sold: int) -> None:
        rng = np.random.default_rng([23, seed])
        self.days = days_sold
        days = _BEFORE + days_sold
        rate = rng.gamma(0.8, 8.0, _GOODS) / 7 * rng.dirichlet([1.0, 1.5], _GOODS).T
        moves = np.where(rng.random(_GOODS) < 0.25, rng.choice([0.4, 2.5], _GOODS), 1.0)
        since = rng.integers(_BEFORE, days, _GOODS)
        mean = rate * np.where(np.arange(days)[:, None, None] >= since, moves, 1.0)
        self.demand = rng.poisson(mean * rng.gamma(2.0, 0.5, mean.shape)).astype(np.float64)
        self.lead = rng.uniform(10, 56, _GOODS)
        self.bought = np.maximum(1, np.rint(rng.gamma(11.0, self.lead / 11.0, (days, _GOODS)))).astype(np.int64)
        self.way = np.maximum(1, np.rint(rng.gamma(8.0, _WAY_DAYS / 8.0, days))).astype(np.int64)
        self.cost = np.rint(rng.uniform(300, 3000, _GOODS))
        self.margin = np.rint(self.cost * rng.uniform(0.2, 1.2, _GOODS))

    def seen(self, sold: Array, open_: Array, position: Array, *, lead: Array, spread: Array) -> Goods:
        return seen(
            sold,
            open_,
            position=position,
            margin=self.margin,
            pack_units=np.ones(_GOODS),
            pack_cost=self.cost,
            least_units=np.ones(_GOODS),
            lead_days=lead,
            lead_spread=spread,
            supplier=np.zeros(_GOODS, dtype=np.int64),
        )


#: goods of the warehouse and of the shelf, and what is on the shelf → units to send
Rule = Callable[[Goods, Goods, Array], Array]


def play(shop: Shop, rule: Rule) -> float:
    rates = shop.demand[:_BEFORE].mean(axis=0)
    stock = np.rint(rates * 28)
    stock[0] += np.rint(rates.sum(axis=0) * shop.lead * 0.7)
    horizon = _BEFORE + shop.days + 400
    coming, under_way = np.zeros((horizon, _GOODS)), np.zeros((horizon, _GOODS))
    sold, open_ = shop.demand[:_BEFORE].copy(), np.ones((_BEFORE, 2, _GOODS))
    way, spread, profit = np.full(_GOODS, _WAY_DAYS), np.full(_GOODS, _WAY_SPREAD), 0.0
    for day in range(_BEFORE, _BEFORE + shop.days):
        stock[0] += coming[day]
        stock[1] += under_way[day]
        due, sent = coming[day + 1 :].sum(axis=0), under_way[day + 1 :].sum(axis=0)
        if day % 7 == 0:
            both = shop.seen(
                sold.sum(axis=1),
                open_.max(axis=1),
                stock.sum(axis=0) + due + sent,
                lead=shop.lead,
                spread=shop.lead * 0.3,
            )
            units = plan(both, _TERMS, least_order=np.zeros(1)).units
            np.add.at(coming, (day + shop.bought[day], np.arange(_GOODS)), units)
            there = shop.seen(sold[:, 1], open_[:, 1], stock[1] + sent, lead=way, spread=spread)
            here = shop.seen(sold[:, 0], open_[:, 0], stock[0], lead=way, spread=spread)
            gone = rule(there, here, stock[0])
            assert (gone >= 0).all() and (gone <= stock[0]).all(), "nothing is sent that is not there"
            stock[0] -= gone
            under_way[day + shop.way[day]] += gone
            profit -= float((units > 0).sum() + (gone > 0).sum()) * _TERMS.line_cost
        today = np.minimum(stock, shop.demand[day])
        sold, open_ = np.concatenate([sold, today[None]]), np.concatenate([open_, (stock > 0)[None]])
        stock = stock - today
        everywhere = stock.sum(axis=0) + under_way[day + 1 :].sum(axis=0)
        profit += float((today.sum(axis=0) * shop.margin - everywhere * shop.cost * _TERMS.holding / 365).sum())
    return profit


def agent(there: Goods, here: Goods, spare: Array) -> Array:
    return send(there, here, spare, _TERMS).units.astype(np.float64)


def cover(below: float, weeks: float) -> Rule:
    """Once less than `below` weeks of sales are there, up to so many weeks of them, as far as the shelf goes."""

    def rule(there: Goods, here: Goods, spare: Array) -> Array:
        wanted = np.rint(np.maximum(there.weekly * weeks - there.position, 0.0))
        return np.minimum(np.where(there.position < there.weekly * below, wanted, 0.0), np.floor(spare))

    return rule


def in_proportion(there: Goods, here: Goods, spare: Array) -> Array:
    """Each week what there is, in proportion to what sells in both places."""
    share = there.weekly / np.maximum(there.weekly + here.weekly, 1e-9)
    wanted = np.rint((there.position + spare) * share - there.position)
    return np.clip(wanted, 0.0, np.floor(spare))


def run(report: Report, *, quick: bool) -> None:
    """Add this part's lines to the report."""
    seeds = 2 if quick else 24
    rules: dict[str, Rule] = {
        "agent": agent,
        "four weeks' cover": cover(3.0, 4.0),
        "a month's cover once half of it is sold": cover(2.0, 30 / 7),
        "eight weeks' cover": cover(4.0, 8.0),
        "in proportion to sales": in_proportion,
    }
    earned: dict[str, list[float]] = {}
    for seed in range(_FIRST_SEED, _FIRST_SEED + seeds):
        shop = Shop(seed, _QUICK_DAYS if quick else _DAYS)
        for name, rule in rules.items():
            earned.setdefault(name, []).append(play(shop, rule))
    result: dict[str, Any] = {"seeds": seeds}
    for name in list(rules)[1:]:
        gain = bootstrap(np.array(earned["agent"]) / np.array(earned[name]) - 1)
        won = sum(ours > theirs for ours, theirs in zip(earned["agent"], earned[name], strict=True))
        result[f"over {name}"] = {"mean": gain.mean, "low": gain.low, "high": gain.high, "won": won}
        words = f"{gain.low:+.1%} to {gain.high:+.1%}; more in {won} of {seeds}"
        report.row(f"transfers: profit over {name}", f"{gain.mean:+.1%}", words)
    report.result["auto_inventory transfers"] = result
