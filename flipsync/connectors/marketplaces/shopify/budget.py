"""What a document takes from the shop's bucket of points.

Before a document is carried out, the bucket must hold what it may cost at most; afterwards only what it did cost stays
taken. Charging the most for everything would use a tenth of the pace that is allowed, so what kinds of documents really
cost is learnt, and the most is charged only while the bucket is known to be too low for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from flipsync.connectors.marketplaces.shopify.wire import Cost

#: A document's name, and how many rows it asks for.
Kind = tuple[str, int]
#: Weight of the latest answer in what a kind is expected to cost.
_LATEST = 0.5


class CostBudget:
    """Costs as one shop's answers tell them; figures older than the process are not known."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._asked: dict[Kind, float] = {}
        self._spent: dict[Kind, float] = {}
        self._left: float | None = None
        self._rate = self._size = self._at = 0.0

    def cost(self, kind: Kind, documented: float) -> float:
        """Points to wait for before such a document is sent; at least one."""
        asked = self._asked.get(kind, documented)
        spent = self._spent.get(kind)
        if spent is None or self._available() < asked:
            return max(1.0, asked)
        return max(1.0, min(asked, spent))

    def _available(self) -> float:
        if self._left is None:
            return 0.0
        return min(self._size, self._left + (self._now() - self._at) * self._rate)

    def learn(self, kind: Kind, told: Cost) -> None:
        if told.requested_query_cost > 0:
            self._asked[kind] = told.requested_query_cost
        if told.actual_query_cost is not None:
            before = self._spent.get(kind, told.actual_query_cost)
            self._spent[kind] = _LATEST * told.actual_query_cost + (1 - _LATEST) * before
        if (status := told.throttle_status) is not None:
            self._left, self._at = status.currently_available, self._now()
            self._rate, self._size = status.restore_rate, status.maximum_available
