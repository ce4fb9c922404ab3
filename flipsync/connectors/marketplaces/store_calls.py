"""HTTP for one shop's class: calls by path, GraphQL, sessions, pages, and values between JSON and ours."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, ClassVar, NoReturn, TypeVar
from urllib.parse import quote

import httpx2
from pydantic import SecretStr

from flipsync.connectors.base import AccountConfig, Limiter
from flipsync.connectors.http import HttpCore
from flipsync.connectors.oauth import AccessTokens, Grant
from flipsync.connectors.request import Params, VendorError
from flipsync.connectors.vault import Vault
from flipsync.domain.errors import InvalidInput, OutcomeUnknown, Rejected, Retryable, Unreadable
from flipsync.domain.money import Money, minor_digits

T = TypeVar("T")
Row = dict[str, Any]
#: What using an answer raises when it is not what it should be.
UNUSABLE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError)
#: How often one walk of a list goes back for rows that moved.
_STEPS_BACK = 20


class StoreCalls:
    """What a shop's class talks with. `config`, `credentials`, `limiter`, `account_key` and `vault` are the account's.

    `access` names the ways in, each with the credentials it needs; the first that is complete is `way`. The way "login"
    asks `login` for a session and sends it as a bearer token; sessions that end are renewed.
    """

    access: ClassVar[Mapping[str, tuple[str, ...]]] = {"token": ("token",)}
    #: Whether the shop writes amounts in minor units (1990) or in major ones (19.9, "19.90").
    minor_units: ClassVar[bool] = False
    page_size: ClassVar[int] = 100
    #: Where the GraphQL of the shop is, below base_url.
    graphql_path: ClassVar[str] = "/graphql"

    config: AccountConfig
    credentials: Mapping[str, SecretStr]
    limiter: Limiter
    account_key: str
    vault: Vault

    def open_calls(self, transport: httpx2.AsyncBaseTransport | None) -> None:
        """Raises InvalidInput when no way in has its credentials."""
        found = [way for way, names in self.access.items() if all(name in self.credentials for name in names)]
        if not found:
            ways = " or ".join(" and ".join(names) for names in self.access.values())
            raise InvalidInput(f"credentials are missing: {ways}", hint="give them by these names")
        self.way = found[0]
        # A session may be ended by the shop at any moment, also a new one; a login is cheap, and made once a call.
        soon = timedelta(0)
        self.tokens = (
            AccessTokens(self.vault, self.credentials, self.login, young=soon) if self.way == "login" else None
        )
        self._root = str(self.config.base_url).rstrip("/").removesuffix(self.graphql_path)
        self._http = HttpCore(
            self.config,
            self.limiter,
            self.account_key,
            sign=self._sign,
            read_error=self.read_error,
            tokens=self.tokens,
            transport=transport,
        )

    async def close_calls(self) -> None:
        await self._http.aclose()

    # What a shop's class may say

    def headers(self) -> Mapping[str, str]:
        """Headers of every call; by default the credential `token` as a bearer token (RFC 6750)."""
        if self.way != "token":
            return {}
        return {"Authorization": f"Bearer {self.credentials['token'].get_secret_value()}"}

    async def login(self, credentials: Mapping[str, SecretStr]) -> Grant:
        """A new session. Raises Rejected(auth=True) when the credentials are wrong."""
        raise InvalidInput(f"{type(self).__name__} has no way to log in")

    def read_error(self, status: int, body: Any) -> VendorError:
        """What an error body says. By default the usual names are looked for."""
        return usual_error(status, body)

    # Calls

    async def get(self, path: str, **params: Any) -> Any:
        return await self._call("GET", path, params=params)

    async def find(self, path: str, segment: str | None = None, **params: Any) -> Any | None:
        """None where the shop says there is no such thing; `segment` is put behind `path`, whatever it holds."""
        try:
            return await self.get(path if segment is None else path + self.segment(segment), **params)
        except Rejected as refused:
            if refused.missing:
                return None
            raise

    async def send(self, method: str, path: str, body: Any = None, key: str | None = None, **params: Any) -> Any:
        """A write. `key` is sent as Idempotency-Key, for shops that know it."""
        headers = {} if key is None else {"Idempotency-Key": key}
        return await self._call(method, path, params=params, body=body, headers=headers)

    async def open_door(self, path: str, body: Any) -> tuple[Any, httpx2.Headers]:
        """A POST that asks for a session: without one, and changing nothing. A refusal is one of the account."""
        try:
            answer = await self._http.request(
                "POST", self._root + path, decode=_as_it_is, body=body, signed=False, reads=True
            )
        except Rejected as refused:
            refused.auth = True
            raise
        return answer.value, answer.headers

    async def graphql(self, document: str, variables: Mapping[str, Any] | None = None, *, writes: bool = False) -> Row:
        """The data of an answer without errors. Raises Rejected for errors with a code of their own; the server's own
        failures are Retryable, and OutcomeUnknown where something may have been written."""
        body = {"query": document, "variables": dict(variables or {})}
        attempt = 1
        while True:
            token = None if self.tokens is None else await self.tokens.current()
            answer = await self._call("POST", self.graphql_path, body=body, reads=not writes)
            answer = answer if isinstance(answer, dict) else {}
            data = answer.get("data")
            if not answer.get("errors") and isinstance(data, dict):
                return data
            error = self.read_error(200, answer)
            if not (error.expired and attempt == 1 and token is not None and await self._renewed(token)):
                self._refuse(error, writes, done=isinstance(data, dict) and any(data.values()))
            attempt = 2

    async def _renewed(self, token: SecretStr) -> bool:
        assert self.tokens is not None
        try:
            return await self.tokens.refused(token)
        except OutcomeUnknown as unknown:
            raise Retryable(f"no session: {unknown.message}", vendor_status=unknown.vendor_status) from unknown

    @staticmethod
    def _refuse(error: VendorError, writes: bool, done: bool) -> NoReturn:
        message = error.message or "the answer has neither data nor errors"
        if error.meaning == "later" and not (writes and done):
            raise Retryable(message, vendor_code=error.code)
        if (writes and done) or error.code in ("", "INTERNAL_SERVER_ERROR"):
            if writes:
                raise OutcomeUnknown(message, hint="read back before trying again", vendor_code=error.code)
            raise Retryable(message, vendor_code=error.code)
        auth = error.auth or error.expired
        raise Rejected(message, hint=error.hint, vendor_code=error.code, auth=auth, missing=error.missing)

    async def _call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        reads: bool = False,
    ) -> Any:
        sent = [
            (name, str(value).lower() if isinstance(value, bool) else str(value))
            for name, value in (params or {}).items()
            if value is not None
        ]
        answer = await self._http.request(
            method, self._root + path, decode=_as_it_is, params=sent, body=body, headers=headers, reads=reads
        )
        return answer.value

    def _sign(self, method: str, url: str, params: Params) -> tuple[Mapping[str, str], Params]:
        return self.headers(), ()

    async def paged(self, fetch: Callable[[int], Awaitable[Sequence[Row]]]) -> AsyncIterator[Row]:
        """Rows of a list that `fetch` reads from an offset on, `page_size` at a time; each row once.

        Pages share a row. One that holds nothing seen shows that rows went away ahead of it and others moved behind
        the walk: it steps back to them. Raises Retryable when a full page holds nothing new, or the list does not rest.
        """
        seen: set[str] = set()
        offset, shares, back, stale = 0, False, 0, 0
        while True:
            rows = await fetch(offset)
            fresh = [row for row in rows if str(row["id"]) not in seen]
            moved = shares and len(fresh) == len(rows)
            seen.update(str(row["id"]) for row in fresh)
            for row in fresh:
                yield row
            if moved:
                back += 1
                if back > _STEPS_BACK:
                    raise Retryable("the shop's list changes faster than it can be read")
                offset = max(0, offset - self.page_size + 1)
                shares = offset > 0
                continue
            if len(rows) < self.page_size:
                return
            stale = 0 if fresh else stale + 1
            if stale > (3 if back else 0):  # after a step back, pages that were seen come again
                raise Retryable("the shop shows the same page again")
            shares = len(rows) > 1 and (len(fresh) > 1 or back > 0)
            offset += len(rows) - 1 if shares else len(rows)

    # Values

    def translated(self, translate: Callable[[Row], T], row: Row, *, written: bool = False) -> T:
        """A row translated; one that cannot be used is a failed read, or after a write an unknown one."""
        try:
            return translate(row)
        except UNUSABLE as error:
            _cannot_use(error, written)

    @staticmethod
    async def reading(asking: Awaitable[T]) -> T:
        """A read by a shop's class, whose answer may lack what the class takes from it."""
        try:
            return await asking
        except UNUSABLE as error:
            _cannot_use(error, False)

    @staticmethod
    async def each(rows: AsyncIterator[Row]) -> AsyncIterator[Row]:
        """A list read by a shop's class."""
        try:
            async for row in rows:
                yield row
        except UNUSABLE as error:
            _cannot_use(error, False)

    @staticmethod
    async def writing(telling: Awaitable[T]) -> T:
        """A write by a shop's class: when its answer lacks what the class takes from it, it may have been done."""
        try:
            return await telling
        except UNUSABLE as error:
            _cannot_use(error, True)

    def digits(self, currency: str) -> int:
        """With `minor_units`: how many digits of the shop's whole numbers stand after the point."""
        return minor_digits(currency)

    def money(self, value: Any, currency: str | None = None) -> Money:
        """An amount as the shop writes it, half up; in the account's currency, unless an order has another. Raises
        ValueError."""
        currency = currency or self.config.currency
        try:
            amount = Decimal(str(value))
            if self.minor_units:
                if amount != amount.to_integral_value():
                    raise ValueError(f"{value!r} is no whole number of minor units")
                amount = amount.scaleb(-self.digits(currency))
            return Money.round_decimal(amount, currency, ROUND_HALF_UP)
        except ArithmeticError as error:
            raise ValueError(f"{value!r} is not an amount") from error

    def amount(self, price: Money) -> int | float:
        """A price as a JSON number. A float only on the wire: its shortest form has the price's own digits. Raises
        Rejected for a price with more decimals than the shop keeps."""
        value = price.decimal()
        if self.minor_units:
            value = value.scaleb(self.digits(price.currency))
            if value != value.to_integral_value():
                raise Rejected(f"the shop cannot write {price}: it keeps fewer decimals", vendor_code="price")
        return int(value) if value == value.to_integral_value() else float(value)

    def young(self, since: datetime) -> datetime:
        """The option `watch_days` before that time: orders placed after it are all looked at. Raises Rejected."""
        text = self.config.options.get("watch_days", "30")
        if not re.fullmatch(r"\d{1,4}(\.\d{1,6})?", text, re.ASCII):
            raise Rejected(f"the option 'watch_days' is a number of days, not {text!r}", vendor_code="watch_days")
        return since - timedelta(days=float(text))

    @staticmethod
    def moment(text: str | None) -> datetime:
        """A time with a zone, as UTC. Raises ValueError."""
        if not text:
            raise ValueError("a time is missing")
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)

    @staticmethod
    def segment(text: str) -> str:
        """One segment of a path. Raises Rejected for texts that an address cannot carry as one."""
        if text in ("", ".", ".."):
            raise Rejected(f"{text!r} cannot be part of an address", vendor_code="request", missing=True)
        return quote(text, safe="")


def _cannot_use(error: Exception, written: bool) -> NoReturn:
    words = (str(error).splitlines() or [""])[0][:200]
    what = f"the shop's answer cannot be used: {type(error).__name__}: {words}"
    if written:
        raise OutcomeUnknown(what, hint="read back before trying again") from error
    raise Unreadable(what) from error


def _as_it_is(data: Any) -> Any:
    return data


def usual_error(status: int, body: Any) -> VendorError:
    """Code and message from the names that most shops use."""
    found = body if isinstance(body, dict) else {}
    if isinstance(found.get("errors"), list) and found["errors"]:
        found = found["errors"][0] if isinstance(found["errors"][0], dict) else {"message": found["errors"][0]}
    if isinstance(found.get("error"), dict):
        found = found["error"]
    extensions = found.get("extensions")
    code = extensions.get("code") if isinstance(extensions, dict) else found.get("code") or found.get("type")
    words = next((found[name] for name in ("message", "detail", "error", "title") if found.get(name)), "")
    return VendorError(code=str(code or ""), message=str(words), auth=status in (401, 403), missing=status == 404)
