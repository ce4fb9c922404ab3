"""eBay's token endpoint: an account's own tokens from its refresh token, and the application's.

The refresh token lives 18 months and does not rotate: asking again is harmless. Source: eBay's OAuth guide, "Using a
refresh token to update a user access token" and "Client credentials grant".
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

import httpx2
from pydantic import SecretStr

from flipsync.connectors.base import AccountConfig, Limiter
from flipsync.connectors.http import HttpCore
from flipsync.connectors.marketplaces.ebay import wire
from flipsync.connectors.marketplaces.ebay.errors import token_error
from flipsync.connectors.oauth import Grant
from flipsync.connectors.request import Form

_SCOPE = "https://api.ebay.com/oauth/api_scope"
#: What a seller is asked to consent to when the account is connected.
SCOPES = (
    _SCOPE,
    f"{_SCOPE}/sell.inventory",
    f"{_SCOPE}/sell.account",
    f"{_SCOPE}/sell.fulfillment",
    f"{_SCOPE}/sell.marketing",
    f"{_SCOPE}/sell.analytics.readonly",
    f"{_SCOPE}/sell.finances",
    f"{_SCOPE}/commerce.identity.readonly",
    f"{_SCOPE}/commerce.notification.subscription",
)


class TokenEndpoint:
    """Asks for access tokens. Raises Rejected (auth) when the account must be connected again, and Retryable."""

    def __init__(
        self, config: AccountConfig, limiter: Limiter, account_key: str, transport: httpx2.AsyncBaseTransport | None
    ) -> None:
        self._http = HttpCore(config, limiter, account_key, read_error=token_error, transport=transport)
        base = str(config.base_url).rstrip("/")
        self._url = str(config.token_url) if config.token_url else f"{base}/identity/v1/oauth2/token"
        self._scopes = config.options.get("scopes", "")

    async def aclose(self) -> None:
        await self._http.aclose()

    async def user(self, credentials: Mapping[str, SecretStr]) -> Grant:
        """The seller's token, for all scopes of the consent unless the option `scopes` says which."""
        fields = {"grant_type": "refresh_token", "refresh_token": credentials["refresh_token"].get_secret_value()}
        if self._scopes:
            fields["scope"] = self._scopes
        return await self._ask(credentials, fields)

    async def application(self, credentials: Mapping[str, SecretStr]) -> Grant:
        """The application's token: public data and its own notifications."""
        grant = await self._ask(credentials, {"grant_type": "client_credentials", "scope": _SCOPE})
        # Whatever comes beside it must not take the place of the seller's refresh token.
        return Grant(grant.access_token, grant.expires_in)

    async def _ask(self, credentials: Mapping[str, SecretStr], fields: Mapping[str, str]) -> Grant:
        pair = f"{credentials['client_id'].get_secret_value()}:{credentials['client_secret'].get_secret_value()}"
        headers = {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
        answer = await self._http.request(
            "POST",
            self._url,
            decode=wire.Token.model_validate,
            body=Form(fields),
            headers=headers,
            signed=False,
            reads=True,
        )
        token = answer.value
        return Grant(
            SecretStr(token.access_token),
            token.expires_in,
            SecretStr(token.refresh_token) if token.refresh_token else None,
            token.refresh_token_expires_in,
        )
