"""CheckChannel carried out: what came by webhook and what our books say go to the watch, which takes a look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from flipsync.domain.channel import ChannelOrder, ListingState
from flipsync.domain.clock import ScaledClock, utc_now
from flipsync.domain.errors import NotFound
from flipsync.domain.money import Money
from flipsync.runtime import channel_reads
from flipsync.runtime.channel_look import Look, pace_of
from flipsync.runtime.watched import WatchedConnector
from flipsync.services import channel_faults
from flipsync.services.accounts import ConnectedAccount
from flipsync.services.orders import AccountRef
from flipsync.services.tenant_settings import profile
from flipsync.services.watch import ChannelWatch, Expected
from flipsync.services.watch.memory import Heard
from flipsync.services.webhooks import callback_url
from flipsync.store.repositories import channel_faults as fault_rows
from flipsync.store.repositories import listings as listing_rows
from flipsync.store.repositories import stock as stock_rows
from flipsync.store.unit_of_work import Cause, Store

#: repeats, forgeries and the like that are counted one by one
_MOST_COPIES = 5


@dataclass
class ChannelCheck:
    """The watch of one account in one effect worker. What it remembers is a cache: findings are in the books."""

    store: Store
    account: ConnectedAccount
    watch: ChannelWatch
    connector: WatchedConnector
    _look: Look = field(init=False)
    _heard_until: datetime = field(default_factory=utc_now)
    _cause: Cause = field(default_factory=Cause)
    _subscribed: bool = False
    _walk_taken: float = 0.0

    def __post_init__(self) -> None:
        fetch = self._fetch if self.connector.has_queue else None
        pace = pace_of(self.account.vendor)
        memory = self.watch.memory
        memory.lists_orders = pace.orders < 60
        memory.settle = max(1.0, self.account.config.settle_seconds)
        self._look = Look(self.connector, memory, self._expect, self._book, fetch, pace)

    @property
    def _ref(self) -> AccountRef:
        return AccountRef(self.account.id, self.account.vendor)

    async def run(self, cause: Cause) -> str:
        """One look, booked. What fails on the way is part of what is found."""
        self._cause = cause
        await self._hear()
        await self._look.look()
        findings = self.watch.findings()
        async with self.store.unit(self.account.tenant_id, cause) as unit:
            new = await channel_faults.record(
                unit, self.account.id, self.account.vendor, findings, speed=speed_of(self.store)
            )
        causes = ", ".join(finding.cause for finding in findings)
        return f"{causes} ({new} new)" if findings else "as it should be"

    def take_walk(self) -> list[ListingState]:
        """The listings as the last look walked them, once."""
        at, states = self.watch.memory.walked or (0.0, [])
        if at <= self._walk_taken:
            return []
        self._walk_taken = at
        return list(states)

    async def _hear(self) -> None:
        """Whether webhooks are to be expected, and what came since the last look."""
        memory, account = self.watch.memory, self.account
        async with self.store.reader(account.tenant_id) as session:
            try:
                base = (await profile(session, account.tenant_id)).settings.webhook_base_url
            except NotFound:
                base = None
            self._subscribed = self._subscribed or await fault_rows.was_subscribed(session, account.id)
            came = await fault_rows.arrivals(session, account.id, self._heard_until)
        capable = self.connector.capabilities.webhooks
        memory.expects_webhooks = self._subscribed and (self.connector.has_queue or (capable and base is not None))
        memory.fetches_every = 30.0 if self.connector.has_queue else 0.0
        if self.connector.has_queue:
            memory.callback_url = account.config.options.get("queue_arn", "")
        elif base is not None:
            memory.callback_url = callback_url(base, account.webhook_token)
        now, real, speed = memory.now(), utc_now(), speed_of(self.store)
        for each in came:
            at = now - (real - each.at).total_seconds() * speed
            changed = None if each.changed_at is None else each.changed_at.timestamp()
            is_order = bool(each.order_id) or each.kind in ("duplicate", "replay")
            heard = Heard(at, each.order_id, is_order, changed, each.kind)  # type: ignore[arg-type]
            for _ in range(min(each.count, _MOST_COPIES)):
                memory.arrived(heard)
            self._heard_until = max(self._heard_until, each.at)

    async def _fetch(self) -> int:
        return await channel_reads.take_notices(self.store, self.account, self.connector, self._cause)

    async def _book(self, orders: Sequence[ChannelOrder]) -> int:
        return await channel_reads.book_orders(self.store, self.account.tenant_id, self._ref, orders, self._cause)

    async def _expect(self) -> dict[str, Expected]:
        """What each live listing should show; what is being written is not judged."""
        async with self.store.reader(self.account.tenant_id) as session:
            listings = await listing_rows.active_of_account(session, self.account.id)
            busy = await listing_rows.with_open_effects(session)
            shares = await stock_rows.shares_of_account(session, self.account.id)
        expected = {}
        for row in listings:
            if row.external_id is None:
                continue
            entitled, pending = shares.get(row.id, (None, 0))
            price = None if row.price_minor is None else Money(amount_minor=row.price_minor, currency=row.currency)
            unsettled = row.id in busy or bool(pending)
            expected[row.external_id] = Expected(row.sku, entitled, price, busy=unsettled, title=row.title)
        return expected


def speed_of(store: Store) -> float:
    """Business seconds a real second."""
    return store.clock.speed if isinstance(store.clock, ScaledClock) else 1.0


def watch_of(store: Store) -> ChannelWatch:
    """A watch by the store's clock."""
    return ChannelWatch(lambda: store.clock.now().timestamp(), speed=speed_of(store))
