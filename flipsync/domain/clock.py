"""Time: always aware, always UTC. Code that needs the time asks a Clock, so market time can run faster than ours."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


def utc_now() -> datetime:
    """The wall clock, UTC-aware."""
    return datetime.now(UTC)


def require_utc(value: datetime) -> datetime:
    """`value` converted to UTC. Raises ValueError for a naive time, which could mean anything."""
    if value.tzinfo is None:
        raise ValueError(f"{value.isoformat()} has no time zone: give one, e.g. {value.isoformat()}Z")
    return value.astimezone(UTC)


@lru_cache(maxsize=1_024)
def time_zone(name: str) -> str:
    """`name`, where it is an IANA time zone. Raises ValueError."""
    try:
        if name != "UTC" and ("/" not in name or name.startswith(("posix/", "right/"))):
            raise ValueError
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("is no time zone; write it as Europe/Berlin") from None
    return name


def local_day(moment: datetime, zone: str) -> date:
    """The day it is then in a time zone."""
    return require_utc(moment).astimezone(ZoneInfo(zone)).date()


def day_begins(day: date, zone: str) -> datetime:
    """When a day begins in a time zone, in UTC; where clocks are put forward at midnight, at that moment."""
    return datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC)


class Clock(Protocol):
    """Tells what time it is for the business."""

    def now(self) -> datetime: ...


class SystemClock:
    """The wall clock."""

    def now(self) -> datetime:
        return utc_now()


class ScaledClock:
    """Business time that runs `speed` times as fast as the wall clock, from `start` at wall time `since`.

    Any process that knows the three values tells the same time: `str(clock)` travels in a setting, `parse` reads it.
    """

    def __init__(self, start: datetime, since: datetime, speed: float) -> None:
        if speed <= 0:
            raise ValueError("time must move forward: give a speed above 0")
        self.start, self.since, self.speed = require_utc(start), require_utc(since), speed

    def now(self) -> datetime:
        return self.start + (utc_now() - self.since) * self.speed

    def __str__(self) -> str:
        return f"{self.start.isoformat()}|{self.since.isoformat()}|{self.speed!r}"

    @classmethod
    def parse(cls, text: str) -> ScaledClock:
        """From `str(clock)`. Raises ValueError for anything else."""
        start, since, speed = text.split("|")
        return cls(datetime.fromisoformat(start), datetime.fromisoformat(since), float(speed))


class ManualClock:
    """A clock that moves only when told; for tests and simulations."""

    def __init__(self, start: datetime) -> None:
        self._now = require_utc(start)

    def now(self) -> datetime:
        return self._now

    def advance(self, delta: timedelta) -> None:
        if delta < timedelta(0):
            raise ValueError("time does not run backwards")
        self._now += delta
