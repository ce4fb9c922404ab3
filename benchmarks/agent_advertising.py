"""What AdvertisingAgent's ad rates leave, against one rate for all and no ads: half a year's profit after fees.

What this world assumes, since nobody publishes how sales answer to an ad rate. Each seed draws a shop of 60 listings:
sales a day from a gamma, with days of the week, days that are better or worse for the whole shop, and goods whose
demand moves for good; 8 to 40 % of the price left of a sale. At rate r an ad reaches h(r) = r^p / (r^p + half^p), p
from 1 to 2.2 and half from 2 to 9 % by listing (the agent believes in another curve, 1 - exp(-r / reach)). It brings
lift * h more buyers, lift log-normal around 0.4 and nothing at all for every seventh listing, and a share own * h of
those who would have come anyway, own from 0.05 to 0.6, is charged for too. Shelves are filled every two weeks, a
quarter of them with less than sells. Four weeks without ads come first. Rules meet the same buyers.

The agent sees units sold, units by ads and whether there was something to sell, decides every day as it ships, and
changes a listing once a day at most. "Best fixed" knows afterwards which one rate would have been best for the shop,
"all known" knows each listing's true answer and picks its best rate: neither can be had.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.stats import binom, poisson

from benchmarks.measuring import Report
from flipsync.learning.protocol import bootstrap
from flipsync.services.advertising.choosing import Candidate, choose
from flipsync.services.advertising.response import Seen

Array = np.ndarray[Any, np.dtype[np.float64]]
_LISTINGS, _BEFORE, _DAYS, _FILLED = 60, 28, 182, 14
_FIRST_SEED, _QUICK_DAYS = 500, 42
_MOST_BPS, _LEAST_MARGIN, _TAX = 1_000, 0.05, 1.08
_REMEMBERED = 90
FIXED = (200, 400, 600, 800, 1_000)


@dataclass
class Market:
    """The shop of one seed. Arrays are by day and listing, or by listing."""

    seed: int
    days: int = _DAYS
    rate: Array = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng([11, self.seed])
        days, count = _BEFORE + self.days, _LISTINGS
        at = np.arange(days)[:, None]
        usual = rng.gamma(0.9, 0.7, count)
        week = 1.0 + 0.25 * np.sin(2 * np.pi * (at + rng.integers(0, 7)) / 7)
        shop_day = rng.gamma(12.0, 1 / 12.0, (days, 1))
        moves = np.where(rng.random(count) < 0.2, rng.choice([0.5, 1.8], count), 1.0)
        since = rng.integers(_BEFORE, days, count)
        self.rate = usual * week * shop_day * np.where(at >= since, moves, 1.0)
        self.price = np.rint(rng.uniform(1_200, 9_000, count))
        self.margin = np.rint(self.price * rng.uniform(0.08, 0.40, count))
        self.fee = self.price * _TAX
        self.steep, self.half = rng.uniform(1.0, 2.2, count), rng.uniform(200, 900, count)
        self.lift = rng.lognormal(np.log(0.4), 0.6, count) * (rng.random(count) >= 1 / 7)
        self.own = rng.uniform(0.05, 0.6, count)
        cover = np.where(rng.random(count) < 0.25, rng.uniform(0.4, 0.9, count), rng.uniform(1.6, 4.0, count))
        self.shelf = np.maximum(1.0, np.ceil(usual * _FILLED * cover))
        self.draws = rng.random((4, days, count))

    def reach(self, rates: Array) -> Array:
        powered = np.power(rates, self.steep)
        return np.asarray(powered / (powered + np.power(self.half, self.steep)))

    def buyers(self, day: int, rates: Array) -> tuple[Array, Array]:
        """Who comes by an ad, and who comes without one."""
        share = self.reach(rates)
        comes = poisson.ppf(self.draws[0, day], self.rate[day])
        clicked = binom.ppf(self.draws[1, day], comes, self.own * share)
        brought = poisson.ppf(self.draws[2, day], self.rate[day] * self.lift * share)
        return clicked + brought, comes - clicked


@dataclass
class Known:
    """What a rule may see on the morning of a day: rates, what was sold, by ads, and whether there was anything."""

    market: Market
    day: int
    stock: Array
    rates: Array
    sold: Array
    by_ads: Array
    offered: Array


Rule = Callable[[Known], Array]


def play(market: Market, rule: Rule) -> dict[str, float]:
    """Half a year of one rule after four weeks without ads."""
    days = _BEFORE + market.days
    rates, sold, by_ads, offered = (np.zeros((days, _LISTINGS)) for _ in range(4))
    stock = market.shelf.copy()
    profit = fees = 0.0
    for day in range(days):
        if day % _FILLED == 0:
            stock = market.shelf.copy()
        if day >= _BEFORE:
            seen = Known(market, day, stock, rates[:day], sold[:day], by_ads[:day], offered[:day])
            rates[day] = np.where(stock > 0, rule(seen), 0.0)
        offered[day] = stock > 0
        ads, others = market.buyers(day, rates[day])
        wanted = ads + others
        sold[day] = np.minimum(wanted, stock)
        # of those who find the shelf empty as many came by an ad as of all
        by_ads[day] = np.floor(ads * sold[day] / np.maximum(wanted, 1.0) + market.draws[3, day])
        by_ads[day] = np.minimum(by_ads[day], np.minimum(ads, sold[day]))
        stock = stock - sold[day]
        if day >= _BEFORE:
            charged = by_ads[day] * market.fee * rates[day] / 10_000
            profit += float((sold[day] * market.margin - charged).sum())
            fees += float(charged.sum())
    return {"profit": profit, "fees": fees, "units": float(sold[_BEFORE:].sum())}


def fixed(bps: float) -> Rule:
    """One rate for everything whose margin carries it, as sellers set it in one campaign."""

    def rule(seen: Known) -> Array:
        carries = seen.market.margin - seen.market.fee * bps / 10_000 >= 0
        return np.where(carries, bps, 0.0)

    return rule


def all_known(market: Market) -> Rule:
    """Each listing's best rate by its true answer, as long as its shelf is not sold out anyway."""
    rates = np.array([0.0, *range(200, _MOST_BPS + 1, 50)])
    mean, best = market.rate[_BEFORE:].mean(axis=0), np.zeros(_LISTINGS)
    most = np.full(_LISTINGS, -np.inf)
    for bps in rates:
        share = market.reach(np.full(_LISTINGS, bps)) if bps else np.zeros(_LISTINGS)
        sold, ads = mean * (1 + market.lift * share), mean * (market.lift + market.own) * share
        there = np.minimum(1.0, market.shelf / _FILLED / np.maximum(sold, 1e-9))
        profit = there * (sold * market.margin - ads * market.fee * bps / 10_000)
        best, most = np.where(profit > most, bps, best), np.maximum(profit, most)
    return lambda seen: best


