"""The one HTTP core of all connectors: pooling, limits, time-outs, and failures mapped to exactly three kinds.

nothing left this machine (DNS, connect, pool)        Retryable
429, or 503 with Retry-After                          Retryable(after), and the account pauses
408, 425                                              Retryable
401, or what the vendor calls an expired token        once more with a new token, where there are tokens
time-out, broken connection, unusable body, 5xx       read: Retryable, write: OutcomeUnknown
3xx and every other 4xx                               Rejected
an error body that says what happened (see Meaning)   overrules the status
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import re
import ssl
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlsplit

import httpx2
from pydantic import SecretStr

from flipsync.connectors.base import AccountConfig, Limiter
from flipsync.connectors.oauth import AccessTokens
from flipsync.connectors.request import (
    Answer,
    ErrorReader,
    Form,
    Limit,
    LimitReader,
    Params,
    Signer,
    VendorError,
    bearer_header,
    encode,
    retry_after,
    unsigned,
)
from flipsync.connectors.unpacking import Unpacker, UnpackError
from flipsync.connectors.witness import CallSeen, Trouble, current_witness
from flipsync.domain.errors import InvalidInput, OutcomeUnknown, Rejected, Retryable, Unreadable

T = TypeVar("T")

#: W3C Trace Context of the work in hand; sent along when set.
current_traceparent: ContextVar[str | None] = ContextVar("flipsync_traceparent", default=None)

# Signed URLs carry keys, and the client would write each URL to the log.
logging.getLogger("httpx2").setLevel(logging.WARNING)

_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_MAX_MESSAGE = 300
#: Shorter than common servers' idle time-out (5 s): a write must not meet a connection that is just being closed.
_KEEPALIVE_SECONDS = 3.0
_PAUSE_WITHOUT_ADVICE = 2.0
_LONGEST_PAUSE = 3600.0
_NO_CONNECTION = "no connection"
#: RFC 6750, 3.1 (invalid_token), and how vendors put it
_EXPIRED = re.compile(r"\binvalid_token\b|\btoken\b.{0,40}\bexpired\b|\bexpired\b.{0,20}\btoken\b", re.I)


class _UnusableBodyError(Exception):
    """The body broke off, is too large or is not what was promised."""


class HttpCore:
    """Requests to one account. Safe for concurrent use; close with `aclose()`. Never retries nor follows redirects."""

    def __init__(
        self,
        config: AccountConfig,
        limiter: Limiter,
        account_key: str,
        *,
        sign: Signer = unsigned,
        read_error: ErrorReader,
        tokens: AccessTokens | None = None,
        bearer: Callable[[SecretStr], Mapping[str, str]] = bearer_header,
        read_limits: LimitReader | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
        traceparent: ContextVar[str | None] = current_traceparent,
        parse: Callable[[bytes], Any] = json.loads,
    ) -> None:
        """With `tokens`, each signed request carries a current access token in the headers `bearer` makes of it.

        `parse` reads a body, of an answer or of a refusal, and raises ValueError for what is none.
        """
        self._config = config
        self._limiter = limiter
        self._account_key = account_key
        self._every_call = Limit("http", config.requests_per_second, config.burst)
        self._sign = sign
        self._read_error = read_error
        self._tokens = tokens
        self._bearer = bearer
        self._read_limits = read_limits
        self._traceparent = traceparent
        self._parse = parse
        host = config.base_url.host or ""
        self._client = httpx2.AsyncClient(
            transport=transport,
            verify=_ssl_context(config),
            timeout=httpx2.Timeout(config.timeout_seconds),
            limits=httpx2.Limits(max_connections=50, max_keepalive_connections=20, keepalive_expiry=_KEEPALIVE_SECONDS),
            follow_redirects=False,
            # A proxy meant for the internet cannot reach a server on this machine.
            trust_env=not is_loopback(host),
            headers={"User-Agent": "FlipSync/0.1", "Accept": "application/json", "Accept-Encoding": "gzip, deflate"},
        )

    async def aclose(self) -> None:
        await self._client.aclose()

    async def request(
        self,
        method: str,
        url: str,
        *,
        decode: Callable[[Any], T],
        params: Params = (),
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        signed: bool = True,
        limit: Limit | None = None,
        raw: bool = False,
        reads: bool = False,
    ) -> Answer[T]:
        """Send once and decode the JSON answer (None when empty); `decode` raises ValueError for what it cannot use.

        `limit` is the bucket of this call where the vendor has several, `raw` hands `decode` the bytes, and `reads`
        says of a POST that it changes nothing. A request refused for its expired access token, and so not carried out,
        is sent once more with a new one. Raises Rejected, Retryable, and for POST, PUT, PATCH and DELETE also
        OutcomeUnknown.
        """
        writes = method in _WRITES and not reads
        limit = limit or self._every_call
        bucket = f"{self._account_key}:{limit.bucket}"
        for attempt in (1, 2):
            await self._limiter.acquire(bucket, limit.rate_per_second, limit.burst, limit.cost)
            token = await self._token() if signed else None
            all_headers = {**(headers or {}), **(self._bearer(token) if token is not None else {})}
            try:
                response, content = await self._send(method, url, params, body, all_headers, signed, writes)
            except (Retryable, OutcomeUnknown) as silent:
                trouble: Trouble = "unreachable" if silent.message.startswith(_NO_CONNECTION) else "no answer"
                self._show(CallSeen(_path(url), writes, _asks_token(body), message=silent.message, trouble=trouble))
                raise
            if self._read_limits is not None:
                rate, burst, left = self._read_limits(response.headers)
                if rate is not None or burst is not None or left is not None:
                    await self._limiter.learn(bucket, rate_per_second=rate, burst=burst, left=left)
            if response.status_code < 300:
                if token is not None and self._tokens is not None:
                    self._tokens.accepted(token)
                break
            error = self._error_of(response, content)
            self._show(_seen(url, writes, body, response, content, error))
            expired = response.status_code == 401 or error.expired or _says_expired(response.status_code, error)
            stale = token is not None and attempt == 1 and expired
            if stale and token is not None and await self._another_token(token):
                continue
            await self._refuse(response, error, writes, bucket)
        try:
            value = decode(content if raw else self._parse(content) if content else None)
        except (ValueError, RecursionError) as error:
            said = VendorError(message=_first_line(error))
            self._show(_seen(url, writes, body, response, content, said, trouble="unusable"))
            garbled = not content or isinstance(error, json.JSONDecodeError | UnicodeDecodeError | RecursionError)
            page = garbled and "html" in response.headers.get("Content-Type", "")
            why = "a page for people came instead of data" if page else _first_line(error)
            what = f"the answer cannot be used: {why}"
            if not writes and not garbled:
                raise Unreadable(what, vendor_status=response.status_code) from error
            self._no_answer(what, writes, error, response.status_code)
        self._show(_seen(url, writes, body, response, content, VendorError()))
        return Answer(response.status_code, response.headers, value)

    @staticmethod
    def _show(call: CallSeen) -> None:
        witness = current_witness.get()
        if witness is not None:
            witness.saw_call(call)

    async def _token(self) -> SecretStr | None:
        if self._tokens is None:
            return None
        try:
            return await self._tokens.current()
        except OutcomeUnknown as unknown:
            raise _token_unknown(unknown) from unknown

    async def _another_token(self, refused: SecretStr) -> bool:
        assert self._tokens is not None
        try:
            return await self._tokens.refused(refused)
        except OutcomeUnknown as unknown:
            raise _token_unknown(unknown) from unknown

    def _error_of(self, response: httpx2.Response, content: bytes) -> VendorError:
        try:
            body = self._parse(content) if content else None
        except (ValueError, RecursionError):
            body = None
        return self._read_error(response.status_code, body)

    async def _send(
        self, method: str, url: str, params: Params, body: Any, headers: Mapping[str, str], signed: bool, writes: bool
    ) -> tuple[httpx2.Response, bytes]:
        signed_headers, signed_params = self._sign(method, url, params) if signed else ({}, ())
        all_headers = {**headers, **signed_headers}
        trace = self._traceparent.get()
        if trace:
            all_headers["traceparent"] = trace
        content, media_type = encode(body)
        if media_type:
            all_headers["Content-Type"] = media_type
        try:
            query: list[tuple[str, str | int | float | bool | None]] = [*params, *signed_params]
            request = self._client.build_request(
                method, url, params=httpx2.QueryParams(query) if query else None, content=content, headers=all_headers
            )
            # The client's own time-out is per read; a server that drips bytes would never trip it.
            async with asyncio.timeout(2 * self._config.timeout_seconds):
                response = await self._client.send(request, stream=True)
                try:
                    content = await _read_body(response)
                    if _cut_short(response, content):
                        raise _UnusableBodyError("it ends before its JSON does")
                    return response, content
                finally:
                    await response.aclose()
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError) as error:
            raise Retryable(f"{_NO_CONNECTION}: {_reason(error)}", hint=_connect_hint(error)) from error
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol, httpx2.LocalProtocolError, UnicodeError) as error:
            raise Rejected(f"the request cannot be sent: {type(error).__name__}", vendor_code="request") from error
        except (httpx2.TimeoutException, TimeoutError) as error:
            self._no_answer("no answer in time", writes, error)
        except (httpx2.HTTPError, httpx2.StreamError, _UnusableBodyError, OSError) as error:
            self._no_answer(f"the connection broke: {_reason(error)}", writes, error)

    @staticmethod
    def _no_answer(what: str, writes: bool, cause: Exception | None, status: int | None = None) -> NoReturn:
        if writes:
            raise OutcomeUnknown(what, hint="read back before trying again", vendor_status=status) from cause
        raise Retryable(what, vendor_status=status) from cause

    async def _refuse(self, response: httpx2.Response, found: VendorError, writes: bool, bucket: str) -> NoReturn:
        status = response.status_code
        message = f"HTTP {status}" + (f": {found.message}" if found.message else "")
        message = message[:_MAX_MESSAGE]
        after = retry_after(response.headers.get("Retry-After"), datetime.now(UTC))
        if status == 429 or (status == 503 and after is not None):
            await self._limiter.pause(bucket, min(after or _PAUSE_WITHOUT_ADVICE, _LONGEST_PAUSE))
            raise Retryable(message, after=after, vendor_code=found.code, vendor_status=status)
        if status in (408, 425) or found.meaning == "later":
            raise Retryable(message, vendor_code=found.code, vendor_status=status)
        if found.meaning == "broken" or (status >= 500 and found.meaning != "refused"):
            if writes:
                hint = found.hint or "read back before trying again"
                raise OutcomeUnknown(message, hint=hint, vendor_code=found.code, vendor_status=status)
            raise Retryable(message, vendor_code=found.code, vendor_status=status)
        hint, location = found.hint, ""
        if status < 400:
            location = response.headers.get("Location", "")
            where = location.partition("?")[0]
            hint = f"the address has moved to {where}: change the account's base_url" if where else ""
        refused = Rejected(
            message,
            hint=hint,
            vendor_code=found.code,
            vendor_status=status,
            auth=found.auth or status in (401, 403),
            # a page is no answer of the API's: it says nothing of what the channel has
            missing=found.missing or (status == 404 and "html" not in response.headers.get("Content-Type", "")),
        )
        refused.moved_to = location
        raise refused


def _token_unknown(unknown: OutcomeUnknown) -> Retryable:
    """What is unknown is whether a token was given out: the request itself was not sent, or not carried out."""
    return Retryable(f"no access token: {unknown.message}", vendor_status=unknown.vendor_status)


def _asks_token(body: Any) -> bool:
    return isinstance(body, Form) and "grant_type" in body.fields


def _path(url: str) -> str:
    return urlsplit(url).path


def _seen(
    url: str,
    writes: bool,
    body: Any,
    response: httpx2.Response,
    content: bytes,
    error: VendorError,
    *,
    trouble: Trouble = "",
) -> CallSeen:
    now = datetime.now(UTC)
    try:
        skew = (parsedate_to_datetime(response.headers["Date"]) - now).total_seconds()
    except (KeyError, ValueError, TypeError):
        skew = None
    is_page = "html" in response.headers.get("Content-Type", "")
    status = response.status_code
    return CallSeen(
        path=_path(url),
        writes=writes,
        token=_asks_token(body),
        status=status,
        code=error.code,
        message=error.message[:_MAX_MESSAGE],
        auth=error.auth or error.expired or status in (401, 403),
        trouble=trouble,
        skew=skew,
        after=retry_after(response.headers.get("Retry-After"), now),
        page=content[:_MAX_MESSAGE].decode("utf-8", "replace") if is_page else "",
    )


def _says_expired(status: int, error: VendorError) -> bool:
    """Some vendors, and gateways in front of them, tell of an expired token as 403 or 400: only the words say so."""
    return status in (400, 403) and _EXPIRED.search(f"{error.code} {error.message}") is not None


def _ssl_context(config: AccountConfig) -> ssl.SSLContext:
    """The system's authorities, and the account's private one. Raises InvalidInput when its file cannot be read."""
    if config.base_url.scheme != "https":
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody, and spares loading the authorities
    context = ssl.create_default_context()
    if config.ca_file is not None:
        try:
            context.load_verify_locations(cafile=config.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise InvalidInput(
                "the certificate authority file cannot be read", hint="ca_file: a PEM file of certificates"
            ) from error
    return context


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


async def _read_body(response: httpx2.Response) -> bytes:
    """Unpacked by ourselves: the client's decoders open whatever fits into a piece of the network, of any size."""
    if response.is_stream_consumed:  # by a transport that has no network
        return await response.aread()
    try:
        unpacker = Unpacker(response.headers.get("Content-Encoding", ""))
        async for piece in response.aiter_raw():
            unpacker.take(piece)
        return unpacker.end()
    except UnpackError as error:
        raise _UnusableBodyError(f"the answer cannot be read: {error}") from error


def _cut_short(response: httpx2.Response, content: bytes) -> bool:
    """Whether a JSON answer whose only end is that of the connection (HTTP/1.0, RFC 9112 section 6.3) is not whole.

    Of a refusal only "there is no such thing" is doubted: nobody may take that from half an answer.
    """
    if response.http_version not in ("HTTP/1.0", "HTTP/1.1") or response.status_code in (204, 205):
        return False
    framed = "Content-Length" in response.headers or "Transfer-Encoding" in response.headers
    if framed or "json" not in response.headers.get("Content-Type", ""):
        return False
    if response.status_code >= 300 and response.status_code != 404:
        return False
    try:
        json.loads(content)
    except (ValueError, RecursionError):
        return True
    return False


def _reason(error: Exception) -> str:
    """The kind of failure and the system's own words; never the URL, which may be signed."""
    words = str(error).splitlines()[:1]
    return (
        f"{type(error).__name__}: {words[0]}"[:_MAX_MESSAGE]
        if words and "://" not in words[0]
        else type(error).__name__
    )


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:_MAX_MESSAGE]


def _connect_hint(error: Exception) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "the server's certificate is not trusted: give its authority as ca_file"
        cause = cause.__cause__ or cause.__context__
    return "check base_url and the network"
