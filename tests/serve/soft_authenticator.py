"""An authenticator in software (WebAuthn, level 2): makes ES256 keys, counts, signs, and lies where a test says so."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

_PRESENT, _VERIFIED, _NEW_KEY = 0x01, 0x04, 0x40
AAGUID = bytes(16)


def b64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class SoftAuthenticator:
    """One authenticator with one credential. `counter` None: it does not count, as passkeys in password managers."""

    origin: str = "https://app.example.com"
    rp_id: str | None = None
    counter: int | None = 0
    verified: bool = True
    present: bool = True
    cross_origin: bool = False
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    credential_id: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    user_handle: bytes = b""

    def create(self, options: dict[str, Any]) -> dict[str, Any]:
        """What `navigator.credentials.create` answers, as JSON."""
        self.user_handle = unb64(options["user"]["id"])
        numbers = self.key.public_key().public_numbers()
        cose = cbor2.dumps({1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")})
        data = self._data(options["rp"]["id"], _NEW_KEY)
        data += AAGUID + len(self.credential_id).to_bytes(2, "big") + self.credential_id + cose
        made = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        client = self._client("webauthn.create", options["challenge"])
        response = {"clientDataJSON": b64(client), "attestationObject": b64(made), "transports": ["internal"]}
        return self._named(response)

    def get(self, options: dict[str, Any]) -> dict[str, Any]:
        """What `navigator.credentials.get` answers, as JSON."""
        if self.counter is not None:
            self.counter += 1
        data = self._data(options["rpId"])
        client = self._client("webauthn.get", options["challenge"])
        signature = self.key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(SHA256()))
        response = {"clientDataJSON": b64(client), "authenticatorData": b64(data), "signature": b64(signature)}
        return self._named(response | {"userHandle": b64(self.user_handle)})

    def _data(self, rp_id: str, flags: int = 0) -> bytes:
        flags |= (_PRESENT if self.present else 0) | (_VERIFIED if self.verified else 0)
        domain = hashlib.sha256((self.rp_id or rp_id).encode()).digest()
        return domain + bytes([flags]) + (self.counter or 0).to_bytes(4, "big")

    def _client(self, kind: str, challenge: str) -> bytes:
        told = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": self.cross_origin}
        return json.dumps(told).encode()

    def _named(self, response: dict[str, Any]) -> dict[str, Any]:
        name = b64(self.credential_id)
        more = {"authenticatorAttachment": "platform", "clientExtensionResults": {}}
        return {"id": name, "rawId": name, "type": "public-key", "response": response, **more}
