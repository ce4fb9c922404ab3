"""The forecast that is served, on drawn markets with empty shelves: against its baselines, and against counting zeros.

python -m benchmarks.served_forecast [--quick] [--json] [--seeds N]

Each seed draws 300 goods over two years; a quarter of the four-week spells find the shelf empty. The market's truth is
known, so what censoring saves is measured on it and not on what sold.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np

from benchmarks.measuring import Report, saying
from flipsync.learning.forecast.intermittent import Market
from flipsync.learning.protocol import bootstrap
from flipsync.services.forecasts import BASELINES, INSIDE, WEEKS, History, foresee

FIRST_SEED, SPELL, EMPTY = 100, 4, 0.25


def one(seed: int) -> dict[str, float]:
    """Figures of one market: gains as shares of the other's error, above 0 where ours is better."""
    market = Market.draw(300, WEEKS, seed)
    spells = np.random.default_rng(seed).random((len(market.sold), WEEKS // SPELL)) >= EMPTY
    open_ = np.repeat(spells.astype(np.float64), SPELL, axis=1)
    told = foresee(History(market.sold * open_, open_))
    as_zeros = foresee(History(market.sold * open_, np.ones_like(open_)))
    tested = told.backtest
    if tested is None or tested.coverage is None:
        raise RuntimeError("two years are enough for a back-test")
    ours = next(iter(tested.rmsse))
    truth = market.expected[:, -1]
    wrong, naive = (float(np.abs(each.weekly - truth).mean()) for each in (told, as_zeros))
    gains = {f"on {name}": 1 - tested.rmsse[ours] / tested.rmsse[name] for name in BASELINES}
    return {**gains, "by censoring": 1 - wrong / naive, "coverage": tested.coverage}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="only show that it runs")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seeds", type=int, help="markets (20; quick 3)")
    arguments = parser.parse_args(argv)
    seeds = arguments.seeds or (3 if arguments.quick else 20)
    report = Report("served_forecast")
    with saying(f"{seeds} markets"):
        markets = [one(FIRST_SEED + number) for number in range(seeds)]
    result: dict[str, Any] = {"seeds": seeds}
    for name in markets[0]:
        told = bootstrap(np.array([market[name] for market in markets]))
        result[name] = {"mean": told.mean, "low": told.low, "high": told.high}
        what = f"weeks inside, {INSIDE:.0%} said" if name == "coverage" else f"error saved {name}"
        report.row(what, f"{told.mean:.1%}", f"{told.low:.1%} to {told.high:.1%}")
    report.result = result
    report.finish(as_json=arguments.json)
    beaten = all(result[name]["low"] > 0 for name in result if name.startswith(("on ", "by ")))
    return 0 if beaten and abs(result["coverage"]["mean"] - INSIDE) < 0.05 else 1


if __name__ == "__main__":
    sys.exit(main())
