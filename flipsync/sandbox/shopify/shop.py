"""What the parts of the shop share: its books, ids, places, products, pages, and errors of the input."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from graphql import GraphQLError

from flipsync.domain.money import minor_digits
from flipsync.sandbox.books import Books
from flipsync.sandbox.clock import instant
from flipsync.sandbox.faults import Faults
from flipsync.sandbox.orderbook import OrderBook
from flipsync.sandbox.records import Channel, Listing
from flipsync.sandbox.webhooks import Webhooks

Row = dict[str, Any]

ONLINE_STORE = "gid://shopify/Publication/1001"
MOST_ROWS = 250
#: Inventory items have numbers of their own, apart from their variants'.
_ITEM_OFFSET = 40_000_000_000_000
_GID = re.compile(r"gid://shopify/([A-Za-z]+)/(\d{1,18})", re.ASCII)


class InputRefused(Exception):
    """Ends a mutation with userErrors; what it did is undone."""

    def __init__(self, code: str, path: Sequence[str | int], message: str) -> None:
        super().__init__(message)
        self.errors: list[Row] = [user_error(code, path, message)]

    @classmethod
    def of(cls, errors: list[Row]) -> InputRefused:
        """Several errors at once."""
        refusal = cls("", (), "; ".join(row["message"] for row in errors))
        refusal.errors = errors
        return refusal


def user_error(code: str, path: Sequence[str | int], message: str) -> Row:
    return {"code": code or None, "field": [str(part) for part in path] or None, "message": message}


@dataclass
class Product:
    """A product; its variants are listings of the books."""

    id: int
    handle: str
    created_ms: int
    modified_ms: int
    doc: Row = field(default_factory=dict)


class Shop:
    """One shop over the sandbox's books. Every writer runs inside a transaction."""

    channel: ClassVar[Channel] = "shopify"

    def __init__(
        self, books: Books, orders: OrderBook, faults: Faults, webhooks: Webhooks, currency: str, timezone: str
    ) -> None:
        self.books = books
        self.orders = orders
        self.faults = faults
        self.webhooks = webhooks
        self.currency = currency
        self.timezone = timezone
        self.domain = "sandbox-shop.myshopify.com"
        self.name = "Sandbox shop"
        self.locations: list[Row] = [{"id": 501, "name": "Main warehouse", "isActive": True}]
        books.db.execute(
            "CREATE TABLE IF NOT EXISTS shopify_product (id INTEGER PRIMARY KEY, handle TEXT NOT NULL UNIQUE,"
            " created_ms INTEGER NOT NULL, modified_ms INTEGER NOT NULL, doc TEXT NOT NULL)"
        )
        books.db.execute(
            "CREATE INDEX IF NOT EXISTS shopify_variant ON listing (json_extract(doc, '$.product_id'))"
            " WHERE channel = 'shopify'"
        )

    @property
    def home(self) -> str:
        """The location the books' quantities are at."""
        return gid("Location", self.locations[0]["id"])

    def amount(self, minor: int) -> str:
        digits = minor_digits(self.currency)
        return f"{minor / 10**digits:.{digits}f}" if digits else str(minor)

    def bag(self, minor: int) -> Row:
        money = {"amount": self.amount(minor), "currencyCode": self.currency}
        return {"shopMoney": money, "presentmentMoney": money}

    # Products

    def product(self, product_id: int) -> Product | None:
        return self._product("id = ?", product_id)

    def product_by_handle(self, handle: str) -> Product | None:
        return self._product("handle = ?", handle)

    def _product(self, where: str, value: int | str) -> Product | None:
        row = self.books.db.execute(
            f"SELECT id, handle, created_ms, modified_ms, doc FROM shopify_product WHERE {where}",  # noqa: S608
            (value,),
        ).fetchone()
        return None if row is None else Product(row[0], row[1], row[2], row[3], json.loads(row[4]))

    def products(self) -> list[Product]:
        rows = self.books.db.execute("SELECT id, handle, created_ms, modified_ms, doc FROM shopify_product ORDER BY id")
        return [Product(row[0], row[1], row[2], row[3], json.loads(row[4])) for row in rows]

    def save_product(self, product: Product) -> None:
        """Write it, and bring its variants' state on the shelf along."""
        product.modified_ms = self.books.clock.now_ms()
        self.books.db.execute(
            "INSERT OR REPLACE INTO shopify_product (id, handle, created_ms, modified_ms, doc) VALUES (?,?,?,?,?)",
            (product.id, product.handle, product.created_ms, product.modified_ms, json.dumps(product.doc)),
        )
        for listing in self.variants(product.id):
            self.save_variant(listing, product)

    def save_variant(self, listing: Listing, product: Product) -> None:
        listing.title = product.doc["title"]
        listing.status = shelf_status(product, listing)
        self.books.save_listing(listing)

    def variants(self, product_id: int) -> list[Listing]:
        """In the order they were made."""
        return self.books.listings(
            "channel = 'shopify' AND json_extract(doc, '$.product_id') = ? ORDER BY id", (product_id,)
        )

    def variant(self, listing_id: int) -> Listing | None:
        listing = self.books.listing(listing_id)
        return listing if listing is not None and listing.channel == self.channel else None

    def shown(self, listing: Listing) -> Listing | None:
        """The listing as this read shows it; older when the fault strikes."""
        age = self.faults.stale_age(self.channel)
        return self.books.listing_as_of(listing, age) if age else listing


