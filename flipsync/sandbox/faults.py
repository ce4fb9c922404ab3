"""Faults that can be switched on per channel, each at its own rate; deterministic by seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from flipsync.sandbox.books import Books
from flipsync.sandbox.buyers import stream
from flipsync.sandbox.records import CHANNELS, Channel

if TYPE_CHECKING:
    from flipsync.sandbox.acts import Act

FaultKind = Literal[
    "latency",
    "rate_limited",
    "error_before",
    "error_after",
    "drop_after",
    "hang_after",
    "stale_read",
    "ignored_write",
    "webhook_lost",
    "webhook_duplicate",
    "webhook_delay",
    "webhook_reorder",
]
_Rate = Field(default=0.0, ge=0, le=1)


class ChannelFaults(BaseModel):
    """Rates (0 to 1) of each fault on one channel. Seconds are wall-clock seconds."""

    model_config = ConfigDict(extra="forbid")

    latency: float = _Rate
    latency_seconds: float = Field(default=0.25, ge=0, le=120, description="longest; each delay is drawn up to it")
    rate_limited: float = _Rate
    retry_after_seconds: int = Field(default=1, ge=0, le=3600)
    error_before: float = Field(default=0.0, ge=0, le=1, description="5xx, and nothing happened")
    error_after: float = Field(default=0.0, ge=0, le=1, description="5xx although the write took effect")
    drop_after: float = Field(default=0.0, ge=0, le=1, description="connection lost after the write took effect")
    hang_after: float = Field(default=0.0, ge=0, le=1, description="no answer after the write took effect")
    hang_seconds: float = Field(default=20.0, ge=0, le=300)
    stale_read: float = Field(default=0.0, ge=0, le=1, description="an older state of a listing or of orders is shown")
    stale_seconds: float = Field(default=1.0, ge=0, le=50, description="greatest age of what a stale read shows")
    ignored_write: float = Field(default=0.0, ge=0, le=1, description="price, stock or text write: 200, not applied")
    webhook_lost: float = _Rate
    webhook_duplicate: float = _Rate
    webhook_delay: float = _Rate
    webhook_delay_seconds: float = Field(default=3.0, ge=0, le=3600)
    webhook_reorder: float = Field(default=0.0, ge=0, le=1, description="a later webhook overtakes this one")


class Faults:
    """Decides, call by call, which fault happens; each kind on each channel draws from its own stream."""

    def __init__(self, books: Books, seed: int) -> None:
        self._books = books
        self._seed = seed
        self._streams: dict[tuple[str, str], Random] = {}
        self.counts: dict[Channel, Counter[str]] = {channel: Counter() for channel in CHANNELS}
        self.settings: dict[Channel, ChannelFaults] = {}
        for channel in CHANNELS:
            stored = books.meta(f"faults.{channel}")
            self.settings[channel] = ChannelFaults.model_validate_json(stored) if stored else ChannelFaults()
        self._update_history()
        #: named faults under way (acts.NamedFaults), and what is to be done when a seller calls and time has passed
        self.acts: dict[Channel, tuple[Act, ...]] = dict.fromkeys(CHANNELS, ())
        self.on_time: Callable[[], None] = lambda: None

    def configure(self, channel: Channel, rates: dict[str, Any], *, replace: bool = False) -> ChannelFaults:
        """Set rates of a channel, leaving the others (or with `replace`, at zero); kept over a restart."""
        base = {} if replace else self.settings[channel].model_dump()
        self.settings[channel] = ChannelFaults.model_validate({**base, **rates})
        self._books.set_meta(f"faults.{channel}", self.settings[channel].model_dump_json())
        self._update_history()
        return self.settings[channel]

    def _update_history(self) -> None:
        self._books.keep_history = any(settings.stale_read > 0 for settings in self.settings.values())

    def _stream(self, channel: Channel, kind: str) -> Random:
        known = self._streams.get((channel, kind))
        if known is None:
            known = self._streams[(channel, kind)] = stream(self._seed, "fault", channel, kind)
        return known

    def strikes(self, channel: Channel, kind: FaultKind) -> bool:
        """Whether this fault happens now; counted when it does."""
        rate = float(getattr(self.settings[channel], kind))
        if rate <= 0 or self._stream(channel, kind).random() >= rate:
            return False
        self.counts[channel][kind] += 1
        return True

    def amount(self, channel: Channel, kind: FaultKind, most: float) -> float:
        """How much of it: evenly drawn between nothing and `most`."""
        return self._stream(channel, f"{kind}.amount").uniform(0.0, most)

    def stale_age(self, channel: Channel) -> float:
        """Age in real seconds of what this read shows; 0 when it is fresh."""
        if not self.strikes(channel, "stale_read"):
            return 0.0
        return self.amount(channel, "stale_read", self.settings[channel].stale_seconds)
