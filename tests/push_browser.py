"""A browser that lets itself be pushed to, for tests: RFC 8291 and 8292 read anew with `cryptography` alone, so that
what we send is right by the RFC and not by the library it is made with.
"""

from __future__ import annotations

import base64
import json
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

P256 = ec.SECP256R1()


def b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def point(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


def derived(salt: bytes, secret: bytes, info: bytes, length: int) -> bytes:
    return HKDF(hashes.SHA256(), length, salt, info).derive(secret)


@dataclass
class Browser:
    private: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(P256))
    auth: bytes = field(default_factory=lambda: secrets.token_bytes(16))

    def subscription(self, endpoint: str) -> dict[str, Any]:
        """What `PushSubscription.toJSON()` gives."""
        keys = {"p256dh": b64(point(self.private.public_key())), "auth": b64(self.auth)}
        return {"endpoint": endpoint, "expirationTime": None, "keys": keys}

    def decrypt(self, body: bytes) -> bytes:
        """One record of aes128gcm (RFC 8188, 2), its key by RFC 8291, 3.4. Raises InvalidTag."""
        salt, record, length = body[:16], int.from_bytes(body[16:20]), body[20]
        sender, sealed = body[21 : 21 + length], body[21 + length :]
        assert length == 65 and len(sealed) <= record == 4096
        shared = self.private.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(P256, sender))
        info = b"WebPush: info\0" + point(self.private.public_key()) + sender
        secret = derived(self.auth, shared, info, 32)
        key = derived(salt, secret, b"Content-Encoding: aes128gcm\0", 16)
        nonce = derived(salt, secret, b"Content-Encoding: nonce\0", 12)
        opened = AESGCM(key).decrypt(nonce, sealed, None).rstrip(b"\0")
        assert opened[-1:] == b"\x02", "the last record says that it is the last"
        return opened[:-1]

    def read(self, request: tuple[str, dict[str, str], bytes], *, service: str, public_key: str) -> dict[str, Any]:
        """A request that came to the push service `service` (an origin), as the browser gets it."""
        line, headers, body = request
        assert line.startswith("POST ") and headers["content-encoding"] == "aes128gcm"
        assert headers["content-type"] == "application/octet-stream" and len(body) <= 4096
        assert 0 < int(headers["ttl"]) <= 86_400 and headers["urgency"] in ("normal", "high")
        assert 0 < len(headers["topic"]) <= 32 and headers["topic"].isalnum()
        vouched_for(headers["authorization"], service, public_key, now=time.time())
        told: dict[str, Any] = json.loads(self.decrypt(body))
        return told


def vouched_for(authorization: str, service: str, public_key: str, *, now: float) -> None:
    """A push service's look at who sends (RFC 8292, 2 and 3). Raises InvalidSignature, AssertionError."""
    scheme, _, given = authorization.partition(" ")
    values = dict(each.strip().split("=", 1) for each in given.split(","))
    assert (scheme, values["k"]) == ("vapid", public_key)
    signed, _, signature = values["t"].rpartition(".")
    head, claims = (json.loads(unb64(part)) for part in signed.split("."))
    assert head["alg"] == "ES256" and claims["aud"] == service
    assert now < claims["exp"] <= now + 86_400 and claims["sub"].startswith(("mailto:", "https://"))
    raw = unb64(signature)
    assert len(raw) == 64
    der = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    key = ec.EllipticCurvePublicKey.from_encoded_point(P256, unb64(values["k"]))
    key.verify(der, signed.encode(), ec.ECDSA(hashes.SHA256()))
