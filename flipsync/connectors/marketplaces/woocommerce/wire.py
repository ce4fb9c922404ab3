"""Shapes of WooCommerce REST v3 answers, as lenient as real shops and their plug-ins. Unknown fields are ignored."""

from __future__ import annotations

import html
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from flipsync.domain.channel import MAX_UNITS_TOLD


def _utc(value: Any) -> Any:
    """`date_*_gmt` is UTC without a Z."""
    if not isinstance(value, str):
        return value
    if not value.strip() or value.startswith(("0000", "-")):
        return None
    moment = datetime.fromisoformat(value.strip())
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _plain(value: Any) -> Any:
    """A text where plug-ins send numbers, and false or nothing instead of one."""
    if value is None or value is False:
        return ""
    return str(value) if isinstance(value, int | float) else value


def _text(value: Any) -> Any:
    """Names come back with HTML entities ("A &amp; B")."""
    return html.unescape(value) if isinstance(value, str) else _plain(value)


def _rows(value: Any) -> Any:
    """PHP writes an empty map as [], null for nothing, and a list that lost a row as a map of the others."""
    if value is None or value == "" or value is False:
        return []
    return list(value.values()) if isinstance(value, dict) else value


def _map(value: Any) -> Any:
    """PHP writes an empty map as []."""
    return value or {}


def _flag(value: Any) -> Any:
    """PHP's own idea of true and false: "", "0" and null are false, "1", "yes" and "on" true."""
    return value not in (None, "", "0", "no", "off", "false", 0, False) if not isinstance(value, bool) else value


def _stock_flag(value: Any) -> Any:
    return value if value == "parent" else _flag(value)


# What a plug-in has put where another thing belongs in a product is nothing: with odd pictures it is still for sale.
# Amounts, units and dates of orders are read as they are, or the order is not.


def _word(value: Any) -> Any:
    return _plain(value) if value is None or isinstance(value, str | int | float) else ""


def _words(value: Any) -> Any:
    return _text(value) if value is None or isinstance(value, str | int | float) else ""


def _some_rows(value: Any) -> Any:
    rows = _rows(value)
    return rows if isinstance(rows, list) else []


def _objects(value: Any) -> Any:
    return [row for row in _some_rows(value) if isinstance(row, dict)]


def _object(value: Any) -> Any:
    return value if isinstance(value, dict) else {}


def _objects_or_none(value: Any) -> Any:
    return None if value is None else _objects(value)


