"""Market time: moved by hand (virtual) or running at a multiple of the wall clock (real)."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Literal

Mode = Literal["virtual", "real"]


class MarketClock:
    """What time it is on the market, in Unix milliseconds; never runs backwards."""

    def __init__(self, mode: Mode, start_ms: int, speed: float = 1.0) -> None:
        if speed <= 0:
            raise ValueError("speed must be above zero")
        self.mode: Mode = mode
        self.speed = speed
        self._base_ms = start_ms
        self._started = time.monotonic()

    def now_ms(self) -> int:
        if self.mode == "virtual":
            return self._base_ms
        return self._base_ms + int((time.monotonic() - self._started) * 1000 * self.speed)

    def now(self) -> datetime:
        return instant(self.now_ms())

    def move_to(self, moment_ms: int) -> None:
        """Set a virtual clock forward, or let a real one jump ahead; moments in the past are ignored."""
        ahead = moment_ms - self.now_ms()
        if ahead > 0:
            self._base_ms += ahead

    def real_seconds_until(self, moment_ms: int) -> float:
        """Wall-clock seconds until a running clock shows `moment_ms`; at least zero."""
        return max(0.0, (moment_ms - self.now_ms()) / 1000 / self.speed)


def instant(moment_ms: int) -> datetime:
    """Unix milliseconds as a UTC-aware time."""
    return datetime.fromtimestamp(moment_ms / 1000, UTC)


def milliseconds(moment: datetime) -> int:
    """A time-zone-aware time as Unix milliseconds."""
    return round(moment.timestamp() * 1000)


def rfc3339(moment_ms: int) -> str:
    """UTC with milliseconds and a Z."""
    return instant(moment_ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")
