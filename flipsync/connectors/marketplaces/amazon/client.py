"""Connector for Amazon over the Selling Partner API.

Credentials: `client_id`, `client_secret`, `refresh_token` (Login with Amazon), and for the queue of notifications
`aws_access_key_id`, `aws_secret_access_key`. Options: `marketplace_id`, `seller_id`, and optionally `region` (na, eu,
fe), `queue_arn`, `condition` (the usual one of the goods, default new_new).

A listing's id is its SKU. Own stock is the fulfilment channel DEFAULT; what Amazon's warehouses hold is theirs to
count and is never written. Orders come by notification: Amazon lets the list be read once in three minutes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import ClassVar

import httpx2
from pydantic import SecretStr

from flipsync.connectors.base import (
    AccountConfig,
    Capabilities,
    LearnsAll,
    Limiter,
    MarketplaceConnector,
    QuantityChange,
    QuantityOutcome,
    Taken,
    Told,
    still_shows,
)
from flipsync.connectors.knowledge import Facts, Recalled, Remembered
from flipsync.connectors.marketplaces.amazon import (
    attributes,
    catalogue,
    finances,
    labels,
    mapping,
    messaging,
    notifications,
    order_mapping,
    orders,
    pricing,
    wire,
    wire_orders,
)
from flipsync.connectors.marketplaces.amazon.api import SellerApi
from flipsync.connectors.marketplaces.amazon.feeds import (
    MESSAGES,
    QuantityFeed,
    Supply,
    find_items,
    rows_of_listings,
    warehouse_only,
)
from flipsync.connectors.marketplaces.amazon.inventory import warehouse_stock
from flipsync.connectors.marketplaces.amazon.listings import every_listing, own_skus
from flipsync.connectors.marketplaces.amazon.probe import probe
from flipsync.connectors.marketplaces.amazon.publishing import Publisher
from flipsync.connectors.marketplaces.amazon.queue import NotificationQueue
from flipsync.connectors.oauth import access_ends
from flipsync.connectors.unread import each_order, usable
from flipsync.connectors.vault import Vault
from flipsync.domain.channel import (
    ChannelInfo,
    ChannelLabel,
    ChannelOrder,
    LabelOrder,
    LabelService,
    ListingState,
    Offer,
    RivalOffer,
    Vendor,
    WarehouseUnits,
    WebhookNotice,
    WebhookSubscription,
)
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import ChannelError, InvalidInput, Rejected, Unauthenticated, Unreadable
from flipsync.domain.money import Money
from flipsync.domain.sourcing import CatalogueEntry, CatalogueQuestion

#: From how many changes on a feed is quicker than single calls: a feed takes Amazon minutes, single calls 0.2 s each.
FEED_FROM = 40
_AT_ONCE = 4
#: listings that are learnt before what is known of them is written down
_PART = 2_000
#: How long what supplies a listing is relied on: of what this process read, and of what is in the books. Not longer:
#: a seller may send the goods to Amazon's warehouses any day, and our units must not take them out again.
_SUPPLY_SECONDS, _SUPPLY_LASTS = 3600.0, 6 * 3600.0
_CONDITION_GROUPS = {"new": "New", "used": "Used", "collectible": "Collectible", "refurbished": "Refurbished"}


class AmazonConnector(MarketplaceConnector):
    """One seller account in one marketplace. It has no idempotency keys: what was created is found by its SKU."""

    vendor: ClassVar[Vendor] = "amazon"
    capabilities: ClassVar[Capabilities] = Capabilities(
        conditional_stock=False,
        create_once="lookup",
        rival_offers=True,
        webhooks=False,
        labels="blind",
        buyer_messages="blind",
        bulk_quantity=MESSAGES,
        bulk_at_once=1,
        groups=True,
    )
    #: from fewer on, searches are done before a report is
    learns_all: ClassVar[LearnsAll | None] = LearnsAll(fewest=1_000, lasts=_SUPPLY_LASTS)
    needs: ClassVar[tuple[str, ...]] = ("client_id", "client_secret", "refresh_token")

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
        super().__init__(config, credentials, limiter, account_key, vault=vault)
        self._api = SellerApi(config, credentials, limiter, account_key, self.vault, transport)
        self._publisher = Publisher(self._api)
        self._place = self._publisher.place
        self._transport = transport
        self._queue: NotificationQueue | None = None
        self._supplies = Remembered(Supply.pack, Supply.unpack, lasts=_SUPPLY_LASTS, seconds=_SUPPLY_SECONDS)

    async def aclose(self) -> None:
        await self._api.aclose()
        if self._queue is not None:
            await self._queue.aclose()

    async def probe(self) -> ChannelInfo:
        return await probe(self._api, access_ends(self.credentials))

    # Listings

    def _state(self, item: wire.Item) -> ListingState:
        """Raises Unreadable."""
        self._learn(item)
        return self._publisher.state(item)

    def _learn(self, item: wire.Item) -> Supply:
        supply = Supply.of(item, self._api.marketplace_id)
        self._supplies.keep(item.sku, supply)
        return supply

    async def find_listing(self, sku: str) -> ListingState | None:
        return await self.read_listing(sku)

    async def read_listing(self, external_id: str) -> ListingState | None:
        item = await self._publisher.item(external_id)
        return None if item is None or mapping.is_parent(item) else self._state(item)

    async def listings(self) -> AsyncIterator[ListingState]:
        """Raises Unreadable for listings that cannot be read, once all others were told."""
        aside = rows_of_listings()
        async for item in every_listing(self._api, aside):
            if not mapping.is_parent(item) and (state := aside.read(self._state, item)) is not None:
                yield state
        aside.tell()

    async def publish(self, offer: Offer, key: str) -> ListingState:
        existing = await self.read_listing(offer.sku)
        if existing is not None and existing.status == "active":
            return existing
        if existing is not None and existing.quantity is None:
            # Supplied by Amazon's warehouses: a whole new listing would name our own units, and take it out of them.
            return await self.set_price(offer.sku, offer.price, key)
        return await self._publisher.publish(offer)

    async def revise(self, external_id: str, offer: Offer, key: str) -> ListingState:
        return await self._publisher.revise(await self._publisher.required(external_id), offer)

    async def end(self, external_id: str, key: str) -> None:
        item = await self._publisher.item(external_id)
        if item is not None:
            await self._publisher.end(item)

    async def set_price(self, external_id: str, price: Money, key: str, expected: Money | None = None) -> ListingState:
        item = await self._publisher.required(external_id)
        still_shows(self._state(item), price, expected)
        known = item.attributes.get("purchasable_offer")
        rows = attributes.price_rows(price, self._place, known if isinstance(known, list) else ())
        return await self._change(item, {"purchasable_offer": rows}, lambda state: state.price == price)

    async def set_quantity(
        self, external_id: str, quantity: int, key: str, expected_version: str | None = None
    ) -> ListingState:
        """`expected_version` is not heeded: Amazon has no conditional write (see `capabilities`)."""
        item = await self._publisher.required(external_id)
        supply = Supply.of(item, self._api.marketplace_id)
        if not supply.own_stock:
            raise warehouse_only()
        rows = supply.rows(quantity)
        return await self._change(item, {"fulfillment_availability": rows}, lambda state: state.quantity == quantity)

    async def _change(
        self, item: wire.Item, changes: attributes.Attributes, applied: Callable[[ListingState], bool]
    ) -> ListingState:
        def shows(after: wire.Item | None) -> bool:
            return after is not None and applied(self._state(after))

        return await self._publisher.change(item, changes, shows)

    async def set_quantities(self, changes: Sequence[QuantityChange]) -> list[QuantityOutcome]:
        """A few go one by one, since that is quickest; many go as a feed."""
        return await self._set_many(changes, None, None)

    async def push_quantities(
        self, changes: Sequence[QuantityChange], taken: Taken, told: Told | None = None
    ) -> list[QuantityOutcome]:
        return await self._set_many(changes, taken, told)

    async def finished(self, taken: str) -> None:
        await QuantityFeed(self._api, self._state).finished(taken)

    async def _set_many(
        self, changes: Sequence[QuantityChange], taken: Taken | None, told: Told | None
    ) -> list[QuantityOutcome]:
        if len(changes) < FEED_FROM:
            return await self._one_by_one(changes)
        supplies = await self._supplies_of([change.external_id for change in changes])
        return await QuantityFeed(self._api, self._state).set(changes, supplies, taken, told)

    async def read_listings(self, external_ids: Sequence[str]) -> dict[str, ListingState]:
        """Without those that cannot be read, as if they were not known, so that they hinder no other. Raises Unreadable
        where that leaves none."""
        aside = rows_of_listings()
        found = await find_items(self._api, external_ids, aside)
        read = {sku: aside.read(self._state, item) for sku, item in found.items()}
        told = {sku: state for sku, state in read.items() if state is not None}
        if not told:
            aside.tell()
        return told

    async def _one_by_one(self, changes: Sequence[QuantityChange]) -> list[QuantityOutcome]:
        gate = asyncio.Semaphore(_AT_ONCE)
        by_sku: dict[str, asyncio.Lock] = {change.external_id: asyncio.Lock() for change in changes}

        async def one(change: QuantityChange) -> QuantityOutcome:
            # A lock hands itself on in the order it was asked for: two changes of one SKU stay in theirs.
            async with by_sku[change.external_id], gate:
                try:
                    state = await self.set_quantity(change.external_id, change.quantity, change.key)
                except ChannelError as error:
                    return QuantityOutcome(change, None, error)
                return QuantityOutcome(change, state, None)

        return list(await asyncio.gather(*(one(change) for change in changes)))

    async def _supplies_of(self, skus: Sequence[str]) -> dict[str, Supply | ChannelError]:
        """What supplies these listings, read again where the last look is old; or why it cannot be read."""
        known: dict[str, Supply | ChannelError] = {
            sku: supply for sku in skus if (supply := self._supplies.get(sku)) is not None
        }
        aside = rows_of_listings()
        asked = [sku for sku in skus if sku not in known]
        known |= {sku: self._learn(item) for sku, item in (await find_items(self._api, asked, aside)).items()}
        return {sku: Unreadable(f"the listing cannot be read: {why}") for sku, why in aside.reasons.items()} | known

    def lacks(self, external_ids: Sequence[str]) -> list[str]:
        return [one for one in external_ids if self._supplies.get(one) is None]

    def recall(self, known: Mapping[str, Recalled]) -> None:
        self._supplies.recall(known)

    def learnt(self) -> dict[str, Facts | None]:
        return self._supplies.learnt()

    async def learn_all(self) -> AsyncIterator[int]:
        """From the report of all listings, as far as we fulfil them ourselves."""
        part = 0
        async for sku in own_skus(self._api):
            if self._supplies.get(sku) is None:
                self._supplies.keep(sku, Supply.reported())
                part += 1
            if part == _PART:
                yield part
                part = 0
        yield part

    def doubt(self, external_ids: Collection[str]) -> set[str]:
        return self._supplies.doubt(external_ids)

    def warehouse(self) -> AsyncIterator[WarehouseUnits]:
        return warehouse_stock(self._api)

    # Orders and rivals

    def orders(self, modified_after: datetime) -> AsyncIterator[ChannelOrder]:
        """Complete up to the last one yielded: ask again from its time, and rarely (0.0056 requests a second)."""
        return each_order(lambda aside: orders.changed_orders(self._api, modified_after, aside), self._order)

    def _order(self, row: wire_orders.Order) -> ChannelOrder:
        return order_mapping.order(row, self.config.currency)

    async def read_order(self, external_id: str) -> ChannelOrder | None:
        order = await orders.known_order(self._api, external_id)
        return None if order is None else usable(self._order, order)

    async def refunded(self, since: datetime) -> AsyncIterator[ChannelOrder]:
        """Amazon's orders do not tell of refunds: they are found in its list of payments. Raises Unreadable for those
        that cannot be read, once all others were told."""
        aside = finances.rows_of_money()
        for order_id, refunds in (await finances.refunds(self._api, since, aside)).items():
            try:
                order = await self.read_order(order_id)
            except Unreadable as error:
                aside.keep({"orderId": order_id}, error)
                continue
            if order is not None:
                yield order.model_copy(update={"refunds": tuple(refunds)})
        aside.tell()

    async def confirm_shipment(
        self, order_external_id: str, carrier: str, tracking_number: str, key: str
    ) -> ChannelOrder:
        return await orders.confirm(self._api, order_external_id, carrier, tracking_number, self._order)

    # Labels

    async def label_services(self, wish: LabelOrder) -> list[LabelService]:
        found = await labels.services(self._api, labels.parcel_of(wish))
        return [
            LabelService(id=each.id, offer=each.offer, name=each.name, carrier=each.carrier, price=each.price)
            for each in found
        ]

    async def tell_buyer(self, order_external_id: str, text: str) -> None:
        kind: messaging.Kind = "unexpectedProblem"
        if kind not in await messaging.allowed(self._api, order_external_id):
            raise Rejected("Amazon takes no message about a problem with this order now", vendor_code="status")
        await messaging.send(self._api, order_external_id, kind, text)

    async def buy_label(self, wish: LabelOrder, service: LabelService, key: str) -> ChannelLabel:
        chosen = labels.Service(service.id, service.offer, service.name, service.carrier, service.price, None)
        return labels.as_told(await labels.buy(self._api, labels.parcel_of(wish), chosen))

    async def read_label(self, external_id: str) -> ChannelLabel | None:
        found = await labels.read(self._api, external_id)
        return None if found is None else labels.as_told(found)

    async def cancel_label(self, external_id: str) -> ChannelLabel:
        return labels.as_told(await labels.cancel(self._api, external_id))

    async def rivals(self, skus: Sequence[str]) -> list[RivalOffer]:
        usual = self.config.options.get("condition", "new").partition("_")[0]
        condition = _CONDITION_GROUPS.get(usual, "New")
        return await pricing.rivals(self._api, skus, condition, utc_now().astimezone(UTC))

    async def look_up(self, questions: Sequence[CatalogueQuestion]) -> list[CatalogueEntry]:
        return await catalogue.look_up(self._api, questions)

    # Notifications

    async def ensure_webhooks(self, callback_url: str, secret: SecretStr) -> list[WebhookSubscription]:
        """Amazon calls nobody: the account's queue (option `queue_arn`) is subscribed. Neither argument is used."""
        return await notifications.ensure(self._api)

    async def subscriptions(self) -> list[WebhookSubscription]:
        """Of orders and listings alone: each type is a call of its own, and these are what is lived by."""
        return await notifications.every(self._api)

    @classmethod
    def parse_webhook(
        cls, headers: Mapping[str, str], body: bytes, secret: SecretStr, config: AccountConfig
    ) -> WebhookNotice:
        raise Unauthenticated("Amazon sends no webhooks", hint="its notifications are read from the account's queue")

    @property
    def has_queue(self) -> bool:
        return self.config.notification_url is not None and "aws_access_key_id" in self.credentials

    async def notices(self) -> AsyncIterator[WebhookNotice]:
        if self._queue is None:
            if self.config.notification_url is None and "queue_arn" not in self.config.options:
                return  # no queue was set up: `probe` says so, and orders are polled
            try:
                self._queue = NotificationQueue(
                    self.config, self.credentials, self.limiter, self.account_key, self._transport
                )
            except InvalidInput as error:
                raise Rejected(error.message, hint=error.hint, vendor_code="queue") from error
        async for message in self._queue.messages():
            yield notifications.notice(message, self._api.marketplace_id)
