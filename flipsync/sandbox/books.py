"""The sandbox's own books in SQLite: one connection, one transaction at a time, everything recorded with its cause."""

from __future__ import annotations

import json
import sqlite3
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal

from flipsync.sandbox.clock import MarketClock
from flipsync.sandbox.records import (
    Channel,
    Listing,
    Order,
    lines_from_json,
    lines_to_json,
    refunds_from_json,
    refunds_to_json,
)

_HISTORY_SECONDS = 60.0
_LISTING_COLUMNS = "id, channel, sku, title, status, price_minor, quantity, stock_version, created_ms, modified_ms, doc"
_LISTING_FIELDS = tuple(_LISTING_COLUMNS.split(", "))
_ORDER_COLUMNS = (
    "id, channel, status, currency, placed_ms, modified_ms, lines, shipping_minor, fee_minor, holds_stock, refunds, doc"
)


#: what a read makes of rows; see Books.seen_through
Lens = Callable[[Literal["listing", "order"], list[Any]], list[Any]]


@dataclass(frozen=True)
class Change:
    """A fact that subscribers may hear of."""

    channel: Channel
    resource: Literal["order", "listing"]
    event: Literal["created", "updated", "deleted"]
    id: int


class Books:
    """Listings, orders, stock changes and writes. Every public writer must run inside `transaction()`.

    Everything happens on one thread between two awaits, so a transaction is never interleaved with another.
    """

    def __init__(self, path: str, clock: MarketClock) -> None:
        """`path` is a file, or ":memory:". A file keeps everything across kill -9 of the process."""
        self.clock = clock
        self.db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA synchronous=OFF")
        self.db.executescript(files("flipsync.sandbox").joinpath("schema.sql").read_text(encoding="utf-8"))
        self.on_change: Callable[[Change], None] = lambda change: None
        self.on_commit: Callable[[], None] = lambda: None
        self.on_priced: Callable[[Listing], None] = lambda listing: None
        self.keep_history = False
        self._lens: Lens | None = None
        self._changes: dict[Change, None] = {}
        self._history: dict[tuple[str, int], deque[tuple[float, Listing | Order | None]]] = defaultdict(deque)

    def close(self) -> None:
        self.db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; subscribers are queued in the same transaction."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
            for change in self._settled_changes():
                self.on_change(change)
        except BaseException:
            self.db.execute("ROLLBACK")
            self._changes.clear()
            raise
        self.db.execute("COMMIT")
        if self._changes:
            self._changes.clear()
            self.on_commit()

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """A part of a transaction that may fail alone (a row of a batch)."""
        kept = dict(self._changes)
        self.db.execute("SAVEPOINT part")
        try:
            yield
        except BaseException:
            self.db.execute("ROLLBACK TO part")
            self.db.execute("RELEASE part")
            self._changes = kept
            raise
        self.db.execute("RELEASE part")

    @contextmanager
    def seen_through(self, lens: Lens | None) -> Iterator[None]:
        """While it is open, rows are read as `lens` shows them; None shows them as they are."""
        outer, self._lens = self._lens, lens
        try:
            yield
        finally:
            self._lens = outer

    def _settled_changes(self) -> list[Change]:
        """The changes of a transaction without updates of what it created."""
        created = {(c.resource, c.id) for c in self._changes if c.event == "created"}
        return [c for c in self._changes if c.event != "updated" or (c.resource, c.id) not in created]

    def announce(self, change: Change) -> None:
        self._changes[change] = None

    def next_id(self) -> int:
        """One sequence for every resource, as a content system's post ids."""
        row = self.db.execute("INSERT INTO sequence DEFAULT VALUES").lastrowid
        assert row is not None
        return row

    def meta(self, name: str) -> str | None:
        row = self.db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def set_meta(self, name: str, value: str) -> None:
        self.db.execute(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", (name, value)
        )

    # Listings

    def listing(self, listing_id: int) -> Listing | None:
        rows = self.listings("id = ?", (listing_id,))
        return rows[0] if rows else None

    def listing_by_sku(self, channel: Channel, sku: str) -> Listing | None:
        """The listing with that SKU that is not in the bin."""
        rows = self.listings("channel = ? AND sku = ? AND status <> 'trash' ORDER BY id LIMIT 1", (channel, sku))
        return rows[0] if rows else None

    def shelf_of(self, listing: Listing) -> Listing:
        """Where the units of a listing are counted: with itself, or with the product it is a variation of."""
        if listing.quantity is None and "parent_id" in listing.doc:
            parent = self.listing(int(listing.doc["parent_id"]))
            if parent is not None and parent.quantity is not None:
                return parent
        return listing

    def listings(self, where: str, params: Sequence[Any]) -> list[Listing]:
        cursor = self.db.execute(f"SELECT {_LISTING_COLUMNS} FROM listing WHERE {where}", params)  # noqa: S608
        rows = [
            Listing(**dict(zip(_LISTING_FIELDS, row, strict=True)) | {"doc": json.loads(row[10])}) for row in cursor
        ]
        return rows if self._lens is None else self._lens("listing", rows)

    def count(self, table: Literal["listing", "orders"], where: str, params: Sequence[Any]) -> int:
        return int(self.db.execute(f"SELECT count(*) FROM {table} WHERE {where}", params).fetchone()[0])  # noqa: S608

    def add_listing(self, listing: Listing, reference: str) -> None:
        """Record a new listing; its first units are a stock change with the cause "listed"."""
        now = self.clock.now_ms()
        self._remember("listing", listing.id, None)
        quantity, listing.quantity = listing.quantity, None if listing.quantity is None else 0
        self.db.execute(
            f"INSERT INTO listing ({_LISTING_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?)",  # noqa: S608
            self._listing_row(listing),
        )
        self.db.execute(
            "INSERT INTO listing_created VALUES (?, ?, ?, ?, NULL)", (listing.id, listing.channel, listing.sku, now)
        )
        if quantity is not None:
            self.set_stock(listing, quantity, "listed", reference)
        self.announce(Change(listing.channel, "listing", "created", listing.id))
        self.on_priced(listing)

    def save_listing(self, listing: Listing) -> None:
        """Write everything but the quantity, which only `move_stock` and `set_stock` touch."""
        self._remember("listing", listing.id, self.listing(listing.id))
        listing.modified_ms = self.clock.now_ms()
        self.db.execute(
            "UPDATE listing SET sku=?, title=?, status=?, price_minor=?, modified_ms=?, doc=? WHERE id=?",
            (
                listing.sku,
                listing.title,
                listing.status,
                listing.price_minor,
                listing.modified_ms,
                json.dumps(listing.doc),
                listing.id,
            ),
        )
        self.announce(Change(listing.channel, "listing", "updated", listing.id))
        self.on_priced(listing)

    def delete_listing(self, listing: Listing) -> None:
        self._remember("listing", listing.id, listing)
        self.db.execute("DELETE FROM listing WHERE id = ?", (listing.id,))
        self.db.execute("UPDATE listing_created SET deleted_ms = ? WHERE id = ?", (self.clock.now_ms(), listing.id))
        self.announce(Change(listing.channel, "listing", "deleted", listing.id))

    def set_stock(self, listing: Listing, quantity: int | None, cause: str, reference: str) -> None:
        """Set units on the shelf absolutely; None stops counting."""
        if quantity is None or listing.quantity is None:
            self._remember("listing", listing.id, self.listing(listing.id))
            if listing.quantity is not None:
                self._stock_row(listing, -listing.quantity, 0, "uncounted", reference)
            self.db.execute(
                "UPDATE listing SET quantity = ?, stock_version = stock_version + 1 WHERE id = ?",
                (None if quantity is None else 0, listing.id),
            )
            listing.quantity = None if quantity is None else 0
            listing.stock_version += 1
        if quantity is not None:
            assert listing.quantity is not None
            self.move_stock(listing, quantity - listing.quantity, cause, reference)

    def move_stock(self, listing: Listing, delta: int, cause: str, reference: str) -> None:
        """Change units on the shelf by `delta` and write down why."""
        assert listing.quantity is not None
        self._remember("listing", listing.id, self.listing(listing.id))
        listing.quantity += delta
        listing.stock_version += 1
        listing.modified_ms = self.clock.now_ms()
        self.db.execute(
            "UPDATE listing SET quantity=?, stock_version=?, modified_ms=? WHERE id=?",
            (listing.quantity, listing.stock_version, listing.modified_ms, listing.id),
        )
        self._stock_row(listing, delta, listing.quantity, cause, reference)
        self.announce(Change(listing.channel, "listing", "updated", listing.id))

    def _stock_row(self, listing: Listing, delta: int, after: int, cause: str, reference: str) -> None:
        self.db.execute(
            "INSERT INTO stock_change (listing_id, channel, sku, delta, quantity_after, cause, reference, at_ms)"
            " VALUES (?,?,?,?,?,?,?,?)",
            (listing.id, listing.channel, listing.sku, delta, after, cause, reference, self.clock.now_ms()),
        )

    @staticmethod
    def _listing_row(listing: Listing) -> tuple[Any, ...]:
        return (
            listing.id,
            listing.channel,
            listing.sku,
            listing.title,
            listing.status,
            listing.price_minor,
            listing.quantity,
            listing.stock_version,
            listing.created_ms,
            listing.modified_ms,
            json.dumps(listing.doc),
        )

    # Orders

    def order(self, order_id: int) -> Order | None:
        rows = self.orders("id = ?", (order_id,))
        return rows[0] if rows else None

    def orders(self, where: str, params: Sequence[Any]) -> list[Order]:
        cursor = self.db.execute(f"SELECT {_ORDER_COLUMNS} FROM orders WHERE {where}", params)  # noqa: S608
        rows = [
            Order(
                id=row[0],
                channel=row[1],
                status=row[2],
                currency=row[3],
                placed_ms=row[4],
                modified_ms=row[5],
                lines=lines_from_json(json.loads(row[6])),
                shipping_minor=row[7],
                fee_minor=row[8],
                holds_stock=bool(row[9]),
                refunds=refunds_from_json(json.loads(row[10])),
                doc=json.loads(row[11]),
            )
            for row in cursor
        ]
        return rows if self._lens is None else self._lens("order", rows)

    def save_order(self, order: Order, *, new: bool = False) -> None:
        self._remember("order", order.id, None if new else self.order(order.id))
        order.modified_ms = self.clock.now_ms()
        self.db.execute(
            f"INSERT OR REPLACE INTO orders ({_ORDER_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",  # noqa: S608
            (
                order.id,
                order.channel,
                order.status,
                order.currency,
                order.placed_ms,
                order.modified_ms,
                json.dumps(lines_to_json(order.lines)),
                order.shipping_minor,
                order.fee_minor,
                int(order.holds_stock),
                json.dumps(refunds_to_json(order.refunds)),
                json.dumps(order.doc),
            ),
        )
        self.announce(Change(order.channel, "order", "created" if new else "updated", order.id))

    def delete_order(self, order: Order) -> None:
        self._remember("order", order.id, order)
        self.db.execute("DELETE FROM orders WHERE id = ?", (order.id,))
        self.announce(Change(order.channel, "order", "deleted", order.id))

    # What a reader of an older snapshot sees

    def _remember(self, kind: str, record_id: int, before: Listing | Order | None) -> None:
        if not self.keep_history:
            return
        versions = self._history[(kind, record_id)]
        now = time.monotonic()
        versions.append((now, before))
        while versions and now - versions[0][0] > _HISTORY_SECONDS:
            versions.popleft()

    def listing_as_of(self, listing: Listing, age: float) -> Listing | None:
        """The listing as it was `age` real seconds ago; None when it did not exist."""
        older = self._as_of("listing", listing.id, age, listing)
        return older if isinstance(older, Listing) else None

    def order_as_of(self, order: Order, age: float) -> Order | None:
        """The order as it was `age` real seconds ago; None when it did not exist."""
        older = self._as_of("order", order.id, age, order)
        return older if isinstance(older, Order) else None

    def _as_of(self, kind: str, record_id: int, age: float, current: Listing | Order) -> Listing | Order | None:
        moment = time.monotonic() - age
        for replaced_at, version in self._history.get((kind, record_id), ()):
            if replaced_at > moment:
                return version
        return current
