"""The price rule that runs against itself, on the buyers of P5: how far it goes from competition to monopoly.

python -m benchmarks.self_play [--quick] [--json]
"""

from __future__ import annotations

import argparse
import sys

from benchmarks.measuring import Report, saying
from flipsync.learning.pricing import duopoly
from flipsync.learning.protocol import bootstrap
from flipsync.services.pricing.policy import PricingPolicy
from flipsync.services.self_play import end_of

#: buyers a day who look at both offers; at the Nash price each seller has 47 % of them
VISITS = (2.0, 5.0, 20.0, 50.0, 100.0)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="only show that it runs")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(argv)
    report, rule = Report("self_play"), PricingPolicy()
    seeds, days = range(1, 3 if arguments.quick else 21), 60 if arguments.quick else 300
    report.row("price of competition (Nash), of a monopoly", f"{duopoly.nash():.3f}, {duopoly.monopoly():.3f}")
    for visits in VISITS[:2] if arguments.quick else VISITS:
        with saying(f"{visits:g} buyers a day"):
            ends = [end_of(rule, visits=visits, days=days, seed=seed) for seed in seeds]
        for name, values in (
            ("price", [end.price for end in ends]),
            ("profit gain", [end.gain for end in ends]),
            ("way to monopoly", [end.way for end in ends]),
        ):
            told = bootstrap(values)
            report.row(f"{visits:g} buyers a day: {name}", f"{told.mean:.3f}", f"{told.low:.3f} to {told.high:.3f}")
            report.result.setdefault(name, {})[f"{visits:g}"] = values
    report.row("Q-learning: profit gain", "0.87", "published (Calvano et al. 2020)")
    report.finish(as_json=arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
