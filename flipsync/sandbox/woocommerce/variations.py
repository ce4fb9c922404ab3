"""Variations of a variable product: /products/{id}/variations and their batch."""

from __future__ import annotations

from typing import Any

from flipsync.sandbox.exchange import Answer, Call, Refusal
from flipsync.sandbox.records import Listing
from flipsync.sandbox.woocommerce import wire
from flipsync.sandbox.woocommerce.products import Products, new_document
from flipsync.sandbox.woocommerce.shop import Row, run_batch

_OWN = (
    *("description", "sku", "global_unique_id", "regular_price", "sale_price", "status", "virtual", "downloadable"),
    *("tax_status", "tax_class", "manage_stock", "stock_quantity", "inventory_delta", "stock_status", "backorders"),
    *("weight", "dimensions", "shipping_class", "menu_order", "meta_data", "_read_quantity"),
)
#: What of a product's view a variation has too, in the order the shop writes it.
_SHOWN = (
    *("id", "date_created", "date_created_gmt", "date_modified", "date_modified_gmt", "description", "permalink"),
    *("sku", "global_unique_id", "price", "regular_price", "sale_price", "date_on_sale_from"),
    *("date_on_sale_from_gmt", "date_on_sale_to", "date_on_sale_to_gmt", "on_sale", "status", "purchasable"),
    *("virtual", "downloadable", "downloads", "download_limit", "download_expiry", "tax_status", "tax_class"),
    *("manage_stock", "stock_quantity", "stock_status", "backorders", "backorders_allowed", "backordered"),
    *("low_stock_amount", "weight", "dimensions", "shipping_class", "shipping_class_id"),
)
_ORDERINGS = {"date": "created_ms", "modified": "modified_ms", "id": "id", "include": "id", "title": "id", "slug": "id"}


