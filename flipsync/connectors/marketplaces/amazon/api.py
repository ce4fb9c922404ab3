"""Calls to the Selling Partner API by the operation's name, each in its own bucket of the usage plan."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
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
#: What is said of an address that is over, or does not hold what it should.
ADDRESS_OVER = (400, 401, 403, 404, 410)
_GZIP = b"\x1f\x8b"
_CHARSET = re.compile(r"charset=\"?([\w.:-]+)", re.I)
_CREDENTIALS = ("client_id", "client_secret", "refresh_token")


@dataclass(frozen=True, slots=True)
class Fetched:
    """A document, and the letters it says it is written in; "" where it does not say. `opened`: its packing was told as
    that of the answer, so that it came unpacked."""

    content: bytes
    charset: str
    opened: bool = False

    @property
    def packed(self) -> bool:
        """Whether a document that is packed still is."""
        return not self.opened or self.content[:2] == _GZIP


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
        Raises Rejected, Retryable, OutcomeUnknown, also for what a 200 says in its `errors`.

        `restricted`: the answer has what only a Restricted Data Token of this one resource shows.
        """
        operation = OPERATIONS[name]
        where = operation.path.format_map({key: _segment(value) for key, value in (path or {}).items()})
        reads = reads or operation.reads or operation.method == "GET"

        def told(data: Any) -> T:
            failed = mapping.failure_inside(data, writes=not reads)
            if failed is not None:
                raise failed
            return decode(data)

        async def ask(token: SecretStr | None) -> T:
            http = self._application if grantless else self._seller
            answer = await http.request(
                operation.method,
                self._base + where,
                decode=told,
                params=params,
                body=body,
                headers=tokens.token_header(token) if token else None,
                signed=token is None,
                limit=operation.limit,
                reads=reads,
            )
            return answer.value

        try:
            if not restricted:
                return await ask(None)
            try:
                return await ask(await self._restricted_token(operation.method, where))
            except Rejected as refused:
                if not mapping.is_stale(refused):
                    raise
                # The one resource's token was refused, not the account's: it was not carried out.
                return await ask(await self._restricted_token(operation.method, where))
        except Retryable as refused:
            if refused.after is None and mapping.is_throttled(refused):
                # Amazon tells no time; the bucket gets its next token after one interval.
                refused.after = 1 / operation.rate
                await self._limiter.pause(f"{self._account_key}:{name}", refused.after)
            raise

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

    async def fetch(self, url: str) -> Fetched:
        """A document at an address that carries its own permission. Raises Rejected, Retryable."""
        answer = await self._at_address(self._login.request("GET", url, decode=bytes, signed=False, raw=True))
        charset = _CHARSET.search(answer.headers.get("Content-Type", ""))
        opened = bool(answer.headers.get("Content-Encoding"))
        return Fetched(answer.value, charset[1] if charset else "", opened)

    async def upload(self, url: str, content: bytes, media_type: str) -> None:
        """Put a document at such an address. Nothing reads it yet, so it may be repeated."""
        await self._at_address(
            self._login.request(
                "PUT", url, decode=lambda _: None, body=Raw(content, media_type), signed=False, raw=True, reads=True
            )
        )

    @staticmethod
    async def _at_address(asking: Awaitable[T]) -> T:
        """Addresses last for minutes, and what refuses one that is over is not the account's door."""
        try:
            return await asking
        except Rejected as refused:
            message = f"the document's address: {refused.message}"
            if refused.vendor_status in ADDRESS_OVER:
                raise Retryable(message, vendor_status=refused.vendor_status) from refused
            raise Rejected(message, hint=refused.hint, vendor_status=refused.vendor_status) from refused


def done(data: Any) -> None:
    """The answer to a write that has nothing to tell: empty, or an object. Raises ValueError for anything else."""
    if data is not None and not isinstance(data, dict):
        raise ValueError("an empty answer was expected")


def _option(config: AccountConfig, name: str) -> str:
    value = config.options.get(name, "").strip()
    if not value:
        raise InvalidInput(f"the option {name!r} is missing", hint="Seller Central → Account info has it")
    return value


def _segment(text: str) -> str:
    """One path segment. Raises Rejected for texts that a URL cannot carry as one: nothing has such a name."""
    if text in ("", ".", ".."):
        raise Rejected(f"{text!r} cannot be part of an address", vendor_code="request", missing=True)
    return quote(text, safe="")
