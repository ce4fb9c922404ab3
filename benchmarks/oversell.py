"""Never sold twice (escrow), or how often (pooled): odds stated beside odds seen, oversells against lost sales.

python -m benchmarks.oversell [--quick] [--json] [--seed S] [--orders N] [--shops N] [--picture FILE]

Escrow: a million orders under every fault, with our functions of sharing out. Pooled: shops whose channels hear late
(benchmarks.oversell_market). What FlipSync knows of a shop it has learned from sales before, with its own functions.
Peers on the same buyers, delays and cancellations: a fixed buffer, and units less the last hour's sales.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import oversell_escrow as escrow
from benchmarks import oversell_market as market
from benchmarks.intervals import wilson
from benchmarks.measuring import Report, saying
from flipsync.learning.bench.picture import draw
from flipsync.learning.protocol import Curve, bootstrap
from flipsync.services.channel_pace import Pace, racing
from flipsync.services.oversell import quantities_to_show

LIMITS = (0.0, 0.0005, 0.002, 0.005, 0.01, 0.02, 0.05, 1.0)
BUFFERS = (0, 1, 2, 3)
_BINS = (0.0, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0)
_WINDOW = 14
_RESAMPLES = 2000
#: of all shops the odds are judged on, so many play a whole month under every policy
_PLAYED = 24
#: fewer oversells seen say little about the odds
_ENOUGH = 100


def ours(paces: Sequence[Pace], limit: float) -> market.Policy:
    """What InventoryAgent would decide."""
    goods, sellers = racing(paces, [0] * len(paces), [0.0] * len(paces), _WINDOW)

    @cache
    def fresh(units: int) -> tuple[int, ...]:
        return quantities_to_show(units, goods, sellers, limit).quantities

    def policy(units: int, sold: Sequence[int], on_show: Sequence[float], _hour: int) -> Sequence[int]:
        if not any(on_show):
            return fresh(units)
        known, racers = racing(paces, sold, on_show, _WINDOW)
        return quantities_to_show(units, known, racers, limit).quantities

    return policy


def buffer(channels: int, held: int) -> market.Policy:
    return lambda units, _sold, _show, _hour: [max(0, units - held)] * channels


def but_one(channels: int, held: int) -> market.Policy:
    """A buffer that never hides the last unit."""
    return lambda units, _sold, _show, _hour: [max(min(1, units), units - held)] * channels


def last_hour(channels: int) -> market.Policy:
    return lambda units, _sold, _show, hour: [max(0, units - hour)] * channels


def reliability(known: list[tuple[market.Shop, list[Pace]]], rng: market.Rng, goods: int) -> list[dict[str, Any]]:
    """Odds stated for fresh goods, as every limit would show them, beside how often it came to that.

    `ratio` is what was seen as a share of what was stated, with the 95 % interval of shops drawn again (a percentile
    bootstrap): what is stated of one shop carries the noise of what that shop has sold, for all its goods alike.
    """
    cases: dict[int, list[tuple[int, float, int, int]]] = {}
    for number, (shop, paces) in enumerate(known):
        item, sellers = racing(paces, [0] * len(paces), [0.0] * len(paces), _WINDOW)
        seen = set()
        for units in (1, 2, 3):
            for limit in (0.0005, 0.002, 0.01, 0.05, 1.0):
                shown = quantities_to_show(units, item, sellers, limit)
                if not shown.odds or (units, shown.quantities) in seen:
                    continue
                seen.add((units, shown.quantities))
                sold, twice = market.next_sale(shop, units, shown.quantities, rng, goods if units == 1 else goods // 3)
                place = int(np.searchsorted(_BINS, shown.odds, side="right")) - 1
                cases.setdefault(place, []).append((number, shown.odds * sold, sold, twice))
    told = []
    for place in sorted(cases):
        by_shop = np.zeros((len(known), 3))
        for number, *figures in cases[place]:
            by_shop[number] += figures
        expected, sales, hits = by_shop.sum(0)
        if sales:
            again = by_shop[rng.integers(len(known), size=(_RESAMPLES, len(known)))].sum(1)
            again = again[again[:, 0] > 0]
            low, high = np.quantile(again[:, 2] / again[:, 0], (0.025, 0.975))
            told.append(
                {
                    "stated": expected / sales,
                    "seen": wilson(int(hits), int(sales)),
                    "ratio": {"mean": hits / expected, "low": float(low), "high": float(high)},
                    "shops": int((by_shop[:, 1] > 0).sum()),
                    "cases": len(cases[place]),
                    "sales": int(sales),
                }
            )
    return told


def frontier(known: list[tuple[market.Shop, list[Pace]]], rng: market.Rng, goods: int) -> list[dict[str, Any]]:
    """Every policy on the same goods: orders nothing was left for, and sales lost beside a market without delay."""
    told = [(shop, paces, market.stories(shop, rng, goods)) for shop, paces in known]
    ideal = [
        [market.play(story, len(paces), buffer(len(paces), 0), late=False).kept for story in many]
        for _, paces, many in told
    ]
    rows = []
    policies = [("ours", limit) for limit in LIMITS] + [("buffer", held) for held in BUFFERS] + [("last hour", 0.0)]
    policies += [("buffer, last unit shown", held) for held in (1, 2)]
    for name, setting in policies:
        kept, orders, oversold = [], [], []
        for _, paces, many in told:
            channels = len(paces)
            if name == "ours":
                policy = ours(paces, setting)
            elif name == "last hour":
                policy = last_hour(channels)
            else:
                policy = (buffer if name == "buffer" else but_one)(channels, int(setting))
            found = [market.play(each, channels, policy, reviews=name == "last hour") for each in many]
            kept.append([each.kept for each in found])
            orders.append([each.orders for each in found])
            oversold.append([each.oversold for each in found])
        best = np.concatenate([np.array(each) for each in ideal])
        lost = best - np.concatenate([np.array(each) for each in kept])
        spread = bootstrap(lost, resamples=400)
        rows.append(
            {
                "policy": name,
                "setting": setting,
                "oversold": wilson(
                    int(np.sum([sum(each) for each in oversold])), int(np.sum([sum(e) for e in orders]))
                ),
                "lost": lost.sum() / best.sum(),
                "lost_low": spread.low / best.mean(),
                "lost_high": spread.high / best.mean(),
            }
        )
    return rows


def beside(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What ours loses at each peer's oversell rate, between the two limits next to it."""
    mine = sorted((row["oversold"]["share"], row["lost"]) for row in rows if row["policy"] == "ours")
    found = []
    for row in rows:
        if row["policy"] != "ours":
            at = row["oversold"]["share"]
            lost = float(np.interp(at, [each[0] for each in mine], [each[1] for each in mine]))
            found.append({"policy": row["policy"], "setting": row["setting"], "lost": row["lost"], "ours": lost})
    return found


