"""Calls to the Selling Partner API by the operation's name, each in its own bucket of the usage plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, get_args
from urllib.parse import quote

import httpx2
from pydantic import SecretStr

from flipsync.connectors.base import AccountConfig, Limiter
from flipsync.connectors.http import HttpCore
from flipsync.connectors.marketplaces.amazon import mapping, tokens, wire
from flipsync.connectors.marketplaces.amazon.operations import OPERATIONS
from flipsync.connectors.marketplaces.amazon.places import MARKETPLACES, TOKEN_URL, Region
from flipsync.connectors.oauth import AccessTokens
from flipsync.connectors.request import Params, Raw
from flipsync.connectors.vault import Vault
from flipsync.domain.errors import InvalidInput, Rejected, Retryable

T = TypeVar("T")
_CREDENTIALS = ("client_id", "client_secret", "refresh_token")


class SellerApi:
    """One seller's access. `marketplace_id` and `seller_id` are of the account's options."""

    def __init__(
        self,
        config: AccountConfig,
        credentials: Mapping[str, SecretStr],
        limiter: Limiter,
        account_key: str,
        vault: Vault,
        transport: httpx2.AsyncBaseTransport | None,
    ) -> None:
        """Raises InvalidInput when a credential or an option is missing."""
        for name in _CREDENTIALS:
            if name not in credentials:
                raise InvalidInput(f"the credential {name!r} is missing")
        self.config = config
        self.marketplace_id = _option(config, "marketplace_id")
        self.seller_id = _option(config, "seller_id")
        place = MARKETPLACES.get(self.marketplace_id)
        region = config.options.get("region", place.region if place else "na")
        if region not in get_args(Region):
            raise InvalidInput(f"the option 'region' is {region!r}", hint="one of " + ", ".join(get_args(Region)))
        self.language = place.language if place else "en_US"
        self._base = str(config.base_url).rstrip("/")
        self._limiter, self._account_key = limiter, account_key
        url = str(config.token_url or TOKEN_URL)

        def core(**more: Any) -> HttpCore:
            return HttpCore(config, limiter, account_key, transport=transport, **more)

        self._login = core(read_error=tokens.read_error)
        shared = {"bearer": tokens.token_header, "read_error": mapping.read_error, "read_limits": mapping.read_limits}
        own = AccessTokens(vault, credentials, tokens.asker(self._login, url))
        grantless = AccessTokens(
            vault, credentials, tokens.asker(self._login, url, tokens.NOTIFICATIONS_SCOPE), name="grantless"
        )
        self._seller = core(tokens=own, **shared)
        self._application = core(tokens=grantless, **shared)

    async def aclose(self) -> None:
        for http in (self._login, self._seller, self._application):
            await http.aclose()

    async def call(
        self,
        name: str,
        decode: Callable[[Any], T],
        *,
        path: Mapping[str, str] | None = None,
        params: Params = (),
        body: Any = None,
        grantless: bool = False,
        restricted: bool = False,
        reads: bool = False,
    ) -> T:
        """Carry out an operation. `reads`: this use of it changes nothing; `grantless`: for the application itself.

        `restricted`: the answer has what only a Restricted Data Token of this one resource shows.
        """
        operation = OPERATIONS[name]
        where = operation.path.format_map({key: _segment(value) for key, value in (path or {}).items()})
        url = self._base + where
        http = self._application if grantless else self._seller
        token = await self._restricted_token(operation.method, where) if restricted else None
        try:
            answer = await http.request(
                operation.method,
                url,
                decode=decode,
                params=params,
                body=body,
                headers=tokens.token_header(token) if token else None,
                signed=token is None,
                limit=operation.limit,
                reads=reads or operation.reads,
            )
        except Retryable as refused:
            if refused.vendor_status == 429 and refused.after is None:
                # Amazon tells no time; the bucket gets its next token after one interval.
                refused.after = 1 / operation.rate
                await self._limiter.pause(f"{self._account_key}:{name}", refused.after)
            raise
        return answer.value

    async def _restricted_token(self, method: str, path: str) -> SecretStr:
        """https://developer-docs.amazon.com/sp-api/docs/tokens-api: good for an hour, asked for anew each time."""
        body = {"restrictedResources": [{"method": method, "path": path}]}
        answer = await self.call("createRestrictedDataToken", wire.RestrictedDataToken.model_validate, body=body)
        return answer.restricted_data_token

    async def known(self, name: str, decode: Callable[[Any], T], **more: Any) -> T | None:
        """`call`, or None where Amazon says there is no such thing."""
        try:
            return await self.call(name, decode, **more)
        except Rejected as refused:
            if refused.missing:
                return None
            raise

    async def item(self, name: str, sku: str, decode: Callable[[Any], T], params: Params = (), **more: Any) -> T:
        """An operation on one listing in the account's marketplace."""
        path = {"sellerId": self.seller_id, "sku": sku}
        return await self.call(name, decode, path=path, params=[*self.here, *params], **more)

    @property
    def here(self) -> list[tuple[str, str]]:
        return [("marketplaceIds", self.marketplace_id)]

    async def fetch(self, url: str) -> bytes:
        """A document at an address that carries its own permission."""
        answer = await self._login.request("GET", url, decode=bytes, signed=False, raw=True)
        return answer.value

    async def upload(self, url: str, content: bytes, media_type: str) -> None:
        """Put a document at such an address. Nothing reads it yet, so it may be repeated."""
        await self._login.request(
            "PUT", url, decode=lambda _: None, body=Raw(content, media_type), signed=False, raw=True, reads=True
        )


def _option(config: AccountConfig, name: str) -> str:
    value = config.options.get(name, "").strip()
    if not value:
        raise InvalidInput(f"the option {name!r} is missing", hint="Seller Central → Account info has it")
    return value


def _segment(text: str) -> str:
    """One path segment. Raises Rejected for texts that a URL cannot carry as one."""
    if text in ("", ".", ".."):
        raise Rejected(f"{text!r} cannot be part of an address", vendor_code="request")
    return quote(text, safe="")
