"""How far the probabilities of StrategyAgent's targets can be trusted, on drawn businesses with shocks of their own.

Each seed draws two channels of 60 goods over 104 weeks: levels that drift, shocks to the whole business and to each
channel, weeks that vary more than Poisson's, a fifth of the goods not restocked. The forecast in service is made on
the first 100 weeks; how far off it is as a whole is learnt from earlier ones, as in the books. The last four weeks
judge. Targets are what the weeks before turned over times 0.7 to 1.3, on each channel and in all. Baselines: the share
of all targets that were reached; and that share for each factor, which the agent does not know.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring import Report
from flipsync.learning.forecast.intermittent import HORIZON
from flipsync.learning.protocol import bootstrap
from flipsync.services import outlook as o
from flipsync.services.forecast_choice import choose
from flipsync.services.forecasts import History, backtest, ours, tell
from flipsync.services.plan_targets import chance_of, target_for

_WEEKS, _GOODS, _CHANNELS = 104, 60, 2
_FIRST_SEED, _FACTORS, _CHANCES = 500, (0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3), (0.4, 0.55, 0.7)
_BINS = 5
Array = NDArray[np.float64]


def draw(seed: int) -> tuple[Array, Array]:
    """Units wanted, (series, weeks), the channels' goods one after the other; and prices in minor units."""
    rng = np.random.default_rng(seed)
    n = _GOODS * _CHANNELS
    level = np.log(rng.gamma(1.3, 2.2, n) + 0.2)[:, None]
    drift = np.cumsum(rng.normal(0, 0.05, (n, _WEEKS)), axis=1)
    whole = np.cumsum(rng.normal(0, 0.035, _WEEKS))
    channel = np.repeat(np.cumsum(rng.normal(0, 0.025, (_CHANNELS, _WEEKS)), axis=1), _GOODS, axis=0)
    mean = np.exp(level + drift - drift.mean(axis=1, keepdims=True) + whole - whole.mean() + channel)
    wanted = rng.poisson(mean * rng.gamma(4.0, 0.25, mean.shape)).astype(np.float64)
    return wanted, np.round(rng.lognormal(7.6, 0.7, n))


def one(seed: int) -> tuple[list[tuple[float, float, int]], list[tuple[float, int]]]:
    """(factor, chance, reached) of what an owner might aim at; and (chance, reached) of what the agent sets."""
    wanted, price = draw(seed)
    cut, n = _WEEKS - o.WEEKS, len(price)
    known = History(wanted[:, :cut], np.ones((n, cut)))
    tested = backtest(known)
    choice = choose(tested.scores if tested else {}, ours(n, cut)[0], n)
    weekly, low, high = tell(known, choice)
    earlier = []
    for back in range(12):  # earlier forecasts of the whole, one every four weeks
        at = cut - o.WEEKS * (back + 1)
        past = ours(n, at)[1](known.up_to(at))
        told = float(past[:, : o.WEEKS].sum() if past.ndim > 1 else past.sum() * o.WEEKS)
        earlier.append((o.WEEKS * (back + 1.0), float(known.sold[:, at : at + o.WEEKS].sum()), told))
    rng = np.random.default_rng([seed, 1])
    path = weekly[:, : o.WEEKS] if weekly.ndim > 1 else np.repeat(weekly[:, None], o.WEEKS, axis=1)
    available = np.where(rng.random(n) < 0.2, rng.poisson(path.sum(axis=1)), np.inf)
    channel = np.repeat(np.arange(_CHANNELS), _GOODS)
    series = o.Series(
        item=np.arange(n),
        channel=channel,
        weekly=path,
        low=low.mean(axis=1) if low.ndim > 1 else low,
        high=high.mean(axis=1) if high.ndim > 1 else high,
        price=price,
        available=available,
        aged=np.zeros(n, dtype=np.bool_),
    )
    drawn = o.draw(series, o.off_by(earlier), _CHANNELS, seed)
    actual = np.minimum(wanted[:, cut:].sum(axis=1), available) * price
    before = wanted[:, cut - o.WEEKS : cut].sum(axis=1) * price
    places = [(drawn.goods[c], actual[channel == c].sum(), before[channel == c].sum()) for c in range(_CHANNELS)]
    places.append((drawn.goods.sum(axis=0), actual.sum(), before.sum()))
    aims, plans = [], []
    for values, came, base in places:
        quantiles = o.quantiles(values)
        aims += [(f, chance_of(quantiles, f * base), int(came >= f * base)) for f in _FACTORS]
        targets = [target_for(quantiles, chance) for chance in _CHANCES]
        plans += [(chance_of(quantiles, target), int(came >= target)) for target in targets]
    return aims, plans


def run(report: Report, *, quick: bool) -> None:
    """Add this agent's lines to the report."""
    assert o.WEEKS <= HORIZON, "a plan looks no further than a forecast"
    seeds = 2 if quick else 24
    played = [one(seed) for seed in range(_FIRST_SEED, _FIRST_SEED + seeds)]
    aims = np.array([each for each, _ in played])  # (seeds, places·factors, 3)
    factor, chance, reached = (aims[:, :, at] for at in range(3))
    rate = reached.mean()
    of_factor = {f: reached[factor == f].mean() for f in _FACTORS}
    told = {
        "agent": ((chance - reached) ** 2).mean(axis=1),
        "base rate": ((rate - reached) ** 2).mean(axis=1),
        "base rate by factor": ((np.vectorize(of_factor.get)(factor) - reached) ** 2).mean(axis=1),
    }
    result: dict[str, Any] = {"seeds": seeds, "targets": int(reached.size), "reached": float(rate)}
    ours_ = bootstrap(told["agent"])
    report.row("strategy: Brier score of targets", f"{ours_.mean:.3f}", f"{ours_.low:.3f} to {ours_.high:.3f}")
    result["brier"] = {name: float(each.mean()) for name, each in told.items()}
    for name in ("base rate", "base rate by factor"):
        saved = bootstrap(told[name] - told["agent"])
        result[f"saved on {name}"] = {"mean": saved.mean, "low": saved.low, "high": saved.high}
        words = f"{saved.low:+.3f} to {saved.high:+.3f}; {told[name].mean():.3f} there"
        report.row(f"strategy: Brier score saved on the {name}", f"{saved.mean:+.3f}", words)
    edges = np.linspace(0, 1, _BINS + 1)
    place = np.clip(np.digitize(chance, edges) - 1, 0, _BINS - 1)
    bins = [
        (float(chance[place == b].mean()), float(reached[place == b].mean()), int((place == b).sum()))
        for b in range(_BINS)
        if (place == b).any()
    ]
    off = sum(abs(said - came) * count for said, came, count in bins) / sum(count for _, _, count in bins)
    result |= {"reliability": bins, "off": off}
    words = ", ".join(f"{said:.0%} → {came:.0%}" for said, came, _ in bins)
    report.row("strategy: said → reached, by fifths", f"{off:.1%} off", words)
    plans = np.array([each for _, each in played])
    said, came = plans[:, :, 0].mean(), bootstrap(plans[:, :, 1].mean(axis=1))
    result["own targets"] = {"said": float(said), "reached": came.mean, "low": came.low, "high": came.high}
    words = f"{came.low:.0%} to {came.high:.0%}; {said:.0%} said"
    report.row("strategy: the agent's own targets reached", f"{came.mean:.0%}", words)
    report.result["strategy"] = result
