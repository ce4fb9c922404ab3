"""Orders as the API shows them: lines, refunds with restocking, fulfilment orders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flipsync.sandbox.records import Line, Order, Refund
from flipsync.sandbox.shopify.shop import Once, Row, Shop, gid, page, stamp
from flipsync.sandbox.shopify.views import location_view, product_view, variant_title, variant_view


@dataclass(frozen=True)
class RefundPart:
    """Units of one line that a refund is about, and whether they went back on the shelf."""

    line: Line
    units: int
    minor: int
    restock_type: str


GATEWAY = "shopify_payments"


class OrderViews:
    """What is shown of orders."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.books = shop.books

    def view(self, order: Order) -> Row:
        bag = self.shop.bag
        refunds = self.refunds_of(order)
        refunded = sum(refund.amount_minor for refund in refunds)
        cancelled = order.status == "cancelled"

        def lines(info: Any, first: int | None = None, after: str | None = None) -> Row:
            return page(order.lines, first, after, lambda line: self._line_view(order, line))

        def fulfillment_orders(info: Any, first: int | None = None, after: str | None = None) -> Row:
            return page([order], first, after, self.fulfillment_order_view)

        return {
            "__typename": "Order",
            "id": gid("Order", order.id),
            "legacyResourceId": str(order.id),
            "name": f"#{order.id}",
            "number": order.id,
            "createdAt": stamp(order.placed_ms),
            "processedAt": stamp(order.placed_ms),
            "updatedAt": stamp(order.modified_ms),
            "cancelledAt": stamp(order.modified_ms) if cancelled else None,
            "cancelReason": "CUSTOMER" if cancelled else None,
            "test": bool(order.doc.get("test", False)),
            "confirmed": True,
            "restockable": order.holds_stock and any(line.restocked < line.quantity for line in order.lines),
            "fullyPaid": True,
            "taxesIncluded": False,
            "currencyCode": order.currency,
            "presentmentCurrencyCode": order.currency,
            "note": order.doc.get("note") or None,
            "email": order.doc["ship_to"]["email"] or None,
            "phone": order.doc["ship_to"]["phone"] or None,
            "displayFinancialStatus": financial_status(order, refunded),
            "displayFulfillmentStatus": fulfillment_status(order),
            "totalPriceSet": bag(order.total_minor),
            "totalTaxSet": bag(0),
            "totalShippingPriceSet": bag(order.shipping_minor),
            "totalRefundedSet": bag(refunded),
            "shippingAddress": lambda info: _address(order),
            "lineItems": lines,
            "refunds": lambda info, first=None: [self.refund_view(order, refund) for refund in refunds[:first]],
            "transactions": lambda info, first=None: self.transactions_of(order)[:first],
            "fulfillments": lambda info, first=None: [
                self.fulfillment_view(order, row) for row in order.doc.get("fulfillments", [])[:first]
            ],
            "fulfillmentOrders": fulfillment_orders,
        }

    def _line_view(self, order: Order, line: Line) -> Row:
        bag = self.shop.bag
        listing = Once(lambda: None if line.listing_id is None else self.shop.variant(line.listing_id))
        returned = sum(part.units for refund in self.refunds_of(order) for part in parts_of(order, refund, line))

        def title(info: Any) -> str | None:
            row = listing()
            return None if row is None or row.doc["options"] == ["Default Title"] else variant_title(row)

        return {
            "__typename": "LineItem",
            "id": gid("LineItem", line.id),
            "sku": line.sku or None,
            "title": line.title,
            "variantTitle": title,
            "name": line.title,
            "quantity": line.quantity,
            "currentQuantity": line.quantity - returned,
            "unfulfilledQuantity": 0 if fulfilled(order, line) else line.quantity - returned,
            "originalTotalSet": bag(line.total_minor),
            "originalUnitPriceSet": bag(line.total_minor // line.quantity),
            "discountAllocations": [],
            "taxLines": lambda info, first=None: [],
            "variant": lambda info: None if listing() is None else variant_view(self.shop, listing()),
            "product": lambda info: None if listing() is None else product_view(self.shop, listing().doc["product_id"]),
        }

    def refunds_of(self, order: Order) -> list[Refund]:
        """The order's refunds; a cancellation gives everything back that was not before, as one more of them."""
        refunds = list(order.refunds)
        if order.status == "cancelled":
            left = {
                line.id: (line.quantity - line.restocked, line.total_minor - line.refunded_minor)
                for line in order.lines
                if line.quantity > line.restocked
            }
            refunds.append(
                Refund(
                    id=order.id,
                    amount_minor=order.total_minor - order.refunded_minor,
                    reason="Cancelled",
                    created_ms=order.modified_ms,
                    lines=left,
                    restocked={} if order.holds_stock else {line: units for line, (units, _) in left.items()},
                )
            )
        return refunds

    def transactions_of(self, order: Order) -> list[Row]:
        """One payment, and its refunds."""
        payment: Row = {
            "__typename": "OrderTransaction",
            "id": gid("OrderTransaction", order.id),
            "kind": "SALE",
            "status": "SUCCESS",
            "gateway": GATEWAY,
            "amountSet": self.shop.bag(order.total_minor),
            "parentTransaction": None,
            "createdAt": stamp(order.placed_ms),
        }
        back = [
            {
                **payment,
                "id": gid("OrderTransaction", refund.id),
                "kind": "REFUND",
                "amountSet": self.shop.bag(refund.amount_minor),
                "parentTransaction": payment,
                "createdAt": stamp(refund.created_ms),
            }
            for refund in self.refunds_of(order)
        ]
        return [payment, *back]

    def refund_view(self, order: Order, refund: Refund) -> Row:
        parts = [part for line in order.lines for part in parts_of(order, refund, line)]

        def lines(info: Any, first: int | None = None, after: str | None = None) -> Row:
            return page(parts, first, after, lambda part: self._refund_line_view(order, part))

        return {
            "__typename": "Refund",
            "id": gid("Refund", refund.id),
            "legacyResourceId": str(refund.id),
            "createdAt": stamp(refund.created_ms),
            "note": refund.reason or None,
            "order": lambda info: self.view(order),
            "totalRefundedSet": self.shop.bag(refund.amount_minor),
            "refundLineItems": lines,
        }

    def _refund_line_view(self, order: Order, part: RefundPart) -> Row:
        return {
            "id": gid("RefundLineItem", part.line.id),
            "lineItem": self._line_view(order, part.line),
            "quantity": part.units,
            "restockType": part.restock_type,
            "restocked": part.restock_type != "NO_RESTOCK",
        }

    def fulfillment_order_view(self, order: Order) -> Row:
        state = "CANCELLED" if order.status == "cancelled" else "OPEN"
        if all(fulfilled(order, line) for line in order.lines):
            state = "CLOSED"
        elif order.doc.get("on_hold"):
            state = "ON_HOLD"
        actions = {"OPEN": ["CREATE_FULFILLMENT", "HOLD", "MOVE"], "ON_HOLD": ["RELEASE_HOLD"]}.get(state, [])

        def lines(info: Any, first: int | None = None, after: str | None = None) -> Row:
            return page(order.lines, first, after, lambda line: self._fulfillment_line_view(order, line))

        return {
            "__typename": "FulfillmentOrder",
            "id": gid("FulfillmentOrder", order.id),
            "orderId": gid("Order", order.id),
            "status": state,
            "assignedLocation": {
                "name": self.shop.locations[0]["name"],
                "countryCode": "US",
                "location": location_view(self.shop.locations[0]),
            },
            "supportedActions": [{"action": action} for action in actions],
            "lineItems": lines,
        }

    def _fulfillment_line_view(self, order: Order, line: Line) -> Row:
        return {
            "id": gid("FulfillmentOrderLineItem", line.id),
            "lineItem": lambda info: self._line_view(order, line),
            "remainingQuantity": 0 if fulfilled(order, line) else line.quantity,
            "totalQuantity": line.quantity,
            "sku": line.sku or None,
        }

    def fulfillment_view(self, order: Order, row: Row) -> Row:
        tracking = {"company": row["company"], "number": row["number"], "url": None}
        return {
            "__typename": "Fulfillment",
            "id": gid("Fulfillment", row["id"]),
            "name": f"#{order.id}.{row['id']}",
            "status": "SUCCESS",
            "createdAt": stamp(row["at_ms"]),
            "totalQuantity": sum(line.quantity for line in order.lines if line.id in row["lines"]),
            "trackingInfo": lambda info, first=None: [tracking][:first],
            "order": lambda info: self.view(self.books.order(order.id) or order),
        }


def fulfilled(order: Order, line: Line) -> bool:
    return any(line.id in row["lines"] for row in order.doc.get("fulfillments", ()))


def fulfillment_status(order: Order) -> str:
    done = [fulfilled(order, line) for line in order.lines]
    if all(done):
        return "FULFILLED"
    if order.doc.get("on_hold"):
        return "ON_HOLD"
    return "PARTIALLY_FULFILLED" if any(done) else "UNFULFILLED"


def financial_status(order: Order, refunded: int) -> str:
    if refunded >= order.total_minor:
        return "REFUNDED"
    return "PARTIALLY_REFUNDED" if refunded else "PAID"


def parts_of(order: Order, refund: Refund, line: Line) -> list[RefundPart]:
    """What a refund says of one line: units put back, and units not."""
    units, minor = refund.lines.get(line.id, (0, 0))
    if not units:
        return []
    back = min(units, refund.restocked.get(line.id, 0))
    # What had left the house comes back as a return; ids are given out in order.
    left = any(line.id in row["lines"] and row["id"] < refund.id for row in order.doc.get("fulfillments", ()))
    restock = "RETURN" if left else "CANCEL"
    rows = [(back, restock), (units - back, "NO_RESTOCK")]
    return [RefundPart(line, count, minor * count // units, kind) for count, kind in rows if count]


def _address(order: Order) -> Row:
    ship_to = order.doc["ship_to"]
    first, _, last = ship_to["name"].partition(" ")
    return {
        "id": gid("MailingAddress", order.id),
        "name": ship_to["name"],
        "firstName": first,
        "lastName": last,
        "company": ship_to["company"] or None,
        "address1": ship_to["line1"],
        "address2": ship_to["line2"] or None,
        "city": ship_to["city"],
        "province": ship_to["region"],
        "provinceCode": ship_to["region"],
        "zip": ship_to["postal_code"],
        "country": ship_to["country"],
        "countryCodeV2": ship_to["country"],
        "phone": ship_to["phone"] or None,
    }
