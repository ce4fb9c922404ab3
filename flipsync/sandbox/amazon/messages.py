"""Messaging v1: what a seller may write to a buyer. No key, and no list of what was written."""

from __future__ import annotations

from flipsync.sandbox.amazon.orders import Orders
from flipsync.sandbox.amazon.world import MARKETPLACE, World, encode, invalid
from flipsync.sandbox.exchange import Answer, Call, parse_object

_KIND = "unexpectedProblem"
_LONGEST = 2000


class Messages:
    """One kind: that something unexpected came between, for as long as an order is open."""

    def __init__(self, world: World, orders: Orders) -> None:
        self.world = world
        self.orders = orders

    def actions(self, call: Call, order_id: str) -> Answer:
        order = self.orders.find(order_id)
        here, kinds = f"/messaging/v1/orders/{order_id}", [_KIND] if order.status in ("paid", "shipped") else []
        links = [{"href": f"{here}/messages/{kind}?marketplaceIds={MARKETPLACE}", "name": kind} for kind in kinds]
        known = {"self": {"href": f"{here}?marketplaceIds={MARKETPLACE}"}, "actions": links}
        schemas = [{"href": f"{here}/messages/{kind}/schema", "name": kind} for kind in kinds]
        embedded = [{"_links": {"self": link, "schema": schema}} for link, schema in zip(links, schemas, strict=True)]
        return Answer(200, encode({"_links": known, "_embedded": {"actions": embedded}}))

    def unexpected_problem(self, call: Call, order_id: str) -> Answer:
        order = self.orders.find(order_id)
        text = (parse_object(call.body) or {}).get("text")
        if not isinstance(text, str) or not 1 <= len(text) <= _LONGEST:
            raise invalid(f"text has 1 to {_LONGEST} characters.")
        if order.status not in ("paid", "shipped"):
            raise invalid("The message is not allowed for this order.")
        books = self.world.books
        row = (books.next_id(), order.id, text, 1, books.clock.now_ms())
        books.db.execute("INSERT INTO order_note VALUES (?, ?, ?, ?, ?)", row)
        return Answer(201, encode({}))
