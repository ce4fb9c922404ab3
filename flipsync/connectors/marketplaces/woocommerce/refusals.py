"""What a WooCommerce shop's refusals mean. Pure."""

from __future__ import annotations

from typing import Any

from flipsync.connectors.marketplaces.woocommerce import wire
from flipsync.connectors.request import Meaning, VendorError
from flipsync.domain.errors import ChannelError, OutcomeUnknown, Rejected, Retryable

#: said of a refund before the payment provider is asked
_NOTHING_GIVEN = ("Invalid refund amount", "Invalid order", "payment gateway for this order does not")


def read_error(status: int, body: Any) -> VendorError:
    """WordPress's error body. A missing id is 400 on PUT; a key that may only read is 401, not 403."""
    try:
        found = wire.Error.model_validate(body)
    except ValueError:
        return VendorError()
    meaning: Meaning = "as the status"
    if status == 500 and type(found.data) is int and 400 <= found.data < 500:
        # WooCommerce meant that status, and WordPress, which looks for it in an object, made it a 500
        status, meaning = found.data, "refused"
    auth = status in (401, 403) or found.code == "woocommerce_rest_authentication_error"
    missing = status == 404 or (status == 400 and found.code.endswith(("_invalid_id", "_invalid_parent")))
    if auth and "nonce" in found.message.lower():
        # each of ours is new: something on the way has sent the request twice, and this answers the second
        return VendorError(code=found.code, message=found.message, meaning="broken")
    hint = ""
    if auth and "permission" in found.message:
        hint = "the key may not do this: give it read/write permission, of a user who manages the shop"
    elif auth and "signature" in found.message:
        hint = "the secret is wrong, or base_url is not the address in the shop's own settings (General, Site address)"
    elif auth and "timestamp" in found.message:
        hint = "this machine's clock and the store's differ by more than 15 minutes"
    elif auth:
        hint = "the key or its secret was refused: make a new one in WooCommerce, Settings, Advanced, REST API"
    elif "image" in found.code:
        hint = "the shop fetches images itself, and could not have this one: check its address"
    return VendorError(code=found.code, message=found.message, hint=hint, auth=auth, missing=missing, meaning=meaning)


def row_error(body: Any, unsaid: int = 400) -> ChannelError:
    """A row of a batch that failed alone; its status is in its data, since the answer's own is 200 (else `unsaid`)."""
    data = body.get("data") if isinstance(body, dict) else None
    status = data.get("status") if isinstance(data, dict) else data
    status = status if type(status) is int else unsaid
    found = read_error(status, body)
    words: dict[str, Any] = {"hint": found.hint, "vendor_code": found.code, "vendor_status": status}
    if status == 429:
        return Retryable(found.message, vendor_code=found.code, vendor_status=status)
    if status >= 500 or found.meaning == "broken":
        return OutcomeUnknown(found.message, **words)
    return Rejected(found.message, auth=found.auth, missing=found.missing, **words)


def error_inside(data: Any, *, writes: bool) -> ChannelError | None:
    """The error that an answer with a good status is: PHP cannot change its status once a warning was printed, and
    some caches and plug-ins answer everything with 200."""
    if not isinstance(data, dict) or "id" in data or "data" not in data:
        return None
    if not (isinstance(data.get("code"), str) and isinstance(data.get("message"), str)):
        return None
    error = row_error(data, unsaid=500)
    if isinstance(error, OutcomeUnknown) and not writes:
        return Retryable(error.message, vendor_code=error.vendor_code, vendor_status=error.vendor_status)
    return error


def refund_refused(unknown: OutcomeUnknown) -> Rejected | OutcomeUnknown:
    """What is known after a refund failed with a 500.

    WooCommerce takes its own record of a refund away again when the payment provider fails, also one that has paid and
    answered too late: then nothing in the shop would tell, and asking again could pay twice.
    """
    if unknown.vendor_code != "woocommerce_rest_cannot_create_order_refund":
        return unknown
    words: dict[str, Any] = {"vendor_code": unknown.vendor_code, "vendor_status": unknown.vendor_status}
    if any(text in unknown.message for text in _NOTHING_GIVEN):
        hint = "more than is left of the order, or its payment provider gives nothing back by itself: do it in the shop"
        return Rejected(unknown.message, hint=hint, **words)
    hint = "look at the payment provider's own page whether the money went out, then settle it"
    return OutcomeUnknown(unknown.message, for_person=True, hint=hint, **words)
