"""Connector for eBay sellers over the Sell APIs. Credentials: `client_id`, `client_secret`, `refresh_token`.

Options: `marketplace_id` (EBAY_US), `migrate` (yes: listings made by hand come under the Inventory API),
`category_id`, `payment_policy_id`, `fulfillment_policy_id`, `return_policy_id`, `merchant_location_key`,
`condition` (NEW), `seller`, `alert_email`, `scopes`. What is not given is asked of eBay.

A listing's external id is its SKU as eBay spells it (see skus.py). Order lines and bulk calls name the SKU; the listing
number changes with every relisting, and the offer's id when an offer is made anew.
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
from flipsync.connectors.marketplaces.ebay import ad_sales, notifications
from flipsync.connectors.marketplaces.ebay.api import EbayApi
from flipsync.connectors.marketplaces.ebay.catalogue import look_up
from flipsync.connectors.marketplaces.ebay.compliance import Compliance
from flipsync.connectors.marketplaces.ebay.finances import Finances
from flipsync.connectors.marketplaces.ebay.listings import BULK, LASTS, Listings
from flipsync.connectors.marketplaces.ebay.mapping import amount, is_live, listing_state
from flipsync.connectors.marketplaces.ebay.marketing import Marketing
from flipsync.connectors.marketplaces.ebay.migration import Migration
from flipsync.connectors.marketplaces.ebay.negotiation import Negotiation
from flipsync.connectors.marketplaces.ebay.orders import Orders
from flipsync.connectors.marketplaces.ebay.probe import probe
from flipsync.connectors.marketplaces.ebay.products import Products
from flipsync.connectors.marketplaces.ebay.quantities import Quantities, listing_of
from flipsync.connectors.marketplaces.ebay.revisions import Revisions
from flipsync.connectors.marketplaces.ebay.rivals import Rivals
from flipsync.connectors.marketplaces.ebay.settings import SellerSettings
from flipsync.connectors.marketplaces.ebay.skus import spell
from flipsync.connectors.marketplaces.ebay.standards import rating, seller_standards
from flipsync.connectors.marketplaces.ebay.subscriptions import Notifications
from flipsync.connectors.marketplaces.ebay.writing import Writer, missing
from flipsync.connectors.vault import Vault
from flipsync.domain.advertising import AdSale, AdShown
from flipsync.domain.channel import (
    ChannelInfo,
    ChannelOrder,
    ListingState,
    Offer,
    RefundOrder,
    RivalOffer,
    SellerRating,
    TakenIn,
    Vendor,
    WebhookNotice,
    WebhookSubscription,
)
from flipsync.domain.clock import require_utc
from flipsync.domain.errors import Rejected, Unauthenticated
from flipsync.domain.money import Money
from flipsync.domain.payouts import ChannelPayout, ChannelPayoutLine
from flipsync.domain.sourcing import CatalogueEntry, CatalogueQuestion


class EbayConnector(MarketplaceConnector):
    """One seller on one marketplace. No idempotency keys and no conditional writes: the SKU finds what was made."""

    vendor: ClassVar[Vendor] = "ebay"
    capabilities: ClassVar[Capabilities] = Capabilities(
        conditional_stock=False,
        create_once="lookup",
        rival_offers=True,
        webhooks=True,
        webhook_keys=True,
        refunds="amount",
        refund_restocks=False,
        bulk_quantity=BULK,
        groups=True,
        ads=True,
        payouts=True,
    )
    #: asking for each offer is quicker for fewer
    learns_all: ClassVar[LearnsAll | None] = LearnsAll(fewest=400, lasts=LASTS)
    #: eBay's public keys, the same for all accounts of a process
    keys: ClassVar[notifications.Keys] = notifications.Keys()
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
        self._api = EbayApi(config, credentials, limiter, account_key, self.vault, transport)
        self._revisions = Revisions()
        self._listings = Listings(self._api)
        self._migration = Migration(self._api, config, self._listings)
        self._writer = Writer(self._api, config, self._listings, self._revisions)
        self._quantities = Quantities(self._api, self._listings, self._writer, self._revisions)
        self._orders = Orders(self._api, config.currency)
        self._rivals = Rivals(self._api, config, self._listings)
        self._products = Products(self._api)
        self._notifications = Notifications(self._api, config)
        #: what eBay has beside the common interface
        self.negotiation = Negotiation(self._api)
        self.compliance = Compliance(self._api)
        self.finances = Finances(self._api)
        self.marketing = Marketing(self._api)

    async def aclose(self) -> None:
        await self._api.aclose()

    async def probe(self) -> ChannelInfo:
        """Asks eBay afresh for policies and location, which publishing remembers."""
        settings = SellerSettings(self._api, self.config)
        return await probe(self._api, self.config, self.vault, settings, self._rivals)

    # Listings

    async def find_listing(self, sku: str) -> ListingState | None:
        return await self._listings.state(spell(sku))

    async def read_listing(self, external_id: str) -> ListingState | None:
        return await self._listings.state(external_id)

    async def read_listings(self, external_ids: Sequence[str]) -> dict[str, ListingState]:
        return await self._listings.states(external_ids)

    def listings(self) -> AsyncIterator[ListingState]:
        return self._listings.all()

    async def take_in(self, known: Collection[str]) -> TakenIn:
        return await self._migration.take_in([spell(sku) for sku in known if sku])

    async def publish(self, offer: Offer, key: str) -> ListingState:
        """Several calls; a broken try is gone on with by the next. Without a unit to sell it is prepared, and goes on
        sale with its first one. The offer's `group` becomes one listing with choices.
        """
        self._require_currency(offer.price)
        self._listings.forget(spell(offer.sku))
        return await self._writer.publish(offer, spell(offer.sku))

    async def revise(self, external_id: str, offer: Offer, key: str) -> ListingState:
        return await self._writer.revise(external_id, offer)

    async def end(self, external_id: str, key: str) -> None:
        self._listings.forget()  # of a listing with choices, what becomes of the others
        await self._writer.end(external_id)

    async def set_price(self, external_id: str, price: Money, key: str, expected: Money | None = None) -> ListingState:
        self._require_currency(price)
        item = await self._listings.item(external_id)
        offer = None if item is None else await self._listings.offer(external_id)
        if item is None or offer is None:
            raise missing()
        before = listing_state(item, external_id, offer)
        still_shows(before, price, expected)
        if before.price == price:
            return before
        listing = listing_of(external_id, item)
        if is_live(offer):
            self._revisions.require(listing)
        row = {"sku": external_id, "offers": [{"offerId": offer.offer_id, "price": amount(price)}]}
        error = (await self._quantities.send([row]))[external_id]
        if is_live(offer):
            error = self._revisions.count(listing, error)
        if error is not None:
            raise error
        return await self._writer.shown(external_id)

    async def set_quantity(
        self, external_id: str, quantity: int, key: str, expected_version: str | None = None
    ) -> ListingState:
        """`expected_version` is not heeded: eBay has no conditional write (see `capabilities`)."""
        change = QuantityChange(external_id, quantity, key)
        (outcome,) = await self._quantities.set([change])
        if isinstance(outcome.error, Rejected) and self.doubt([external_id]):
            (outcome,) = await self._quantities.set([change])
        if outcome.error is not None:
            raise outcome.error
        if outcome.state is None:
            raise missing()
        return outcome.state

    async def set_quantities(self, changes: Sequence[QuantityChange]) -> list[QuantityOutcome]:
        return await self._quantities.set(changes)

    def lacks(self, external_ids: Sequence[str]) -> list[str]:
        return self._listings.lacks(external_ids)

    def recall(self, known: Mapping[str, Recalled]) -> None:
        self._listings.recall(known)

    def learnt(self) -> dict[str, Facts | None]:
        return self._listings.learnt()

    def learn_all(self) -> AsyncIterator[int]:
        """From the report of active listings: most offers need not be asked for then."""
        return self._migration.learn_live()

    def doubt(self, external_ids: Collection[str]) -> set[str]:
        return self._listings.doubt(external_ids)

    def _require_currency(self, price: Money) -> None:
        if price.currency != self._api.site.currency:
            raise Rejected(f"{self._api.site.id} sells in {self._api.site.currency}, not {price.currency}")

    # Orders and rivals

    def orders(self, modified_after: datetime) -> AsyncIterator[ChannelOrder]:
        return self._orders.changed(require_utc(modified_after))

    async def read_order(self, external_id: str) -> ChannelOrder | None:
        return await self._orders.read(external_id)

    async def confirm_shipment(
        self, order_external_id: str, carrier: str, tracking_number: str, key: str
    ) -> ChannelOrder:
        return await self._orders.ship(order_external_id, carrier, tracking_number)

    async def issue_refund(self, wish: RefundOrder, key: str) -> str:
        self._require_currency(wish.amount)
        return await self._orders.give_back(wish.order_external_id, wish)

    async def rivals(self, skus: Sequence[str]) -> list[RivalOffer]:
        return [rival async for rival in self._rivals.of(skus)]

    async def look_up(self, questions: Sequence[CatalogueQuestion]) -> list[CatalogueEntry]:
        return await look_up(self._products, self._rivals, questions)

    async def rating(self) -> SellerRating | None:
        return rating(await seller_standards(self._api))

    # Ads

    async def ads(self) -> list[AdShown]:
        return await self.marketing.shown()

    def ad_sales(self, since: datetime, until: datetime) -> AsyncIterator[AdSale]:
        return ad_sales.ad_sales(self.finances, self._orders, require_utc(since), require_utc(until))

    async def set_ad_rate(self, external_id: str, rate_bps: int) -> int:
        return await self.marketing.advertise(external_id, rate_bps)

    # Payouts

    def payouts(self, since: datetime) -> AsyncIterator[ChannelPayout]:
        return self.finances.payouts(require_utc(since))

    def payout_lines(self, external_id: str) -> AsyncIterator[ChannelPayoutLine]:
        return self.finances.lines(external_id)

    # Notifications

    async def ensure_webhooks(self, callback_url: str, secret: SecretStr) -> list[WebhookSubscription]:
        return await self._notifications.ensure(callback_url, secret.get_secret_value())

    async def subscriptions(self) -> list[WebhookSubscription]:
        return await self._notifications.every()

    async def verify_webhook(self, headers: Mapping[str, str], body: bytes, secret: SecretStr) -> WebhookNotice:
        """As `parse_webhook`, with eBay's key fetched where this process has not kept it."""
        signature = notifications.signature_of(headers)
        server = _server(self.config)
        if self.keys.get(server, signature.key_id) is None:
            key = await self._notifications.public_key(signature.key_id)
            if key is None:
                raise Unauthenticated("eBay does not know the key that the notification is signed with")
            self.keys.keep(server, signature.key_id, key)
        return self.parse_webhook(headers, body, secret, self.config)

    @classmethod
    def parse_webhook(
        cls, headers: Mapping[str, str], body: bytes, secret: SecretStr, config: AccountConfig
    ) -> WebhookNotice:
        """Knows only keys that `verify_webhook` fetched in the last hour, and refuses what others have signed."""
        signature = notifications.signature_of(headers)
        key = cls.keys.get(_server(config), signature.key_id)
        if key is None:
            raise Unauthenticated("the key of the notification's signature was not fetched yet")
        notifications.verify(signature, body, key)
        return notifications.notice(body)

    @classmethod
    def answer_challenge(cls, query: Mapping[str, str], secret: SecretStr, callback_url: str) -> dict[str, str] | None:
        code = query.get("challenge_code")
        if not code:
            return None
        token = notifications.verification_token(secret.get_secret_value())
        return {"challengeResponse": notifications.challenge_response(code, token, callback_url)}


def _server(config: AccountConfig) -> str:
    return str(config.base_url).rstrip("/")
