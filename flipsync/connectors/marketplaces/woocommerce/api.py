"""Signed calls to one shop's REST v3, decoded; what the connector, its order feed and its webhooks share."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, TypeVar

import httpx2
from pydantic import SecretStr

from flipsync.connectors.base import AccountConfig, Limiter
from flipsync.connectors.http import HttpCore
from flipsync.connectors.marketplaces.woocommerce import mapping, oauth
from flipsync.connectors.marketplaces.woocommerce.pages import PAGE_SIZE, Page, Row, walk
from flipsync.connectors.request import Params
from flipsync.domain.errors import InvalidInput, Rejected

T = TypeVar("T")
RowT = TypeVar("RowT", bound=Row)
_API = "/wp-json/wc/v3"


class ShopApi:
    """Paths are below /wp-json/wc/v3; `decode` raises ValueError for answers it cannot use."""

    def __init__(
        self,
        config: AccountConfig,
        credentials: Mapping[str, SecretStr],
        limiter: Limiter,
        account_key: str,
        transport: httpx2.AsyncBaseTransport | None,
    ) -> None:
        for name in ("consumer_key", "consumer_secret"):
            if name not in credentials:
                raise InvalidInput(f"the credential {name!r} is missing")
        self._key, self._secret = credentials["consumer_key"], credentials["consumer_secret"]
        self._https = config.base_url.scheme == "https"
        self._root = str(config.base_url).rstrip("/").removesuffix(_API)
        self._http = HttpCore(
            config, limiter, account_key, sign=self._sign, read_error=mapping.read_error, transport=transport
        )

    def _sign(self, method: str, url: str, params: Params) -> tuple[Mapping[str, str], Params]:
        key, secret = self._key.get_secret_value(), self._secret.get_secret_value()
        if self._https:
            return {"Authorization": f"Basic {base64.b64encode(f'{key}:{secret}'.encode()).decode()}"}, ()
        # In the query, not the header: many servers keep the Authorization header from PHP.
        return {}, oauth.signed_params(method, url, params, key, secret)

    async def aclose(self) -> None:
        await self._http.aclose()

    async def index(self, decode: Callable[[Any], T]) -> T:
        """WordPress's own index, asked without a key: WordPress would take the shop's key for a wrong password."""
        return (await self._http.request("GET", f"{self._root}/wp-json/", decode=decode, signed=False)).value

    async def read(self, path: str, decode: Callable[[Any], T], params: Params = ()) -> T:
        return (await self._http.request("GET", self._root + _API + path, decode=decode, params=params)).value

    async def read_known(self, path: str, decode: Callable[[Any], T]) -> T | None:
        """None where the shop says there is no such thing."""
        try:
            return await self.read(path, decode)
        except Rejected as refused:
            if refused.missing:
                return None
            raise

    async def read_rows(self, path: str, decode: Callable[[Any], T], params: Params = ()) -> list[T]:
        """A list in one answer, for questions with few answers."""
        return await self.read(path, _rows_of(decode), params)

    async def write(self, method: str, path: str, body: Any, decode: Callable[[Any], T], params: Params = ()) -> T:
        url = self._root + _API + path
        return (await self._http.request(method, url, decode=decode, params=params, body=body)).value

    async def rows(self, path: str, decode: Callable[[Any], RowT], params: Params = ()) -> list[RowT]:
        """The whole of a short list."""
        return [row async for page in self.pages(path, decode, params) for row in page.rows]

    def pages(self, path: str, decode: Callable[[Any], RowT], params: Params = ()) -> AsyncIterator[Page[RowT]]:
        """A list of any length, ascending by id: ids never change, and not every version sorts by "modified"."""

        async def fetch(offset: int) -> Page[RowT]:
            sent = [*params, ("orderby", "id"), ("order", "asc"), ("per_page", str(PAGE_SIZE)), ("offset", str(offset))]
            answer = await self._http.request("GET", self._root + _API + path, decode=_rows_of(decode), params=sent)
            total = answer.headers.get("X-WP-Total", "")
            return Page(answer.value, int(total) if total.isdigit() else None)

        return walk(fetch)


def _rows_of(decode: Callable[[Any], T]) -> Callable[[Any], list[T]]:
    def rows(data: Any) -> list[T]:
        if not isinstance(data, list):
            raise ValueError("a list was expected")
        return [decode(row) for row in data]

    return rows
