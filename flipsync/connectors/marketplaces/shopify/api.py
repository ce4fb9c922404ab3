"""Documents sent to one shop, decoded: access tokens, cost limits, and failures that come with HTTP 200."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, TypeVar

import httpx2
from pydantic import SecretStr

from flipsync.connectors.base import AccountConfig, Limiter
from flipsync.connectors.http import HttpCore
from flipsync.connectors.marketplaces.shopify import errors, wire
from flipsync.connectors.marketplaces.shopify.documents import API_VERSION, Document
from flipsync.connectors.oauth import AccessTokens, Grant
from flipsync.connectors.request import Form, Limit
from flipsync.connectors.unread import reason_of
from flipsync.connectors.vault import Vault
from flipsync.domain.errors import InvalidInput, Rejected, Retryable, Unreadable

T = TypeVar("T")
PayloadT = TypeVar("PayloadT", bound=wire.Payload)

_PATH = f"/admin/api/{API_VERSION}/graphql.json"
_TOKEN_PATH = "/admin/oauth/access_token"  # noqa: S105 - a path
#: Points a second and in the bucket of the standard plan; every answer tells the shop's own.
RESTORE_RATE, BUCKET_SIZE = 100.0, 2000
_BUCKET = "graphql"


class AdminApi:
    """Credentials: a static `access_token`; or `client_id` and `client_secret`, with a `refresh_token` that rotates
    (expiring offline token) or without (client credentials, for apps of the shop's own organisation)."""

    def __init__(
        self,
        config: AccountConfig,
        credentials: Mapping[str, SecretStr],
        limiter: Limiter,
        account_key: str,
        vault: Vault,
        transport: httpx2.AsyncBaseTransport | None,
    ) -> None:
        renewable = "client_id" in credentials and "client_secret" in credentials
        if "access_token" not in credentials and not renewable:
            raise InvalidInput(
                "credentials are missing: give an access_token, or client_id and client_secret",
                hint="client id and secret: Dev Dashboard, the app, Settings",
            )
        root = str(config.base_url).rstrip("/").removesuffix(_PATH).removesuffix("/admin")
        self._url = root + _PATH
        self._token_url = str(config.token_url) if config.token_url is not None else root + _TOKEN_PATH
        self._limiter = limiter
        self._bucket_key = f"{account_key}:{_BUCKET}"
        #: what Shopify asked for a document of so many rows, where that is not what we counted
        self._costs: dict[tuple[str, int], float] = {}
        #: the version that answered, which is another one when Shopify does not serve ours any more
        self.served_version = API_VERSION
        self._http = HttpCore(
            config,
            limiter,
            account_key,
            read_error=errors.read_error,
            tokens=AccessTokens(vault, credentials, self._ask_for_token),
            bearer=_token_header,
            transport=transport,
        )

    async def aclose(self) -> None:
        await self._http.aclose()

    async def _ask_for_token(self, credentials: Mapping[str, SecretStr]) -> Grant:
        if "client_id" not in credentials or "client_secret" not in credentials:
            raise Rejected(
                "the access token was refused",
                hint="make a new access token for the app, and connect the shop again",
                vendor_status=401,
                auth=True,
            )
        fields = {name: credentials[name].get_secret_value() for name in ("client_id", "client_secret")}
        refresh = credentials.get("refresh_token")
        if refresh is not None:
            fields |= {"grant_type": "refresh_token", "refresh_token": refresh.get_secret_value()}
        else:
            fields["grant_type"] = "client_credentials"
        answer = await self._http.request(
            "POST",
            self._token_url,
            decode=wire.TokenGrant.model_validate,
            body=Form(fields),
            signed=False,
            # Asking for another token of the same client takes nothing away; a refresh token is used up.
            reads=refresh is None,
        )
        grant = answer.value
        return Grant(
            SecretStr(grant.access_token),
            grant.expires_in,
            None if grant.refresh_token is None else SecretStr(grant.refresh_token),
            grant.refresh_token_expires_in,
        )

    async def send(self, document: Document, variables: Mapping[str, Any]) -> dict[str, Any]:
        """The answer's `data`, with its root field present. Raises the three failures."""
        kind = (document.name, int(variables.get("first") or len(variables.get("ids") or ())))
        cost = self._costs.get(kind, document.cost)
        try:
            answer = await self._http.request(
                "POST",
                self._url,
                decode=wire.Envelope.model_validate,
                body={"query": document.text, "variables": dict(variables), "operationName": document.name},
                limit=Limit(_BUCKET, RESTORE_RATE, BUCKET_SIZE, cost),
                reads=not document.writes,
            )
        except Rejected as refused:
            refused.missing = False  # the shop or its API is not at this address: that says nothing of what it sells
            raise
        self.served_version = answer.headers.get("X-Shopify-API-Version") or API_VERSION
        envelope = answer.value
        await self._learn(kind, cost, envelope.extensions.cost)
        failed = errors.failure(envelope, document.root, writes=document.writes, partial=document.partial)
        if failed is not None:
            failed.vendor_status = answer.status
            raise failed
        assert envelope.data is not None
        return envelope.data

    async def _learn(self, kind: tuple[str, int], taken: float, cost: wire.Cost | None) -> None:
        """Shopify takes what a document may cost at most, and gives back what it did not cost in the end."""
        if cost is None:
            return
        if cost.requested_query_cost:
            self._costs[kind] = cost.requested_query_cost
        if (status := cost.throttle_status) is not None:
            await self._limiter.learn(
                self._bucket_key,
                rate_per_second=status.restore_rate,
                burst=int(status.maximum_available),
                left=status.currently_available,
                unused=max(0.0, taken - (taken if cost.actual_query_cost is None else cost.actual_query_cost)),
            )

    async def fetch(self, url: str) -> bytes:
        """A file at an address that carries its own permission."""
        answer = await self._http.request("GET", url, decode=bytes, signed=False, raw=True)
        return answer.value

    async def read(self, document: Document, decode: Callable[[Any], T], variables: Mapping[str, Any]) -> T:
        """A query's root field, decoded; null is decoded too."""
        data = await self.send(document, variables)
        try:
            return decode(data[document.root])
        except ValueError as error:
            raise Unreadable(f"the answer cannot be used: {reason_of(error)}") from error

    async def write(self, document: Document, model: type[PayloadT], variables: Mapping[str, Any]) -> PayloadT:
        """A mutation's payload without userErrors. Raises the three failures."""
        payload = await self.payload(document, model, variables)
        refused = errors.refusal(payload.user_errors)
        if refused is not None:
            raise refused
        return payload

    async def payload(self, document: Document, model: type[PayloadT], variables: Mapping[str, Any]) -> PayloadT:
        """A mutation's payload as it is, userErrors included. Raises the three failures."""
        data = await self.send(document, variables)
        try:
            return model.model_validate(data[document.root])
        except ValueError as error:
            raise errors.unusable(f"the answer cannot be used: {reason_of(error)}", writes=True) from error

    async def pages(
        self, document: Document, decode: Callable[[Any], wire.Connection[T]], variables: Mapping[str, Any]
    ) -> AsyncIterator[list[T]]:
        """A connection at the root, page after page. Raises Retryable where there is more and no way to it: what was
        shown until then is not all."""
        after: str | None = None
        seen: set[str | None] = {None}
        while True:
            page = await self.read(document, decode, {**variables, "after": after})
            yield page.nodes
            if (after := next_page(page.page_info, seen)) is None:
                return


def _token_header(token: SecretStr) -> Mapping[str, str]:
    return {"X-Shopify-Access-Token": token.get_secret_value()}


def next_page(info: wire.PageInfo, seen: set[str | None]) -> str | None:
    """Where the next page begins, and noted as seen; None after the last one. Raises Retryable for one seen before."""
    if not info.has_next_page:
        return None
    if info.end_cursor in seen:
        raise Retryable("the list cannot be read to its end: its next page is not told")
    seen.add(info.end_cursor)
    return info.end_cursor
