"""Orders as the API shows them: lines, refunds with restocking, fulfilment orders; and their fulfilment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flipsync.sandbox.records import Line, Order, Refund
from flipsync.sandbox.shopify import search
from flipsync.sandbox.shopify.shop import (
    InputRefused,
    Once,
    Row,
    Shop,
    gid,
    keyed_page,
    number,
    page,
    stamp,
)
from flipsync.sandbox.shopify.views import location_view, product_view, variant_title, variant_view

_SORTS: dict[str, Callable[[Order], int]] = {
    "UPDATED_AT": lambda order: order.modified_ms,
    "CREATED_AT": lambda order: order.placed_ms,
    "PROCESSED_AT": lambda order: order.placed_ms,
    "ID": lambda order: order.id,
}


@dataclass(frozen=True)
class RefundPart:
    """Units of one line that a refund is about, and whether they went back on the shelf."""

    line: Line
    units: int
    minor: int
    restock_type: str


class Orders:
    """Resolvers of orders, refunds and fulfilments."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.books = shop.books

    # Queries

    def order_by_id(self, info: Any, id: str) -> Row | None:
        order = self._order(number(id, "Order"))
        if order is None:
            return None
        age = self.shop.faults.stale_age(self.shop.channel)
        shown = self.books.order_as_of(order, age) if age else order
        return None if shown is None else self.view(shown)

    def _order(self, order_id: int) -> Order | None:
        order = self.books.order(order_id)
        return order if order is not None and order.channel == self.shop.channel else None

    def orders(
        self,
        info: Any,
        *,
        query: str | None = None,
        reverse: bool = False,
        sortKey: str = "PROCESSED_AT",  # noqa: N803 - the argument's own name
        **pages: Any,
    ) -> Row:
        bounds = [t for t in search.terms(query) if t.field in ("updated_at", "created_at", "processed_at", "id")]
        starts = [t.moment_ms() for t in bounds if t.field == "updated_at" and t.op in (">", ">=")]
        earliest = max((start for start in starts if start is not None), default=0)
        found = self.books.orders("channel = ? AND modified_ms >= ?", (self.shop.channel, earliest))
        rows = [order for order in found if self._within(order, bounds)]
        sign = -1 if reverse else 1
        sort = _SORTS[sortKey]

        def key(order: Order) -> list[int]:
            return [sign * sort(order), sign * order.id]

        rows.sort(key=key)
        age = self.shop.faults.stale_age(self.shop.channel)
        shown = [older for row in rows if (older := self.books.order_as_of(row, age) if age else row) is not None]
        return keyed_page(shown, pages.get("first"), pages.get("after"), self.view, key)

    @staticmethod
    def _within(order: Order, bounds: list[search.Term]) -> bool:
        for term in bounds:
            if term.field == "id":
                if not term.holds(order.id):
                    return False
                continue
            bound = term.moment_ms()
            moment = order.modified_ms if term.field == "updated_at" else order.placed_ms
            # Times are kept to the second.
            if bound is None or not search.compare(moment // 1000, term.op, bound // 1000):
                return False
        return True

    def refund_by_id(self, info: Any, id: str) -> Row | None:
        wanted = number(id, "Refund")
        for order in self.books.orders("channel = ?", (self.shop.channel,)):
            for refund in self.refunds_of(order):
                if refund.id == wanted:
                    return self._refund_view(order, refund)
        return None

    # Views

    def view(self, order: Order) -> Row:
        bag = self.shop.bag
        refunds = self.refunds_of(order)
        refunded = sum(refund.amount_minor for refund in refunds)
        cancelled = order.status == "cancelled"

        def lines(info: Any, first: int | None = None, after: str | None = None) -> Row:
            return page(order.lines, first, after, lambda line: self._line_view(order, line))

        def fulfillment_orders(info: Any, first: int | None = None, after: str | None = None) -> Row:
            return page([order], first, after, self._fulfillment_order_view)

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
            "refunds": lambda info, first=None: [self._refund_view(order, refund) for refund in refunds[:first]],
            "fulfillments": lambda info, first=None: [
                self._fulfillment_view(order, row) for row in order.doc.get("fulfillments", [])[:first]
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

    def _refund_view(self, order: Order, refund: Refund) -> Row:
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

    def _fulfillment_order_view(self, order: Order) -> Row:
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

    def _fulfillment_view(self, order: Order, row: Row) -> Row:
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

    # Fulfilment

    def fulfill(self, info: Any, fulfillment: Row) -> Row:
        """`fulfillmentCreate`: whole lines of one order."""
        groups = fulfillment["lineItemsByFulfillmentOrder"]
        path = ("fulfillment", "lineItemsByFulfillmentOrder")
        ids = {number(group["fulfillmentOrderId"], "FulfillmentOrder") for group in groups}
        order = self._order(ids.pop()) if len(ids) == 1 else None
        if order is None:
            raise InputRefused("", path, "Fulfillment order does not exist.")
        state = self._fulfillment_order_view(order)["status"]
        if state != "OPEN":
            raise InputRefused("", path, f"Fulfillment order {order.id} has an unfulfillable status= {state.lower()}.")
        lines = self._lines_to_ship(order, groups, path)
        tracking = fulfillment.get("trackingInfo") or {}
        row: Row = {
            "id": self.books.next_id(),
            "company": tracking.get("company") or "",
            "number": tracking.get("number") or "",
            "notified": bool(fulfillment.get("notifyCustomer")),
            "lines": [line.id for line in lines],
            "at_ms": self.books.clock.now_ms(),
        }
        order.doc.setdefault("fulfillments", []).append(row)
        self.shop.orders.record_shipment(order, row["company"], row["number"], "")
        if order.status == "paid" and all(fulfilled(order, line) for line in order.lines):
            order.status = "shipped"
        self.books.save_order(order)
        return {"fulfillment": self._fulfillment_view(order, row), "userErrors": []}

    @staticmethod
    def _lines_to_ship(order: Order, groups: list[Row], path: tuple[str, ...]) -> list[Line]:
        rows = [row for group in groups for row in group.get("fulfillmentOrderLineItems") or ()]
        wanted = {number(row["id"], "FulfillmentOrderLineItem"): row["quantity"] for row in rows}
        left = [line for line in order.lines if not fulfilled(order, line)]
        if not wanted:
            return left
        chosen = [line for line in left if line.id in wanted]
        if len(chosen) != len(wanted) or any(wanted[line.id] != line.quantity for line in chosen):
            raise InputRefused("", path, "Invalid fulfillment order line item quantity requested.")
        return chosen


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
    restock = "RETURN" if fulfilled(order, line) else "CANCEL"
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
