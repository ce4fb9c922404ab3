"""P12, packing: as few boxes as possible. Instances as Falkenauer's u120 (1996): 120 whole sizes from 20 to 100, boxes
of 150; drawn here by seed. The optimum is proven when the linear bound of all box patterns is met."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linprog

from flipsync.learning.simulator import Array, Ints, Simulator

BOX = 150


def draw(seed: int, count: int = 120) -> Ints:
    return np.random.default_rng(seed).integers(20, 101, count)


def best_fit(sizes: Ints) -> list[list[int]]:
    """Best-fit decreasing: the largest first, each into the fullest box it fits."""
    boxes: list[list[int]] = []
    for size in sorted(map(int, sizes), reverse=True):
        fits = [box for box in boxes if sum(box) + size <= BOX]
        if fits:
            max(fits, key=sum).append(size)
        else:
            boxes.append([size])
    return boxes


def fill(sizes: Ints, *, seed: int, rounds: int = 300) -> list[list[int]]:
    """Ours: box by box the fullest that contains the largest left (Gupta and Ho's minimum bin slack 1999, by subset
    sums), then emptied and refilled in part as long as boxes can be saved or a bound says none can."""
    rng = np.random.default_rng(seed)
    least = int(np.ceil(sizes.sum() / BOX))
    best = min(best_fit(sizes), _slackless(sorted(map(int, sizes), reverse=True)), key=len)
    current = best
    for _ in range(rounds):
        if len(best) <= least:
            break
        room = np.array([BOX - sum(box) for box in current]) + rng.random(len(current)) * 8
        opened = set(np.argsort(-room)[: max(4, len(current) // 3)].tolist())
        opened |= set(rng.choice(len(current), max(2, len(current) // 6), replace=False).tolist())
        loose = [size for at in opened for size in current[at]]
        kept = [box for at, box in enumerate(current) if at not in opened]
        tried = kept + _slackless(sorted(loose, key=lambda size: -size - rng.random() * 12))
        if len(tried) < len(current) or (len(tried) == len(current) and rng.random() < 0.9):
            current = tried
        best = min(best, current, key=len)
    return best


def _slackless(sizes: list[int]) -> list[list[int]]:
    """Fill boxes in turn: the first item left, and of the others the subset that leaves least room (bit-set sums)."""
    left, boxes = list(sizes), []
    while left:
        first, others = left[0], left[1:]
        reach = [1]
        most = (1 << (BOX - first + 1)) - 1
        for size in others:
            reach.append((reach[-1] | reach[-1] << size) & most)
        total, box = reach[-1].bit_length() - 1, [first]
        for at in range(len(others) - 1, -1, -1):
            if not reach[at] >> total & 1:
                box.append(others[at])
                total -= others[at]
        boxes.append(box)
        for size in box:
            left.remove(size)
    return boxes


def bound(sizes: Ints) -> float:
    """Gilmore and Gomory's linear bound (1961) by column generation; no packing has fewer boxes than it, rounded up."""
    kinds, demand = np.unique(sizes, return_counts=True)
    patterns: list[Array] = [np.eye(len(kinds))[kind] * (BOX // kinds[kind]) for kind in range(len(kinds))]
    while True:
        table = np.array(patterns).T
        told = linprog(np.ones(len(patterns)), A_ub=-table, b_ub=-demand, method="highs")
        prices = -told.ineqlin.marginals
        worth, pattern = _knapsack(kinds, prices)
        if worth <= 1 + 1e-9:
            return float(told.fun)
        patterns.append(pattern)


def _knapsack(kinds: Ints, prices: Array) -> tuple[float, Array]:
    """The pattern of most worth that fits a box."""
    worth, choice = np.zeros(BOX + 1), np.full(BOX + 1, -1)
    for room in range(1, BOX + 1):
        fits = kinds[: np.searchsorted(kinds, room, side="right")]  # kinds are sorted
        taken = worth[room - fits] + prices[: len(fits)]
        worth[room] = worth[room - 1]
        if len(fits) and taken.max() > worth[room] + 1e-12:
            worth[room], choice[room] = taken.max(), int(taken.argmax())
    pattern, room = np.zeros(len(kinds)), BOX
    while room > 0:
        if choice[room] < 0:
            room -= 1
        else:
            pattern[choice[room]] += 1
            room -= int(kinds[choice[room]])
    return float(worth[BOX]), pattern


class Packer(Simulator):
    """Item by item, the largest first; each run has `count` items of its own. Observation: the next item's size, then
    the room of every box, opened or not. Action: the number of a box; one that is not open or has no room means a new
    one. Reward: −1 for a new box: minus the number of boxes in all."""

    def __init__(self, count: int = 120) -> None:
        super().__init__()
        self.horizon, self.observation_size = count, count + 1
        self.sizes = np.zeros((0, count), dtype=np.int64)

    def action_bounds(self) -> tuple[Array, Array]:
        return np.zeros(1), np.full(1, self.horizon - 1.0)

    def _begin(self) -> Array:
        self.sizes = -np.sort(-np.stack([draw(seed, self.horizon) for seed in self._seeds()]), axis=1)
        self.room = np.full((self.runs, self.horizon), BOX)
        self.opened = np.zeros(self.runs, dtype=np.int64)
        return self._see(0)

    def _see(self, item: int) -> Array:
        coming = self.sizes[:, item] if item < self.horizon else np.zeros(self.runs)
        return np.column_stack([coming, self.room]).astype(np.float64)

    def _move(self, actions: Array) -> tuple[Array, Array]:
        each, size = np.arange(self.runs), self.sizes[:, self.period]
        box = np.clip(np.rint(actions[:, 0]), 0, self.horizon - 1).astype(np.int64)
        new = (box >= self.opened) | (self.room[each, box] < size)
        self.room[each, np.where(new, self.opened, box)] -= size
        self.opened += new
        return self._see(self.period + 1), -new.astype(np.float64)
