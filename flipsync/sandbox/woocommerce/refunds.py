"""Refunds and notes of an order: /orders/{id}/refunds, /orders/{id}/notes."""

from __future__ import annotations

from flipsync.sandbox.exchange import Answer, Call
from flipsync.sandbox.records import Order, Refund
from flipsync.sandbox.woocommerce import wire
from flipsync.sandbox.woocommerce.orders import Orders
from flipsync.sandbox.woocommerce.shop import Row, Shop

#: Payment methods that can give money back by themselves.
_REAL_GATEWAYS = frozenset({"stripe", "woocommerce_payments", "ppcp-gateway"})
_CANNOT_REFUND = "woocommerce_rest_cannot_create_order_refund"


class OrderDetails:
    """What hangs on an order."""

    def __init__(self, shop: Shop, orders: Orders) -> None:
        self.shop = shop
        self.books = shop.books
        self.orders = orders

    # Refunds

    def list_refunds(self, call: Call, order_id: int) -> Answer:
        """Of an order that does not exist: none."""
        page = wire.page_of(call)
        order = self.books.order(order_id)
        if order is None or order.channel != "woo":
            return wire.list_answer(call, [], 0, page)
        refunds = sorted(order.refunds, key=lambda refund: refund.id, reverse=call.first("order") != "asc")
        shown = refunds[page.offset : page.offset + page.size]
        return wire.list_answer(call, [self._refund_view(order, refund) for refund in shown], len(refunds), page)

    def _order(self, order_id: int) -> Order:
        order = self.books.order(order_id)
        if order is None or order.channel != "woo":
            raise wire.bare_refusal("woocommerce_rest_invalid_order_id", "Invalid order ID.", 404)
        return order

    def get_refund(self, call: Call, order_id: int, refund_id: int) -> Answer:
        order = self._order(order_id)
        refund = next((refund for refund in order.refunds if refund.id == refund_id), None)
        if refund is None:
            raise wire.bare_refusal("woocommerce_rest_invalid_order_refund_id", "Invalid order refund ID.", 404)
        return wire.json_answer(self._refund_view(order, refund))

    def post_refund(self, call: Call, body: Row, order_id: int) -> Answer:
        order = self._order(order_id)
        rows = wire.typed(body, "line_items", "array") if "line_items" in body else []
        lines = {int(row["id"]): self._refunded_line(order, row) for row in rows if str(row.get("id", "")).isdigit()}
        if "amount" in body:
            text = wire.format_decimal(wire.typed(body, "amount", "string"))
            amount = wire.to_minor(text, order.currency) or 0
        else:
            amount = sum(minor for _, minor in lines.values())
        if amount < 0:
            code = "woocommerce_rest_invalid_order_refund"
            raise wire.bare_refusal(code, "Refund amount must be greater than zero.", 400)
        if amount > order.total_minor - order.refunded_minor:
            raise wire.bare_refusal(_CANNOT_REFUND, "Invalid refund amount.")
        through_gateway = body.get("api_refund", True) not in (False, "false", 0)
        if through_gateway and order.doc.get("payment_method") not in _REAL_GATEWAYS:
            raise wire.bare_refusal(_CANNOT_REFUND, "The payment gateway for this order does not exist.")
        restock = body.get("api_restock", True) not in (False, "false", 0)
        refund = self.shop.orders.refund(order, lines, amount, str(body.get("reason", "")), restock=restock)
        if order.refunded_minor >= order.total_minor:
            order.status = "refunded"
        self.books.save_order(order)
        return wire.json_answer(self._refund_view(order, refund), 201)

    def _refunded_line(self, order: Order, row: Row) -> tuple[int, int]:
        line = next((line for line in order.lines if line.id == int(row["id"])), None)
        if line is None:
            return 0, 0
        units = wire.typed(row, "quantity", "integer") if "quantity" in row else 0
        total = row.get("refund_total", 0)
        return units, wire.to_minor(str(total), order.currency) or 0

    def _refund_view(self, order: Order, refund: Refund) -> Row:
        currency, nothing = order.currency, wire.from_minor(0, order.currency)
        by_id = {line.id: line for line in order.lines}
        items = []
        for place, (line_id, (units, minor)) in enumerate(refund.lines.items()):
            line = by_id.get(line_id)
            if line is None:
                continue
            listing = None if line.listing_id is None else self.books.listing(line.listing_id)
            parent_id = 0 if listing is None else int(listing.doc.get("parent_id", 0))
            total = wire.from_minor(-minor, currency)
            items.append(
                {
                    "id": refund.id * 100 + place,
                    "name": line.title,
                    "product_id": parent_id or line.listing_id or 0,
                    "variation_id": line.listing_id or 0 if parent_id else 0,
                    "quantity": -units,
                    "tax_class": "",
                    "subtotal": total,
                    "subtotal_tax": nothing,
                    "total": total,
                    "total_tax": nothing,
                    "taxes": [],
                    "meta_data": [{"id": refund.id * 100 + place, "key": "_refunded_item_id", "value": str(line_id)}],
                    "sku": line.sku,
                    "price": wire.php_number(float(wire.from_minor(minor, currency)) / units) if units else 0,
                }
            )
        base = f"{self.shop.url}/wp-json/wc/v3/orders/{order.id}"
        return {
            "id": refund.id,
            "parent_id": order.id,
            **wire.dates("date_created", refund.created_ms, self.shop.zone),
            "amount": wire.from_minor(refund.amount_minor, currency),
            "reason": refund.reason,
            "refunded_by": 1,
            "refunded_payment": False,
            "meta_data": [],
            "line_items": items,
            "shipping_lines": [],
            "tax_lines": [],
            "fee_lines": [],
            "_links": {
                "self": [{"href": f"{base}/refunds/{refund.id}"}],
                "collection": [{"href": f"{base}/refunds"}],
                "up": [{"href": base}],
            },
        }

    # Notes

    def list_notes(self, call: Call, order_id: int) -> Answer:
        self.orders.find(order_id, 404)
        rows = self.books.db.execute(
            "SELECT id, note, customer_note, created_ms FROM order_note WHERE order_id = ? ORDER BY id DESC",
            (order_id,),
        )
        return wire.json_answer([self._note_view(order_id, row) for row in rows])

    def post_note(self, call: Call, body: Row, order_id: int) -> Answer:
        self.orders.find(order_id, 404)
        note = wire.typed(body, "note", "string") if "note" in body else ""
        if not note:
            raise wire.refusal(400, "rest_missing_callback_param", "Missing parameter(s): note", {"params": ["note"]})
        to_customer = bool(body.get("customer_note", False))
        row = (self.books.next_id(), wire.filtered(note), int(to_customer), self.books.clock.now_ms())
        self.books.db.execute("INSERT INTO order_note VALUES (?, ?, ?, ?, ?)", (row[0], order_id, *row[1:]))
        return wire.json_answer(self._note_view(order_id, row), 201)

    def _note_view(self, order_id: int, row: tuple[int, str, int, int]) -> Row:
        base = f"{self.shop.url}/wp-json/wc/v3/orders/{order_id}"
        return {
            "id": row[0],
            "author": "WooCommerce",
            **wire.dates("date_created", row[3], self.shop.zone),
            "note": row[1],
            "customer_note": bool(row[2]),
            "_links": {
                "self": [{"href": f"{base}/notes/{row[0]}"}],
                "collection": [{"href": f"{base}/notes"}],
                "up": [{"href": base}],
            },
        }
