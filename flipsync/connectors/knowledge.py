"""What a connector must know of a listing before it writes units, kept in memory and, packed, by whoever drives it.

A process that has just begun is told by `recall` what an earlier one learnt, and tells by `learnt` what is new, so that
nothing is asked of the vendor one listing at a time twice. What was recalled may be old: `doubt` forgets it, and it is
read again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")
#: what is known of one listing, as JSON
Facts = dict[str, Any]

#: listings of an account that are remembered at most
MOST = 20_000


@dataclass(frozen=True, slots=True)
class Recalled:
    """Facts of a listing that were learnt `age` seconds ago."""

    facts: Facts
    age: float


@dataclass(slots=True)
class _Entry(Generic[T]):
    value: T
    seen: float
    told: float
    recalled: bool


class Remembered(Generic[T]):
    """Values by the listing's id; whoever was seen longest ago makes room.

    `lasts` is how long what was recalled may be relied on, and `seconds` (None: as long as the process lives) the same
    of what this process has seen. `pack` makes facts that change only when what is written depends on it; `unpack`
    raises ValueError, KeyError or TypeError for facts of another version.
    """

    def __init__(
        self,
        pack: Callable[[T], Facts],
        unpack: Callable[[Facts], T],
        *,
        lasts: float,
        seconds: float | None = None,
    ) -> None:
        self._pack, self._unpack = pack, unpack
        self._lasts, self._seconds = lasts, seconds
        self._entries: dict[str, _Entry[T]] = {}
        self._news: set[str] = set()

    def get(self, key: str) -> T | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        lasts = self._lasts if entry.recalled else self._seconds
        return entry.value if lasts is None or entry.seen > time.monotonic() - lasts else None

    def keep(self, key: str, value: T) -> None:
        """Seen just now. It is news when it differs from what was told, or when that is half forgotten."""
        now, before = time.monotonic(), self._entries.pop(key, None)
        told = now if before is None else before.told
        entry = _Entry(value, now, told, recalled=False)
        if before is None or now - told > self._lasts / 2 or self._pack(before.value) != self._pack(value):
            self._news.add(key)
            entry.told = now
        self._add(key, entry)

    def _add(self, key: str, entry: _Entry[T]) -> None:
        while len(self._entries) >= MOST:
            oldest = next(iter(self._entries))
            del self._entries[oldest]
            self._news.discard(oldest)
        self._entries[key] = entry

    def forget(self, key: str) -> None:
        """What was known of it proved wrong, or is about to."""
        if self._entries.pop(key, None) is not None:
            self._news.add(key)

    def refuted(self, key: str) -> None:
        """A write that rested on it was refused. What was recalled stays for `doubt`."""
        entry = self._entries.get(key)
        if entry is not None and not entry.recalled:
            self.forget(key)

    def forget_all(self) -> None:
        for key in list(self._entries):
            self.forget(key)

    def recall(self, known: Mapping[str, Recalled]) -> None:
        """What this process has seen itself is newer."""
        for key, row in known.items():
            if self.get(key) is not None or row.age > self._lasts:
                continue
            try:
                value = self._unpack(row.facts)
            except (KeyError, TypeError, ValueError):
                continue
            self._entries.pop(key, None)
            at = time.monotonic() - row.age
            self._add(key, _Entry(value, at, at, recalled=True))

    def doubt(self, keys: Collection[str]) -> set[str]:
        """Forget those of them that were recalled; returns which."""
        doubted = {key for key in keys if (entry := self._entries.get(key)) is not None and entry.recalled}
        for key in doubted:
            self.forget(key)
        return doubted

    def learnt(self) -> dict[str, Facts | None]:
        """What is new since it was asked for last: None where nothing is known any more."""
        news, self._news = self._news, set()
        entries = {key: self._entries.get(key) for key in news}
        return {key: None if entry is None else self._pack(entry.value) for key, entry in entries.items()}
