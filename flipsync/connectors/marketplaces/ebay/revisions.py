"""A listing may be revised 250 times a calendar day: counted here, and learned from eBay's refusal.

Source: the note on every write of the Sell Inventory API ("Each listing can be revised up to 250 times in one calendar
day"). eBay's day is Pacific time. Each process counts its own writes; eBay's refusal ends the day for all.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import date, datetime, time, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

from flipsync.domain.clock import utc_now
from flipsync.domain.errors import ChannelError, OutcomeUnknown, Rejected, Retryable

T = TypeVar("T")
A_DAY = 250
_EBAY_DAY = ZoneInfo("America/Los_Angeles")
#: "A user error has occurred" and "Cannot revise the listing": their text says which.
_CODES = frozenset({"25002", "25019"})
_USED_UP = re.compile(
    r"revis.*\b(250|limit|maximum|too many|exceed|threshold)|(limit|maximum|too many|exceed).*revis", re.I
)


class Revisions:
    """How often each listing was revised today."""

    def __init__(self, now: Callable[[], datetime] = utc_now) -> None:
        self._now = now
        self._day: date | None = None
        self._counts: dict[str, int] = {}

    def left(self, listing: str) -> int:
        """Revisions of `listing` that today still has room for."""
        today = self._now().astimezone(_EBAY_DAY).date()
        if today != self._day:
            self._day, self._counts = today, {}
        return max(0, A_DAY - self._counts.get(listing, 0))

    def require(self, listing: str) -> None:
        """Raises Retryable (until the next day) when the listing has none left."""
        if self.left(listing) == 0:
            raise self._tomorrow()

    def count(self, listing: str, error: ChannelError | None = None) -> ChannelError | None:
        """Book a write that was sent. Returns its error, as Retryable when it says the day's revisions are used."""
        left = self.left(listing)
        if isinstance(error, Rejected) and error.vendor_code in _CODES and _USED_UP.search(error.message):
            self._counts[listing] = A_DAY
            return self._tomorrow(error)
        if error is None or isinstance(error, OutcomeUnknown):
            self._counts[listing] = A_DAY - left + 1
        return error

    async def write(self, listing: str, send: Callable[[], Awaitable[T]]) -> T:
        """One revision of a live listing. Raises what `send` raises, and Retryable when today has no room for it."""
        self.require(listing)
        try:
            done = await send()
        except ChannelError as error:
            meant = self.count(listing, error)
            if meant is None or meant is error:
                raise
            raise meant from error
        self.count(listing)
        return done

    def _tomorrow(self, refused: Rejected | None = None) -> Retryable:
        now = self._now().astimezone(_EBAY_DAY)
        midnight = datetime.combine(now.date() + timedelta(days=1), time(), _EBAY_DAY)
        return Retryable(
            f"eBay lets a listing be revised {A_DAY} times a day, and today's are used",
            after=(midnight - now).total_seconds(),
            hint="change this listing less often",
            vendor_code=refused.vendor_code if refused else "revisions",
            # one listing's limit, whatever status eBay gives it: the account and the channel are well
            vendor_status=429,
        )
