"""One look at a channel for the watch: as few calls as tell whether it still says the truth, within its limits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from flipsync.domain.channel import ChannelOrder, Vendor
from flipsync.domain.errors import ChannelError
from flipsync.runtime.held_orders import readable
from flipsync.runtime.watched import WatchedConnector
from flipsync.services.watch.memory import Expected, Memory

#: how far back orders are listed, real seconds: long enough to meet what webhooks should have told
_ORDERS_BACK = 180.0
_READS = 3


@dataclass(frozen=True)
class Pace:
    """How often each thing is looked at, in real seconds, and up to how many listings the whole list is walked.

    Amazon: orders are listed at 0.0056 requests a second, so that its queue has to do. eBay: 10,000 calls a day to the
    Notification API, and a look at all subscriptions takes three; each listing in a list takes a call for its offer.
    """

    orders: float = 0.0
    subscriptions: float = 0.0
    listings: float = 0.0
    most_listings: int = 200


_PACES: dict[Vendor, Pace] = {
    "amazon": Pace(orders=900.0, most_listings=100),
    "ebay": Pace(subscriptions=40.0, most_listings=25),
}


def pace_of(vendor: Vendor) -> Pace:
    return _PACES.get(vendor, Pace())


@dataclass
class Look:
    """Looks at one account. `expect` says what each of its listings should show now, once orders have been booked."""

    connector: WatchedConnector
    memory: Memory
    expect: Callable[[], Awaitable[dict[str, Expected]]]
    #: puts orders that were listed into the books
    book: Callable[[Sequence[ChannelOrder]], Awaitable[object]]
    #: empties the vendor's queue, where there is one
    fetch: Callable[[], Awaitable[object]] | None = None
    pace: Pace = field(default_factory=Pace)
    _last: dict[str, float] = field(default_factory=dict)
    _turn: int = 0

    def _due(self, what: str, period: float) -> bool:
        now = self.memory.now()
        last = self._last.get(what)
        if last is not None and now - last < period * self.memory.speed - 0.5:
            return False
        self._last[what] = now
        return True

    async def look(self) -> None:
        """One round. What fails is remembered by the connector's memory, and ends the round."""
        if self.fetch is not None:
            with suppress(ChannelError):
                await self.fetch()  # the queue is another machine: what it says does not end the look
        try:
            if self._due("orders", self.pace.orders):
                await self._orders()
            self.memory.expects(await self.expect())
            await self._listings()
            self.memory.expects(await self.expect())  # what we changed meanwhile ourselves is nobody else's doing
            if self.memory.expects_webhooks and self._due("subscriptions", self.pace.subscriptions):
                self.memory.saw_subscriptions(await self.connector.subscriptions())
        except ChannelError:
            await self._others()

    async def _others(self) -> None:
        """After a failure, one more call of another kind: whether it is the channel or one thing on it."""
        try:
            await self.connector.probe()
        except ChannelError:
            return

    async def _orders(self) -> None:
        since = max(self.memory.within(_ORDERS_BACK), self.memory.began)
        listed, unread = await readable(self.connector, datetime.fromtimestamp(since, UTC))
        self.memory.listed_orders(since, listed)
        await self.book(listed)
        shown = {order.external_id for order in listed} | {order.external_id for order in unread}
        missing = self.memory.missing_from_list(since, shown)
        for external_id in missing[:_READS]:
            if await self.connector.read_order(external_id) is not None:
                self.memory.orders_left_out.setdefault(external_id, self.memory.now())

    async def _listings(self) -> None:
        memory, expected = self.memory, self.memory.expected
        walks = 0 < len(expected) <= self.pace.most_listings and self._due("listings", self.pace.listings)
        listed: set[str] = set()
        if walks:
            states = [state async for state in self.connector.listings()]
            memory.walked_listings(states)
            listed = {state.external_id for state in states}
        doubtful = [name for name in expected if (walks and name not in listed) or self._differs(name)]
        rest = [name for name in expected if name not in doubtful]
        if rest:
            doubtful.append(rest[self._turn % len(rest)])
        self._turn += 1
        hot = [write.listing for write in memory.writes if write.listing in expected and write.at > memory.within(60)]
        if not walks:
            doubtful = [*dict.fromkeys([*hot, *doubtful])]
        for name in doubtful[: _READS + (0 if walks else _READS)]:
            await self.connector.read_listing(name)

    def _differs(self, name: str) -> bool:
        looks, row = self.memory.looks.get(name), self.memory.expected[name]
        state = looks[-1].state if looks else None
        return state is None or state.quantity != row.quantity or state.price != row.price
