"""One HTTP exchange with a channel: request in, transaction, faults, answer out. Vendor servers build on it."""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, ClassVar, Literal
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope, Send

from flipsync.sandbox.books import Books
from flipsync.sandbox.faults import Faults
from flipsync.sandbox.records import Channel

_MAX_BODY = 8 * 1024 * 1024
_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True)
class Call:
    """A request as a vendor server sees it; `path` is still percent-encoded, below the channel's own prefix."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes
    scheme: str
    host: str
    full_path: str

    @property
    def writes(self) -> bool:
        return self.method in _WRITES

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.host}"

    def first(self, name: str) -> str | None:
        return next((value for key, value in self.query if key == name), None)


@dataclass
class Answer:
    """A response. `before_sending` runs after the transaction and before the answer leaves."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    media_type: str = "application/json"
    before_sending: Callable[[], Awaitable[None]] | None = None
    fault: str = ""


class Refusal(Exception):
    """Ends an exchange with an error answer; whatever the transaction did is undone."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.body.decode(errors="replace"))
        self.answer = answer


class _Ignored(Exception):
    """Undoes a write that is to be answered but not applied."""

    def __init__(self, answer: Answer) -> None:
        super().__init__("ignored")
        self.answer = answer


class _Undone(Exception):
    """Undoes a write that a named fault answers in its own way."""

    def __init__(self, answer: Answer) -> None:
        super().__init__("undone")
        self.answer = answer


class ChannelServer(ABC):
    """An ASGI application speaking one vendor's protocol over the sandbox's books."""

    channel: ClassVar[Channel]

    def __init__(self, books: Books, faults: Faults) -> None:
        self.books = books
        self.faults = faults

    @abstractmethod
    def answer(self, call: Call) -> Answer:
        """Do what the call asks, inside a transaction. Raises Refusal."""

    @abstractmethod
    def error(self, status: int, code: str, message: str) -> Answer:
        """An error in the vendor's own shape."""

    @abstractmethod
    def can_be_ignored(self, call: Call) -> bool:
        """Whether the call is a price, stock or content write."""

    @abstractmethod
    def current(self, call: Call) -> Answer:
        """What a read of the written resource would answer now."""

    def writes(self, call: Call) -> bool:
        """Whether the call changes anything; some vendors ask their questions with POST and PUT."""
        return call.writes

    async def prepare(self, call: Call) -> Call:
        """What a vendor does before and outside the transaction; may wait. Raises Refusal."""
        return call

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        call = await self._read(scope, receive)
        if call is None:
            await _send(send, self.error(413, "too_large", "The request is too large."))
            return
        answer = await self.struck(call)
        await (_drop(send, answer) if answer.fault in ("drop_after", "hang_after") else _send(send, answer))

    async def struck(self, call: Call) -> Answer:
        """The exchange as the channel's named faults leave it (see acts.Act)."""
        self.faults.on_time()
        acts = self.faults.acts[self.channel]
        for act in acts:
            instead = act.instead(call)
            if instead is not None:
                return self._log(call, instead, act.name)
        answer = await self.exchange(call)
        for act in acts:
            answer = await act.answered(call, answer)
        return answer

    async def exchange(self, call: Call) -> Answer:
        """The whole exchange with its faults; an answer marked drop_after or hang_after must not reach the caller."""
        faults, settings = self.faults, self.faults.settings[self.channel]
        if faults.strikes(self.channel, "latency"):
            await asyncio.sleep(faults.amount(self.channel, "latency", settings.latency_seconds))
        if faults.strikes(self.channel, "rate_limited"):
            answer = self.error(429, "rate_limited", "Too many requests.")
            answer.headers["Retry-After"] = str(settings.retry_after_seconds)
            return self._log(call, answer, "rate_limited")
        if faults.strikes(self.channel, "error_before"):
            return self._log(call, self.error(503, "unavailable", "Service unavailable."), "error_before")
        try:
            call = await self.prepare(call)
        except Refusal as refusal:
            return self._log(call, refusal.answer, "")
        answer = self._transact(call)
        if answer.before_sending is not None:
            await answer.before_sending()
        return await self._fail_afterwards(call, answer)

    def _transact(self, call: Call) -> Answer:
        try:
            with self.books.transaction():
                answer = self._carried_out(call)
                applies = self.writes(call) and answer.status < 300 and self.can_be_ignored(call)
                if applies and self.faults.strikes(self.channel, "ignored_write"):
                    raise _Ignored(answer)
                if self.writes(call):
                    self._write_down(call, answer.status, "")
        except Refusal as refusal:
            return self._log(call, refusal.answer, "")
        except _Undone as undone:
            return self._log(call, undone.answer, "undone")
        except _Ignored as ignored:
            pretends = self.faults.amount(self.channel, "ignored_write", 1.0) < 0.5
            return self._log(call, ignored.answer if pretends else self.current(call), "ignored_write")
        return answer

    def _carried_out(self, call: Call) -> Answer:
        """What the call does and is told, where named faults change either. Raises Refusal, _Undone."""
        acts = self.faults.acts[self.channel]
        if not acts:
            return self.answer(call)
        if not self.writes(call):

            def lens(kind: Literal["listing", "order"], rows: list[Any]) -> list[Any]:
                for act in acts:
                    rows = act.shows(kind, rows)
                return rows

            with self.books.seen_through(lens):
                return self.answer(call)
        before = {row.id: row for row in self.books.listings("channel = ?", (self.channel,))}
        answer = self.answer(call)
        for act in acts:
            instead = act.wrote(call, answer, before)
            if instead is not None:
                raise _Undone(instead)
        return answer

    async def _fail_afterwards(self, call: Call, answer: Answer) -> Answer:
        if not self.writes(call) or answer.status >= 300 or answer.fault:
            return answer
        if self.faults.strikes(self.channel, "error_after"):
            self._mark(call, "error_after")
            return self.error(502, "bad_gateway", "Bad gateway.")
        if self.faults.strikes(self.channel, "drop_after"):
            self._mark(call, "drop_after")
            answer.fault = "drop_after"
        elif self.faults.strikes(self.channel, "hang_after"):
            self._mark(call, "hang_after")
            await asyncio.sleep(self.faults.settings[self.channel].hang_seconds)
            answer.fault = "hang_after"
        return answer

    def _log(self, call: Call, answer: Answer, fault: str) -> Answer:
        if self.writes(call):
            self._write_down(call, answer.status, fault)
        answer.fault = fault
        return answer

    def _write_down(self, call: Call, status: int, fault: str) -> None:
        self.books.db.execute(
            "INSERT INTO write_log (channel, method, path, key, status, fault, at_ms) VALUES (?,?,?,?,?,?,?)",
            (
                self.channel,
                call.method,
                call.path,
                call.headers.get("idempotency-key", ""),
                status,
                fault,
                self.books.clock.now_ms(),
            ),
        )

    def _mark(self, call: Call, fault: str) -> None:
        """Note on the write's own row that its answer did not arrive."""
        self.books.db.execute(
            "UPDATE write_log SET fault = ? WHERE id ="
            " (SELECT max(id) FROM write_log WHERE channel = ? AND method = ? AND path = ? AND fault = '')",
            (fault, self.channel, call.method, call.path),
        )

    async def _read(self, scope: Scope, receive: Receive) -> Call | None:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        parts: list[bytes] = []
        size = 0
        more = True
        while more:
            message = await receive()
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            more = bool(message.get("more_body", False))
            if size > _MAX_BODY:
                return None
        raw_path = scope.get("raw_path") or scope["path"].encode()
        full_path = raw_path.decode("latin-1").partition("?")[0]
        root = scope.get("root_path", "")
        return Call(
            method=scope["method"],
            path=full_path.removeprefix(root),
            query=parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True),
            headers=headers,
            body=b"".join(parts),
            scheme=scope["scheme"],
            host=headers.get("host", "localhost"),
            full_path=full_path,
        )


async def _send(send: Send, answer: Answer) -> None:
    headers = [(b"content-type", answer.media_type.encode()), (b"content-length", str(len(answer.body)).encode())]
    if "Date" not in answer.headers:
        headers.append((b"date", formatdate(usegmt=True).encode()))
    headers += [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in answer.headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


async def _drop(send: Send, answer: Answer) -> None:
    """Promise a body and never deliver it: the server closes the connection and the caller sees it break."""
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer.body) + 1).encode())]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"", "more_body": True})


def parse_object(body: bytes) -> dict[str, Any] | None:
    """A JSON object, or None when the body is something else."""
    try:
        value = json.loads(body) if body else {}
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
