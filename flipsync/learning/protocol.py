"""How everything is measured: seeds, intervals, processor time, and the rows a benchmark prints.

Every row says where its number comes from: `re-run here`, `published` or `exact`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Source = Literal["re-run here", "published", "exact"]

#: optimiser seeds; every one is reported
SEEDS: tuple[int, ...] = (11, 23, 37, 41, 59)
#: seed of the runs a finished policy is judged on; no optimiser sees it
JUDGE_SEED = 90_001


@dataclass(frozen=True)
class Interval:
    """A mean with its bootstrap interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.4g} [{self.low:.4g}, {self.high:.4g}]"


def bootstrap(values: npt.ArrayLike, *, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Interval:
    """Percentile bootstrap interval of the mean (Efron 1979). For a paired comparison pass the differences.

    Raises ValueError for no values.
    """
    sample = np.asarray(values, dtype=np.float64).ravel()
    if sample.size == 0:
        raise ValueError("no values to take a mean of")
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(sample.size, np.full(sample.size, 1 / sample.size), size=resamples)
    means = counts @ sample / sample.size
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(sample.mean()), float(low), float(high))


class Cpu:
    """Processor seconds of this process between entering and leaving."""

    seconds = 0.0

    def __enter__(self) -> Cpu:
        self._began = time.process_time()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seconds = time.process_time() - self._began

    def so_far(self) -> float:
        return time.process_time() - self._began


@dataclass(frozen=True)
class Row:
    """One line of a table: what one method reached on one case of one problem.

    `value` is in `unit`; `target` is what was asked, read with `sense` (is the value to be at least or at most that?).
    """

    problem: str
    case: str
    method: str
    value: float
    unit: str
    source: Source = "re-run here"
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    target: float | None = None
    sense: Literal["at least", "at most"] = "at least"
    cpu_seconds: float | None = None
    seeds: tuple[float, ...] = ()
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target was reached; None without one."""
        if self.target is None:
            return None
        return self.value >= self.target if self.sense == "at least" else self.value <= self.target


@dataclass(frozen=True)
class Curve:
    """A line of a picture: y over x, and a band about it: the middle 90 % of runs, or all seeds. `log`: both axes in
    powers, all of it above zero."""

    title: str
    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    log: bool = False


@dataclass
class Report:
    """What one benchmark found."""

    name: str
    quick: bool
    rows: list[Row] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    cpu_seconds: float = 0.0
    #: packages that are not installed, so that their rows are not there
    left_out: list[str] = field(default_factory=list)

    def add(self, rows: Sequence[Row] | Row, curves: Sequence[Curve] = ()) -> None:
        self.rows.extend([rows] if isinstance(rows, Row) else rows)
        self.curves.extend(curves)

    def missed(self) -> list[Row]:
        return [row for row in self.rows if row.met is False]

    def as_dict(self) -> dict[str, Any]:
        rows = [{**asdict(row), "met": row.met} for row in self.rows]
        return {
            "name": self.name,
            "quick": self.quick,
            "cpu_seconds": round(self.cpu_seconds, 2),
            "targets": sum(row.met is not None for row in self.rows),
            "missed": len(self.missed()),
            "left_out": self.left_out,
            "rows": rows,
            "curves": [asdict(curve) for curve in self.curves],
        }


def regret_curve(title: str, label: str, regret: npt.NDArray[np.float64], points: int = 60) -> Curve:
    """Curve of cumulated regret, (runs, periods), at about `points` periods."""
    periods = regret.shape[1]
    at = np.unique(np.linspace(0, periods - 1, min(points, periods)).astype(int))
    low, high = np.quantile(regret[:, at], [0.05, 0.95], axis=0)
    x, y, under, over = (tuple(np.round(line, 4).tolist()) for line in (at + 1.0, regret[:, at].mean(0), low, high))
    return Curve(title, label, x, y, under, over)
