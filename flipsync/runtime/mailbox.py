"""Waking up: sleepers wait for a message on Redis, and look for themselves now and then: a message can be lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from uuid import UUID

import orjson
import redis.asyncio as redis
from redis.exceptions import RedisError

from flipsync.connectors.base import leaves_reserve
from flipsync.domain.clock import utc_now

_PREFIX = "flipsync:wake:"
#: without any message a sleeper looks after this long; with Redis away, after the short one
LOOK_SECONDS = 20.0
LOOK_WITHOUT_REDIS = 0.5
#: rings for whatever tenant a sleeper is there
EVERYBODY = UUID(int=0)
#: what of a bucket is left to urgent work
_RESERVE = 0.2


class RedisWaker:
    """Publishes wake-ups, and news: to all of a business, or `to` one person. Redis being away is no error: sleepers
    look for themselves."""

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(url, socket_timeout=2.0, socket_connect_timeout=1.0)

    async def wake(self, names: frozenset[str], tenant_id: UUID, news: Sequence[dict[str, Any]]) -> None:
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                for name in names:
                    pipe.publish(_PREFIX + name, tenant_id.bytes)
                for each in news:
                    whose = f"user:{each['to']}" if "to" in each else f"tenant:{tenant_id}"
                    pipe.publish(f"{whose}:events", orjson.dumps(each))
                await pipe.execute()
        except (RedisError, OSError):
            return

    async def aclose(self) -> None:
        await self._redis.aclose()


class Mailbox:
    """One sleeper's alarm: `await mailbox.wait(...)` returns on a wake-up or after the time-out.

    `serves`: for which tenants it rings; None: for all.
    """

    def __init__(self, url: str, names: Iterable[str], serves: Callable[[UUID], bool] | None = None) -> None:
        self._redis = redis.Redis.from_url(url, socket_connect_timeout=1.0, health_check_interval=30)
        self._serves = serves
        self._channels = [_PREFIX + name for name in names]
        self._event = asyncio.Event()
        self._connected = False
        self._task: asyncio.Task[None] | None = None

    def ring(self) -> None:
        """Wake the sleeper from inside the process."""
        self._event.set()

    def heard(self) -> None:
        """What was rung for so far is about to be looked for: it was committed before it was told."""
        self._event.clear()

    async def wait(self, seconds: float | None = None) -> bool:
        """Sleep until rung, at most `seconds` and at most the time between two looks; whether it was rung."""
        if self._task is None:
            self._task = asyncio.create_task(self._listen(), name="mailbox")
        limit = LOOK_SECONDS if self._connected else LOOK_WITHOUT_REDIS
        if seconds is not None:
            limit = min(limit, seconds)
        rung = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(limit, 0.001)):  # wait_for (3.11) forgets who is cancelled as it is rung
                rung = await self._event.wait()
        self._event.clear()
        return rung

    def _rings(self, told: bytes) -> bool:
        if self._serves is None or len(told) != len(EVERYBODY.bytes):
            return True
        tenant_id = UUID(bytes=told)
        return tenant_id == EVERYBODY or self._serves(tenant_id)

    async def _listen(self) -> None:
        while True:
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as pubsub:
                    await pubsub.subscribe(*self._channels)
                    self._connected = True
                    self._event.set()  # what was told while nobody listened
                    async for message in pubsub.listen():
                        if self._rings(message["data"]):
                            self._event.set()
            except (RedisError, OSError):
                self._connected = False
                await asyncio.sleep(0.5)

    async def aclose(self) -> None:
        if self._task is not None:
            self._task.cancel()
        await self._redis.aclose()


class Limits:
    """Token buckets in Redis, shared by all workers: one script, so that taking a token is atomic (see `_TAKE`).

    Work that leaves a reserve (`connectors.base.leaves_reserve`) waits while there is no more than that in the bucket:
    a fifth of what it holds, and never more than it gets in ten seconds. What is urgent takes it without waiting.

    With Redis away each process falls back to its own pace of a tenth of the rate: slower, never faster than allowed.
    """

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(url, socket_timeout=2.0, socket_connect_timeout=1.0)
        self._take = self._redis.register_script(_TAKE)
        self._learn = self._redis.register_script(_LEARN)
        self._local: dict[str, float] = {}

    async def acquire(self, bucket: str, rate_per_second: float, burst: int, cost: float = 1.0) -> None:
        share = _RESERVE if leaves_reserve.get() else 0.0
        while True:
            try:
                reply = await self._take(keys=[f"flipsync:limit:{bucket}"], args=[rate_per_second, burst, cost, share])
                wait = float(reply)
            except (RedisError, OSError):
                wait = self._alone(bucket, rate_per_second / cost)
                if wait > 0:
                    await asyncio.sleep(wait)
                return
            if wait <= 0:
                return
            await asyncio.sleep(wait)

    async def learn(
        self,
        bucket: str,
        *,
        rate_per_second: float | None = None,
        burst: int | None = None,
        left: float | None = None,
        unused: float = 0.0,
    ) -> None:
        told = [*(-1 if value is None else value for value in (rate_per_second, burst, left)), unused]
        with contextlib.suppress(RedisError, OSError):
            await self._learn(keys=[f"flipsync:limit:{bucket}"], args=told)

    async def pause(self, bucket: str, seconds: float) -> None:
        try:
            await self._redis.set(f"flipsync:limit:{bucket}:pause", b"1", px=max(1, int(seconds * 1000)))
        except (RedisError, OSError):
            self._local[bucket] = utc_now().timestamp() + seconds

    def _alone(self, bucket: str, rate_per_second: float) -> float:
        now = utc_now().timestamp()
        at = max(now, self._local.get(bucket, 0.0))
        self._local[bucket] = at + 10.0 / rate_per_second
        return at - now

    async def aclose(self) -> None:
        await self._redis.aclose()


# Token bucket: tokens refill at ARGV[1] a second up to ARGV[2]; answers 0 when ARGV[3] were taken, else the seconds to
# wait. ARGV[4] is the share of the bucket that has to stay in it; a call that needs the whole bucket leaves nothing.
# What a vendor's answers taught (see _LEARN) goes before what its documents say, until it is an hour old.
_TAKE = """
redis.replicate_commands()
local pause = redis.call('PTTL', KEYS[1] .. ':pause')
if pause > 0 then return tostring(pause / 1000) end
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local state = redis.call('HMGET', KEYS[1], 'tokens', 'at', 'rate', 'burst', 'learned')
local rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
if state[5] and now - tonumber(state[5]) < 3600 then
    rate, burst = tonumber(state[3]) or rate, tonumber(state[4]) or burst
