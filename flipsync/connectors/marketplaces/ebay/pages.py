"""Walking eBay's lists: each page names the next one by a URL, of which only the query counts.

The host stays the account's own, and a page that was seen before ends the walk, whatever it says comes next.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol, TypeVar
from urllib.parse import parse_qsl, urlsplit

from flipsync.connectors.request import Params


class Page(Protocol):
    @property
    def next(self) -> str | None: ...

    def model_dump(self, *, exclude: set[str]) -> dict[str, Any]: ...


PageT = TypeVar("PageT", bound=Page)


async def walk(fetch: Callable[[Params], Awaitable[PageT]], first: Params) -> AsyncIterator[PageT]:
    """Pages from the one at `first` on."""
    params: Params | None = first
    seen: set[tuple[tuple[str, str], ...]] = set()
    previous: PageT | None = None
    while params is not None:
        place = tuple(sorted(params))
        if place in seen:
            return
        seen.add(place)
        page = await fetch(params)
        if previous is not None and page.model_dump(exclude={"next"}) == previous.model_dump(exclude={"next"}):
            return
        yield page
        previous, params = page, following(page.next)


def following(url: str | None) -> Params | None:
    """The query of the next page; None after the last."""
    query = parse_qsl(urlsplit(url).query, keep_blank_values=True) if url else []
    return query or None
