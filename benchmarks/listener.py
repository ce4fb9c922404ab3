"""An HTTP server that does nothing but count: the peer that shows what sending costs without anybody working."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}"


class Heard:
    """How many requests were answered; `await heard.reached(n)` waits for the n-th."""

    def __init__(self) -> None:
        self.count = 0
        self._goal = 0
        self._reached = asyncio.Event()

    def one(self) -> None:
        self.count += 1
        if self.count >= self._goal:
            self._reached.set()

    async def reached(self, goal: int) -> None:
        self._goal = goal
        self._reached.clear()
        if self.count < goal:
            await self._reached.wait()


class _Deaf(asyncio.Protocol):
    """Answers each request with the same bytes."""

    def __init__(self, heard: Heard) -> None:
        self._heard = heard
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
            self._heard.one()
            self._transport.write(_ANSWER)


@contextlib.asynccontextmanager
async def noop_listener() -> AsyncIterator[tuple[str, Heard]]:
    """Its URL, and what it has heard."""
    heard = Heard()
    server = await asyncio.get_running_loop().create_server(lambda: _Deaf(heard), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/", heard
    finally:
        server.close()


async def _serve() -> None:
    async with noop_listener() as (url, _):
        print(url, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve())
