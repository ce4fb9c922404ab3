"""Profit to the penny: predicted payouts against settlements that an independent generator wrote, and faults named.

python -m benchmarks.fees [--quick] [--json] [--orders N] [--seed S]

The generator (benchmarks.settlements) knows the vendors' pages and nothing of FlipSync. Every difference must have a
name, and the names must add up; faults put into settlements on purpose must be found under theirs.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from decimal import Decimal
from typing import Any

from benchmarks import settlements
from benchmarks.intervals import wilson
from benchmarks.measuring import Report, saying
from flipsync.services.fees import (
    FeeProfile,
    Sale,
    SettledLine,
    SoldItem,
    default_profile,
    fee_types,
    predict,
    predict_refund,
    reconcile,
    tariffs,
)
from flipsync.services.fees.reconciliation import Reconciled


def sale_of(order: settlements.Order) -> Sale:
    """The order as our books would tell it to the engine."""
    profile = default_profile(order.channel)
    flags = set(profile.flags)
    if "store" in order.ways:
        flags = {"store"}
    if "paypal" in order.ways:
        flags = {"paypal"}
    profile = FeeProfile(
        plan=order.plan or profile.plan,
        flags=frozenset(flags),
        ad_rate_bps=int(order.ad_rate * 10_000),
        commission_bps=int(order.commission * 10_000) if order.channel == "custom" else None,
        commission_fixed_minor=25 if order.channel == "custom" else 0,
    )
    items = tuple(
        SoldItem(_minor(line.goods), line.units, _minor(line.shipping), _minor(line.tax), line.category)
        for line in order.lines
    )
    ways = frozenset(order.ways & {"international", "promoted", "individual"})
    return Sale(order.channel, "USD", order.placed, items, profile, ways)


def compare(order: settlements.Order) -> Reconciled:
    """What the engine predicts for the order, and its refund, against its settlement."""
    prediction = predict(sale_of(order))
    refund = None
    if order.returned:
        items = prediction.sale.items
        back = sum(
            items[index].goods * units // items[index].units
            + _minor(settlements.cents(order.lines[index].shipping * units / order.lines[index].units))
            for index, units in order.returned.items()
        )
        refund = predict_refund(prediction, back, units=order.returned)
    lines = [SettledLine(word, _minor(dollars), refunded) for word, dollars, refunded in order.settlement]
    return reconcile(prediction, lines, refund)


def _minor(dollars: Decimal) -> int:
    return int(dollars * 100)


def clean(orders: int, seed: int) -> dict[str, Any]:
    """Orders whose settlement is right: how many payouts are predicted within a cent, and what the others differ by."""
    rng = random.Random(seed)
    told: Counter[str] = Counter()
    within: Counter[str] = Counter()
    exact: Counter[str] = Counter()
    named: Counter[str] = Counter()
    unexplained, fees, began = 0, 0, time.perf_counter()
    for index in range(orders):
        channel = settlements.CHANNELS[index % len(settlements.CHANNELS)]
        found = compare(settlements.order(rng, channel))
        told[channel] += 1
        off = abs(found.settled - found.predicted)
        within[channel] += off <= 1
        exact[channel] += off == 0
        named.update(each.named for each in found.differences)
        unexplained += found.unexplained != 0
        fees += 1
    return {
        "orders": orders,
        "within_a_cent": wilson(sum(within.values()), orders),
        "exact": wilson(sum(exact.values()), orders),
        "by_channel": {name: wilson(within[name], told[name]) for name in told},
        "differences_named": dict(named),
        "unexplained": unexplained,
        "per_second": fees / (time.perf_counter() - began),
    }


def faulty(each: int, seed: int) -> dict[str, Any]:
    """Faults put in on purpose: how many are found under their name, with nothing left without one."""
    found_of: dict[str, dict[str, Any]] = {}
    unexplained = 0
    for fault in settlements.FAULTS:
        rng = random.Random(f"{fault} {seed}")
        hits = tried = 0
        instead: Counter[str] = Counter()
        while tried < each:
            order = settlements.order(rng, rng.choice(settlements.CHANNELS))
            before = compare(order).differences
            if before or not settlements.spoil(order, fault, rng):
                continue
            tried += 1
            found = compare(order)
            unexplained += found.unexplained != 0
            names = {difference.named for difference in found.differences}
            hits += fault in names
            instead.update(names if fault not in names else ())
        found_of[fault] = {**wilson(hits, tried), "named_instead": dict(instead)}
    return {"by_fault": found_of, "unexplained": unexplained}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="only show that it runs")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--orders", type=int, help="orders to predict (100,000; quick 2,000)")
    parser.add_argument("--seed", type=int, default=20260501)
    arguments = parser.parse_args(argv)
    orders = arguments.orders or (2_000 if arguments.quick else 100_000)
    report = Report("fees")
    with saying(f"{orders:,} orders and their settlements"):
        right = clean(orders, arguments.seed)
    with saying("faults"):
        wrong = faulty(40 if arguments.quick else 500, arguments.seed)
    confidence = Counter(row.confidence for row in tariffs())
    report.result = {
        "seed": arguments.seed,
        "fee_types": len(fee_types()),
        "rows": len(tariffs()),
        "rows_by_confidence": dict(confidence),
        "clean": right,
        "faults": wrong,
    }
    sure = ", ".join(f"{count} {name}" for name, count in confidence.most_common())
    report.row("fee types", str(len(fee_types())), f"aim 40; {len(tariffs())} rows: {sure}")
    for name, share in (("payout within a cent", right["within_a_cent"]), ("  to the cent", right["exact"])):
        report.row(name, f"{share['share']:.3%}", f"{share['low']:.3%} to {share['high']:.3%} of {share['of']:,}")
    for channel, share in right["by_channel"].items():
        report.row(f"  {channel}", f"{share['share']:.3%}", f"{share['low']:.3%} to {share['high']:.3%}")
    differences = ", ".join(f"{name} {count:,}" for name, count in right["differences_named"].items()) or "none"
    report.row("differences, by name", differences, f"{right['unexplained']} without a name")
    for fault, share in wrong["by_fault"].items():
        report.row(f"fault found: {fault}", f"{share['share']:.1%}", f"{share['low']:.1%} to {share['high']:.1%}")
    report.row("orders predicted and reconciled", f"{right['per_second']:,.0f}/s")
    report.finish(as_json=arguments.json)
    missed = right["within_a_cent"]["share"] < 0.999 or right["unexplained"] or wrong["unexplained"]
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
