"""The forecasts DemandAgent backs, on weeks it has not seen, against zero, seasonal naive and IMAPA, each everywhere.

Each seed draws two markets of two years: 300 goods that sell now and then, a quarter of their time out of stock; and 80
goods with a season. The agent chooses on the first 92 weeks; the last 12 judge it by what was wanted. RMSSE, since MASE
rewards the forecast of nothing. Intervals are judged beside IMAPA's level with a Poisson interval around it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import poisson

from benchmarks.measuring import Report
from flipsync.learning.forecast.intermittent import HORIZON, Market, rmsse, scale
from flipsync.learning.protocol import bootstrap
from flipsync.learning.simulator import Array
from flipsync.services.forecast_choice import BASELINES as NAMES
from flipsync.services.forecast_choice import choose
from flipsync.services.forecasts import BASELINES, INSIDE, WEEKS, History, backtest, ours, tell

_FIRST_SEED, _SPELL, _EMPTY = 200, 4, 0.25
_KINDS = ("now and then", "seasonal")


def draw(kind: str, seed: int) -> tuple[Array, Array]:
    """What was wanted, and the share of each week on the shelf; (series, WEEKS)."""
    rng = np.random.default_rng([seed, _KINDS.index(kind)])
    if kind == "now and then":
        wanted = Market.draw(300, WEEKS, seed).sold
        spells = rng.random((len(wanted), WEEKS // _SPELL)) >= _EMPTY
        return wanted, np.repeat(spells.astype(np.float64), _SPELL, axis=1)
    level = rng.gamma(2.0, 4.0, 80)[:, None]
    swing = np.exp(
        rng.uniform(0.8, 1.6, 80)[:, None] * np.sin(2 * np.pi * np.arange(WEEKS) / 52 + rng.uniform(0, 6.28))
    )
    return rng.poisson(level * swing).astype(np.float64), np.ones((80, WEEKS))


def one(kind: str, seed: int) -> dict[str, Any]:
    """What the agent backed in one market, and how it and its baselines did on the weeks to come."""
    wanted, open_ = draw(kind, seed)
    cut = WEEKS - HORIZON
    known, actual = History((wanted * open_)[:, :cut], open_[:, :cut]), wanted[:, cut:]
    tested = backtest(known)
    if tested is None:
        raise RuntimeError("92 weeks are enough for a back-test")
    choice = choose(tested.scores, ours(*known.sold.shape)[0], tested.series)
    weekly, low, high = tell(known, choice)
    past = known.up_to(cut)
    errors = {name: float(rmsse(method(past), actual, past.filled).mean()) for name, method in BASELINES.items()}
    level = BASELINES["IMAPA"](past)
    edge = (1 - INSIDE) / 2
    plain = tuple(np.asarray(poisson.ppf(share, np.maximum(level, 0.01))) for share in (edge, 1 - edge))
    return {
        "backed": choice.method,
        "agent": float(rmsse(weekly, actual, past.filled).mean()),
        **errors,
        "inside": float(((actual >= _column(low)) & (actual <= _column(high))).mean()),
        "pinball": _pinball((low, high), actual, past.filled),
        "pinball of IMAPA": _pinball(plain, actual, past.filled),
    }


def _column(told: Array) -> Array:
    return told[:, None] if told.ndim == 1 else told


def _pinball(edges: tuple[Array, ...], actual: Array, history: Array) -> float:
    lost = np.zeros(len(actual))
    for told, share in zip(edges, ((1 - INSIDE) / 2, (1 + INSIDE) / 2), strict=True):
        off = actual - _column(told)
        lost += np.maximum(share * off, (share - 1) * off).mean(axis=1) / 2
    return float((lost / scale(history)).mean())


def run(report: Report, *, quick: bool) -> None:
    """Add this agent's lines to the report."""
    seeds = 2 if quick else 24
    result: dict[str, Any] = {"seeds": seeds}
    for kind in _KINDS:
        played = [one(kind, seed) for seed in range(_FIRST_SEED, _FIRST_SEED + seeds)]
        backed = sorted({each["backed"] for each in played})
        found: dict[str, Any] = {name: sum(each["backed"] == name for each in played) for name in backed}
        report.row(f"demand: {kind}, backed", ", ".join(f"{name} {found[name]}" for name in backed), "")
        told: dict[str, Any] = {"backed": found}
        for name in ("agent", *NAMES, "inside", "pinball", "pinball of IMAPA"):
            told[name] = float(np.mean([each[name] for each in played]))
        for name in NAMES:
            gain = bootstrap(np.array([1 - each["agent"] / each[name] for each in played]))
            told[f"saved on {name}"] = {"mean": gain.mean, "low": gain.low, "high": gain.high}
            words = f"{gain.low:.1%} to {gain.high:.1%}; RMSSE {told['agent']:.3f}, {told[name]:.3f}"
            report.row(f"demand: {kind}, error saved on {name}", f"{gain.mean:.1%}", words)
        gain = bootstrap(np.array([1 - each["pinball"] / each["pinball of IMAPA"] for each in played]))
        told["interval loss saved"] = {"mean": gain.mean, "low": gain.low, "high": gain.high}
        report.row(
            f"demand: {kind}, interval loss saved on IMAPA with Poisson",
            f"{gain.mean:.1%}",
            f"{gain.low:.1%} to {gain.high:.1%}; {told['inside']:.1%} of weeks inside, {INSIDE:.0%} said",
        )
        result[kind] = told
    report.result["demand"] = result
