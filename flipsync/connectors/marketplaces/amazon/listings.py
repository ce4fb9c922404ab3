"""Every listing of a seller, page after page."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator

from flipsync.connectors.marketplaces.amazon import wire
from flipsync.connectors.marketplaces.amazon.api import SellerApi
from flipsync.connectors.marketplaces.amazon.feeds import find_items, search_pages
from flipsync.connectors.marketplaces.amazon.mapping import OWN_STOCK
from flipsync.connectors.marketplaces.amazon.publishing import INCLUDED
from flipsync.connectors.marketplaces.amazon.reports import report_text
from flipsync.connectors.unread import Rows
from flipsync.domain.errors import Retryable

_PAGE = 20
#: Amazon pages through no more results of one search than this.
_WINDOW = 1000
#: Seconds that a report may take where listings could be read instead.
_PATIENCE = 300.0


async def every_listing(api: SellerApi, aside: Rows) -> AsyncIterator[wire.Item]:
    """Oldest first; what cannot be read goes `aside`. A search ends after 1,000 results, so the next one goes on where
    the last listing was created."""
    seen: set[str] = set()
    since: str | None = None
    while True:
        newest: str | None = None
        yielded, walked = 0, -aside.count
        async for item in _search(api, since, aside):
            walked += 1
            if item.summaries:
                newest = item.summaries[0].created_date.isoformat().replace("+00:00", "Z")
            if item.sku not in seen:
                seen.add(item.sku)
                yielded += 1
                yield item
        if walked + aside.count < _WINDOW:
            return
        if not yielded or newest is None:
            # More were created at one moment than a search shows: the rest is found by name.
            left = [row["seller-sku"] async for row in _reported(api) if row["seller-sku"] not in seen]
            for start in range(0, len(left), _PAGE):
                for item in (await find_items(api, left[start : start + _PAGE], aside)).values():
                    yield item
            return
        since = newest


async def own_skus(api: SellerApi) -> AsyncIterator[str]:
    """SKUs that the seller fulfils, and no warehouse of Amazon's. Raises Retryable without a report before long."""
    async for row in _reported(api, patience=_PATIENCE):
        if row.get("fulfillment-channel") == OWN_STOCK:
            yield row["seller-sku"]


async def _reported(api: SellerApi, patience: float = 900.0) -> AsyncIterator[dict[str, str]]:
    """The rows of the report of all listings. Raises Retryable when it has no SKUs."""
    text = await report_text(api, "GET_MERCHANT_LISTINGS_ALL_DATA", patience=patience)
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter="\t", quoting=csv.QUOTE_NONE)
    try:
        if "seller-sku" not in (rows.fieldnames or ()):
            raise Retryable("the report of all listings has no SKUs in it")
        for row in rows:
            if row["seller-sku"]:
                yield row
    except csv.Error as error:
        raise Retryable(f"the report of all listings cannot be read: {error}") from error


async def _search(api: SellerApi, since: str | None, aside: Rows) -> AsyncIterator[wire.Item]:
    query = [
        *api.here,
        *INCLUDED,
        ("pageSize", str(_PAGE)),
        ("sortBy", "createdDate"),
        ("sortOrder", "ASC"),
        *([("createdAfter", since)] if since else []),
    ]
    async for page in search_pages(api, query, aside):
        for item in page.items:
            yield item
