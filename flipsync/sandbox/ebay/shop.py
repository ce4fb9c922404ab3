"""What eBay knows of the seller: inventory items with their offer, groups, and how often each listing was revised.

One row of the books is one inventory item with at most one offer; its quantity is what the listing shows. `doc` holds
the item and the offer as they were sent.
"""

from __future__ import annotations

import json
import re
from typing import Any
from zoneinfo import ZoneInfo

from flipsync.sandbox.books import Books
from flipsync.sandbox.ebay.problems import refuse
from flipsync.sandbox.faults import Faults
from flipsync.sandbox.market import Market
from flipsync.sandbox.records import Listing
from flipsync.sandbox.webhooks import Webhooks

REVISIONS_A_DAY = 250
_EBAY_DAY = ZoneInfo("America/Los_Angeles")
_SKU = re.compile(r"[A-Za-z0-9._-]{1,50}")
#: a row that buyers see; everything else is an inventory item or an unpublished offer
LIVE = "active"
UNLISTED = "unlisted"


class Shop:
    """Shared by the APIs; everything happens inside the exchange's transaction."""

    def __init__(self, market: Market, faults: Faults, webhooks: Webhooks, marketplace_id: str, seller: str) -> None:
        self.market = market
        self.books: Books = market.books
        self.orders = market.orders
        self.currency = market.orders.currency
        self.faults = faults
        self.webhooks = webhooks
        self.marketplace_id = marketplace_id
        self.seller = seller
        self.locale = "en_US"
        self._indexed, self._group_of = "{}", dict[str, str]()

    # Inventory items

    def sku(self, text: str) -> str:
        """Raises Refusal for what no SKU can be."""
        if not _SKU.fullmatch(text):
            message = "This is an invalid value for a SKU. Only alphanumeric characters can be used for SKUs, and their"
            raise refuse(400, 25707, f"{message} length must not exceed 50 characters.")
        return text

    def find(self, sku: str) -> Listing | None:
        return self.books.listing_by_sku("ebay", self.sku(sku))

    def known(self, sku: str, status: int = 404) -> Listing:
        found = self.find(sku)
        if found is None:
            raise refuse(status, 25702, f"{sku} could not be found or is not available in the system.", sku=sku)
        return found

    def shown(self, listing: Listing) -> Listing | None:
        """The row as this read sees it: maybe as it was a moment ago."""
        age = self.faults.stale_age("ebay")
        return self.books.listing_as_of(listing, age) if age else listing

    def of_offer(self, offer_id: str) -> Listing:
        """The row with that offer."""
        if offer_id.isdigit() and len(offer_id) < 16:
            rows = self.books.listings("channel = 'ebay' AND json_extract(doc, '$.offer_id') = ? LIMIT 1", (offer_id,))
            if rows:
                return rows[0]
        raise refuse(404, 25713, "This Offer is not available : the offer does not exist.", offerId=offer_id)

    def total(self, listing: Listing) -> int | None:
        """The item's ship-to-home quantity; the listing may show fewer of them."""
        return None if listing.quantity is None else listing.quantity + int(listing.doc.get("beyond", 0))

    def set_total(self, listing: Listing, total: int, cause: str) -> None:
        """Set the item's quantity; the listing shows the smaller of it and the offer's own."""
        available = self.available(listing)
        shown = total if available is None else min(total, available)
        listing.doc["beyond"] = total - shown
        listing.doc["spare"] = 0 if available is None else available - shown
        self.books.set_stock(listing, shown, "set by seller", cause)

    def available(self, listing: Listing) -> int | None:
        """The offer's own quantity, where it has one."""
        offer = listing.doc.get("offer")
        if offer is None or "availableQuantity" not in offer:
            return None
        return (listing.quantity or 0) + int(listing.doc.get("spare", 0))

    def set_available(self, listing: Listing, available: int | None, cause: str) -> None:
        total = self.total(listing)
        offer = listing.doc["offer"]
        if available is None:
            offer.pop("availableQuantity", None)
        else:
            offer["availableQuantity"] = available
        shown = total if available is None or total is None else min(total, available)
        listing.doc["beyond"] = 0 if total is None or shown is None else total - shown
        listing.doc["spare"] = 0 if available is None or shown is None else available - shown
        if shown is not None:
            self.books.set_stock(listing, shown, "set by seller", cause)

    def sold(self, listing: Listing) -> int:
        """Units that left the shelf for buyers."""
        row = self.books.db.execute(
            "SELECT -coalesce(sum(delta), 0) FROM stock_change WHERE listing_id = ? AND cause = 'sale'", (listing.id,)
        ).fetchone()
        return int(row[0])

    # Groups

    def groups(self) -> dict[str, dict[str, Any]]:
        return dict(json.loads(self.books.meta("ebay.groups") or "{}"))

    def save_group(self, key: str, group: dict[str, Any] | None) -> None:
        groups = self.groups()
        if group is None:
            groups.pop(key, None)
        else:
            groups[key] = group
        self.books.set_meta("ebay.groups", json.dumps(groups))

    def group_of(self, sku: str) -> str | None:
        text = self.books.meta("ebay.groups") or "{}"
        if text != self._indexed:
            groups = json.loads(text)
            self._indexed, self._group_of = (
                text,
                {member: key for key, group in groups.items() for member in group["body"]["variantSKUs"]},
            )
        return self._group_of.get(sku)

    # Revisions

    def revise(self, name: str) -> None:
        """Count a revision of a live listing. Raises Refusal when today's are used."""
        today = self.books.clock.now().astimezone(_EBAY_DAY).date().isoformat()
        day, _, count = (self.books.meta(f"ebay.revised.{name}") or "").partition(" ")
        used = int(count) if day == today else 0
        if used >= REVISIONS_A_DAY:
            text = f"Cannot revise listing. You have exceeded the limit of {REVISIONS_A_DAY} revisions for this listing"
            raise refuse(400, 25019, f"{text} today.")
        self.books.set_meta(f"ebay.revised.{name}", f"{today} {used + 1}")

    def name(self, listing: Listing) -> str:
        """What is revised with this row: its group's listing, or its own."""
        return self.group_of(listing.sku) or listing.sku


def counted(there: int, limit: int, offset: int, shown: int) -> int:
    """The total that a page tells: a list that leaves rows out, by a fault, does so as if that was all."""
    return there - (max(0, min(limit, there - offset)) - shown)
