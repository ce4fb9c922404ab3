"""`flipsync bench fulfilment`: problem P12, ours beside proven optima and beside the rules of thumb."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from flipsync.learning.fulfilment import packing, sourcing, tours, warehouse
from flipsync.learning.protocol import JUDGE_SEED, SEEDS, Cpu, Report, Row, bootstrap


def run(quick: bool, say: Callable[[str], None] = lambda part: None) -> Report:
    """Walking, picking, packing and assignment. `quick` takes fewer instances."""
    report = Report("fulfilment", quick)
    with Cpu() as clock:
        for part in (walking, picking, boxes, assignment):
            say(part.__doc__ or part.__name__)
            report.add(part(quick))
    report.cpu_seconds = clock.seconds
    return report


def _gap(case: str, method: str, gaps: list[float], seconds: float, target: float | None = None, note: str = "") -> Row:
    told = bootstrap(gaps)
    return Row(
        *("P12", case, method, told.mean, "% above the optimum"),
        low=told.low,
        high=told.high,
        target=target,
        sense="at most",
        cpu_seconds=seconds,
        seeds=tuple(np.round(gaps, 4).tolist()) if len(gaps) <= 10 else (),
        note=note,
    )


def walking(quick: bool) -> list[Row]:
    """P12 tours"""
    d = tours.distances(tours.BERLIN52)
    with Cpu() as proof:
        optimum = tours.prove(d)
    with Cpu() as clock:
        found = [tours.length(tours.walk(d, seed=seed, kicks=200 if quick else 1000), d) for seed in SEEDS]
    gaps = [(each / optimum - 1) * 100 for each in found]
    with Cpu() as rule:
        once = tours.length(tours.walk(d, seed=0, kicks=0), d)
    return [
        Row("P12", "berlin52", "integer programme", optimum, "length", source="exact", cpu_seconds=proof.seconds),
        _gap("berlin52", "ours", gaps, clock.seconds / len(SEEDS), 1.0),
        _gap("berlin52", "nearest neighbour, 2-opt, or-opt", [(once / optimum - 1) * 100], rule.seconds),
    ]


def picking(quick: bool) -> list[Row]:
    """P12 picking walks"""
    rng = np.random.default_rng(JUDGE_SEED)
    gaps, thumbs, seconds, searched = [], [], 0.0, 0.0
    for _ in range(20 if quick else 100):
        block = warehouse.Block.draw(int(rng.integers(4, 12)), int(rng.integers(4, 11)), rng)
        with Cpu() as clock:
            found = warehouse.shortest(block)
        seconds += clock.seconds
        with Cpu() as clock:
            optimum = tours.held_karp(block.distances())
        searched += clock.seconds
        gaps.append((found / optimum - 1) * 100)
        thumbs.append((warehouse.s_shape(block) / optimum - 1) * 100)
    case = f"one block, {len(gaps)} pick lists"
    return [
        _gap(case, "ours, dynamic programme", gaps, seconds / len(gaps), 1.0, "optimum by Held and Karp"),
        _gap(case, "S-shape", thumbs, 0.0),
        Row("P12", case, "ours", searched / max(seconds, 1e-9), "× faster than Held and Karp", target=1.0),
    ]


def boxes(quick: bool) -> list[Row]:
    """P12 packing"""
    ours, thumbs, seconds, proven = [], [], 0.0, 0.0
    instances = 6 if quick else 20
    for seed in range(instances):
        sizes = packing.draw(JUDGE_SEED + seed)
        with Cpu() as clock:
            found = len(packing.fill(sizes, seed=seed))
        seconds += clock.seconds
        with Cpu() as clock:
            least = np.ceil(packing.bound(sizes) - 1e-6)
        proven += clock.seconds
        ours.append((found / least - 1) * 100)
        thumbs.append((len(packing.best_fit(sizes)) / least - 1) * 100)
    case = f"as u120, {instances} instances"
    note = "drawn by Falkenauer's definition; OR-Library's own files are not used"
    return [
        _gap(case, "ours", ours, seconds / instances, 1.0, note),
        _gap(case, "best-fit decreasing", thumbs, 0.0),
        Row("P12", case, "ours", proven / max(seconds, 1e-9), "× faster than column generation", target=1.0),
    ]


def assignment(quick: bool) -> list[Row]:
    """P12 assignment to warehouses"""
    ours, thumbs, seconds, searched = [], [], 0.0, 0.0
    instances = 5 if quick else 20
    for seed in range(instances):
        orders = sourcing.Orders.draw(200, 5, JUDGE_SEED + seed)
        with Cpu() as clock:
            found = orders.total(sourcing.assign(orders))
        seconds += clock.seconds
        with Cpu() as clock:
            optimum = sourcing.exact(orders)
        searched += clock.seconds
        ours.append((found / optimum - 1) * 100)
        thumbs.append((orders.total(sourcing.nearest(orders)) / optimum - 1) * 100)
    case = f"200 orders, 5 warehouses, {instances} days"
    return [
        _gap(case, "ours", ours, seconds / instances, 1.0),
        _gap(case, "nearest with room", thumbs, 0.0),
        Row("P12", case, "ours", searched / max(seconds, 1e-9), "× faster than HiGHS", target=1.0),
    ]
