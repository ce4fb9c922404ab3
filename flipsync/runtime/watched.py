"""A connector whose doings the channel watch sees: what was written, what came back, what was told, how it failed."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from pydantic import SecretStr

from flipsync.connectors.base import (
    AccountConfig,
    Limiter,
    MarketplaceConnector,
    QuantityChange,
    QuantityOutcome,
    Taken,
    Told,
)
from flipsync.connectors.knowledge import Facts, Recalled
from flipsync.connectors.witness import witnessed
from flipsync.domain.advertising import AdSale, AdShown
from flipsync.domain.channel import (
    ChannelInfo,
    ChannelLabel,
    ChannelOrder,
    LabelOrder,
    LabelService,
    ListingState,
    Offer,
    RefundOrder,
    RivalOffer,
    SellerRating,
    TakenIn,
    WarehouseUnits,
    WebhookNotice,
    WebhookSubscription,
)
from flipsync.domain.errors import ChannelError, EditedElsewhere, InvalidInput, UnreadOrders
from flipsync.domain.money import Money
from flipsync.domain.payouts import ChannelPayout, ChannelPayoutLine
from flipsync.domain.sourcing import CatalogueEntry, CatalogueQuestion
from flipsync.services.watch.memory import Field_, LimitTold, Memory

T = TypeVar("T")


class WatchedLimiter:
    """Passes everything on, and notes what the vendor says of its limits beside what we took."""

    def __init__(self, inner: Limiter, memory: Memory, clock: Callable[[], float]) -> None:
        """`clock` counts real seconds: buckets fill in real time."""
        self._inner = inner
        self._memory = memory
        self._clock = clock
        self._documented: dict[str, tuple[float, int]] = {}
        self._taken: dict[str, deque[tuple[float, float]]] = defaultdict(lambda: deque(maxlen=5000))

    async def acquire(self, bucket: str, rate_per_second: float, burst: int, cost: float = 1.0) -> None:
        await self._inner.acquire(bucket, rate_per_second, burst, cost)
        self._documented[bucket] = (rate_per_second, burst)
        self._taken[bucket].append((self._clock(), cost))

    async def pause(self, bucket: str, seconds: float) -> None:
        await self._inner.pause(bucket, seconds)

    async def learn(
        self,
        bucket: str,
        *,
        rate_per_second: float | None = None,
        burst: int | None = None,
        left: float | None = None,
        unused: float = 0.0,
    ) -> None:
        await self._inner.learn(bucket, rate_per_second=rate_per_second, burst=burst, left=left, unused=unused)
        if bucket not in self._documented:
            return
        rate, size = self._documented[bucket]
        if unused:
            self._taken[bucket].append((self._clock(), -unused))
        whole = burst or size
        since = self._clock() - whole / max(rate_per_second or rate, 1e-9)
        ours = sum(cost for at, cost in self._taken[bucket] if at >= since)
        name = bucket.rpartition(":")[2]
        self._memory.told_limit(LimitTold(self._memory.now(), name, rate, size, rate_per_second, burst, left, ours))


class WatchedConnector(MarketplaceConnector):
    """Does what `inner` does, and tells the memory of the watch. Raises what `inner` raises."""

    def __init__(self, inner: MarketplaceConnector, memory: Memory) -> None:
        super().__init__(inner.config, inner.credentials, inner.limiter, inner.account_key, vault=inner.vault)
        self.inner = inner
        self.memory = memory
        self.vendor = inner.vendor  # type: ignore[misc]
        self.capabilities = inner.capabilities  # type: ignore[misc]
        self.learns_all = inner.learns_all  # type: ignore[misc]

    async def _do(self, work: Awaitable[T], *, wrote: bool = False) -> T:
        try:
            with witnessed(self.memory):
                return await work
        except (EditedElsewhere, UnreadOrders):
            raise  # found by us, refused by us; held by us, and told to people
        except ChannelError as error:
            self.memory.failed(error, wrote=wrote)
            raise

    async def _walk(self, rows: AsyncIterator[T]) -> AsyncIterator[T]:
        """Each step by itself: what the caller does in between is not the channel's."""
        while True:
            try:
                row = await self._do(anext(rows))
            except StopAsyncIteration:
                return
            yield row

    async def aclose(self) -> None:
        await self.inner.aclose()

    async def probe(self) -> ChannelInfo:
        return await self._do(self.inner.probe())

    async def find_listing(self, sku: str) -> ListingState | None:
        return await self._do(self.inner.find_listing(sku))

    async def read_listing(self, external_id: str) -> ListingState | None:
        state = await self._do(self.inner.read_listing(external_id))
        self.memory.looked(external_id, state)
        return state

    async def read_listings(self, external_ids: Sequence[str]) -> dict[str, ListingState]:
        found = await self._do(self.inner.read_listings(external_ids))
        for external_id in external_ids:
            self.memory.looked(external_id, found.get(external_id))
        return found

    async def read_whole(self, external_id: str) -> ListingState | None:
        state = await self._do(self.inner.read_whole(external_id))
        self.memory.looked(external_id, state)
        return state

    def listings(self) -> AsyncIterator[ListingState]:
        return self._walk(self.inner.listings())

    def changed_listings(self, modified_after: datetime) -> AsyncIterator[ListingState] | None:
        rows = self.inner.changed_listings(modified_after)
        return None if rows is None else self._walk(rows)

    async def take_in(self, known: Collection[str]) -> TakenIn:
        return await self._do(self.inner.take_in(known), wrote=True)

    async def publish(self, offer: Offer, key: str) -> ListingState:
        return await self._do(self.inner.publish(offer, key), wrote=True)

    async def revise(self, external_id: str, offer: Offer, key: str) -> ListingState:
        return await self._do(self.inner.revise(external_id, offer, key), wrote=True)

    async def end(self, external_id: str, key: str) -> None:
        await self._do(self.inner.end(external_id, key), wrote=True)

    async def set_price(self, external_id: str, price: Money, key: str, expected: Money | None = None) -> ListingState:
        before = self._shown(external_id)
        was = None if before is None or before.price is None else before.price.amount_minor
        work = self.inner.set_price(external_id, price, key, expected)
        try:
            return await self._write(external_id, "price", price.amount_minor, was, work)
        except EditedElsewhere as edit:
            if edit.shown.currency == edit.known.currency:
                self.memory.edited(external_id, "price", edit.known.amount_minor, edit.shown.amount_minor)
            raise

    def edited_elsewhere(self, external_id: str, known: int, shown: int) -> None:
        self.memory.edited(external_id, "quantity", known, shown)

    async def set_quantity(
        self, external_id: str, quantity: int, key: str, expected_version: str | None = None
    ) -> ListingState:
        before = self._shown(external_id)
        was = None if before is None else before.quantity
        work = self.inner.set_quantity(external_id, quantity, key, expected_version)
        return await self._write(external_id, "quantity", quantity, was, work)

    async def _write(
        self, listing: str, what: Field_, value: int, before: int | None, work: Awaitable[ListingState]
    ) -> ListingState:
        try:
            state = await self._do(work, wrote=True)
        except ChannelError as error:
            self.memory.wrote(listing, what, value, before, error)
            raise
        self.memory.wrote(listing, what, value, before, None)
        return state

    def _shown(self, listing: str) -> ListingState | None:
        looks = self.memory.looks.get(listing)
        return looks[-1].state if looks else None

    async def set_quantities(self, changes: Sequence[QuantityChange]) -> list[QuantityOutcome]:
        return self._wrote_all(await self._do(self.inner.set_quantities(changes), wrote=True))

    async def push_quantities(
        self, changes: Sequence[QuantityChange], taken: Taken, told: Told | None = None
    ) -> list[QuantityOutcome]:
        return self._wrote_all(await self._do(self.inner.push_quantities(changes, taken, told), wrote=True))

    def lacks(self, external_ids: Sequence[str]) -> list[str]:
        return self.inner.lacks(external_ids)

    def recall(self, known: Mapping[str, Recalled]) -> None:
        self.inner.recall(known)

    def learnt(self) -> dict[str, Facts | None]:
        return self.inner.learnt()

    def learn_all(self) -> AsyncIterator[int]:
        return self._walk(self.inner.learn_all())

    def doubt(self, external_ids: Collection[str]) -> set[str]:
        return self.inner.doubt(external_ids)

    async def finished(self, taken: str) -> None:
        await self._do(self.inner.finished(taken))

    def _wrote_all(self, outcomes: list[QuantityOutcome]) -> list[QuantityOutcome]:
        for outcome in outcomes:
            change, before = outcome.change, self._shown(outcome.change.external_id)
            was = None if before is None else before.quantity
            self.memory.wrote(change.external_id, "quantity", change.quantity, was, outcome.error)
        return outcomes

    def orders(self, modified_after: datetime) -> AsyncIterator[ChannelOrder]:
        return self._told(self._walk(self.inner.orders(modified_after)))

    async def _told(self, rows: AsyncIterator[ChannelOrder]) -> AsyncIterator[ChannelOrder]:
        async for order in rows:
            self.memory.knows_order(order)
            yield order

    async def read_order(self, external_id: str) -> ChannelOrder | None:
        order = await self._do(self.inner.read_order(external_id))
        self.memory.order_read(external_id, known=order is not None)
        return order

    async def confirm_shipment(
        self, order_external_id: str, carrier: str, tracking_number: str, key: str
    ) -> ChannelOrder:
        return await self._do(self.inner.confirm_shipment(order_external_id, carrier, tracking_number, key), wrote=True)

    async def issue_refund(self, wish: RefundOrder, key: str) -> str:
        return await self._do(self.inner.issue_refund(wish, key), wrote=True)

    async def tell_buyer(self, order_external_id: str, text: str) -> None:
        await self._do(self.inner.tell_buyer(order_external_id, text), wrote=True)

    async def was_told(self, order_external_id: str, text: str) -> bool:
        return await self._do(self.inner.was_told(order_external_id, text))

    async def label_services(self, wish: LabelOrder) -> list[LabelService]:
        return await self._do(self.inner.label_services(wish))

    async def buy_label(self, wish: LabelOrder, service: LabelService, key: str) -> ChannelLabel:
        return await self._do(self.inner.buy_label(wish, service, key), wrote=True)

    async def read_label(self, external_id: str) -> ChannelLabel | None:
        return await self._do(self.inner.read_label(external_id))

    async def cancel_label(self, external_id: str) -> ChannelLabel:
        return await self._do(self.inner.cancel_label(external_id), wrote=True)

    async def rivals(self, skus: Sequence[str]) -> list[RivalOffer]:
        return await self._do(self.inner.rivals(skus))

    async def look_up(self, questions: Sequence[CatalogueQuestion]) -> list[CatalogueEntry]:
        return await self._do(self.inner.look_up(questions))

    async def ensure_webhooks(self, callback_url: str, secret: SecretStr) -> list[WebhookSubscription]:
        found = await self._do(self.inner.ensure_webhooks(callback_url, secret), wrote=True)
        self.memory.ensured(found)
        return found

    async def subscriptions(self) -> list[WebhookSubscription] | None:
        return await self._do(self.inner.subscriptions())

    @classmethod
    def parse_webhook(
        cls, headers: Mapping[str, str], body: bytes, secret: SecretStr, config: AccountConfig
    ) -> WebhookNotice:
        raise InvalidInput("deliveries are read by the vendor's own class")

    async def verify_webhook(self, headers: Mapping[str, str], body: bytes, secret: SecretStr) -> WebhookNotice:
        return await self._do(self.inner.verify_webhook(headers, body, secret))

    def refunded(self, since: datetime) -> AsyncIterator[ChannelOrder]:
        return self._walk(self.inner.refunded(since))

    def warehouse(self) -> AsyncIterator[WarehouseUnits]:
        return self._walk(self.inner.warehouse())

    async def rating(self) -> SellerRating | None:
        return await self.inner.rating()  # that it cannot be read says nothing of what we sell there

    async def ads(self) -> list[AdShown]:
        return await self._do(self.inner.ads())

    def ad_sales(self, since: datetime, until: datetime) -> AsyncIterator[AdSale]:
        return self._walk(self.inner.ad_sales(since, until))

    async def set_ad_rate(self, external_id: str, rate_bps: int) -> int:
        return await self._do(self.inner.set_ad_rate(external_id, rate_bps), wrote=True)

    # not witnessed: who may not read these may still sell, so a refusal is no sign that access was withdrawn

    def payouts(self, since: datetime) -> AsyncIterator[ChannelPayout]:
        return self.inner.payouts(since)

    def payout_lines(self, external_id: str) -> AsyncIterator[ChannelPayoutLine]:
        return self.inner.payout_lines(external_id)

    @property
    def has_queue(self) -> bool:
        return self.inner.has_queue

    async def notices(self) -> AsyncIterator[WebhookNotice]:
        async for notice in self._walk(self.inner.notices()):
            self.memory.hears(notice)
            yield notice

    def __getattr__(self, name: str) -> Any:
        """What a vendor has beside the interface."""
        return getattr(self.inner, name)
