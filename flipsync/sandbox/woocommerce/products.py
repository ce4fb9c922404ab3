"""Products, simple and variable: /products and /products/batch. A variation is a product with a parent."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from flipsync.sandbox.exchange import Answer, Call, Refusal
from flipsync.sandbox.records import Listing
from flipsync.sandbox.woocommerce import wire
from flipsync.sandbox.woocommerce.shop import Row, Shop, run_batch
from flipsync.sandbox.woocommerce.terms import Terms

_STRINGS: dict[str, str] = {
    "type": "simple",
    "catalog_visibility": "visible",
    "description": "",
    "short_description": "",
    "regular_price": "",
    "sale_price": "",
    "external_url": "",
    "button_text": "",
    "tax_status": "taxable",
    "tax_class": "",
    "stock_status": "instock",
    "backorders": "no",
    "weight": "",
    "shipping_class": "",
    "purchase_note": "",
    "slug": "",
    "global_unique_id": "",
}
_BOOLEANS = {
    "featured": False,
    "virtual": False,
    "downloadable": False,
    "manage_stock": False,
    "sold_individually": False,
    "reviews_allowed": True,
}
_CHOICES = {
    "type": ("simple", "grouped", "external", "variable"),
    "status": ("draft", "pending", "private", "publish"),
    "catalog_visibility": ("visible", "catalog", "search", "hidden"),
    "stock_status": ("instock", "outofstock", "onbackorder"),
    "backorders": ("no", "notify", "yes"),
    "tax_status": ("taxable", "shipping", "none"),
}
_FILTERED = ("description", "short_description", "purchase_note")
_PRICES = ("regular_price", "sale_price")
_TAXONOMIES = ("categories", "tags", "brands")
_ORDERINGS = {
    "date": "created_ms",
    "modified": "modified_ms",
    "id": "id",
    "title": "title",
    "slug": "title",
    "include": "id",
    "price": "price_minor",
}
_SEARCH = "(title LIKE '%' || ? || '%' OR sku LIKE '%' || ? || '%')"


_CHILDREN = "json_extract(doc, '$.parent_id') = ?"


def new_document() -> Row:
    """What a product has before anything is said of it."""
    return {**_STRINGS, **_BOOLEANS, "dimensions": {}, "images": [], "attributes": [], "meta_data": []}


class Products:
    """The product collection of the shop. `on_saved` hears of every product written or removed."""

    def __init__(self, shop: Shop, terms: Terms) -> None:
        self.shop = shop
        self.books = shop.books
        self.terms = terms
        self.on_saved: Callable[[Listing], None] = lambda listing: None

    # Calls

    def collection(self, call: Call) -> Answer:
        page = wire.page_of(call)
        conditions, params = wire.date_filters(call, self.shop.zone, "created_ms")
        status = call.first("status") or "any"
        conditions.append("channel = 'woo'")
        conditions.append("status <> 'trash'" if status == "any" else "status = ?")
        params += [] if status == "any" else [status]
        skus = wire.word_list(call, "sku")
        if skus:
            # Only with a SKU does the list show variations too.
            conditions.append(f"sku IN ({','.join('?' * len(skus))})")
            params += skus
        else:
            conditions.append("json_extract(doc, '$.parent_id') IS NULL")
        kind = call.first("type")
        if kind is not None:
            if kind not in _CHOICES["type"]:
                raise wire.invalid_parameter("type", f"type is not one of {', '.join(_CHOICES['type'])}.")
            conditions.append("json_extract(doc, '$.type') = ?")
            params.append(kind)
        slug = call.first("slug")
        if slug is not None:
            conditions.append("json_extract(doc, '$.slug') = ?")
            params.append(slug)
        search = call.first("search")
        for word in (search or "").split():
            conditions.append(_SEARCH)
            params += [word, word]
        where = " AND ".join(conditions)
        total = self.books.count("listing", where, params)
        order = wire.ordering(call, _ORDERINGS)
        rows = self.books.listings(f"{where} ORDER BY {order} LIMIT ? OFFSET ?", [*params, page.size, page.offset])
        age = self.shop.faults.stale_age("woo")
        shown = [older for row in rows if (older := self.books.listing_as_of(row, age) if age else row) is not None]
        return wire.list_answer(call, [self.view(row, edit=_edits(call)) for row in shown], total, page)

    def get(self, call: Call, product_id: int) -> Answer:
        listing = self._find(product_id, 404)
        age = self.shop.faults.stale_age("woo")
        older = self.books.listing_as_of(listing, age) if age else listing
        if older is None:
            raise _unknown(404)
        return wire.json_answer(wire.chosen_fields(call, self.view(older, edit=_edits(call))))

    def post(self, call: Call, body: Row) -> Answer:
        product = self.create(body)
        location = f"{self.shop.url}/wp-json/wc/v3/products/{product['id']}"
        return wire.json_answer(product, 201, {"Location": location})

    def put(self, call: Call, body: Row, product_id: int) -> Answer:
        return wire.json_answer(self.update(product_id, body))

    def delete(self, call: Call, body: Row, product_id: int) -> Answer:
        force = (call.first("force") or str(body.get("force", ""))).lower() in ("true", "1")
        return wire.json_answer(self.remove(product_id, force=force))

    def batch(self, call: Call, body: Row) -> Answer:
        return run_batch(self.shop, body, self.create, self.update, lambda row_id: self.remove(row_id, force=True))

    # What they do

    def _find(self, product_id: int, missing_status: int) -> Listing:
        listing = self.books.listing(product_id)
        if listing is None or listing.channel != "woo":
            raise _unknown(missing_status)
        return listing

    def create(self, body: Row) -> Row:
        now = self.books.clock.now_ms()
        listing = Listing(
            id=self.books.next_id(),
            channel="woo",
            sku="",
            title="Product",
            status="publish",
            price_minor=None,
            quantity=None,
            stock_version=0,
            created_ms=now,
            modified_ms=now,
            doc=new_document(),
        )
        units = self.apply(listing, body, creating=True)
        listing.quantity = units
        self.books.add_listing(listing, "POST /products")
        return self.view(listing, edit=True)

    def update(self, product_id: int, body: Row) -> Row:
        listing = self._find(product_id, 400)
        if "parent_id" in listing.doc:
            message = (
                "To manipulate product variations you should use the /products/<product_id>/variations/<id> endpoint."
            )
            raise wire.refusal(404, "woocommerce_rest_invalid_product_id", message)
        units = self.apply(listing, body, creating=False)
        self.books.save_listing(listing)
        self.on_saved(listing)
        if units != listing.quantity:
            self.books.set_stock(listing, units, "set by seller", f"PUT /products/{product_id}")
        return self.view(listing, edit=True)

    def remove(self, product_id: int, *, force: bool) -> Row:
        """To the bin, or with `force` for good. The answer still shows the status from before."""
        listing = self._find(product_id, 404)
        view = self.view(listing, edit=True)
        if force:
            self.books.delete_listing(listing)
        elif listing.status == "trash":
            raise wire.refusal(410, "woocommerce_rest_already_trashed", "The product has already been deleted.")
        else:
            listing.status = "trash"
            self.books.save_listing(listing)
        self.on_saved(listing)
        return view

    def apply(self, listing: Listing, body: Row, *, creating: bool) -> int | None:
        """Write the fields sent into `listing` and return the units it shall have (None: not counted)."""
        doc = listing.doc
        for name in (*_STRINGS, "name", "sku", "status"):
            if name in body and body[name] is not None:
                value = wire.typed(body, name, "string")
                if name in _CHOICES and value not in _CHOICES[name]:
                    raise wire.invalid_parameter(name, f"{name} is not one of {', '.join(_CHOICES[name])}.")
                self._set_text(listing, name, value)
        doc.update({name: wire.typed(body, name, "boolean") for name in _BOOLEANS if body.get(name) is not None})
        if "dimensions" in body:
            sent = wire.typed(body, "dimensions", "object")
            doc["dimensions"] = {**doc["dimensions"], **{k: str(v) for k, v in sent.items()}}
        for taxonomy in _TAXONOMIES:
            if taxonomy in body:
                doc[taxonomy] = self.terms.known_ids(taxonomy, wire.typed(body, taxonomy, "array"))
        if "images" in body:
            doc["images"] = [self._image(row) for row in wire.typed(body, "images", "array")]
        if "attributes" in body:
            doc["attributes"] = [
                _attribute(row, place) for place, row in enumerate(wire.typed(body, "attributes", "array"))
            ]
        if "meta_data" in body:
            rows = wire.typed(body, "meta_data", "array")
            doc["meta_data"] = wire.merged_meta(doc["meta_data"], rows, self.books.next_id)
        if "menu_order" in body:
            doc["menu_order"] = wire.typed(body, "menu_order", "integer")
        if not doc["slug"]:
            doc["slug"] = f"{wire.slug_of(listing.title)}-{listing.id}"
        self._settle_prices(listing)
        listing.doc["type"] = "variation" if "parent_id" in listing.doc else listing.doc["type"]
        return self._settle_stock(listing, body, creating=creating)

    def _set_text(self, listing: Listing, name: str, value: str) -> None:
        if name == "name":
            listing.title = wire.filtered(value) or "Product"
        elif name == "sku":
            self._claim_sku(listing, value.strip())
        elif name == "status":
            listing.status = value
        elif name == "global_unique_id":
            self._claim_barcode(listing, value.strip())
        elif name in _FILTERED:
            listing.doc[name] = wire.filtered(value)
        elif name in _PRICES:
            listing.doc[name] = wire.format_decimal(value)
        else:
            listing.doc[name] = value

    def _claim_sku(self, listing: Listing, sku: str) -> None:
        others = self.books.listings("channel = 'woo' AND sku = ? AND id <> ?", (sku, listing.id)) if sku else []
        if any(other.status != "trash" for other in others):
            extra = {"resource_id": others[0].id, "unique_sku": f"{sku}-1"}
            raise wire.refusal(400, "product_invalid_sku", "Invalid or duplicated SKU.", extra)
        if others:
            message = f"The product with SKU ({sku}) you are trying to insert is already present in the lookup table."
            raise wire.refusal(400, "woocommerce_rest_product_not_created", message)
        listing.sku = sku

    def _claim_barcode(self, listing: Listing, code: str) -> None:
        if not re.fullmatch(r"[0-9X-]*", code, re.IGNORECASE):
            message = "Invalid or duplicated GTIN, UPC, EAN or ISBN."
            raise wire.refusal(400, "product_invalid_global_unique_id", message)
        where = "channel = 'woo' AND id <> ? AND json_extract(doc, '$.global_unique_id') = ?"
        if code and self.books.count("listing", where, (listing.id, code)):
            message = "Invalid or duplicated GTIN, UPC, EAN or ISBN."
            raise wire.refusal(400, "product_invalid_global_unique_id", message)
        listing.doc["global_unique_id"] = code

    def _settle_prices(self, listing: Listing) -> None:
        doc = listing.doc
        regular = wire.to_minor(doc["regular_price"], self.shop.currency)
        sale = wire.to_minor(doc["sale_price"], self.shop.currency)
        if sale is not None and (regular is None or sale >= regular):
            doc["sale_price"], sale = "", None
        listing.price_minor = regular if sale is None else sale

    def _settle_stock(self, listing: Listing, body: Row, *, creating: bool) -> int | None:
        if not listing.doc["manage_stock"]:
            return None
        units = listing.quantity or 0
        if "stock_quantity" in body:
            units = 0 if body["stock_quantity"] is None else wire.typed(body, "stock_quantity", "integer")
        elif "inventory_delta" in body and not creating:
            # Read, then written: what was read before the request waited is what counts (see server.prepare).
            units = int(body.get("_read_quantity", units)) + wire.typed(body, "inventory_delta", "integer")
        return units

    def _image(self, row: Row) -> Row:
        source = str(row.get("src", ""))
        if not source and "id" not in row:
            raise wire.refusal(400, "woocommerce_product_image_upload_error", "No image source was given.")
        now = self.books.clock.now_ms()
        return {
            "id": row.get("id") or self.books.next_id(),
            "at_ms": now,
            "src": source,
            "name": str(row.get("name", "")),
            "alt": str(row.get("alt", "")),
        }

    # How it is shown

    def view(self, listing: Listing, *, edit: bool) -> Row:
        doc, zone = listing.doc, self.shop.zone
        price = doc["sale_price"] or doc["regular_price"]
        shelf = self.books.shelf_of(listing)
        counted = True if listing.quantity is not None else "parent" if shelf is not listing else False
        status = self.stock_status(shelf)
        variable = doc["type"] == "variable"
        live = f"{_CHILDREN} AND status <> 'trash' ORDER BY id"
        children = self.books.listings(live, (listing.id,)) if variable else []
        if variable:
            prices = [child for child in children if child.status == "publish" and child.price_minor]
            cheapest = min(prices, key=lambda child: child.price_minor or 0, default=None)
            price = "" if cheapest is None else cheapest.doc["sale_price"] or cheapest.doc["regular_price"]
        parent = self.books.listing(doc["parent_id"]) if "parent_id" in doc else None
        text = (lambda value: value) if edit else wire.paragraphs
        return {
            "id": listing.id,
            "name": listing.title,
            "slug": doc["slug"],
            "permalink": f"{self.shop.url}/product/{doc['slug']}/",
            **wire.dates("date_created", listing.created_ms, zone),
            **wire.dates("date_modified", listing.modified_ms, zone),
            "type": doc["type"],
            "status": listing.status,
            "featured": doc["featured"],
            "catalog_visibility": doc["catalog_visibility"],
            "description": text(doc["description"]),
            "short_description": text(doc["short_description"]),
            "sku": listing.sku or (parent.sku if parent is not None else ""),
            "global_unique_id": doc["global_unique_id"]
            or (parent.doc["global_unique_id"] if parent is not None else ""),
            "price": price,
            "regular_price": doc["regular_price"],
            "sale_price": doc["sale_price"],
            **dict.fromkeys(("date_on_sale_from", "date_on_sale_from_gmt", "date_on_sale_to", "date_on_sale_to_gmt")),
            "on_sale": bool(doc["sale_price"]),
            "purchasable": price != "" and listing.status in ("publish", "private"),
            "total_sales": int(doc.get("total_sales", 0)),
            "virtual": doc["virtual"],
            "downloadable": doc["downloadable"],
            "downloads": [],
            "download_limit": -1,
            "download_expiry": -1,
            "external_url": doc["external_url"],
            "button_text": doc["button_text"],
            "tax_status": doc["tax_status"],
            "tax_class": doc["tax_class"],
            "manage_stock": counted,
            "stock_quantity": shelf.quantity,
            "backorders": doc["backorders"],
            "backorders_allowed": doc["backorders"] != "no",
            "backordered": status == "onbackorder",
            "low_stock_amount": None,
            "sold_individually": doc["sold_individually"],
            "weight": doc["weight"],
            "dimensions": {name: doc["dimensions"].get(name, "") for name in ("length", "width", "height")},
            "shipping_required": not doc["virtual"],
            "shipping_taxable": not doc["virtual"],
            "shipping_class": doc["shipping_class"],
            "shipping_class_id": 0,
            "reviews_allowed": doc["reviews_allowed"],
            "average_rating": "0.00",
            "rating_count": 0,
            "upsell_ids": [],
            "cross_sell_ids": [],
            "parent_id": doc.get("parent_id", 0),
            "purchase_note": doc["purchase_note"],
            "categories": self.terms.shown("categories", doc.get("categories") or self.terms.default_ids()),
            "brands": self.terms.shown("brands", doc.get("brands", [])),
            "tags": self.terms.shown("tags", doc.get("tags", [])),
            "images": [self._image_view(row) for row in doc["images"]],
            "attributes": doc["choices"] if "parent_id" in doc else doc["attributes"],
            "default_attributes": [],
            "variations": [child.id for child in children],
            "grouped_products": [],
            "menu_order": doc.get("menu_order", 0),
            "price_html": f'<span class="woocommerce-Price-amount amount"><bdi>{price}</bdi></span>' if price else "",
            "related_ids": [],
            "meta_data": doc["meta_data"],
            "stock_status": status,
            "has_options": doc["type"] == "variable",
            "post_password": "",
            "_links": self.shop.links("products", listing.id),
        }

    @staticmethod
    def stock_status(listing: Listing) -> str:
        if listing.quantity is None:
            return str(listing.doc["stock_status"])
        if listing.quantity > 0:
            return "instock"
        return "outofstock" if listing.doc["backorders"] == "no" else "onbackorder"

    def _image_view(self, row: Row) -> dict[str, Any]:
        zone = self.shop.zone
        return {
            "id": row["id"],
            **wire.dates("date_created", row["at_ms"], zone),
            **wire.dates("date_modified", row["at_ms"], zone),
            "src": row["src"],
            "name": row["name"],
            "alt": row["alt"],
        }


def _edits(call: Call) -> bool:
    return call.first("context") == "edit"


def _unknown(status: int) -> Refusal:
    return wire.refusal(status, "woocommerce_rest_product_invalid_id", "Invalid ID.")


def _attribute(row: Row, place: int) -> Row:
    return {
        "id": int(row.get("id") or 0),
        "name": str(row.get("name", "")),
        "slug": str(row.get("name", "")),
        "position": int(row.get("position", place)),
        "visible": bool(row.get("visible", False)),
        "variation": bool(row.get("variation", False)),
        "options": [str(option) for option in row.get("options", [])],
    }
