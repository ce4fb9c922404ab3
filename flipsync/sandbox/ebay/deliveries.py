"""Notifications as they are sent: their text, the signature that eBay puts to them, and the key that proves it."""

from __future__ import annotations

import base64
import secrets
import uuid

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from flipsync.sandbox.books import Change
from flipsync.sandbox.clock import rfc3339
from flipsync.sandbox.ebay.problems import encode, refuse
from flipsync.sandbox.ebay.shop import Shop
from flipsync.sandbox.exchange import Answer, Call
from flipsync.sandbox.records import order_external_id
from flipsync.sandbox.webhooks import Pending, Subscription

_DOMAIN = "API_NOTIFICATION"
_NAMESPACE = uuid.UUID("6a1d0a9e-4a52-4f0e-9a44-3b3f1f0f7c11")


def new_key() -> str:
    """A key pair for signing, with its id."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return f"{uuid.UUID(bytes=secrets.token_bytes(16), version=4)}\n{pem.decode()}"


def topic_of(change: Change) -> str:
    """Sellers hear of orders when they are placed, and of nothing else: changes are polled."""
    return "ORDER_CONFIRMATION" if (change.resource, change.event) == ("order", "created") else ""


class Deliveries:
    """What subscribers are sent, and how it is signed."""

    def __init__(self, shop: Shop, key: str) -> None:
        self.shop = shop
        self.books = shop.books
        self.key_id, _, pem = key.partition("\n")
        private = serialization.load_pem_private_key(pem.encode(), None)
        assert isinstance(private, ec.EllipticCurvePrivateKey)
        self.private = private

    def render(self, topic: str, resource_id: str) -> bytes:
        order = self.books.order(int(resource_id))
        moment = rfc3339(self.books.clock.now_ms())
        order_id = order_external_id("ebay", int(resource_id))
        lines = (
            [] if order is None else [{"lineItemId": str(line.id), "quantity": line.quantity} for line in order.lines]
        )
        first, second = (uuid.uuid5(_NAMESPACE, f"{part}{topic}{resource_id}") for part in "ab")
        return encode(
            {
                "metadata": {"topic": topic, "schemaVersion": "1.0", "deprecated": False},
                "notification": {
                    "notificationId": f"{first}_{second}",
                    "eventDate": moment,
                    "publishDate": moment,
                    "publishAttemptCount": 1,
                    "data": {
                        "user": {"userId": "u8sAnDbOxQ", "username": self.shop.seller},
                        "order": {"orderId": order_id, "orderLineItems": lines},
                    },
                },
            }
        )

    def sign(self, hook: Subscription, pending: Pending, body: bytes) -> dict[str, str]:
        return {"X-EBAY-SIGNATURE": self.signature(body)}

    def signature(self, body: bytes) -> str:
        made = self.private.sign(body, ec.ECDSA(hashes.SHA1()))  # noqa: S303 - as eBay's own test vectors
        told = {"alg": "ecdsa", "kid": self.key_id, "signature": base64.b64encode(made).decode(), "digest": "SHA1"}
        return base64.b64encode(encode(told)).decode()

    def public_key(self, call: Call, key_id: str) -> Answer:
        if key_id != self.key_id:
            raise refuse(404, 195001, "The specified key id is invalid.", _DOMAIN)
        pem = self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        # eBay writes it on one line
        return Answer(200, encode({"algorithm": "ECDSA", "digest": "SHA1", "key": pem.decode().replace("\n", "")}))
