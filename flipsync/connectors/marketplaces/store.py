"""The base of shops that one short class connects: what it takes to sell there safely is here, the shop is there.

A class says how to reach a shop (`access`, `headers`, `login`), how to read its rows and how to write a change
(PYTHON.md lists the fifteen methods). This base keeps the promises of `MarketplaceConnector`: a listing is made once,
every write is read back, what may have happened is never taken for a failure, and no changed order is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import ClassVar, TypeVar

import httpx2
from pydantic import SecretStr

from flipsync.connectors.base import (
    AccountConfig,
    Capabilities,
    Limiter,
    MarketplaceConnector,
    QuantityChange,
    QuantityOutcome,
    still_shows,
)
from flipsync.connectors.marketplaces.store_bulk import set_many
from flipsync.connectors.marketplaces.store_calls import Row
from flipsync.connectors.marketplaces.store_shape import StoreShape
from flipsync.connectors.unread import Aside, Rows
from flipsync.connectors.vault import Vault
from flipsync.domain.channel import (
    ChannelInfo,
    ChannelOrder,
    ListingState,
    Offer,
    RivalOffer,
    Vendor,
    WebhookNotice,
    WebhookSubscription,
)
from flipsync.domain.clock import require_utc
from flipsync.domain.errors import InvalidInput, OutcomeUnknown, Rejected, Retryable, Unreadable
from flipsync.domain.money import Money

T = TypeVar("T")
_WALKS = 3
#: How often whoever has taken its own listing back looks for the one that stays.
_LOOKS = 4
#: Orders in these states can leave the house.
_CAN_SHIP = frozenset({"paid", "shipped"})


class StoreConnector(StoreShape):
    """One shop that is polled."""

    vendor: ClassVar[Vendor] = "python"
    capabilities: ClassVar[Capabilities] = Capabilities(
        conditional_stock=False, create_once="lookup", rival_offers=False, webhooks=False, tells_replaced=True
    )

    #: Seconds that two who made the same listing at the same moment give each other.
    patience: ClassVar[float] = 1.0

    def __init__(
        self,
        config: AccountConfig,
        credentials: Mapping[str, SecretStr],
        limiter: Limiter,
        account_key: str,
        *,
        vault: Vault | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        MarketplaceConnector.__init__(self, config, credentials, limiter, account_key, vault=vault)
        self.open_calls(transport)
        self._making: dict[str, tuple[asyncio.Lock, int]] = {}

    # What the house asks

    async def probe(self) -> ChannelInfo:
        info = await self.reading(self.about())
        if info.currency == self.config.currency:
            return info
        note = f"the shop sells in {info.currency}, the account is set to {self.config.currency}"
        return info.model_copy(update={"notes": (*info.notes, note)})

    async def find_listing(self, sku: str) -> ListingState | None:
        rows = await self._exact(sku)
        return self.translated(self.listing, rows[0]) if rows else None

    async def read_listing(self, external_id: str) -> ListingState | None:
        row = await self.reading(self.row(external_id))
        return None if row is None else self.translated(self.listing, row)

    async def read_listings(self, external_ids: Sequence[str]) -> dict[str, ListingState]:
        """Without those that cannot be read, so that they hinder no other. Raises Unreadable where that leaves none."""
        aside = Rows("listings", "id")
        found: list[ListingState] = []
        asked, size = list(dict.fromkeys(external_ids)), self.capabilities.bulk_quantity
        for start in range(0, len(asked), size):
            rows = await self.reading(self.rows_of_ids(asked[start : start + size]))
            found += [state for row in rows if (state := aside.read(self._state, row)) is not None]
        if not found:
            aside.tell()
        return {state.external_id: state for state in found}

    async def listings(self) -> AsyncIterator[ListingState]:
        """Raises Unreadable for listings that cannot be read, once all others were told."""
        aside = Rows("listings", "id")
        async for row in self.each(self.rows()):
            if (state := aside.read(self._state, row)) is not None:
                yield state
        aside.tell()

    def _state(self, row: Row) -> ListingState:
        return self.translated(self.listing, row)

    async def publish(self, offer: Offer, key: str) -> ListingState:
        self._require_currency(offer.price)
        # Variations of one group are made one after another: they share what holds them together.
        async with self._alone(offer.group.key if offer.group else offer.sku):
            rows = await self._exact(offer.sku)
            if rows:
                return await self._published(rows[0], offer, key)
            try:
                made = await self.writing(self.create(offer, key))
            except Rejected:
                # Refused because somebody else has just made it? Then that one is the listing.
                rows = await self._exact(offer.sku)
                if not rows:
                    raise
                return await self._published(rows[0], offer, key)
            first = await self._after(self._first(offer.sku, made))
            if first is None:
                raise OutcomeUnknown("the shop does not show what it made", hint="read back before trying again")
            return self.translated(self.listing, first, written=True)

    async def _published(self, row: Row, offer: Offer, key: str) -> ListingState:
        """The listing that has the SKU already: left alone, finished if it was left half made, or back on sale."""
        state = self.translated(self.listing, row)
        mine = self.key_of(row) == key
        if state.status == "active" or (state.status == "ended") == mine:
            return state  # on sale, somebody's draft, or an old repeat of the call that listed what has ended since
        await self.writing(self.describe(row, offer))
        await self.writing(self.write_price(row, offer.price))
        await self.writing(self.write_quantity(row, offer.quantity))
        await self.writing(self.show(row, True, key))
        return await self._read_back(state.external_id)

    async def _first(self, sku: str, made: str) -> Row | None:
        """The listing that stays of those made at the same moment: the oldest, or the one whose maker saw no other.

        Who sees an older one takes its own back. Who is the oldest waits for the others to do so, and gives way to one
        that stays: its maker looked before ours was there.
        """
        for patient in (True, False):
            rows = await self._exact(sku)
            own = [row for row in rows if self.listing(row).external_id == made]
            if not own:
                return rows[0] if rows else await self.reading(self.row(made))
            live = [row for row in rows if self.listing(row).status != "ended"]
            if len(live) < 2:
                return own[0]
            if own[0] is not live[0] or not patient:
                break
            await asyncio.sleep(self.patience)
        await self.writing(self.discard(own[0]))
        for _ in range(_LOOKS):
            rows = await self._exact(sku)
            states = [(self.listing(row), row) for row in rows]
            others = [row for state, row in states if state.external_id != made and state.status != "ended"]
            if len(others) < 2:
                break
            await asyncio.sleep(self.patience)  # they settle it between them, as we did
        if not others:
            raise Retryable("made twice at the same moment, and taken back by both")
        return others[0]

    async def revise(self, external_id: str, offer: Offer, key: str) -> ListingState:
        await self.writing(self.describe(await self._known(external_id), offer))
        return await self._read_back(external_id)

    async def end(self, external_id: str, key: str) -> None:
        row = await self.reading(self.row(external_id))
        if row is not None and self.translated(self.listing, row).status != "ended":
            await self.writing(self.show(row, False, key))

    async def set_price(self, external_id: str, price: Money, key: str, expected: Money | None = None) -> ListingState:
        self._require_currency(price)
        row = await self._known(external_id)
        still_shows(self.translated(self.listing, row), price, expected)
        await self.writing(self.write_price(row, price))
        return await self._read_back(external_id)

    async def set_quantity(
        self, external_id: str, quantity: int, key: str, expected_version: str | None = None
    ) -> ListingState:
        """`expected_version` is not heeded: these shops have no conditional write (see `capabilities`)."""
        row = await self._known(external_id)
        before = self.translated(self.listing, row).quantity
        await self.writing(self.write_quantity(row, quantity))
        return (await self._read_back(external_id)).model_copy(update={"shown_before": before})

    async def set_quantities(self, changes: Sequence[QuantityChange]) -> list[QuantityOutcome]:
        if self.capabilities.bulk_quantity == 1:
            return await super().set_quantities(changes)
        return await set_many(self, changes)

    async def orders(self, modified_after: datetime) -> AsyncIterator[ChannelOrder]:
        """Complete up to the last one yielded: ask again from its time.

        A list of several pages is walked until nothing new turns up: an order that changes behind the walk is not
        seen, and would be lost if a later change were yielded and the caller went on from there.
        """
        since = known = require_utc(modified_after)
        found: dict[str, ChannelOrder] = {}
        complete = False
        aside = Aside()
        for _ in range(_WALKS):
            known = max((order.modified_at for order in found.values()), default=since)
            count, changed = 0, False
            async for row in self.each(self.order_rows(since)):
                count += 1
                try:
                    order = self.translated(self.order, row)
                except Unreadable as error:
                    aside.keep(row, error)
                    continue
                changed = changed or found.get(order.external_id) != order
                found[order.external_id] = order
            complete = count < self.page_size or not changed
            if complete:
                break
        for order in sorted(found.values(), key=lambda order: (order.modified_at, order.external_id)):
            if order.modified_at >= since and (complete or order.modified_at <= known):
                yield order
        aside.tell()

    async def read_order(self, external_id: str) -> ChannelOrder | None:
        row = await self.reading(self.order_row(external_id))
        return None if row is None else self.translated(self.order, row)

    async def confirm_shipment(
        self, order_external_id: str, carrier: str, tracking_number: str, key: str
    ) -> ChannelOrder:
        row = await self.reading(self.order_row(order_external_id))
        if row is None:
            raise Rejected("there is no such order", vendor_code="not_found", missing=True)
        order = self.translated(self.order, row)
        if tracking_number in self.shipped_with(row):
            return order
        if order.status not in _CAN_SHIP:
            raise Rejected(f"the order is {order.vendor_status}: it cannot be shipped", vendor_code="status")
        await self.writing(self.ship(row, carrier, tracking_number, key))
        told = await self._after(self.reading(self.order_row(order_external_id)))
        if told is None:
            raise OutcomeUnknown("the order is gone after it was shipped", hint="look at the shop")
        return self.translated(self.order, told, written=True)

    async def rivals(self, skus: Sequence[str]) -> list[RivalOffer]:
        return []  # a shop of one's own has no other sellers

    async def ensure_webhooks(self, callback_url: str, secret: SecretStr) -> list[WebhookSubscription]:
        return []  # polled

    @classmethod
    def parse_webhook(
        cls, headers: Mapping[str, str], body: bytes, secret: SecretStr, config: AccountConfig
    ) -> WebhookNotice:
        raise InvalidInput("this channel sends no webhooks: it is polled")

    async def aclose(self) -> None:
        await self.close_calls()

    # How its promises are kept

    async def _exact(self, sku: str) -> list[Row]:
        """Rows of exactly this SKU: what is on sale before what ended, the oldest first."""
        found = [(self.translated(self.listing, row), row) for row in await self.reading(self.rows_of_sku(sku))]
        exact = [(state.status == "ended", row) for state, row in found if state.sku == sku]
        return [row for _, row in sorted(exact, key=lambda pair: pair[0])]

    async def _known(self, external_id: str) -> Row:
        row = await self.reading(self.row(external_id))
        if row is None:
            raise Rejected("there is no such listing", vendor_code="not_found", missing=True)
        self.translated(self.listing, row)  # what cannot be read now could not be read back either
        return row

    async def _read_back(self, external_id: str) -> ListingState:
        row = await self._after(self.reading(self.row(external_id)))
        if row is None:
            raise OutcomeUnknown("the listing is gone after the write", hint="look at the shop")
        return self.translated(self.listing, row, written=True)

    @staticmethod
    async def _after(reading: Awaitable[T]) -> T:
        """A read that follows a write: when it fails, the write is what is not known."""
        try:
            return await reading
        except (Retryable, Rejected) as error:
            raise OutcomeUnknown(
                f"written, but not read back: {error.message}",
                hint="read back before trying again",
                vendor_code=error.vendor_code,
                vendor_status=error.vendor_status,
            ) from error

    @asynccontextmanager
    async def _alone(self, name: str) -> AsyncIterator[None]:
        """One at a time for each name; a lock is forgotten with the last who wants it."""
        lock, wanted = self._making.get(name, (asyncio.Lock(), 0))
        self._making[name] = (lock, wanted + 1)
        try:
            async with lock:
                yield
        finally:
            lock, wanted = self._making.pop(name)
            if wanted > 1:
                self._making[name] = (lock, wanted - 1)

    def _require_currency(self, price: Money) -> None:
        if price.currency != self.config.currency:
            raise Rejected(f"the shop sells in {self.config.currency}, not {price.currency}", vendor_code="currency")


__all__ = ["Row", "StoreConnector"]
