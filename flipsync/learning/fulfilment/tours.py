"""P12, walking: the shortest round tour through all points (TSPLIB's berlin52, optimum 7,542)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import LinearConstraint, milp
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components

from flipsync.learning.simulator import Array, Ints, Simulator

#: 52 places in Berlin (Groetschel; TSPLIB, Reinelt 1991)
BERLIN52 = np.array(
    [
        *((565, 575), (25, 185), (345, 750), (945, 685), (845, 655), (880, 660), (25, 230), (525, 1000), (580, 1175)),
        *((650, 1130), (1605, 620), (1220, 580), (1465, 200), (1530, 5), (845, 680), (725, 370), (145, 665)),
        *((415, 635), (510, 875), (560, 365), (300, 465), (520, 585), (480, 415), (835, 625), (975, 580)),
        *((1215, 245), (1320, 315), (1250, 400), (660, 180), (410, 250), (420, 555), (575, 665), (1150, 1160)),
        *((700, 580), (685, 595), (685, 610), (770, 610), (795, 645), (720, 635), (760, 650), (475, 960), (95, 260)),
        *((875, 920), (700, 500), (555, 815), (830, 485), (1170, 65), (830, 610), (605, 625), (595, 360)),
        *((1340, 725), (1740, 245)),
    ],
    dtype=np.float64,
)


def distances(points: Array) -> Array:
    """Euclidean, rounded to whole units as TSPLIB does."""
    return np.asarray(np.rint(np.sqrt(((points[:, None] - points[None]) ** 2).sum(axis=2))), dtype=np.float64)


def length(tour: Ints, d: Array) -> float:
    return float(d[tour, np.roll(tour, -1)].sum())


def walk(d: Array, *, seed: int, kicks: int = 1500) -> Ints:
    """A short tour: 2-opt and or-opt from the nearest neighbour, then random double bridges kept when they pay."""
    rng = np.random.default_rng(seed)
    n = len(d)
    tour, left = [0], set(range(1, n))
    while left:
        tour.append(min(left, key=lambda city: d[tour[-1], city]))
        left.remove(tour[-1])
    best = _improve(np.array(tour), d)
    shortest = length(best, d)
    for _ in range(kicks if n >= 8 else 0):
        start = int(rng.integers(n))
        turned = np.roll(best, -start)
        a, b, c = np.sort(rng.choice(np.arange(1, min(n, 30)), 3, replace=False))
        kicked = np.concatenate([turned[:a], turned[b:c], turned[a:b], turned[c:]])
        tried = _improve(kicked, d)
        if (found := length(tried, d)) <= shortest:
            best, shortest = tried, found
    return best


def _improve(tour: Ints, d: Array) -> Ints:
    """2-opt by whole matrices, best exchange first; or-opt of up to three when no exchange pays."""
    n = len(tour)
    while n > 3:
        after = np.roll(tour, -1)
        edge = d[tour, after]
        gain = edge[:, None] + edge[None, :] - d[np.ix_(tour, tour)] - d[np.ix_(after, after)]
        gain[np.tril_indices(n, 1)] = -1.0
        gain[0, n - 1] = -1.0
        best = int(gain.argmax())
        if gain.flat[best] > 1e-9:
            i, j = divmod(best, n)
            tour = np.concatenate([tour[: i + 1], tour[i + 1 : j + 1][::-1], tour[j + 1 :]])
            continue
        moved = _or_opt(tour, d)
        if moved is None:
            return tour
        tour = moved
    return tour


def _or_opt(tour: Ints, d: Array) -> Ints | None:
    """Move one to three neighbours elsewhere, either way round, where that shortens the tour; None if nothing does."""
    n = len(tour)
    for size in (1, 2, 3):
        for at in range(n):
            turned = np.roll(tour, -at)
            piece, rest = turned[:size], turned[size:]
            if len(rest) < 2:
                return None
            after = np.roll(rest, -1)
            freed = d[rest[-1], piece[0]] + d[piece[-1], rest[0]] - d[rest[-1], rest[0]]
            for way in (piece, piece[::-1]):
                cost = d[rest, way[0]] + d[way[-1], after] - d[rest, after]
                to = int(cost.argmin())
                if cost[to] < freed - 1e-9:
                    return np.concatenate([rest[: to + 1], way, rest[to + 1 :]])
    return None


def held_karp(d: Array) -> float:
    """Exact, for up to 15 points: dynamic programming over subsets (Held and Karp 1962)."""
    n = len(d)
    if n > 15:
        raise ValueError(f"{n} points are too many for 2^n subsets: at most 15")
    best = np.full((1 << (n - 1), n - 1), np.inf)
    for last in range(n - 1):
        best[1 << last, last] = d[0, last + 1]
    for subset in range(1, 1 << (n - 1)):
        for last in range(n - 1):
            if subset >> last & 1 and subset != 1 << last:
                best[subset, last] = (best[subset ^ (1 << last)] + d[1:, last + 1]).min()
    return float((best[-1] + d[1:, 0]).min())


def prove(d: Array) -> float:
    """The optimal length by integer programming: degree constraints, and subtours cut off as they turn up."""
    n = len(d)
    first, second = np.triu_indices(n, 1)
    edges = np.arange(len(first))
    ones = np.ones(2 * len(first))
    degree = coo_matrix((ones, (np.concatenate([first, second]), np.concatenate([edges, edges]))), (n, len(first)))
    constraints = [LinearConstraint(degree.tocsr(), 2, 2)]
    while True:
        told = milp(d[first, second], integrality=np.ones(len(first)), bounds=(0, 1), constraints=constraints)
        used = told.x > 0.5
        count, part = connected_components(
            csr_matrix((np.ones(used.sum()), (first[used], second[used])), (n, n)), False
        )
        if count == 1:
            return float(told.fun)
        for each in range(count):
            inside = (part[first] == each) & (part[second] == each)
            constraints.append(LinearConstraint(inside[None].astype(float), -np.inf, (part == each).sum() - 1))


class RoundTrip(Simulator):
    """Stop by stop from place 0 and back; `draw(seed)` gives a run's distances (places, places), of a plane or a
    warehouse. Observation: distances from here, and where one has been (1). Action: the next place; from one already
    seen on, the next that is not. Reward: minus the way walked, the last with the way back: minus `length` in all.
    Raises ValueError at `reset` for distances of another shape."""

    def __init__(self, places: int, draw: Callable[[int], Array]) -> None:
        super().__init__()
        self.places, self.draw = places, draw
        self.horizon, self.observation_size = places - 1, 2 * places
        self.d = np.zeros((0, places, places))

    def action_bounds(self) -> tuple[Array, Array]:
        return np.zeros(1), np.full(1, self.places - 1.0)

    def _begin(self) -> Array:
        self.d = np.stack([self.draw(seed) for seed in self._seeds()])
        if self.d.shape[1:] != (self.places, self.places):
            raise ValueError(f"distances have shape {self.d.shape[1:]}, expected {(self.places, self.places)}")
        self.seen = np.arange(self.places) == np.zeros((self.runs, 1))
        self.here = np.zeros(self.runs, dtype=np.int64)
        return self._see()

    def _see(self) -> Array:
        return np.concatenate([self.d[np.arange(self.runs), self.here], self.seen], axis=1)

    def _move(self, actions: Array) -> tuple[Array, Array]:
        each = np.arange(self.runs)
        wanted = np.clip(np.rint(actions[:, 0]), 0, self.places - 1).astype(np.int64)
        onward = (wanted[:, None] + np.arange(self.places)) % self.places
        there = onward[each, (~self.seen[each[:, None], onward]).argmax(axis=1)]
        walked = self.d[each, self.here, there]
        if self.period == self.horizon - 1:
            walked = walked + self.d[each, there, 0]
        self.seen[each, there] = True
        self.here = there
        return self._see(), -walked
