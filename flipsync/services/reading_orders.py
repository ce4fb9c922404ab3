"""Orders as people see them. The buyer's address is shown only to those who may see customers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

from pydantic import AwareDatetime, Field
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.channel import Address, OrderStatus
from flipsync.domain.errors import NotFound
from flipsync.domain.money import Money
from flipsync.services.reading_page import Moment, Page, PageRequest, View, cut, money
from flipsync.store.models import OrderLine
from flipsync.store.repositories import reading_selling as rows

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


async def list_orders(session: AsyncSession, page: PageRequest, where: OrderFilter) -> Page[OrderSummary]:
    """Last placed first. Raises InvalidInput for a foreign cursor."""
    found = await rows.orders(
        session,
        limit=page.limit + 1,
        after=page.after_time_and_id(),
        account_id=where.account_id,
        state=where.state,
        status=where.status,
        number=where.number,
        sku=where.sku,
        placed_from=where.placed_from,
        placed_before=where.placed_before,
    )
    short: dict[UUID, int] = {}
    for line in await rows.lines_of(session, [row[0].id for row in found[: page.limit]]):
        short[line.order_id] = short.get(line.order_id, 0) + line.short
    return cut(
        found,
        page.limit,
        lambda row: _summary(row, short.get(row[0].id, 0)),
        lambda row: [row[0].placed_at.isoformat(), str(row[0].id)],
    )


async def get_order(session: AsyncSession, order_id: UUID, *, with_customer: bool) -> OrderView:
    """With lines, refunds and shipment. Raises NotFound."""
    found = await rows.orders(session, limit=1, order_id=order_id)
    if not found:
        raise NotFound(f"no order {order_id}")
    order = found[0][0]
    lines = await rows.lines_of(session, [order_id])
    shipment = await rows.shipment_of(session, order_id)
    refunds = await rows.refunds_of(session, order_id)
    return OrderView(
        **_summary(found[0], sum(line.short for line in lines)).model_dump(),
        lines=_lines(lines, order.currency),
        refunds=[
            RefundView(
                id=refund.id,
                amount=Money(amount_minor=refund.amount_minor, currency=refund.currency),
                created_at=refund.created_at,
            )
            for refund in refunds
        ],
        shipment=None
        if shipment is None
        else ShipmentView(
            carrier=shipment.carrier, tracking_number=shipment.tracking_number, confirmed_at=shipment.confirmed_at
        ),
        ship_to=Address.model_validate(order.ship_to) if with_customer else None,
    )


def _lines(lines: Sequence[OrderLine], currency: str) -> list[OrderLineView]:
    return [
        OrderLineView(
            id=line.id,
            listing_id=line.listing_id,
            sku=line.sku,
            title=line.title,
            quantity=line.quantity,
            reserved=line.reserved,
            short=line.short,
            shipped=line.shipped,
            returned=line.returned,
            total=Money(amount_minor=line.total_minor, currency=currency),
            tax=Money(amount_minor=line.tax_minor, currency=currency),
            unit_cost=money(line.cost_minor, currency),
        )
        for line in lines
    ]


def _summary(row: rows.OrderRow, short_units: int) -> OrderSummary:
    order, vendor, account_name = row
    return OrderSummary(
        id=order.id,
        number=order.number,
        external_id=order.external_id,
        account_id=order.account_id,
        account_name=account_name,
        vendor=vendor,
        status=order.status,
        vendor_status=order.vendor_status,
        state=order.state,
        total=Money(amount_minor=order.total_minor, currency=order.currency),
        tax=Money(amount_minor=order.tax_minor, currency=order.currency),
        shipping=Money(amount_minor=order.shipping_minor, currency=order.currency),
        fee=money(order.fee_minor, order.currency),
        short_units=short_units,
        placed_at=order.placed_at,
        modified_at=order.modified_at,
    )
