"""Signed calls to one shop's REST v3, decoded; what the connector, its order feed and its webhooks share.

Hosts differ, and the first refusal of a call tells how: each way round it is tried once and then kept.

Authorization header kept from PHP         OAuth 1.0a in the query, also over https: the secret is in no address
https ends, or begins, before the shop     the signature's address with the other scheme
plain permalinks (no /wp-json/)            /index.php/wp-json/… with ?rest_route=
PUT and DELETE blocked                     POST with ?_method=
sent on to https, www. or a path with /    there, as far as it is the same host and the same call

All of them are refusals before anything was carried out, so that trying again is safe.
"""

from __future__ import annotations

import base64
import json
import logging
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Literal, TypeVar
from urllib.parse import urljoin, urlsplit

import httpx2
from pydantic import SecretStr

from flipsync.connectors.base import AccountConfig, Limiter
from flipsync.connectors.http import HttpCore, is_loopback
from flipsync.connectors.marketplaces.woocommerce import oauth, refusals
from flipsync.connectors.marketplaces.woocommerce.pages import PAGE_SIZE, Page, Row, walk
from flipsync.connectors.request import Answer, Params
from flipsync.connectors.unread import reason_of
from flipsync.domain.errors import ChannelError, InvalidInput, OutcomeUnknown, Rejected

log = logging.getLogger(__name__)

T = TypeVar("T")
RowT = TypeVar("RowT", bound=Row)
_API = "/wp-json/wc/v3"
_NO_ROUTE = "rest_no_route"
_BAD_KEY = "woocommerce_rest_authentication_error"
#: in the warnings before an answer
_MOST_BRACKETS = 40


@dataclass(frozen=True, slots=True)
class Way:
    """How calls reach a shop. `key` is Basic, or OAuth whose signed address begins with that scheme."""

    key: Literal["basic", "https", "http"]
    root: str
    plain: bool = False
    tunnel: bool = False
    slash: bool = False

    def address(self, path: str) -> str:
        # The path keeps "wp-json/wc/", by which WooCommerce before 11.1 knows that a call is for its keys.
        return f"{self.root}{'/index.php' if self.plain else ''}{_API}{path}{'/' if self.slash else ''}"


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
        # Basic is ignored over plain http, where a secret could be read on the way.
        self._way = Way("basic" if config.base_url.scheme == "https" else "http", root_of(str(config.base_url)))
        self._http = HttpCore(
            config, limiter, account_key, read_error=refusals.read_error, transport=transport, parse=_json
        )

    async def aclose(self) -> None:
        await self._http.aclose()

    async def _call(
        self, method: str, path: str, decode: Callable[[Any], T], params: Params = (), body: Any = None
    ) -> Answer[T]:
        way, tried = self._way, {self._way}
        first: ChannelError | None = None
        while True:
            try:
                answer = await self._send(way, method, path, decode, params, body)
            except ChannelError as error:
                if isinstance(error, Rejected) and error.missing and error.vendor_code in ("", _NO_ROUTE):
                    # not a thing is missing, but WooCommerce
                    error.missing = False
                    error.hint = "no WooCommerce answers here: check base_url, and that the plug-in is active"
                if isinstance(error, Rejected) and error.vendor_status == 403 and not error.vendor_code:
                    # WooCommerce names a reason: what stands before it has judged this call, not the keys
                    error.auth = False
                    error.hint = "not the shop but its host, or a security plug-in, refused this: have it let us pass"
                first = first or error
                other = next((each for each in _ways_round(way, method, path, error) if each not in tried), None)
                if other is None:
                    if error.vendor_code not in ("", _NO_ROUTE) and error.vendor_status != 401:
                        self._way = way  # the shop itself spoke
                        raise
                    raise first from (None if first is error else error)
                way = other
                tried.add(way)
            else:
                self._way = way
                return answer

    async def _send(
        self, way: Way, method: str, path: str, decode: Callable[[Any], T], params: Params, body: Any
    ) -> Answer[T]:
        sent = list(params)
        url = way.address(path)
        if way.plain:
            sent.append(("rest_route", f"/wc/v3{path}"))
        if way.tunnel and method in ("PUT", "DELETE"):
            sent.append(("_method", method))
            method = "POST"
        key, secret = self._key.get_secret_value(), self._secret.get_secret_value()
        headers: dict[str, str] = {}
        if way.key == "basic":
            headers["Authorization"] = f"Basic {base64.b64encode(f'{key}:{secret}'.encode()).decode()}"
        else:
            signed_url = f"{way.key}:{url.partition(':')[2]}"
            sent += oauth.signed_params(method, signed_url, sent, key, secret)

        def read(data: Any) -> T:
            refused = refusals.error_inside(data, writes=method != "GET")
            if refused is not None:
                raise refused
            return decode(data)

        return await self._http.request(method, url, decode=read, params=sent, body=body, headers=headers, signed=False)

    async def index(self, decode: Callable[[Any], T]) -> T:
        """WordPress's own index, asked without a key: WordPress would take the shop's key for a wrong password."""
        if self._way.plain:
            url, params = f"{self._way.root}/", [("rest_route", "/")]
        else:
            url, params = f"{self._way.root}/wp-json/", []
        return (await self._http.request("GET", url, decode=decode, params=params, signed=False)).value

    async def read(self, path: str, decode: Callable[[Any], T], params: Params = ()) -> T:
        return (await self._call("GET", path, decode, _as_kept(path, params))).value

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
        return (await self.read(path, _rows_of(path, decode), params))[0]

    async def write(self, method: str, path: str, body: Any, decode: Callable[[Any], T], params: Params = ()) -> T:
        return (await self._call(method, path, decode, params, body)).value

    async def write_article(self, method: str, path: str, body: dict[str, Any], decode: Callable[[Any], T]) -> T:
        """Write a product or variation. A barcode must be unique in a shop, but one article may be sold in several
        conditions: the second is sold without it."""
        try:
            return await self.write(method, path, body, decode)
        except Rejected as refused:
            told = refused.vendor_code.startswith("product_invalid_global_unique_id")  # newer ones add "_format"
            if not told or "global_unique_id" not in body:
                raise
            without = {name: value for name, value in body.items() if name != "global_unique_id"}
            return await self.write(method, path, without, decode)

    async def rows(self, path: str, decode: Callable[[Any], RowT], params: Params = ()) -> list[RowT]:
        """The whole of a short list."""
        return [row async for page in self.pages(path, decode, params) for row in page.rows]

    def pages(self, path: str, decode: Callable[[Any], RowT], params: Params = ()) -> AsyncIterator[Page[RowT]]:
        """A list of any length, ascending by id: ids never change, and not every version sorts by "modified"."""

        async def fetch(offset: int) -> Page[RowT]:
            sent = [*params, ("orderby", "id"), ("order", "asc"), ("per_page", str(PAGE_SIZE)), ("offset", str(offset))]
            answer = await self._call("GET", path, _rows_of(path, decode), _as_kept(path, sent))
            total = answer.headers.get("X-WP-Total", "")
            rows, count = answer.value
            return Page(rows, int(total) if total.isdigit() else None, count)

        return walk(fetch)