class Variations:
    """The variations of one product after another; the product is the first argument of every call."""

    def __init__(self, products: Products) -> None:
        self.products = products
        self.shop = products.shop
        self.books = products.books
        products.on_saved = self._parent_changed

    # Calls

    def collection(self, call: Call, product_id: int) -> Answer:
        parent = self._parent(product_id, 404)
        page = wire.page_of(call)
        conditions, params = wire.date_filters(call, self.shop.zone, "created_ms")
        status = call.first("status") or "any"
        conditions += ["json_extract(doc, '$.parent_id') = ?", "status <> 'trash'" if status == "any" else "status = ?"]
        params += [product_id] if status == "any" else [product_id, status]
        skus = wire.word_list(call, "sku")
        if skus:
            conditions.append(f"sku IN ({','.join('?' * len(skus))})")
            params += skus
        where = " AND ".join(conditions)
        total = self.books.count("listing", where, params)
        order = wire.ordering(call, _ORDERINGS)
        rows = self.books.listings(f"{where} ORDER BY {order} LIMIT ? OFFSET ?", [*params, page.size, page.offset])
        age = self.shop.faults.stale_age("woo")
        shown = [older for row in rows if (older := self.books.listing_as_of(row, age) if age else row) is not None]
        return wire.list_answer(call, [self.view(row, parent) for row in shown], total, page)

    def get(self, call: Call, product_id: int, variation_id: int) -> Answer:
        parent = self._parent(product_id, 404)
        listing = self._find(product_id, variation_id, 404)
        age = self.shop.faults.stale_age("woo")
        older = self.books.listing_as_of(listing, age) if age else listing
        if older is None:
            raise _unknown(404)
        return wire.json_answer(wire.chosen_fields(call, self.view(older, parent)))

    def post(self, call: Call, body: Row, product_id: int) -> Answer:
        variation = self.create(product_id, body)
        location = f"{self.shop.url}/wp-json/wc/v3/products/{product_id}/variations/{variation['id']}"
        return wire.json_answer(variation, 201, {"Location": location})

    def put(self, call: Call, body: Row, product_id: int, variation_id: int) -> Answer:
        return wire.json_answer(self.update(product_id, variation_id, body))

    def delete(self, call: Call, body: Row, product_id: int, variation_id: int) -> Answer:
        force = (call.first("force") or str(body.get("force", ""))).lower() in ("true", "1")
        return wire.json_answer(self.remove(product_id, variation_id, force=force))

    def batch(self, call: Call, body: Row, product_id: int) -> Answer:
        return run_batch(
            self.shop,
            body,
            lambda fields: self.create(product_id, fields),
            lambda row_id, fields: self.update(product_id, row_id, fields),
            lambda row_id: self.remove(product_id, row_id, force=True),
        )

    # What they do

    def _parent(self, product_id: int, missing_status: int) -> Listing:
        parent = self.books.listing(product_id)
        if parent is None or parent.channel != "woo" or "parent_id" in parent.doc:
            raise wire.refusal(missing_status, "woocommerce_rest_product_invalid_id", "Invalid ID.")
        return parent

    def _find(self, product_id: int, variation_id: int, missing_status: int) -> Listing:
        listing = self.books.listing(variation_id)
        if listing is None or listing.channel != "woo" or listing.doc.get("parent_id") != product_id:
            raise _unknown(missing_status)
        return listing

    def create(self, product_id: int, body: Row) -> Row:
        parent = self._parent(product_id, 404)
        now = self.books.clock.now_ms()
        listing = Listing(
            id=self.books.next_id(),
            channel="woo",
            sku="",
            title=parent.title,
            status="publish",
            price_minor=None,
            quantity=None,
            stock_version=0,
            created_ms=now,
            modified_ms=now,
            doc={**new_document(), "type": "variation", "parent_id": parent.id, "choices": []},
        )
        listing.quantity = self._apply(listing, parent, body, creating=True)
        self.books.add_listing(listing, f"POST /products/{product_id}/variations")
        self.books.save_listing(parent)  # its price range and its date move
        return self.view(listing, parent)

    def update(self, product_id: int, variation_id: int, body: Row) -> Row:
        parent = self._parent(product_id, 404)
        listing = self._find(product_id, variation_id, 400)
        units = self._apply(listing, parent, body, creating=False)
        self.books.save_listing(listing)
        if units != listing.quantity:
            reference = f"PUT /products/{product_id}/variations/{variation_id}"
            self.books.set_stock(listing, units, "set by seller", reference)
        return self.view(listing, parent)

    def remove(self, product_id: int, variation_id: int, *, force: bool) -> Row:
        parent = self._parent(product_id, 404)
        listing = self._find(product_id, variation_id, 404)
        view = self.view(listing, parent)
        if force:
            self.books.delete_listing(listing)
        elif listing.status == "trash":
            raise wire.refusal(
                410, "woocommerce_rest_already_trashed", "The product_variation has already been deleted."
            )
        else:
            listing.status = "trash"
            self.books.save_listing(listing)
        return view

    def _apply(self, listing: Listing, parent: Listing, body: Row, *, creating: bool) -> int | None:
        fields = {name: body[name] for name in _OWN if name in body}
        if isinstance(body.get("image"), dict):
            fields["images"] = [body["image"]]
        units = self.products.apply(listing, fields, creating=creating)
        if "attributes" in body:
            listing.doc["choices"] = _choices(parent, wire.typed(body, "attributes", "array"))
        listing.doc["parent_status"] = parent.status
        listing.title = _title(parent, listing)
        return units

    def _parent_changed(self, parent: Listing) -> None:
        """A product's name, status and end are its variations' too."""
        if parent.doc["type"] != "variable":
            return
        for listing in self.books.listings("json_extract(doc, '$.parent_id') = ?", (parent.id,)):
            if self.books.listing(parent.id) is None:
                self.books.delete_listing(listing)
                continue
            before = (listing.title, listing.status, listing.doc.get("parent_status"))
            listing.doc["parent_status"] = parent.status
            listing.title = _title(parent, listing)
            listing.status = "trash" if parent.status == "trash" else listing.status
            if (listing.title, listing.status, parent.status) != before:
                self.books.save_listing(listing)

    # How it is shown

    def view(self, listing: Listing, parent: Listing) -> Row:
        whole = self.products.view(listing, edit=False)
        shown = {name: whole[name] for name in _SHOWN}
        base = f"{self.shop.url}/wp-json/wc/v3/products/{parent.id}"
        return {
            **shown,
            "image": whole["images"][0] if whole["images"] else None,
            "attributes": whole["attributes"],
            "menu_order": whole["menu_order"],
            "meta_data": whole["meta_data"],
            "name": ", ".join(row["option"] for row in whole["attributes"]),
            "parent_id": parent.id,
            "type": "variation",
            "_links": {
                "self": [{"href": f"{base}/variations/{listing.id}"}],
                "collection": [{"href": f"{base}/variations"}],
                "up": [{"href": base}],
            },
        }


def _choices(parent: Listing, rows: list[Row]) -> list[Row]:
    """The choices of a variation. What the parent does not offer as a choice is dropped without a word."""
    found = []
    for row in rows:
        for known in parent.doc["attributes"]:
            same = known["id"] == row["id"] if row.get("id") else known["name"].lower() == str(row.get("name")).lower()
            if same and known["variation"]:
                found.append({"id": known["id"], "name": known["name"], "option": str(row.get("option", ""))})
    return found


def _title(parent: Listing, listing: Listing) -> str:
    """The parent's name, and up to two choices."""
    choices: list[dict[str, Any]] = listing.doc["choices"]
    options = ", ".join(row["option"] for row in choices)
    return f"{parent.title} - {options}" if options and len(choices) < 3 else parent.title


def _unknown(status: int) -> Refusal:
    return wire.refusal(status, "woocommerce_rest_product_variation_invalid_id", "Invalid ID.")
