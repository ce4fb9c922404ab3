"""Live events as server-sent events (HTML, 9.2): for networks and programs through which no WebSocket gets.

The same events as over the WebSocket. A client that does not read is not waited for: the oldest events it has not read
are dropped and counted; what it reads next says so.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import orjson

from flipsync.domain.clock import utc_now
from flipsync.domain.errors import FlipSyncError, Unavailable
from flipsync.security.tokens import Claims
from flipsync.services import live_events
from serve.backend import Backend
from serve.errors import PART_GONE

#: what a browser waits before it comes back
_RETRY = b"retry: 2000\n\n"


async def stream(backend: Backend, claims: Claims, last_seen: UUID | None, seconds: int) -> AsyncIterator[bytes]:
    """What was missed since the event last seen, then what happens within so many seconds, at most while the token is
    good. Ends without an error when it may not go on: whoever comes back is told why."""
    yield _RETRY
    try:
        async for each in _events(backend, claims, last_seen, seconds):
            yield each
    except (Unavailable, *PART_GONE):
        yield _told("unavailable", {})


async def _events(backend: Backend, claims: Claims, last_seen: UUID | None, seconds: int) -> AsyncIterator[bytes]:
    person = None if claims.is_key else claims.user_id
    async with backend.live.listen(claims.tenant_id, person) as listener:
        if last_seen is not None:
            events = await live_events.missed(backend.store, claims.tenant_id, last_seen)
            yield _told("ready", {"resumed": events is not None})
            for event in events or ():
                yield _event(orjson.dumps(event))
        else:
            yield _told("ready", {})
        until = time.monotonic() + min(seconds, (claims.expires_at - utc_now()).total_seconds())
        while (left := until - time.monotonic()) > 0:
            try:
                async with asyncio.timeout(min(left, backend.settings.websocket_heartbeat_seconds)):
                    text = await listener.get()
            except TimeoutError:
                try:
                    await backend.require_present(claims)
                except FlipSyncError:
                    return
                yield b": \n\n"
                continue
            if dropped := listener.take_dropped():
                yield _told("dropped", {"count": dropped})
            yield _event(text.encode())


def _event(body: bytes) -> bytes:
    """With its id, which the client brings back. What is meant for one person alone is in no journal and has none."""
    event_id = orjson.loads(body).get("id")
    named = f"id: {UUID(event_id)}\n".encode() if isinstance(event_id, str) else b""
    return named + b"data: " + body + b"\n\n"  # JSON as we write it has no line break in it


def _told(kind: str, content: dict[str, Any]) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + orjson.dumps(content) + b"\n\n"
