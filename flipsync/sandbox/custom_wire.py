"""Shapes of the custom-channel protocol: request bodies (strict) and how the books' records are shown."""

from __future__ import annotations

import base64
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from flipsync.domain.money import Money
from flipsync.sandbox.clock import rfc3339
from flipsync.sandbox.records import Listing, Order, Refund


class Body(BaseModel):
    """Unknown fields in requests are an error."""

    model_config = ConfigDict(extra="forbid")


class ListingBody(Body):
    title: str = Field(min_length=1, max_length=500)
    description_html: str = ""
    price: Money | None = None
    quantity: int | None = Field(default=None, ge=0, le=10**9, strict=True)
    barcode: str | None = None
    brand: str | None = None
    category: str | None = None
    images: list[str] = Field(default_factory=list)
    weight_grams: int | None = Field(default=None, ge=0, strict=True)
    attributes: dict[str, str] = Field(default_factory=dict)

    def descriptive(self) -> dict[str, Any]:
        """What describes the goods and was sent; the rest stays as it is."""
        return self.model_dump(exclude={"title", "price", "quantity"}, exclude_unset=True)


class PriceBody(Body):
    price: Money


class QuantityBody(Body):
    quantity: int = Field(ge=0, le=10**9, strict=True)


class ShipmentBody(Body):
    carrier: str = Field(min_length=1, max_length=100)
    tracking_number: str = Field(min_length=1, max_length=200)


class WebhookBody(Body):
    url: str = Field(pattern=r"^https?://", max_length=2000)
    secret: str = Field(min_length=1, max_length=500)
    topics: list[Literal["order.created", "order.updated", "listing.updated"]] = Field(min_length=1)


def encode(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


class RefundBody(Body):
    amount: Money
    reason: str = Field(default="", max_length=500)
    reference: str = Field(default="", max_length=100)
    restock: dict[str, int] = Field(default_factory=dict)


def money(amount_minor: int, currency: str) -> dict[str, Any]:
    return {"amount_minor": amount_minor, "currency": currency}


def order_id(number: int) -> str:
    return f"o{number}"


def listing_view(listing: Listing, currency: str) -> dict[str, Any]:
    assert listing.price_minor is not None
    return {
        "sku": listing.sku,
        "title": listing.title,
        "status": listing.status,
        "price": money(listing.price_minor, currency),
        "quantity": listing.quantity,
        "stock_version": str(listing.stock_version),
        "modified_at": rfc3339(listing.modified_ms),
        **ListingBody(title=listing.title, **listing.doc).model_dump(exclude={"title", "price", "quantity"}),
    }


def refund_view(refund: Refund, currency: str) -> dict[str, Any]:
    return {
        "id": str(refund.id),
        "amount": money(refund.amount_minor, currency),
        "restocked": {str(line_id): units for line_id, units in refund.restocked.items()},
        "created_at": rfc3339(refund.created_ms),
        "reference": refund.reference,
    }


def order_view(order: Order) -> dict[str, Any]:
    currency = order.currency
    return {
        "id": order_id(order.id),
        "number": f"C-{order.id:06d}",
        "status": order.status,
        "placed_at": rfc3339(order.placed_ms),
        "modified_at": rfc3339(order.modified_ms),
        "currency": currency,
        "lines": [
            {
                "id": str(line.id),
                "sku": line.sku,
                "title": line.title,
                "quantity": line.quantity,
                "total": money(line.total_minor, currency),
                "tax": money(0, currency),
            }
            for line in order.lines
        ],
        "shipping": money(order.shipping_minor, currency),
        "tax": money(0, currency),
        "total": money(order.total_minor, currency),
        "fee": money(order.fee_minor, currency),
        "refunds": [refund_view(refund, currency) for refund in order.refunds],
        "ship_to": order.doc.get("ship_to", {}),
        "note": order.doc.get("note", ""),
    }


def cursor(modified_ms: int, record_id: int) -> str:
    """An opaque place in a list."""
    return base64.urlsafe_b64encode(f"{modified_ms}:{record_id}".encode()).decode()


def read_cursor(text: str) -> tuple[int, int]:
    """The place a cursor stands for. Raises ValueError."""
    modified, _, record = base64.urlsafe_b64decode(text.encode()).decode().partition(":")
    return int(modified), int(record)
