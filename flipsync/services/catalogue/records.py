"""CSV records with the physical line each begins on, going on after a damaged one."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Record(NamedTuple):
    """`damage` is empty for a sound record; otherwise `cells` holds the raw first line alone."""

    line: int
    cells: list[str]
    damage: str = ""
    damaged_cell: int = -1


class _Feed:
    """Hands lines to csv.reader, remembering those of the current record so that reading can restart after it."""

    __slots__ = ("_source", "again", "consumed", "line")

    def __init__(self, source: Iterable[str]) -> None:
        self._source = iter(source)
        self.again: deque[str] = deque()
        self.consumed: list[str] = []
        self.line = 1

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self.again.popleft() if self.again else next(self._source)
        self.consumed.append(line)
        return line

    def skip_first_line(self) -> str:
        """Drop the line the damaged record begins on and give the others back. Returns the dropped line."""
        first = self.consumed[0]
        self.again.extendleft(reversed(self.consumed[1:]))
        self.consumed.clear()
        self.line += 1
        return first


def read_records(lines: Iterable[str], delimiter: str) -> Iterator[Record]:
    """Records of a CSV text, quoting per RFC 4180. Never raises for malformed quoting: such a record is `damaged`,
    and reading resumes on the line after the one it begins on."""
    feed = _Feed(lines)
    consumed = feed.consumed
    while True:
        reader = csv.reader(feed, delimiter=delimiter, strict=True)
        try:
            for cells in reader:
                yield Record(feed.line, cells)
                feed.line += len(consumed)
                consumed.clear()
            return
        except csv.Error as error:
            line = feed.line
            first = feed.skip_first_line()
            reason, cell = _explain(str(error), first, delimiter)
            yield Record(line, [first.rstrip("\r\n")], reason, cell)


def _explain(error: str, first_line: str, delimiter: str) -> tuple[str, int]:
    if "unexpected end of data" in error:
        return "a quotation mark opened in this row is never closed", _open_cell(first_line, delimiter)
    if "field limit" in error:
        return (
            f"a cell is longer than {csv.field_size_limit():,} characters: a quotation mark was probably never closed",
            _open_cell(first_line, delimiter),
        )
    return (
        "a quotation mark inside a quoted cell is not doubled, or a quoted cell was never closed",
        _open_cell(first_line, delimiter),
    )


def _open_cell(first_line: str, delimiter: str) -> int:
    """Index of the cell still open at the end of the line, -1 when the line's own quotes are balanced."""
    if first_line.count('"') % 2 == 0:
        return -1
    try:
        return len(next(csv.reader([first_line], delimiter=delimiter))) - 1
    except (csv.Error, StopIteration):
        return -1
