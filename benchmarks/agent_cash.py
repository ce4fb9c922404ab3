"""What ResourceAgent's shares of purchasing cash bring, against equal shares, shares by revenue, and none at all.

Each seed draws a shop of 60 goods at 6 suppliers with lead times from five days to ten weeks and a market as in
agent_auto_inventory. Each supplier is looked at on its own day of the week. Goods still to come may cost 35 % of what
they come to without a limit. Every rule buys by services.buying, within its share where it has shares: shares are set
anew each week from what sold in the last eight. "No shares" is one plan for all suppliers' goods within what is left,
whoever's day it is. Judged by profit of half a year: margin less holding, 200 a line, and what did not sell at cost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import numpy as np

from benchmarks.measuring import Report
from flipsync.learning.protocol import bootstrap
from flipsync.services.buying import Array, Goods, Terms, plan
from flipsync.services.buying_returns import cash_steps
from flipsync.services.money_shares import MoneyReview, Taker, share_out

_GOODS, _SUPPLIERS, _BEFORE, _DAYS, _QUICK_DAYS = 60, 6, 56, 182, 28
_FIRST_SEED, _SCARCE, _LOOK = 900, 0.35, 56
_TERMS = Terms()


class Shop:
    def __init__(self, seed: int, days_sold: int) -> None:
        rng = np.random.default_rng([17, seed])
        self.days = days_sold
        days = _BEFORE + days_sold
        rate = rng.gamma(0.8, 8.0, _GOODS) / 7
        moves = np.where(rng.random(_GOODS) < 0.25, rng.choice([0.4, 2.5], _GOODS), 1.0)
        since = rng.integers(_BEFORE, days, _GOODS)
        mean = rate * np.where(np.arange(days)[:, None] >= since, moves, 1.0)
        self.demand = rng.poisson(mean * rng.gamma(2.0, 0.5, mean.shape)).astype(np.float64)
        self.supplier = rng.integers(0, _SUPPLIERS, _GOODS)
        self.lead = rng.uniform(5, 70, _SUPPLIERS)
        self.took = np.maximum(1, np.rint(rng.gamma(11.0, self.lead / 11.0, (days, _SUPPLIERS)))).astype(np.int64)
        self.pack = rng.choice([1.0, 6.0], _GOODS, p=[0.7, 0.3])
        self.cost = np.rint(rng.uniform(300, 3000, _GOODS))
        markup = rng.uniform(0.15, 1.0, _SUPPLIERS)[self.supplier] * rng.uniform(0.6, 1.4, _GOODS)
        self.margin = np.rint(self.cost * markup)

    def goods(self, sold: Array, open_: Array, position: Array) -> Goods:
        lead = self.lead[self.supplier]
        return seen(
            sold,
            open_,
            position=position,
            margin=self.margin,
            pack_units=self.pack,
            pack_cost=self.cost * self.pack,
            least_units=np.zeros(_GOODS),
            lead_days=lead,
            lead_spread=lead * 0.3,
            supplier=self.supplier,
        )


def seen(sold: Array, open_: Array, **known: Any) -> Goods:
    """Goods as an agent sees them: mean and spread of the last eight weeks' sales on days with something to sell.
    `sold` and `open_` are (days, goods)."""
    lately, on = sold[-_LOOK:], open_[-_LOOK:]
    share = np.maximum(on.mean(axis=0), 1 / _LOOK)
    weekly = lately.mean(axis=0) * 7 / share
    weeks = lately.reshape(-1, 7, sold.shape[1]).sum(axis=1)
    return Goods(
        weekly=weekly,
        spread=np.sqrt(np.maximum(weeks.var(axis=0), weekly)),
        doubt=np.sqrt(weekly / (_LOOK / 7 * share + 4)),
        **known,
    )


#: shares of the limit by supplier, from the goods and what sold lately; None: no shares
Rule = Callable[[Shop, Goods, Array], Array | None]


def play(shop: Shop, rule: Rule, limit: float | None) -> tuple[float, float]:
    """Profit, and what goods still to come cost on average."""
    stock = np.rint(shop.demand[:_BEFORE].mean(axis=0) * (shop.lead[shop.supplier] + 14))
    coming = np.zeros((_BEFORE + shop.days + 400, _GOODS))
    sold, open_ = shop.demand[:_BEFORE].copy(), np.ones((_BEFORE, _GOODS))
    profit, bound, told = 0.0, 0.0, None
    for day in range(_BEFORE, _BEFORE + shop.days):
        stock = stock + coming[day]
        due = coming[day + 1 :].sum(axis=0)
        goods = shop.goods(sold, open_, stock + due)
        if day % 7 == 0 and limit is not None:
            told = rule(shop, goods, sold)
        if day % 7 < _SUPPLIERS:
            supplier = day % 7
            units = _buy(shop, goods, supplier, due, limit, told)
            coming[day + shop.took[day, supplier]] += units
            profit -= float((units > 0).sum()) * _TERMS.line_cost
            due = due + units
        today = np.minimum(stock, shop.demand[day])
        sold, open_ = np.vstack([sold, today]), np.vstack([open_, stock > 0])
        stock = stock - today
        profit += float((today * shop.margin - stock * shop.cost * _TERMS.holding / 365).sum())
        bound += float((due * shop.cost).sum()) / shop.days
        assert limit is None or (due * shop.cost).sum() <= limit + 1e-6, "the owner's limit holds"
    return profit, bound


def _buy(shop: Shop, goods: Goods, supplier: int, due: Array, limit: float | None, told: Array | None) -> Array:
    least, theirs = np.zeros(_SUPPLIERS), shop.supplier == supplier
    if limit is None:
        return np.where(theirs, plan(goods, _TERMS, least_order=least).units, 0.0)
    left = max(0.0, limit - float((due * shop.cost).sum()))
    if told is not None:
        own = told[supplier] * limit - float((due * shop.cost)[theirs].sum())
        goods, left = only(goods, theirs), min(left, max(0.0, own))
    return np.where(theirs, plan(goods, _TERMS, least_order=least, cash=left).units, 0.0)


def only(goods: Goods, theirs: np.ndarray[Any, np.dtype[np.bool_]]) -> Goods:
    """Nothing of the others is wanted."""
    return Goods(**{**vars(goods), "weekly": np.where(theirs, goods.weekly, 0.0)})


def agent(limit: float) -> Rule:
    def rule(shop: Shop, goods: Goods, sold: Array) -> Array | None:
        steps = cash_steps(goods, _TERMS, _SUPPLIERS)
        takers = [Taker(UUID(int=at), str(at), 0, steps[at]) for at in range(_SUPPLIERS)]
        shared = share_out(MoneyReview("USD", round(limit), 1.0, takers))
        return None if shared.price <= 0 else np.array([each.share_bps for each in shared.told]) / 10_000

    return rule


def equal(shop: Shop, goods: Goods, sold: Array) -> Array:
    return np.full(_SUPPLIERS, 1 / _SUPPLIERS)


def by_revenue(shop: Shop, goods: Goods, sold: Array) -> Array:
    """Of the last four weeks."""
    brought = sold[-28:].sum(axis=0) * (shop.cost + shop.margin)
    of = np.bincount(shop.supplier, weights=brought, minlength=_SUPPLIERS)
    return np.asarray(of / max(of.sum(), 1.0))


def none(shop: Shop, goods: Goods, sold: Array) -> None:
    return None


def run(report: Report, *, quick: bool) -> None:
    """Add this part's lines to the report."""
    seeds = 2 if quick else 24
    earned: dict[str, list[float]] = {}
    for seed in range(_FIRST_SEED, _FIRST_SEED + seeds):
        shop = Shop(seed, _QUICK_DAYS if quick else _DAYS)
        limit = _SCARCE * play(shop, none, None)[1]
        rules: dict[str, Rule] = {
            "agent": agent(limit),
            "equal shares": equal,
            "shares by revenue": by_revenue,
            "no shares": none,
        }
        for name, rule in rules.items():
            earned.setdefault(name, []).append(play(shop, rule, limit)[0])
    result: dict[str, Any] = {"seeds": seeds}
    for name in ("equal shares", "shares by revenue", "no shares"):
        gain = bootstrap(np.array(earned["agent"]) / np.array(earned[name]) - 1)
        won = sum(ours > theirs for ours, theirs in zip(earned["agent"], earned[name], strict=True))
        result[f"over {name}"] = {"mean": gain.mean, "low": gain.low, "high": gain.high, "won": won}
        words = f"{gain.low:+.1%} to {gain.high:+.1%}; more in {won} of {seeds}"
        report.row(f"resource, cash: profit over {name}", f"{gain.mean:+.1%}", words)
    report.result["resource cash"] = result
