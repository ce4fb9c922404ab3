"""Stock at a location: set on condition, once per idempotency key."""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

from graphql import FieldNode, GraphQLError
from graphql.utilities import value_from_ast_untyped

from flipsync.sandbox.books import Books
from flipsync.sandbox.records import Listing
from flipsync.sandbox.shopify.shop import InputRefused, Row, Shop, gid, listing_of_item, number, stamp
from flipsync.sandbox.shopify.views import item_view, level_view, location_view

_MOST = 1_000_000_000
_REASONS = frozenset(
    {
        *(
            "correction",
            "cycle_count_available",
            "damaged",
            "movement_created",
            "movement_updated",
            "movement_received",
        ),
        *("movement_canceled", "other", "promotion", "quality_control", "received", "reservation_created"),
        *("reservation_deleted", "reservation_updated", "restock", "safety_stock", "shrinkage"),
    }
)
#: How long a key is remembered.
_KEY_SECONDS = 24 * 3600.0


class Inventory:
    """Resolvers of the inventory mutations."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.books = shop.books

    def set_quantities(self, info: Any, input: Row) -> Row:
        """`inventorySetQuantities`: all of them or none."""
        key = required_key(info)
        if self._seen(key, "inventorySetQuantities", input):
            return {"inventoryAdjustmentGroup": self._group(input, {}), "userErrors": []}
        if input["name"] not in ("available", "on_hand"):
            message = "The quantity name must be either 'available' or 'on_hand'."
            raise InputRefused("INVALID_NAME", ("input", "name"), message)
        if input["reason"] not in _REASONS:
            raise InputRefused("INVALID_REASON", ("input", "reason"), "The specified reason is invalid.")
        if len(input["quantities"]) > 250:
            message = "The input array size of {} is greater than the maximum allowed of 250."
            raise GraphQLError(message.format(len(input["quantities"])), extensions={"code": "MAX_INPUT_SIZE_EXCEEDED"})
        before: dict[int, int] = {}
        taken: set[tuple[str, str]] = set()
        refused: list[Row] = []
        for place, row in enumerate(input["quantities"]):
            try:
                listing = self._item(row, place, taken)
                before[listing.id] = _shelf(listing)
                self._set(listing, row, place, key)
            except InputRefused as refusal:
                refused += refusal.errors
        if refused:
            raise InputRefused.of(refused)
        return {"inventoryAdjustmentGroup": self._group(input, before), "userErrors": []}

    def _item(self, row: Row, place: int, taken: set[tuple[str, str]]) -> Listing:
        path = ("input", "quantities", place)
        pair = (row["inventoryItemId"], row["locationId"])
        if pair in taken:
            message = "The combination of inventoryItemId and locationId must be unique."
            raise InputRefused("NO_DUPLICATE_INVENTORY_ITEM_ID_GROUP_ID_PAIR", (*path, "inventoryItemId"), message)
        taken.add(pair)
        listing = self.shop.variant(listing_of_item(number(row["inventoryItemId"], "InventoryItem")))
        if listing is None:
            message = "The specified inventory item could not be found."
            raise InputRefused("INVALID_INVENTORY_ITEM", (*path, "inventoryItemId"), message)
        if row["locationId"] != self.shop.home or not listing.doc["stocked"]:
            message = "The specified location could not be found."
            raise InputRefused("INVALID_LOCATION", (*path, "locationId"), message)
        return listing

    def _set(self, listing: Listing, row: Row, place: int, key: str) -> None:
        path = ("input", "quantities", place)
        if "changeFromQuantity" not in row:
            message = "The changeFromQuantity argument must be given to each quantity, be it null."
            raise InputRefused("COMPARE_QUANTITY_REQUIRED", (*path, "changeFromQuantity"), message)
        if row["quantity"] > _MOST:
            message = "The total quantity can't be higher than 1,000,000,000."
            raise InputRefused("INVALID_QUANTITY_TOO_HIGH", (*path, "quantity"), message)
        if row["quantity"] < -_MOST:
            message = "The total quantity can't be lower than -1,000,000,000."
            raise InputRefused("INVALID_QUANTITY_TOO_LOW", (*path, "quantity"), message)
        if row["changeFromQuantity"] is not None and row["changeFromQuantity"] != _shelf(listing):
            message = "The changeFromQuantity value does not match persisted value."
            raise InputRefused("CHANGE_FROM_QUANTITY_STALE", (*path, "changeFromQuantity"), message)
        self._put(listing, row["quantity"], key)

    def _put(self, listing: Listing, quantity: int, reference: str) -> None:
        if listing.quantity is None:
            listing.doc["uncounted"] = quantity
            self.books.save_listing(listing)
        elif quantity != listing.quantity:
            self.books.set_stock(listing, quantity, "set by seller", reference)

    def _group(self, body: Row, before: dict[int, int]) -> Row | None:
        """What was changed; nothing when nothing was. Quantities are as the books are when the answer is made."""
        changed = []
        for row in body["quantities"]:
            listing = self.shop.variant(listing_of_item(number(row["inventoryItemId"], "InventoryItem")))
            if listing is not None and before.get(listing.id) != row["quantity"]:
                changed.append(self._change(listing, before.get(listing.id, _shelf(listing)), row["quantity"]))
        if not changed:
            return None
        now = self.books.clock.now_ms()

        def changes(info: Any, **only: Any) -> list[Row]:
            names = only.get("quantityNames")
            return [row for row in changed if names is None or row["name"] in names]

        return {
            "id": gid("InventoryAdjustmentGroup", self.books.next_id()),
            "createdAt": stamp(now),
            "reason": body["reason"],
            "changes": changes,
        }

    def _change(self, listing: Listing, before: int, after: int) -> Row:
        def current(info: Any) -> int:
            now = self.shop.variant(listing.id)
            return after if now is None else _shelf(now)

        return {
            "name": "available",
            "delta": after - before,
            "quantityAfterChange": current,
            "item": lambda info: item_view(self.shop, self.shop.variant(listing.id) or listing),
            "location": location_view(self.shop.locations[0]),
        }

    def activate(self, info: Any, inventoryItemId: str, locationId: str, available: int | None = None) -> Row:  # noqa: N803
        """`inventoryActivate`: keeps the item at the location, from now on."""
        key = required_key(info)
        listing = self.shop.variant(listing_of_item(number(inventoryItemId, "InventoryItem")))
        if listing is None:
            raise InputRefused("", ("inventoryItemId",), "The inventory item does not exist")
        if locationId != self.shop.home:
            raise InputRefused("", ("locationId",), "The location does not exist")
        body = {"item": inventoryItemId, "location": locationId, "available": available}
        if not self._seen(key, "inventoryActivate", body):
            if listing.doc["stocked"] and available is not None:
                message = "Not allowed to set available quantity when the item is already active at the location."
                raise InputRefused("", ("available",), message)
            listing.doc["stocked"] = True
            self.books.save_listing(listing)
            self._put(listing, available or 0, key)
        return {
            "inventoryLevel": level_view(self.shop, self.shop.variant(listing.id) or listing),
            "userErrors": [],
        }

    def _seen(self, key: str, mutation: str, body: Row) -> bool:
        return seen(self.books, key, mutation, body)


def seen(books: Books, key: str, mutation: str, body: Row) -> bool:
    """Whether this key has done its work. A key of another request is refused."""
    fingerprint = hashlib.sha256(f"{mutation}\n{json.dumps(body, sort_keys=True)}".encode()).hexdigest()
    db = books.db
    db.execute("DELETE FROM idempotency WHERE key = ? AND at_s < ?", (f"shopify:{key}", time.time() - _KEY_SECONDS))
    row = db.execute("SELECT fingerprint FROM idempotency WHERE key = ?", (f"shopify:{key}",)).fetchone()
    if row is None:
        db.execute("INSERT INTO idempotency VALUES (?,?,?,?,?)", (f"shopify:{key}", fingerprint, 200, b"", time.time()))
        return False
    if row[0] != fingerprint:
        message = "The same idempotency key cannot be used with different operation parameters."
        raise InputRefused("IDEMPOTENCY_KEY_PARAMETER_MISMATCH", (), message)
    return True


def required_key(info: Any) -> str:
    """The key of `@idempotent` on the field. Since 2026-04 a mutation of inventory is refused without it."""
    node: FieldNode = info.field_nodes[0]
    for directive in node.directives or ():
        if directive.name.value == "idempotent":
            for argument in directive.arguments or ():
                value = value_from_ast_untyped(argument.value, info.variable_values.coerced)
                if argument.name.value == "key" and isinstance(value, str) and value:
                    return value
    raise GraphQLError(
        "The @idempotent directive is required for this mutation but was not provided.",
        extensions={"code": "BAD_REQUEST"},
    )


def _shelf(listing: Listing) -> int:
    return listing.quantity if listing.quantity is not None else int(listing.doc.get("uncounted", 0))
