"""eBay's notifications: who signed them, what they say, and the answer to a challenge.

The header X-EBAY-SIGNATURE is base64 of `{"alg", "kid", "signature", "digest"}`; the signature is ECDSA over the body,
with the key that GET public_key/{kid} gives. eBay asks that a key be kept for about an hour, not fetched each time.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import ValidationError

from flipsync.connectors.marketplaces.ebay import wire_notices as wire
from flipsync.domain.channel import WebhookNotice
from flipsync.domain.errors import InvalidInput, Unauthenticated

ACCOUNT_DELETION = "MARKETPLACE_ACCOUNT_DELETION"
KEY_SECONDS = 3600.0
_MOST_KEYS = 64
_KEY_ID = re.compile(r"[A-Za-z0-9._-]{1,100}")
_DIGESTS = {"SHA1": hashes.SHA1, "SHA256": hashes.SHA256}
_PEM = re.compile(r"-----BEGIN PUBLIC KEY-----\s*(.+?)\s*-----END PUBLIC KEY-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Signature:
    """What the header says; `digest` is what the signer used, if it says so."""

    key_id: str
    signature: bytes
    digest: str


class Keys:
    """Public keys by server and id, each for an hour. They are eBay's, the same for every account."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._kept: dict[tuple[str, str], tuple[float, wire.PublicKey]] = {}

    def get(self, server: str, key_id: str) -> wire.PublicKey | None:
        kept = self._kept.get((server, key_id))
        return kept[1] if kept is not None and kept[0] > self._now() else None

    def keep(self, server: str, key_id: str, key: wire.PublicKey) -> None:
        while len(self._kept) >= _MOST_KEYS:
            del self._kept[next(iter(self._kept))]
        self._kept[(server, key_id)] = (self._now() + KEY_SECONDS, key)


def signature_of(headers: Mapping[str, str]) -> Signature:
    """Raises Unauthenticated when there is none, or it cannot be read."""
    text = next((value for name, value in headers.items() if name.lower() == "x-ebay-signature"), "")
    try:
        told = json.loads(base64.b64decode(text, validate=True))
        found = Signature(str(told["kid"]), base64.b64decode(told["signature"]), str(told.get("digest", "")))
        algorithm = str(told.get("alg", "ecdsa"))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Unauthenticated("the notification has no readable signature") from error
    if algorithm.casefold() != "ecdsa" or not _KEY_ID.fullmatch(found.key_id):
        raise Unauthenticated("the notification is signed in a way eBay does not use")
    return found


def verify(signature: Signature, body: bytes, key: wire.PublicKey) -> None:
    """Raises Unauthenticated when the body is not what the key's owner signed.

    eBay's own kits sign and check the compact form of the JSON: a body whose blanks were changed on the way is genuine.
    """
    digest = _DIGESTS.get((key.digest or signature.digest).replace("-", "").upper())
    if digest is None or key.algorithm.casefold() not in ("ecdsa", "ec"):
        raise Unauthenticated("the notification's key is of a kind that is not known")
    try:
        public = serialization.load_pem_public_key(_pem(key.key))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Unauthenticated("the notification's key cannot be read") from error
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise Unauthenticated("the notification's key is of a kind that is not known")
    for text in (body, _compact(body)):
        try:
            public.verify(signature.signature, text, ec.ECDSA(digest()))
        except InvalidSignature:
            continue
        return
    raise Unauthenticated("the notification's signature does not match")


def _pem(text: str) -> bytes:
    """eBay writes the key on one line, without the breaks a PEM has."""
    found = _PEM.search(text)
    body = re.sub(r"\s+", "", found[1] if found else text)
    lines = "\n".join(body[start : start + 64] for start in range(0, len(body), 64))
    return f"-----BEGIN PUBLIC KEY-----\n{lines}\n-----END PUBLIC KEY-----\n".encode()


def _compact(body: bytes) -> bytes:
    try:
        return json.dumps(json.loads(body), separators=(",", ":"), ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return body


def notice(body: bytes) -> WebhookNotice:
    """What a verified notification says. Raises InvalidInput.

    eBay repeats a notification under the same id until it is answered.
    """
    try:
        found = wire.Notice.model_validate_json(body)
    except ValidationError as error:
        raise InvalidInput("the notification is not what eBay's documents say") from error
    topic, told = found.metadata.topic, found.notification
    order_id = _find(told.data, "orderId")
    if order_id and not topic.startswith("MARKETPLACE_ACCOUNT"):
        kind, resource = "order", order_id
    elif topic == ACCOUNT_DELETION:
        kind, resource = "buyer-deleted", ""  # who it was is kept nowhere
    elif topic.startswith(("LISTING", "ITEM_")):
        kind, resource = "listing", _find(told.data, "itemId") or _find(told.data, "listingId")
    else:
        kind, resource = "other", _find(told.data, "userId") or _find(told.data, "username")
    return WebhookNotice.model_validate(
        {
            "kind": kind,
            "topic": topic,
            "resource_id": resource,
            "dedup_key": f"{topic}:{told.notification_id}",
            "modified_at": told.event_date,
            "buyer_ids": _gone(told.data) if kind == "buyer-deleted" else (),
        }
    )


def _gone(data: Any) -> tuple[str, ...]:
    """Orders name a buyer by user name; since September 2025 by the unchanging id where the buyer lives in the USA.

    Raises InvalidInput where neither is there: it must come again, not be taken as done.
    """
    found = tuple(name for part in ("username", "userId", "eiasToken") if (name := _find(data, part)))
    if not found:
        raise InvalidInput("the notification does not say whose account was deleted")
    return found


def _find(data: Any, name: str) -> str:
    """The first value of that name, at any depth: each topic wraps its own in another way."""
    if isinstance(data, dict):
        value = data.get(name)
        if isinstance(value, str | int):
            return str(value)
        return next((found for each in data.values() if (found := _find(each, name))), "")
    if isinstance(data, list):
        return next((found for each in data if (found := _find(each, name))), "")
    return ""


def verification_token(secret: str) -> str:
    """The token of a destination (32 to 80 letters and digits), made of our secret without giving it away."""
    return hmac.new(secret.encode(), b"ebay verification token", hashlib.sha256).hexdigest()


def challenge_response(code: str, token: str, endpoint: str) -> str:
    """Hex SHA-256 of challenge code, verification token and endpoint (eBay's event notification guide)."""
    return hashlib.sha256(f"{code}{token}{endpoint}".encode()).hexdigest()
