"""An HTTP server that does nothing but count: the peer that shows what sending costs without anybody working."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}"


class _Deaf(asyncio.Protocol):
    """Answers each request with the same bytes."""

    def __init__(self, count: Callable[[], None]) -> None:
        self._count = count
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            start = head.find(b"content-length:")
            length = int(head[start + 15 :].split(b"\r\n", 1)[0]) if start >= 0 else 0
            if len(self._buffer) < end + 4 + length:
                return
            self._buffer = self._buffer[end + 4 + length :]
            self._count()
            self._transport.write(_ANSWER)


@contextlib.asynccontextmanager
async def noop_listener() -> AsyncIterator[tuple[str, Callable[[], int]]]:
    """Its URL, and how many requests it has answered so far."""
    heard = 0

    def count() -> None:
        nonlocal heard
        heard += 1

    server = await asyncio.get_running_loop().create_server(lambda: _Deaf(count), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/", lambda: heard
    finally:
        server.close()


async def _serve() -> None:
    async with noop_listener() as (url, _):
        print(url, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve())
