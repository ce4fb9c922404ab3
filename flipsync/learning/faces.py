"""The twelve problems as environments: by name, at the size their tests and learners begin with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from flipsync.learning.forecast.weekly_stock import WeeklyStock
from flipsync.learning.fulfilment import cartons, packing, sourcing, tours, warehouse
from flipsync.learning.inventory import chain, dual_sourcing, lost_sales, reorder_point
from flipsync.learning.pricing import (
    arena,
    arena_rivals,
    buyers_differ,
    duopoly,
    finite_stock,
    shared_stock,
    stock_and_demand,
    unknown_line,
)
from flipsync.learning.simulator import Array, GymFace, Simulator


def _plane(seed: int) -> Array:
    return tours.distances(np.random.default_rng(seed).uniform(0, 1000, (20, 2)))


def _aisles(seed: int) -> Array:
    return warehouse.Block.draw(6, 8, np.random.default_rng(seed)).distances()


SIMULATORS: dict[str, Callable[[], Simulator]] = {
    "P1": lambda: finite_stock.FiniteStock(10),
    "P2": lambda: stock_and_demand.StockAndDemand(stock_and_demand.PAPER, 100),
    "P2b": lambda: shared_stock.SharedStock(100),
    "P3": lambda: unknown_line.UnknownLine(1000),
    "P4": lambda: buyers_differ.BuyersDiffer(1000),
    "P5": lambda: duopoly.Duopoly(duopoly.frozen_rivals(0)["matches"]),
    "P6": lambda: arena.Arena(arena_rivals.rivals()),
    "P7": lambda: lost_sales.LostSalesWorld(lost_sales.LostSales(4, 3)),
    "P8": lambda: reorder_point.ReorderWorld(reorder_point.ReorderPoint(10)),
    "P9": lambda: dual_sourcing.DualSourcingWorld(dual_sourcing.DualSourcing(3, 105.0)),
    "P10": chain.Chain,
    "P11": WeeklyStock,
    "P12 tours": lambda: tours.RoundTrip(20, _plane),
    "P12 picking": lambda: tours.RoundTrip(9, _aisles),
    "P12 packing": packing.Packer,
    "P12 loading": lambda: cartons.Filling(cartons.draw("BR1", 1)),
    "P12 assignment": sourcing.Sourcing,
}


def face(name: str) -> GymFace:
    """A Gymnasium environment of one run. Raises KeyError for a name that `SIMULATORS` does not have."""
    return GymFace(SIMULATORS[name]())
