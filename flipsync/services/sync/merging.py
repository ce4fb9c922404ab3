"""How what happened apart comes together, as pure functions.

Time: a device's clock may be hours off, run fast or slow, or be set while it is away. What it did is placed on the
server's time by what its clock said when it was here last and what it says now. A clock that was set leaves a span in
which a thing may have happened, and what depends on where in it is not booked. Nothing is ever placed in the future, so
a wrong clock wins nothing for longer than it takes to write again.

Stock: what is on the shelf is the last look at it, and what came and left after that look. Movements add up in any
order; one that is told late, but happened before the last look, was there to be counted.

Words: of two edits that did not know of one another the later one stands, and the author of the earlier is told. An
edit that knew of another is later than it, whatever clocks say (a hybrid logical clock:
https://cse.buffalo.edu/tech-reports/2014-04.pdf).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from flipsync.services.product_edits import EditMark

#: how far a quartz clock may run off, and what a slow network adds; more than that means that somebody set it
_DRIFT_PPM = 200
_SLACK = timedelta(seconds=10)
#: pushes with no longer pauses between them are one sitting
_SITTING = timedelta(hours=1)
#: how long a device may be away and still be told only what changed
AWAY = timedelta(days=90)


@dataclass(frozen=True)
class Span:
    """When something happened: not before `first`, not after `last`; mostly one moment."""

    first: datetime
    last: datetime

    @property
    def sure(self) -> bool:
        return self.first == self.last

    def after(self, moment: datetime | None) -> Span:
        """The same, but not before `moment`."""
        return self if moment is None else Span(max(self.first, moment), max(self.last, moment))


@dataclass(frozen=True)
class ClockMark:
    """What a device's clock said at a moment of the server's time."""

    clock: datetime
    server: datetime

    @property
    def off(self) -> timedelta:
        return self.server - self.clock


@dataclass(frozen=True)
class ClockLine:
    """How a device's clock ran: what it said before its last sitting with the server, at its last word, and now.

    A queue is told in many pushes, one right after another. All of it was done before the first of them, while the
    clock ran from `before` to `last`: were each push measured from the one just before it, a clock set while the
    device was away would be noticed by the first alone.
    """

    before: ClockMark
    last: ClockMark
    now: ClockMark

    def place(self, at: datetime) -> Span:
        """When the device's `at` was, on the server's time; never after now, never longer ago than a device may be."""
        newest = self._between(self.last, self.now, at)
        if at >= self.last.clock:
            return newest
        older = self._between(self.before, self.last, at)
        if _ran_through(self.last, self.now):
            return older
        return Span(min(older.first, newest.first), max(older.last, newest.last))

    def told(self) -> tuple[ClockMark, ClockMark]:
        """`before` and `last` for the next push: within a sitting the first stays."""
        return (self.last if self.now.server - self.last.server > _SITTING else self.before), self.now

    def _between(self, then: ClockMark, now: ClockMark, at: datetime) -> Span:
        if _ran_through(then, now):
            passed = now.clock - then.clock
            share = min(1.0, max(0.0, (at - then.clock) / passed)) if passed > timedelta(0) else 1.0
            moment = self._bounded(at, then.off + (now.off - then.off) * share)
            return Span(moment, moment)
        return Span(self._bounded(at, min(then.off, now.off)), self._bounded(at, max(then.off, now.off)))

    def _bounded(self, at: datetime, offset: timedelta) -> datetime:
        oldest = self.now.server - AWAY
        if at < oldest - offset:  # compared before it is added: a clock may say the year 1
            return oldest
        return self.now.server if at > self.now.server - offset else at + offset


def _ran_through(then: ClockMark, now: ClockMark) -> bool:
    """Whether nobody set the clock in between."""
    allowed = max(_SLACK, abs(now.server - then.server) * _DRIFT_PPM / 1_000_000)
    return abs(now.off - then.off) <= allowed


@dataclass(frozen=True)
class Movement:
    """Units that came onto the shelf, or left it (below zero)."""

    happened_at: datetime
    units: int


@dataclass(frozen=True)
class Look:
    """Somebody counted the shelf."""

    happened_at: datetime
    units: int


def on_shelf(told: Iterable[Movement | Look]) -> int:
    """What all of it together says is on the shelf, in whatever order it was told: the definition, for tests to hold
    against what was booked step by step. Of looks at one moment the one told last counts."""
    known = list(told)
    last = max((each for each in known if isinstance(each, Look)), key=lambda each: each.happened_at, default=None)
    moved = (
        each.units
        for each in known
        if isinstance(each, Movement) and (last is None or each.happened_at > last.happened_at)
    )
    return (last.units if last else 0) + sum(moved)


Judged = Literal["fresh", "wins", "loses"]


def judge_words(mark: EditMark | None, *, at: int, device_id: UUID, base_version: int) -> Judged:
    """What becomes of an edit of a field whose words are of `mark`: `fresh` follows on what it knew, `wins` over and
    `loses` to words its author had not seen. `at` in microseconds."""
    if mark is None or mark.version <= base_version or mark.device_id == device_id:
        return "fresh"
    return "wins" if (at, device_id.hex) > (mark.at, mark.device_id.hex if mark.device_id else "") else "loses"


def stamp_words(mark: EditMark | None, *, at: int, device_id: UUID, judged: Judged) -> int:
    """When an edit counts as made, in microseconds: after what it follows on. A device's own come in their order."""
    if mark is None or judged != "fresh":
        return at
    return max(at, mark.at + (mark.device_id != device_id))
