"""Shapes of WooCommerce REST v3 answers, as lenient as real shops and their plug-ins. Unknown fields are ignored."""

from __future__ import annotations

import html
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _utc(value: Any) -> Any:
    """`date_*_gmt` is UTC without a Z."""
    if not isinstance(value, str):
        return value
    if not value or value.startswith("0000"):
        return None
    moment = datetime.fromisoformat(value)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _text(value: Any) -> Any:
    """Names come back with HTML entities ("A &amp; B")."""
    return html.unescape(value) if isinstance(value, str) else "" if value is None else value


def _number_text(value: Any) -> Any:
    """Decimal strings; some plug-ins send numbers, and nothing instead of zero."""
    return "" if value is None else str(value) if isinstance(value, int | float) else value


def _rows(value: Any) -> Any:
    """PHP writes an empty map as [], and null for nothing."""
    return [] if value is None or value == {} else value


Gmt = Annotated[datetime | None, BeforeValidator(_utc)]
Text = Annotated[str, BeforeValidator(_text)]
DecimalText = Annotated[str, BeforeValidator(_number_text)]


class Wire(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Meta(Wire):
    key: str = ""
    value: Any = None


Metas = Annotated[list[Meta], BeforeValidator(_rows)]


def meta_value(rows: list[Meta], key: str) -> str:
    """The value kept under `key` as text; "" when there is none."""
    return next((str(row.value) for row in rows if row.key == key and row.value is not None), "")


def _id(value: Any) -> Any:
    return value or 0


class Attribute(Wire):
    """What a product comes in; `id` is 0 for an attribute of this product alone."""

    id: Annotated[int, BeforeValidator(_id)] = 0
    name: Text = ""
    position: int = 0
    visible: bool = False
    variation: bool = False
    options: Annotated[list[Text], BeforeValidator(_rows)] = Field(default_factory=list)


class AttributeValue(Wire):
    """A variation's choice for one attribute; "" stands for any."""

    id: Annotated[int, BeforeValidator(_id)] = 0
    name: Text = ""
    option: Text = ""


class Image(Wire):
    src: Annotated[str, BeforeValidator(lambda value: value or "")] = ""


class Product(Wire):
    """A product, or a variation as the SKU filter shows it."""

    id: int
    parent_id: int = 0
    name: Text = ""
    description: str | None = None
    images: list[Image] | None = None
    type: str = "simple"
    status: str = "publish"
    sku: str = ""
    global_unique_id: DecimalText = ""
    price: DecimalText = ""
    regular_price: DecimalText = ""
    manage_stock: bool | str = False
    stock_quantity: Decimal | None = None
    attributes: Annotated[list[Attribute], BeforeValidator(_rows)] = Field(default_factory=list)
    date_modified_gmt: Gmt = None
    meta_data: Metas = Field(default_factory=list)


class Variation(Wire):
    id: int
    status: str = "publish"
    sku: str = ""
    global_unique_id: DecimalText = ""
    price: DecimalText = ""
    regular_price: DecimalText = ""
    manage_stock: bool | str = False
    stock_quantity: Decimal | None = None
    attributes: Annotated[list[AttributeValue], BeforeValidator(_rows)] = Field(default_factory=list)
    date_modified_gmt: Gmt = None
    meta_data: Metas = Field(default_factory=list)


class Line(Wire):
    """`price` is left out on purpose: it is a float (3.3333333333333335)."""

    id: int
    name: Text = ""
    product_id: int = 0
    variation_id: int = 0
    quantity: Decimal = Decimal(0)
    total: DecimalText = ""
    total_tax: DecimalText = ""
    sku: Annotated[str, BeforeValidator(lambda value: value or "")] = ""
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


Address = Annotated[Person, BeforeValidator(lambda value: value or {})]


class Order(Wire):
    id: int
    number: DecimalText = ""
    status: str
    currency: str
    date_created_gmt: Gmt = None
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
        """When it last changed. Raises ValueError for an order without any date."""
        moment = self.date_modified_gmt or self.date_created_gmt
        if moment is None:
            raise ValueError(f"order {self.id} has no date")
        return moment


class Refund(Wire):
    id: int
    amount: DecimalText = ""
    reason: Text = ""
    date_created_gmt: Gmt = None
    line_items: Annotated[list[Line], BeforeValidator(_rows)] = Field(default_factory=list)


class Webhook(Wire):
    id: int
    name: str = ""
    status: str
    topic: str
    delivery_url: str


class Setting(Wire):
    id: str
    value: Any = None


class Environment(Wire):
    version: str = ""


class SystemStatus(Wire):
    environment: Environment = Environment()


class Index(Wire):
    """WordPress's own index below /wp-json/."""

    name: Text = ""
    timezone_string: Annotated[str, BeforeValidator(lambda value: value or "")] = ""
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
