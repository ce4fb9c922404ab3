"""Any table with a title and a price: the header aliases below are the documentation of what is understood.

Rows with the same `handle` are variants of one product; without it each row is a product of its own. Options are either
`option1 name`/`option1 value` pairs or columns such as `size` and `colour`.
"""

from __future__ import annotations

from typing import ClassVar, Self

from flipsync.services.catalogue.columns import AMOUNT_ROLES, Header, Layout, OptionColumn, base_and_suffix
from flipsync.services.catalogue.formats.base import Format
from flipsync.services.catalogue.model import FormatName
from flipsync.services.catalogue.rows import OpenProduct, RowReader, RowRefusedError
from flipsync.services.catalogue.sanitise import plain, slug

ALIASES: dict[str, tuple[str, ...]] = {
    "key": (
        "handle",
        "product key",
        "product handle",
        "group",
        "group id",
        "item group id",
        "parent sku",
        "style code",
    ),
    "title": ("title", "name", "product name", "product title", "item name", "item title", "item"),
    "sku": (
        "sku",
        "variant sku",
        "item sku",
        "seller sku",
        "stock keeping unit",
        "custom label (sku)",
        "custom label",
        "item number",
        "item no",
        "article number",
        "product code",
        "part number",
    ),
    "description": ("description", "body (html)", "body", "html", "product description", "long description", "details"),
    "brand": ("brand", "vendor", "manufacturer", "make"),
    "category": ("category", "categories", "product type", "type", "department"),
    "tags": ("tags", "keywords"),
    "price": ("price", "selling price", "unit price", "retail price", "asking price", "our price", "regular price"),
    "compare_at": ("compare at price", "compare at", "list price", "rrp", "msrp", "was price"),
    "cost": (
        "cost",
        "cost price",
        "unit cost",
        "cost per item",
        "landed cost",
        "purchase price",
        "buy price",
        "wholesale price",
        "cost of goods",
    ),
    "floor": ("floor", "floor price", "minimum price", "min price", "lowest price"),
    "ceiling": ("ceiling", "ceiling price", "maximum price", "max price", "highest price"),
    "vat": ("vat", "vat rate", "vat %", "vat percent", "tax rate", "tax %", "tax percent"),
    "currency": ("currency", "currency code"),
    "quantity": (
        "quantity",
        "qty",
        "stock",
        "stock quantity",
        "on hand",
        "quantity on hand",
        "inventory",
        "inventory quantity",
        "stock level",
        "units",
        "available",
    ),
    "barcode": ("barcode", "gtin", "ean", "upc", "isbn", "ean13", "ean code", "upc code", "gtin, upc, ean, or isbn"),
    "weight": ("weight", "weight grams", "weight g", "weight kg", "weight lb", "weight lbs", "weight oz", "grams"),
    "weight_unit": ("weight unit", "unit of weight"),
    "condition": ("condition", "item condition"),
    "published": ("published", "active", "status"),
    "variant_image": ("variant image", "variant image url"),
}
_IMAGES = ("image", "images", "image url", "image urls", "image src", "photo", "photos", "picture", "main image")
_OPTIONS = (
    "size",
    "colour",
    "color",
    "material",
    "style",
    "edition",
    "format",
    "capacity",
    "flavour",
    "scent",
    "pattern",
)
_NO = frozenset({"false", "no", "0", "n", "draft", "archived", "inactive", "ended"})


