"""Offers and groups: made, changed, published, withdrawn."""

from __future__ import annotations

from typing import Any

from flipsync.sandbox.ebay import bodies
from flipsync.sandbox.ebay.catalog import CATEGORIES
from flipsync.sandbox.ebay.items import href, language, page, price_minor
from flipsync.sandbox.ebay.problems import encode, refuse
from flipsync.sandbox.ebay.settings import LOCATION, POLICIES
from flipsync.sandbox.ebay.shop import LIVE, UNLISTED, Shop
from flipsync.sandbox.exchange import Answer, Call
from flipsync.sandbox.records import Listing


class Offers:
    """The resources offer and inventory_item_group."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.books = shop.books

    def view(self, listing: Listing) -> dict[str, Any]:
        doc, offer = listing.doc, listing.doc["offer"]
        view: dict[str, Any] = {
            "listingDuration": "GTC",
            "hideBuyerDetails": False,
            "includeCatalogProductDetails": True,
            "listingPolicies": {},
            "pricingSummary": {},
            **offer,
            "offerId": doc["offer_id"],
            "sku": listing.sku,
            "marketplaceId": self.shop.marketplace_id,
            "format": "FIXED_PRICE",
            "status": "PUBLISHED" if listing.status == LIVE else "UNPUBLISHED",
        }
        available = self.shop.available(listing)
        if available is not None:
            view["availableQuantity"] = available
        if listing.status == LIVE:
            status = "ACTIVE" if listing.quantity else "OUT_OF_STOCK"
            sold = self.shop.sold(listing)
            view["listing"] = {"listingId": doc["listing_id"], "listingStatus": status, "soldQuantity": sold}
        return view

    def of_sku(self, call: Call) -> Answer:
        limit, offset = page(call, 100, 100)
        sku = call.first("sku")
        if not sku:
            raise refuse(400, 25709, "Invalid value for sku. It is required.")
        if call.first("marketplace_id") not in (None, self.shop.marketplace_id):
            raise refuse(400, 25709, "Invalid value for marketplace_id.")
        found = self.shop.find(sku)
        shown = None if found is None else self.shop.shown(found)
        if shown is None or shown.doc["offer"] is None or call.first("format") not in (None, "FIXED_PRICE"):
            raise refuse(404, 25713, "This Offer is not available : there is none of this SKU.", sku=sku)
        offers = [self.view(shown)][offset * limit : offset * limit + limit]
        body = {"href": href(call, limit, offset), "total": 1, "size": len(offers), "limit": limit, "offers": offers}
        return Answer(200, encode(body))

    def get(self, call: Call, offer_id: str) -> Answer:
        shown = self.shop.shown(self.shop.of_offer(offer_id))
        if shown is None or shown.doc["offer"] is None:
            raise refuse(404, 25713, "This Offer is not available : it does not exist.", offerId=offer_id)
        return Answer(200, encode(self.view(shown)))

    def create(self, call: Call) -> Answer:
        body = bodies.parse(call, bodies.OfferBody)
        language(call)
        if body.marketplace_id != self.shop.marketplace_id:
            raise refuse(400, 25709, f"Invalid value for marketplaceId. {body.marketplace_id}")
        listing = self.shop.known(body.sku, 400)
        if listing.doc["offer"] is not None:
            raise refuse(
                400, 25002, "A user error has occurred. Offer entity already exists.", offerId=listing.doc["offer_id"]
            )
        offer_id = listing.doc["offer_id"] = str(7_000_000_000 + self.books.next_id())
        self._keep(listing, body)
        return Answer(201, encode({"offerId": offer_id, "warnings": []}))

    def update(self, call: Call, offer_id: str) -> Answer:
        body = bodies.parse(call, bodies.OfferUpdate)
        language(call)
        listing = self.shop.of_offer(offer_id)
        if listing.status == LIVE:
            self.shop.revise(self.shop.name(listing))
            if not body.listing_description:
                raise refuse(400, 25016, "The listingDescription value is invalid. It is required.")
        self._keep(listing, body)
        if listing.status == LIVE:
            self._require_publishable(listing)
        return Answer(200, encode({"offerId": offer_id, "warnings": []}))

    def _keep(self, listing: Listing, body: bodies.OfferUpdate) -> None:
        fields = body.sent()
        available = fields.pop("availableQuantity", None)
        for name in ("sku", "marketplaceId", "format"):
            fields.pop(name, None)
        fields.setdefault("listingDescription", listing.doc["item"].get("product", {}).get("description", ""))
        listing.doc["offer"] = fields
        price = body.pricing_summary.price if body.pricing_summary is not None else None
        listing.price_minor = None if price is None else price_minor(self.shop, price)
        self.shop.set_available(listing, available, "offer")
        self.books.save_listing(listing)

    def delete(self, call: Call, offer_id: str) -> Answer:
        listing = self.shop.of_offer(offer_id)
        listing.status, listing.doc["offer"], listing.price_minor = UNLISTED, None, None
        listing.doc.pop("offer_id")
        self.books.save_listing(listing)
        return Answer(204, b"")

    # On sale

    def _require_publishable(self, listing: Listing) -> None:
        offer, product = listing.doc["offer"], listing.doc["item"].get("product", {})
        if not product.get("title"):
            raise refuse(400, 25016, "The title value is invalid. It is required.")
        if not product.get("imageUrls"):
            raise refuse(400, 25014, "Invalid pictures. At least one picture is required.")
        if not listing.doc["item"].get("condition"):
            raise refuse(400, 25021, "Invalid item condition information. It is required.")
        if not offer.get("listingDescription"):
            raise refuse(400, 25016, "The listingDescription value is invalid. It is required.")
        if listing.price_minor is None:
            raise refuse(400, 25003, "Invalid price. It is required.")
        required = CATEGORIES.get(offer.get("categoryId", ""))
        if required is None:
            raise refuse(400, 25005, "Invalid category ID. It is not a leaf category of this marketplace.")
        for name in required.aspects:
            if not any(value for value in product.get("aspects", {}).get(name, [])):
                text = f"A user error has occurred. The item specific {name} is missing. Add {name} to this listing"
                raise refuse(400, 25002, f"{text}, enter a valid value, and then try again.", name=name)
        policies = offer.get("listingPolicies", {})
        for code, kind in ((25008, "payment"), (25007, "fulfillment"), (25009, "return")):
            if policies.get(f"{kind}PolicyId") != POLICIES[kind]:
                raise refuse(400, code, f"Invalid data in the associated {kind} policy.")
        if offer.get("merchantLocationKey") != LOCATION:
            raise refuse(400, 25012, "Invalid inventory location. It does not exist.")

    def publish(self, call: Call, offer_id: str) -> Answer:
        listing = self.shop.of_offer(offer_id)
        if self.shop.group_of(listing.sku) is not None:
            raise refuse(400, 25002, "A user error has occurred. The SKU is part of a group: publish the group.")
        if listing.status != LIVE:
            self._require_publishable(listing)
            if not listing.quantity:
                raise refuse(400, 25004, "Invalid quantity. It must be greater than 0.")
            self._show(listing, self._listing_number())
        return Answer(200, encode({"listingId": listing.doc["listing_id"], "warnings": []}))

    def _listing_number(self) -> str:
        return str(110_000_000_000 + self.books.next_id())

    def _show(self, listing: Listing, number: str) -> None:
        listing.status, listing.doc["listing_id"] = LIVE, number
        self.books.save_listing(listing)

    def withdraw(self, call: Call, offer_id: str) -> Answer:
        listing = self.shop.of_offer(offer_id)
        if listing.status != LIVE:
            raise refuse(400, 25713, "This Offer is not available : it is not published.", offerId=offer_id)
        if self.shop.group_of(listing.sku) is not None:
            raise refuse(400, 25002, "A user error has occurred. The SKU is part of a group: withdraw the group.")
        listing.status = UNLISTED
        self.books.save_listing(listing)
        return Answer(200, encode({"listingId": listing.doc["listing_id"], "warnings": []}))

    # Groups

    def put_group(self, call: Call, key: str) -> Answer:
        body = bodies.parse(call, bodies.GroupBody)
        language(call)
        self.shop.sku(key)
        for sku in body.variant_sku_s:
            if self.shop.find(sku) is None:
                raise refuse(
                    400, 25701, "One or more of the supplied SKU(s) could not be found in the system.", sku=sku
                )
            if self.shop.group_of(sku) not in (None, key):
                raise refuse(400, 25703, f"The following SKU is already a member of another group. SKU {sku}", sku=sku)
        before = self.shop.groups().get(key)
        fields = body.sent()
        fields.pop("inventoryItemGroupKey", None)
        if before is not None:
            live = [listing for listing in self._members(before) if listing.status == LIVE]
            if live:
                self.shop.revise(key)
            for listing in live:
                if listing.sku not in body.variant_sku_s:
                    self._remove(listing)
        self.shop.save_group(key, {"body": fields, "listing_id": None if before is None else before["listing_id"]})
        return Answer(204 if before is not None else 201, b"")

    def _remove(self, listing: Listing) -> None:
        if self.shop.sold(listing):
            text = "A user error has occurred. A variation that has been sold cannot be removed from the listing."
            raise refuse(400, 25002, text, sku=listing.sku)
        listing.status = UNLISTED
        self.books.save_listing(listing)

    def _group(self, key: str, status: int = 404) -> dict[str, Any]:
        group = self.shop.groups().get(key)
        if group is None:
            raise refuse(status, 25705, f"The Inventory Item Group named {key} could not be found.")
        return group

    def _members(self, group: dict[str, Any]) -> list[Listing]:
        found = (self.shop.find(sku) for sku in group["body"]["variantSKUs"])
        return [listing for listing in found if listing is not None]

    def get_group(self, call: Call, key: str) -> Answer:
        return Answer(200, encode({"inventoryItemGroupKey": key, **self._group(key)["body"]}))

    def publish_group(self, call: Call) -> Answer:
        """Every member with an offer, in one listing; those without one stay out of it."""
        body = bodies.parse(call, bodies.GroupCall)
        group = self._group(body.inventory_item_group_key, 400)
        fields = group["body"]
        if not fields.get("title") or not fields.get("imageUrls"):
            raise refuse(400, 25016, "The title or imageUrls value is invalid. It is required.")
        members = [listing for listing in self._members(group) if listing.doc["offer"] is not None]
        choices = {each["name"]: each["values"] for each in fields.get("variesBy", {}).get("specifications", [])}
        for listing in members:
            aspects = listing.doc["item"].get("product", {}).get("aspects", {})
            for name, values in choices.items():
                if not aspects.get(name) or aspects[name][0] not in values:
                    text = "Invalid data in the Inventory Item Group. Variation specifics mismatch"
                    raise refuse(400, 25013, f"{text}: {name} of {listing.sku}.")
            self._require_publishable(listing)
        if not choices or not members or not any(listing.quantity for listing in members):
            raise refuse(400, 25004, "Invalid quantity. At least one variation needs a quantity greater than 0.")
        number = group["listing_id"] or self._listing_number()
        for listing in members:
            if listing.status != LIVE:
                self._show(listing, number)
        self.shop.save_group(body.inventory_item_group_key, {**group, "listing_id": number})
        return Answer(200, encode({"listingId": number, "warnings": []}))

    def withdraw_group(self, call: Call) -> Answer:
        body = bodies.parse(call, bodies.GroupCall)
        group = self._group(body.inventory_item_group_key, 400)
        for listing in self._members(group):
            if listing.status == LIVE:
                listing.status = UNLISTED
                self.books.save_listing(listing)
        self.shop.save_group(body.inventory_item_group_key, {**group, "listing_id": None})
        return Answer(204, b"")
