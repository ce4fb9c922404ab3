"""`history` of many listings as columns: what `QuoteArrays` is asked of the past, served and trained alike."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypedDict

import numpy as np

from flipsync.services.pricing.batch_economics import BLANK, Floats, Ints
from flipsync.services.pricing.history import Books, days_without_sale, left_lately, spans


class Past(TypedDict):
    """Fields of `QuoteArrays`, a row per listing."""

    days_since_last_sale: Floats
    recent: Ints
    history_price: Ints
    history_units: Ints
    history_hours: Floats


def past_of(books: Sequence[Books], now: datetime) -> Past:
    """What these listings' books say at `now`; all of them have a price."""
    held = [spans(each, now) for each in books]
    return Past(
        days_since_last_sale=np.array([days_without_sale(each, now) for each in books], dtype=np.float64),
        recent=padded([left_lately(each, now) for each in books], BLANK, np.int64),
        history_price=padded([[price for price, _, _ in each] for each in held], BLANK, np.int64),
        history_units=padded([[units for _, units, _ in each] for each in held], 0, np.int64),
        history_hours=padded([[hours for _, _, hours in each] for each in held], 0, np.float64),
    )


def padded(rows: Sequence[Sequence[float]], fill: int, kind: type) -> Any:
    """Rows of any length as one array as wide as the longest."""
    width = max((len(each) for each in rows), default=0)
    filled = [[*each, *[fill] * (width - len(each))] for each in rows]
    return np.array(filled, dtype=kind).reshape(len(rows), width)
