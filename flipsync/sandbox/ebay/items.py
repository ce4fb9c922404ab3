"""Inventory items: createOrReplace, get, list, bulk get, delete, and the bulk update of price and quantity."""

from __future__ import annotations

import json
from typing import Any

from flipsync.sandbox.ebay import bodies
from flipsync.sandbox.ebay.problems import encode, error, refuse
from flipsync.sandbox.ebay.shop import LIVE, UNLISTED, Shop, counted
from flipsync.sandbox.exchange import Answer, Call, Refusal
from flipsync.sandbox.records import Listing


class Items:
    """The resource inventory_item and its bulk calls."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.books = shop.books

    def view(self, listing: Listing) -> dict[str, Any]:
        """An item without its SKU."""
        shop, body = self.shop, dict(listing.doc["item"])
        total = shop.total(listing)
        if total is not None:
            allocated = {"auction": 0, "fixedPrice": listing.quantity if listing.doc["offer"] is not None else 0}
            ship = {"quantity": total, "allocationByFormat": allocated}
            body["availability"] = {"shipToLocationAvailability": ship}
        group = shop.group_of(listing.sku)
        if group is not None:
            body["inventoryItemGroupKeys"] = body["groupIds"] = [group]
        return {**body, "locale": shop.locale}

    def put(self, call: Call, sku: str) -> Answer:
        body = bodies.parse(call, bodies.ItemBody)
        shop = self.shop
        language(call)
        listing = shop.find(sku)
        fields = body.sent()
        availability = fields.pop("availability", {}).get("shipToLocationAvailability", {})
        quantity = availability.get("quantity")
        title = fields.get("product", {}).get("title", "")
        if listing is None:
            now = self.books.clock.now_ms()
            listing = Listing(
                id=self.books.next_id(),
                channel="ebay",
                sku=sku,
                title=title,
                status=UNLISTED,
                price_minor=None,
                quantity=quantity,
                stock_version=0,
                created_ms=now,
                modified_ms=now,
                doc={"item": fields, "offer": None},
            )
            self.books.add_listing(listing, "created")
            return Answer(201, b"")
        if listing.status == LIVE:
            shop.revise(shop.name(listing))
            missing = [
                name for name in ("title", "description", "imageUrls") if not fields.get("product", {}).get(name)
            ]
            if missing or quantity is None:
                what = ", ".join(missing) or "quantity"
                raise refuse(400, 25018, f"Incomplete account or listing information. {what} is missing.")
        listing.doc["item"], listing.title = fields, title
        if quantity is not None:
            shop.set_total(listing, quantity, "item")
        self.books.save_listing(listing)
        return Answer(204, b"")

    def get(self, call: Call, sku: str) -> Answer:
        found = self.shop.shown(self.shop.known(sku))
        if found is None:
            raise refuse(
                404, 25710, "We didn't find the resource/entity you are requesting. Please verify the request."
            )
        return Answer(200, encode({"sku": sku, **self.view(found)}))

    def delete(self, call: Call, sku: str) -> Answer:
        self.books.delete_listing(self.shop.known(sku))
        return Answer(204, b"")

    def all(self, call: Call) -> Answer:
        limit, offset = page(call, 25, 200)
        there = self.books.count("listing", "channel = 'ebay' AND status <> 'trash'", ())
        rows = self.books.listings(
            "channel = 'ebay' AND status <> 'trash' ORDER BY id LIMIT ? OFFSET ?", (limit, limit * offset)
        )
        shown = [older for row in rows if (older := self.shop.shown(row)) is not None]
        body: dict[str, Any] = {
            "href": href(call, limit, offset),
            "total": counted(there, limit, limit * offset, len(shown)),
            "size": len(shown),
            "limit": limit,
            "inventoryItems": [{"sku": row.sku, **self.view(row)} for row in shown],
        }
        if limit * (offset + 1) < there:
            body["next"] = href(call, limit, offset + 1)
        return Answer(200, encode(body))

    def bulk_get(self, call: Call) -> Answer:
        body = bodies.parse(call, bodies.BulkGet)
        skus = [row.sku for row in body.requests]
        if len(set(skus)) < len(skus):
            raise refuse(400, 25734, "SKU should be unique in the request.")
        rows: list[dict[str, Any]] = []
        for sku in skus:
            try:
                found = self.shop.shown(self.shop.known(sku))
            except Refusal:
                found = None
            if found is None:
                missing = error(25702, f"SKU {sku} is not available in the system", sku=sku)
                rows.append({"statusCode": 404, "sku": sku, "errors": [missing], "warnings": []})
            else:
                item = {"sku": sku, **self.view(found)}
                item.pop("groupIds", None)
                rows.append({"statusCode": 200, "sku": sku, "inventoryItem": item, "errors": [], "warnings": []})
        return Answer(200 if all(row["statusCode"] == 200 for row in rows) else 207, encode({"responses": rows}))

    def bulk_update(self, call: Call) -> Answer:
        body = bodies.parse(call, bodies.BulkUpdate)
        rows: list[dict[str, Any]] = []
        for request in body.requests:
            done: dict[str, Any] = {"sku": request.sku, "statusCode": 200, "errors": [], "warnings": []}
            try:
                with self.books.savepoint():
                    self._update(request)
            except Refusal as refusal:
                done |= {"statusCode": refusal.answer.status, **_errors_of(refusal)}
            rows.append(done)
            rows += [{**done, "offerId": offer.offer_id} for offer in request.offers]
        return Answer(200 if all(row["statusCode"] == 200 for row in rows) else 207, encode({"responses": rows}))

    def _update(self, request: bodies.PriceQuantity) -> None:
        shop = self.shop
        if not request.sku and not request.offers:
            raise refuse(400, 25709, "Invalid value for sku. It is required.")
        listing = shop.known(request.sku) if request.sku else shop.of_offer(request.offers[0].offer_id)
        if listing.status == LIVE:
            shop.revise(shop.name(listing))
        if request.ship_to_location_availability is not None:
            quantity = request.ship_to_location_availability.quantity
            if quantity is None:
                raise refuse(400, 25709, "Invalid value for quantity. It is required.")
            shop.set_total(listing, quantity, "bulk")
        for change in request.offers:
            if listing.doc.get("offer_id") != change.offer_id:
                raise refuse(
                    404, 25713, "This Offer is not available : it is not of this SKU.", offerId=change.offer_id
                )
            if change.price is not None:
                listing.price_minor = price_minor(shop, change.price)
                listing.doc["offer"].setdefault("pricingSummary", {})["price"] = change.price.sent()
            if change.available_quantity is not None:
                shop.set_available(listing, change.available_quantity, "bulk")
        self.books.save_listing(listing)


def price_minor(shop: Shop, price: bodies.Amount) -> int:
    """Minor units. Raises Refusal for another currency or nothing."""
    if price.currency != shop.currency:
        raise refuse(400, 25003, f"Invalid price. The currency of {shop.marketplace_id} is {shop.currency}.")
    whole, _, part = price.value.partition(".")
    minor = int(whole) * 100 + int(part.ljust(2, "0") or 0)
    if minor <= 0:
        raise refuse(400, 25003, "Invalid price. It must be greater than 0.")
    return minor


def language(call: Call) -> None:
    """Text needs the header that says what language it is in."""
    if not call.headers.get("content-language"):
        raise refuse(400, 25709, "Invalid value for header Content-Language.")


def page(call: Call, standard: int, most: int) -> tuple[int, int]:
    """limit and offset of an inventory list; the offset counts pages."""
    limit, offset = call.first("limit") or str(standard), call.first("offset") or "0"
    if not (limit.isdigit() and offset.isdigit() and 1 <= int(limit) <= most):
        raise refuse(400, 25706, f"You have provided invalid pagination values. limit is 1 to {most}.")
    return int(limit), int(offset)


def href(call: Call, limit: int, offset: int) -> str:
    kept = "".join(f"&{name}={value}" for name, value in call.query if name not in ("limit", "offset"))
    return f"{call.origin}{call.full_path}?limit={limit}&offset={offset}{kept}"


def _errors_of(refusal: Refusal) -> dict[str, Any]:
    return dict(json.loads(refusal.answer.body))
