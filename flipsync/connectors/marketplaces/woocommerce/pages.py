"""Walking a WooCommerce list without losing a row while rows are added and removed under way.

Pages by number drift: one row deleted ahead of us moves every later row forward, and the first of the next page is
never seen. So each request starts on the last row already seen; if that place now shows an unseen row, rows were
removed before it, the part before was cut short, or the row of that place is counted and not shown: the walk steps
back, by half a page, to come by another place next time. Rows that appear behind us are for the caller's next walk.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from flipsync.domain.errors import Retryable

PAGE_SIZE = 100
_MAX_STEPS_BACK = 20
#: times that another part of a list looks like its first one before it is taken for that
_MAX_REPEATS = 3


class Row(Protocol):
    @property
    def id(self) -> int: ...


RowT = TypeVar("RowT", bound=Row)


@dataclass(frozen=True, slots=True)
class Page(Generic[RowT]):
    """Rows from one offset on, in ascending id, and X-WP-Total where the answer had it. `sent` counts rows that cannot
    be read, too."""

    rows: list[RowT]
    total: int | None
    sent: int | None = None

    def is_last(self, offset: int) -> bool:
        if self.total is not None:
            return offset + PAGE_SIZE >= self.total
        return self._count < PAGE_SIZE

    def is_short(self, offset: int) -> bool:
        """Whether rows are missing that its total promises."""
        return self.total is not None and self._count < min(PAGE_SIZE, self.total - offset)

    @property
    def _count(self) -> int:
        return len(self.rows) if self.sent is None else self.sent


async def walk(fetch: Callable[[int], Awaitable[Page[RowT]]]) -> AsyncIterator[Page[RowT]]:
    """Pages of rows not seen before. Raises Retryable when the list changes faster than it can be read, or when every
    part of it is answered with the first one (something keeps `offset` from the shop)."""
    offset = steps_back = repeats = 0
    first: Page[RowT] | None = None
    seen: set[int] = set()
    looked_again = False
    while True:
        page = await fetch(offset)
        first = first or page
        repeats = repeats + 1 if offset and page.rows and page == first else 0
        unseen = page.total is not None and page.is_last(offset) and page.total > len(seen)
        if repeats == _MAX_REPEATS or (repeats and unseen):
            raise Retryable("every part of the list is answered with the first one")
        if offset and not (page.rows and page.rows[0].id in seen):
            steps_back += 1
            if steps_back > _MAX_STEPS_BACK:
                raise Retryable("the list changes faster than it can be read")
            offset = max(0, offset - max(1, PAGE_SIZE // 2))
            continue
        fresh = [row for row in page.rows if row.id not in seen]
        seen.update(row.id for row in fresh)
        yield Page(fresh, page.total)
        if page.is_last(offset):
            if not page.is_short(offset) or looked_again:
                return
            looked_again = True  # cut short on its way; what is missing again is counted and not shown
            continue
        offset += PAGE_SIZE - 1
