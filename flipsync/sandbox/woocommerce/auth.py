"""WooCommerce key authentication: Basic over https only, OAuth 1.0a (one-legged, RFC 5849) over http."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import secrets
import time
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, unquote

from flipsync.sandbox.books import Books
from flipsync.sandbox.exchange import Call, Refusal
from flipsync.sandbox.woocommerce.wire import refusal

_TIMESTAMP_WINDOW = 15 * 60
_DIGESTS = {"HMAC-SHA1": hashlib.sha1, "HMAC-SHA256": hashlib.sha256}
_NEEDED = (
    "oauth_consumer_key",
    "oauth_timestamp",
    "oauth_nonce",
    "oauth_signature",
    "oauth_signature_method",
)

Permissions = Literal["read", "write", "read_write"]


@dataclass(frozen=True)
class ApiKey:
    """A consumer key with its secret and what it may do."""

    consumer_key: str
    consumer_secret: str
    permissions: Permissions


class KeyAuthentication:
    """Finds out who calls. Raises the shop's own 401s."""

    def __init__(self, books: Books, keys: list[ApiKey]) -> None:
        self._books = books
        self._keys = {key.consumer_key: key for key in (*keys, *self._granted())}

    def _granted(self) -> list[ApiKey]:
        """Keys that were made for applications."""
        return [ApiKey(*row) for row in json.loads(self._books.meta("woo.granted") or "[]")]

    def grant(self, permissions: Permissions) -> ApiKey:
        """A new key for an application."""
        key = ApiKey(f"ck_{secrets.token_hex(20)}", f"cs_{secrets.token_hex(20)}", permissions)
        self._remember([*self._granted(), key])
        return key

    def revoke(self, key: ApiKey) -> None:
        self._remember([each for each in self._granted() if each != key])
        del self._keys[key.consumer_key]

    def _remember(self, keys: list[ApiKey]) -> None:
        rows = [[key.consumer_key, key.consumer_secret, key.permissions] for key in keys]
        self._books.set_meta("woo.granted", json.dumps(rows))
        self._keys |= {key.consumer_key: key for key in keys}

    def check(self, call: Call) -> None:
        key = (self._basic(call) if call.scheme == "https" else None) or self._oauth(call)
        if key is None:
            verb = {"GET": "list", "POST": "create", "PUT": "edit", "DELETE": "delete"}.get(call.method, "view")
            word = {"GET": "view", "POST": "create", "PUT": "edit", "DELETE": "delete"}.get(call.method, "view")
            raise refusal(401, f"woocommerce_rest_cannot_{word}", f"Sorry, you cannot {verb} resources.")
        needed = "write" if call.writes else "read"
        if needed not in key.permissions:
            raise _denied(f"The API key provided does not have {needed} permissions.")

    def _basic(self, call: Call) -> ApiKey | None:
        name, secret = call.first("consumer_key"), call.first("consumer_secret")
        scheme, _, encoded = call.headers.get("authorization", "").partition(" ")
        if not (name and secret) and scheme.lower() == "basic":
            try:
                name, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                return None
        key = self._keys.get(name or "")
        if key is None or not secret:
            return None
        if not hmac.compare_digest(key.consumer_secret.encode(), secret.encode()):
            raise _denied("Consumer secret is invalid.")
        return key

    def _oauth(self, call: Call) -> ApiKey | None:
        header = call.headers.get("authorization", "")
        in_header = dict(_header_parameters(header)) if header.lower().startswith("oauth ") else {}
        parameters = [*call.query, *((k, v) for k, v in in_header.items() if k != "realm")]
        given = dict(parameters)
        missing = [name for name in _NEEDED if not given.get(name)]
        if len(missing) == len(_NEEDED):
            return None
        if missing:
            raise _denied(f"Missing OAuth parameters {', '.join(missing)}")
        key = self._keys.get(given["oauth_consumer_key"])
        if key is None:
            raise _denied("Consumer key is invalid.")
        digest = _DIGESTS.get(given["oauth_signature_method"])
        if digest is None:
            raise _denied("Invalid signature - signature method is invalid.")
        base = signature_base(call.method, f"{call.origin}{call.full_path}", parameters)
        expected = base64.b64encode(hmac.new(f"{key.consumer_secret}&".encode(), base.encode(), digest).digest())
        if not hmac.compare_digest(expected, given["oauth_signature"].encode()):
            raise _denied("Invalid signature - provided signature does not match.")
        self._use_nonce(key, given["oauth_timestamp"], given["oauth_nonce"])
        return key

    def _use_nonce(self, key: ApiKey, timestamp: str, nonce: str) -> None:
        now = int(time.time())
        if not timestamp.isdigit() or abs(now - int(timestamp)) > _TIMESTAMP_WINDOW:
            raise _denied("Invalid timestamp.")
        # Runs outside the transaction: a nonce stays used even when the request it came with is refused.
        db = self._books.db
        fresh = db.execute("INSERT OR IGNORE INTO nonce VALUES (?, ?)", (f"{key.consumer_key}|{nonce}", now)).rowcount
        if not fresh:
            raise _denied("Invalid nonce - nonce has already been used.")
        if now % 60 == 0:
            db.execute("DELETE FROM nonce WHERE at_s < ?", (now - 2 * _TIMESTAMP_WINDOW,))


def _denied(message: str) -> Refusal:
    return refusal(401, "woocommerce_rest_authentication_error", message)


def _header_parameters(header: str) -> list[tuple[str, str]]:
    pairs = re.findall(r'(\w+)="([^"]*)"', header)
    return [(name, unquote(value)) for name, value in pairs]


def _encode(text: str) -> str:
    return quote(text, safe="~")


def signature_base(method: str, url: str, parameters: list[tuple[str, str]]) -> str:
    """The signature base string of RFC 5849, section 3.4.1."""
    pairs = sorted((_encode(k), _encode(v)) for k, v in parameters if k != "oauth_signature")
    joined = "&".join(f"{k}={v}" for k, v in pairs)
    return "&".join((method.upper(), _encode(url), _encode(joined)))
