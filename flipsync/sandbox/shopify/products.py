"""Products and variants: made, changed, shown in the online store."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

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
    read_key,
    require_size,
    write_key,
)
from flipsync.sandbox.shopify.taxonomy import CATEGORIES
from flipsync.sandbox.shopify.variants import Variants, note_metafields
from flipsync.sandbox.shopify.views import DEFAULT_OPTION, DEFAULT_VALUE, item_view, picture, product_view, variant_view

_TEXTS = ("title", "descriptionHtml", "vendor", "productType")


class Products:
    """The catalogue of one shop: resolvers of its queries and mutations."""

    def __init__(self, shop: Shop, variants: Variants) -> None:
        self.shop = shop
        self.books = shop.books
        self._variants = variants

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

    def products(
        self,
        info: Any,
        *,
        query: str | None = None,
        reverse: bool = False,
        sortKey: str = "ID",  # noqa: N803 - the argument's own name
        **page: Any,
    ) -> Row:
        rows = self.shop.products()
        moments: dict[int, int] = {}
        for term in search.terms(query):
            if term.field == "id":
                rows = [row for row in rows if term.holds(row.id)]
            elif term.field == "status":
                rows = [row for row in rows if row.doc["status"].casefold() == term.value.casefold()]
            elif term.field == "handle":
                rows = [row for row in rows if row.handle == term.value]
            elif term.field == "updated_at" and (bound := term.moment_ms()) is not None:
                moments = self._moments(rows)
                rows = [row for row in rows if search.compare(moments[row.id] // 1000, term.op, bound // 1000)]
        if sortKey == "UPDATED_AT" and not moments:
            moments = self._moments(rows)
        sign = -1 if reverse else 1

        def key(row: Product) -> list[int]:
            return [sign * moments[row.id], sign * row.id] if sortKey == "UPDATED_AT" else [sign * row.id]

        rows.sort(key=key)
        first, after = page.get("first"), page.get("after")
        return keyed_page(rows, first, after, lambda row: product_view(self.shop, row.id), key)

    def _moments(self, products: Sequence[Product]) -> dict[int, int]:
        """When each product, one of its variants or their stock changed last, in ms."""
        owner = "json_extract(doc, '$.product_id')"
        found = self.books.db.execute(
            f"SELECT {owner}, max(modified_ms) FROM listing WHERE channel = 'shopify' GROUP BY 1"  # noqa: S608
        )
        newest = dict(found.fetchall())
        return {row.id: max(row.modified_ms, newest.get(row.id, 0)) for row in products}

    def variants(self, info: Any, *, query: str | None = None, reverse: bool = False, **page: Any) -> Row:
        where, params = ["channel = 'shopify'"], list[Any]()
        for term in search.terms(query):
            if (found := _condition(term)) is not None:
                where.append(found[0])
                params.append(found[1])
        bulk = info.context.get("bulk")
        first = require_size(page.get("first")) if bulk is None else bulk[1]
        if bulk is not None or page.get("after") is not None:
            where.append("id < ?" if reverse else "id > ?")
            params.append(read_key(page["after"])[0] if bulk is None else bulk[0])
        order = "DESC" if reverse else "ASC"
        rows = self.books.listings(f"{' AND '.join(where)} ORDER BY id {order} LIMIT ?", (*params, first + 1))
        part = rows[:first]
        shown = [older for row in part if (older := self.shop.shown(row)) is not None]
        if bulk is not None and len(rows) > first:
            info.context["more"](part[-1].id)
        return {
            "nodes": lambda info: [variant_view(self.shop, row) for row in shown],
            "edges": lambda info: [
                {"cursor": write_key([row.id]), "node": variant_view(self.shop, row)} for row in shown
            ],
            "pageInfo": {
                "hasNextPage": len(rows) > first,
                "hasPreviousPage": page.get("after") is not None,
                "startCursor": write_key([part[0].id]) if part else None,
                "endCursor": write_key([part[-1].id]) if part else None,
            },
        }

    # Making and changing

    def set_product(self, info: Any, input: Row, identifier: Row | None = None, synchronous: bool = True) -> Row:
        """`productSet`: without identifier a new product; with one, the fields that are given, lists as a whole."""
        product = self._identified(identifier)
        if product is None:
            product = self._new_product(input)
        for key in ("handle", *_TEXTS, "status"):
            if input.get(key) is not None:
                self._describe(product, key, input[key])
        if "category" in input:
            product.doc["category"] = _category(input["category"], ("input", "category"))
        if "files" in input:
            known = {picture(product, source)["id"]: source for source in product.doc["files"]}
            wanted = [
                known.get(row["id"]) if "id" in row else row.get("originalSource") for row in input["files"] or ()
            ]
            if None in wanted:
                path = ("input", "files", wanted.index(None))
                raise InputRefused("INVALID_INPUT", path, "The file does not exist")
            product.doc["files"] = wanted
        if "metafields" in input:
            product.doc["metafields"] = {}
            note_metafields(product.doc, input["metafields"] or (), ("input", "metafields"))
        if input.get("productOptions") is not None:
            product.doc["options"] = _options(input["productOptions"])
        self.shop.save_product(product)
        if input.get("variants") is not None:
            self._variants.put_all(product, input["variants"])
        elif not self.shop.variants(product.id):
            default = {"optionValues": [{"optionName": DEFAULT_OPTION, "name": DEFAULT_VALUE}]}
            self._variants.add(product, default, ("input", "variants", 0))
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
        if "category" in body:
            found.doc["category"] = _category(body["category"], ("category",))
        note_metafields(found.doc, body.get("metafields") or (), ("product", "metafields"))
        self.shop.save_product(found)
        return {"product": product_view(self.shop, found.id), "userErrors": []}

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


def _condition(term: search.Term) -> tuple[str, Any] | None:
    """A search term as SQL; None for a field that is not known, which narrows nothing."""
    if term.field == "sku":
        return "sku = ? COLLATE NOCASE", term.value
    if term.field == "barcode":
        return "json_extract(doc, '$.barcode') = ?", term.value
    if term.field == "product_ids":
        ids = [int(part) for part in term.value.split(",") if part.isdigit()]
        return "json_extract(doc, '$.product_id') IN (SELECT value FROM json_each(?))", json.dumps(ids)
    if term.field not in ("id", "product_id"):
        return None
    column = "id" if term.field == "id" else "json_extract(doc, '$.product_id')"
    return f"{column} {term.op or '='} ?", int(term.value) if term.value.isdigit() else -1


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


def _category(category_id: str | None, path: tuple[str, ...]) -> str | None:
    if category_id is not None and category_id not in CATEGORIES:
        raise InputRefused("INVALID_INPUT", path, "Category is invalid")
    return category_id
