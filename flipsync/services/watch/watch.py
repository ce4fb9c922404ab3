"""The watch of one account: its memory, and what the rules make of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from flipsync.domain.channel_fault import CAUSES, Cause, Finding
from flipsync.services.watch.memory import Memory
from flipsync.services.watch.rules_books import of_books
from flipsync.services.watch.rules_calls import Found, of_calls
from flipsync.services.watch.rules_delivery import of_deliveries

#: causes of which others are the signs: while one of the first is found, the second are not told
_HIDES: dict[Cause, frozenset[Cause]] = {
    "reads-stale": frozenset({"write-ignored", "write-delayed", "orders-missing", "stock-frozen", "write-reverted",
                              "order-list-empty", "stock-changed-elsewhere", "list-truncated"}),
    "stock-frozen": frozenset({"write-ignored", "write-delayed", "write-reverted", "stock-changed-elsewhere"}),
    "listing-merged": frozenset({"listing-doubled", "list-truncated", "list-page-repeated", "title-rewritten",
                                 "price-changed-elsewhere", "stock-changed-elsewhere"}),
    "listing-doubled": frozenset({"listing-gone"}),
    "order-list-empty": frozenset({"orders-missing"}),
    "token-expired": frozenset({"scope-lost", "access-revoked"}),
    "write-after-timeout": frozenset({"answers-lost", "write-delayed"}),
    "currency-wrong": frozenset({"price-changed-elsewhere", "foreign-orders"}),
    "limit-shared": frozenset({"limit-lower"}),
}  # fmt: skip


class ChannelWatch:
    """Names what is the matter with one account. `now` is business time in Unix seconds."""

    def __init__(self, now: Callable[[], float], *, speed: float = 1.0) -> None:
        self.memory = Memory(now, speed=speed)

    def findings(self) -> list[Finding]:
        """What is the matter, the worst first: what blinds us hides everything that it may be the reason of."""
        found: dict[Cause, Found] = {}
        for each in of_calls(self.memory):
            found.setdefault(each[0], each)
        blinding = {cause: each for cause, each in found.items() if CAUSES[cause].blinds}
        if blinding:
            found = blinding
        else:
            for each in (*of_deliveries(self.memory), *of_books(self.memory)):
                known = found.get(each[0])
                if known is None:
                    found[each[0]] = each
                else:
                    known[2].extend(each[2][: max(0, 4 - len(known[2]))])
        hidden = {cause for hider in found for cause in _HIDES.get(hider, ())}
        rows = [each for cause, each in found.items() if cause not in hidden]
        return [
            Finding(cause=cause, since=datetime.fromtimestamp(at, UTC), evidence=tuple(words[:5]))
            for cause, at, words in rows
        ]
