"""Calls to eBay's APIs for one account, decoded: with the seller's or the application's token, within each quota."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import quote

import httpx2
from pydantic import SecretStr

from flipsync.connectors.base import AccountConfig, Limiter
from flipsync.connectors.http import HttpCore
from flipsync.connectors.marketplaces.ebay import limits, wire
from flipsync.connectors.marketplaces.ebay.auth import TokenEndpoint
from flipsync.connectors.marketplaces.ebay.errors import (
    NO_SUCH_PATH,
    TOO_MANY,
    RefusedInsideError,
    read_error,
    refused_inside,
)
from flipsync.connectors.marketplaces.ebay.sites import DEFAULT, site
from flipsync.connectors.oauth import AccessTokens
from flipsync.connectors.request import Limit, Params
from flipsync.connectors.vault import Vault
from flipsync.domain.errors import ChannelError, InvalidInput, Rejected, Retryable

T = TypeVar("T")
INVENTORY = "/sell/inventory/v1"
_ASK_AGAIN_SECONDS = 60.0
#: a bucket rests that long after too many calls
_PAUSE, _LONGEST_PAUSE = 2.0, 3600.0
#: Identity and Finances live on another host of eBay's; a server of any other name has them all.
_OTHER_HOST = {"api.ebay.com": "apiz.ebay.com", "api.sandbox.ebay.com": "apiz.sandbox.ebay.com"}


class EbayApi:
    """Paths are below base_url; `decode` raises ValueError for answers it cannot use."""

    def __init__(
        self,
        config: AccountConfig,
        credentials: Mapping[str, SecretStr],
        limiter: Limiter,
        account_key: str,
        vault: Vault,
        transport: httpx2.AsyncBaseTransport | None,
    ) -> None:
        for name in ("client_id", "client_secret", "refresh_token"):
            if name not in credentials:
                raise InvalidInput(f"the credential {name!r} is missing")
        self.site = site(config.options.get("marketplace_id", DEFAULT))
        self._base = str(config.base_url).rstrip("/")
        other = _OTHER_HOST.get(config.base_url.host or "")
        self._other_base = self._base.replace(config.base_url.host or "", other, 1) if other else self._base
        self._limiter, self._account_key = limiter, account_key
        self._tokens = TokenEndpoint(config, limiter, account_key, transport)

        def core(tokens: AccessTokens) -> tuple[HttpCore, AccessTokens]:
            http = HttpCore(config, limiter, account_key, read_error=read_error, tokens=tokens, transport=transport)
            return http, tokens

        self._seller = core(AccessTokens(vault, credentials, self._tokens.user))
        self._application = core(AccessTokens(vault, credentials, self._tokens.application, name="application"))
        self._asked_at = float("-inf")

    async def aclose(self) -> None:
        for each in (self._seller[0], self._application[0], self._tokens):
            await each.aclose()

    async def read(
        self,
        path: str,
        decode: Callable[[Any], T],
        limit: Limit,
        params: Params = (),
        *,
        application: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> T:
        return await self.call("GET", path, decode, limit, params=params, application=application, headers=headers)

    async def read_known(
        self, path: str, decode: Callable[[Any], T], limit: Limit, params: Params = (), *, application: bool = False
    ) -> T | None:
        """None where eBay says there is no such thing."""
        try:
            return await self.read(path, decode, limit, params, application=application)
        except Rejected as refused:
            if refused.missing and not refused.auth and refused.vendor_code != NO_SUCH_PATH:
                return None
            raise

    async def call(
        self,
        method: str,
        path: str,
        decode: Callable[[Any], T],
        limit: Limit,
        *,
        params: Params = (),
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        application: bool = False,
        reads: bool = False,
        other_host: bool = False,
        raw: bool = False,
    ) -> T:
        """One call; a quota that is used up is told with the time it begins anew. `raw`: the answer is no JSON."""
        core, tokens = self._application if application else self._seller
        url = (self._other_base if other_host else self._base) + path
        looks = reads or method == "GET"

        def whole(data: Any) -> tuple[T, bool]:
            if not raw and refused_inside(data):
                raise RefusedInsideError(data)
            return decode(data), data is None

        try:
            answer = await core.request(
                method, url, decode=whole, params=params, body=body, headers=headers, limit=limit, reads=reads, raw=raw
            )
        except RefusedInsideError as refused:
            raise await self._failure(refused, tokens, limit, writes=not looks) from refused
        except Retryable as limited:
            many = limited.vendor_status == 429 or limited.vendor_code == str(TOO_MANY)
            if many and limited.after is None and limit is not limits.ANALYTICS:
                limited.after = await self._begins_anew(limit)
            raise
        value, empty = answer.value
        if empty and looks and answer.status == 200:
            # nothing to tell is a 204: this answer has lost its body
            raise Retryable("the answer is empty", vendor_status=answer.status)
        return value

    async def _failure(
        self, refused: RefusedInsideError, tokens: AccessTokens, limit: Limit, *, writes: bool
    ) -> ChannelError:
        """What errors in an answer of 200 mean; a token is replaced, and a used-up quota pauses its calls, as ever."""
        failure = refused.failure(writes=writes)
        if refused.said.expired and await tokens.refused(await tokens.current()):
            return Retryable(failure.message, vendor_code=failure.vendor_code, vendor_status=failure.vendor_status)
        if isinstance(failure, Retryable) and failure.vendor_code == str(TOO_MANY) and limit is not limits.ANALYTICS:
            failure.after = await self._begins_anew(limit)
            rest = min(failure.after or _PAUSE, _LONGEST_PAUSE)
            await self._limiter.pause(f"{self._account_key}:{limit.bucket}", rest)
        return failure

    async def inventory(
        self, method: str, path: str, decode: Callable[[Any], T], body: Any = None, *, reads: bool = False
    ) -> T:
        """A call of the Inventory API that carries text in the marketplace's language."""
        headers = {"Content-Language": self.site.language}
        return await self.call(
            method, INVENTORY + path, decode, limits.INVENTORY, body=body, headers=headers, reads=reads
        )

    async def learn_limits(self) -> list[limits.Told]:
        """Ask eBay what is left of each quota, and let the buckets know."""
        found = await self.read(
            "/developer/analytics/v1_beta/rate_limit/", _rate_limits, limits.ANALYTICS, application=True
        )
        quotas = list(limits.told(found))
        for quota in quotas:
            await self._limiter.learn(
                f"{self._account_key}:{quota.bucket}",
                rate_per_second=quota.limit / quota.seconds,
                burst=quota.limit,
                left=float(quota.remaining),
            )
        return quotas

    async def _begins_anew(self, limit: Limit) -> float | None:
        """Seconds until the quota is there again; None when eBay does not say, or was asked a moment ago."""
        if time.monotonic() - self._asked_at < _ASK_AGAIN_SECONDS:
            return None
        self._asked_at = time.monotonic()
        try:
            quotas = await self.learn_limits()
        except ChannelError:
            return None
        for quota in quotas:
            if quota.bucket == limit.bucket and quota.remaining == 0 and quota.reset is not None:
                return max(0.0, (quota.reset - datetime.now(UTC)).total_seconds())
        return None


def segment(text: str) -> str:
    """One part of a path; one of dots alone would be taken for a way up."""
    return quote(text, safe="") if text.strip(".") else text.replace(".", "%2E")


def nothing(data: Any) -> None:
    """For answers whose body does not matter."""


def _rate_limits(data: Any) -> wire.RateLimits:
    # Without a body: nothing was called yet.
    return wire.RateLimits() if data is None else wire.RateLimits.model_validate(data)
