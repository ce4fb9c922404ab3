"""eBay's call quotas: so many calls a day to each API, counted for the application and told by getRateLimits.

The defaults are those of eBay's "API call limits" page for an application without a raised quota. A quota is a bucket
that holds a whole day's calls and fills in a day.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from flipsync.connectors.marketplaces.ebay import wire
from flipsync.connectors.request import Limit

_DAY = 86_400.0


def _quota(api: str, calls_a_day: int) -> Limit:
    return Limit(api, calls_a_day / _DAY, calls_a_day)


INVENTORY = _quota("sell.inventory", 2_000_000)
FULFILLMENT = _quota("sell.fulfillment", 100_000)
ACCOUNT = _quota("sell.account", 25_000)
NEGOTIATION = _quota("sell.negotiation", 1_000_000)
COMPLIANCE = _quota("sell.compliance", 10_000)
FINANCES = _quota("sell.finances", 15_000)
SELL_ANALYTICS = _quota("sell.analytics", 400)
MARKETING = _quota("sell.marketing", 10_000)
FEED = _quota("sell.feed", 100_000)
BROWSE = _quota("buy.browse", 5_000)
TAXONOMY = _quota("commerce.taxonomy", 5_000)
CATALOG = _quota("commerce.catalog", 10_000)
NOTIFICATION = _quota("commerce.notification", 10_000)
IDENTITY = _quota("commerce.identity", 10_000)
ANALYTICS = _quota("developer.analytics", 10_000)


@dataclass(frozen=True, slots=True)
class Told:
    """What eBay says of one API's quota now."""

    bucket: str
    limit: int
    seconds: float
    remaining: int
    reset: datetime | None


def told(limits: wire.RateLimits) -> Iterator[Told]:
    """The quota of each API; the tightest of its resources where it has several."""
    for api in limits.rate_limits:
        rates = [rate for resource in api.resources for rate in resource.rates]
        known = [(rate.remaining, rate.limit, rate) for rate in rates if rate.limit and rate.remaining is not None]
        if not known:
            continue
        remaining, limit, rate = min(known, key=lambda row: (row[0], row[1]))
        bucket = f"{api.api_context}.{api.api_name}".lower()
        yield Told(bucket, limit, float(rate.time_window or _DAY), remaining, rate.reset)
