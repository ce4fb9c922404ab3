"""Shopify's product export, both the long-standing headers and the template of 2025.

A product spans the rows of one handle: the first carries title and body, further rows a variant, an image, or both.
"""

from __future__ import annotations

from typing import ClassVar, Self

from flipsync.services.catalogue.columns import Header, Layout, OptionColumn
from flipsync.services.catalogue.formats.base import Format
from flipsync.services.catalogue.model import FormatName
from flipsync.services.catalogue.rows import OpenProduct, RowReader, RowRefusedError
from flipsync.services.catalogue.sanitise import plain, slug

_ALIASES: dict[str, tuple[str, ...]] = {
    "key": ("handle", "url handle"),
    "title": ("title",),
    "description": ("body (html)", "description"),
    "brand": ("vendor",),
    "category": ("type", "product category", "google shopping / google product category"),
    "product_category": ("product category",),
    "tags": ("tags",),
    "published": ("published", "published on online store"),
    "status": ("status",),
    "sku": ("variant sku", "sku"),
    "weight": ("variant grams", "weight value (grams)"),
    "quantity": ("variant inventory qty", "inventory quantity"),
    "price": ("variant price", "price"),
    "compare_at": ("variant compare at price", "compare at price"),
    "cost": ("cost per item", "variant cost"),
    "barcode": ("variant barcode", "barcode"),
    "image": ("image src", "product image url"),
    "variant_image": ("variant image", "variant image url"),
    "gift_card": ("gift card",),
    "condition": ("google shopping / condition",),
}
_NO = frozenset({"false", "no", "0", "draft", "archived"})


class ShopifyFormat(Format):
    """Rows keyed by handle; prices and weights are machine-written, so only hand-edited files need evidence."""

    name: ClassVar[FormatName] = "shopify"
    expects: ClassVar[str] = "Shopify product export: Handle, Title, Option1 Value, Variant SKU, Variant Price, …"

    @classmethod
    def recognise(cls, header: Header) -> Self | None:
        has_identity = header.has("handle") or header.has("url handle")
        has_variants = header.has("variant price") or header.has("price", "option1 value")
        if not (has_identity and has_variants and header.has("title")):
            return None
        roles = header.assign(_ALIASES)
        options = []
        for number in (1, 2, 3):
            columns = header.assign(
                {"name": (f"option{number} name",), "value": (f"option{number} value",)},
            )
            if "value" in columns:
                options.append(OptionColumn(columns["value"], columns.get("name", -1), f"Option {number}"))
        used = {*roles.values(), *(o.value for o in options), *(o.name for o in options)}
        return cls(Layout(cls.name, header.names, roles, tuple(options), (), "g", frozenset(used)))

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        at = layout.at
        self._key, self._title, self._price, self._sku = at("key"), at("title"), at("price"), at("sku")
        self._compare_at, self._image, self._variant_image = at("compare_at"), at("image"), at("variant_image")

    def product_of(self, row: list[str]) -> str:
        return row[self._key].strip() or slug(row[self._title])

    def read(self, row: list[str], line: int, product: OpenProduct, reader: RowReader) -> None:
        draft = product.draft
        if not draft.title and row[self._title].strip():
            self._read_product(row, line, product, reader)
        option_values = [row[option.value].strip() for option in self.layout.options]
        is_variant = bool(row[self._price].strip() or row[self._sku].strip() or any(option_values))
        if is_variant and product.must_wait(line, row):
            return
        if row[self._image]:
            reader.add_images(product, (row[self._image],), line, self._image)
        if not is_variant:
            if row[self._title].strip():
                raise RowRefusedError("price", "no price: blank is not zero, so this cannot be sold")
            return  # an image-only row
        if product.refused:
            raise RowRefusedError("gift_card", product.refused)
        if not draft.title:
            raise RowRefusedError("title", "the product has no title: its first row is missing or was rejected")
        options = self._options(row, option_values, product)
        price = reader.price("price", row[self._price])
        compare_at = reader.amount("compare_at", row[self._compare_at])
        variant = reader.variant(row, line, product, options, price, compare_at)
        if row[self._variant_image]:
            variant.image = reader.image(row[self._variant_image], line, self._variant_image)

    def _options(self, row: list[str], values: list[str], product: OpenProduct) -> dict[str, str]:
        names = product.option_names
        if not names:  # only the first row of a product names its options
            for option in self.layout.options:
                names.append(plain(row[option.name]) or option.fixed_name)
        options = {name: plain(value) for name, value in zip(names, values, strict=True) if value}
        # Shopify's marker for a product without options.
        return {} if options == {"Title": "Default Title"} else options

    def _read_product(self, row: list[str], line: int, product: OpenProduct, reader: RowReader) -> None:
        at, draft = self.layout.at, product.draft
        draft.title = reader.text("title", row[self._title], line, reader.limits.max_title_chars)
        draft.description_html = reader.html(row[at("description")], line)
        draft.brand = reader.text("brand", row[at("brand")], line)
        draft.category = reader.text("category", row[at("category")] or row[at("product_category")], line)
        draft.tags = reader.tags(row[at("tags")], line)
        said = [text for role in ("status", "published") if (text := row[at(role)].strip().casefold())]
        draft.published = _NO.isdisjoint(said) if said else None
        if condition := row[at("condition")].strip():  # stated once, on the first row, for every variant
            product.shared_condition = reader.text("condition", condition, line)
        draft.line = line
        if row[at("gift_card")].strip().casefold() == "true":
            product.refused = "gift cards are not goods"
