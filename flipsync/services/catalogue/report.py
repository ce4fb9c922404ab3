"""What happened to each row: problems with line, column and reason, and the counts of an import."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Severity = Literal["rejected", "warning"]

_EXCERPT_CHARS = 80
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
#: Cells a spreadsheet would run as a formula (OWASP, "CSV Injection").
_FORMULA_START = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class RowProblem:
    """`rejected`: the row was not imported. `warning`: it was, without or with a corrected value.

    `line` is the physical line on which the row begins, counting from 1; `column` is the header as written in the file.
    """

    line: int
    column: str
    reason: str
    value: str
    severity: Severity


@dataclass(slots=True)
class ImportReport:
    """Counts are exact; at most `max_problems` problems are kept, the rest are only counted."""

    max_problems: int = 10_000
    rows: int = 0
    products: int = 0
    variants: int = 0
    rejected: int = 0
    warnings: int = 0
    skus_derived: int = 0
    costs_assumed: int = 0
    without_cost: int = 0
    without_quantity: int = 0
    problems: list[RowProblem] = field(default_factory=list)

    def reject(self, line: int, column: str, reason: str, value: str = "") -> None:
        """Record a row that is not imported."""
        self.rejected += 1
        self._keep(RowProblem(line, column, reason, excerpt(value), "rejected"))

    def warn(self, line: int, column: str, reason: str, value: str = "") -> None:
        """Record a row that is imported with something left out or put right."""
        self.warnings += 1
        self._keep(RowProblem(line, column, reason, excerpt(value), "warning"))

    def _keep(self, problem: RowProblem) -> None:
        if len(self.problems) < self.max_problems:
            self.problems.append(problem)

    @property
    def problems_omitted(self) -> int:
        return self.rejected + self.warnings - len(self.problems)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        result = asdict(self)
        del result["max_problems"]
        result["problems_omitted"] = self.problems_omitted
        return result

    def problems_csv(self) -> str:
        """The problems as a CSV that is safe to open in a spreadsheet: no cell begins a formula."""
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerow(["line", "severity", "column", "reason", "value"])
        for p in self.problems:
            writer.writerow([p.line, p.severity, _inert(p.column), _inert(p.reason), _inert(p.value)])
        return out.getvalue()


def excerpt(value: str) -> str:
    """At most 80 printable characters of a cell."""
    shown = _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", value[: _EXCERPT_CHARS + 1])
    return shown if len(shown) <= _EXCERPT_CHARS else shown[: _EXCERPT_CHARS - 1] + "…"


def _inert(cell: str) -> str:
    return "'" + cell if cell.startswith(_FORMULA_START) else cell
