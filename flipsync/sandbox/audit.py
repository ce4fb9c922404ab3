"""The truth for whoever reconciles: units and money per SKU, double side effects, and whether the books add up."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from flipsync.sandbox.books import Books
from flipsync.sandbox.clock import rfc3339
from flipsync.sandbox.records import order_external_id

#: Orders that are a sale: paid for, and not cancelled.
_SOLD = frozenset({"processing", "completed", "on-hold", "refunded", "paid", "shipped"})


def report(books: Books, *, orders: bool = True) -> dict[str, Any]:
    """Everything the sandbox knows to be true, as JSON; amounts in minor units. `orders=False` leaves the list out."""
    per_sku: dict[str, dict[str, Any]] = defaultdict(lambda: {"units_sold": 0, "units_held": 0, "channels": {}})
    listed: list[dict[str, Any]] = []
    revenue: Counter[str] = Counter()
    for listing in books.listings("1 ORDER BY id", ()):
        _channel(per_sku[listing.sku], listing.channel).update(
            listing_id=listing.id, status=listing.status, price_minor=listing.price_minor, quantity=listing.quantity
        )
    statuses: Counter[str] = Counter()
    for order in books.orders("1 ORDER BY id", ()):
        statuses[f"{order.channel}.{order.status}"] += 1
        for line in order.lines:
            sku = per_sku[line.sku]
            totals = _channel(sku, order.channel)
            totals["orders"] += 1
            if order.status in _SOLD:
                totals["units_sold"] += line.quantity
                totals["revenue_minor"] += line.total_minor
                totals["refunded_minor"] += line.refunded_minor
                sku["units_sold"] += line.quantity
                revenue[order.currency] += line.total_minor - line.refunded_minor
            if order.holds_stock:
                held = line.quantity - line.restocked
                totals["units_held"] += held
                sku["units_held"] += held
        if orders:
            listed.append(
                {
                    "id": order.id,
                    "external_id": order_external_id(order.channel, order.id),
                    "channel": order.channel,
                    "status": order.status,
                    "holds_stock": order.holds_stock,
                    "placed_at": rfc3339(order.placed_ms),
                    "total_minor": order.total_minor,
                    "refunded_minor": order.refunded_minor,
                    "currency": order.currency,
                    "lines": [
                        {"sku": line.sku, "quantity": line.quantity, "restocked": line.restocked}
                        for line in order.lines
                    ],
                }
            )
    doubles = double_side_effects(books)
    return {
        "market_time": rfc3339(books.clock.now_ms()),
        "skus": dict(sorted(per_sku.items())),
        "listings_created": _counts(books, "SELECT channel, count(*) FROM listing_created GROUP BY 1"),
        "orders_total": sum(statuses.values()),
        "orders_by_status": dict(sorted(statuses.items())),
        "orders": listed,
        "refused_orders": _counts(books, "SELECT channel || '.' || reason, count(*) FROM refused_order GROUP BY 1"),
        "revenue_minor": dict(revenue),
        "stock_changes": _counts(books, "SELECT channel || '.' || cause, count(*) FROM stock_change GROUP BY 1"),
        "writes": _counts(
            books, "SELECT channel || '.' || method || '.' || status, count(*) FROM write_log GROUP BY 1"
        ),
        "write_faults": _counts(
            books, "SELECT channel || '.' || fault, count(*) FROM write_log WHERE fault <> '' GROUP BY 1"
        ),
        "webhooks_sent": _counts(books, "SELECT channel || '.' || outcome, count(*) FROM webhook_sent GROUP BY 1"),
        "labels": _labels(books),
        "labels_bought": _counts(books, "SELECT channel || '.' || status, count(*) FROM label GROUP BY 1"),
        "labels_cost_minor": _counts(
            books, "SELECT channel, sum(cost_minor) FROM label WHERE status = 'Purchased' GROUP BY 1"
        ),
        "double_side_effects": doubles,
        "inconsistencies": inconsistencies(books),
    }


def _channel(sku: dict[str, Any], channel: str) -> dict[str, Any]:
    empty = {"orders": 0, "units_sold": 0, "units_held": 0, "revenue_minor": 0, "refunded_minor": 0}
    totals: dict[str, Any] = sku["channels"].setdefault(channel, empty)
    return totals


def _counts(books: Books, query: str) -> dict[str, int]:
    return {str(name): int(count) for name, count in books.db.execute(query)}


def _labels(books: Books) -> list[dict[str, Any]]:
    """Every label that was sold, oldest first."""
    rows = books.db.execute("SELECT channel, order_id, external_id, cost_minor, status FROM label ORDER BY id")
    return [
        {
            "order_id": order_external_id(row[0], row[1]),
            "external_id": row[2],
            "cost_minor": row[3],
            "status": row[4],
        }
        for row in rows
    ]


def double_side_effects(books: Books) -> dict[str, list[dict[str, Any]]]:
    """Things done twice in the world: one order shipped under two trackings, one SKU listed twice at once,
    one wish refunded twice, one message to a buyer sent twice."""
    shipments = books.db.execute(
        "SELECT channel, order_id, group_concat(DISTINCT tracking_number) FROM shipment"
        " GROUP BY channel, order_id HAVING count(DISTINCT tracking_number) > 1"
    )
    listings = books.db.execute(
        "SELECT channel, sku, count(*) FROM listing WHERE sku <> '' AND status <> 'trash'"
        " GROUP BY channel, sku HAVING count(*) > 1"
    )
    # A title listed again without a SKU is the double that a unique SKU cannot stop.
    untitled = books.db.execute(
        "SELECT channel, title, count(*) FROM listing WHERE sku = '' AND status <> 'trash'"
        " GROUP BY channel, title HAVING count(*) > 1"
    )
    # The same words or reference on two refunds of one order: the buyer was paid twice for one wish.
    refunds = books.db.execute(
        "SELECT o.channel, o.id, json_extract(r.value, '$.reason') AS reason,"
        " json_extract(r.value, '$.reference') AS reference, count(*)"
        " FROM orders o, json_each(o.refunds) r WHERE reason <> '' OR reference <> ''"
        " GROUP BY 1, 2, 3, 4 HAVING count(*) > 1"
    )
    labels = books.db.execute(
        "SELECT channel, order_id, count(*) FROM label WHERE status = 'Purchased' GROUP BY 1, 2 HAVING count(*) > 1"
    )
    messages = books.db.execute(
        "SELECT order_id, note, count(*) FROM order_note WHERE customer_note = 1 GROUP BY 1, 2 HAVING count(*) > 1"
    )
    return {
        "messages": [{"order_id": r[0], "note": r[1], "count": r[2]} for r in messages],
        "labels": [{"channel": r[0], "order_id": r[1], "count": r[2]} for r in labels],
        "refunds": [{"channel": r[0], "order_id": r[1], "reason": r[2], "count": r[4]} for r in refunds],
        "shipments": [{"channel": r[0], "order_id": r[1], "tracking_numbers": r[2].split(",")} for r in shipments],
        "listings": [{"channel": r[0], "sku": r[1], "count": r[2]} for r in listings]
        + [{"channel": r[0], "title": r[1], "count": r[2]} for r in untitled],
    }


def inconsistencies(books: Books) -> list[str]:
    """Where the books contradict themselves; always empty unless the sandbox itself is broken."""
    found = [
        f"listing {row[0]}: shelf says {row[1]}, changes add up to {row[2]}"
        for row in books.db.execute(
            "SELECT l.id, l.quantity, coalesce(sum(c.delta), 0) FROM listing l LEFT JOIN stock_change c"
            " ON c.listing_id = l.id WHERE l.quantity IS NOT NULL GROUP BY l.id"
            " HAVING l.quantity <> coalesce(sum(c.delta), 0)"
        )
    ]
    below_zero = books.db.execute(
        "SELECT count(*) FROM stock_change WHERE channel = 'custom' AND cause = 'sale' AND quantity_after < 0"
    ).fetchone()[0]
    if below_zero:
        found.append(f"custom: {below_zero} sales below zero")
    return found
