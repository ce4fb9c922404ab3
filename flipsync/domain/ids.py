"""Identifiers that sort by the time they were made (UUID version 7, RFC 9562)."""

from __future__ import annotations

import uuid
from datetime import datetime

import uuid_utils.compat


def new_id() -> uuid.UUID:
    """A fresh UUIDv7: 48 bits of Unix milliseconds, then a counter and random bits, so ids sort by time."""
    return uuid_utils.compat.uuid7()


def first_id_at(at: datetime) -> uuid.UUID:
    """Not above any id made at `at` (wall clock) or later, to the millisecond: bounds a look into the recent past."""
    return uuid.UUID(int=int(at.timestamp() * 1000) << 80)
