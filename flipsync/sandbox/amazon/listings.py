"""Listings Items 2021-08-01 over the books. What is accepted is true at once, and shown a moment later."""

from __future__ import annotations

import base64
import copy
from dataclasses import replace
from typing import Any
from uuid import uuid4

from flipsync.sandbox.amazon.rules import Issue, first, issue, judge, rows, terms
from flipsync.sandbox.amazon.world import MARKETPLACE, WAREHOUSE, CatalogueItem, World, encode, invalid, moment, refuse
from flipsync.sandbox.clock import milliseconds, rfc3339
from flipsync.sandbox.exchange import Answer, Call, parse_object
from flipsync.sandbox.records import Listing

_WINDOW = 1000
_KINDS = ("EAN", "GTIN", "ISBN", "JAN", "UPC")


class Listings:
    """The seller's listings."""

    def __init__(self, world: World) -> None:
        self.world = world

    # Reading

    def get(self, call: Call, seller: str, sku: str) -> Answer:
        parent = self.world.get("parent", sku)
        listing = self.world.seen(sku)
        if listing is None and parent is None:
            raise refuse(404, "NOT_FOUND", f"SKU '{sku}' not found in marketplace {MARKETPLACE}")
        return Answer(200, encode(self._parent(sku, call) if listing is None else self._view(listing, call)))

    def search(self, call: Call, seller: str) -> Answer:
        identifiers, kind = call.first("identifiers"), call.first("identifiersType")
        if (identifiers is None) != (kind is None):
            raise invalid("identifiers and identifiersType belong together.")
        where = "channel = 'amazon' AND status <> 'ended'"
        params: list[Any] = []
        after = call.first("createdAfter")
        if after is not None:
            where, params = f"{where} AND created_ms >= ?", [milliseconds(moment(after))]
        books, size, start = self.world.books, int(call.first("pageSize") or 10), _offset(call.first("pageToken"))
        if identifiers is not None:
            wanted = identifiers.split(",")
            if kind == "SKU":
                where, params = f"{where} AND sku IN ({','.join('?' * len(wanted))})", [*params, *wanted]
            found = books.listings(f"{where} ORDER BY created_ms, id", params)
            chosen = [listing for listing in found if self._is(listing, str(kind), set(wanted))]
            count, there = len(chosen), chosen[start : start + size]
        else:
            count = books.count("listing", where, params)
            last = max(0, min(size, _WINDOW - start))
            there = books.listings(f"{where} ORDER BY created_ms, id LIMIT {last} OFFSET {start}", params)
        page = [seen for row in there if (seen := self.world.seen(row.sku)) is not None]
        more = start + size < min(count, _WINDOW)
        body = {
            "numberOfResults": count,
            "pagination": {"nextToken": _token(start + size)} if more else {},
            "items": [self._view(listing, call) for listing in page],
        }
        return Answer(200, encode(body))

    def _is(self, listing: Listing, kind: str, wanted: set[str]) -> bool:
        if kind == "SKU":
            return listing.sku in wanted
        if kind == "ASIN":
            return listing.doc["asin"] in wanted
        item = self.world.item(listing.doc["asin"])
        return kind in _KINDS and item is not None and item.identifier in {name.zfill(14) for name in wanted}

    def _view(self, listing: Listing, call: Call) -> dict[str, Any]:
        item = self.world.item(listing.doc["asin"])
        buyable = listing.sellable(1)
        availability: list[dict[str, Any]] = [{"fulfillmentChannelCode": WAREHOUSE}]
        if listing.doc.get("warehouse") is None:
            availability = [{"fulfillmentChannelCode": "DEFAULT", "quantity": max(0, listing.quantity or 0)}]
        parent = [row["parent_sku"] for row in rows(listing.doc["attributes"], "child_parent_sku_relationship")]
        relation = {
            "type": "VARIATION",
            "parentSkus": parent,
            "variationTheme": {"attributes": [], "theme": _theme(listing.doc["attributes"])},
        }
        parts: dict[str, Any] = {
            "summaries": [
                {
                    "marketplaceId": MARKETPLACE,
                    "asin": listing.doc["asin"],
                    "productType": listing.doc["product_type"],
                    "conditionType": first(listing.doc["attributes"], "condition_type") or "new_new",
                    "status": ["BUYABLE", "DISCOVERABLE"] if buyable else ["DISCOVERABLE"],
                    "itemName": item.title if item else listing.title,
                    "createdDate": rfc3339(listing.created_ms),
                    "lastUpdatedDate": rfc3339(listing.modified_ms),
                }
            ],
            "attributes": self._attributes(listing),
            "issues": [],
            "offers": self._offers(listing),
            "fulfillmentAvailability": availability,
            "relationships": [{"marketplaceId": MARKETPLACE, "relationships": [relation] if parent else []}],
            "productTypes": [{"marketplaceId": MARKETPLACE, "productType": listing.doc["product_type"]}],
        }
        return {"sku": listing.sku, **{name: parts[name] for name in _included(call) if name in parts}}

    def _offers(self, listing: Listing) -> list[dict[str, Any]]:
        if listing.price_minor is None:
            return []
        price = {"currencyCode": self.world.currency, "amount": f"{listing.price_minor / 100:.2f}"}
        audience = {"value": "ALL", "displayName": "Sell on Amazon"}
        return [{"marketplaceId": MARKETPLACE, "offerType": "B2C", "price": price, "audience": audience}]

    def _attributes(self, listing: Listing) -> dict[str, Any]:
        """As submitted, with price and units as they are now."""
        shown = copy.deepcopy(listing.doc["attributes"])
        for row in rows(shown, "fulfillment_availability"):
            if row.get("fulfillment_channel_code") == "DEFAULT":
                row["quantity"] = max(0, listing.quantity or 0)
        return dict(shown)

    def _parent(self, sku: str, call: Call) -> dict[str, Any]:
        doc = self.world.get("parent", sku) or {}
        children = [
            listing.sku
            for listing in self.world.books.listings("channel = 'amazon' AND status <> 'ended' ORDER BY id", ())
            if any(
                row.get("parent_sku") == sku for row in rows(listing.doc["attributes"], "child_parent_sku_relationship")
            )
        ]
        relation = {
            "type": "VARIATION",
            "childSkus": children,
            "variationTheme": {"attributes": [], "theme": _theme(doc["attributes"])},
        }
        parts: dict[str, Any] = {
            "summaries": [
                {
                    "marketplaceId": MARKETPLACE,
                    "productType": doc["product_type"],
                    "status": ["DISCOVERABLE"],
                    "itemName": first(doc["attributes"], "item_name"),
                    "createdDate": doc["created"],
                    "lastUpdatedDate": doc["created"],
                }
            ],
            "attributes": doc["attributes"],
            "issues": [],
            "offers": [],
            "fulfillmentAvailability": [],
            "relationships": [{"marketplaceId": MARKETPLACE, "relationships": [relation]}],
            "productTypes": [{"marketplaceId": MARKETPLACE, "productType": doc["product_type"]}],
        }
        return {"sku": sku, **{name: parts[name] for name in _included(call) if name in parts}}

    # Writing

    def put(self, call: Call, seller: str, sku: str) -> Answer:
        body = parse_object(call.body)
        known = {"productType", "requirements", "attributes"}
        if body is None or not {"productType", "attributes"} <= set(body) <= known:
            raise invalid("The body needs productType and attributes, and may have requirements.")
        requirements, attributes = body.get("requirements", "LISTING"), body["attributes"]
        if requirements not in ("LISTING", "LISTING_PRODUCT_ONLY", "LISTING_OFFER_ONLY") or not isinstance(
            attributes, dict
        ):
            raise invalid("requirements or attributes are not valid.")
        found = judge(self.world, str(body["productType"]), requirements, attributes)
        if call.first("mode") is not None:
            return self._submission(sku, "INVALID" if found else "VALID", found)
        if not found:
            self._apply(sku, str(body["productType"]), attributes)
        return self._submission(sku, "INVALID" if found else "ACCEPTED", found)

    def _apply(self, sku: str, product_type: str, attributes: dict[str, Any]) -> None:
        if first(attributes, "parentage_level") == "parent":
            created = rfc3339(self.world.books.clock.now_ms())
            self.world.put("parent", sku, {"product_type": product_type, "attributes": attributes, "created": created})
            return
        item = self._item_for(sku, product_type, attributes)
        said = terms(attributes)
        doc = {"asin": item.asin, "product_type": product_type, "attributes": attributes}
        existing = self.world.books.listing_by_sku("amazon", sku)
        self.world.before_write(sku)
        if existing is not None:
            known = replace(existing, status="active", title=item.title, price_minor=said.price_minor, doc=doc)
            self.world.books.save_listing(known)
            self.world.books.set_stock(known, said.quantity or 0, "set by seller", "")
            return
        now = self.world.books.clock.now_ms()
        listing = Listing(
            id=self.world.books.next_id(),
            channel="amazon",
            sku=sku,
            title=item.title,
            status="active",
            price_minor=said.price_minor,
            quantity=said.quantity or 0,
            stock_version=0,
            created_ms=now,
            modified_ms=now,
            doc=doc,
        )
        self.world.books.add_listing(listing, "")

    def _item_for(self, sku: str, product_type: str, attributes: dict[str, Any]) -> CatalogueItem:
        """The page of the goods: the suggested one, the one with the barcode, else a new one."""
        suggested = self.world.item(str(first(attributes, "merchant_suggested_asin")))
        barcode = str(first(attributes, "externally_assigned_product_identifier") or "")
        known = self.world.by_barcode(barcode) if barcode else []
        item = suggested or next(iter(known), None) or self.world.described_by(sku)
        title = str(first(attributes, "item_name") or "")
        if item is None:
            brand = str(first(attributes, "brand"))
            return self.world.add_to_catalogue(title, brand, product_type, barcode, owner_sku=sku)
        if item.owner_sku == sku and title:
            item = replace(item, title=title)
            self.world.save_item(item)
        return item

    def patch(self, call: Call, seller: str, sku: str) -> Answer:
        body = parse_object(call.body)
        patches = (body or {}).get("patches")
        if body is None or set(body) != {"productType", "patches"} or not isinstance(patches, list) or not patches:
            raise invalid("The body needs productType and patches.")
        found = self.apply_patches(sku, patches, preview=call.first("mode") is not None)
        accepted = "VALID" if call.first("mode") is not None else "ACCEPTED"
        return self._submission(sku, "INVALID" if found else accepted, found)

    def apply_patches(self, sku: str, patches: list[Any], *, preview: bool = False) -> list[Issue]:
        """Change a listing as the patches say; what is wrong with them, where nothing is changed."""
        listing = self.world.listing(sku)
        if listing is None:
            return [issue("8541", f"SKU '{sku}' does not exist.", "INVALID_ATTRIBUTE")]
        attributes = self._attributes(listing)
        for patch in patches:
            name = str(patch.get("path", "")) if isinstance(patch, dict) else ""
            if not name.startswith("/attributes/") or "/" in name[12:]:
                raise invalid(f"The path '{name}' is not that of an attribute.")
            _patch(attributes, str(patch.get("op")), name[12:], patch.get("value"))
        judged = judge(self.world, listing.doc["product_type"], "LISTING_PRODUCT_ONLY", attributes)
        # What an offer on another's page leaves out is not missed.
        found = [row for row in judged if row["code"] != "90220"]
        if found or preview:
            return found
        self._change(listing, attributes)
        return []

    def _change(self, listing: Listing, attributes: dict[str, Any]) -> None:
        self.world.before_write(listing.sku)
        said = terms(attributes)
        item = self.world.item(listing.doc["asin"])
        if item is not None and item.owner_sku == listing.sku:
            item = replace(item, title=str(first(attributes, "item_name") or item.title))
            self.world.save_item(item)
            listing.title = item.title
        listing.price_minor = said.price_minor
        listing.doc["attributes"] = attributes
        if said.quantity is not None:
            # Own units make it an own listing, even where Amazon's warehouse supplied it until now.
            listing.doc.pop("warehouse", None)
        self.world.books.save_listing(listing)
        if said.quantity is not None and said.quantity != listing.quantity:
            self.world.books.set_stock(listing, said.quantity, "set by seller", "")

    def delete(self, call: Call, seller: str, sku: str) -> Answer:
        listing = self.world.listing(sku)
        if listing is not None:
            self.world.before_write(sku)
            listing.status = "ended"
            self.world.books.save_listing(listing)
        return self._submission(sku, "ACCEPTED", [])

    def accepted(self, sku: str) -> Answer:
        return self._submission(sku, "ACCEPTED", [])

    def _submission(self, sku: str, status: str, issues: list[Issue]) -> Answer:
        body = {"sku": sku, "status": status, "submissionId": uuid4().hex, "issues": issues}
        return Answer(200, encode(body))


