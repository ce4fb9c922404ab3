"""How fast somebody may ask: an API key, a session, an address that does not say who it is. Counted in this process.

In Redis it would be a round trip more for every read; so each replica lets through its share, and a burst of the whole.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Hashable
from typing import NamedTuple

from flipsync.domain.errors import FlipSyncError

#: seconds of its pace that somebody may use at once
_BURST_SECONDS = 10.0
#: of so many a pace is remembered; an address that comes back after that begins anew
_REMEMBERED = 8192


class Quota(NamedTuple):
    """What a pace allows at once (`burst` requests in `window` seconds), what is `left` of it, and in how many seconds
    all of it is there again."""

    name: str
    burst: int
    window: int
    left: int
    seconds: int

    def headers(self) -> tuple[tuple[bytes, bytes], tuple[bytes, bytes]]:
        """As draft-ietf-httpapi-ratelimit-headers-10 has them."""
        return (
            (b"ratelimit-policy", f'"{self.name}";q={self.burst};w={self.window}'.encode()),
            (b"ratelimit", f'"{self.name}";r={self.left};t={self.seconds}'.encode()),
        )


class TooManyRequests(FlipSyncError):
    """Somebody asks faster than their pace; wait `after` seconds."""

    code = "too-many-requests"
    status = 429

    def __init__(self, after: float, quota: Quota) -> None:
        slower = "slow down, or make a key with a higher per_minute" if quota.name == "key" else "slow down"
        super().__init__(f"this {quota.name} asks too often", hint=slower)
        self.after = after
        self.quota = quota


class Pace:
    """At most `per_minute` requests a minute on `replicas` together, a few seconds' worth of them at once on each.

    The generic cell rate algorithm: one number, no timer (ITU-T I.371).
    """

    __slots__ = ("_burst", "_due", "_interval", "_name", "_slack", "_window", "per_minute")

    def __init__(self, per_minute: int, *, replicas: int = 1, name: str = "key") -> None:
        self.per_minute = per_minute
        self._name = name
        self._burst = max(1, int(_BURST_SECONDS * per_minute / 60))
        self._interval = 60.0 * replicas / per_minute
        self._slack = self._burst * self._interval
        self._window = math.ceil(self._slack)
        self._due = 0.0

    def take(self, now: float | None = None) -> Quota:
        """Count a request. Raises TooManyRequests, which counts nothing."""
        moment = time.monotonic() if now is None else now
        due = max(self._due, moment) + self._interval
        over = due - moment - self._slack
        if over > 1e-9:
            raise TooManyRequests(math.ceil(over), self._quota(self._due - moment))
        self._due = due
        return self._quota(due - moment)

    def _quota(self, taken: float) -> Quota:
        left = int((self._slack - taken + 1e-9) / self._interval)
        return Quota(self._name, self._burst, self._window, left, math.ceil(taken))


class Paces:
    """One for each who asks, all of the same `name`: `per_minute`, unless another one was allowed to them."""

    def __init__(self, name: str, per_minute: int, *, replicas: int = 1) -> None:
        self._name = name
        self._per_minute = per_minute
        self._replicas = replicas
        self._paces: OrderedDict[Hashable, Pace] = OrderedDict()

    def allow(self, who: Hashable, per_minute: int) -> Pace:
        """Their pace from now on; what was counted is kept where that is what it was."""
        pace = self._paces.get(who)
        if pace is None or pace.per_minute != per_minute:
            pace = self._paces[who] = Pace(per_minute, replicas=self._replicas, name=self._name)
        self._paces.move_to_end(who)
        while len(self._paces) > _REMEMBERED:
            self._paces.popitem(last=False)
        return pace

    def take(self, who: Hashable) -> Quota:
        """Count a request of theirs. Raises TooManyRequests."""
        pace = self._paces.get(who)
        return (pace or self.allow(who, self._per_minute)).take()
