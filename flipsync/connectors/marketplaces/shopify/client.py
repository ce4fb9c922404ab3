"""Connector for Shopify shops over the Admin GraphQL API. Credentials: see `AdminApi`.

A listing is a variant ("gid://shopify/ProductVariant/…"), its group the product. Options: `location_id` (needed where
the shop has several), `publication_id` (else the online store), `notify_customer` ("false": no mail to buyers).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime
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
    still_shows,
)
from flipsync.connectors.knowledge import Facts, Recalled
from flipsync.connectors.marketplaces.shopify import export, mapping, order_mapping, orders, webhooks, wire
from flipsync.connectors.marketplaces.shopify.api import AdminApi
from flipsync.connectors.marketplaces.shopify.categories import Categories
from flipsync.connectors.marketplaces.shopify.listings import Shelf, after_a_write
from flipsync.connectors.marketplaces.shopify.probe import probe
from flipsync.connectors.marketplaces.shopify.shop import ShopPlaces
from flipsync.connectors.marketplaces.shopify.stock import LASTS, MOST_AT_ONCE, Stock
from flipsync.connectors.marketplaces.shopify.subscriptions import ensure_subscriptions, every_subscription
from flipsync.connectors.oauth import access_ends
from flipsync.connectors.unread import Rows, each_order, usable
from flipsync.connectors.vault import Vault
from flipsync.domain.channel import (
    ChannelInfo,
    ChannelOrder,
    ListingState,
    Offer,
    RefundOrder,
    RivalOffer,
    Vendor,
    WebhookNotice,
    WebhookSubscription,
)
from flipsync.domain.clock import require_utc
from flipsync.domain.errors import Rejected
from flipsync.domain.money import Money


class ShopifyConnector(MarketplaceConnector):
    """One shop. A quantity is set on condition that it is still the one that was seen."""

    vendor: ClassVar[Vendor] = "shopify"
    capabilities: ClassVar[Capabilities] = Capabilities(
        conditional_stock=True,
        create_once="lookup",
        rival_offers=False,
        webhooks=True,
        refunds="key",
        bulk_quantity=MOST_AT_ONCE,
        tells_replaced=True,
        groups=True,
    )
    #: more than these cannot be read for the points that a bucket holds
    learns_all: ClassVar[LearnsAll | None] = LearnsAll(fewest=400, lasts=LASTS)
    signs_with: ClassVar[str] = "client_secret"

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
        self._api = AdminApi(config, credentials, limiter, account_key, self.vault, transport)
        self._places = ShopPlaces(self._api, config)
        self._shelf = Shelf(self._api, self._places, Categories(self._api, config))
        self._currency = config.currency
        self._stock = Stock(self._api, self._places, self._shelf, config.currency)

    async def aclose(self) -> None:
        await self._api.aclose()

    async def probe(self) -> ChannelInfo:
        info = await probe(self._api, self._places, self.config)
        # Afterwards: a refresh token may just have been exchanged for one that lasts longer.
        async with self.vault.open() as opened:
            return info.model_copy(update={"access_ends_at": access_ends(opened.credentials)})

    # Listings

    def _state(self, row: wire.Variant) -> ListingState:
        """Raises Unreadable."""
        return usable(self._stock.seen, row)

    def _written(self, row: wire.Variant, what: str) -> ListingState:
        """Raises OutcomeUnknown."""
        with after_a_write(what):
            return self._state(row)

    async def find_listing(self, sku: str) -> ListingState | None:
        row = await self._shelf.find(sku)
        return None if row is None else self._state(row)

    async def read_listing(self, external_id: str) -> ListingState | None:
        row = await self._shelf.read(external_id)
        return None if row is None else self._state(row)

    async def read_listings(self, external_ids: Sequence[str]) -> dict[str, ListingState]:
        """Without those that cannot be read, so that they hinder no other. Raises Unreadable where that leaves none."""
        asked = [one for one in dict.fromkeys(external_ids) if mapping.is_gid(one, "ProductVariant")]
        aside = Rows("listings", "id")
        read = [aside.read(self._state, row) for row in (await self._shelf.read_many(asked, aside)).values()]
        told = {state.external_id: state for state in read if state is not None}
        if not told:
            aside.tell()
        return told

    async def read_whole(self, external_id: str) -> ListingState | None:
        row = await self._shelf.read(external_id, whole=True)
        return None if row is None else self._state(row)

    async def listings(self) -> AsyncIterator[ListingState]:
        """Raises Unreadable for listings that cannot be read, once all others were told."""
        aside = Rows("listings", "id")
        async for row in self._shelf.all(aside):
            if (state := aside.read(self._state, row)) is not None:
                yield state
        aside.tell()

    async def changed_listings(self, modified_after: datetime) -> AsyncIterator[ListingState]:
        aside = Rows("listings", "id")
        async for row in self._shelf.changed(require_utc(modified_after), aside):
            if (state := aside.read(self._state, row)) is not None:
                yield state

    async def publish(self, offer: Offer, key: str) -> ListingState:
        self._require_currency(offer.price)
        return self._written(await self._shelf.publish(offer, key, self._stock.set_known), "the listing")

    def _require_currency(self, price: Money) -> None:
        # The shop's prices are bare numbers: it could not tell euros from dollars.
        if price.currency != self._currency:
            raise Rejected(f"the shop sells in {self._currency}, not {price.currency}", vendor_code="currency")

    async def revise(self, external_id: str, offer: Offer, key: str) -> ListingState:
        return self._written(await self._shelf.revise(external_id, offer), "the revision")

    async def end(self, external_id: str, key: str) -> None:
        await self._shelf.end(external_id)

    async def set_price(self, external_id: str, price: Money, key: str, expected: Money | None = None) -> ListingState:
        self._require_currency(price)
        row = await self._shelf.known(external_id)
        still_shows(self._state(row), price, expected)
        return self._written(await self._shelf.update_known(row, {"price": price.plain()}), "the price")

    async def set_quantity(
        self, external_id: str, quantity: int, key: str, expected_version: str | None = None
    ) -> ListingState:
        """The version is the quantity seen: that it went away and came back in between does no harm to a count."""
        row, before = await self._stock.set_one(external_id, quantity, key, expected_version)
        return self._written(row, "the quantity").model_copy(update={"shown_before": before})

    async def set_quantities(self, changes: Sequence[QuantityChange]) -> list[QuantityOutcome]:
        """A state tells the quantity as the answer did, and the rest as it was last read."""
        return await self._stock.set_many(changes)

    def lacks(self, external_ids: Sequence[str]) -> list[str]:
        return [one for one in external_ids if self._stock.counted.get(one) is None]

    def recall(self, known: Mapping[str, Recalled]) -> None:
        self._stock.counted.recall(known)

    def learnt(self) -> dict[str, Facts | None]:
        return self._stock.counted.learnt()

    async def learn_all(self) -> AsyncIterator[int]:
        aside, learnt = Rows("listings", "id"), 0  # those are read by themselves before they are written
        async for rows in export.counted_variants(self._api, await self._places.location(), aside):
            for row in rows:
                aside.read(self._stock.remember, row)
            learnt += len(rows)
            yield len(rows)
        if not learnt:
            aside.tell()

    def doubt(self, external_ids: Collection[str]) -> set[str]:
        return self._stock.counted.doubt(external_ids)

    # Orders

    def orders(self, modified_after: datetime) -> AsyncIterator[ChannelOrder]:
        since = require_utc(modified_after)
        return each_order(lambda aside: orders.changed_orders(self._api, since, aside), order_mapping.order)

    async def read_order(self, external_id: str) -> ChannelOrder | None:
        row = await orders.read_order(self._api, external_id)
        return None if row is None else usable(order_mapping.order, row)

    async def confirm_shipment(
        self, order_external_id: str, carrier: str, tracking_number: str, key: str
    ) -> ChannelOrder:
        notify = self.config.options.get("notify_customer", "true").lower() != "false"
        return order_mapping.order(
            await orders.ship(self._api, order_external_id, carrier, tracking_number, notify=notify)
        )

    async def issue_refund(self, wish: RefundOrder, key: str) -> str:
        """The app needs the scope write_orders."""
        self._require_currency(wish.amount)
        notify = self.config.options.get("notify_customer", "true").lower() != "false"
        return await orders.give_back(self._api, wish, key, notify=notify, location=self._places.location)

    async def rivals(self, skus: Sequence[str]) -> list[RivalOffer]:
        return []  # a shop of one's own has no other sellers

    # Webhooks

    async def ensure_webhooks(self, callback_url: str, secret: SecretStr) -> list[WebhookSubscription]:
        """Shopify signs with the app's client secret, so `secret` is not sent. Call this on a schedule: a subscription
        is deleted after eight failed deliveries in a row."""
        return await ensure_subscriptions(self._api, callback_url)

    async def subscriptions(self) -> list[WebhookSubscription]:
        return await every_subscription(self._api)

    @classmethod
    def parse_webhook(
        cls, headers: Mapping[str, str], body: bytes, secret: SecretStr, config: AccountConfig
    ) -> WebhookNotice:
        """`secret` is the credential that `signs_with` names."""
        return webhooks.parse(headers, body, secret.get_secret_value())
