"""Who may call: apps, their access tokens (which expire), and the access scopes that fields need."""

from __future__ import annotations

import hmac
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLError, GraphQLResolveInfo, get_named_type

from flipsync.sandbox.books import Books
from flipsync.sandbox.consent import Codes

SCOPES = (
    *("read_products", "write_products", "read_inventory", "write_inventory", "read_locations", "read_orders"),
    "write_orders",
    *("read_merchant_managed_fulfillment_orders", "write_merchant_managed_fulfillment_orders"),
    *("read_publications", "write_publications"),
)
READER_SCOPES = tuple(scope for scope in SCOPES if scope.startswith("read_"))

#: Any of these scopes opens a type, or a mutation.
TYPE_SCOPES: Mapping[str, tuple[str, ...]] = {
    "Product": ("read_products",),
    "ProductVariant": ("read_products",),
    "InventoryItem": ("read_inventory", "read_products"),
    "InventoryLevel": ("read_inventory",),
    "Location": ("read_locations", "read_inventory", "read_markets_home"),
    "Order": ("read_orders", "read_marketplace_orders", "read_quick_sale"),
    "LineItem": ("read_orders", "read_marketplace_orders"),
    "Refund": ("read_orders", "read_marketplace_orders"),
    "OrderTransaction": ("read_orders", "read_marketplace_orders"),
    "FulfillmentOrder": (
        *("read_assigned_fulfillment_orders", "read_merchant_managed_fulfillment_orders"),
        *("read_third_party_fulfillment_orders", "read_marketplace_fulfillment_orders"),
    ),
}
FIELD_SCOPES: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("QueryRoot", "publications"): ("read_publications",),
    ("Mutation", "productSet"): ("write_products",),
    ("Mutation", "productUpdate"): ("write_products",),
    ("Mutation", "productVariantsBulkCreate"): ("write_products",),
    ("Mutation", "productVariantsBulkUpdate"): ("write_products",),
    ("Mutation", "publishablePublish"): ("write_publications",),
    ("Mutation", "publishableUnpublish"): ("write_publications",),
    ("Mutation", "inventorySetQuantities"): ("write_inventory",),
    ("Mutation", "inventoryActivate"): ("write_inventory",),
    ("Mutation", "fulfillmentCreate"): (
        *("write_assigned_fulfillment_orders", "write_merchant_managed_fulfillment_orders"),
        "write_third_party_fulfillment_orders",
    ),
}

#: What the document tells in words only ("`orders` access scope"), and the list of scopes leaves out.
WORDED_SCOPES: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("Mutation", "refundCreate"): ("write_orders", "write_marketplace_orders"),
}

#: Lifetimes in seconds: client credentials 24 h; expiring offline tokens 1 h, their refresh tokens 90 days.
CODE_SECONDS = 300.0
CLIENT_SECONDS, OFFLINE_SECONDS, REFRESH_SECONDS = 86_399, 3_600, 7_776_000


@dataclass(frozen=True)
class App:
    client_id: str
    client_secret: str


