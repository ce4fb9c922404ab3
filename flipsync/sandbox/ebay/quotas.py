"""Calls a day to each API, and what is left of them (Developer Analytics)."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from flipsync.domain.clock import utc_now
from flipsync.sandbox.ebay.problems import access, encode
from flipsync.sandbox.exchange import Answer, Call

_EBAY_DAY = ZoneInfo("America/Los_Angeles")
#: context, name and version of an API, and its calls a day
APIS: dict[str, tuple[str, str, str, int]] = {
    "/sell/inventory/": ("sell", "inventory", "v1", 2_000_000),
    "/sell/fulfillment/": ("sell", "fulfillment", "v1", 100_000),
    "/sell/account/": ("sell", "account", "v1", 25_000),
    "/sell/negotiation/": ("sell", "negotiation", "v1", 1_000_000),
    "/sell/compliance/": ("sell", "compliance", "v1", 10_000),
    "/sell/finances/": ("sell", "finances", "v1", 15_000),
    "/sell/marketing/": ("sell", "marketing", "v1", 10_000),
    "/sell/analytics/": ("sell", "analytics", "v1", 400),
    "/buy/browse/": ("buy", "browse", "v1", 5_000),
    "/commerce/taxonomy/": ("commerce", "taxonomy", "v1", 5_000),
    "/commerce/catalog/": ("commerce", "catalog", "v1_beta", 10_000),
    "/commerce/notification/": ("commerce", "notification", "v1", 10_000),
    "/commerce/identity/": ("commerce", "identity", "v1", 10_000),
    "/developer/analytics/": ("developer", "analytics", "v1_beta", 10_000),
}


class Quotas:
    """Counts real days, as calls are real; a day begins at midnight Pacific time. Lost with the process."""

    def __init__(self) -> None:
        self.limits = {prefix: api[3] for prefix, api in APIS.items()}
        self.counts: Counter[str] = Counter()
        self._day = ""

    def count(self, path: str) -> None:
        """Raises Refusal (429) when the API's calls of today are used up."""
        prefix = next((each for each in APIS if path.startswith(each)), None)
        if prefix is None:
            return
        today = utc_now().astimezone(_EBAY_DAY).date().isoformat()
        if today != self._day:
            self._day = today
            self.counts.clear()
        if self.counts[prefix] >= self.limits[prefix]:
            text = "The request limit has been reached for the resource."
            raise access(429, 2001, "Too many requests", text)
        self.counts[prefix] += 1

    def answer(self, call: Call) -> Answer:
        now = utc_now().astimezone(_EBAY_DAY)
        reset = datetime.combine(now.date() + timedelta(days=1), time(), _EBAY_DAY)
        wanted_name, wanted_context = call.first("api_name"), call.first("api_context")
        rows: list[dict[str, Any]] = []
        for prefix, (context, name, version, _) in APIS.items():
            if wanted_name not in (None, name) or wanted_context not in (None, context):
                continue
            limit, count = self.limits[prefix], self.counts[prefix]
            rate = {
                "count": count,
                "limit": limit,
                "remaining": max(0, limit - count),
                "reset": reset.astimezone(ZoneInfo("UTC")).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "timeWindow": 86_400,
            }
            resources = [{"name": f"{context}.{name}", "rates": [rate]}]
            rows.append({"apiContext": context, "apiName": name, "apiVersion": version, "resources": resources})
        return Answer(200, encode({"rateLimits": rows})) if rows else Answer(204, b"")
