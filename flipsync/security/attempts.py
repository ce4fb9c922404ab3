"""How often somebody may try: counts in Redis, shared by all replicas, so that passwords cannot be guessed at speed."""

from __future__ import annotations

import hashlib

from redis.asyncio import Redis
from redis.exceptions import RedisError

from flipsync.domain.errors import FlipSyncError


class TooManyAttempts(FlipSyncError):
    """Wait `after` seconds before the next attempt."""

    code = "too-many-attempts"
    status = 429

    def __init__(self, after: int) -> None:
        super().__init__("too many attempts", hint=f"try again in {after} seconds")
        self.after = after


class AttemptLimit:
    """At most `limit` failures of one name within `window` seconds, counted from its first.

    Without Redis nobody is kept out: the password still is, and hashing is bounded (see Passwords).
    """

    def __init__(self, redis: Redis, purpose: str, *, limit: int = 10, window: int = 900) -> None:
        self._redis = redis
        self._purpose = purpose
        self._limit = limit
        self._window = window

    async def check(self, name: str) -> None:
        """Raises TooManyAttempts when the limit is reached."""
        key = self._key(name)
        try:
            count = await self._redis.get(key)
            if count is None or int(count) < self._limit:
                return
            left = await self._redis.ttl(key)
        except RedisError:
            return
        raise TooManyAttempts(max(1, int(left)))

    async def failed(self, name: str) -> None:
        """Count one failure."""
        key = self._key(name)
        try:
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.set(key, 0, ex=self._window, nx=True)
                pipe.incr(key)
                await pipe.execute()
        except RedisError:
            return

    async def succeeded(self, name: str) -> None:
        """Forget the failures."""
        try:
            await self._redis.delete(self._key(name))
        except RedisError:
            return

    def _key(self, name: str) -> str:
        # a hash: addresses of people do not belong into a cache's keys
        return f"attempts:{self._purpose}:{hashlib.sha256(name.strip().lower().encode()).hexdigest()}"
