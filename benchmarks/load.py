"""An HTTP/1.1 load generator on asyncio protocols: keep-alive, no parsing beyond what is needed to know the end.

It must never be what is measured: `LoadResult.generator_share` says how much of one core it took.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class LoadResult:
    """Latencies in seconds, one an answer, and how many answers had which status."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    generator_share: float = 0.0

    @property
    def per_second(self) -> float:
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    def require(self, *statuses: int) -> None:
        """Raises RuntimeError when an answer had another status: a fast error is no performance."""
        if other := {status: n for status, n in self.statuses.items() if status not in statuses}:
            raise RuntimeError(f"unexpected answers: {other}")


def http_request(method: str, url: str, headers: dict[str, str] | None = None, body: bytes = b"") -> bytes:
    """The bytes of a request."""
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [f"{method} {path} HTTP/1.1", f"Host: {parts.netloc}", *(f"{k}: {v}" for k, v in (headers or {}).items())]
    if body or method in ("POST", "PUT"):
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


class Connection(asyncio.Protocol):
    """One keep-alive connection with one request under way at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._length = -1  # of head and body together, once the head is there
        self._head = 0
        self._waiter: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(exc or ConnectionResetError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        if self._length < 0:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            self._head, self._length = end + 4, end + 4 + _content_length(self._buffer[:end])
        if len(self._buffer) >= self._length and self._waiter is not None and not self._waiter.done():
            answer = int(self._buffer[9:12]), self._buffer[self._head : self._length]
            self._buffer, self._length = b"", -1
            self._waiter.set_result(answer)

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """Status and body. Raises ConnectionError when the server hangs up, ValueError for a chunked answer."""
        assert self._transport is not None
        self._waiter = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiter

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def _content_length(head: bytes) -> int:
    lowered = head.lower()
    start = lowered.find(b"content-length:")
    if start < 0:
        if b"transfer-encoding:" in lowered:
            raise ValueError("the generator reads answers with a Content-Length only")
        return 0
    return int(lowered[start + 15 :].split(b"\r\n", 1)[0])


async def connect(url: str) -> Connection:
    parts = urlsplit(url)
    _, protocol = await asyncio.get_running_loop().create_connection(
        Connection, parts.hostname or "127.0.0.1", parts.port or 80
    )
    return protocol


@contextlib.asynccontextmanager
async def connections(url: str, count: int) -> AsyncIterator[list[Connection]]:
    opened = [await connect(url) for _ in range(count)]
    try:
        yield opened
    finally:
        for connection in opened:
            connection.close()


Answered = Callable[[int, bytes], None]


async def hammer(
    url: str,
    make: Callable[[], bytes],
    *,
    width: int,
    seconds: float | None = None,
    count: int | None = None,
    answered: Answered | None = None,
) -> LoadResult:
    """As fast as the server answers on `width` connections, for `seconds` or `count` requests."""
    result = LoadResult()
    left = count if count is not None else 2**62
    clock = time.perf_counter

    async def one(connection: Connection, end: float) -> None:
        nonlocal left
        while left > 0 and clock() < end:
            left -= 1
            sent = clock()
            status, body = await connection.send(make())
            result.latencies.append(clock() - sent)
            result.statuses[status] += 1
            if answered is not None:
                answered(status, body)

    async with connections(url, width) as opened:
        used, began = _own_time(), clock()
        end = began + seconds if seconds is not None else float("inf")
        await asyncio.gather(*(one(connection, end) for connection in opened))
        result.seconds = clock() - began
        result.generator_share = (_own_time() - used) / result.seconds
    return result


async def pace(
    url: str,
    make: Callable[[], bytes],
    *,
    rate: float,
    seconds: float,
    width: int = 64,
    answered: Answered | None = None,
) -> LoadResult:
    """`rate` requests a second, sent on time whether or not earlier ones are answered (open loop, up to `width`)."""
    result = LoadResult()
    clock = time.perf_counter
    async with connections(url, width) as opened:
        free: asyncio.Queue[Connection] = asyncio.Queue()
        for connection in opened:
            free.put_nowait(connection)

        async def one(connection: Connection, due: float) -> None:
            status, body = await connection.send(make())
            result.latencies.append(clock() - due)  # from when it was due: waiting for a connection counts
            result.statuses[status] += 1
            if answered is not None:
                answered(status, body)
            free.put_nowait(connection)

        used, began = _own_time(), clock()
        under_way = set()
        for number in range(int(rate * seconds)):
            due = began + number / rate
            if (wait := due - clock()) > 0:
                await asyncio.sleep(wait)
            task = asyncio.create_task(one(await free.get(), due))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        await asyncio.gather(*under_way)
        result.seconds = clock() - began
        result.generator_share = (_own_time() - used) / result.seconds
    return result


def _own_time() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
