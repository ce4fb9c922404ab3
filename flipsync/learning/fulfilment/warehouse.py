"""P12, picking: the shortest walk through one block of parallel aisles, exactly (Ratliff and Rosenthal, OR 1983).

Aisles of equal length between a front and a back cross-aisle; the picker starts and ends at the front of the first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from flipsync.learning.simulator import Array


@dataclass(frozen=True)
class Block:
    """`picks[a]`: distances from the front, of each pick in aisle a; `depth` of an aisle, `pitch` between two."""

    picks: tuple[tuple[float, ...], ...]
    depth: float
    pitch: float

    @staticmethod
    def draw(aisles: int, count: int, rng: np.random.Generator, *, depth: float = 20.0, pitch: float = 3.0) -> Block:
        rows: list[list[float]] = [[] for _ in range(aisles)]
        for aisle, at in zip(rng.integers(aisles, size=count), rng.integers(1, int(depth), size=count), strict=True):
            rows[aisle].append(float(at))
        return Block(tuple(tuple(sorted(row)) for row in rows), depth, pitch)

    def points(self) -> Array:
        """(aisle, distance from the front) of the start and of every pick."""
        return np.array([(0.0, 0.0), *((float(a), at) for a, row in enumerate(self.picks) for at in row)])

    def distances(self) -> Array:
        """Walking distance between all points: along the aisle, or over the nearer cross-aisle."""
        p = self.points()
        aisle, at = p[:, 0], p[:, 1]
        across = np.abs(aisle[:, None] - aisle[None]) * self.pitch
        front = at[:, None] + at[None]
        around = np.minimum(front, 2 * self.depth - front)
        return np.where(aisle[:, None] == aisle[None], np.abs(at[:, None] - at[None]), across + around)


#: states of a partial tour at the right end: degree parity of front and back node, and in how many pieces
_UU1, _0E1, _E01, _EE1, _EE2 = "UU1", "0E1", "E01", "EE1", "EE2"


def shortest(block: Block) -> float:
    """Length of the shortest tour: Ratliff and Rosenthal's dynamic programme over aisles."""
    last = max((aisle for aisle, row in enumerate(block.picks) if row), default=-1)
    if last < 0:
        return 0.0
    cost: dict[str, float] = {_E01: 0.0}  # the start is a node of the front: it must be joined
    for aisle in range(last + 1):
        cost = _down(cost, block.picks[aisle], block.depth)
        if aisle < last:
            cost = _across(cost, block.pitch)
    return min(cost.get(state, np.inf) for state in (_E01, _0E1, _EE1))  # all that was walked hangs together


def _down(cost: dict[str, float], row: tuple[float, ...], depth: float) -> dict[str, float]:
    """Walk one aisle: through, twice, from the front, from the back, from both but the widest gap, or not."""
    through = {_UU1: _EE1, _E01: _UU1, _0E1: _UU1, _EE1: _UU1, _EE2: _UU1}
    twice = {_UU1: _UU1, _E01: _EE1, _0E1: _EE1, _EE1: _EE1, _EE2: _EE1}
    front = {_UU1: _UU1, _E01: _E01, _0E1: _EE2, _EE1: _EE1, _EE2: _EE2}
    back = {_UU1: _UU1, _E01: _EE2, _0E1: _0E1, _EE1: _EE1, _EE2: _EE2}
    both = {_UU1: _UU1, _E01: _EE2, _0E1: _EE2, _EE1: _EE1, _EE2: _EE2}
    moves: list[tuple[dict[str, str], float]] = [(through, depth), (twice, 2 * depth)]
    if row:
        stops = [0.0, *row, depth]
        widest = max(after - before for before, after in pairwise(stops))
        moves += [(front, 2 * row[-1]), (back, 2 * (depth - row[0])), (both, 2 * (depth - widest))]
    else:
        moves.append(({state: state for state in cost}, 0.0))
    return _best((to[state], paid + walked) for state, paid in cost.items() for to, walked in moves if state in to)


def _across(cost: dict[str, float], pitch: float) -> dict[str, float]:
    """Go on to the next aisle: by front and back once each, by one of them twice, or by both twice."""
    allowed = {
        _UU1: ((_UU1, 2),),
        _E01: ((_E01, 2), (_EE2, 4)),
        _0E1: ((_0E1, 2), (_EE2, 4)),
        _EE1: ((_E01, 2), (_0E1, 2), (_EE1, 4)),
        _EE2: ((_EE2, 4),),
    }
    return _best((to, paid + times * pitch) for state, paid in cost.items() for to, times in allowed.get(state, ()))


def _best(options: Iterable[tuple[str, float]]) -> dict[str, float]:
    best: dict[str, float] = {}
    for state, paid in options:
        best[state] = min(paid, best.get(state, np.inf))
    return best


def s_shape(block: Block) -> float:
    """The rule of thumb: every aisle with a pick is walked through; from an odd last one the picker returns."""
    used = [aisle for aisle, row in enumerate(block.picks) if row]
    if not used:
        return 0.0
    walked = 2 * used[-1] * block.pitch + (len(used) - len(used) % 2) * block.depth
    return walked + (2 * block.picks[used[-1]][-1] if len(used) % 2 else 0.0)