def root_of(base_url: str) -> str:
    """The shop's own address, from that or from one of its API's as a browser shows them."""
    site = re.split(r"[?#]", base_url, maxsplit=1)[0]
    return re.sub(r"(/index\.php)?(/wp-json(/.*)?)?/*$", "", site)


def _ways_round(way: Way, method: str, path: str, error: ChannelError) -> Iterator[Way]:
    """Other ways to make a call that was refused before the shop looked at it; none when it was looked at."""
    status, code = error.vendor_status, error.vendor_code
    if isinstance(error, OutcomeUnknown):
        if status == 501 and not code and method in ("PUT", "DELETE") and not way.tunnel:
            yield replace(way, tunnel=True)
        return
    if isinstance(error, Rejected) and error.moved_to:
        moved = _moved(way, path, error.moved_to)
        if moved is not None:
            yield moved
        return
    if status == 401:
        if way.key == "basic" and code not in ("", _BAD_KEY):
            yield replace(way, key="https")  # the shop, or a plug-in of it, saw nobody: the header did not get through
        if way.key != "basic" and ("signature" in error.message or code == _BAD_KEY):
            # shops say in their own language that a signature does not match
            yield replace(way, key="http" if way.key == "https" else "https")
        if way.key != "basic" and way.root.startswith("http:") and is_loopback(urlsplit(way.root).hostname or ""):
            yield replace(way, key="basic")  # on this machine nobody reads along
        return
    if code:
        return
    if status in (403, 405) and method in ("PUT", "DELETE") and not way.tunnel:
        yield replace(way, tunnel=True)
    elif (status == 404 or (method == "GET" and status == 200)) and not way.plain:
        yield replace(way, plain=True)  # a page of the site, or of its server, and none of WordPress's API


def _moved(way: Way, path: str, location: str) -> Way | None:
    """The same call on the same host, over https, with www. or without, below another folder, with a slash at its end.
    Keys go nowhere else, and never from https to http."""
    sent = urlsplit(way.address(path))
    try:
        there = urlsplit(urljoin(sent.geturl(), location))
        port = there.port
    except ValueError:
        return None
    bare = there.path.rstrip("/")
    prefix = "/index.php" if way.plain else ""
    if not bare.endswith(f"{prefix}{_API}{path}") or there.scheme not in ("http", "https"):
        return None
    hosts = [(each.hostname or "").removeprefix("www.") for each in (sent, there)]
    secured = (sent.scheme, there.scheme) == ("http", "https")
    if hosts[0] != hosts[1] or not (secured or (sent.scheme == there.scheme and sent.port == port)):
        return None
    root = f"{there.scheme}://{there.netloc.rpartition('@')[2]}{bare.removesuffix(f'{prefix}{_API}{path}')}"
    return replace(way, root=root, slash=there.path.endswith("/"), key="basic" if secured else way.key)


def _json(content: bytes) -> Any:
    """The answer; PHP may print warnings of its own in front of it. Raises ValueError."""
    try:
        return json.loads(content)
    except ValueError:
        text = content.decode("utf-8", "replace")
        # a warning ends with its line or its tag: what begins elsewhere is a part of an answer that was cut off
        for begin in islice(re.finditer(r"(?<=[\n>])[\[{]", text), _MOST_BRACKETS):
            try:
                found, end = json.JSONDecoder().raw_decode(text, begin.start())
            except ValueError:
                continue
            if not text[end:].strip():
                return found
        raise


def _rows_of(path: str, decode: Callable[[Any], T]) -> Callable[[Any], tuple[list[T], int]]:
    """Rows, and how many there were: a product that cannot be read hinders no other (of other lists, each row counts).
    Where none can be read the shop's answers have another form."""

    def rows(data: Any) -> tuple[list[T], int]:
        if not isinstance(data, list):
            raise ValueError("a list was expected")
        found: list[T] = []
        for number, row in enumerate(data, 1):
            try:
                found.append(decode(row))
            except ValueError as error:
                if not path.startswith("/products") or (number == len(data) and not found):
                    raise
                log.warning("row %d of %s is left out: %s", number, path, reason_of(error))
        return found, len(data)

    return rows


def _as_kept(path: str, params: Params) -> Params:
    """Texts as they were written and as writes answer them: shown to buyers, plug-ins put into them what they like."""
    return [*params, ("context", "edit")] if path.startswith("/products") else params
