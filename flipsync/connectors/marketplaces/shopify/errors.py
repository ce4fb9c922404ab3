"""What Shopify's answers say went wrong, as exactly one of the three failures. Pure.

An answer of HTTP 200 may still be a failure: `errors` (the document was refused, throttled or broke off) or the
mutation's own `userErrors` (the input was refused).

THROTTLED                            nothing happened: Retryable(after the missing cost is restored)
document refused (no `data`)         Rejected
ACCESS_DENIED, SHOP_INACTIVE         Rejected(auth)
anything else                        read: Retryable, write: OutcomeUnknown
userErrors                           Rejected, naming the field; "try again" kinds as they say
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flipsync.connectors.marketplaces.shopify import wire
from flipsync.connectors.request import VendorError
from flipsync.domain.errors import ChannelError, OutcomeUnknown, Rejected, Retryable

_AUTH = frozenset({"ACCESS_DENIED", "SHOP_INACTIVE"})
#: Refused before anything was done, wherever in the answer it is said.
_REFUSALS = ("ACCESS_DENIED", "SHOP_INACTIVE", "MAX_COST_EXCEEDED", "MAX_INPUT_SIZE_EXCEEDED", "BAD_REQUEST")
_HINTS = {
    "ACCESS_DENIED": "give the app the access scope it names, and install it again",
    "SHOP_INACTIVE": "the shop is closed or frozen: its owner has to open it again",
    "MAX_COST_EXCEEDED": "the document asks for more than Shopify answers at once",
}
_STATUS_HINTS = {
    401: "the access token was refused: install the app again, or make a new token",
    402: "the shop is frozen: its owner has to pay Shopify",
    403: "the app may not do this: give it the access scope, and install it again",
    404: "there is no such shop or API version at this address: check base_url",
    423: "the shop is locked: its owner has to talk to Shopify",
}
_MISSING = frozenset(
    {"PRODUCT_DOES_NOT_EXIST", "PRODUCT_VARIANT_DOES_NOT_EXIST", "NOT_FOUND", "INVALID_INVENTORY_ITEM"}
)
_STALE = frozenset({"CHANGE_FROM_QUANTITY_STALE", "COMPARE_QUANTITY_STALE"})
#: It may be under way, or have been done in part.
_UNKNOWN = frozenset({"IDEMPOTENCY_CONCURRENT_REQUEST", "GENERIC_ERROR", "JOB_ERROR"})
#: The document was understood, and something went wrong after that.
_BROKEN = _UNKNOWN | {"INTERNAL_SERVER_ERROR", "TIMEOUT"}


def read_error(status: int, body: Any) -> VendorError:
    """The body of an HTTP error: GraphQL's `errors`, a text, or the token endpoint's (RFC 6749, 5.2)."""
    code = message = ""
    if isinstance(body, dict):
        if isinstance(body.get("error"), str):
            code, message = body["error"], str(body.get("error_description") or body["error"])
        elif isinstance(body.get("errors"), list):
            message = "; ".join(str(row.get("message", "")) for row in body["errors"] if isinstance(row, dict))
        elif body.get("errors"):
            message = str(body["errors"])
    refused_grant = code in ("invalid_grant", "invalid_client", "unauthorized_client", "invalid_request")
    auth = status in (401, 402, 403) or (status == 400 and refused_grant)
    hint = "connect the shop again" if code == "invalid_grant" else _STATUS_HINTS.get(status, "")
    return VendorError(code=code, message=message, hint=hint, auth=auth)


def wait_seconds(cost: wire.Cost | None) -> float | None:
    """Until the bucket holds what the document asks for; None when the answer does not say."""
    if cost is None or cost.throttle_status is None:
        return None
    status = cost.throttle_status
    asked = cost.requested_query_cost or 0.0
    return max(0.0, min(asked, status.maximum_available) - status.currently_available) / status.restore_rate


def failure(envelope: wire.Envelope, root: str, *, writes: bool, partial: bool) -> ChannelError | None:
    """Why the answer cannot be used; None when it can. `partial` takes an answer whose only gaps are forbidden."""
    errors = envelope.errors
    done = envelope.data is not None and envelope.data.get(root) is not None
    if not errors:
        if envelope.data is None or root not in envelope.data:
            return unusable("the answer holds no data", writes)
        return None
    codes = {error.extensions.code for error in errors}
    message = "; ".join(dict.fromkeys(error.message for error in errors if error.message)) or "an error without words"
    code = next((error.extensions.code for error in errors if error.extensions.code), "")
    if done and writes:
        return unusable(f"it was answered in part: {message}", writes, code)
    if done and partial and codes == {"ACCESS_DENIED"}:
        return None
    if "THROTTLED" in codes:
        return Retryable(message, after=wait_seconds(envelope.extensions.cost), vendor_code="THROTTLED")
    for known in _REFUSALS:
        if known in codes:
            return Rejected(message, hint=_hint(known, errors), vendor_code=known, auth=known in _AUTH)
    if not envelope.answered and not codes & _BROKEN:
        return Rejected(f"the request was not understood: {message}", vendor_code=code)
    return unusable(message, writes, code)


def _hint(code: str, errors: Sequence[wire.GraphError]) -> str:
    access = "; ".join(dict.fromkeys(e.extensions.required_access for e in errors if e.extensions.required_access))
    hint = _HINTS.get(code, "")
    return f"{hint}: {access}" if access else hint


def unusable(message: str, writes: bool, code: str = "") -> ChannelError:
    if writes:
        return OutcomeUnknown(message, hint="read back before trying again", vendor_code=code)
    return Retryable(message, vendor_code=code)


def _is_missing(error: wire.UserError) -> bool:
    """By its words alone; a place to sell at is no listing."""
    words = error.message.lower()
    gone = "does not exist" in words or "not found" in words
    return not error.code and gone and not any(place in words for place in ("publication", "location"))


def refusal(errors: Sequence[wire.UserError]) -> ChannelError | None:
    """What a mutation's userErrors mean; None when there are none."""
    if not errors:
        return None
    codes = {error.code for error in errors}
    first = errors[0]
    message = "; ".join(f"{error.where}: {error.message}" if error.where else error.message for error in errors)
    if codes & _UNKNOWN:
        return OutcomeUnknown(message, hint="read back before trying again", vendor_code=first.code)
    if "IDEMPOTENCY_PREVIOUS_ATTEMPT_FAILED" in codes:
        return Retryable(message, vendor_code=first.code)
    if codes & _STALE:
        return Rejected(message, hint="the stock has moved: read it again", vendor_code="version")
    # Mutations that give no codes have only their words.
    missing = bool(codes & _MISSING) or any(_is_missing(error) for error in errors)
    return Rejected(message, vendor_code=first.code or "user_error", missing=missing)
