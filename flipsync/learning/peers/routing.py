"""OR-Tools and PyVRP on P12: tours through all points, and boxes by OR-Tools' CP-SAT. Processor time ends a search."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from flipsync.learning.fulfilment.packing import BOX
from flipsync.learning.protocol import Cpu
from flipsync.learning.simulator import Array, Ints


def ortools_tour(d: Array, *, cpu_seconds: float) -> Ints:
    """A tour by OR-Tools' routing: cheapest arc, then guided local search until `cpu_seconds` are spent."""
    routing: Any = importlib.import_module("ortools.constraint_solver.pywrapcp")
    enums: Any = importlib.import_module("ortools.constraint_solver.routing_enums_pb2")
    index = routing.RoutingIndexManager(len(d), 1, 0)
    model = routing.RoutingModel(index)
    whole = d.astype(np.int64).tolist()

    def distance(start: int, end: int) -> int:
        return int(whole[index.IndexToNode(start)][index.IndexToNode(end)])

    model.SetArcCostEvaluatorOfAllVehicles(model.RegisterTransitCallback(distance))
    wanted = routing.DefaultRoutingSearchParameters()
    wanted.first_solution_strategy = enums.FirstSolutionStrategy.PATH_CHEAPEST_ARC
    wanted.local_search_metaheuristic = enums.LocalSearchMetaheuristic.GUIDED_LOCAL_SEARCH
    wanted.time_limit.seconds = 3600  # of the clock on the wall; processor time ends it below
    with Cpu() as clock:
        model.AddSearchMonitor(model.solver().CustomLimit(lambda: clock.so_far() > cpu_seconds))
        found = model.SolveWithParameters(wanted)
    tour, at = [], model.Start(0)
    while not model.IsEnd(at):
        tour.append(index.IndexToNode(at))
        at = found.Value(model.NextVar(at))
    return np.array(tour, dtype=np.int64)


class _Spent:
    """PyVRP's stopping criterion: so much processor time."""

    def __init__(self, clock: Cpu, cpu_seconds: float) -> None:
        self.clock, self.cpu_seconds = clock, cpu_seconds

    def __call__(self, best_cost: float) -> bool:
        return self.clock.so_far() > self.cpu_seconds


def pyvrp_tour(d: Array, *, seed: int, cpu_seconds: float) -> Ints:
    """A tour by PyVRP (Wouda, Lan and Kool, INFORMS Journal on Computing 2024): one vehicle, no limits."""
    pyvrp: Any = importlib.import_module("pyvrp")
    model = pyvrp.Model()
    places = [model.add_location(x=0, y=0) for _ in range(len(d))]
    depot = model.add_depot(places[0])
    model.add_vehicle_type(1, start_depot=depot, end_depot=depot)
    for place in places[1:]:
        model.add_client(place)
    for start, row in zip(places, d.astype(np.int64).tolist(), strict=True):
        for end, far in zip(places, row, strict=True):
            if start is not end:
                model.add_edge(start, end, distance=far)
    with Cpu() as clock:
        told = model.solve(stop=_Spent(clock, cpu_seconds), seed=seed, display=False, collect_stats=False)
    visits = [visit for route in told.best.routes() for visit in route.schedule() if visit.is_client()]
    return np.array([0, *(visit.idx + 1 for visit in visits)], dtype=np.int64)


def cp_sat_boxes(sizes: Ints, started: list[list[int]], *, work: float) -> int:
    """Boxes that OR-Tools' CP-SAT needs, from the packing it is `started` with.

    Goods of one size are counted, not told apart. One worker; `work` is CP-SAT's own deterministic time, of which one
    took about five processor seconds here.
    """
    cp_model: Any = importlib.import_module("ortools.sat.python.cp_model")
    model = cp_model.CpModel()
    kinds, counts = np.unique(sizes, return_counts=True)
    opened = [model.new_bool_var("") for _ in started]
    loads: list[Any] = [0 for _ in started]
    for kind, count in zip(kinds.tolist(), counts.tolist(), strict=True):
        row = [model.new_int_var(0, min(count, BOX // kind), "") for _ in started]
        model.add(sum(row) == count)
        for box, inside in enumerate(started):
            loads[box] += kind * row[box]
            model.add_hint(row[box], inside.count(kind))
    for box, load in enumerate(loads):
        model.add(load <= BOX * opened[box])
        model.add_hint(opened[box], 1)
        if box:
            model.add_implication(opened[box], opened[box - 1])
    model.minimize(sum(opened))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers, solver.parameters.max_deterministic_time = 1, work
    told = solver.solve(model)
    return round(solver.objective_value) if told in (cp_model.OPTIMAL, cp_model.FEASIBLE) else len(started)
