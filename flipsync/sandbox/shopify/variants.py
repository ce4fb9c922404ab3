"""Variants of products: made, changed, with their choices, prices and first stock."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from flipsync.domain.money import Money
from flipsync.sandbox.records import Listing
from flipsync.sandbox.shopify.shop import InputRefused, Product, Row, Shop, number, shelf_status
from flipsync.sandbox.shopify.views import product_view, variant_view

MOST_VARIANTS = 2048
_PATH = Sequence[str | int]


class Variants:
    """Resolvers of the bulk mutations, and what `productSet` does with variants."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.books = shop.books

    def put_all(self, product: Product, rows: Sequence[Row]) -> None:
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
                kept.add(self.add(product, row, path).id)
                continue
            self._change_variant(product, listing, row, path)
            kept.add(listing.id)
        for listing in known.values():
            if listing.id not in kept:
                self.books.delete_listing(listing)

    def create_variants(self, info: Any, productId: str, variants: list[Row]) -> Row:  # noqa: N803
        product = self._product_of(productId)
        made = [self.add(product, row, ("variants", place)) for place, row in enumerate(variants)]
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

    def add(self, product: Product, row: Row, path: _PATH) -> Listing:
        bulk = path[0] == "variants"
        chosen = self._choices(product, row.get("optionValues") or (), path, adding=bulk)
        self._require_new(product, chosen, path)
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

    def _require_new(self, product: Product, chosen: list[str], path: _PATH, besides: int | None = None) -> None:
        """One variant for each combination of choices."""
        others = (each for each in self.shop.variants(product.id) if each.id != besides)
        if any(each.doc["options"] == chosen for each in others):
            message = f"The variant '{' / '.join(chosen)}' already exists."
            raise InputRefused("VARIANT_ALREADY_EXISTS" if path[0] == "variants" else "INVALID_VARIANT", path, message)

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
            chosen = self._choices(product, row["optionValues"], path, adding=path[0] == "variants")
            self._require_new(product, chosen, path, besides=listing.id)
            listing.doc["options"] = chosen
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


def note_metafields(doc: Row, rows: Sequence[Row], path: _PATH) -> None:
    for place, row in enumerate(rows):
        missing = next((key for key in ("namespace", "key", "type", "value") if not row.get(key)), None)
        if missing is not None:
            raise InputRefused("INVALID_METAFIELD", (*path, place, missing), f"{missing.capitalize()} can't be blank")
        doc["metafields"][f"{row['namespace']}.{row['key']}"] = {"type": row["type"], "value": row["value"]}
