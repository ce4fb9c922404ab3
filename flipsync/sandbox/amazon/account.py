"""Sellers v1, FBA Inventory v1 and Tokens 2021-03-01."""

from __future__ import annotations

from typing import Any

from flipsync.sandbox.amazon.lwa import Login
from flipsync.sandbox.amazon.world import MARKETPLACE, World, encode, invalid
from flipsync.sandbox.clock import rfc3339
from flipsync.sandbox.exchange import Answer, Call, parse_object


class Account:
    """The seller's account, and the goods it has in Amazon's warehouse."""

    def __init__(self, world: World, login: Login) -> None:
        self.world = world
        self.login = login

    def sellers(self, call: Call) -> Answer:
        marketplace = {
            "id": MARKETPLACE,
            "name": "Amazon.com",
            "countryCode": "US",
            "defaultCurrencyCode": self.world.currency,
            "defaultLanguageCode": "en_US",
            "domainName": "www.amazon.com",
        }
        participation = {"isParticipating": True, "hasSuspendedListings": False}
        row = {"marketplace": marketplace, "participation": participation, "storeName": "Sandbox Store"}
        return Answer(200, encode({"payload": [row]}))

    def inventory(self, call: Call) -> Answer:
        skus = call.first("sellerSkus")
        wanted = set(skus.split(",")) if skus is not None else None
        summaries: list[dict[str, Any]] = []
        for listing in self.world.books.listings("channel = 'amazon' AND status <> 'ended' ORDER BY id", ()):
            if listing.doc.get("warehouse") is None or (wanted is not None and listing.sku not in wanted):
                continue
            units = max(0, listing.quantity or 0)
            details = {"fulfillableQuantity": units, "inboundWorkingQuantity": 0, "inboundShippedQuantity": 0}
            summaries.append(
                {
                    "asin": listing.doc["asin"],
                    "fnSku": f"X00{listing.id:07d}",
                    "sellerSku": listing.sku,
                    "condition": "NewItem",
                    "inventoryDetails": {**details, "inboundReceivingQuantity": 0},
                    "lastUpdatedTime": rfc3339(listing.modified_ms),
                    "productName": listing.title,
                    "totalQuantity": units,
                }
            )
        start, size = int(call.first("nextToken") or 0), 50
        payload = {
            "granularity": {"granularityType": "Marketplace", "granularityId": MARKETPLACE},
            "inventorySummaries": summaries[start : start + size],
        }
        more = {"pagination": {"nextToken": str(start + size)}} if start + size < len(summaries) else {}
        return Answer(200, encode({"payload": payload, **more}))

    def restricted(self, call: Call) -> Answer:
        """createRestrictedDataToken: good for what is asked; labels want one."""
        body = parse_object(call.body)
        resources = (body or {}).get("restrictedResources")
        if not isinstance(resources, list) or not 1 <= len(resources) <= 50:
            raise invalid("Give 1 to 50 restrictedResources.")
        if any(not isinstance(row, dict) or not {"method", "path"} <= set(row) for row in resources):
            raise invalid("method and path of each resource are required.")
        token = self.login.restrict(call, resources)
        return Answer(200, encode({"restrictedDataToken": token, "expiresIn": 3600}))
