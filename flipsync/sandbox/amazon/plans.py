"""Usage plans: a token bucket for each operation, at the documented rate and burst."""

from __future__ import annotations

import time

from flipsync.sandbox.amazon.world import World, refuse


class UsagePlans:
    """Throttles as Amazon does: 429 QuotaExceeded, with the rate in x-amzn-RateLimit-Limit and no word of when."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._buckets: dict[tuple[str, str], tuple[float, float]] = {}

    @property
    def factor(self) -> float:
        """How many times the documented plan this seller has (the sandbox's meta "amazon.usage_factor")."""
        return float(self._world.books.meta("amazon.usage_factor") or 1.0)

    def rate(self, rate: float) -> float:
        return rate * self.factor

    def take(self, client_id: str, operation: str, rate: float, burst: int) -> None:
        """Raises Refusal when the bucket is empty."""
        now = time.monotonic()
        size = burst * self.factor
        tokens, at = self._buckets.get((client_id, operation), (size, now))
        tokens = min(size, tokens + (now - at) * self.rate(rate))
        if tokens < 1:
            self._buckets[(client_id, operation)] = (tokens, now)
            refusal = refuse(429, "QuotaExceeded", "You exceeded your quota for the requested resource.")
            refusal.answer.headers["x-amzn-RateLimit-Limit"] = str(self.rate(rate))
            raise refusal
        self._buckets[(client_id, operation)] = (tokens - 1, now)
