"""ADWIN: a window of the past that drops its old end when the two ends differ (Bifet and Gavaldà, SDM 2007)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass
class _Bucket:
    count: int
    total: float
    squares: float  # sum of squared distances from the bucket's mean


@dataclass
class Adwin:
    """Feed it numbers; `update` says whether their mean has moved. `delta` bounds the chance of a false alarm a cut.

    Buckets of 1, 2, 4, … observations, `rows` of each size: memory grows with the logarithm of the window.
    """

    delta: float = 0.002
    rows: int = 5
    every: int = 16
    least: int = 10
    levels: list[list[_Bucket]] = field(default_factory=lambda: [[]], repr=False)
    seen: int = 0

    @property
    def width(self) -> int:
        return sum(bucket.count for level in self.levels for bucket in level)

    @property
    def mean(self) -> float:
        total = sum(bucket.total for level in self.levels for bucket in level)
        return total / max(self.width, 1)

    def update(self, value: float) -> bool:
        """Take one observation; True when older ones were dropped because the mean has moved."""
        self.levels[0].append(_Bucket(1, value, 0.0))
        self._merge()
        self.seen += 1
        return self.seen % self.every == 0 and self._shrink()

    def _merge(self) -> None:
        for at in range(len(self.levels)):
            if len(self.levels[at]) <= self.rows:
                return
            if at + 1 == len(self.levels):
                self.levels.append([])
            first, second = self.levels[at].pop(0), self.levels[at].pop(0)
            self.levels[at + 1].append(_joined(first, second))

    def _shrink(self) -> bool:
        dropped = False
        while self._differs():
            oldest = max(at for at, level in enumerate(self.levels) if level)
            self.levels[oldest].pop(0)
            dropped = True
        return dropped

    def _differs(self) -> bool:
        """Whether some cut leaves two ends whose means differ by more than chance allows."""
        buckets = [bucket for level in reversed(self.levels) for bucket in level]
        whole = _Bucket(0, 0.0, 0.0)
        for bucket in buckets:
            whole = _joined(whole, bucket)
        if whole.count < 2 * self.least:
            return False
        variance, confidence = whole.squares / whole.count, math.log(2 * math.log(whole.count) / self.delta)
        count, total = 0, 0.0
        for bucket in buckets[:-1]:
            count, total = count + bucket.count, total + bucket.total
            rest = whole.count - count
            if count < self.least or rest < self.least:
                continue
            inverse = 1 / (count - self.least + 1) + 1 / (rest - self.least + 1)
            bound = math.sqrt(2 * inverse * variance * confidence) + 2 / 3 * inverse * confidence
            if abs(total / count - (whole.total - total) / rest) > bound:
                return True
        return False


def _joined(a: _Bucket, b: _Bucket) -> _Bucket:
    count = a.count + b.count
    apart = (a.total / a.count - b.total / b.count) ** 2 * a.count * b.count / count if a.count and b.count else 0.0
    return _Bucket(count, a.total + b.total, a.squares + b.squares + apart)
