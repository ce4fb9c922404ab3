"""Ours for cartons: blocks of equal cartons into the largest empty spaces, then parts of the load taken out and redone.

Empty room is kept as maximal boxes that overlap one another (Lai and Chan 1997; Parreño et al., INFORMS Journal on
Computing 2008); what lies above a block is only as wide as the block, so every base rests wholly on something. A block
is worth its volume times how much of the space's sides can still be used beside it (Araya, Guerrero and Nuñez 2017).
"""

from __future__ import annotations

from itertools import permutations

import numpy as np

from flipsync.learning.fulfilment.cartons import Cargo
from flipsync.learning.protocol import Cpu
from flipsync.learning.simulator import Array, Ints

_ORDERS = np.array(list(permutations(range(3))))


class Loader:
    """Loads one cargo. `load` repeats randomised constructions; the same seed and rounds give the same load."""

    def __init__(self, cargo: Cargo, seed: int) -> None:
        self.cargo, self.rng = cargo, np.random.default_rng(seed)
        self.kinds, self.ways = cargo.standing()
        self.volume = self.ways.prod(axis=1)
        self.usable = self._usable()
        self.least = self.ways.min(axis=0)

    def _usable(self) -> Array:
        """For each gap 0, 1, … up to the container's length: the longest row of cartons, any sides, that fits it."""
        most, reach = max(self.cargo.container), 1
        sides = sorted({int(side) for side in self.ways.ravel()})
        for _ in range(most // sides[0] + 1):
            grown = reach
            for side in sides:
                grown |= reach << side
            reach = grown & ((1 << (most + 1)) - 1)
        can = np.array([bool(reach >> gap & 1) for gap in range(most + 1)])
        return np.maximum.accumulate(np.where(can, np.arange(most + 1), 0)).astype(np.float64)

    def load(self, *, rounds: int = 10_000, cpu_seconds: float = 1e9) -> Ints:
        """The best load found, rows (kind, x, y, z, length, width, height); stops at the bound, or when told to."""
        with Cpu() as clock:
            best = self._build([], 0.0, 3.0)
            filled = self._filled(best)
            for turn in range(rounds):
                if filled >= self.cargo.bound - 1e-12 or clock.so_far() > cpu_seconds:
                    break
                kept = 0 if turn < 4 else int(self.rng.integers(0, max(1, len(best) * 3 // 4)))
                noise = (0.05, 0.1, 0.2, 0.4)[int(self.rng.integers(4))]
                tried = self._build(best[:kept], noise, float(self.rng.uniform(0.5, 6.0)))
                if (reached := self._filled(tried)) >= filled:
                    best, filled = tried, reached
        return self._cartons(best)

    def _filled(self, blocks: list[tuple[int, Ints, Ints]]) -> float:
        return sum(int(self.volume[way]) * int(many.prod()) for way, _, many in blocks) / self.cargo.room

    def _cartons(self, blocks: list[tuple[int, Ints, Ints]]) -> Ints:
        rows = []
        for way, at, many in blocks:
            size = self.ways[way]
            for step in np.ndindex(*many.tolist()):
                rows.append(np.concatenate([[self.kinds[way]], at + size * step, size]))
        return np.array(rows, dtype=np.int64).reshape(-1, 7)

    def _build(self, kept: list[tuple[int, Ints, Ints]], noise: float, care: float) -> list[tuple[int, Ints, Ints]]:
        """Blocks (way, corner, how many along each side): `kept` first, then the best block of the next space in turn.

        Worth is volume^1 · usable^`care`, times e^(noise · normal).
        """
        left = self.cargo.counts.copy()
        spaces = np.array([[0, 0, 0, *self.cargo.container]], dtype=np.int64)  # low and high corners
        blocks: list[tuple[int, Ints, Ints]] = []
        for block in kept:
            spaces = self._cut(spaces, block)
            left[self.kinds[block[0]]] -= block[2].prod()
            blocks.append(block)
        while len(spaces):
            spaces = spaces[((spaces[:, 3:] - spaces[:, :3]) >= self._smallest(left)).all(axis=1)]
            if not len(spaces):
                break
            at = self._next(spaces)
            chosen = self._choose(spaces[at], left, noise, care)
            if chosen is None:
                spaces = np.delete(spaces, at, axis=0)
                continue
            left[self.kinds[chosen[0]]] -= chosen[2].prod()
            blocks.append(chosen)
            spaces = self._cut(spaces, chosen)
        return blocks

    def _smallest(self, left: Ints) -> Ints:
        still = left[self.kinds] > 0
        return np.asarray(self.ways[still].min(axis=0) if still.any() else np.full(3, 10**6))

    def _next(self, spaces: Ints) -> int:
        """The space nearest to a lower corner of the container at its back, the nearest side first."""
        far = np.array(self.cargo.container)
        near = np.minimum(spaces[:, 1], far[1] - spaces[:, 4])
        order = np.lexsort((-(spaces[:, 3:] - spaces[:, :3]).prod(axis=1), near, spaces[:, 2], spaces[:, 0]))
        return int(order[0])

    def _choose(self, space: Ints, left: Ints, noise: float, care: float) -> tuple[int, Ints, Ints] | None:
        room = space[3:] - space[:3]
        fit = room // self.ways  # (ways, 3)
        can = np.flatnonzero((fit > 0).all(axis=1) & (left[self.kinds] > 0))
        if not len(can):
            return None
        most = np.repeat(left[self.kinds[can]][:, None], len(_ORDERS), axis=1)
        many = np.empty((len(can), len(_ORDERS), 3), dtype=np.int64)
        each, order = np.arange(len(can))[:, None], np.arange(len(_ORDERS))[None]
        for turn in range(3):  # as many as fit along one side, then rows of them, then layers
            side = _ORDERS[:, turn][None]
            count = np.minimum(fit[can][each, side], most)
            many[each, order, side] = count
            most = most // count
        size = many * self.ways[can][:, None, :]
        used = ((size + self.usable[room - size]) / room).prod(axis=2)
        worth = np.log(size.prod(axis=2)) + care * np.log(used)
        if noise:
            worth = worth + noise * self.rng.standard_normal(worth.shape)
        way, how = divmod(int(worth.argmax()), len(_ORDERS))
        taken = many[way, how]
        corner = space[:3].copy()
        if space[1] > self.cargo.container[1] - space[4]:  # nearer to the right wall: against it
            corner[1] = space[4] - taken[1] * self.ways[can[way], 1]
        return int(can[way]), corner, taken

    def _cut(self, spaces: Ints, block: tuple[int, Ints, Ints]) -> Ints:
        """Maximal spaces once the block stands: what is beside it keeps its floor, what is above it stands on it."""
        low = block[1]
        high = low + block[2] * self.ways[block[0]]
        hit = ((spaces[:, :3] < high) & (spaces[:, 3:] > low)).all(axis=1)
        if not hit.any():
            return spaces
        parts = [spaces[~hit]]
        struck = spaces[hit]
        for axis in (0, 1):
            before, after = struck.copy(), struck.copy()
            before[:, 3 + axis] = np.minimum(before[:, 3 + axis], low[axis])
            after[:, axis] = np.maximum(after[:, axis], high[axis])
            parts += [before, after]
        above = struck.copy()
        above[:, :2] = np.maximum(above[:, :2], low[:2])
        above[:, 3:5] = np.minimum(above[:, 3:5], high[:2])
        above[:, 2] = high[2]
        found = np.concatenate([*parts, above])
        found = np.unique(found[((found[:, 3:] - found[:, :3]) >= self.least).all(axis=1)], axis=0)
        within = (
            (found[:, None, :3] >= found[None, :, :3]).all(axis=2)
            & (found[:, None, 3:] <= found[None, :, 3:]).all(axis=2)
        ) & ~np.eye(len(found), dtype=bool)
        return np.asarray(found[~within.any(axis=1)])


def load(cargo: Cargo, *, seed: int, rounds: int = 10_000, cpu_seconds: float = 1e9) -> Ints:
    """A load of `cargo`, rows (kind, x, y, z, length, width, height), every base wholly supported; none when no
    carton fits the container."""
    if not len(cargo.standing()[0]):
        return np.zeros((0, 7), dtype=np.int64)
    return Loader(cargo, seed).load(rounds=rounds, cpu_seconds=cpu_seconds)