class Tokens:
    """Access and refresh tokens of the app. A refresh token works until its replacement is used for the first time."""

    def __init__(self, books: Books, app: App) -> None:
        self.books = books
        self.app = app
        self.codes = Codes(CODE_SECONDS)
        books.db.execute(
            "CREATE TABLE IF NOT EXISTS shopify_token (token TEXT PRIMARY KEY, kind TEXT NOT NULL,"
            " scopes TEXT NOT NULL, until_s REAL, replaces TEXT NOT NULL) WITHOUT ROWID"
        )

    def keep(self, token: str, scopes: tuple[str, ...]) -> None:
        """A token that never expires, of an app made in the shop's admin."""
        self._save(token, "access", scopes, None, "")

    def _save(self, token: str, kind: str, scopes: tuple[str, ...], until: float | None, replaces: str) -> None:
        self.books.db.execute(
            "INSERT OR REPLACE INTO shopify_token VALUES (?,?,?,?,?)",
            (token, kind, json.dumps(scopes), until, replaces),
        )

    def _find(self, token: str, kind: str) -> tuple[tuple[str, ...], str] | None:
        row = self.books.db.execute(
            "SELECT scopes, until_s, replaces FROM shopify_token WHERE token = ? AND kind = ?", (token, kind)
        ).fetchone()
        if row is None or (row[1] is not None and row[1] <= time.time()):
            return None
        return tuple(json.loads(row[0])), row[2]

    def scopes_of(self, token: str) -> tuple[str, ...] | None:
        """What an access token may; None for one that is unknown or expired."""
        found = self._find(token, "access")
        if found is None:
            return None
        self._used(found[1])
        return found[0]

    def _used(self, replaced: str) -> None:
        if replaced:
            self.books.db.execute("DELETE FROM shopify_token WHERE token = ?", (replaced,))

    def install(self) -> dict[str, Any]:
        """An expiring offline token with its refresh token, as the app gets one when a merchant installs it."""
        return self._offline(SCOPES, "")

    def _offline(self, scopes: tuple[str, ...], replaces: str) -> dict[str, Any]:
        now = time.time()
        access, refresh = f"shpat_{secrets.token_hex(16)}", f"shprt_{secrets.token_hex(16)}"
        self._save(access, "access", scopes, now + OFFLINE_SECONDS, replaces)
        self._save(refresh, "refresh", scopes, now + REFRESH_SECONDS, replaces)
        return {
            "access_token": access,
            "scope": ",".join(scopes),
            "expires_in": OFFLINE_SECONDS,
            "refresh_token": refresh,
            "refresh_token_expires_in": REFRESH_SECONDS,
        }

    def grant(self, fields: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        """The token endpoint: status and body (RFC 6749, 5)."""
        known = hmac.compare_digest(fields.get("client_id", "").encode(), self.app.client_id.encode())
        proved = hmac.compare_digest(fields.get("client_secret", "").encode(), self.app.client_secret.encode())
        if not (known and proved):
            return 401, {"error": "invalid_client", "error_description": "The client ID or secret is wrong"}
        kind = fields.get("grant_type", "authorization_code" if "code" in fields else "")
        if kind == "authorization_code":
            return self._exchange(fields)
        if kind == "client_credentials":
            access = f"shpat_{secrets.token_hex(16)}"
            self._save(access, "access", SCOPES, time.time() + CLIENT_SECONDS, "")
            return 200, {"access_token": access, "scope": ",".join(SCOPES), "expires_in": CLIENT_SECONDS}
        if kind != "refresh_token":
            return 400, {"error": "unsupported_grant_type", "error_description": f"{kind!r} is not supported"}
        given = fields.get("refresh_token", "")
        found = self._find(given, "refresh")
        if found is None:
            return 400, {"error": "invalid_grant", "error_description": "The refresh token is invalid or expired"}
        self._used(found[1])
        return 200, self._offline(found[0], given)

    def _exchange(self, fields: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        """For a merchant's consent: an offline token, which expires where that was asked for."""
        code = self.codes.redeem(fields.get("code", ""), self.app.client_id, None)
        if code is None:
            words = "The authorization code was not found or was already used"
            return 400, {"error": "invalid_request", "error_description": words}
        if fields.get("expiring") == "1":
            return 200, self._offline(code.scopes, "")
        access = f"shpat_{secrets.token_hex(16)}"
        self.keep(access, code.scopes)
        return 200, {"access_token": access, "scope": ",".join(code.scopes)}


def allowed(scopes: tuple[str, ...], needed: tuple[str, ...]) -> bool:
    """The right to write includes the right to read."""
    return any(scope in scopes or (scope.startswith("read_") and f"write_{scope[5:]}" in scopes) for scope in needed)


def check_access(info: GraphQLResolveInfo[Any], scopes: tuple[str, ...]) -> None:
    """Raises the error of a field that the token's scopes do not open."""
    field = (info.parent_type.name, info.field_name)
    needed = FIELD_SCOPES.get(field) or WORDED_SCOPES.get(field)
    if needed is None:
        kind = get_named_type(info.return_type).name.removesuffix("Connection")
        needed = TYPE_SCOPES.get(kind)
    if needed is None or allowed(scopes, needed):
        return
    words = " or ".join(f"`{scope}` access scope" for scope in needed)
    raise GraphQLError(
        f"Access denied for {info.field_name} field. Required access: {words}.",
        extensions={
            "code": "ACCESS_DENIED",
            "documentation": "https://shopify.dev/api/usage/access-scopes",
            "requiredAccess": f"{words}.",
        },
    )
