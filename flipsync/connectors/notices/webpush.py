"""Web push: a message to one browser or phone, over the push service its maker runs.

RFC 8030 is how it is sent, RFC 8291 how it is encrypted so that the service cannot read it (by `http-ece`), RFC 8292
how the service knows that it is from us (VAPID): a token signed with the key that the browser subscribed under.
"""

from __future__ import annotations

import base64
import binascii
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import jwt
import orjson
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from flipsync.connectors.notices.destination import Destination, parse
from flipsync.domain.errors import InvalidInput

if TYPE_CHECKING:
    from flipsync.connectors.notices.sending import Message

#: seconds a service keeps a message for a phone that is off; what is a day old is no news
TTL = 86_400
#: the longest a token may be good is a day (RFC 8292, 2)
_TOKEN_SECONDS = 12 * 3600
#: signs of each word, so that all of it fits: a service takes 4,096 bytes with what encryption adds (RFC 8291, 4)
_MOST_WORDS = 240
_POINT_BYTES, _AUTH_BYTES = 65, 16
_NOBODY = "mailto:nobody@flipsync.invalid"


@dataclass(frozen=True)
class VapidKey:
    """The installation's key pair (P-256). `subject` is whom a push service turns to: a mailto: or https: address."""

    private: ec.EllipticCurvePrivateKey = field(repr=False)
    subject: str = _NOBODY

    @classmethod
    def new(cls) -> VapidKey:
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def read(cls, text: str, contact: str = "") -> VapidKey:
        """From what `text` wrote. Raises ValueError."""
        private = ec.derive_private_key(int.from_bytes(decoded(text)), ec.SECP256R1())
        return cls(private, contact if contact.startswith("https://") else _NOBODY)

    @property
    def text(self) -> str:
        """The private key, as other programs write it too."""
        return encoded(self.private.private_numbers().private_value.to_bytes(32))

    @property
    def public_text(self) -> str:
        """What a browser takes as `applicationServerKey`."""
        return encoded(point(self.private.public_key()))

    def authorization(self, origin: str) -> str:
        """For requests to this push service and no other (RFC 8292, 3)."""
        claims = {"aud": origin, "exp": int(time.time()) + _TOKEN_SECONDS, "sub": self.subject}
        return f"vapid t={jwt.encode(claims, self.private, algorithm='ES256')}, k={self.public_text}"


@dataclass(frozen=True)
class Subscription:
    """What a browser gave away so that it can be told: its public key and a shared secret; and whose key signs."""

    p256dh: bytes = field(repr=False)
    auth: bytes = field(repr=False)
    vapid: VapidKey | None = None


def subscribed(endpoint: str, p256dh: str, auth: str, *, name: str = "", vapid: VapidKey | None = None) -> Destination:
    """A browser's subscription as a destination. Raises InvalidInput, with none of it in it: it is a secret."""
    try:
        keys = Subscription(decoded(p256dh), decoded(auth), vapid)
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), keys.p256dh)
    except ValueError:
        raise _wrong("p256dh is not a point of P-256, or auth is not base64url") from None
    if len(keys.p256dh) != _POINT_BYTES or len(keys.auth) != _AUTH_BYTES:
        raise _wrong(f"p256dh is {_POINT_BYTES} bytes, uncompressed, and auth {_AUTH_BYTES}")
    if urlsplit(endpoint).scheme.lower() not in ("https", "http"):
        raise _wrong("its endpoint is not an https address")
    found = parse(endpoint)
    shown = f"{name} by {found.host}" if name else f"by {found.host}"
    return replace(found, service="webpush", channel="push", shown=shown, push=keys)


def call(to: Destination, message: Message) -> tuple[str, dict[str, Any]]:
    """(path, request) of one message. Sent again it replaces itself where it has not arrived yet (`Topic`)."""
    keys = to.push
    assert keys is not None and keys.vapid is not None
    headers = {
        "Authorization": keys.vapid.authorization(origin(to)),
        "Content-Encoding": "aes128gcm",
        "Content-Type": "application/octet-stream",
        "TTL": str(TTL),
        "Topic": message.id.replace("-", "")[:32],
        "Urgency": "high" if message.urgent else "normal",
    }
    return to.url, {"headers": headers, "content": encrypted(payload(message), keys)}


def encrypted(
    content: bytes, keys: Subscription, private: ec.EllipticCurvePrivateKey | None = None, salt: bytes | None = None
) -> bytes:
    """What only that browser can read (RFC 8291). Key and salt are new for each message, and given by tests alone."""
    import http_ece  # only where something is pushed: no process pays for it at its start

    sealed: bytes = http_ece.encrypt(
        content,
        salt=salt,
        private_key=private or ec.generate_private_key(ec.SECP256R1()),
        dh=keys.p256dh,
        auth_secret=keys.auth,
        version="aes128gcm",
    )
    return sealed


def payload(message: Message) -> bytes:
    """What the app's service worker shows: a title, a line, where to go. No buyer is named in it."""
    words = {"id": message.id, "title": message.title, "body": message.detail, "link": message.link}
    return orjson.dumps({name: text[:_MOST_WORDS] for name, text in words.items()})


def origin(to: Destination) -> str:
    """As RFC 6454 writes it: without a port that is the scheme's own."""
    host = f"[{to.host}]" if ":" in to.host else to.host
    usual = 443 if to.tls else 80
    return f"{'https' if to.tls else 'http'}://{host}{'' if to.port == usual else f':{to.port}'}"


def point(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


def encoded(content: bytes) -> str:
    """base64url without padding (RFC 4648, 5)."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    """Raises ValueError."""
    plain = text.rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("not base64url") from None


def _wrong(why: str) -> InvalidInput:
    return InvalidInput(f"this is no subscription: {why}", hint="send what PushSubscription.toJSON() gives")
