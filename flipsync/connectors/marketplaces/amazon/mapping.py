"""Translation between Amazon's shapes and FlipSync's values. Pure; raises ValueError for unusable data."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx2

from flipsync.connectors.marketplaces.amazon import wire, wire_market, wire_orders
from flipsync.connectors.request import VendorError
from flipsync.domain.channel import (
    Address,
    ChannelOrder,
    ChannelOrderLine,
    ListingState,
    ListingStatus,
    OrderStatus,
    RivalOffer,
)
from flipsync.domain.errors import Rejected
from flipsync.domain.money import Money

#: The fulfilment channel of stock that is our own; every other one is a warehouse of Amazon's.
OWN_STOCK = "DEFAULT"
_ORDER_ID = re.compile(r"[A-Z0-9]{2,3}-\d{7}-\d{7}")
_EXPIRED = "access token you provided has expired"
_STATUS: dict[str, OrderStatus] = {
    "PENDING_AVAILABILITY": "pending",
    "PENDING": "pending",
    "UNSHIPPED": "paid",
    "PARTIALLY_SHIPPED": "paid",
    "SHIPPED": "shipped",
    "CANCELLED": "cancelled",
    "UNFULFILLABLE": "failed",
}
#: Units are set aside from the moment an order waits for its payment.
_HOLDING = frozenset({"PENDING", "UNSHIPPED", "PARTIALLY_SHIPPED", "SHIPPED"})


def read_error(status: int, body: Any) -> VendorError:
    """An ErrorList. An expired token is told as 403 Unauthorized, and only its words tell it from a missing role."""
    try:
        error = wire.ErrorList.model_validate(body).errors[0]
    except ValueError:
        return VendorError()
    said = f"{error.message} {error.details}"
    expired = status in (401, 403) and _EXPIRED in said.lower()
    hint = ""
    if status == 403 and not expired:
        hint = "the application lacks the role for this operation, or the seller's authorization was withdrawn"
    message = error.message or error.code
    if error.details and error.details != error.message:
        message = f"{message} ({error.details})"
    return VendorError(error.code, message, hint=hint, expired=expired, missing=error.code == "NotFound")


def read_limits(headers: httpx2.Headers) -> tuple[float | None, int | None, float | None]:
    """x-amzn-RateLimit-Limit: the rate of this account's usage plan, in requests a second."""
    try:
        rate = float(headers.get("x-amzn-RateLimit-Limit", ""))
    except ValueError:
        return None, None, None
    return (rate if 0 < rate < 10_000 else None), None, None


# Listings


def errors_of(issues: Iterable[wire.Issue]) -> list[wire.Issue]:
    return [issue for issue in issues if issue.severity == "ERROR"]


def refusal(issues: Iterable[wire.Issue], otherwise: str) -> Rejected:
    """What Amazon has against a listing: every error with its attributes."""
    found = errors_of(issues)
    told = "; ".join(
        f"{', '.join(issue.attribute_names)}: {issue.message}" if issue.attribute_names else issue.message
        for issue in found
    )
    return Rejected(told or otherwise, vendor_code=found[0].code if found else "INVALID")


def own_quantity(item: wire.Item) -> int | None:
    """Units of our own stock on offer; None where Amazon's warehouses alone supply the listing."""
    rows = item.fulfillment_availability
    own = [row.quantity or 0 for row in rows if row.fulfillment_channel_code == OWN_STOCK]
    if own:
        return own[0]
    return None if rows else 0


def warehouse_channels(item: wire.Item) -> tuple[str, ...]:
    """The fulfilment channels of Amazon's that also supply the listing (AMAZON_NA, AMAZON_EU, …)."""
    return tuple(
        row.fulfillment_channel_code
        for row in item.fulfillment_availability
        if row.fulfillment_channel_code != OWN_STOCK
    )


def product_type(item: wire.Item, marketplace_id: str) -> str:
    """The type the listing was made as; "PRODUCT", which fits offers of any type, where Amazon does not say."""
    types = [row.product_type for row in item.summaries if row.marketplace_id == marketplace_id]
    types += [row.product_type for row in item.product_types if row.marketplace_id in ("", marketplace_id)]
    return types[0] if types else "PRODUCT"


