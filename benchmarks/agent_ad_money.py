"""What ResourceAgent's shares of ad money bring, against equal shares and shares by revenue.

The market is agent_advertising's, its 60 listings in three accounts of 10, 20 and 30; margins of an account's goods are
0.6 to 1.4 of the market's. In one world buyers answer to ads on all accounts alike, in the other an account's lift is
log-normal around the market's (0.5). All accounts together may spend half of what AdvertisingAgent would. Each account
spends its share where an ad brings most for its fees (services.advertising.choosing.within); shares and rates are set
once a week for a quarter after four weeks without ads. "By revenue" divides by what accounts sold in the last four
weeks. Judged by profit after fees, above that of the same shop without ads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import numpy as np

from benchmarks.agent_advertising import Agent, Array, Known, Market, fixed, play
from benchmarks.measuring import Report
from flipsync.learning.protocol import bootstrap
from flipsync.services.advertising.choosing import Choice, choose, within
from flipsync.services.advertising.money import ad_steps
from flipsync.services.money_shares import MoneyReview, Taker, share_out

_ACCOUNTS = (slice(0, 10), slice(10, 30), slice(30, 60))
_MOST_BPS, _DAYS, _QUICK_DAYS, _SCARCE, _FIRST_SEED = 1_000, 91, 28, 0.5, 1_400

#: how unlike accounts are in how their buyers answer to ads
_WORLDS = {"accounts alike": 0.0, "accounts unlike": 0.5}
#: shares by account, from the choices of each and what they brought in lately
Divides = Callable[[list[list[Choice]], Array, float], list[float]]


class Rule:
    """Rates for a week, within `money` a day for all accounts (None: no limit)."""

    def __init__(self, divides: Divides, money: float | None) -> None:
        self._divides, self._money = divides, money
        self._rates: Array | None = None
        self.planned: list[float] = []

    def __call__(self, seen: Known) -> Array:
        if self._rates is None or seen.day % 7 == 0:
            self._rates = self._choose(seen)
        return self._rates

    def _choose(self, seen: Known) -> Array:
        candidates = Agent().candidates(seen)
        told = [choose(candidates[part], _MOST_BPS, f"w{seen.day // 7}") for part in _ACCOUNTS]
        self.planned.append(sum(each.fees for choices in told for each in choices))
        if self._money is None:
            runs = [[True] * len(choices) for choices in told]
        else:
            brought = (seen.sold[-28:] * seen.market.price).sum(axis=0)
            parts = self._divides(told, np.array([brought[part].sum() for part in _ACCOUNTS]), self._money)
            runs = [within(choices, part * self._money) for choices, part in zip(told, parts, strict=True)]
        return np.array(
            [
                each.rate_bps if run else 0.0
                for choices, may in zip(told, runs, strict=True)
                for each, run in zip(choices, may, strict=True)
            ]
        )


def ours(told: list[list[Choice]], brought: Array, money: float) -> list[float]:
    takers = [Taker(UUID(int=at), str(at), 0, ad_steps(choices)) for at, choices in enumerate(told)]
    shared = share_out(MoneyReview("USD", round(money), 1.0, takers))
    # where there is enough nobody is held to a share
    return [each.share_bps / 10_000 for each in shared.told] if shared.price > 0 else [1.0] * len(told)


def equal(told: list[list[Choice]], brought: Array, money: float) -> list[float]:
    return [1 / len(told)] * len(told)


def by_revenue(told: list[list[Choice]], brought: Array, money: float) -> list[float]:
    return [float(each) for each in brought / max(brought.sum(), 1.0)]


def market_of(seed: int, days: int, spread: float) -> Market:
    """Accounts whose goods leave more or less of a sale."""
    market = Market(seed, days)
    factors = np.random.default_rng([19, seed]).uniform(0.6, 1.4, len(_ACCOUNTS))
    answers = np.random.default_rng([23, seed]).lognormal(0.0, spread, len(_ACCOUNTS))
    for part, factor, answer in zip(_ACCOUNTS, factors, answers, strict=True):
        market.margin[part] = np.rint(market.margin[part] * factor)
        market.lift[part] = market.lift[part] * answer
    return market


def compare(seeds: range, days: int, spread: float) -> dict[str, list[float]]:
    """By rule and seed: what ads gained above none."""
    gained: dict[str, list[float]] = {}
    for seed in seeds:
        market = market_of(seed, days, spread)
        idle = play(market, fixed(0))["profit"]
        free = Rule(equal, None)
        gained.setdefault("no limit", []).append(play(market, free)["profit"] - idle)
        money = _SCARCE * float(np.mean(free.planned))
        for name, divides in (("agent", ours), ("equal shares", equal), ("shares by revenue", by_revenue)):
            gained.setdefault(name, []).append(play(market, Rule(divides, money))["profit"] - idle)
    return gained


def run(report: Report, *, quick: bool) -> None:
    """Add this part's lines to the report."""
    seeds = range(_FIRST_SEED, _FIRST_SEED + (2 if quick else 48))
    result: dict[str, Any] = {"seeds": len(seeds)}
    for world, spread in _WORLDS.items():
        gained = compare(seeds, _QUICK_DAYS if quick else _DAYS, spread)
        told: dict[str, Any] = {name: float(np.mean(each)) for name, each in gained.items()}
        for name in ("equal shares", "shares by revenue"):
            gain = bootstrap((np.array(gained["agent"]) - np.array(gained[name])) / float(np.mean(gained[name])))
            won = sum(mine > theirs for mine, theirs in zip(gained["agent"], gained[name], strict=True))
            told[f"over {name}"] = {"mean": gain.mean, "low": gain.low, "high": gain.high, "won": won}
            words = f"{gain.low:+.1%} to {gain.high:+.1%}; more in {won} of {len(seeds)}"
            report.row(f"resource, ads, {world}: gain of ads over {name}", f"{gain.mean:+.1%}", words)
        result[world] = told
    report.result["resource ads"] = result
