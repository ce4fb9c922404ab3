"""Login with Amazon: access tokens for a seller's data, and grantless ones for the application's own.

https://developer-docs.amazon.com/sp-api/docs/connect-to-the-selling-partner-api and .../docs/grantless-operations
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

from flipsync.connectors.http import HttpCore
from flipsync.connectors.marketplaces.amazon import wire
from flipsync.connectors.oauth import AskForToken, Grant
from flipsync.connectors.request import Form, Limit, Meaning, VendorError
from flipsync.domain.errors import Rejected, Retryable

#: The scope of the operations that belong to no seller.
NOTIFICATIONS_SCOPE = "sellingpartnerapi::notifications"
_LIMIT = Limit("lwa", 1.0, 5)
#: RFC 6749, 5.2: the account or the application, not this one request, was refused.
_ACCOUNT_REFUSED = frozenset({"invalid_client", "invalid_grant", "unauthorized_client", "invalid_scope"})
#: RFC 6749, 4.1.2.1, which some servers say with 400: nothing is wrong with what was asked.
_LATER = frozenset({"server_error", "temporarily_unavailable", "slow_down"})


def token_header(token: SecretStr) -> Mapping[str, str]:
    """How a request to the Selling Partner API carries its token."""
    return {"x-amz-access-token": token.get_secret_value()}


def read_error(status: int, body: Any) -> VendorError:
    """A refusal of the token endpoint."""
    try:
        error = wire.TokenError.model_validate(body)
    except ValueError:
        return VendorError()
    refused = error.error in _ACCOUNT_REFUSED
    hint = "authorize the application again and store the new refresh token" if refused else ""
    meaning: Meaning = "later" if error.error in _LATER else "as the status"
    return VendorError(error.error, error.error_description or error.error, hint=hint, auth=refused, meaning=meaning)


def _token(data: Any) -> wire.AccessToken:
    """Raises Rejected, Retryable also for a refusal with the status of a success; ValueError for what is no answer."""
    if isinstance(data, dict) and data.get("error") and not data.get("access_token"):
        error = read_error(200, data)
        message = f"HTTP 200 with an error: {error.message}"
        if error.auth:
            raise Rejected(message, hint=error.hint, vendor_code=error.code, vendor_status=200, auth=True)
        raise Retryable(message, vendor_code=error.code, vendor_status=200)
    return wire.AccessToken.model_validate(data)


def asker(http: HttpCore, url: str, scope: str | None = None) -> AskForToken:
    """Asks for the seller's token, or with `scope` for a grantless one. Refresh tokens do not rotate here."""

    async def ask(credentials: Mapping[str, SecretStr]) -> Grant:
        fields = {name: credentials[name].get_secret_value() for name in ("client_id", "client_secret")}
        if scope is None:
            fields |= {
                "grant_type": "refresh_token",
                "refresh_token": credentials["refresh_token"].get_secret_value(),
            }
        else:
            fields |= {"grant_type": "client_credentials", "scope": scope}
        answer = await http.request(
            "POST",
            url,
            decode=_token,
            body=Form(fields),
            signed=False,
            limit=_LIMIT,
            reads=True,
        )
        token = answer.value
        return Grant(token.access_token, token.expires_in)

    return ask