_LABELS = {
    "ours": "ours, over limits",
    "buffer": "fixed buffer",
    "last hour": "less last hour",
    "buffer, last unit shown": "buffer, one shown",
}


def curves(rows: list[dict[str, Any]]) -> list[Curve]:
    """Lost sales over oversells, a line a policy; one that has no setting is a dash."""
    made = []
    for name, label in _LABELS.items():
        points = sorted((1e5 * row["oversold"]["share"], 100 * row["lost"]) for row in rows if row["policy"] == name)
        if len(points) == 1:
            points = [(0.97 * points[0][0], points[0][1]), (1.03 * points[0][0], points[0][1])]
        title = "sales lost (%) over orders oversold in 100,000"
        made.append(Curve(title, label, tuple(each[0] for each in points), tuple(each[1] for each in points)))
    return made


def microseconds(known: list[tuple[market.Shop, list[Pace]]]) -> dict[str, float]:
    taken = []
    for _, paces in known:
        for units in (1, 1, 1, 2, 5):
            began = time.perf_counter()
            item, sellers = racing(paces, [0] * len(paces), [0.0] * len(paces), _WINDOW)
            quantities_to_show(units, item, sellers, 0.005)
            taken.append((time.perf_counter() - began) * 1e6)
    return {"median": float(np.median(taken)), "p95": float(np.quantile(taken, 0.95))}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.oversell", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only show that it runs")
    parser.add_argument("--json", action="store_true", help="print the JSON")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--orders", type=int, default=1_000_000, help="under escrow")
    parser.add_argument("--shops", type=int, default=192, help="whose odds are judged")
    parser.add_argument("--picture", type=Path, help="where the frontier goes, as SVG")
    arguments = parser.parse_args(argv)
    quick = arguments.quick
    report = Report("oversell")
    rng = np.random.default_rng(arguments.seed)
    with saying("escrow, every fault"):
        kept = escrow.run(20_000 if quick else arguments.orders, arguments.seed)
    with saying("learning from sales"):
        known = [(shop, market.learned(shop, rng)) for shop in market.shops(rng, 6 if quick else arguments.shops)]
    with saying("odds stated, odds seen"):
        table = reliability(known, rng, 20_000 if quick else 100_000)
    with saying("the frontier"):
        rows = frontier(known[:_PLAYED], rng, 60 if quick else 600)
    compared, speed = beside(rows), microseconds(known)
    picture = draw(curves(rows))
    path = arguments.picture or Path(__file__).with_name("out") / "oversell.svg"
    path.parent.mkdir(exist_ok=True)
    path.write_text(picture, encoding="utf-8")
    report.result = {
        "seed": arguments.seed,
        "escrow": kept,
        "reliability": table,
        "frontier": rows,
        "beside_peers": compared,
        "microseconds": speed,
        "picture": path.name,
    }
    _print(report, kept, table, rows, compared, speed)
    report.finish(as_json=arguments.json)
    return 1 if kept["oversold"] or kept["short"] else 0


