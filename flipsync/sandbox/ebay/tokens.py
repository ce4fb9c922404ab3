"""The token endpoint: authorization code, refresh and client-credentials grants; access tokens of two hours."""

from __future__ import annotations

import base64
import hmac
import json
import secrets
import time
from dataclasses import dataclass
from urllib.parse import parse_qs

from flipsync.sandbox.books import Books
from flipsync.sandbox.consent import Codes
from flipsync.sandbox.ebay.problems import access, encode
from flipsync.sandbox.exchange import Answer, Call

_SCOPE = "https://api.ebay.com/oauth/api_scope"
PUBLIC = frozenset({_SCOPE})
_READ = frozenset(
    f"{_SCOPE}/{name}"
    for name in (
        "sell.inventory.readonly",
        "sell.account.readonly",
        "sell.fulfillment.readonly",
        "sell.marketing.readonly",
        "sell.analytics.readonly",
        "commerce.identity.readonly",
        "commerce.notification.subscription.readonly",
    )
)
_WRITE = frozenset(
    f"{_SCOPE}/{name}"
    for name in (
        "sell.inventory",
        "sell.account",
        "sell.fulfillment",
        "sell.marketing",
        "sell.finances",
        "commerce.notification.subscription",
    )
)
ACCESS_SECONDS = 7200
REFRESH_SECONDS = 47_304_000  # 18 months
CODE_SECONDS = 299.0
#: what a consent page may be asked for
KNOWN_SCOPES = PUBLIC | _READ | _WRITE


def scope(name: str) -> str:
    return f"{_SCOPE}/{name}"


@dataclass(frozen=True)
class Keyset:
    """An application's keys, and the refresh tokens of a seller's two consents: to everything, and to look."""

    client_id: str
    client_secret: str
    refresh_token: str
    reader_token: str
    redirect_name: str


@dataclass(frozen=True)
class Granted:
    """An access token: what it may do, until when, and whether a user stands behind it; `seller` "" is the first."""

    scopes: frozenset[str]
    until: float
    user: bool
    seller: str = ""


class Tokens:
    """Gives out access tokens and knows them again, also after the process was killed."""

    def __init__(self, keyset: Keyset, books: Books) -> None:
        self.keyset = keyset
        self._books = books
        self.lifetime = ACCESS_SECONDS
        self.revoked = False
        self._given = {
            token: Granted(frozenset(scopes), until, user, *more)
            for token, scopes, until, user, *more in json.loads(books.meta("ebay.tokens") or "[]")
        }
        #: refresh tokens of later consents: (scopes, seller)
        self._consents: dict[str, tuple[list[str], str]] = json.loads(books.meta("ebay.consents") or "{}")
        self._codes = Codes(CODE_SECONDS, "v^1.1#i^1#")

    def consent(self, scopes: frozenset[str] = PUBLIC | _READ | _WRITE, seller: str = "") -> str:
        """A seller consents on eBay's page: the code that the application is sent."""
        return self._codes.give(self.keyset.client_id, self.keyset.redirect_name, scopes=sorted(scopes), seller=seller)

    def expire(self) -> None:
        """Every access token ends now."""
        self._given.clear()

    def answer(self, call: Call) -> Answer:
        if call.method != "POST":
            return _error(405, "invalid_request", "the method is not supported")
        if not self._is_application(call):
            return _error(401, "invalid_client", "client authentication failed")
        fields = {name: values[0] for name, values in parse_qs(call.body.decode("utf-8", "replace")).items()}
        grant = fields.get("grant_type")
        asked = frozenset(fields.get("scope", "").split())
        if grant == "client_credentials":
            if asked != PUBLIC:
                return _scope_error()
            return self._give(PUBLIC, user=False)
        if grant == "authorization_code":
            code = self._codes.redeem(fields.get("code", ""), self.keyset.client_id, fields.get("redirect_uri", ""))
            if code is None:
                return _error(
                    400,
                    "invalid_grant",
                    "the provided authorization grant code is invalid or was issued to another client",
                )
            token = f"v^1.1#i^1#r^1#{secrets.token_hex(32)}"
            self._consents[token] = (list(code.scopes), code.seller)
            self._books.set_meta("ebay.consents", json.dumps(self._consents))
            more = {"refresh_token": token, "refresh_token_expires_in": REFRESH_SECONDS}
            return self._give(frozenset(code.scopes), user=True, more=more, seller=code.seller)
        if grant == "refresh_token":
            return self._refresh(fields.get("refresh_token", ""), asked)
        return _error(
            400, "unsupported_grant_type", "grant type in request is not supported by the authorization server"
        )

    def _refresh(self, token: str, asked: frozenset[str]) -> Answer:
        scopes, seller = self._consents.get(token, ([], ""))
        may = {
            self.keyset.refresh_token: PUBLIC | _READ | _WRITE,
            self.keyset.reader_token: PUBLIC | _READ,
        }.get(token) or frozenset(scopes)
        if not may or self.revoked:
            return _error(
                400,
                "invalid_grant",
                "the provided authorization refresh token is invalid or was issued to another client",
            )
        if not asked <= may:
            return _scope_error()
        return self._give(asked or may, user=True, seller=seller)

    def _is_application(self, call: Call) -> bool:
        kind, _, text = call.headers.get("authorization", "").partition(" ")
        try:
            given = base64.b64decode(text, validate=True)
        except ValueError:
            return False
        pair = f"{self.keyset.client_id}:{self.keyset.client_secret}".encode()
        return kind.lower() == "basic" and hmac.compare_digest(given, pair)

    def _give(
        self, scopes: frozenset[str], *, user: bool, more: dict[str, object] | None = None, seller: str = ""
    ) -> Answer:
        now = time.time()
        self._given = {token: granted for token, granted in self._given.items() if granted.until > now}
        token = f"v^1.1#i^1#t^{secrets.token_urlsafe(32)}"
        self._given[token] = Granted(scopes, now + self.lifetime, user, seller)
        rows = [[token, sorted(each.scopes), each.until, each.user, each.seller] for token, each in self._given.items()]
        self._books.set_meta("ebay.tokens", json.dumps(rows))
        kind = "User Access Token" if user else "Application Access Token"
        body = {"access_token": token, "expires_in": self.lifetime, "token_type": kind, **(more or {})}
        return Answer(200, encode(body))

    def granted(self, call: Call, *, one_of: frozenset[str]) -> Granted:
        """Who calls. Raises Refusal (401 for the token, 403 for what it may do)."""
        kind, _, token = call.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token:
            raise access(
                401, 1002, "Missing access token", "Access token is missing in the Authorization HTTP request header."
            )
        granted = self._given.get(token.strip())
        if granted is None or granted.until <= time.time():
            raise access(
                401,
                1001,
                "Invalid access token",
                "Invalid access token. Check the value of the Authorization HTTP request header.",
            )
        if not granted.scopes & one_of:
            raise access(403, 1100, "Access denied", "Insufficient permissions to fulfill the request.")
        return granted


def _error(status: int, code: str, text: str) -> Answer:
    return Answer(status, encode({"error": code, "error_description": text}))


def _scope_error() -> Answer:
    return _error(
        400,
        "invalid_scope",
        "The requested scope is invalid, unknown, malformed, or exceeds the scope granted to the client",
    )
