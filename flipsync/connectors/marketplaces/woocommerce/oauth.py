"""OAuth 1.0a, one-legged, as WooCommerce wants it on plain HTTP (RFC 5849; HMAC-SHA256; no token)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Sequence
from urllib.parse import quote, urlsplit

Params = Sequence[tuple[str, str]]


def _encode(text: str) -> str:
    """RFC 5849, 3.6."""
    return quote(text, safe="-._~")


def base_string(method: str, url: str, params: Params) -> str:
    """RFC 5849, 3.4.1: method, address without query or default port, and every parameter, encoded and sorted."""
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    port = parts.port
    host = (parts.hostname or "").lower()
    if ":" in host:
        host = f"[{host}]"
    if port is not None and port != {"http": 80, "https": 443}.get(scheme):
        host = f"{host}:{port}"
    pairs = sorted((_encode(name), _encode(value)) for name, value in params)
    joined = "&".join(f"{name}={value}" for name, value in pairs)
    return "&".join((method.upper(), _encode(f"{scheme}://{host}{parts.path or '/'}"), _encode(joined)))


def signature(base: str, consumer_secret: str, token_secret: str = "", digest: str = "sha256") -> str:
    """RFC 5849, 3.4.2: base64 of the HMAC under `consumer secret & token secret`."""
    key = f"{_encode(consumer_secret)}&{_encode(token_secret)}"
    return base64.b64encode(hmac.new(key.encode(), base.encode(), getattr(hashlib, digest)).digest()).decode()


def signed_params(method: str, url: str, params: Params, consumer_key: str, consumer_secret: str) -> Params:
    """The parameters to add to the query; a nonce is good once, so sign every attempt anew."""
    ours = [
        ("oauth_consumer_key", consumer_key),
        ("oauth_nonce", secrets.token_hex(16)),
        ("oauth_signature_method", "HMAC-SHA256"),
        ("oauth_timestamp", str(int(time.time()))),
    ]
    base = base_string(method, url, [*params, *ours])
    return [*ours, ("oauth_signature", signature(base, consumer_secret))]
