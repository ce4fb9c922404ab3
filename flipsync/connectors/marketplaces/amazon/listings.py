"""Every listing of a seller, page after page."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator

from flipsync.connectors.marketplaces.amazon import wire
from flipsync.connectors.marketplaces.amazon.api import SellerApi
from flipsync.connectors.marketplaces.amazon.feeds import find_items
from flipsync.connectors.marketplaces.amazon.mapping import OWN_STOCK
from flipsync.connectors.marketplaces.amazon.publishing import INCLUDED
from flipsync.connectors.marketplaces.amazon.reports import report
from flipsync.domain.errors import Retryable

_PAGE = 20
#: Amazon pages through no more results of one search than this.
_WINDOW = 1000
#: Seconds that a report may take where listings could be read instead.
_PATIENCE = 300.0


async def every_listing(api: SellerApi) -> AsyncIterator[wire.Item]:
    """Oldest first. A search ends after 1,000 results, so the next one goes on where the last listing was created."""
    seen: set[str] = set()
    since: str | None = None
    while True:
        newest: str | None = None
        yielded = walked = 0
        async for item in _search(api, since):
            walked += 1
            if item.summaries:
                newest = item.summaries[0].created_date.isoformat().replace("+00:00", "Z")
            if item.sku not in seen:
                seen.add(item.sku)
                yielded += 1
                yield item
        if walked < _WINDOW:
            return
        if not yielded or newest is None:
            # More were created at one moment than a search shows: the rest is found by name.
            left = [row["seller-sku"] async for row in _reported(api) if row["seller-sku"] not in seen]
            for start in range(0, len(left), _PAGE):
                for item in (await find_items(api, left[start : start + _PAGE])).values():
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
    content = await report(api, "GET_MERCHANT_LISTINGS_ALL_DATA", patience=patience)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", "replace")  # what Amazon writes for its western stores
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter="\t", quoting=csv.QUOTE_NONE)
    if "seller-sku" not in (rows.fieldnames or ()):
        raise Retryable("the report of all listings has no SKUs in it")
    for row in rows:
        if row["seller-sku"]:
            yield row


async def _search(api: SellerApi, since: str | None) -> AsyncIterator[wire.Item]:
    query = [
        *api.here,
        *INCLUDED,
        ("pageSize", str(_PAGE)),
        ("sortBy", "createdDate"),
        ("sortOrder", "ASC"),
        *([("createdAfter", since)] if since else []),
    ]
    token: str | None = None
    tokens: set[str] = set()
    while True:
        params = [*query, *([("pageToken", token)] if token else [])]
        path = {"sellerId": api.seller_id}
        page = await api.call("searchListingsItems", wire.ItemSearch.model_validate, path=path, params=params)
        for item in page.items:
            yield item
        token = page.pagination.next_token
        if not token or token in tokens:
            return
        tokens.add(token)
