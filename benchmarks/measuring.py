"""What every benchmark shares: spreads instead of single figures, facts about the machine, a table and a JSON file."""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OUT = Path(__file__).with_name("out")
#: load average per core before a run above which its figures say more about the neighbours than about us
_BUSY_BEFORE = 0.25


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0–1) of the values lie; nearest rank. Raises ValueError without values."""
    if not values:
        raise ValueError("nothing was measured")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(round(share * len(ordered), 9)) - 1)]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and most of repeats."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "n": len(values)}


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """p50, p95, p99, least and most of many measurements."""
    return {
        "p50": percentile(values, 0.50),
        "p95": percentile(values, 0.95),
        "p99": percentile(values, 0.99),
        "min": min(values),
        "max": max(values),
        "n": len(values),
    }


@dataclass
class Machine:
    """Where and under what load a figure was measured."""

    cores: int = field(default_factory=lambda: len(os.sched_getaffinity(0)))
    memory_gb: float = field(default_factory=lambda: _memory_gb())
    processor: str = field(default_factory=lambda: _processor())
    python: str = field(default_factory=platform.python_version)
    kernel: str = field(default_factory=platform.release)
    load_before: tuple[float, float, float] = field(default_factory=os.getloadavg)
    load_after: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def busy(self) -> bool:
        """Whether others kept the machine at work before we began."""
        return self.load_before[0] > _BUSY_BEFORE * self.cores


def _memory_gb() -> float:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine()


@dataclass
class Report:
    """One benchmark's outcome: `result` is what the JSON holds, `rows` what a person reads."""

    name: str
    result: dict[str, Any] = field(default_factory=dict)
    rows: list[tuple[str, str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    machine: Machine = field(default_factory=Machine)
    began: float = field(default_factory=time.time)

    def row(self, what: str, figure: str, against: str = "") -> None:
        self.rows.append((what, figure, against))

    def finish(self, *, as_json: bool) -> Path:
        """Print, and write benchmarks/out/NAME.json; returns its path."""
        self.machine.load_after = os.getloadavg()
        whole = {
            "benchmark": self.name,
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.began)),
            "seconds": round(time.time() - self.began, 1),
            "machine": self.machine.__dict__ | {"busy": self.machine.busy},
            **self.result,
            "notes": self.notes,
        }
        OUT.mkdir(exist_ok=True)
        path = OUT / f"{self.name}.json"
        path.write_text(json.dumps(whole, indent=2, default=str) + "\n", encoding="utf-8")
        print(json.dumps(whole, indent=2, default=str) if as_json else self._text())
        return path

    def _text(self) -> str:
        machine = self.machine
        loads = [f"{load:.2f}" for load in (machine.load_before[0], machine.load_after[0])]
        lines = [
            f"{self.name}: {machine.cores} cores ({machine.processor}), {machine.memory_gb} GB,"
            f" Python {machine.python}, load {loads[0]} before, {loads[1]} after"
        ]
        if machine.busy:
            lines.append("WARNING: the machine was busy before this run: figures are worse than they would be alone")
        widths = [max((len(row[column]) for row in self.rows), default=0) for column in range(2)]
        lines += [
            f"  {what:<{widths[0]}}  {figure:>{widths[1]}}  {against}".rstrip() for what, figure, against in self.rows
        ]
        return "\n".join(lines + [f"  note: {note}" for note in self.notes])


@contextmanager
def saying(what: str) -> Iterator[None]:
    """Tell on stderr what takes how long, so that the table and the JSON on stdout stay clean."""
    print(f"… {what}", file=sys.stderr, flush=True)
    began = time.monotonic()
    yield
    print(f"  {what}: {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
