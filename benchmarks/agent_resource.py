"""What ResourceAgent's shares of a scarce hour bring, against an equal split, last month's, and none at all.

Each seed draws five channels whose changes of price come at different rates, are worth different amounts and stake
different sums; worth drifts from day to day and jumps now and then. An hour's listings and margin are enough for some
half of what waits. Changes go ahead as they come until a channel's share is used up; what waits longer than six hours
is void. The agent sees estimates that are off by half. Judged by what was gained over a week of hours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring import Report
from flipsync.intelligence.sharing import divide, shares
from flipsync.learning.protocol import bootstrap
from flipsync.services.money_shares import LEAST_BPS
from flipsync.services.resource_desk import LISTINGS, MARGIN, as_step

_CHANNELS, _HOURS, _MONTH, _PATIENCE, _OFF = 5, 7 * 24, 28 * 24, 6, 0.5
_FIRST_SEED, _SCARCE = 400, 0.5
Array = NDArray[np.float64]
#: of each channel: (listings an hour, margin an hour); None: whoever comes first
Shares = tuple[Array, Array] | None
Rule = Callable[[list[list[tuple[float, float]]], int], Shares]


class Fleet:
    """Changes that come, the same for every rule: by hour and channel, (worth, stake, what is seen of the worth)."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.rate = rng.gamma(2.0, 6.0, _CHANNELS) + 2
        worth = rng.normal(4.0, 0.7, _CHANNELS)
        stake = rng.normal(6.0, 0.6, _CHANNELS)
        self.moves: list[list[Array]] = []
        for hour in range(_MONTH + _HOURS):
            if hour % 24 == 0:
                worth = worth + rng.normal(0, 0.08, _CHANNELS)
                worth = np.where(rng.random(_CHANNELS) < 0.03, worth + rng.normal(0, 0.8, _CHANNELS), worth)
            drawn = []
            for channel in range(_CHANNELS):
                count = rng.poisson(self.rate[channel])
                true = rng.lognormal(worth[channel], 0.8, count)
                seen = true * rng.lognormal(-(_OFF**2) / 2, _OFF, count)
                drawn.append(np.stack([true, rng.lognormal(stake[channel], 0.7, count), seen], axis=1))
            self.moves.append(drawn)
        month = [np.concatenate([hour[c] for hour in self.moves[:_MONTH]]) for c in range(_CHANNELS)]
        self.used = np.array([len(each) for each in month], dtype=np.float64)
        self.staked = np.array([each[:, 1].sum() for each in month])
        self.listings = _SCARCE * float(self.used.sum()) / _MONTH
        self.margin = _SCARCE * float(self.staked.sum()) / _MONTH


def play(fleet: Fleet, rule: Rule, seed: int) -> float:
    """What was gained in all."""
    rng = np.random.default_rng([seed, 1])
    waiting: list[list[tuple[float, float, float, int]]] = [[] for _ in range(_CHANNELS)]
    gained = 0.0
    for hour in range(_MONTH, _MONTH + _HOURS):
        for channel, came in enumerate(fleet.moves[hour]):
            kept = [each for each in waiting[channel] if hour - each[3] < _PATIENCE]
            waiting[channel] = kept + [(float(a), float(b), float(c), hour) for a, b, c in came]
        told = rule([[(seen, stake) for _, stake, seen, _ in each] for each in waiting], hour)
        left, margin = fleet.listings, fleet.margin
        own = None if told is None else (told[0].copy(), told[1].copy())
        order = [(channel, at) for channel in range(_CHANNELS) for at in range(len(waiting[channel]))]
        done: set[tuple[int, int]] = set()
        for place in rng.permutation(len(order)):
            channel, at = order[place]
            worth, stake, _, _ = waiting[channel][at]
            short = own is not None and (own[0][channel] < 1 or own[1][channel] < stake)
            if left < 1 or margin < stake or short:
                continue
            left, margin, gained = left - 1, margin - stake, gained + worth
            done.add((channel, at))
            if own is not None:
                own[0][channel] -= 1
                own[1][channel] -= stake
        waiting = [[each for at, each in enumerate(of) if (c, at) not in done] for c, of in enumerate(waiting)]
    return gained


def ours(fleet: Fleet) -> Rule:
    def rule(waiting: list[list[tuple[float, float]]], hour: int) -> Shares:
        steps = {str(c): [step] if (step := as_step(each)) else [] for c, each in enumerate(waiting)}
        found = divide(steps, {LISTINGS: fleet.listings, MARGIN: fleet.margin})
        told = []
        for name, total in ((LISTINGS, fleet.listings), (MARGIN, fleet.margin)):
            if found.prices[name] <= 0:  # what is not scarce is not divided
                told.append(np.full(_CHANNELS, total))
                continue
            parts = shares({str(c): found.taken[str(c)].get(name, 0.0) for c in range(_CHANNELS)}, LEAST_BPS)
            told.append(np.array([parts[str(c)] for c in range(_CHANNELS)]) / 10_000 * total)
        return told[0], told[1]

    return rule


def split(fleet: Fleet, listings: Array, margin: Array) -> Rule:
    fixed = listings / listings.sum() * fleet.listings, margin / margin.sum() * fleet.margin
    return lambda waiting, hour: fixed


def run(report: Report, *, quick: bool) -> None:
    """Add this agent's lines to the report."""
    seeds = 2 if quick else 24
    gained: dict[str, list[float]] = {}
    for seed in range(_FIRST_SEED, _FIRST_SEED + seeds):
        fleet = Fleet(seed)
        equal = np.ones(_CHANNELS)
        rules: dict[str, Rule] = {
            "agent": ours(fleet),
            "equal split": split(fleet, equal, equal),
            "last month's": split(fleet, fleet.used, fleet.staked),
            "no split": lambda waiting, hour: None,
        }
        for name, rule in rules.items():
            gained.setdefault(name, []).append(play(fleet, rule, seed))
    result: dict[str, Any] = {"seeds": seeds}
    for name in ("equal split", "last month's", "no split"):
        gain = bootstrap(np.array(gained["agent"]) / np.array(gained[name]) - 1)
        result[f"over {name}"] = {"mean": gain.mean, "low": gain.low, "high": gain.high}
        report.row(f"resource: gained over {name}", f"{gain.mean:+.1%}", f"{gain.low:+.1%} to {gain.high:+.1%}")
    report.result["resource"] = result
