"""Reports 2021-06-30: all listings of the seller in the tab-separated file Amazon makes of them, after a while."""

from __future__ import annotations

import time
from uuid import uuid4

from flipsync.sandbox.amazon.feeds import Feeds
from flipsync.sandbox.amazon.world import MARKETPLACE, World, encode, invalid, refuse
from flipsync.sandbox.clock import rfc3339
from flipsync.sandbox.exchange import Answer, Call, parse_object

#: Real seconds until a report is there.
MAKING_SECONDS = 0.2
_LISTINGS = "GET_MERCHANT_LISTINGS_ALL_DATA"
_COLUMNS = ("item-name", "listing-id", "seller-sku", "price", "quantity", "open-date", "asin1", "fulfillment-channel")


class Reports:
    """Reports are made when they are read for the first time after their moment."""

    def __init__(self, world: World, feeds: Feeds) -> None:
        self.world = world
        self.feeds = feeds

    def create(self, call: Call) -> Answer:
        body = parse_object(call.body)
        known = {"reportType", "marketplaceIds", "dataStartTime", "dataEndTime", "reportOptions"}
        if body is None or not {"reportType", "marketplaceIds"} <= set(body) <= known:
            raise invalid("reportType and marketplaceIds are required.")
        if body["reportType"] != _LISTINGS or body["marketplaceIds"] != [MARKETPLACE]:
            raise invalid("The report type or the marketplace is not one that is served.")
        number = str(self.world.books.next_id())
        doc = {
            "reportId": number,
            "reportType": _LISTINGS,
            "marketplaceIds": [MARKETPLACE],
            "createdTime": rfc3339(self.world.books.clock.now_ms()),
            "processingStatus": "IN_QUEUE",
            "due": time.time() + MAKING_SECONDS,
        }
        self.world.put("report", number, doc)
        return Answer(202, encode({"reportId": number}))

    def get(self, call: Call, number: str) -> Answer:
        doc = self.world.get("report", number)
        if doc is None:
            raise refuse(404, "NotFound", "There is no such report.")
        if doc["processingStatus"] == "IN_QUEUE" and doc["due"] <= time.time():
            name = f"amzn1.spdoc.1.4.na.{uuid4()}"
            self.feeds.keep(name, self._listings())
            doc |= {"processingStatus": "DONE", "reportDocumentId": name}
            self.world.put("report", number, doc)
        return Answer(200, encode({key: value for key, value in doc.items() if key != "due"}))

    def _listings(self) -> bytes:
        rows = ["\t".join(_COLUMNS)]
        for listing in self.world.books.listings("channel = 'amazon' AND status <> 'ended' ORDER BY sku", ()):
            warehouse = listing.doc.get("warehouse")
            fields = {
                "item-name": listing.title,
                "listing-id": str(listing.id),
                "seller-sku": listing.sku,
                "price": "" if listing.price_minor is None else f"{listing.price_minor / 100:.2f}",
                "quantity": "" if warehouse else str(listing.quantity or 0),
                "open-date": rfc3339(listing.created_ms),
                "asin1": listing.doc["asin"],
                "fulfillment-channel": warehouse or "DEFAULT",
            }
            rows.append("\t".join(fields[name].replace("\t", " ") for name in _COLUMNS))
        return "\r\n".join(rows).encode()

    def get_document(self, call: Call, name: str) -> Answer:
        address = self.feeds.address_of(name)
        return Answer(200, encode({"reportDocumentId": name, "url": address, "compressionAlgorithm": "GZIP"}))