def _print(
    report: Report,
    kept: dict[str, Any],
    table: list[dict[str, Any]],
    rows: list[dict[str, Any]],
    compared: list[dict[str, Any]],
    speed: dict[str, float],
) -> None:
    faults = ", ".join(f"{name} {count:,}" for name, count in kept["faults"].items())
    report.row("escrow: oversold", f"{kept['oversold']}", f"of {kept['orders']:,} orders; {faults}")
    report.row(
        "  without the fence", f"{kept['unfenced']['oversold']}", f"of {kept['unfenced']['orders']:,}: it can fail"
    )
    off = []
    for each in table:
        ratio = each["ratio"]
        if each["seen"]["hits"] >= _ENOUGH:
            off.append(abs(ratio["mean"] - 1))
        words = f"{ratio['mean']:.2f} of it ({ratio['low']:.2f}–{ratio['high']:.2f}), {each['sales']:,} sales"
        words += f", {each['cases']} cases of {each['shops']} shops"
        report.row(f"pooled: stated {each['stated']:.5f}, seen", f"{each['seen']['share']:.5f}", words)
    report.row("  furthest off", f"{max(off, default=0):.1%}", f"aim 10 %; rows with {_ENOUGH} oversells seen or more")
    for row in rows:
        over = row["oversold"]
        against = f"oversold {over['share']:.3%} ({over['low']:.3%}–{over['high']:.3%}) of {over['of']:,} orders"
        setting = f"{row['setting']:g}" if row["policy"] != "last hour" else ""
        report.row(f"{row['policy']} {setting}: lost", f"{row['lost']:.2%}", against)
    for each in compared:
        setting = f" {each['setting']:g}" if each["policy"] != "last hour" else ""
        report.row(
            f"at the rate of {each['policy']}{setting}: ours loses", f"{each['ours']:.2%}", f"it {each['lost']:.2%}"
        )
    report.row("one decision", f"{speed['median']:.0f} µs", f"95 %: {speed['p95']:.0f} µs")


if __name__ == "__main__":
    sys.exit(main())
