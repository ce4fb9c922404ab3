"""P12, assignment: which warehouse each order ships from, at least cost, within what each can ship in a day.

A generalised assignment problem: order i takes `work[i]` of the capacity of its warehouse and costs `cost[i, w]`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import LinearConstraint, milp
from scipy.sparse import coo_matrix

from flipsync.learning.simulator import Array, Ints, Simulator


@dataclass(frozen=True)
class Orders:
    """`cost` (orders, warehouses), `work` (orders,), `capacity` (warehouses,)."""

    cost: Array
    work: Array
    capacity: Array

    @staticmethod
    def draw(orders: int, warehouses: int, seed: int, *, slack: float = 1.1) -> Orders:
        """Buyers and warehouses on a square; postage rises with distance and size; capacity is `slack` times work."""
        rng = np.random.default_rng(seed)
        buyers, houses = rng.random((orders, 2)), rng.random((warehouses, 2))
        far = np.sqrt(((buyers[:, None] - houses[None]) ** 2).sum(axis=2))
        work = rng.integers(1, 6, orders).astype(np.float64)
        share = rng.dirichlet(np.full(warehouses, 4.0))
        return Orders(3 + 8 * far * np.sqrt(work)[:, None], work, np.ceil(share * work.sum() * slack) + 5)

    def total(self, chosen: Ints) -> float:
        """Cost; inf when a warehouse is given more than it can ship."""
        load = np.bincount(chosen, self.work, len(self.capacity))
        over = (load > self.capacity + 1e-9).any()
        return float("inf") if over else float(self.cost[np.arange(len(chosen)), chosen].sum())


def exact(orders: Orders) -> float:
    """The optimum by integer programming (HiGHS)."""
    n, m = orders.cost.shape
    at = np.arange(n * m)
    each = coo_matrix((np.ones(n * m), (at // m, at)), (n, n * m)).tocsr()
    load = coo_matrix((np.repeat(orders.work, m), (at % m, at)), (m, n * m)).tocsr()
    rules = [LinearConstraint(each, 1, 1), LinearConstraint(load, 0, orders.capacity)]
    told = milp(orders.cost.ravel(), integrality=np.ones(n * m), bounds=(0, 1), constraints=rules)
    return float(told.fun)


def nearest(orders: Orders) -> Ints:
    """The rule of thumb: orders in turn, each from the cheapest warehouse that has room."""
    left, chosen = orders.capacity.copy(), np.zeros(len(orders.work), dtype=np.int64)
    for i in range(len(chosen)):
        chosen[i] = np.where(left >= orders.work[i], orders.cost[i], np.inf).argmin()
        left[chosen[i]] -= orders.work[i]
    return chosen


def assign(orders: Orders, rounds: int = 400) -> Ints:
    """Ours: prices on capacity (subgradient of the Lagrangian), then whatever is over moved where it costs least, then
    moves and swaps as long as one saves. Raises ValueError when no room is found."""
    price, best, lowest = np.zeros(len(orders.capacity)), None, float("inf")
    step = orders.cost.std() / orders.work.mean()
    for turn in range(rounds):
        chosen = (orders.cost + orders.work[:, None] * price).argmin(axis=1)
        load = np.bincount(chosen, orders.work, len(price))
        if turn % 20 == 19 or turn == rounds - 1:
            fitted = _fit(orders, chosen, price)
            if fitted is not None and (found := orders.total(fitted)) < lowest:
                best, lowest = fitted, found
        price = np.maximum(0.0, price + step / (1 + turn / 10) * (load - orders.capacity) / orders.capacity)
    if best is None:
        raise ValueError("no assignment within capacity was found")
    return _improve(orders, best)


def _fit(orders: Orders, chosen: Ints, price: Array) -> Ints | None:
    chosen, left = chosen.copy(), orders.capacity - np.bincount(chosen, orders.work, len(price))
    while (left < -1e-9).any():
        house = int(left.argmin())
        inside = np.flatnonzero(chosen == house)
        fits = left[None, :] >= orders.work[inside, None]
        extra = np.where(fits, orders.cost[inside] - orders.cost[inside, house][:, None], np.inf)
        extra = extra / orders.work[inside, None]
        if not np.isfinite(extra).any():
            return None
        row, to = divmod(int(extra.argmin()), len(price))
        left[house] += orders.work[inside[row]]
        left[to] -= orders.work[inside[row]]
        chosen[inside[row]] = to
    return chosen


def _improve(orders: Orders, chosen: Ints) -> Ints:
    every = np.arange(len(chosen))
    while True:
        left = orders.capacity - np.bincount(chosen, orders.work, len(orders.capacity))
        now = orders.cost[every, chosen]
        move = np.where(left[None, :] >= orders.work[:, None], orders.cost - now[:, None], np.inf)
        swapped = orders.cost[:, chosen] - now[:, None]  # order i at the place of order j
        swap = swapped + swapped.T
        grows = orders.work[:, None] - orders.work[None, :]  # at j's warehouse
        room = left[chosen]
        swap = np.where((grows <= room[None, :]) & (-grows <= room[:, None]), swap, np.inf)
        if min(move.min(), swap.min()) > -1e-9:
            return chosen
        chosen = chosen.copy()
        if move.min() <= swap.min():
            i, to = divmod(int(move.argmin()), move.shape[1])
            chosen[i] = to
        else:
            i, j = divmod(int(swap.argmin()), len(chosen))
            chosen[i], chosen[j] = chosen[j], chosen[i]


class Sourcing(Simulator):
    """Order by order; each run has a day of its own. Observation: the order's cost from each warehouse, its work, and
    what each can still ship. Action: a warehouse; from one without room, the cheapest that has some. Reward: minus the
    cost: minus `Orders.total` in all. Days as drawn have room for every order to the last."""

    def __init__(self, orders: int = 200, warehouses: int = 5) -> None:
        super().__init__()
        self.horizon, self.warehouses, self.observation_size = orders, warehouses, 2 * warehouses + 1
        self.days: list[Orders] = []

    def action_bounds(self) -> tuple[Array, Array]:
        return np.zeros(1), np.full(1, self.warehouses - 1.0)

    def _begin(self) -> Array:
        self.days = [Orders.draw(self.horizon, self.warehouses, seed) for seed in self._seeds()]
        self.cost = np.stack([day.cost for day in self.days])
        self.work = np.stack([day.work for day in self.days])
        self.left = np.stack([day.capacity for day in self.days])
        return self._see(0)

    def _see(self, order: int) -> Array:
        if order == self.horizon:
            return np.column_stack([np.zeros((self.runs, self.warehouses + 1)), self.left])
        return np.column_stack([self.cost[:, order], self.work[:, order], self.left])

    def _move(self, actions: Array) -> tuple[Array, Array]:
        each, cost, work = np.arange(self.runs), self.cost[:, self.period], self.work[:, self.period]
        house = np.clip(np.rint(actions[:, 0]), 0, self.warehouses - 1).astype(np.int64)
        fits = self.left >= work[:, None]
        house = np.where(fits[each, house], house, np.where(fits, cost, np.inf).argmin(axis=1))
        self.left[each, house] -= work
        return self._see(self.period + 1), -cost[each, house]
