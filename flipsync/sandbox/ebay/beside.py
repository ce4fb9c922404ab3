"""What eBay has beside listings and orders: offers to watchers, violations and the seller's rating."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Annotated, Any
from zlib import crc32

from pydantic import Field

from flipsync.sandbox.clock import milliseconds, rfc3339
from flipsync.sandbox.ebay.bodies import Amount, Body, Text, parse
from flipsync.sandbox.ebay.problems import encode, refuse
from flipsync.sandbox.ebay.shop import LIVE, Shop
from flipsync.sandbox.exchange import Answer, Call
from flipsync.sandbox.records import Listing


class OfferedItem(Body):
    listing_id: Text
    price: Amount | None = None
    discount_percentage: Text | None = None
    quantity: Annotated[int, Field(strict=True, ge=1)] = 1


class OffersBody(Body):
    offered_items: Annotated[list[OfferedItem], Field(min_length=1)]
    allow_counter_offer: bool = False
    message: Annotated[str, Field(strict=True, max_length=2000)] = ""
    offer_duration: dict[str, Any] | None = None


class Beside:
    """Small parts of three APIs; what they tell follows from the books."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.books = shop.books

    def _live(self) -> list[Listing]:
        return self.books.listings("channel = 'ebay' AND status = ? ORDER BY id", (LIVE,))

    # Negotiation

    def _watched(self) -> dict[str, Listing]:
        """Every third listing has somebody who watches it; one that was offered has nobody left."""
        offered = set(json.loads(self.books.meta("ebay.offered") or "[]"))
        numbers = {str(listing.doc["listing_id"]): listing for listing in self._live() if listing.quantity}
        return {
            number: listing
            for number, listing in numbers.items()
            if crc32(listing.sku.encode()) % 3 == 0 and number not in offered
        }

    def eligible(self, call: Call) -> Answer:
        self._marketplace(call, 150002)
        limit, offset = page_of(call, 200)
        rows = list(self._watched())
        if not rows:
            return Answer(204, b"")
        body: dict[str, Any] = {
            "href": here(call),
            "limit": limit,
            "offset": offset,
            "total": len(rows),
            "eligibleItems": [{"listingId": number} for number in rows[offset : offset + limit]],
        }
        if offset + limit < len(rows):
            body["next"] = f"{here(call)}?limit={limit}&offset={offset + limit}"
        return Answer(200, encode(body))

    def send_offer(self, call: Call) -> Answer:
        self._marketplace(call, 150002)
        body = parse(call, OffersBody, "API_NEGOTIATION")
        if len(body.offered_items) > 1:
            raise refuse(400, 150005, "Offer contains multiple listings.", "API_NEGOTIATION")
        (item,) = body.offered_items
        if (item.price is None) == (item.discount_percentage is None):
            raise refuse(400, 150007, "Give either an offer price or a discount percentage.", "API_NEGOTIATION")
        listing = self._watched().get(item.listing_id)
        if listing is None:
            text = f"Listing {item.listing_id} has no interested buyers."
            raise refuse(409, 150020, text, "API_NEGOTIATION")
        if item.price is not None and Decimal(item.price.value) * 100 >= (listing.price_minor or 0):
            text = f"Invalid price for listing {item.listing_id}. Price value exceeds the listing price."
            raise refuse(409, 150016, text, "API_NEGOTIATION")
        offered = json.loads(self.books.meta("ebay.offered") or "[]")
        self.books.set_meta("ebay.offered", json.dumps([*offered, item.listing_id]))
        now = rfc3339(self.books.clock.now_ms())
        made = {
            "offerId": str(self.books.next_id()),
            "offerType": "SELLER_INITIATED_OFFER",
            "offerStatus": "PENDING",
            "initiatedBy": "SELLER",
            "revision": "1",
            "allowCounterOffer": body.allow_counter_offer,
            "buyer": {"maskedUsername": "a***e"},
            "creationDate": now,
            "lastModifiedDate": now,
            "offerDuration": {"unit": "DAY", "value": 2},
            "offeredItems": [item.sent()],
        }
        return Answer(200, encode({"offers": [made]}))

    def _marketplace(self, call: Call, id: int) -> None:
        given = call.headers.get("x-ebay-c-marketplace-id", "")
        if given != self.shop.marketplace_id:
            raise refuse(400, id, f"The marketplace value {given} is not supported.", "API_NEGOTIATION")

    # Compliance: a listing without a brand will have to have one

    def _unbranded(self) -> list[Listing]:
        return [
            listing
            for listing in self._live()
            if not listing.doc["item"].get("product", {}).get("aspects", {}).get("Brand")
        ]

    def violation_counts(self, call: Call) -> Answer:
        self._marketplace(call, 850101)
        count = len(self._unbranded())
        if not count:
            return Answer(204, b"")
        row = {
            "complianceType": "LISTING_POLICY",
            "marketplaceId": self.shop.marketplace_id,
            "listingCount": count,
        }
        return Answer(200, encode({"violationSummaries": [row]}))

    def violations(self, call: Call) -> Answer:
        self._marketplace(call, 850101)
        kind = call.first("compliance_type")
        if not kind:
            raise refuse(400, 850111, "Compliance type is missing", "API_COMPLIANCE")
        limit, offset = page_of(call, 200)
        found = self._unbranded() if kind == "LISTING_POLICY" else []
        if not found:
            return Answer(204, b"")
        suggested = {"aspectRecommendations": [{"localizedAspectName": "Brand", "suggestedValues": []}]}
        detail = {
            "reasonCode": "MISSING_ASPECT",
            "message": "Add the item specific Brand.",
            "complianceState": "AT_RISK",
            "correctiveRecommendations": suggested,
        }
        rows = [
            {
                "complianceType": kind,
                "listingId": listing.doc["listing_id"],
                "sku": listing.sku,
                "offerId": listing.doc["offer_id"],
                "violations": [detail],
            }
            for listing in found
        ]
        body: dict[str, Any] = {
            "href": here(call),
            "limit": limit,
            "offset": offset,
            "total": len(rows),
            "listingViolations": rows[offset : offset + limit],
        }
        if offset + limit < len(rows):
            body["next"] = f"{here(call)}?compliance_type={kind}&limit={limit}&offset={offset + limit}"
        return Answer(200, encode(body))

    # Analytics

    def standards(self, call: Call) -> Answer:
        now = self.books.clock.now()
        level = self.books.meta("ebay.standards_level") or "ABOVE_STANDARD"
        profile = {
            "program": "PROGRAM_US",
            "standardsLevel": level,
            "defaultProgram": True,
            "cycle": {
                "cycleType": "CURRENT",
                "evaluationDate": rfc3339(milliseconds(now)),
                "evaluationMonth": f"{now:%Y-%m}",
            },
            "metrics": [{"metricKey": "DEFECTIVE_TRANSACTION_RATE", "level": level, "type": "FRACTION"}],
        }
        return Answer(200, encode({"standardsProfiles": [profile]}))


def page_of(call: Call, most: int) -> tuple[int, int]:
    limit, offset = call.first("limit") or "10", call.first("offset") or "0"
    if not (limit.isdigit() and offset.isdigit() and 1 <= int(limit) <= most):
        raise refuse(400, 135003, "The value of pagination is invalid.", "API_FINANCES")
    return int(limit), int(offset)


def here(call: Call) -> str:
    return f"{call.origin}{call.full_path}"
