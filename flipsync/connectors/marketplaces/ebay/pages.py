"""Walking eBay's lists: each page names the next one by a URL, of which only the query counts.

The host stays the account's own. A page that was seen before ends the walk, whatever it says comes next; and a walk
that ends before it has met as many rows as the list was said to have has lost some on the way.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar
from urllib.parse import parse_qsl, urlsplit

from flipsync.connectors.marketplaces.ebay.wire import Page
from flipsync.connectors.request import Params
from flipsync.domain.errors import Retryable

PageT = TypeVar("PageT", bound=Page)


async def walk(fetch: Callable[[Params], Awaitable[PageT]], first: Params) -> AsyncIterator[PageT]:
    """Pages from the one at `first` on. Raises Retryable after the last of them where rows are missing."""
    params: Params | None = first
    places: set[tuple[tuple[str, str], ...]] = set()
    shown: set[int] = set()
    rows, told = 0, None
    repeated = False
    while params is not None and not repeated:
        places.add(tuple(sorted(params)))
        page = await fetch(params)
        repeated = page.mark in shown
        if not repeated:
            shown.add(page.mark)
            rows += page.rows
            yield page
        if page.total is not None:
            # rows may come and go meanwhile
            told = page.total if told is None else min(told, page.total)
        params = following(page.next)
        repeated = repeated or (params is not None and tuple(sorted(params)) in places)
    if told is not None and rows < told:
        raise Retryable(f"the list ended after {rows} of its {told} rows")
    if told is None and repeated:
        raise Retryable("a part of the list came twice, and others may not have come")


def following(url: str | None) -> Params | None:
    """The query of the next page; None after the last."""
    query = parse_qsl(urlsplit(url).query, keep_blank_values=True) if url else []
    return query or None