def is_parent(item: wire.Item) -> bool:
    """The head of a variation family, which nobody can buy."""
    if any(row.get("value") == "parent" for row in _rows(item.attributes, "parentage_level")):
        return True
    return any(relation.child_skus for here in item.relationships for relation in here.relationships)


def listing(item: wire.Item, marketplace_id: str) -> ListingState:
    """The listing as one marketplace shows it."""
    summary = next((row for row in item.summaries if row.marketplace_id == marketplace_id), None)
    price = _price(item, marketplace_id)
    quantity = own_quantity(item)
    parents = [
        sku
        for here in item.relationships
        if here.marketplace_id == marketplace_id
        for relation in here.relationships
        if relation.type == "VARIATION"
        for sku in relation.parent_skus
    ]
    return ListingState(
        external_id=item.sku,
        sku=item.sku,
        title=(summary.item_name if summary else "") or _first(item.attributes, "item_name"),
        status=_listing_status(item, summary, price, quantity),
        price=price,
        quantity=quantity,
        modified_at=summary.last_updated_date.astimezone(UTC) if summary else None,
        group_external_id=parents[0] if parents else None,
        barcode=_first(item.attributes, "externally_assigned_product_identifier") or None,
    )


def _listing_status(
    item: wire.Item, summary: wire.ItemSummary | None, price: Money | None, quantity: int | None
) -> ListingStatus:
    """BUYABLE is on sale. What has no units is not BUYABLE either, but on sale as soon as it has; the rest waits."""
    if summary is not None and "BUYABLE" in summary.status:
        return "active"
    if price is None:
        return "ended" if summary is not None else "draft"
    return "active" if summary is not None and quantity == 0 and not errors_of(item.issues) else "draft"


def _price(item: wire.Item, marketplace_id: str) -> Money | None:
    """The consumers' price Amazon shows, or, before it shows one, the one it was told."""
    for offer in item.offers:
        if offer.marketplace_id == marketplace_id and offer.offer_type == "B2C":
            return offer.price.money()
    for row in _rows(item.attributes, "purchasable_offer"):
        if row.get("marketplace_id", marketplace_id) != marketplace_id or row.get("audience", "ALL") != "ALL":
            continue
        try:
            amount = row["our_price"][0]["schedule"][0]["value_with_tax"]
            return Money.parse(str(amount), row["currency"])
        except (KeyError, IndexError, TypeError, ValueError):
            continue
    return None


def _rows(attributes: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    rows = attributes.get(name)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _first(attributes: Mapping[str, Any], name: str) -> str:
    return next((str(row["value"]) for row in _rows(attributes, name) if row.get("value")), "")


# Orders


def is_order_id(text: str) -> bool:
    return _ORDER_ID.fullmatch(text) is not None


def by_amazon(order: wire_orders.Order) -> bool:
    """Amazon packs and ships it, from the units in its own warehouses."""
    return order.fulfillment.fulfilled_by == "AMAZON"


def order(row: wire_orders.Order, currency: str) -> ChannelOrder:
    """`currency` is the account's, for orders whose payment is pending: Amazon hides their amounts.

    An order Amazon fulfils holds none of our own stock and is never ours to ship, so until it has left it is pending.
    """
    told = row.fulfillment.fulfillment_status
    status = _STATUS[told]
    if by_amazon(row) and status == "paid":
        status = "pending"
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
        holds_stock=told in _HOLDING and not by_amazon(row),
        placed_at=row.created_time.astimezone(UTC),
        modified_at=row.last_updated_time.astimezone(UTC),
        currency=currency,
        lines=lines,
        shipping=shipping,
        tax=tax,
        total=total or goods + shipping + tax,
        ship_to=_address(row),
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


# Rivals


def rivals(answer: wire_market.OffersAnswer, seen_at: datetime) -> list[RivalOffer]:
    """The offers of others on the ASIN of one SKU; prices with shipping, as buyers compare them."""
    found = answer.body.payload
    if found is None:
        return []
    sku = answer.request.seller_sku or found.sku
    return [
        RivalOffer(
            sku=sku,
            seller=offer.seller_id or "unknown",
            price=offer.listing_price.money() + (offer.shipping.money() if offer.shipping else _nothing(offer)),
            in_stock=True,
            seen_at=seen_at,
        )
        for offer in found.offers
        if not offer.my_offer
    ]


def _nothing(offer: wire_market.OfferDetail) -> Money:
    return Money.zero(offer.listing_price.currency_code)
