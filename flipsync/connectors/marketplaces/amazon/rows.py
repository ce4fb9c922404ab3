"""Lists of Amazon's, page by page, none of them twice."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from flipsync.domain.errors import Retryable

T = TypeVar("T")


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