end
local cost = math.min(tonumber(ARGV[3]), burst)
local tokens, at = tonumber(state[1]) or burst, tonumber(state[2]) or now
tokens = math.min(burst, tokens + (now - at) * rate)
local keep = math.min(math.floor(tonumber(ARGV[4]) * burst), math.ceil(10 * rate), burst - cost)
local wait = 0
if tokens >= cost + keep then tokens = tokens - cost else wait = (cost + keep - tokens) / rate end
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at', tostring(now))
redis.call('PEXPIRE', KEYS[1], math.ceil(burst / rate * 1000) + 3600000)
return tostring(wait)
"""

# What an answer said of a bucket: ARGV = rate, burst, tokens left, -1 for what it did not say; and tokens to give back.
# `left` only ever takes away: other requests may be on their way, and an answer is older than they are.
_LEARN = """
redis.replicate_commands()
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local rate, burst, left = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
if rate > 0 then redis.call('HSET', KEYS[1], 'rate', ARGV[1], 'learned', tostring(now)) end
if burst > 0 then redis.call('HSET', KEYS[1], 'burst', ARGV[2], 'learned', tostring(now)) end
local tokens = tonumber(redis.call('HGET', KEYS[1], 'tokens') or '')
if tokens and tonumber(ARGV[4]) > 0 then
    tokens = tokens + tonumber(ARGV[4])  -- the next taker cuts it to the bucket's size
    redis.call('HSET', KEYS[1], 'tokens', tostring(tokens))
end
if left >= 0 and (tokens == nil or left < tokens) then
    redis.call('HSET', KEYS[1], 'tokens', ARGV[3], 'at', tostring(now))
end
redis.call('PEXPIRE', KEYS[1], 3600000)
return 1
"""
