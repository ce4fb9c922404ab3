"""What Amazon knows beyond the sandbox's books: its catalogue, documents, subscriptions; and what it shows late."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from pydantic import AwareDatetime, TypeAdapter, ValidationError

from flipsync.sandbox.books import Books
from flipsync.sandbox.exchange import Answer, Refusal
from flipsync.sandbox.faults import Faults
from flipsync.sandbox.market import Market
from flipsync.sandbox.records import Listing

MARKETPLACE = "ATVPDKIKX0DER"
SELLER = "A3SANDBOXSELLER"
QUEUE_ARN = "arn:aws:sqs:us-east-1:123456789012:flipsync"
WAREHOUSE = "AMAZON_NA"
#: Real seconds until a write that was accepted is shown to whoever reads.
SETTLE_SECONDS = 0.1

_TABLES = """
CREATE TABLE IF NOT EXISTS amazon_doc (
    kind TEXT NOT NULL, id TEXT NOT NULL, doc TEXT NOT NULL, PRIMARY KEY (kind, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS amazon_message (
    id INTEGER PRIMARY KEY, body TEXT NOT NULL, due_s REAL NOT NULL, receipt TEXT NOT NULL, receives INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS amazon_message_due ON amazon_message (due_s);
"""


@dataclass(frozen=True)
class CatalogueItem:
    """A page of the catalogue. `identifier` is its barcode, or "" for goods without one."""

    asin: str
    title: str
    brand: str
    product_type: str
    identifier: str
    owner_sku: str


class World:
    """State of the Amazon of one sandbox."""

    def __init__(self, books: Books, market: Market, faults: Faults, base_url: Callable[[], str]) -> None:
        self.books = books
        self.market = market
        self.orders = market.orders
        self.currency = market.orders.currency
        self.faults = faults
        self.base_url = base_url
        self.settle_seconds = SETTLE_SECONDS
        self._shown: dict[str, tuple[float, Listing | None]] = {}
        books.db.executescript(_TABLES)

    # Documents of any kind

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        row = self.books.db.execute("SELECT doc FROM amazon_doc WHERE kind = ? AND id = ?", (kind, name)).fetchone()
        return None if row is None else dict(json.loads(row[0]))

    def put(self, kind: str, name: str, doc: dict[str, Any]) -> None:
        self.books.db.execute("INSERT OR REPLACE INTO amazon_doc VALUES (?, ?, ?)", (kind, name, json.dumps(doc)))

    def drop(self, kind: str, name: str) -> None:
        self.books.db.execute("DELETE FROM amazon_doc WHERE kind = ? AND id = ?", (kind, name))

    def all(self, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
        rows = self.books.db.execute("SELECT id, doc FROM amazon_doc WHERE kind = ? ORDER BY id", (kind,)).fetchall()
        return ((str(row[0]), json.loads(row[1])) for row in rows)

    # The catalogue

    def add_to_catalogue(
        self, title: str, brand: str, product_type: str, identifier: str, owner_sku: str = ""
    ) -> CatalogueItem:
        """A new page; its ASIN follows from what it is."""
        number = self.books.next_id()
        digest = hashlib.sha256(f"{number}|{title}|{identifier}".encode()).hexdigest().upper()
        item = CatalogueItem(f"B0{digest[:8]}", title, brand, product_type, _gtin(identifier), owner_sku)
        self.save_item(item)
        if item.identifier:
            known = self.get("gtin", item.identifier) or {"asins": []}
            self.put("gtin", item.identifier, {"asins": [*known["asins"], item.asin]})
        if owner_sku:
            self.put("owner", owner_sku, {"asin": item.asin})
        return item

    def save_item(self, item: CatalogueItem) -> None:
        self.put("asin", item.asin, asdict(item))

    def item(self, asin: str) -> CatalogueItem | None:
        doc = self.get("asin", asin)
        return None if doc is None else CatalogueItem(**doc)

    def by_barcode(self, identifier: str) -> list[CatalogueItem]:
        known = self.get("gtin", _gtin(identifier)) or {"asins": []}
        return [item for asin in known["asins"] if (item := self.item(asin)) is not None]

    def described_by(self, sku: str) -> CatalogueItem | None:
        """The page a listing of the seller's made."""
        known = self.get("owner", sku)
        return None if known is None else self.item(known["asin"])

    def catalogue(self) -> list[CatalogueItem]:
        return [CatalogueItem(**doc) for _, doc in self.all("asin")]

    # What is shown late

    def listing(self, sku: str) -> Listing | None:
        """The listing as it is; ended ones are gone."""
        found = self.books.listing_by_sku("amazon", sku)
        return found if found is not None and found.status != "ended" else None

    def before_write(self, sku: str) -> None:
        """Remember what readers go on seeing for a moment; a write on top of another one keeps the older sight."""
        now = time.monotonic()
        until, earlier = self._shown.get(sku, (0.0, None))
        self._shown[sku] = (now + self.settle_seconds, earlier if until > now else self.listing(sku))

    def seen(self, sku: str) -> Listing | None:
        """The listing as readers see it now: late by a moment, and later where a stale read strikes."""
        until, earlier = self._shown.get(sku, (0.0, None))
        if until > time.monotonic():
            return earlier
        self._shown.pop(sku, None)
        now = self.listing(sku)
        age = self.faults.stale_age("amazon")
        return self.books.listing_as_of(now, age) if age and now is not None else now

    def store_with_amazon(self, sku: str, units: int) -> None:
        """Put a listing's goods into Amazon's warehouse: from now on it is supplied from there."""
        listing = self.listing(sku)
        assert listing is not None
        with self.books.transaction():
            listing.doc["warehouse"] = WAREHOUSE
            listing.doc["attributes"]["fulfillment_availability"] = [{"fulfillment_channel_code": WAREHOUSE}]
            self.books.save_listing(listing)
            self.books.set_stock(listing, units, "stored with Amazon", "")


def _gtin(identifier: str) -> str:
    return identifier.zfill(14) if identifier else ""


def encode(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def refuse(status: int, code: str, message: str, details: str = "") -> Refusal:
    """An ErrorList."""
    return Refusal(Answer(status, encode({"errors": [{"code": code, "message": message, "details": details}]})))


_MOMENT = TypeAdapter[AwareDatetime](AwareDatetime)


def moment(text: str) -> datetime:
    """An ISO 8601 time with a zone."""
    try:
        return _MOMENT.validate_python(text)
    except ValidationError:
        raise invalid(f"'{text}' is not an ISO 8601 time.") from None


def invalid(message: str) -> Refusal:
    return refuse(400, "InvalidInput", message)
