"""Shapes of the custom-channel protocol's answers. Unknown fields are ignored, as the protocol asks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, WrapValidator

from flipsync.connectors.unread import one_by_one
from flipsync.domain.channel import ListingStatus
from flipsync.domain.money import Currency, Money


class Wire(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Amount(Wire):
    amount_minor: int = Field(strict=True)
    currency: Currency

    def money(self) -> Money:
        return Money(amount_minor=self.amount_minor, currency=self.currency)


class Channel(Wire):
    name: str
    version: str = ""
    currency: Currency
    timezone: str = "UTC"
    can_write: bool


class Listing(Wire):
    sku: str
    title: str
    status: ListingStatus
    price: Amount | None
    quantity: int
    stock_version: str | int
    modified_at: AwareDatetime
    description_html: str | None = None
    images: tuple[str, ...] | None = None
    attributes: dict[str, str] | None = None
    quantity_before: int | None = None


class ListingPage(Wire):
    items: list[Listing]
    next_cursor: str | None


class Line(Wire):
    id: str
    sku: str
    title: str
    quantity: int = Field(ge=0)
    total: Amount
    tax: Amount


class Refund(Wire):
    id: str
    amount: Amount
    restocked: dict[str, int] = Field(default_factory=dict)
    created_at: AwareDatetime
    reference: str = ""


class ShipTo(Wire):
    name: str = ""
    company: str = ""
    line1: str = ""
    line2: str = ""
    city: str = ""
    region: str = ""
    postal_code: str = ""
    country: str = ""
    phone: str = ""
    email: str = ""


class Order(Wire):
    id: str
    number: str
    status: Literal["paid", "shipped", "cancelled", "refunded"]
    placed_at: AwareDatetime
    modified_at: AwareDatetime
    currency: Currency
    lines: list[Line]
    shipping: Amount
    tax: Amount
    total: Amount
    fee: Amount | None = None
    refunds: list[Refund] = Field(default_factory=list)
    ship_to: ShipTo = ShipTo()
    note: str = ""


class OrderPage(Wire):
    items: Annotated[list[Order], WrapValidator(one_by_one)]
    next_cursor: str | None


class Rival(Wire):
    sku: str
    seller: str
    price: Amount
    in_stock: bool
    seen_at: AwareDatetime


class RivalPage(Wire):
    items: list[Rival]


class Webhook(Wire):
    name: str
    url: str
    topics: list[str]
    active: bool


class WebhookPage(Wire):
    items: list[Webhook]


class Problem(Wire):
    """RFC 9457, with a stable `code`."""

    code: str = ""
    title: str = ""
    detail: str = ""
