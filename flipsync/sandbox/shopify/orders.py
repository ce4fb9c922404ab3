"""Orders asked for, and their fulfilment."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from flipsync.sandbox.records import Line, Order, Refund
from flipsync.sandbox.shopify import search
from flipsync.sandbox.shopify.inventory import required_key, seen
from flipsync.sandbox.shopify.order_views import GATEWAY, OrderViews, fulfilled
from flipsync.sandbox.shopify.shop import InputRefused, Row, gid, keyed_page, number

_SORTS: dict[str, Callable[[Order], int]] = {
    "UPDATED_AT": lambda order: order.modified_ms,
    "CREATED_AT": lambda order: order.placed_ms,
    "PROCESSED_AT": lambda order: order.placed_ms,
    "ID": lambda order: order.id,
}


class Orders(OrderViews):
    """Resolvers of orders, refunds and fulfilments."""

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
                    return self.refund_view(order, refund)
        return None

    def give_back(self, info: Any, input: Row) -> Row:
        """`refundCreate`: what the transactions say, once for each key; lines go back on the shelf as they say."""
        key = required_key(info)
        order = self._order(number(input["orderId"], "Order"))
        if order is None:
            raise InputRefused("", ("orderId",), "Order does not exist")
        keys: dict[str, int] = order.doc.setdefault("refund_keys", {})
        if key not in keys:
            keys[key] = self._give(order, input).id
            self.books.save_order(order)
        seen(self.books, key, "refundCreate", input)  # refuses a key of another request
        given = next(each for each in order.refunds if each.id == keys[key])
        return {"order": self.view(order), "refund": self.refund_view(order, given), "userErrors": []}

    def _give(self, order: Order, wanted: Row) -> Refund:
        parts = wanted.get("transactions") or []
        payment = gid("OrderTransaction", order.id)
        if any((part["kind"], part.get("parentId"), part["gateway"]) != ("REFUND", payment, GATEWAY) for part in parts):
            raise InputRefused("", ("transactions",), "Transaction is not a refund of a payment of this order")
        amount = sum(round(Decimal(part["amount"]) * 100) for part in parts)
        if order.status == "cancelled" or not 0 < amount <= order.total_minor - order.refunded_minor:
            raise InputRefused("", ("transactions",), "Refund amount cannot be greater than the available amount")
        lines: dict[int, tuple[int, int]] = {}
        for row in wanted.get("refundLineItems") or ():
            line = next((each for each in order.lines if gid("LineItem", each.id) == row["lineItemId"]), None)
            if line is None or not 0 < row["quantity"] <= line.quantity - line.restocked:
                raise InputRefused("", ("refundLineItems",), "Quantity cannot refund more items than were purchased")
            if row.get("restockType") != "NO_RESTOCK":
                if row.get("locationId") != self.shop.home:
                    raise InputRefused("", ("refundLineItems",), "Location is required to restock")
                lines[line.id] = (row["quantity"], 0)
        refund = self.shop.orders.refund(order, lines, amount, wanted.get("note") or "", restock=True)
        if order.refunded_minor >= order.total_minor:
            order.status = "refunded"
        return refund

    # Fulfilment

    def fulfill(self, info: Any, fulfillment: Row) -> Row:
        """`fulfillmentCreate`: whole lines of one order."""
        groups = fulfillment["lineItemsByFulfillmentOrder"]
        path = ("fulfillment", "lineItemsByFulfillmentOrder")
        ids = {number(group["fulfillmentOrderId"], "FulfillmentOrder") for group in groups}
        order = self._order(ids.pop()) if len(ids) == 1 else None
        if order is None:
            raise InputRefused("", path, "Fulfillment order does not exist.")
        state = self.fulfillment_order_view(order)["status"]
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
        return {"fulfillment": self.fulfillment_view(order, row), "userErrors": []}

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
