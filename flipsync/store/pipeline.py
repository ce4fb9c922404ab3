"""Reads for the API's hot path: one round trip each, many under way on few connections, no object mapping.

Everything between two syncs of PostgreSQL's extended protocol is one transaction. A read is such a transaction: it
binds the tenant (for this transaction only, so that nothing can be left behind on a shared connection), looks whether
the user may still be here, and asks its questions, with prepared statements. Connections log in as the role that
row-level security binds, and are read-only. libpq's pipeline mode lets the next read be sent while earlier ones are
being answered. https://www.postgresql.org/docs/18/protocol-flow.html#PROTOCOL-FLOW-PIPELINING
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, Literal, NamedTuple
from uuid import UUID

import orjson
import psycopg
from psycopg.adapt import Transformer
from psycopg.pq import ExecStatus, Format
from psycopg.pq.abc import PGresult
from psycopg.types.json import set_json_loads
from sqlalchemy.engine import URL, make_url

from flipsync.domain.errors import InvalidInput, Unauthenticated, Unavailable
from flipsync.store.reading import Asked, Rows

_OPTIONS = "-c timezone=UTC -c default_transaction_read_only=on -c statement_timeout=30s"
_CONNECT_SECONDS = 10
#: so many reads wait on every connection before another one is opened
_CROWDED = 8
_BIND = b"SELECT set_config('app.tenant_id', $1, true)"
_SESSION = (
    b"SELECT 1 FROM user_session s JOIN app_user u ON u.id = s.user_id WHERE s.id = $1::uuid AND s.revoked_at IS NULL"
)
_KEY = (
    b"SELECT 1 FROM api_key k JOIN app_user u ON u.id = k.user_id"
    b" WHERE k.id = $1::uuid AND k.revoked_at IS NULL AND k.expires_at > now()"
)
_USER = b" AND u.id = $2::uuid AND u.disabled_at IS NULL AND u.role = $3"
_OWN_ROLE = (
    b" AND u.id = $2::uuid AND u.disabled_at IS NULL AND u.role_id = $3::uuid"
    b" AND EXISTS (SELECT FROM custom_role r WHERE r.id = u.role_id AND r.version = $4::bigint)"
)
#: by kind, and by how many values say who it is
_PRESENT = {
    ("session", 3): _SESSION + _USER,
    ("session", 4): _SESSION + _OWN_ROLE,
    ("key", 3): _KEY + _USER,
    ("key", 4): _KEY + _OWN_ROLE,
}
#: feature_not_supported: "cached plan must not change result type", after a migration
_STALE_PLAN = "0A000"

_Step = tuple[bytes, Sequence[bytes | None]]


class Presence(NamedTuple):
    """Whoever asks: a session or API key by its id, its user's id, and the role it was told they have (of a business's
    own role its id and version); as text."""

    kind: Literal["session", "key"]
    who: tuple[bytes, ...]


class ReadFailed(Exception):
    """PostgreSQL refused a statement of a read: a mistake of ours. `sqlstate` says which."""

    def __init__(self, sqlstate: str, message: str) -> None:
        super().__init__(f"{sqlstate}: {message}")
        self.sqlstate = sqlstate


class _Lost(Exception):
    """The connection ended before the answer came, or is of no use any more: ask another one."""


class _Under:
    """A read under way."""

    __slots__ = ("failure", "future", "results")

    def __init__(self, future: asyncio.Future[list[PGresult]]) -> None:
        self.future = future
        self.results: list[PGresult] = []
        self.failure: ReadFailed | None = None


class _Line:
    """One connection in pipeline mode. Answers come in the order of the reads."""

    def __init__(self, connection: psycopg.AsyncConnection[Any], loop: asyncio.AbstractEventLoop) -> None:
        self._connection = connection  # keeps the descriptor open
        self._pq = connection.pgconn
        self._names: dict[bytes, bytes] = {}
        self._reads: deque[_Under] = deque()
        self._in_answer = False
        self.transformer = Transformer(connection)
        self.loop = loop
        self.open = True
        self._socket = self._pq.socket
        self._pq.enter_pipeline_mode()
        loop.add_reader(self._socket, self._readable)

    def __len__(self) -> int:
        return len(self._reads)

    def send(self, steps: Sequence[_Step]) -> asyncio.Future[list[PGresult]]:
        """The results of the steps. The future fails with _Lost or ReadFailed; to cancel it disturbs nobody."""
        future: asyncio.Future[list[PGresult]] = self.loop.create_future()
        try:
            if any(text not in self._names for text, _ in steps):
                self._prepare([text for text, _ in steps if text not in self._names])
            for text, values in steps:
                self._pq.send_query_prepared(self._names[text], values, None, Format.BINARY)
            self._reads.append(_Under(future))
            self._pq.pipeline_sync()
            self._flush()
        except psycopg.Error:
            self.close()
            if not future.done():
                future.set_exception(_Lost())
        return future

    def _prepare(self, texts: Sequence[bytes]) -> None:
        """In a transaction of its own: statements stay prepared, whatever becomes of the read that needs them first."""
        for text in texts:
            name = self._names[text] = b"r%d" % len(self._names)
            self._pq.send_prepare(name, text)
        self._reads.append(_Under(self.loop.create_future()))
        self._reads[-1].future.add_done_callback(self._prepared)
        self._pq.pipeline_sync()

    def _prepared(self, done: asyncio.Future[list[PGresult]]) -> None:
        if not done.cancelled() and done.exception() is not None:
            self.open = False  # some names stand for nothing

    def _flush(self) -> None:
        if self._pq.flush():
            self.loop.add_writer(self._socket, self._writable)

    def _writable(self) -> None:
        self.loop.remove_writer(self._socket)
        try:
            self._flush()
        except psycopg.Error:
            self.close()

    def _readable(self) -> None:
        try:
            self._pq.consume_input()
            while self._reads and not self._pq.is_busy():
                result = self._pq.get_result()
                if result is None:  # ends the answer to one statement; twice: nothing more has come
                    if not self._in_answer:
                        break
                    self._in_answer = False
                elif result.status == ExecStatus.PIPELINE_SYNC:
                    self._finish(self._reads.popleft())
                else:
                    self._in_answer = True
                    self._take(self._reads[0], result)
        except psycopg.Error:
            self.close()

    def _take(self, read: _Under, result: PGresult) -> None:
        if result.status == ExecStatus.TUPLES_OK:
            read.results.append(result)
        elif result.status == ExecStatus.FATAL_ERROR and read.failure is None:
            sqlstate = (result.error_field(psycopg.pq.DiagnosticField.SQLSTATE) or b"").decode()
            read.failure = ReadFailed(sqlstate, result.get_error_message())

    def _finish(self, read: _Under) -> None:
        stale = read.failure is not None and read.failure.sqlstate == _STALE_PLAN
        if stale:
            self.open = False
        if read.future.done():
            return
        if read.failure is None:
            read.future.set_result(read.results)
        else:
            read.future.set_exception(_Lost() if stale else read.failure)

    def close(self) -> None:
        """End the connection; reads under way fail."""
        self.open = False
        if self._socket >= 0:
            if not self.loop.is_closed():
                self.loop.remove_reader(self._socket)
                self.loop.remove_writer(self._socket)
            self._socket = -1
            self._pq.finish()
        while self._reads:
            future = self._reads.popleft().future
            if not future.done():
                future.set_exception(_Lost())


class ReadPipeline:
    """A few connections as one role, opened when they are needed. For one event loop at a time."""

    def __init__(self, url: str | URL, *, connections: int = 4, name: str = "flipsync") -> None:
        plain = make_url(url).set(drivername="postgresql")
        self._url = plain.render_as_string(hide_password=False)
        self._most = connections
        self._name = f"{name} reads"
        self._lines: list[_Line] = []
        self._opening = asyncio.Lock()

    async def read(self, tenant_id: UUID, presence: Presence | None, asked: Sequence[Asked]) -> list[Rows]:
        """One transaction as `tenant_id`. With `presence`: Unauthenticated unless it holds now.

        Raises Unavailable when the database cannot be reached, ReadFailed when it refuses a question.
        """
        steps: list[_Step] = [(_BIND, (str(tenant_id).encode(),))]
        if presence is not None:
            steps.append((_PRESENT[presence.kind, len(presence.who)], presence.who))
        for each in asked:
            wire = each.statement.wire
            values = each.values
            steps.append((wire.text, [written_text(values.get(name, wire.constants.get(name))) for name in wire.names]))
        line, results = await self._send(steps)
        if presence is not None and not results[1].ntuples:
            raise Unauthenticated(
                "this session or key has ended, or the user's rights changed",
                hint="refresh the token, or sign in again",
            )
        transformer, first = line.transformer, len(steps) - len(asked)
        answers: list[Rows] = []
        for each, result in zip(asked, results[first:], strict=True):
            transformer.set_pgresult(result)
            make = each.statement.row(partial(columns_of, result))
            answers.append(transformer.load_rows(0, result.ntuples, make))
        return answers

    async def _send(self, steps: Sequence[_Step]) -> tuple[_Line, list[PGresult]]:
        for _ in range(2):  # a connection may have been closed while it was idle; to read twice harms nobody
            line = await self._line()
            with contextlib.suppress(_Lost):
                return line, await line.send(steps)
        raise Unavailable("the database closes its connections", hint="try again in a moment")

    async def _line(self) -> _Line:
        line = self._least_busy()
        if line is not None and (len(line) < _CROWDED or len(self._lines) >= self._most):
            return line
        async with self._opening:
            line = self._least_busy()
            if line is None or (len(line) >= _CROWDED and len(self._lines) < self._most):
                line = await self._open()
        return line

    def _least_busy(self) -> _Line | None:
        loop = asyncio.get_running_loop()
        for line in [line for line in self._lines if not line.open or line.loop is not loop]:
            if not len(line) or line.loop is not loop:  # else it still answers what was asked of it
                line.close()
                self._lines.remove(line)
                self._opening = self._opening if line.loop is loop else asyncio.Lock()
        return min((line for line in self._lines if line.open), key=len, default=None)

    async def _open(self) -> _Line:
        try:
            connection = await psycopg.AsyncConnection.connect(
                self._url,
                autocommit=True,
                options=_OPTIONS,
                application_name=self._name,
                connect_timeout=_CONNECT_SECONDS,
            )
        except psycopg.Error as error:
            raise Unavailable("the database does not answer", hint="try again in a moment") from error
        set_json_loads(orjson.loads, connection)
        line = _Line(connection, asyncio.get_running_loop())
        self._lines.append(line)
        return line

    async def aclose(self) -> None:
        while self._lines:
            self._lines.pop().close()


class TenantReader:
    """Reads as one tenant, each `ask` a transaction of its own; with a presence: only while that holds."""

    __slots__ = ("_pipeline", "_presence", "_tenant_id")

    def __init__(self, pipeline: ReadPipeline, tenant_id: UUID, presence: Presence | None = None) -> None:
        self._pipeline = pipeline
        self._tenant_id = tenant_id
        self._presence = presence

    async def ask(self, *asked: Asked) -> list[Rows]:
        """Raises Unauthenticated, Unavailable."""
        return await self._pipeline.read(self._tenant_id, self._presence, asked)


def columns_of(result: PGresult) -> list[str]:
    return [(result.fname(number) or b"").decode() for number in range(result.nfields)]


def written_text(value: Any) -> bytes | None:
    """A parameter in PostgreSQL's text format. Raises InvalidInput for a text that cannot be kept."""
    if value is None:
        return None
    if isinstance(value, str):
        if "\0" in value:
            raise InvalidInput("a text cannot hold a NUL character", hint="leave it out")
        try:
            return value.encode()
        except UnicodeEncodeError:
            raise InvalidInput(
                "a text cannot hold half of a character (a lone surrogate)", hint="leave it out"
            ) from None
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, datetime):
        return value.isoformat().encode()
    if isinstance(value, list):
        return b"{%s}" % b",".join(b"NULL" if each is None else _quoted(written_text(each)) for each in value)
    return str(value).encode()


def _quoted(element: bytes | None) -> bytes:
    """An element of an array. https://www.postgresql.org/docs/18/arrays.html#ARRAYS-IO"""
    return b'"%s"' % (element or b"").replace(b"\\", b"\\\\").replace(b'"', b'\\"')
