"""API keys: random, kept only as a hash, each with a pace of its own.

Plain SHA-256 is right here, where it would be wrong for a password: a key is 256 random bits, so there is no list to
guess from and nothing for a slow hash to slow down, while every request pays for the hash. (OWASP ASVS 2.10.)
"""

from __future__ import annotations

import hashlib
import math
import secrets
import time
from dataclasses import dataclass, field

from flipsync.domain.errors import FlipSyncError

MARK = "fs_"
_PREFIX_CHARS = 8
#: seconds of its pace that a key may use at once
_BURST_SECONDS = 10.0
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


class TooManyRequests(FlipSyncError):
    """An API key asks faster than its pace; wait `after` seconds."""

    code = "too-many-requests"
    status = 429

    def __init__(self, after: float) -> None:
        super().__init__("this API key asks too often", hint="slow down, or make a key with a higher per_minute")
        self.after = after


@dataclass(frozen=True)
class NewKey:
    """A key that was just made: the only time it is known whole."""

    text: str = field(repr=False)
    prefix: str
    hash: str


def new_key() -> NewKey:
    """`fs_<8 letters that name it>_<43 that are secret>`; secret scanners know such keys by their beginning."""
    prefix = MARK + "".join(secrets.choice(_LETTERS) for _ in range(_PREFIX_CHARS))
    text = f"{prefix}_{secrets.token_urlsafe(32)}"
    return NewKey(text, prefix, hash_key(text))


def hash_key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Pace:
    """At most `per_minute` requests a minute, a few seconds' worth of them at once; counted in this process.

    The generic cell rate algorithm: one number, no timer (ITU-T I.371).
    """

    __slots__ = ("_due", "_interval", "_slack")

    def __init__(self, per_minute: int) -> None:
        self._interval = 60.0 / per_minute
        self._slack = max(_BURST_SECONDS, self._interval)
        self._due = 0.0

    def take(self, now: float | None = None) -> None:
        """Count a request. Raises TooManyRequests, which counts nothing."""
        moment = time.monotonic() if now is None else now
        due = max(self._due, moment) + self._interval
        if due - moment > self._slack + 1e-9:
            raise TooManyRequests(math.ceil(due - moment - self._slack))
        self._due = due
