"""Products and variants: made, changed, shown in the online store."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from flipsync.domain.money import Money
from flipsync.sandbox.records import Listing
from flipsync.sandbox.shopify import search
from flipsync.sandbox.shopify.shop import (
    ONLINE_STORE,
    InputRefused,
    Product,
    Row,
    Shop,
    item_id,
    keyed_page,
    kind_of,
    number,
    shelf_status,
)
from flipsync.sandbox.shopify.views import DEFAULT_OPTION, DEFAULT_VALUE, item_view, product_view, variant_view

MOST_VARIANTS = 2048
_TEXTS = ("title", "descriptionHtml", "vendor", "productType")
_PATH = Sequence[str | int]


class Products:
    """The catalogue of one shop: resolvers of its queries and mutations."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.books = shop.books

    # Queries

    def variant_by_id(self, info: Any, id: str) -> Row | None:
        listing = self.shop.variant(number(id, "ProductVariant"))
        shown = None if listing is None else self.shop.shown(listing)
        return None if shown is None else variant_view(self.shop, shown)

    def product_by_id(self, info: Any, id: str) -> Row | None:
        product = self.shop.product(number(id, "Product"))
        return None if product is None else product_view(self.shop, product.id)

    def product_by_identifier(self, info: Any, identifier: Row) -> Row | None:
        if "id" in identifier:
            return self.product_by_id(info, identifier["id"])
        product = self.shop.product_by_handle(identifier["handle"])
        return None if product is None else product_view(self.shop, product.id)

    def inventory_item(self, info: Any, id: str) -> Row | None:
        listing = self.shop.variant(number(id, "InventoryItem") - item_id(0))
        return None if listing is None else item_view(self.shop, listing)

    def products(self, info: Any, *, query: str | None = None, reverse: bool = False, **page: Any) -> Row:
        rows = self.shop.products()
        for term in search.terms(query):
            if term.field == "id":
                rows = [row for row in rows if term.holds(row.id)]
            elif term.field == "status":
                rows = [row for row in rows if row.doc["status"].casefold() == term.value.casefold()]
            elif term.field == "handle":
                rows = [row for row in rows if row.handle == term.value]
        sign = -1 if reverse else 1
        rows.sort(key=lambda row: sign * row.id)
        first, after = page.get("first"), page.get("after")
        return keyed_page(rows, first, after, lambda row: product_view(self.shop, row.id), lambda row: [sign * row.id])

    def variants(self, info: Any, *, query: str | None = None, reverse: bool = False, **page: Any) -> Row:
        rows = self.books.listings("channel = ? ORDER BY id", (self.shop.channel,))
        for term in search.terms(query):
            rows = [row for row in rows if self._fits(row, term)]
        sign = -1 if reverse else 1
        rows.sort(key=lambda row: sign * row.id)
        shown = [older for row in rows if (older := self.shop.shown(row)) is not None]
        first, after = page.get("first"), page.get("after")
        return keyed_page(shown, first, after, lambda row: variant_view(self.shop, row), lambda row: [sign * row.id])

    @staticmethod
    def _fits(row: Listing, term: search.Term) -> bool:
        if term.field == "sku":
            return row.sku.casefold() == term.value.casefold()
        if term.field == "barcode":
            return bool(row.doc.get("barcode") == term.value)
        if term.field == "id":
            return term.holds(row.id)
        if term.field == "product_id":
            return term.holds(row.doc["product_id"])
        return True  # a field that is not known narrows nothing

    # Making and changing

    def set_product(self, info: Any, input: Row, identifier: Row | None = None, synchronous: bool = True) -> Row:
        """`productSet`: without identifier a new product; with one, the fields that are given, lists as a whole."""
        product = self._identified(identifier)
        if product is None:
            product = self._new_product(input)
        for key in ("handle", *_TEXTS, "status"):
            if input.get(key) is not None:
                self._describe(product, key, input[key])
        if "files" in input:
            product.doc["files"] = [row.get("originalSource", "") for row in input["files"] or ()]
        if "metafields" in input:
            product.doc["metafields"] = {}
            note_metafields(product.doc, input["metafields"] or (), ("input", "metafields"))
        if input.get("productOptions") is not None:
            product.doc["options"] = _options(input["productOptions"])
        self.shop.save_product(product)
        if input.get("variants") is not None:
            self._set_variants(product, input["variants"])
        elif not self.shop.variants(product.id):
            default = {"optionValues": [{"optionName": DEFAULT_OPTION, "name": DEFAULT_VALUE}]}
            self._add_variant(product, default, ("input", "variants", 0))
        return {"product": product_view(self.shop, product.id), "userErrors": []}

    def _identified(self, identifier: Row | None) -> Product | None:
        if identifier is None:
            return None
        if "id" in identifier:
            product = self.shop.product(number(identifier["id"], "Product"))
            if product is None:
                raise InputRefused("PRODUCT_DOES_NOT_EXIST", ("identifier", "id"), "Product does not exist")
            return product
        return self.shop.product_by_handle(identifier["handle"])

    def _new_product(self, body: Row) -> Product:
        if not body.get("title"):
            raise InputRefused("INVALID_INPUT", ("input", "title"), "Title can't be blank")
        if body.get("variants") and not body.get("productOptions"):
            message = "Must specify product options when updating variants."
            raise InputRefused("PRODUCT_OPTIONS_INPUT_MISSING", ("input", "productOptions"), message)
        now = self.books.clock.now_ms()
        handle = body.get("handle") or self._free_handle(body["title"])
        doc = {
            "title": body["title"],
            "descriptionHtml": "",
            "vendor": self.shop.name,
            "productType": "",
            "status": "ACTIVE",
            # Not shown anywhere until it is published.
            "published": False,
            "options": [{"name": DEFAULT_OPTION, "values": [DEFAULT_VALUE]}],
            "metafields": {},
            "files": [],
        }
        self._require_free(handle, None)
        return Product(self.books.next_id(), handle, now, now, doc)

    def _free_handle(self, title: str) -> str:
        base = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "product"
        handle, turn = base, 0
        while self.shop.product_by_handle(handle) is not None:
            turn += 1
            handle = f"{base}-{turn}"
        return handle

    def _require_free(self, handle: str, owner: int | None) -> None:
        other = self.shop.product_by_handle(handle)
        if other is not None and other.id != owner:
            message = f"Handle '{handle}' already in use. Please provide a new handle."
            raise InputRefused("HANDLE_NOT_UNIQUE", ("input", "handle"), message)

    def _describe(self, product: Product, key: str, value: str) -> None:
        if key == "handle":
            self._require_free(value, product.id)
            product.handle = value
            return
        if key == "title" and not value.strip():
            raise InputRefused("INVALID_INPUT", ("input", "title"), "Title can't be blank")
        product.doc[key] = value

    def update_product(self, info: Any, product: Row | None = None) -> Row:
        body = product or {}
        found = self.shop.product(number(body.get("id") or "", "Product")) if body.get("id") else None
        if found is None:
            raise InputRefused("", ("id",), "Product does not exist")
        for key in ("handle", *_TEXTS, "status"):
            if body.get(key) is not None:
                self._describe(found, key, body[key])
        note_metafields(found.doc, body.get("metafields") or (), ("product", "metafields"))
        self.shop.save_product(found)
        return {"product": product_view(self.shop, found.id), "userErrors": []}

    # Variants

    def _set_variants(self, product: Product, rows: Sequence[Row]) -> None:
        """As a whole: those that are not named go."""
        if len(rows) > MOST_VARIANTS:
            raise InputRefused("INVALID_INPUT", ("input", "variants"), "Number of product variants exceeds shop limit.")
        kept: set[int] = set()
        known = {listing.id: listing for listing in self.shop.variants(product.id)}
        for place, row in enumerate(rows):
            path = ("input", "variants", place)
            listing = known.get(number(row["id"], "ProductVariant")) if row.get("id") else None
            if row.get("id") and listing is None:
                raise InputRefused("PRODUCT_VARIANT_DOES_NOT_EXIST", (*path, "id"), "Product variant does not exist")
            if listing is None:
                chosen = self._choices(product, row["optionValues"], path, adding=False)
                listing = next((each for each in known.values() if each.doc["options"] == chosen), None)
            if listing is None:
                kept.add(self._add_variant(product, row, path).id)
                continue
            self._change_variant(product, listing, row, path)
            kept.add(listing.id)
        for listing in known.values():
            if listing.id not in kept:
                self.books.delete_listing(listing)

    def create_variants(self, info: Any, productId: str, variants: list[Row]) -> Row:  # noqa: N803
        product = self._product_of(productId)
        made = [self._add_variant(product, row, ("variants", place)) for place, row in enumerate(variants)]
        self.shop.save_product(product)
        views = [variant_view(self.shop, listing) for listing in made]
        return {"product": product_view(self.shop, product.id), "productVariants": views, "userErrors": []}

    def update_variants(self, info: Any, productId: str, variants: list[Row]) -> Row:  # noqa: N803
        product = self._product_of(productId)
        changed = []
        for place, row in enumerate(variants):
            path = ("variants", place)
            if not row.get("id"):
                raise InputRefused(
                    "PRODUCT_VARIANT_ID_MISSING", (*path, "id"), "Product variant is missing ID attribute"
                )
            listing = self.shop.variant(number(row["id"], "ProductVariant"))
            if listing is None or listing.doc["product_id"] != product.id:
                raise InputRefused("PRODUCT_VARIANT_DOES_NOT_EXIST", (*path, "id"), "Product variant does not exist")
            if row.get("inventoryQuantities"):
                message = "Inventory quantities can only be provided during create."
                raise InputRefused("NO_INVENTORY_QUANTITIES_ON_VARIANTS_UPDATE", path, message)
            self._change_variant(product, listing, row, path)
            changed.append(listing)
        self.shop.save_product(product)
        views = [variant_view(self.shop, listing) for listing in changed]
        return {"product": product_view(self.shop, product.id), "productVariants": views, "userErrors": []}

    def _product_of(self, product_id: str) -> Product:
        product = self.shop.product(number(product_id, "Product"))
        if product is None:
            raise InputRefused("PRODUCT_DOES_NOT_EXIST", ("productId",), "Product does not exist")
        return product

    def _choices(self, product: Product, rows: Sequence[Row], path: _PATH, *, adding: bool) -> list[str]:
        """The variant's value of each option, in the options' order; `adding` takes values that are new."""
        given = {row.get("optionName") or product.doc["options"][0]["name"]: row.get("name") or "" for row in rows}
        unknown = set(given) - {option["name"] for option in product.doc["options"]}
        if unknown:
            raise InputRefused("OPTION_DOES_NOT_EXIST", (*path, "optionValues"), "Option does not exist")
        chosen = []
        for option in product.doc["options"]:
            value = given.get(option["name"], "")
            if not value:
                message = f"You need to add option values for {option['name']}"
                raise InputRefused("INVALID_VARIANT", (*path, "optionValues"), message)
            if value not in option["values"]:
                if not adding:
                    raise InputRefused("INVALID_VARIANT", (*path, "optionValues"), "Option value does not exist")
                option["values"].append(value)
            chosen.append(value)
        return chosen

    def _add_variant(self, product: Product, row: Row, path: _PATH) -> Listing:
        bulk = path[0] == "variants"
        chosen = self._choices(product, row.get("optionValues") or (), path, adding=bulk)
        if any(listing.doc["options"] == chosen for listing in self.shop.variants(product.id)):
            message = f"The variant '{' / '.join(chosen)}' already exists."
            raise InputRefused("VARIANT_ALREADY_EXISTS" if bulk else "INVALID_VARIANT", path, message)
        now = self.books.clock.now_ms()
        doc: Row = {
            "product_id": product.id,
            "options": chosen,
            "published": row.get("published") is not False,
            "metafields": {},
            "policy": "DENY",
            "tracked": False,
            "stocked": True,
            "uncounted": 0,
        }
        listing = Listing(
            id=self.books.next_id(),
            channel=self.shop.channel,
            sku="",
            title=product.doc["title"],
            status="draft",
            price_minor=0,
            quantity=None,
            stock_version=0,
            created_ms=now,
            modified_ms=now,
            doc=doc,
        )
        self._fill(listing, row, path)
        listing.status = shelf_status(product, listing)
        quantity = self._first_quantity(row, path)
        listing.quantity = quantity if doc["tracked"] else None
        doc["uncounted"] = quantity
        self.books.add_listing(listing, product.handle)
        return listing

    def _first_quantity(self, row: Row, path: _PATH) -> int:
        total = 0
        for place, level in enumerate(row.get("inventoryQuantities") or ()):
            if level["locationId"] != self.shop.home:
                where = (*path, "inventoryQuantities", place, "locationId")
                raise InputRefused("INVALID_INPUT", where, "The specified location could not be found.")
            if level.get("name", "available") not in ("available", "on_hand"):
                where = (*path, "inventoryQuantities", place, "name")
                raise InputRefused("INVALID_INPUT", where, "The quantity name must be either 'available' or 'on_hand'.")
            total += level["quantity"] if "quantity" in level else level["availableQuantity"]
        return total

    def _change_variant(self, product: Product, listing: Listing, row: Row, path: _PATH) -> None:
        if row.get("optionValues"):
            listing.doc["options"] = self._choices(product, row["optionValues"], path, adding=path[0] == "variants")
        was_tracked = listing.doc["tracked"]
        self._fill(listing, row, path)
        self.shop.save_variant(listing, product)
        if listing.doc["tracked"] != was_tracked:
            counted = listing.doc["uncounted"] if listing.doc["tracked"] else None
            self.books.set_stock(listing, counted, "tracking changed", product.handle)

    def _fill(self, listing: Listing, row: Row, path: _PATH) -> None:
        """What the input gives; what it leaves out stays."""
        doc = listing.doc
        item = row.get("inventoryItem") or {}
        if row.get("price") is not None:
            try:
                listing.price_minor = Money.round_decimal(Decimal(row["price"]), self.shop.currency).amount_minor
            except ArithmeticError as error:
                raise InputRefused("INVALID_INPUT", (*path, "price"), "Price is not a number") from error
            if listing.price_minor < 0:
                raise InputRefused("INVALID_INPUT", (*path, "price"), "Price must be greater than or equal to 0")
        for source, key in ((row, "sku"), (item, "sku")):
            if source.get(key) is not None:
                listing.sku = source[key].strip()
        if "barcode" in row:
            doc["barcode"] = row["barcode"]
        if row.get("inventoryPolicy") is not None:
            doc["policy"] = row["inventoryPolicy"]
        if item.get("tracked") is not None:
            doc["tracked"] = item["tracked"]
        if (item.get("measurement") or {}).get("weight") is not None:
            doc["weight"] = item["measurement"]["weight"]
        note_metafields(doc, row.get("metafields") or (), (*path, "metafields"))

    # Where it is shown

    def publish(self, info: Any, id: str, input: list[Row]) -> Row:
        return self._show(id, input, shown=True)

    def unpublish(self, info: Any, id: str, input: list[Row]) -> Row:
        return self._show(id, input, shown=False)

    def _show(self, thing: str, publications: list[Row], *, shown: bool) -> Row:
        for place, row in enumerate(publications):
            if row.get("publicationId") != ONLINE_STORE:
                raise InputRefused(
                    "", ("input", place, "publicationId"), "Publication does not exist or is not publishable"
                )
        view: Row
        if kind_of(thing) == "Product" and (product := self.shop.product(number(thing, "Product"))) is not None:
            product.doc["published"] = shown
            self.shop.save_product(product)
            view = product_view(self.shop, product.id)
        elif (listing := self.shop.variant(number(thing, "ProductVariant"))) is not None:
            listing.doc["published"] = shown
            owner = self.shop.product(listing.doc["product_id"])
            assert owner is not None
            self.shop.save_variant(listing, owner)
            view = variant_view(self.shop, listing)
        else:
            raise InputRefused("", ("id",), "Resource does not exist")
        return {"publishable": view, "userErrors": []}


def note_metafields(doc: Row, rows: Sequence[Row], path: _PATH) -> None:
    for place, row in enumerate(rows):
        missing = next((key for key in ("namespace", "key", "type", "value") if not row.get(key)), None)
        if missing is not None:
            raise InputRefused("INVALID_METAFIELD", (*path, place, missing), f"{missing.capitalize()} can't be blank")
        doc["metafields"][f"{row['namespace']}.{row['key']}"] = {"type": row["type"], "value": row["value"]}


def _options(rows: Sequence[Row]) -> list[Row]:
    if len(rows) > 3:
        raise InputRefused("INVALID_INPUT", ("input", "productOptions"), "Can only specify a maximum of 3 options")
    options = []
    for place, row in enumerate(rows):
        values = [value.get("name") for value in row.get("values") or ()]
        if not row.get("name") or not values or not all(values):
            message = "Each option must have at least one option value specified."
            raise InputRefused("OPTION_VALUES_MISSING", ("input", "productOptions", place), message)
        options.append({"name": row["name"], "values": values})
    return options
