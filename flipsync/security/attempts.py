"""How often somebody may try a password: counts in Redis, shared by all replicas.

Three counts, because each alone can be got round. Guesses at one account from one address end after a few. One
address that guesses a little at each of many accounts (password spraying) ends after many: an office, or the customers
of a carrier, share an address, so what succeeded does not count. Guesses at one account from many addresses are let
through ever more slowly. Neither of the last two holds at an address at which the account's owner signed in before: a
stranger who guesses on purpose, also one of the same office, must not be able to keep the owner out.
"""

from __future__ import annotations

import hashlib
import time

from redis.asyncio import Redis
from redis.exceptions import RedisError

from flipsync.domain.errors import FlipSyncError
from flipsync.security.places import place_of

_REMEMBERED_ADDRESSES = 20
_REMEMBERED_SECONDS = 90 * 86_400
_ACCOUNT_SECONDS = 86_400


class TooManyAttempts(FlipSyncError):
    """Wait `after` seconds before the next attempt."""

    code = "too-many-attempts"
    status = 429

    def __init__(self, after: int) -> None:
        super().__init__("too many attempts", hint=f"try again in {after} seconds")
        self.after = after


class SignInLimit:
    """At most `limit` attempts on one account from one address within `window` seconds of the first.

    On all accounts together an address gets `failures` that failed, or are not decided yet, within such a window. From
    all unknown addresses together an account gets `free` attempts, then one in 2, 4, 8, … up to `longest_wait` seconds,
    until nobody has tried for a day. Signing in makes an address known for 90 days. Without Redis nobody is kept out:
    the password still is, and hashing is bounded (see Passwords).
    """

    def __init__(
        self,
        redis: Redis,
        *,
        limit: int = 10,
        window: int = 900,
        failures: int = 100,
        free: int = 30,
        longest_wait: int = 60,
    ) -> None:
        self._redis = redis
        self._limit = limit
        self._window = window
        self._failures = failures
        self._free = free
        self._longest_wait = longest_wait

    async def attempt(self, account: str, address: str) -> None:
        """Count an attempt before it is made, so that parallel ones cannot slip through. Raises TooManyAttempts."""
        try:
            after = await self._wait(account, place_of(address))
        except RedisError:
            return
        if after:
            raise TooManyAttempts(after)

    async def succeeded(self, account: str, address: str) -> None:
        """Forget the attempts from this address on the account, take this one from the address's failures, and know
        the address from now on."""
        place = place_of(address)
        known, failed = _key("known", account), _key("failed", place)
        try:
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.delete(_key("here", account, place))
                pipe.set(failed, 0, ex=self._window, nx=True)
                pipe.decr(failed)
                pipe.zadd(known, {_digest(place): time.time()})
                pipe.zremrangebyrank(known, 0, -_REMEMBERED_ADDRESSES - 1)
                pipe.expire(known, _REMEMBERED_SECONDS)
                await pipe.execute()
        except RedisError:
            return

    async def _wait(self, account: str, place: str) -> int:
        """Seconds to wait, 0 to go on."""
        here, failed = _key("here", account, place), _key("failed", place)
        async with self._redis.pipeline(transaction=True) as pipe:
            for key in (here, failed):
                pipe.set(key, 0, ex=self._window, nx=True)
                pipe.incr(key)
                pipe.ttl(key)
            pipe.zscore(_key("known", account), _digest(place))
            _, tried, left, _, failures, failures_left, known = await pipe.execute()
        if tried > self._limit:
            return max(1, int(left))
        if known is not None:
            return 0
        if failures > self._failures:
            return max(1, int(failures_left))
        return await self._from_anywhere(account)

    async def _from_anywhere(self, account: str) -> int:
        count_key, wait_key = _key("account", account), _key("wait", account)
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.incr(count_key)
            pipe.expire(count_key, _ACCOUNT_SECONDS)
            count, _ = await pipe.execute()
        above = int(count) - self._free
        if above <= 0:
            return 0
        wait = min(self._longest_wait, 2 ** min(above, 20))
        # whoever sets it goes on, the others wait for the next turn
        if await self._redis.set(wait_key, 1, ex=wait, nx=True):
            return 0
        return max(1, int(await self._redis.ttl(wait_key)))


def _key(kind: str, account: str, *more: str) -> str:
    # a hash: addresses of people do not belong into a cache's keys
    return f"sign-in:{kind}:{_digest(account.strip().lower(), *more)}"


def _digest(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()
