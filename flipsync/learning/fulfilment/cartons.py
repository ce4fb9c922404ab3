"""P12, loading: cartons into one container so that as much of it as possible is filled (Bischoff and Ratcliff 1995).

The instances are those of "Issues in the development of approaches to container loading" (Omega 23, 377-390), classes
BR1 to BR7, OR-Library's thpack1 to thpack7: made here by the paper's own procedure, not read from files. A container of
587 × 233 × 220 cm, 3 to 20 kinds of cartons, some of which may not stand on every side.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from flipsync.learning.simulator import Array, Ints, Simulator

CONTAINER = (587, 233, 220)
#: kinds of cartons in each class
KINDS = {"BR1": 3, "BR2": 5, "BR3": 8, "BR4": 10, "BR5": 12, "BR6": 15, "BR7": 20}
_LEAST, _MOST = (30, 25, 20), (120, 100, 80)


@dataclass(frozen=True)
class Cargo:
    """`sizes` (kinds, 3) in cm; `upright` (kinds, 3): may that size stand vertically; `counts` (kinds,)."""

    sizes: Ints
    upright: np.ndarray
    counts: Ints
    container: tuple[int, int, int] = CONTAINER

    @property
    def room(self) -> int:
        return int(np.prod(self.container))

    @property
    def bound(self) -> float:
        """Share of the container that no loading exceeds: all of the cargo, or all of the room."""
        return min(1.0, float(self.sizes.prod(axis=1) @ self.counts) / self.room)

    def filled(self, placed: Ints) -> float:
        """Share of the container taken by `placed`, rows (kind, x, y, z, length, width, height)."""
        return float(placed[:, 4:].prod(axis=1).sum()) / self.room if len(placed) else 0.0

    def standing(self) -> tuple[Ints, Ints]:
        """All ways a carton may stand that fit the container: kind (ways,), and length, width, height (ways, 3)."""
        found = {
            (kind, *(int(self.sizes[kind, side]) for side in order))
            for kind in range(len(self.sizes))
            for order in permutations(range(3))
            if self.upright[kind, order[2]]
        }
        ways = np.array(sorted(found), dtype=np.int64).reshape(-1, 4)
        ways = ways[(ways[:, 1:] <= np.array(self.container)).all(axis=1)]
        return ways[:, 0], ways[:, 1:]


def _minimal_standard(seed: int) -> Iterator[float]:
    """Park and Miller's generator (1988): s ← 16807·s mod (2³¹ − 1), as shares of its modulus."""
    modulus = 2**31 - 1
    while True:
        seed = 16807 * seed % modulus
        yield seed / modulus


def draw(name: str, problem: int) -> Cargo:
    """Problem 1, 2, … of class `name`: the paper's seed 2502505 + 100·(problem − 1), its first ten numbers left out.

    Sizes are uniform whole numbers (30–120, 25–100, 20–80); a size may be vertical when it is less than twice the
    carton's least. One carton of each kind, then kinds at random until the next one would exceed the container's
    volume. Raises KeyError for an unknown class.
    """
    kinds, random = KINDS[name], _minimal_standard(2502505 + 100 * (problem - 1))
    for _ in range(10):
        next(random)
    sizes = np.array(
        [
            [low + int(next(random) * (high - low + 1)) for low, high in zip(_LEAST, _MOST, strict=True)]
            for _ in range(kinds)
        ],
        dtype=np.int64,
    )
    volume, counts = sizes.prod(axis=1), np.ones(kinds, dtype=np.int64)
    left = int(np.prod(CONTAINER)) - int(volume.sum())
    while (taken := int(volume[kind := int(next(random) * kinds)])) <= left:
        counts[kind] += 1
        left -= taken
    return Cargo(sizes, sizes < 2 * sizes.min(axis=1, keepdims=True), counts)


def faults(cargo: Cargo, placed: Ints) -> list[str]:
    """What is wrong with a loading: too many of a kind, a side that may not be up, outside, overlapping, or a base not
    wholly on the floor or on cartons. Knows nothing of how it was made; none is a valid loading."""
    found = []
    taken = np.bincount(placed[:, 0], minlength=len(cargo.counts))
    found += [f"kind {kind}: {taken[kind]} of {cargo.counts[kind]}" for kind in np.flatnonzero(taken > cargo.counts)]
    low, size = placed[:, 1:4], placed[:, 4:7]
    high = low + size
    for row, (kind, *_) in enumerate(placed):
        sides = [order for order in permutations(range(3)) if (cargo.sizes[kind, list(order)] == size[row]).all()]
        if not any(cargo.upright[kind, order[2]] for order in sides):
            found.append(f"carton {row} of kind {kind} stands as {size[row].tolist()}, which it may not")
    outside = (low < 0).any(axis=1) | (high > np.array(cargo.container)).any(axis=1)
    found += [f"carton {row} sticks out" for row in np.flatnonzero(outside)]
    common = np.minimum(high[:, None], high[None]) - np.maximum(low[:, None], low[None])  # (n, n, 3)
    clash = (common > 0).all(axis=2) & ~np.eye(len(placed), dtype=bool)
    found += [f"cartons {first} and {second} overlap" for first, second in np.argwhere(np.triu(clash))]
    under = (high[None, :, 2] == low[:, None, 2]) & (common[:, :, :2] > 0).all(axis=2)
    carried = (common[:, :, 0] * common[:, :, 1] * under).sum(axis=1)
    loose = (low[:, 2] > 0) & (carried < size[:, 0] * size[:, 1])
    return found + [f"carton {row} is not wholly supported" for row in np.flatnonzero(loose)]