def _patch(attributes: dict[str, Any], op: str, name: str, value: Any) -> None:
    if op == "delete":
        attributes.pop(name, None)
        return
    if op not in ("add", "replace", "merge") or not isinstance(value, list):
        raise invalid(f"The operation '{op}' is not one of add, replace, merge, delete, or has no value.")
    if op == "merge" and name == "fulfillment_availability":
        told = {row.get("fulfillment_channel_code"): row for row in value if isinstance(row, dict)}
        if not all(told):
            raise invalid("A merge names the fulfillment_channel_code of each row.")
        known = {row.get("fulfillment_channel_code"): row for row in rows(attributes, name)}
        attributes[name] = [{**known.get(code, {}), **told.get(code, {})} for code in {**known, **told}]
        return
    attributes[name] = value


def _included(call: Call) -> list[str]:
    return (call.first("includedData") or "summaries").split(",")


def _theme(attributes: dict[str, Any]) -> str:
    return next((str(row.get("name")) for row in rows(attributes, "variation_theme")), "")


def _token(offset: int) -> str:
    return base64.urlsafe_b64encode(f"o{offset}".encode()).decode()


def _offset(token: str | None) -> int:
    if token is None:
        return 0
    try:
        return int(base64.urlsafe_b64decode(token.encode()).decode().removeprefix("o"))
    except ValueError:
        raise invalid("The page token is not valid.") from None
