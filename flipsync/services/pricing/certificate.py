"""Signed permission to show one price on one listing for a short time.

The payload is canonical JSON (sorted keys, no spaces, ASCII); its SHA-256 names it and an HMAC-SHA256 (RFC 2104) over
the payload signs it. Nothing but the firewall signs; whoever is about to send a price verifies.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, ClassVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from flipsync.domain.clock import require_utc
from flipsync.domain.errors import FlipSyncError, InvalidInput
from flipsync.domain.money import Money

_MIN_KEY_BYTES = 16
#: Clocks of two machines may differ by this much before "not valid yet" is more than clock skew.
_CLOCK_SKEW = timedelta(seconds=5)


class CertificateRefused(FlipSyncError):
    """A price has no valid certificate: forged, altered, stale, or issued for something else. Nothing may be sent."""

    code: ClassVar[str] = "price-certificate"
    status: ClassVar[int] = 403


def canonical_json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def timestamp(moment: datetime) -> str:
    """UTC to the microsecond, always the same width, so that text order is time order."""
    return require_utc(moment).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Certificate(BaseModel):
    """A signed payload. Only what `Seal.verify` accepted is to be believed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    payload: str
    sha256: str
    signature: str

    @cached_property
    def content(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.payload)
        return content

    @property
    def listing_id(self) -> UUID:
        return UUID(self.content["listing_id"])

    @property
    def price(self) -> Money:
        return Money.model_validate(self.content["price"])

    @property
    def issued_at(self) -> datetime:
        return datetime.fromisoformat(self.content["issued_at"]).astimezone(UTC)

    @property
    def valid_until(self) -> datetime:
        return datetime.fromisoformat(self.content["valid_until"]).astimezone(UTC)


class Seal:
    """Signs with `key`, accepts `key` and, while keys are being changed, `retired` ones. Keys are 16 bytes or more."""

    def __init__(self, key: bytes, retired: Sequence[bytes] = ()) -> None:
        keys = (key, *retired)
        if any(len(each) < _MIN_KEY_BYTES for each in keys):
            raise InvalidInput(
                f"a signing key needs at least {_MIN_KEY_BYTES} bytes", hint="Generate one: secrets.token_bytes(32)."
            )
        self._keys = keys

    def sign(self, content: Mapping[str, Any]) -> Certificate:
        payload = canonical_json(content)
        return Certificate(
            payload=payload,
            sha256=hashlib.sha256(payload.encode()).hexdigest(),
            signature=_signature(self._keys[0], payload),
        )

    def verify(
        self,
        certificate: Certificate | None,
        listing_id: UUID,
        price: Money,
        now: datetime,
        *,
        current: Money | None = None,
    ) -> None:
        """Raise CertificateRefused unless `certificate` permits exactly this price on this listing at `now`.

        With `current`, the price the channel shows now, it is refused too when the check was made against another.
        """
        if certificate is None:
            raise _refused("the price is not signed")
        given = certificate.signature.encode()
        if not any(hmac.compare_digest(_signature(key, certificate.payload).encode(), given) for key in self._keys):
            raise _refused("the signature is not ours, or the certificate was altered")
        if hashlib.sha256(certificate.payload.encode()).hexdigest() != certificate.sha256:
            raise _refused("the hash does not belong to the payload")
        if certificate.listing_id != listing_id:
            raise _refused(f"it was issued for listing {certificate.listing_id}")
        if certificate.price != price:
            raise _refused(f"it permits {certificate.price}, not {price}")
        now = require_utc(now)
        if now >= certificate.valid_until:
            raise _refused(f"it was valid until {timestamp(certificate.valid_until)}")
        if now < certificate.issued_at - _CLOCK_SKEW:
            raise _refused(f"it is valid only from {timestamp(certificate.issued_at)}")
        checked_against = certificate.content["inputs"]["current"]
        if current is not None and checked_against != current.model_dump():
            raise _refused("the price on the channel has changed since it was issued")


def _refused(why: str) -> CertificateRefused:
    return CertificateRefused(f"price certificate refused: {why}", hint="Put the price through the firewall again.")


def _signature(key: bytes, payload: str) -> str:
    return hmac.new(key, payload.encode(), hashlib.sha256).hexdigest()
