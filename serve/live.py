"""Live events: one Redis subscription per process, handed to each WebSocket client through a bounded queue."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from flipsync.domain.errors import Unavailable

_log = structlog.get_logger("flipsync.api.live")
_IDLE = "flipsync:api"  # a subscription must always have a channel
_RETRY_SECONDS = 1.0


def channel_of(tenant_id: UUID) -> str:
    """The Redis channel on which a tenant's events are published, each a JSON object."""
    return f"tenant:{tenant_id}:events"


def channel_of_person(user_id: UUID) -> str:
    """The Redis channel on which is published what is meant for one person alone."""
    return f"user:{user_id}:events"


class Listener:
    """One client's events. When it is slow the oldest are dropped and counted: it must read the lists again."""

    def __init__(self, size: int) -> None:
        self._queue: asyncio.Queue[str] = asyncio.Queue(size)
        self.dropped = 0

    def put(self, event: str) -> None:
        if self._queue.full():
            self._queue.get_nowait()
            self.dropped += 1
        self._queue.put_nowait(event)

    async def get(self) -> str:
        return await self._queue.get()

    def take_dropped(self) -> int:
        dropped, self.dropped = self.dropped, 0
        return dropped


class LiveEvents:
    """Subscribes to a tenant's channel while somebody listens. Waits on the socket: no polling."""

    def __init__(self, redis: Redis, *, queue_size: int, most: int = 1_000) -> None:
        """`most`: listeners of one business, so that none of them takes the places of the others."""
        self._redis = redis
        self._queue_size = queue_size
        self._most = most
        self._listeners: defaultdict[str, set[Listener]] = defaultdict(set)
        self._pubsub: PubSub | None = None
        self._task: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def listen(self, tenant_id: UUID, user_id: UUID | None = None) -> AsyncIterator[Listener]:
        """Everything published for the tenant, or this person, from now on. Raises Unavailable where the business has
        too many listeners, RedisError when Redis does not answer."""
        channels, listener = [channel_of(tenant_id)], Listener(self._queue_size)
        if user_id is not None:
            channels.append(channel_of_person(user_id))
        async with self._lock:
            if len(self._listeners.get(channels[0], ())) >= self._most:
                raise Unavailable("too many of this business are connected", hint="close some, or try again later")
            pubsub = await self._started()
            fresh = [channel for channel in channels if channel not in self._listeners]
            if fresh:
                await pubsub.subscribe(*fresh)
            for channel in channels:
                self._listeners[channel].add(listener)
        try:
            yield listener
        finally:
            async with self._lock:
                for channel in channels:
                    self._listeners[channel].discard(listener)
                left = [channel for channel in channels if not self._listeners[channel]]
                for channel in left:
                    del self._listeners[channel]
                if left:
                    with contextlib.suppress(RedisError):
                        await pubsub.unsubscribe(*left)

    async def aclose(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._pubsub is not None:
            with contextlib.suppress(RedisError):
                await self._pubsub.aclose()  # type: ignore[no-untyped-call]

    async def _started(self) -> PubSub:
        if self._pubsub is None:
            pubsub = self._redis.pubsub(ignore_subscribe_messages=True)
            await pubsub.subscribe(_IDLE)
            self._pubsub = pubsub
            self._task = asyncio.create_task(self._pump(pubsub))
        return self._pubsub

    async def _pump(self, pubsub: PubSub) -> None:
        while True:
            try:
                message = await pubsub.get_message(timeout=None)
            except (RedisError, OSError) as error:
                _log.warning("live events interrupted", error=type(error).__qualname__)
                await asyncio.sleep(_RETRY_SECONDS)  # the client subscribes again by itself when it reconnects
                continue
            if message is not None and message["type"] == "message":
                self._hand_out(_text(message["channel"]), _text(message["data"]))

    def _hand_out(self, channel: str, event: str) -> None:
        for listener in tuple(self._listeners.get(channel, ())):
            listener.put(event)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
