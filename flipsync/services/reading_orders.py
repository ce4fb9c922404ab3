"""Orders as people see them. The buyer's address is shown only to those who may see customers."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from flipsync.domain.channel import Address, OrderStatus
from flipsync.domain.errors import NotFound
from flipsync.domain.money import Money
from flipsync.services.reading_page import Moment, Page, SortedRequest, View, amount, cut, sorted_by
from flipsync.store.reading import Reader
from flipsync.store.repositories import reading_selling as rows

OrderSort = Annotated[str | None, sorted_by(rows.ORDER_SORTS)]

State = Literal["received", "reserved", "ready", "shipped", "cancelled"]


class OrderLineView(View):
    """Quantities are units; `short` units were sold but do not exist."""

    id: UUID
    listing_id: UUID | None
    sku: str
    title: str
    quantity: int
    reserved: int
    short: int
    shipped: int
    returned: int
    total: Money = Field(description="before tax, after discounts")
    tax: Money
    unit_cost: Money | None


class OrderSummary(View):
    """`status` is the channel's word, `state` is how far we are."""

    id: UUID
    number: str
    external_id: str
    account_id: UUID
    account_name: str
    vendor: str
    status: str
    vendor_status: str
    state: str
    total: Money
    tax: Money
    shipping: Money
    fee: Money | None
    short_units: int
    placed_at: Moment
    modified_at: Moment


class RefundView(View):
    id: UUID
    amount: Money
    created_at: Moment


class ShipmentView(View):
    carrier: str
    tracking_number: str
    confirmed_at: Moment | None = Field(description="when the channel knew; null while it does not")
    refused_at: Moment | None = Field(description="since when it is known that the channel will not be told of it")


class OrderView(OrderSummary):
    lines: list[OrderLineView]
    refunds: list[RefundView]
    shipment: ShipmentView | None
    ship_to: Address | None = Field(description="null for those who may not see customers")


class OrderFilter(View):
    account_id: UUID | None = None
    state: State | None = None
    status: OrderStatus | None = None
    number: str | None = None
    sku: str | None = None
    placed_from: AwareDatetime | None = None
    placed_before: AwareDatetime | None = None


async def list_orders(reader: Reader, page: SortedRequest, where: OrderFilter) -> Page[OrderSummary]:
    """Last placed first by default. Raises InvalidInput for a foreign cursor."""
    place = page.place(rows.ORDER_SORTS)
    asked = rows.ORDERS(
        place,
        account_id=where.account_id,
        state=where.state,
        status=where.status,
        number=where.number,
        sku=where.sku,
        placed_from=where.placed_from,
        placed_before=where.placed_before,
    )
    (found,) = await reader.ask(asked)
    return cut(found, page.limit, lambda row: OrderSummary.model_validate(_summary(row)), place.cursor_of)


async def get_order(reader: Reader, order_id: UUID, *, with_customer: bool) -> OrderView:
    """With lines, refunds and shipment. Raises NotFound."""
    found, lines, refunds, shipments = await reader.ask(
        *(question(order_id=order_id) for question in (rows.ORDER, rows.LINES, rows.REFUNDS, rows.SHIPMENT))
    )
    if not found:
        raise NotFound(f"no order {order_id}")
    order = found[0]
    return OrderView.model_validate(
        _summary(order)
        | {
            "lines": [_line(line, order.currency) for line in lines],
            "refunds": [
                {"id": row.id, "amount": amount(row.amount_minor, row.currency), "created_at": row.created_at}
                for row in refunds
            ],
            "shipment": _shipment(shipments[0]) if shipments else None,
            "ship_to": order.ship_to if with_customer else None,
        }
    )


def _line(row: Any, currency: str) -> dict[str, Any]:
    """The fields of an OrderLineView."""
    return {
        "id": row.id,
        "listing_id": row.listing_id,
        "sku": row.sku,
        "title": row.title,
        "quantity": row.quantity,
        "reserved": row.reserved,
        "short": row.short,
        "shipped": row.shipped,
        "returned": row.returned,
        "total": amount(row.total_minor, currency),
        "tax": amount(row.tax_minor, currency),
        "unit_cost": amount(row.cost_minor, currency),
    }


def _shipment(row: Any) -> dict[str, Any]:
    """The fields of a ShipmentView."""
    return {name: getattr(row, name) for name in ShipmentView.model_fields}


def _summary(row: Any) -> dict[str, Any]:
    """The fields of an OrderSummary."""
    return {
        "id": row.id,
        "number": row.number,
        "external_id": row.external_id,
        "account_id": row.account_id,
        "account_name": row.account_name,
        "vendor": row.vendor,
        "status": row.status,
        "vendor_status": row.vendor_status,
        "state": row.state,
        "total": amount(row.total_minor, row.currency),
        "tax": amount(row.tax_minor, row.currency),
        "shipping": amount(row.shipping_minor, row.currency),
        "fee": amount(row.fee_minor, row.currency),
        "short_units": row.short_units,
        "placed_at": row.placed_at,
        "modified_at": row.modified_at,
    }
