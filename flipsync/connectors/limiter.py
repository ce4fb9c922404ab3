"""How requests of an account are kept within the vendor's limits: the port a connector is given for it."""

from __future__ import annotations

from typing import Protocol


class Limiter(Protocol):
    """Shared by all workers of an account: waits until a request is allowed, and learns from refusals.

    Work that `leaves_reserve` never takes the last tokens of a bucket.
    """

    async def acquire(self, bucket: str, rate_per_second: float, burst: int, cost: float = 1.0) -> None:
        """Wait for `cost` tokens of `bucket` (never more than `burst`: what costs more waits for a full bucket)."""

    async def pause(self, bucket: str, seconds: float) -> None:
        """Nobody may use `bucket` for `seconds` (a 429 or Retry-After was seen)."""

    async def learn(
        self,
        bucket: str,
        *,
        rate_per_second: float | None = None,
        burst: int | None = None,
        left: float | None = None,
        unused: float = 0.0,
    ) -> None:
        """The vendor's answer told the bucket's true rate or size, or how many tokens are left in it.

        `unused` of the tokens taken for the call were not needed after all.
        """


class Unlimited:
    """A limiter that never waits; for tests and local tools."""

    async def acquire(self, bucket: str, rate_per_second: float, burst: int, cost: float = 1.0) -> None:
        return None

    async def pause(self, bucket: str, seconds: float) -> None:
        return None

    async def learn(
        self,
        bucket: str,
        *,
        rate_per_second: float | None = None,
        burst: int | None = None,
        left: float | None = None,
        unused: float = 0.0,
    ) -> None:
        return None
