"""WooCommerce's product export (Products → Export), as WC_Product_CSV_Exporter writes it.

Variations are rows of their own that name their parent by SKU or as "id:12". Prices are written with the shop's decimal
mark, weights and stock always with a point; cells that look like formulas are guarded with an apostrophe.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import ClassVar, Self

from flipsync.domain.money import Money
from flipsync.services.catalogue.columns import Header, Layout, OptionColumn
from flipsync.services.catalogue.formats.base import Format
from flipsync.services.catalogue.model import FormatName
from flipsync.services.catalogue.rows import OpenProduct, RowReader, RowRefusedError
from flipsync.services.catalogue.sanitise import plain, slug, without_formula_guard

_ALIASES: dict[str, tuple[str, ...]] = {
    "id": ("id",),
    "type": ("type",),
    "sku": ("sku",),
    "barcode": ("gtin, upc, ean, or isbn", "gtin", "global unique id", "ean", "barcode"),
    "title": ("name",),
    "published": ("published",),
    "short_description": ("short description",),
    "description": ("description",),
    "sale_starts": ("date sale price starts",),
    "sale_ends": ("date sale price ends",),
    "quantity": ("stock",),
    "sale_price": ("sale price",),
    "price": ("regular price",),
    "category": ("categories",),
    "tags": ("tags",),
    "image": ("images",),
    "parent": ("parent",),
    "brand": ("brands", "brand"),
    "cost": ("cost of goods", "meta: _wc_cog_cost", "meta: _alg_wc_cog_cost"),
    "weight": ("weight (kg)", "weight (g)", "weight (lbs)", "weight (lb)", "weight (oz)", "weight"),
}
_ATTRIBUTE = re.compile(r"attribute (\d+) (name|value\(s\))", re.ASCII)
_UNESCAPED_COMMA = re.compile(r"(?<!\\),")
#: The exporter writes line breaks as a literal \n, and a literal \n as \\n.
_ESCAPED_NEWLINE = re.compile(r"\\\\n|\\n")
_UNSOLD_TYPES = {
    "grouped": "a grouped product is a page, not goods: its members are imported on their own",
    "external": "an external product is sold on another site",
}


class WooCommerceFormat(Format):
    """Simple products are one row; a variable product is its own row and one for each variation, in any order."""

    name: ClassVar[FormatName] = "woocommerce"
    expects: ClassVar[str] = "WooCommerce product export: ID, Type, SKU, Name, Regular price, Stock, Parent, …"
    #: Sale dates are compared with this day; None is today, UTC.
    on: date | None = None

    @classmethod
    def recognise(cls, header: Header) -> Self | None:
        if not header.has("type", "name", "regular price"):
            return None
        roles = header.assign(_ALIASES)
        numbered: dict[str, dict[str, int]] = {}
        for column, normal in enumerate(header.normal):
            if match := _ATTRIBUTE.fullmatch(normal):
                numbered.setdefault(match[1], {}).setdefault(match[2], column)
        options = tuple(
            OptionColumn(columns["value(s)"], columns["name"])
            for columns in numbered.values()
            if {"name", "value(s)"} <= columns.keys()
        )
        used = {*roles.values(), *(o.value for o in options), *(o.name for o in options)}
        unit = header.weight_unit(roles.get("weight", -1))
        return cls(Layout(cls.name, header.names, roles, options, (), unit, frozenset(used)))

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        at = layout.at
        self._id, self._type, self._sku, self._parent = at("id"), at("type"), at("sku"), at("parent")
        self._title, self._price, self._sale_price = at("title"), at("price"), at("sale_price")
        self._stock, self._weight, self._image = at("quantity"), at("weight"), at("image")
        self._groups: dict[str, str] = {}
        self._today = self.on or datetime.now(UTC).date()

    # -- which rows belong together --------------------------------------------------------------------------------

    def _own_group(self, row: list[str]) -> str:
        sku, number = without_formula_guard(row[self._sku].strip()), row[self._id].strip()
        return sku or (f"id:{number}" if number else slug(row[self._title]))

    def _is_variation(self, row: list[str]) -> bool:
        return "variation" in row[self._type].casefold()

    def scan(self, row: list[str]) -> None:
        if self._is_variation(row):
            self.rows_of[without_formula_guard(row[self._parent].strip())] += 1
            return
        group = self._own_group(row)
        if number := row[self._id].strip():
            self._groups[f"id:{number}"] = group
        self.rows_of[group] += 1

    def scanned(self) -> None:
        for reference, group in self._groups.items():
            if reference != group and reference in self.rows_of:
                self.rows_of[group] += self.rows_of.pop(reference)

    def product_of(self, row: list[str]) -> str:
        if self._is_variation(row):
            reference = without_formula_guard(row[self._parent].strip())
            return self._groups.get(reference, reference)
        return self._own_group(row)

    def unnamed(self, row: list[str]) -> tuple[str, str]:
        if self._is_variation(row):
            return "parent", "a variation without its parent"
        return "title", "the product has neither SKU, ID nor name"

    # -- what a row means ------------------------------------------------------------------------------------------

    def read(self, row: list[str], line: int, product: OpenProduct, reader: RowReader) -> None:
        row = [without_formula_guard(cell) for cell in row]
        kind = row[self._type].casefold()
        if "variation" in kind:
            self._read_variation(row, line, product, reader)
            return
        for unsold, why in _UNSOLD_TYPES.items():
            if unsold in kind:
                product.refused = why
                raise RowRefusedError("type", why, row[self._type])
        if product.draft.title:
            raise RowRefusedError("sku", f"the SKU is already used on line {product.draft.line}", row[self._sku])
        self._read_product(row, line, product, reader)
        reader.add_images(product, _UNESCAPED_COMMA.split(row[self._image]), line, self._image)
        if "variable" in kind:
            product.shared_stock, product.shared_weight = row[self._stock], row[self._weight]
            if self.rows_of[self._own_group(row)] == 1:
                raise RowRefusedError("type", "a variable product without variations in this file", row[self._type])
            return
        price, compare_at = self._prices(row, reader)
        reader.variant(row, line, product, {}, price, compare_at)

    def _read_variation(self, row: list[str], line: int, product: OpenProduct, reader: RowReader) -> None:
        if product.must_wait(line, row):
            return
        if not product.draft.title:
            raise RowRefusedError("parent", "its parent is not in this file, or was rejected", row[self._parent])
        options: dict[str, str] = {}
        for column in self.layout.options:
            name, value = plain(row[column.name]), plain(row[column.value].replace("\\,", ","))
            if name and value:
                options[name] = value
                if name not in product.option_names:
                    product.option_names.append(name)
        price, compare_at = self._prices(row, reader)
        stock = row[self._stock].strip()
        if stock.casefold() == "parent":
            stock = product.shared_stock
            if self.rows_of[self.product_of(row)] > 2 and stock:
                reader.report.warn(
                    line, self.layout.name("quantity"), "stock is shared by all variations: not imported"
                )
                stock = ""
        if not row[self._weight].strip():
            row[self._weight] = product.shared_weight
        variant = reader.variant(row, line, product, options, price, compare_at, stock)
        images = _UNESCAPED_COMMA.split(row[self._image])
        variant.image = reader.image(images[0], line, self._image)

    def _prices(self, row: list[str], reader: RowReader) -> tuple[Money, Money | None]:
        regular = reader.price("price", row[self._price])
        if not row[self._sale_price].strip() or not self._on_sale(row):
            return regular, None
        sale = reader.price("sale_price", row[self._sale_price])
        return (sale, regular) if sale < regular else (regular, None)

    def _on_sale(self, row: list[str]) -> bool:
        starts, ends = (_day(row[self.layout.at(role)]) for role in ("sale_starts", "sale_ends"))
        return (starts is None or starts <= self._today) and (ends is None or self._today <= ends)

    def _read_product(self, row: list[str], line: int, product: OpenProduct, reader: RowReader) -> None:
        at, draft = self.layout.at, product.draft
        title = reader.text("title", row[self._title], line, reader.limits.max_title_chars)
        if not title:
            product.refused = "the product has no name"
            raise RowRefusedError("title", product.refused)
        draft.title = title
        body = row[at("description")] or row[at("short_description")]
        draft.description_html = reader.html(_ESCAPED_NEWLINE.sub(_newline, body), line)
        draft.brand = reader.text("brand", row[at("brand")].replace("\\,", ","), line)
        category = _UNESCAPED_COMMA.split(row[at("category")])[0].replace("\\,", ",")
        draft.category = reader.text("category", category, line)
        draft.tags = reader.tags(row[at("tags")], line)
        published = row[at("published")].strip()
        draft.published = published == "1" if published else None
        draft.line = line


def _newline(match: re.Match[str]) -> str:
    return "\n" if match[0] == "\\n" else "\\n"


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text.strip()[:10])
    except ValueError:
        return None
