"""How often somebody may try a password: counts in Redis, shared by all replicas.

Two counts, because either alone can be got round. Guesses at one account from one address end after a few. Guesses at
one account from many addresses are let through ever more slowly, but never from an address at which the account's
owner signed in before: a stranger who guesses on purpose must not be able to keep the owner out.
"""

from __future__ import annotations

import hashlib
import ipaddress
import time

from redis.asyncio import Redis
from redis.exceptions import RedisError

from flipsync.domain.errors import FlipSyncError

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

    From all unknown addresses together an account gets `free` attempts, then one in 2, 4, 8, … up to `longest_wait`
    seconds, until nobody has tried for a day. Signing in makes an address known for 90 days. Without Redis nobody is
    kept out: the password still is, and hashing is bounded (see Passwords).
    """

    def __init__(
        self, redis: Redis, *, limit: int = 10, window: int = 900, free: int = 30, longest_wait: int = 60
    ) -> None:
        self._redis = redis
        self._limit = limit
        self._window = window
        self._free = free
        self._longest_wait = longest_wait

    async def attempt(self, account: str, address: str) -> None:
        """Count an attempt before it is made, so that parallel ones cannot slip through. Raises TooManyAttempts."""
        try:
            after = await self._from_here(account, address) or await self._from_anywhere(account, address)
        except RedisError:
            return
        if after:
            raise TooManyAttempts(after)

    async def succeeded(self, account: str, address: str) -> None:
        """Forget the attempts from this address and know it from now on."""
        known, place = _key("known", account), _place(address)
        try:
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.delete(_key("here", account, place))
                pipe.zadd(known, {_digest(place): time.time()})
                pipe.zremrangebyrank(known, 0, -_REMEMBERED_ADDRESSES - 1)
                pipe.expire(known, _REMEMBERED_SECONDS)
                await pipe.execute()
        except RedisError:
            return

    async def _from_here(self, account: str, address: str) -> int:
        """Seconds to wait, 0 to go on."""
        key = _key("here", account, _place(address))
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.set(key, 0, ex=self._window, nx=True)
            pipe.incr(key)
            pipe.ttl(key)
            _, count, left = await pipe.execute()
        return max(1, int(left)) if count > self._limit else 0

    async def _from_anywhere(self, account: str, address: str) -> int:
        if await self._redis.zscore(_key("known", account), _digest(_place(address))) is not None:
            return 0
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


def _place(address: str) -> str:
    """One customer's addresses count as one: of IPv6 a /64."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


def _key(kind: str, account: str, *more: str) -> str:
    # a hash: addresses of people do not belong into a cache's keys
    return f"sign-in:{kind}:{_digest(account.strip().lower(), *more)}"


def _digest(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()