class GenericFormat(Format):
    """A plain table; needs a title and a price column."""

    name: ClassVar[FormatName] = "generic"
    expects: ClassVar[str] = (
        "a table with at least title and price; also understood: sku, handle, description, brand, category, tags, "
        "quantity, cost, compare at price, floor price, ceiling price, vat rate, currency, barcode, weight (kg), "
        "condition, image, option1 name, option1 value, size, colour"
    )

    @classmethod
    def recognise(cls, header: Header) -> Self | None:
        # "Price (EUR)" and "Weight (kg)" are their base names; the weight's unit is read from the original header.
        bare = Header(header.names, tuple(_without_unit(name) for name in header.normal))
        roles = bare.assign(ALIASES)
        if "title" not in roles or "price" not in roles:
            return None
        taken = set(roles.values())
        images = tuple(
            i
            for i, name in enumerate(bare.normal)
            if i not in taken and (name in _IMAGES or name.rstrip("0123456789").rstrip() in _IMAGES)
        )
        options = []
        for number in range(1, 6):
            columns = bare.assign(
                {
                    "name": (f"option{number} name", f"option {number} name"),
                    "value": (f"option{number} value", f"option {number} value", f"option {number}", f"option{number}"),
                }
            )
            if "value" in columns:
                options.append(OptionColumn(columns["value"], columns.get("name", -1), f"Option {number}"))
        for i, name in enumerate(bare.normal):
            if name in _OPTIONS and i not in taken:
                options.append(OptionColumn(i, -1, plain(header.names[i]).capitalize()))
        used = {*taken, *images, *(o.value for o in options), *(o.name for o in options)}
        unit = "g" if bare.has("grams") else header.weight_unit(roles.get("weight", -1))
        return cls(Layout(cls.name, header.names, roles, tuple(options), images, unit, frozenset(used)))

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        at = layout.at
        self._key, self._title, self._sku = at("key"), at("title"), at("sku")
        self._price, self._compare_at, self._variant_image = at("price"), at("compare_at"), at("variant_image")
        self._header_currencies = {
            role: suffix.upper()
            for role in AMOUNT_ROLES
            if (suffix := base_and_suffix(layout.name(role))[1]) and len(suffix) == 3 and suffix.isalpha()
        }

    def product_of(self, row: list[str]) -> str:
        return plain(row[self._key]) or plain(row[self._sku]) or slug(row[self._title]) or plain(row[self._title])

    def unnamed(self, row: list[str]) -> tuple[str, str]:
        return "title", "no title"

    def read(self, row: list[str], line: int, product: OpenProduct, reader: RowReader) -> None:
        # Without a handle, a further row with the same SKU is a second try at a product whose first row was rejected.
        retry = not product.draft.variants and not row[self._key].strip()
        if not product.draft.title or retry:
            if row[self._title].strip():
                product.images.clear()
                self._read_product(row, line, product, reader)
            elif product.must_wait(line, row):
                return
            else:
                raise RowRefusedError("title", "no title")
        for column in self.layout.images:
            cell = row[column]
            if cell:
                reader.add_images(product, cell.split() if "," not in cell else _addresses(cell), line, column)
        for role, currency in self._header_currencies.items():
            if currency != reader.currency:
                raise RowRefusedError(role, f"the column is in {currency}, the import in {reader.currency}")
        options = self._options(row, product)
        price = reader.price("price", row[self._price])
        compare_at = reader.amount("compare_at", row[self._compare_at])
        variant = reader.variant(row, line, product, options, price, compare_at)
        if row[self._variant_image]:
            variant.image = reader.image(row[self._variant_image], line, self._variant_image)

    def _options(self, row: list[str], product: OpenProduct) -> dict[str, str]:
        options: dict[str, str] = {}
        for column in self.layout.options:
            value = plain(row[column.value])
            if value:
                name = plain(row[column.name]) or column.fixed_name
                options[name] = value
                if name not in product.option_names:
                    product.option_names.append(name)
        return options

    def _read_product(self, row: list[str], line: int, product: OpenProduct, reader: RowReader) -> None:
        at, draft = self.layout.at, product.draft
        draft.title = reader.text("title", row[self._title], line, reader.limits.max_title_chars)
        draft.description_html = reader.html(row[at("description")], line)
        draft.brand = reader.text("brand", row[at("brand")], line)
        draft.category = reader.text("category", row[at("category")], line)
        draft.tags = reader.tags(row[at("tags")], line)
        published = row[at("published")].strip().casefold()
        draft.published = published not in _NO if published else None
        draft.line = line


def _addresses(cell: str) -> list[str]:
    """Addresses separated by commas; a comma inside an address does not begin with a scheme."""
    parts: list[str] = []
    for piece in cell.split(","):
        if parts and not piece.strip().casefold().startswith(("http:", "https:")):
            parts[-1] += "," + piece
        else:
            parts.append(piece)
    return parts


def _without_unit(normal: str) -> str:
    base, suffix = base_and_suffix(normal)
    return base if suffix and base in {"price", "cost", "weight", "floor price", "ceiling price", "vat"} else normal
