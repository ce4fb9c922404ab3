"""What eBay's refusals mean. Pure.

Every API answers `{"errors": [{errorId, category, message, …}]}`; the token endpoint `{"error", "error_description"}`.
The category says whose fault it was: REQUEST and BUSINESS ours, APPLICATION and SYSTEM eBay's, whatever the status.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from flipsync.connectors.marketplaces.ebay import wire
from flipsync.connectors.request import Meaning, VendorError
from flipsync.domain.errors import ChannelError, OutcomeUnknown, Rejected, Retryable

_OURS = frozenset({"REQUEST", "BUSINESS"})
_EBAYS_FAULT = frozenset({"APPLICATION", "SYSTEM"})
#: errorIds: the access token is invalid, or was not seen
_TOKEN = frozenset({1001, 1002})
#: of the gateway's: the address itself leads nowhere, which says nothing of what eBay has
NO_SUCH_PATH = "2002"
#: no such SKU, resource, offer, group or order, and SKUs that can be nobody's
_MISSING = frozenset({25702, 25705, 25707, 25708, 25710, 25713, 32100})
#: not now, and nothing was done, whatever the status: too many calls; somebody else writes the same inventory item or
#: group; a refund or the buyer's payment is under way; a campaign is being changed; too many reports at once or a day
TOO_MANY = 2001
_LATER = frozenset({TOO_MANY, 25025, 34922, 34929, 35061, 160024, 160025})
_CONNECT_AGAIN = "connect the eBay account again: the seller's consent has ended or was withdrawn"
_TOKEN_HINTS = {
    "invalid_client": "check client_id and client_secret: the keyset and the environment must match",
    "invalid_grant": _CONNECT_AGAIN,
    "invalid_scope": "the seller did not consent to these scopes: connect the account again, or leave scopes out",
    "unauthorized_client": "the keyset may not use this grant: check it in eBay's developer portal",
}


def read_error(status: int, body: Any) -> VendorError:
    """What an API's error body says."""
    errors = _errors(body)
    if not errors:
        return VendorError()
    first = errors[0]
    permissions = any(error.error_id == 1100 for error in errors)
    return VendorError(
        code=str(first.error_id),
        message=" ".join(_words(error) for error in errors),
        hint="the account's consent lacks a scope: connect it again with all of them" if permissions else "",
        auth=permissions,
        missing=any(error.error_id in _MISSING for error in errors),
        expired=any(error.error_id in _TOKEN for error in errors),
        meaning=_meaning(status, errors),
    )


class RefusedInsideError(Exception):
    """An answer below 300 that holds errors: no document promises one, and what else it says counts for nothing."""

    def __init__(self, body: Any) -> None:
        super().__init__("errors in an answer that went well")
        self.said = read_error(200, body)

    def failure(self, *, writes: bool) -> ChannelError:
        said, text = self.said, f"HTTP 200 with errors in it: {self.said.message}"
        if said.meaning == "later":
            return Retryable(text, vendor_code=said.code, vendor_status=200)
        if said.meaning == "refused" or said.auth or said.expired:
            return Rejected(
                text,
                hint=said.hint,
                vendor_code=said.code,
                vendor_status=200,
                auth=said.auth or said.expired,
                missing=said.missing,
            )
        if writes:
            return OutcomeUnknown(text, hint="read back before trying again", vendor_code=said.code, vendor_status=200)
        return Retryable(text, vendor_code=said.code, vendor_status=200)


def refused_inside(body: Any) -> bool:
    """Bulk calls have theirs in the rows."""
    return isinstance(body, dict) and bool(body.get("errors")) and "responses" not in body


def token_error(status: int, body: Any) -> VendorError:
    """What the token endpoint's error says (RFC 6749, 5.2)."""
    if not isinstance(body, dict) or not isinstance(body.get("error"), str):
        return read_error(status, body)
    code = body["error"]
    hint = _TOKEN_HINTS.get(code, "")
    return VendorError(code=code, message=str(body.get("error_description", code)), hint=hint, auth=bool(hint))


def of_item(status: int, errors: Sequence[wire.Error]) -> ChannelError | None:
    """The failure of one row of a bulk write; None when it was done."""
    if status < 300 and not errors:
        return None
    text = f"HTTP {status}: " + " ".join(_words(error) for error in errors)
    code = str(errors[0].error_id) if errors else ""
    meaning = _meaning(status, errors)
    if meaning == "later" or status == 429:
        return Retryable(text, vendor_code=code, vendor_status=status)
    if meaning == "broken" or (status >= 500 and meaning != "refused"):
        return OutcomeUnknown(text, hint="read back before trying again", vendor_code=code, vendor_status=status)
    missing = status == 404 or any(error.error_id in _MISSING for error in errors)
    return Rejected(text, vendor_code=code, vendor_status=status, missing=missing)


def _errors(body: Any) -> list[wire.Error]:
    try:
        return list(wire.Errors.model_validate(body).errors) if isinstance(body, dict) else []
    except ValidationError:
        return []


def _meaning(status: int, errors: Sequence[wire.Error]) -> Meaning:
    if any(error.error_id in _LATER for error in errors):
        return "later"
    if not errors or status in (401, 403, 404, 409, 429):
        return "as the status"
    if any(error.category.upper() in _EBAYS_FAULT for error in errors):
        return "broken"
    # an error without a category says nothing of whose fault it was
    return "refused" if all(error.category.upper() in _OURS for error in errors) else "as the status"


def _words(error: wire.Error) -> str:
    """The error's text, and the values it names where the text does not."""
    text = error.long_message or error.message
    named = [f"{each.name}={each.value}" for each in error.parameters if each.value and each.value not in text]
    return f"{text} ({', '.join(named)})" if named else text
