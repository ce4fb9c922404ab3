"""Lists of Amazon's, read so that nothing is lost in silence: one bad row hinders no other, and no page comes twice."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from pydantic import BaseModel

from flipsync.connectors.unread import CANNOT_READ, Aside, reason_of
from flipsync.domain.channel import UnreadOrder
from flipsync.domain.errors import Retryable, Unreadable

T = TypeVar("T")
RowT = TypeVar("RowT")


class Rows(Aside):
    """Where rows of a list go that cannot be read: `what` they are, for people, and the field each is known by."""

    def __init__(self, what: str, name: str) -> None:
        super().__init__()
        self._what, self._name = what, name
        #: names of such rows, as far as they have one, to what is wrong with them
        self.reasons: dict[str, str] = {}
        self.count = 0

    def keep(self, raw: Any, error: BaseException) -> UnreadOrder:
        data = raw.model_dump(by_alias=True) if isinstance(raw, BaseModel) else raw
        name = data.get(self._name) if isinstance(data, dict) else None
        self.count += 1
        self.reasons.setdefault(name if isinstance(name, str) else "", reason_of(error))
        return super().keep(raw, error)

    def read(self, translate: Callable[[RowT], T], row: RowT) -> T | None:
        """The row translated, or None and kept."""
        try:
            return translate(row)
        except CANNOT_READ as error:
            self.keep(row, error)
            return None

    def tell(self) -> None:
        """Once the others are told: Raises Unreadable where there are any."""
        if self.count:
            name, reason = next(iter(self.reasons.items()))
            which = f"{name}: {reason}" if name else reason
            raise Unreadable(f"{self.count} {self._what} cannot be read: {which}")


async def pages(ask: Callable[[str | None], Awaitable[T]], following: Callable[[T], str | None]) -> AsyncIterator[T]:
    """Pages from the first on, each asked for with the token of the one before; empty pages do not end a list.

    Raises Retryable when a token comes again: what is behind it was not seen.
    """
    token: str | None = None
    seen: set[str] = set()
    while True:
        page = await ask(token)
        yield page
        token = following(page)
        if not token:
            return
        if token in seen:
            raise Retryable("Amazon shows the same page again")
        seen.add(token)
