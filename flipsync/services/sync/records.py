"""What things look like to a phone. Amounts are Money, times are UTC, quantities are units.

No buyer's name or address is among them: who packs reads the order itself.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from flipsync.domain.money import Money
from flipsync.security.roles import Permission
from flipsync.services.reading_page import Moment, View

Kind = Literal["product", "variant", "stock_item", "listing", "order", "order_line", "notice"]

#: what a person has to be allowed to read to be told of a kind; notices are each user's own
NEEDED: dict[Kind, Permission] = {
    "product": "catalogue:read",
    "variant": "catalogue:read",
    "stock_item": "inventory:read",
    "listing": "listings:read",
    "order": "orders:read",
    "order_line": "orders:read",
    "notice": "sync:use",
}


class ProductRecord(View):
    kind: Literal["product"]
    id: UUID
    handle: str
    title: str
    description_html: str
    brand: str | None
    category: str | None
    tags: list[str]
    images: list[str]
    published: bool
    version: int = Field(description="what an edit is based on")


class VariantRecord(View):
    kind: Literal["variant"]
    id: UUID
    product_id: UUID
    sku: str
    barcode: str | None
    options: dict[str, str]
    price: Money | None
    cost: Money | None
    floor: Money | None
    ceiling: Money | None
    weight_grams: int | None
    image: str | None


class StockRecord(View):
    kind: Literal["stock_item"]
    id: UUID
    variant_id: UUID
    pool: str
    mode: str
    on_hand: int
    reserved: int
    allocated: int
    pending_count: int | None
    counted_at: Moment | None


class ListingRecord(View):
    kind: Literal["listing"]
    id: UUID
    account_id: UUID
    variant_id: UUID
    sku: str
    external_id: str | None
    status: str
    title: str
    price: Money | None = Field(description="what the channel shows; what a wish for another price is based on")
    quantity_shown: int | None
    version: int


class OrderRecord(View):
    kind: Literal["order"]
    id: UUID
    account_id: UUID
    number: str
    external_id: str
    status: str
    state: str
    total: Money
    tax: Money
    shipping: Money
    placed_at: Moment
    modified_at: Moment


class OrderLineRecord(View):
    kind: Literal["order_line"]
    id: UUID
    order_id: UUID
    listing_id: UUID | None
    sku: str
    title: str
    quantity: int
    reserved: int
    short: int
    shipped: int
    returned: int
    total: Money


class NoticeRecord(View):
    """Somebody else's words replaced yours; both are kept here."""

    kind: Literal["notice"]
    id: UUID
    at: Moment
    product_id: UUID
    field: str
    lost: Any
    stands: Any


Record = Annotated[
    ProductRecord | VariantRecord | StockRecord | ListingRecord | OrderRecord | OrderLineRecord | NoticeRecord,
    Field(discriminator="kind"),
]


class Change(View):
    """A thing as it is now, or, `gone`, its tombstone: deleted, or an order nobody touched for 90 days."""

    kind: Kind
    id: UUID
    gone: bool
    record: Record | None = Field(description="null when it is gone")


class Changes(View):
    """What changed since a cursor. While `more`, ask on with the cursor at once; then keep it for the next time."""

    changes: list[Change]
    cursor: str = Field(description="opaque; the next question begins here")
    more: bool
    full: bool = Field(description="everything there is, so that what a device has and is not told is gone")
    server_time: Moment
