"""Amazon's orders as FlipSync's, and shipments as Amazon's. Pure; raises ValueError for unusable data."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from flipsync.connectors.marketplaces.amazon import wire_orders
from flipsync.domain.channel import Address, ChannelOrder, ChannelOrderLine, OrderStatus
from flipsync.domain.money import Money

#: Usually 3-7-7 digits, which Amazon does not promise.
_ORDER_ID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._~-]{0,98}[A-Za-z0-9])?")
_STATUS: dict[str, OrderStatus] = {
    "PENDING_AVAILABILITY": "pending",
    "PENDING": "pending",
    "UNSHIPPED": "paid",
    "PARTIALLY_SHIPPED": "paid",
    "SHIPPED": "shipped",
    "CANCELLED": "cancelled",
    "UNFULFILLABLE": "failed",
}
#: Units are set aside from the moment an order waits for its payment; of a status nobody knows, they may be.
_NOT_HOLDING = frozenset({"PENDING_AVAILABILITY", "CANCELLED", "UNFULFILLABLE"})
#: Of every other status, also one that was not told, Amazon itself says whether the order can be shipped.
NOT_SHIPPABLE = frozenset({"PENDING_AVAILABILITY", "PENDING", "CANCELLED", "UNFULFILLABLE"})


def is_order_id(text: str) -> bool:
    return _ORDER_ID.fullmatch(text) is not None


def by_amazon(order: wire_orders.Order) -> bool:
    """Amazon packs and ships it, from the units in its own warehouses."""
    return order.fulfillment.fulfilled_by == "AMAZON"


def order(row: wire_orders.Order, currency: str) -> ChannelOrder:
    """`currency` is the account's, for orders whose payment is pending: Amazon hides their amounts."""
    told = row.fulfillment.fulfillment_status
    status = _STATUS.get(told, "pending")
    total = row.proceeds.grand_total.money() if row.proceeds.grand_total else None
    currency = total.currency if total else _currency(row) or currency
    lines = tuple(_line(item, currency) for item in row.order_items)
    shipping = Money.total((_part(item, "SHIPPING", currency) for item in row.order_items), currency)
    tax = Money.total((line.tax for line in lines), currency)
    goods = Money.total((line.total for line in lines), currency)
    return ChannelOrder(
        external_id=row.order_id,
        number=row.order_id,
        status=status,
        vendor_status=f"{told} by AMAZON" if by_amazon(row) else told,
        holds_stock=told not in _NOT_HOLDING,
        placed_at=row.created_time.astimezone(UTC),
        modified_at=row.last_updated_time.astimezone(UTC),
        currency=currency,
        lines=lines,
        shipping=shipping,
        tax=tax,
        total=goods + shipping + tax if total is None else total,
        ship_to=_address(row),
        fulfilled_by="channel" if by_amazon(row) else "seller",
    )


def _currency(row: wire_orders.Order) -> str | None:
    for item in row.order_items:
        if item.proceeds and item.proceeds.proceeds_total:
            return item.proceeds.proceeds_total.currency_code
        if item.product.price and item.product.price.unit_price:
            return item.product.price.unit_price.currency_code
    return None


def _part(item: wire_orders.OrderItem, kind: str, currency: str) -> Money:
    parts = item.proceeds.breakdowns if item.proceeds else []
    return Money.total((part.subtotal.money() for part in parts if part.type == kind), currency)


def _line(item: wire_orders.OrderItem, currency: str) -> ChannelOrderLine:
    """Discounts are in the proceeds' total already; tax and shipping are told apart from it."""
    tax = _part(item, "TAX", currency)
    proceeds = item.proceeds.proceeds_total if item.proceeds else None
    unit = item.product.price.unit_price if item.product.price else None
    if proceeds is not None:
        total = proceeds.money() - tax - _part(item, "SHIPPING", currency)
    else:
        total = unit.money() * item.quantity_ordered if unit else Money.zero(currency)
    return ChannelOrderLine(
        external_id=item.order_item_id,
        listing_external_id=item.product.seller_sku or None,
        sku=item.product.seller_sku,
        title=item.product.title,
        quantity=item.quantity_ordered,
        total=total,
        tax=tax,
    )


def _address(row: wire_orders.Order) -> Address:
    given = row.recipient.delivery_address
    if given is None:
        return Address(name=row.buyer.buyer_name, email=row.buyer.buyer_email)
    return Address(
        name=given.name or row.buyer.buyer_name,
        company=given.company_name,
        line1=given.address_line1,
        line2=", ".join(line for line in (given.address_line2, given.address_line3) if line),
        city=given.city,
        region=given.state_or_region or given.district_or_county,
        postal_code=given.postal_code,
        country=given.country_code,
        phone=given.phone,
        email=row.buyer.buyer_email,
    )


#: Carriers Amazon knows by a code of their own; every other one is "Other" with its name.
_CARRIERS = {name.casefold(): name for name in ("USPS", "UPS", "FedEx", "DHL", "DPD", "GLS", "OnTrac", "LaserShip")}


def shipment_body(
    row: wire_orders.Order, marketplace_id: str, carrier: str, tracking_number: str, shipped_at: datetime
) -> dict[str, Any]:
    """All that was not shipped yet in one package; a second confirmation names the same one, and so corrects it."""
    partly = row.fulfillment.fulfillment_status == "PARTIALLY_SHIPPED"
    units = {
        item.order_item_id: item.fulfillment.quantity_unfulfilled
        if partly and item.fulfillment
        else item.quantity_ordered
        for item in row.order_items
    }
    code = _CARRIERS.get(carrier.strip().casefold())
    named = {"carrierCode": code} if code else {"carrierCode": "Other", "carrierName": carrier}
    return {
        "marketplaceId": row.sales_channel.marketplace_id or marketplace_id,
        "packageDetail": {
            "packageReferenceId": str(len(row.packages) + 1 if partly else 1),
            **named,
            "trackingNumber": tracking_number,
            "shipDate": shipped_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
            "orderItems": [{"orderItemId": name, "quantity": count} for name, count in units.items() if count > 0],
        },
    }


def is_shipped_with(row: wire_orders.Order, tracking_number: str) -> bool:
    shipped = row.fulfillment.fulfillment_status == "SHIPPED"
    return shipped and any(package.tracking_number == tracking_number for package in row.packages)
