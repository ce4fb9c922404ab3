"""Shapes of the custom-channel protocol's answers. Unknown fields are ignored, as the protocol asks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, WrapValidator, model_validator

from flipsync.connectors.unread import one_by_one
from flipsync.domain.channel import ListingStatus
from flipsync.domain.money import Currency, Money


def _utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("a time out of bounds") from error


Moment = Annotated[AwareDatetime, AfterValidator(_utc)]


class Wire(BaseModel):
    """What may be left out may also be null: servers in many languages write one for the other."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_left_out(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        needed = {name for name, field in cls.model_fields.items() if field.is_required()}
        return {name: value for name, value in values.items() if value is not None or name in needed}


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
    modified_at: Moment
    description_html: str | None = None
    images: tuple[str, ...] | None = None
    attributes: dict[str, str] | None = None
    quantity_before: int | None = None


class ListingPage(Wire):
    items: Annotated[list[Listing], WrapValidator(one_by_one)]
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
    created_at: Moment
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
    placed_at: Moment
    modified_at: Moment
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
    seen_at: Moment


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
