"""Orders: /orders and /orders/batch, with stock taken and given back by status as the shop does it."""

from __future__ import annotations

import json
import re
from typing import Any

from flipsync.sandbox.exchange import Answer, Call, Refusal
from flipsync.sandbox.records import Line, Order
from flipsync.sandbox.woocommerce import wire
from flipsync.sandbox.woocommerce.shop import Row, Shop, run_batch

_STATUSES = ("pending", "processing", "on-hold", "completed", "cancelled", "refunded", "failed")
_TAKES_STOCK = frozenset({"processing", "completed", "on-hold"})
_GIVES_BACK = frozenset({"cancelled", "failed", "pending"})
_PAID = frozenset({"processing", "completed"})
_ORDERINGS = {"date": "placed_ms", "modified": "modified_ms", "id": "id", "include": "id", "title": "id", "slug": "id"}
_ADDRESS = ("first_name", "last_name", "company", "address_1", "address_2", "city", "state", "postcode", "country")
_TEXTS = ("customer_note", "payment_method", "payment_method_title", "transaction_id")
_CRASH = "<p>There has been a critical error on this website.</p>"


class Orders:
    """The order collection of the shop."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.books = shop.books

    # Calls

    def collection(self, call: Call) -> Answer:
        page = wire.page_of(call)
        conditions, params = wire.date_filters(call, self.shop.zone, "placed_ms")
        conditions.append("channel = 'woo'")
        statuses = [word for word in wire.word_list(call, "status") if word != "any"]
        unknown = [word for word in statuses if word not in (*_STATUSES, "trash", "auto-draft", "checkout-draft")]
        if unknown:
            raise wire.invalid_parameter("status", f"status[0] is not one of any, {', '.join(_STATUSES)}.")
        if statuses:
            conditions.append(f"status IN ({','.join('?' * len(statuses))})")
            params += statuses
        else:
            conditions.append("status <> 'trash'")
        product = call.first("product")
        if product and product.isdigit():
            conditions.append("EXISTS (SELECT 1 FROM json_each(lines) WHERE json_extract(value, '$.listing_id') = ?)")
            params.append(int(product))
        search = call.first("search")
        if search:
            conditions.append("(doc LIKE '%' || ? || '%' OR lines LIKE '%' || ? || '%' OR CAST(id AS TEXT) = ?)")
            params += [search, search, search]
        where = " AND ".join(conditions)
        total = self.books.count("orders", where, params)
        order = wire.ordering(call, _ORDERINGS)
        rows = self.books.orders(f"{where} ORDER BY {order} LIMIT ? OFFSET ?", [*params, page.size, page.offset])
        age = self.shop.faults.stale_age("woo")
        shown = [older for row in rows if (older := self.books.order_as_of(row, age) if age else row) is not None]
        return wire.list_answer(call, [self.view(row) for row in shown], total, page)

    def get(self, call: Call, order_id: int) -> Answer:
        order = self.find(order_id, 404)
        age = self.shop.faults.stale_age("woo")
        older = self.books.order_as_of(order, age) if age else order
        if older is None:
            raise _unknown(404)
        return wire.json_answer(wire.chosen_fields(call, self.view(older)))

    def post(self, call: Call, body: Row) -> Answer:
        order = self.create(body)
        return wire.json_answer(order, 201, {"Location": f"{self.shop.url}/wp-json/wc/v3/orders/{order['id']}"})

    def put(self, call: Call, body: Row, order_id: int) -> Answer:
        return wire.json_answer(self.update(order_id, body))

    def delete(self, call: Call, body: Row, order_id: int) -> Answer:
        force = (call.first("force") or str(body.get("force", ""))).lower() in ("true", "1")
        return wire.json_answer(self.remove(order_id, force=force))

    def batch(self, call: Call, body: Row) -> Answer:
        return run_batch(self.shop, body, self.create, self.update, lambda row_id: self.remove(row_id, force=True))

    # What they do

    def find(self, order_id: int, missing_status: int) -> Order:
        order = self.books.order(order_id)
        if order is None or order.channel != "woo":
            raise _unknown(missing_status)
        return order

    def create(self, body: Row) -> Row:
        now = self.books.clock.now_ms()
        order = Order(
            id=self.books.next_id(),
            channel="woo",
            status="pending",
            currency=str(body.get("currency") or self.shop.currency),
            placed_ms=now,
            modified_ms=now,
            lines=[],
            doc={"created_via": "rest-api"},
        )
        self._apply(order, body)
        self.books.save_order(order, new=True)
        return self.view(order)

    def update(self, order_id: int, body: Row) -> Row:
        order = self.find(order_id, 400)
        self._apply(order, body)
        self.books.save_order(order)
        return self.view(order)

    def remove(self, order_id: int, *, force: bool) -> Row:
        """To the bin, or with `force` for good; neither gives stock back."""
        order = self.find(order_id, 404)
        view = self.view(order)
        if force:
            self.books.delete_order(order)
        elif order.status == "trash":
            raise wire.refusal(410, "woocommerce_rest_already_trashed", "The order has already been deleted.")
        else:
            notes = (
                ("_wp_trash_meta_status", f"wc-{order.status}"),
                ("_wp_trash_meta_time", self.books.clock.now_ms() // 1000),
            )
            rows = [{"key": key, "value": str(value)} for key, value in notes]
            order.doc["meta_data"] = wire.merged_meta(order.doc.get("meta_data", []), rows, self.books.next_id)
            order.status = "trash"
            self.books.save_order(order)
        return view

    def _apply(self, order: Order, body: Row) -> None:
        for name in ("billing", "shipping"):
            if name in body:
                sent = wire.typed(body, name, "object")
                order.doc[name] = {**order.doc.get(name, {}), **{k: str(v) for k, v in sent.items()}}
        order.doc.update({name: wire.typed(body, name, "string") for name in _TEXTS if name in body})
        if "meta_data" in body:
            rows = wire.typed(body, "meta_data", "array")
            order.doc["meta_data"] = wire.merged_meta(order.doc.get("meta_data", []), rows, self.books.next_id)
            self._note_tracking(order, rows)
        if "line_items" in body:
            for row in wire.typed(body, "line_items", "array"):
                self._apply_line(order, row)
        if "shipping_lines" in body:
            self._apply_shipping(order, wire.typed(body, "shipping_lines", "array"))
        status = wire.typed(body, "status", "string").removeprefix("wc-") if "status" in body else None
        if status is not None and status not in _STATUSES:
            raise wire.invalid_parameter("status", f"status is not one of {', '.join(_STATUSES)}.")
        if status is not None:
            self._change_status(order, status)
        if body.get("set_paid") in (True, "true", 1) and order.status in ("pending", "on-hold", "failed"):
            self._change_status(order, "processing" if any(line.listing_id for line in order.lines) else "completed")

    def _apply_line(self, order: Order, row: Row) -> None:
        known = next((line for line in order.lines if line.id == row.get("id")), None)
        if "quantity" in row and wire.typed(row, "quantity", "integer") == 0:
            raise wire.refusal(500, "internal_server_error", _CRASH)
        if known is not None:
            unit = known.total_minor / known.quantity if known.quantity else 0.0
            units = int(row.get("quantity", known.quantity))
            # The API changes the line, not the shelf: what the order holds stays what it took.
            known.restocked += units - known.quantity
            known.quantity = units
            known.total_minor = self._amount(row, "total", round(unit * units))
            return
        product_id = int(row.get("variation_id") or row.get("product_id") or 0)
        listing = self.books.listing(product_id)
        if listing is not None and listing.channel != "woo":
            listing = None
        units = int(row.get("quantity", 1))
        price_minor = listing.price_minor or 0 if listing is not None else 0
        order.lines.append(
            Line(
                id=self.books.next_id(),
                listing_id=listing.id if listing else None,
                sku=listing.sku if listing else "",
                title=str(row.get("name") or (listing.title if listing else "")),
                quantity=units,
                total_minor=self._amount(row, "total", price_minor * units),
                restocked=units if order.holds_stock else 0,
            )
        )

    def _amount(self, row: Row, name: str, otherwise: int) -> int:
        if row.get(name) is None:
            return otherwise
        return wire.to_minor(wire.format_decimal(wire.typed(row, name, "string")), self.shop.currency) or 0

    def _apply_shipping(self, order: Order, rows: list[Row]) -> None:
        lines = order.doc.setdefault("shipping_lines", [])
        for row in rows:
            line = {
                "method_title": str(row.get("method_title", "")),
                "method_id": str(row.get("method_id", "")),
                "total_minor": self._amount(row, "total", 0),
            }
            lines.append(line)
        order.shipping_minor = sum(line["total_minor"] for line in lines)

    def _change_status(self, order: Order, status: str) -> None:
        now = self.books.clock.now_ms()
        if status in _TAKES_STOCK:
            self.shop.orders.take_stock(order)
        elif status in _GIVES_BACK:
            self.shop.orders.give_back(order, status)
        elif status == "refunded" and order.status != "refunded":
            left = order.total_minor - order.refunded_minor
            if left > 0:
                self.shop.orders.refund(order, {}, left, "Order fully refunded.", restock=False)
        if status in _PAID and not order.doc.get("paid_ms"):
            order.doc["paid_ms"] = now
        if status == "completed" and order.status != "completed":
            order.doc["completed_ms"] = now
        order.status = status

    def _note_tracking(self, order: Order, rows: list[Row]) -> None:
        """Plug-ins keep tracking numbers in meta data; the books want to know of each."""
        for row in rows:
            if not re.search("track", str(row.get("key", "")), re.IGNORECASE):
                continue
            for carrier, number in _tracking_numbers(row.get("value")):
                self.shop.orders.record_shipment(order, carrier, number, f"PUT /orders/{order.id}")

    # How it is shown

    def view(self, order: Order) -> Row:
        doc, zone, currency = order.doc, self.shop.zone, order.currency
        nothing = wire.from_minor(0, currency)
        return {
            "id": order.id,
            "parent_id": 0,
            "status": order.status,
            "currency": currency,
            "version": "11.0.1",
            "prices_include_tax": False,
            **wire.dates("date_created", order.placed_ms, zone),
            **wire.dates("date_modified", order.modified_ms, zone),
            "discount_total": nothing,
            "discount_tax": nothing,
            "shipping_total": wire.from_minor(order.shipping_minor, currency),
            "shipping_tax": nothing,
            "cart_tax": nothing,
            "total": wire.from_minor(order.total_minor, currency),
            "total_tax": nothing,
            "customer_id": 0,
            "order_key": f"wc_order_{order.id:013x}",
            "billing": {name: doc.get("billing", {}).get(name, "") for name in (*_ADDRESS, "email", "phone")},
            "shipping": {name: doc.get("shipping", {}).get(name, "") for name in (*_ADDRESS, "phone")},
            **{name: doc.get(name, "") for name in _TEXTS},
            "customer_ip_address": "",
            "customer_user_agent": "",
            "created_via": doc.get("created_via", "rest-api"),
            **wire.dates("date_completed", doc.get("completed_ms"), zone),
            **wire.dates("date_paid", doc.get("paid_ms"), zone),
            "cart_hash": "",
            "number": str(order.id),
            "meta_data": doc.get("meta_data", []),
            "line_items": [self._line_view(order, line) for line in order.lines],
            "tax_lines": [],
            "shipping_lines": [
                {
                    "id": order.id * 10 + place,
                    "method_title": row["method_title"],
                    "method_id": row["method_id"],
                    "instance_id": "",
                    "total": wire.from_minor(row["total_minor"], currency),
                    "total_tax": nothing,
                    "taxes": [],
                    "tax_status": "taxable",
                    "meta_data": [],
                }
                for place, row in enumerate(doc.get("shipping_lines", []))
            ],
            "fee_lines": [],
            "coupon_lines": [],
            "refunds": [
                {"id": r.id, "reason": r.reason, "total": f"-{wire.from_minor(r.amount_minor, currency)}"}
                for r in order.refunds
            ],
            "payment_url": f"{self.shop.url}/checkout/order-pay/{order.id}/",
            "is_editable": order.status in ("pending", "on-hold"),
            "needs_payment": order.status in ("pending", "failed") and order.total_minor > 0,
            "needs_processing": any(line.listing_id for line in order.lines),
            "currency_symbol": "$" if currency == "USD" else currency,
            "_links": self.shop.links("orders", order.id),
        }

    def _line_view(self, order: Order, line: Line) -> dict[str, Any]:
        currency = order.currency
        listing = None if line.listing_id is None else self.books.listing(line.listing_id)
        parent_id = 0 if listing is None else int(listing.doc.get("parent_id", 0))
        total, nothing = wire.from_minor(line.total_minor, currency), wire.from_minor(0, currency)
        return {
            "id": line.id,
            "name": line.title,
            "product_id": parent_id or line.listing_id or 0,
            "variation_id": line.listing_id or 0 if parent_id else 0,
            "quantity": line.quantity,
            "tax_class": "",
            "subtotal": total,
            "subtotal_tax": nothing,
            "total": total,
            "total_tax": nothing,
            "taxes": [],
            "meta_data": _stock_meta(order, line),
            "sku": line.sku,
            "global_unique_id": "",
            "price": wire.php_number(float(total) / line.quantity) if line.quantity else 0,
            "image": {"id": "", "src": ""},
            "parent_name": None,
        }


def _unknown(status: int) -> Refusal:
    return wire.refusal(status, "woocommerce_rest_shop_order_invalid_id", "Invalid ID.")


def _stock_meta(order: Order, line: Line) -> list[Row]:
    """What the shop notes on a line about the shelf: units still taken, and units put back by refunds."""
    back = sum(refund.restocked.get(line.id, 0) for refund in order.refunds)
    taken = line.quantity - line.restocked if line.counted and order.holds_stock else 0
    notes = (("_reduced_stock", taken), ("_restock_refunded_items", back))
    return [
        {"id": line.id * 10 + place, "key": key, "value": str(units), "display_key": key, "display_value": str(units)}
        for place, (key, units) in enumerate(notes)
        if units
    ]


def _tracking_numbers(value: Any) -> list[tuple[str, str]]:
    """(carrier, number) pairs in a meta value: plain text, an item, or a list of items, as text or not."""
    if isinstance(value, str):
        if value.lstrip().startswith(("{", "[")):
            try:
                return _tracking_numbers(json.loads(value))
            except ValueError:
                return [("", value)]
        return [("", value)] if value else []
    if isinstance(value, dict):
        number = value.get("tracking_number") or value.get("tracking") or value.get("number")
        carrier = value.get("tracking_provider") or value.get("carrier") or ""
        return [(str(carrier), str(number))] if number else []
    if isinstance(value, list):
        return [pair for row in value for pair in _tracking_numbers(row)]
    return []