def shelf_status(product: Product, listing: Listing) -> str:
    """What buyers see: the product has to be active and, like the variant, shown in the online store."""
    if product.doc["status"] == "ARCHIVED":
        return "archived"
    sellable = product.doc["status"] in ("ACTIVE", "UNLISTED") and product.doc["published"]
    return "active" if sellable and listing.doc["published"] else "draft"


# Ids


def gid(kind: str, number: int) -> str:
    return f"gid://shopify/{kind}/{number}"


def number(global_id: str, kind: str) -> int:
    """The number of a global id of that kind; a wrong one ends the request as Shopify ends it."""
    match = _GID.fullmatch(global_id)
    if match is None:
        raise GraphQLError(f"Invalid global id '{global_id}'", extensions={"code": "argumentLiteralsIncompatible"})
    if match.group(1) != kind:
        return -1  # a thing of another kind is not found
    return int(match.group(2))


def kind_of(global_id: str) -> str:
    match = _GID.fullmatch(global_id)
    return "" if match is None else match.group(1)


def item_id(listing_id: int) -> int:
    return _ITEM_OFFSET + listing_id


def listing_of_item(number_of_item: int) -> int:
    return number_of_item - _ITEM_OFFSET


def stamp(moment_ms: int) -> str:
    """ISO 8601 with whole seconds."""
    return instant(moment_ms).replace(microsecond=0).isoformat().replace("+00:00", "Z")


# Views


class Once:
    """A row that is read when the first of its fields is asked for: so an answer shows the books as they are then."""

    def __init__(self, load: Callable[[], Any]) -> None:
        self._load = load
        self._value: Any = None
        self._loaded = False

    def __call__(self) -> Any:
        if not self._loaded:
            self._value, self._loaded = self._load(), True
        return self._value


def page(rows: Sequence[Any], first: int | None, after: str | None, view: Callable[[Any], Row]) -> Row:
    """A connection over rows that are all there; the cursor is the place of the last row shown."""
    if first is None:
        raise GraphQLError("you must provide one of first or last", extensions={"code": "BAD_REQUEST"})
    if not 0 < first <= MOST_ROWS:
        raise GraphQLError(f"first must be between 1 and {MOST_ROWS}", extensions={"code": "BAD_REQUEST"})
    start = _place(after)
    part = rows[start : start + first]
    end = start + len(part)
    return {
        "nodes": [view(row) for row in part],
        "pageInfo": {
            "hasNextPage": end < len(rows),
            "hasPreviousPage": start > 0,
            "startCursor": _cursor(start) if part else None,
            "endCursor": _cursor(end) if part else None,
        },
    }


def keyed_page(
    rows: Sequence[Any],
    first: int | None,
    after: str | None,
    view: Callable[[Any], Row],
    key: Callable[[Any], list[int]],
) -> Row:
    """A connection over rows sorted by `key`; the cursor is the last row's key, whatever comes or goes before it."""
    if after is None:
        left = list(rows)
    else:
        try:
            mark = json.loads(base64.urlsafe_b64decode(after))
            left = [row for row in rows if key(row) > mark]
        except (ValueError, TypeError) as error:
            raise GraphQLError(
                "Invalid cursor for current pagination sort.", extensions={"code": "BAD_REQUEST"}
            ) from error
    shown = page(left, first, None, view)
    part = left[: first or 0]
    if part:
        shown["pageInfo"] |= {"startCursor": _keyed(key(part[0])), "endCursor": _keyed(key(part[-1]))}
    shown["pageInfo"]["hasPreviousPage"] = after is not None
    return shown


def _keyed(key: list[int]) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode()


def _cursor(place: int) -> str:
    return base64.urlsafe_b64encode(f"at:{place}".encode()).decode()


def _place(cursor: str | None) -> int:
    if cursor is None:
        return 0
    try:
        return int(base64.urlsafe_b64decode(cursor).decode().removeprefix("at:"))
    except ValueError as error:
        raise GraphQLError("Invalid cursor.", extensions={"code": "BAD_REQUEST"}) from error