class Agent:
    """As AdvertisingAgent decides."""

    def __call__(self, seen: Known) -> Array:
        choices = choose(self.candidates(seen), _MOST_BPS, f"w{seen.day // 7}")
        return np.array([each.rate_bps for each in choices], dtype=np.float64)

    def candidates(self, seen: Known) -> list[Candidate]:
        """What it knows of each listing."""
        market = seen.market
        now = seen.rates[-1] if seen.day > _BEFORE else np.zeros(_LISTINGS)
        days = self._days(seen)
        return [
            Candidate(
                key=f"{market.seed}-{at}",
                seen=days[at],
                margin=int(market.margin[at]),
                most_bps=int(max(0.0, market.margin[at] - market.price[at] * _LEAST_MARGIN) * 10_000 / market.fee[at]),
                fee=int(market.fee[at]),
                units=int(seen.stock[at]),
                rate_bps=int(now[at]),
            )
            for at in range(_LISTINGS)
        ]

    @staticmethod
    def _days(seen: Known) -> list[tuple[Seen, ...]]:
        """By listing, what each rate came to on days with something to sell."""
        since, listing = max(0, seen.day - _REMEMBERED), np.arange(_LISTINGS)
        step = (seen.rates[since:] // 50).astype(np.int64)
        sums = np.zeros((3, _LISTINGS, _MOST_BPS // 50 + 1))
        offered = seen.offered[since:]
        for of, figure in zip(sums, (offered, seen.sold[since:] * offered, seen.by_ads[since:] * offered), strict=True):
            np.add.at(of, (np.broadcast_to(listing, step.shape), step), figure)
        return [
            tuple(
                Seen(int(rate) * 50, float(sums[0, at, rate]), int(sums[1, at, rate]), int(sums[2, at, rate]))
                for rate in np.flatnonzero(sums[0, at])
            )
            for at in range(_LISTINGS)
        ]


def run(report: Report, *, quick: bool) -> None:
    """Add this agent's lines to the report."""
    seeds = 2 if quick else 24
    played: list[dict[str, dict[str, float]]] = []
    for seed in range(_FIRST_SEED, _FIRST_SEED + seeds):
        market = Market(seed, _QUICK_DAYS if quick else _DAYS)
        rules: dict[str, Rule] = {"agent": Agent(), "all known": all_known(market), "no ads": fixed(0)}
        rules |= {f"fixed {bps / 100:.0f} %": fixed(bps) for bps in FIXED}
        told = {name: play(market, rule) for name, rule in rules.items()}
        best = max((name for name in told if name.startswith("fixed")), key=lambda name: told[name]["profit"])
        told["best fixed"] = told[best]
        played.append(told)
    result: dict[str, Any] = {"seeds": seeds}
    for name in played[0]:
        result[name] = {key: float(np.mean([each[name][key] for each in played])) for key in played[0][name]}
    for name in (each for each in played[0] if each != "agent"):
        gain = bootstrap(np.array([each["agent"]["profit"] / each[name]["profit"] - 1 for each in played]))
        won = sum(each["agent"]["profit"] > each[name]["profit"] for each in played)
        result[f"gain on {name}"] = {"mean": gain.mean, "low": gain.low, "high": gain.high, "won": won}
        hindsight = " (known afterwards)" if name in ("best fixed", "all known") else ""
        words = f"{gain.low:.1%} to {gain.high:.1%}; more in {won} of {seeds}"
        report.row(f"advertising: profit above {name}{hindsight}", f"{gain.mean:.1%}", words)
    report.result["advertising"] = result
