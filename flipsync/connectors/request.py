"""What requests and answers are made of: bodies, limits, errors, and the ports a vendor fills in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Generic, Literal, Protocol, TypeVar
from urllib.parse import urlencode

import httpx2
from pydantic import SecretStr

T = TypeVar("T")
Params = Sequence[tuple[str, str]]


#: What an error body says happened, where it says more than the status does: refused for good, not now (and nothing was
#: done), or broken over there (so that nobody knows).
Meaning = Literal["as the status", "refused", "later", "broken"]


@dataclass(frozen=True, slots=True)
class VendorError:
    """What a vendor's error body says. `expired`: the access token, not the account, was refused (whatever status)."""

    code: str = ""
    message: str = ""
    hint: str = ""
    auth: bool = False
    missing: bool = False
    expired: bool = False
    meaning: Meaning = "as the status"


@dataclass(frozen=True, slots=True)
class Form:
    """A body sent as application/x-www-form-urlencoded."""

    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Raw:
    """A body sent as it is."""

    content: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class Limit:
    """A token bucket of the vendor's: its documented pace, and what one call takes from it."""

    bucket: str
    rate_per_second: float
    burst: int
    cost: float = 1.0


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """A usable answer: status, headers, and the body as `decode` made it."""

    status: int
    headers: httpx2.Headers
    value: T


class Signer(Protocol):
    """Adds credentials to a request: returns headers and query parameters to send besides those of the call."""

    def __call__(self, method: str, url: str, params: Params) -> tuple[Mapping[str, str], Params]: ...


class ErrorReader(Protocol):
    """Reads a vendor's error body (decoded JSON, or None) of a refusal."""

    def __call__(self, status: int, body: Any) -> VendorError: ...


class LimitReader(Protocol):
    """Reads from an answer's headers what the vendor says of a bucket: (rate per second, burst, left), each or None."""

    def __call__(self, headers: httpx2.Headers) -> tuple[float | None, int | None, float | None]: ...


def unsigned(method: str, url: str, params: Params) -> tuple[Mapping[str, str], Params]:
    """A signer that adds nothing."""
    return {}, ()


def bearer_header(token: SecretStr) -> Mapping[str, str]:
    """RFC 6750, 2.1."""
    return {"Authorization": f"Bearer {token.get_secret_value()}"}


def encode(body: Any) -> tuple[bytes | None, str]:
    """The bytes of a request's body and their media type; JSON unless it is a Form or Raw."""
    if body is None:
        return None, ""
    if isinstance(body, Form):
        return urlencode(body.fields).encode(), "application/x-www-form-urlencoded"
    if isinstance(body, Raw):
        return body.content, body.media_type
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(), "application/json"


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds a Retry-After header asks for (RFC 9110, 10.2.3: seconds or an HTTP date); None when it says nothing."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())