def one_by_one(cargo: Cargo) -> Ints:
    """The rule of thumb: the largest cartons first, each at the corner nearest the back, then lowest, then leftmost,
    where it fits and is supported, in the way of standing whose base is largest."""
    kinds, ways = cargo.standing()
    placed = np.zeros((0, 7), dtype=np.int64)
    corners = [(0, 0, 0)]
    volume = cargo.sizes.prod(axis=1)
    for kind in np.argsort(-volume, kind="stable"):
        mine = ways[kinds == kind]
        mine = mine[np.argsort(-mine[:, 0] * mine[:, 1], kind="stable")]
        for _ in range(int(cargo.counts[kind])):
            row = _first_fit(cargo, placed, sorted(corners, key=lambda at: (at[0], at[2], at[1])), mine)
            if row is None:
                break
            x, y, z, length, width, height = row
            placed = np.vstack([placed, [[kind, *row]]])
            corners = [at for at in corners if at != (x, y, z)]
            corners += [(x + length, y, z), (x, y + width, z), (x, y, z + height)]
    return placed


def _first_fit(cargo: Cargo, placed: Ints, corners: list[tuple[int, int, int]], ways: Ints) -> Ints | None:
    low, high = placed[:, 1:4], placed[:, 1:4] + placed[:, 4:7]
    for at in corners:
        for size in ways:
            if _may_stand(cargo, low, high, np.array(at), size):
                return np.concatenate([at, size])
    return None


def _may_stand(cargo: Cargo, low: Ints, high: Ints, at: Ints, size: Ints) -> np.ndarray:
    """Whether a carton of `size` at `at`, (…, 3), is inside, overlaps none of those from `low` to `high`, (…, n, 3),
    and stands wholly on them or on the floor; (…,)."""
    end = at + size
    inside = (at >= 0).all(axis=-1) & (end <= np.array(cargo.container)).all(axis=-1)
    common = np.minimum(high, end[..., None, :]) - np.maximum(low, at[..., None, :])
    clash = (common > 0).all(axis=-1).any(axis=-1)
    under = (high[..., 2] == at[..., None, 2]) & (common[..., :2] > 0).all(axis=-1)
    carried = (common[..., 0] * common[..., 1] * under).sum(axis=-1)
    return np.asarray(inside & ~clash & ((at[..., 2] == 0) | (carried == size[..., 0] * size[..., 1])))


class Filling(Simulator):
    """Carton by carton into the container; all runs have the same cargo. Observation: how many of each kind are left,
    then lower and upper corner of every carton placed, zeros for those to come. Action: a way of standing (a row of
    `Cargo.standing`) and x, y, z in cm. What may not stand there, or is used up, stays outside. Reward: the share of
    the container it fills: `Cargo.filled` in all. Raises ValueError where no carton fits the container."""

    action_size = 4

    def __init__(self, cargo: Cargo) -> None:
        super().__init__()
        self.cargo = cargo
        self.kinds, self.ways = cargo.standing()
        if not len(self.kinds):
            raise ValueError("no carton of this cargo fits the container")
        self.horizon = int(cargo.counts.sum())
        self.observation_size = len(cargo.counts) + 6 * self.horizon

    def action_bounds(self) -> tuple[Array, Array]:
        return np.zeros(4), np.array([len(self.kinds) - 1.0, *self.cargo.container])

    def placed(self, run: int) -> Ints:
        """Rows (kind, x, y, z, length, width, height) of what stands in a run."""
        kind, low, high = self.kind[run], self.low[run], self.high[run]
        rows: Ints = np.column_stack([kind, low, high - low])[kind >= 0]
        return rows

    def _begin(self) -> Array:
        self.left = np.tile(self.cargo.counts, (self.runs, 1))
        self.kind = np.full((self.runs, self.horizon), -1)
        self.low, self.high = np.zeros((2, self.runs, self.horizon, 3), dtype=np.int64)
        return self._see()

    def _see(self) -> Array:
        corners = np.concatenate([self.low, self.high], axis=2).reshape(self.runs, -1)
        return np.concatenate([self.left, corners], axis=1).astype(np.float64)

    def _move(self, actions: Array) -> tuple[Array, Array]:
        chosen = np.rint(np.clip(actions, *self.action_bounds())).astype(np.int64)
        each, way, at = np.arange(self.runs), chosen[:, 0], chosen[:, 1:]
        kind, size = self.kinds[way], self.ways[way]
        stands = _may_stand(self.cargo, self.low, self.high, at, size) & (self.left[each, kind] > 0)
        self.left[each, kind] -= stands
        self.kind[stands, self.period] = kind[stands]
        self.low[stands, self.period], self.high[stands, self.period] = at[stands], (at + size)[stands]
        return self._see(), stands * size.prod(axis=1) / self.cargo.room
