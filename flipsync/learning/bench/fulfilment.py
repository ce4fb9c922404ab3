"""`flipsync bench fulfilment`: problem P12, ours beside proven optima and beside the rules of thumb."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from flipsync.learning.fulfilment import cartons, loading, packing, sourcing, tours, warehouse
from flipsync.learning.peers import installed, missing, routing
from flipsync.learning.protocol import JUDGE_SEED, SEEDS, Cpu, Report, Row, bootstrap


def run(quick: bool, say: Callable[[str], None] = lambda part: None) -> Report:
    """Walking, picking, packing, loading and assignment. `quick` takes fewer instances."""
    report = Report("fulfilment", quick, left_out=missing("ortools", "pyvrp"))
    with Cpu() as clock:
        for part in (walking, picking, boxes, load, assignment):
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
    rows = [
        Row("P12", "berlin52", "integer programme", optimum, "length", source="exact", cpu_seconds=proof.seconds),
        _gap("berlin52", "ours", gaps, clock.seconds / len(SEEDS), 1.0),
        _gap("berlin52", "nearest neighbour, 2-opt, or-opt", [(once / optimum - 1) * 100], rule.seconds),
    ]
    given = clock.seconds / len(SEEDS)  # the peers get the processor time that ours took
    if installed("pyvrp"):
        found = [tours.length(routing.pyvrp_tour(d, seed=seed, cpu_seconds=given), d) for seed in SEEDS]
        rows.append(_gap("berlin52", "PyVRP", [(each / optimum - 1) * 100 for each in found], given))
    if installed("ortools"):
        only = tours.length(routing.ortools_tour(d, cpu_seconds=given), d)
        note = "guided local search, which has no seed"
        rows.append(_gap("berlin52", "OR-Tools", [(only / optimum - 1) * 100], given, note=note))
    return rows


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
    ours, thumbs, peer, seconds, proven, worked = [], [], [], 0.0, 0.0, 0.0
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
        plain = packing.best_fit(sizes)
        thumbs.append((len(plain) / least - 1) * 100)
        if installed("ortools") and seed < 5:
            with Cpu() as clock:
                needed = routing.cp_sat_boxes(sizes, plain, work=0.2)
            worked += clock.seconds
            peer.append((needed / least - 1) * 100)
    case = f"as u120, {instances} instances"
    note = "drawn by Falkenauer's definition; OR-Library's own files are not used"
    rows = [
        _gap(case, "ours", ours, seconds / instances, 1.0, note),
        _gap(case, "best-fit decreasing", thumbs, 0.0),
        Row("P12", case, "ours", proven / max(seconds, 1e-9), "× faster than column generation", target=1.0),
    ]
    if peer:
        note = "the first five, begun from best-fit decreasing"
        rows.append(_gap(case, "OR-Tools CP-SAT", peer, worked / len(peer), note=note))
    return rows


def load(quick: bool) -> list[Row]:
    """P12 loading of cartons"""
    rows = []
    problems, seconds = (1, 1.0) if quick else (10, 2.0)
    for name in cartons.KINDS:
        shares, thumbs, bounds, taken = [], [], [], 0.0
        for problem in range(1, problems + 1):
            cargo = cartons.draw(name, problem)
            ours = loading.load(cargo, seed=problem, cpu_seconds=seconds)
            with Cpu() as clock:
                plain = cartons.one_by_one(cargo)
            taken += clock.seconds
            if wrong := cartons.faults(cargo, ours) + cartons.faults(cargo, plain):
                raise AssertionError(f"{name}, problem {problem}: {wrong[0]}")
            shares.append(cargo.filled(ours) * 100)
            thumbs.append(cargo.filled(plain) * 100)
            bounds.append(cargo.bound * 100)
        case, limit = f"{name}, problems 1 to {problems}", float(np.mean(bounds))
        for method, values, spent in (("ours", shares, seconds), ("one by one", thumbs, taken / problems)):
            told = bootstrap(values)
            rows.append(
                Row(
                    *("P12", case, method, told.mean, "% of the container filled"),
                    low=told.low,
                    high=told.high,
                    limit=limit,
                    cpu_seconds=spent,
                    seeds=tuple(np.round(values, 2).tolist()),
                    note=f"every base supported; the whole cargo is {limit:.1f} %",
                )
            )
    return rows


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
