"""What the price rule knows of a listing's past: one reading of its books, for whoever asks the rule or trains it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

#: how far back sales are evidence of demand. Two weeks hardly see a price move (P13, P14 of the benchmarks)
EVIDENCE = timedelta(days=56)
#: as far as was read where `Books.since` is not told: by decisions kept from when it was always so
_FORMERLY = timedelta(days=14)
_RETURN_WINDOW = timedelta(days=2)
_HOUR, _DAY, _NO_TIME = timedelta(hours=1), timedelta(days=1), timedelta(0)


class Sale(Protocol):
    @property
    def at(self) -> datetime: ...
    @property
    def units(self) -> int: ...


class Books(Protocol):
    """A listing's past since `since`, oldest first. `changes`: (when, old, new) in minor units; `empty`: (from, until;
    None: still) with nothing free on the shelf."""

    @property
    def current_minor(self) -> int | None: ...
    @property
    def published_at(self) -> datetime | None: ...
    @property
    def since(self) -> datetime | None: ...
    @property
    def changes(self) -> Sequence[tuple[datetime, int | None, int]]: ...
    @property
    def sales(self) -> Sequence[Sale]: ...
    @property
    def empty(self) -> Sequence[tuple[datetime, datetime | None]]: ...


def spans(books: Books, now: datetime) -> list[tuple[int, int, float]]:
    """Prices with what they sold while they held: minor units, units, hours with goods to sell. An empty shelf says
    nothing about demand; hours before its ledger begins are unknown and count as exposed."""
    assert books.current_minor is not None and books.published_at is not None
    start = max(books.published_at, books.since or now - _FORMERLY)
    starts: list[tuple[datetime, int]] = []
    for at, old, new in books.changes:
        if not starts and old is not None and at > start:
            starts.append((start, old))
        starts.append((max(at, start), new))
    if not starts:
        starts = [(start, books.current_minor)]
    sold, place = [0] * len(starts), 0
    for sale in books.sales:
        while place + 1 < len(starts) and starts[place + 1][0] <= sale.at:
            place += 1
        if starts[place][0] <= sale.at:
            sold[place] += sale.units
    held = []
    for index, (begin, price) in enumerate(starts):
        end = starts[index + 1][0] if index + 1 < len(starts) else now
        bare = sum((max(min(to or now, end) - max(since, begin), _NO_TIME) for since, to in books.empty), _NO_TIME)
        hours = (end - begin - bare) / _HOUR
        if hours > 0:
            held.append((price, sold[index], hours))
    return held


def left_lately(books: Books, now: datetime) -> list[int]:
    """Prices that were left in the last two days, newest last."""
    return [old for at, old, _ in books.changes if at >= now - _RETURN_WINDOW and old is not None]


def days_without_sale(books: Books, now: datetime) -> float:
    """Since the last sale that was read, else since it was listed."""
    assert books.published_at is not None
    last = books.sales[-1].at if books.sales else books.published_at
    return max(0.0, (now - last) / _DAY)


@dataclass(frozen=True)
class Sold:
    """Units of a day."""

    at: datetime
    units: int


@dataclass
class Book:
    """Books of a listing that is played with: on sale since `published_at`, never empty."""

    current_minor: int
    published_at: datetime
    since: datetime
    changes: list[tuple[datetime, int | None, int]] = field(default_factory=list)
    sales: list[Sold] = field(default_factory=list)
    empty: tuple[tuple[datetime, datetime | None], ...] = ()

    def ask(self, price: int, at: datetime) -> None:
        if price != self.current_minor:
            self.changes.append((at, self.current_minor, price))
            self.current_minor = price

    def read(self, since: datetime) -> Book:
        """What is known of it since then: the rest is forgotten."""
        while self.changes and self.changes[0][0] < since:
            del self.changes[0]
        while self.sales and self.sales[0].at < since:
            del self.sales[0]
        self.since = since
        return self