def _body(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else ""


def _some_id(value: Any) -> Any:
    return value if type(value) is int or (isinstance(value, str) and value.isdecimal()) else 0


def _some_date(value: Any) -> Any:
    try:
        return _utc(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _some_units(value: Any) -> Any:
    """Not more than is believed of any shop."""
    try:
        found = Decimal(str(value))
    except ArithmeticError:
        return None
    return max(-_MOST_UNITS, min(found, _MOST_UNITS)) if found.is_finite() else None


_MOST_UNITS = Decimal(MAX_UNITS_TOLD)

Gmt = Annotated[datetime | None, BeforeValidator(_utc)]
Text = Annotated[str, BeforeValidator(_text)]
#: letters as they are: SKUs, keys, statuses, decimals
Plain = Annotated[str, BeforeValidator(_plain)]
DecimalText = Plain
Id = Annotated[int, BeforeValidator(lambda value: value or 0)]
Flag = Annotated[bool, BeforeValidator(_flag)]
Word = Annotated[str, BeforeValidator(_word)]
Words = Annotated[str, BeforeValidator(_words)]
SomeId = Annotated[int, BeforeValidator(_some_id)]
SomeDate = Annotated[datetime | None, BeforeValidator(_some_date)]
SomeUnits = Annotated[Decimal | None, BeforeValidator(_some_units)]
#: "parent": of a variation that has no stock of its own
StockFlag = Annotated[bool | str, BeforeValidator(_stock_flag)]


class Wire(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Meta(Wire):
    key: Word = ""
    value: Any = None


Metas = Annotated[list[Meta], BeforeValidator(_objects)]


def meta_value(rows: list[Meta], key: str) -> str:
    """The value kept under `key` as text; "" when there is none."""
    return next((str(row.value) for row in rows if row.key == key and row.value is not None), "")


class Attribute(Wire):
    """What a product comes in; `id` is 0 for an attribute of this product alone."""

    id: SomeId = 0
    name: Words = ""
    position: SomeId = 0
    visible: Flag = False
    variation: Flag = False
    options: Annotated[list[Words], BeforeValidator(_some_rows)] = Field(default_factory=list)


class AttributeValue(Wire):
    """A variation's choice for one attribute; "" stands for any."""

    id: SomeId = 0
    name: Words = ""
    option: Words = ""


class Image(Wire):
    src: Word = ""


class Filed(Wire):
    """A category of a product."""

    id: SomeId = 0
    slug: Word = ""


class Product(Wire):
    """A product, or a variation as the SKU filter shows it."""

    id: int
    parent_id: SomeId = 0
    name: Words = ""
    description: Annotated[str | None, BeforeValidator(_body)] = None
    images: Annotated[list[Image] | None, BeforeValidator(_objects_or_none)] = None
    categories: Annotated[list[Filed], BeforeValidator(_objects)] = Field(default_factory=list)
    type: Word = "simple"
    status: Word = "publish"
    sku: Word = ""
    global_unique_id: Word = ""
    price: Word = ""
    regular_price: Word = ""
    manage_stock: StockFlag = False
    stock_quantity: SomeUnits = None
    attributes: Annotated[list[Attribute], BeforeValidator(_objects)] = Field(default_factory=list)
    date_modified_gmt: SomeDate = None
    meta_data: Metas = Field(default_factory=list)


class Variation(Wire):
    id: int
    image: Annotated[Image, BeforeValidator(_object)] = Image()
    status: Word = "publish"
    sku: Word = ""
    global_unique_id: Word = ""
    price: Word = ""
    regular_price: Word = ""
    manage_stock: StockFlag = False
    stock_quantity: SomeUnits = None
    attributes: Annotated[list[AttributeValue], BeforeValidator(_objects)] = Field(default_factory=list)
    date_modified_gmt: SomeDate = None
    meta_data: Metas = Field(default_factory=list)


class Line(Wire):
    """`price` is left out on purpose: it is a float (3.3333333333333335)."""

    id: int
    name: Text = ""
    product_id: Id = 0
    variation_id: Id = 0
    quantity: Annotated[Decimal, BeforeValidator(lambda value: value or 0)] = Decimal(0)
    total: DecimalText = ""
    total_tax: DecimalText = ""
    sku: Plain = ""
    meta_data: Metas = Field(default_factory=list)


class RefundRow(Wire):
    """A refund as an order lists it: too little to know what went back on sale."""

    id: int


class Person(Wire):
    first_name: Text = ""
    last_name: Text = ""
    company: Text = ""
    address_1: Text = ""
    address_2: Text = ""
    city: Text = ""
    state: Text = ""
    postcode: Text = ""
    country: Text = ""
    phone: Text = ""
    email: Text = ""


Address = Annotated[Person, BeforeValidator(_map)]


class Order(Wire):
    id: int
    number: DecimalText = ""
    status: str
    currency: str
    date_created: Gmt = None
    date_created_gmt: Gmt = None
    date_modified: Gmt = None
    date_modified_gmt: Gmt = None
    date_paid_gmt: Gmt = None
    shipping_total: DecimalText = ""
    total: DecimalText = ""
    total_tax: DecimalText = ""
    customer_note: Text = ""
    billing: Address = Person()
    shipping: Address = Person()
    line_items: Annotated[list[Line], BeforeValidator(_rows)] = Field(default_factory=list)
    refunds: Annotated[list[RefundRow], BeforeValidator(_rows)] = Field(default_factory=list)
    meta_data: Metas = Field(default_factory=list)

    @property
    def changed_at(self) -> datetime:
        """When it last changed; by the shop's own clock where it keeps no other. Raises ValueError without any date."""
        moment = self.date_modified_gmt or self.date_created_gmt or self.date_modified or self.date_created
        if moment is None:
            raise ValueError(f"order {self.id} has no date")
        return moment


class OrderNote(Wire):
    id: int
    note: Text = ""
    customer_note: bool = False


class Refund(Wire):
    id: int
    amount: DecimalText = ""
    reason: Text = ""
    date_created_gmt: Gmt = None
    line_items: Annotated[list[Line], BeforeValidator(_rows)] = Field(default_factory=list)


class Webhook(Wire):
    id: int
    name: Text = ""
    status: Plain = ""
    topic: Plain = ""
    delivery_url: Plain = ""


class Setting(Wire):
    id: str
    value: Any = None


class Environment(Wire):
    version: Plain = ""


class SystemStatus(Wire):
    environment: Annotated[Environment, BeforeValidator(_map)] = Environment()


class Index(Wire):
    """WordPress's own index below /wp-json/."""

    name: Text = ""
    timezone_string: Plain = ""
    gmt_offset: DecimalText = ""


class Term(Wire):
    id: int
    name: Text


class Error(Wire):
    """`data` is an object, or where WooCommerce slips an integer or nothing."""

    code: DecimalText = ""
    message: Text = ""
    data: Any = None

    @property
    def resource_id(self) -> int | None:
        found = self.data.get("resource_id") if isinstance(self.data, dict) else None
        return found if isinstance(found, int) else None
