"""Connector for WooCommerce shops over REST v3. Credentials: `consumer_key`, `consumer_secret`.

Goods that come in one form are simple products, one per SKU; those of a group are the variations of a variable product
and have external ids "product/variation". HTTPS signs with Basic, plain HTTP with OAuth 1.0a.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

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
from flipsync.connectors.marketplaces.woocommerce import mapping, refusals, stock, webhooks, wire
from flipsync.connectors.marketplaces.woocommerce.api import ShopApi
from flipsync.connectors.marketplaces.woocommerce.orders import changed_after, changed_orders, refunds_of
from flipsync.connectors.marketplaces.woocommerce.probe import probe
from flipsync.connectors.marketplaces.woocommerce.settings import ShopSettings
from flipsync.connectors.marketplaces.woocommerce.subscriptions import ensure_subscriptions, every_subscription
from flipsync.connectors.marketplaces.woocommerce.variations import Variations
from flipsync.connectors.unread import each_order, usable
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
from flipsync.domain.errors import OutcomeUnknown, Rejected, Retryable
from flipsync.domain.money import Money

#: products whose variations are looked at for changes, a call each
_CHANGED_PARENTS = 10


class WooCommerceConnector(MarketplaceConnector):
    """One shop. It has no idempotency keys and no conditional writes: what was created is found again by its SKU."""

    vendor: ClassVar[Vendor] = "woocommerce"
    capabilities: ClassVar[Capabilities] = Capabilities(
        conditional_stock=False,
        create_once="lookup",
        rival_offers=False,
        webhooks=True,
        refunds="reference",
        buyer_messages="listed",
        bulk_quantity=stock.BATCH,
        groups=True,
    )
    needs: ClassVar[tuple[str, ...]] = ("consumer_key", "consumer_secret")

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
        self._api = ShopApi(config, credentials, limiter, account_key, transport)
        self._currency = config.currency
        self._filing = ShopSettings(self._api).filing
        self._variations = Variations(self._api, config.currency, self._filing)

    async def aclose(self) -> None:
        await self._api.aclose()

    # Account

    async def probe(self) -> ChannelInfo:
        return await probe(self._api, self.config)

    # Listings

    async def find_listing(self, sku: str) -> ListingState | None:
        wanted = sku.strip()
        if "," in wanted:
            # The SKU filter takes a comma for a list, so such a SKU is only found by looking at all of them.
            async for state in self.listings():
                if state.sku.strip() == wanted:
                    return state
            return None
        params = [("sku", wanted), ("status", "any"), ("per_page", "100")]
        rows = await self._api.read_rows("/products", wire.Product.model_validate, params)
        found = [row for row in rows if row.sku.strip() == wanted and row.type not in mapping.NOT_LISTINGS]
        if not found:
            return None
        # Plug-ins keep a copy of each product for every language, under one SKU: the one on sale, else the first.
        row = min(found, key=lambda each: (each.status != "publish", each.id))
        if row.type == "variation":
            return await self.read_listing(f"{row.parent_id}/{row.id}")
        return mapping.product_listing(row, self._currency)

    async def read_listing(self, external_id: str) -> ListingState | None:
        try:
            product_id, variation_id = mapping.split_id(external_id)
        except ValueError:
            return None
        product = await self._api.read_known(f"/products/{product_id}", wire.Product.model_validate)
        if product is None or variation_id is None:
            return None if product is None else mapping.product_listing(product, self._currency)
        path = f"/products/{product_id}/variations/{variation_id}"
        variation = await self._api.read_known(path, wire.Variation.model_validate)
        return None if variation is None else mapping.variation_listing(variation, product, self._currency)

    async def read_listings(self, external_ids: Sequence[str]) -> dict[str, ListingState]:
        return await stock.read_listings(self._api, external_ids, self._currency)

    async def listings(self) -> AsyncIterator[ListingState]:
        async for page in self._api.pages("/products", wire.Product.model_validate, [("status", "any")]):
            for product in page.rows:
                async for state in self._listed(product):
                    yield state

    async def changed_listings(self, modified_after: datetime) -> AsyncIterator[ListingState]:
        """A product is changed when one of its variations is."""
        params = [("status", "any"), ("per_page", "100"), *changed_after(require_utc(modified_after))]
        parents = 0
        for product in await self._api.read_rows("/products", wire.Product.model_validate, params):
            parents += mapping.is_variable(product)
            if parents <= _CHANGED_PARENTS or not mapping.is_variable(product):
                async for state in self._listed(product):
                    yield state

    async def _listed(self, product: wire.Product) -> AsyncIterator[ListingState]:
        """What of a row of the list of products is a listing: its variations, itself, or nothing."""
        if mapping.is_variable(product):
            path = f"/products/{product.id}/variations"
            async for part in self._api.pages(path, wire.Variation.model_validate, ()):
                for variation in part.rows:
                    yield mapping.variation_listing(variation, product, self._currency)
        elif product.type != "variation" and product.type not in mapping.NOT_LISTINGS:
            yield mapping.product_listing(product, self._currency)

    async def publish(self, offer: Offer, key: str) -> ListingState:
        self._require_currency(offer.price)
        existing = await self.find_listing(offer.sku)
        if existing is not None:
            return await self._relist(existing, offer, key)
        try:
            if offer.group is not None:
                return await self._variations.publish(offer, offer.group, key)
            body = mapping.creation_body(offer, key, **await self._filing(offer))
            return await self._api.write_article("POST", "/products", body, self._decode_product)
        except Rejected as refused:
            if refused.vendor_code == "product_invalid_sku":
                existing = await self.find_listing(offer.sku)
                if existing is None:
                    raise await self._taken(offer.sku, refused) from refused
                return await self._relist(existing, offer, key)
            if refused.vendor_code == "woocommerce_rest_product_not_created":
                refused.hint = "a product in the shop's bin may still have this SKU: restore it or delete it for good"
            raise

    async def _taken(self, sku: str, refused: Rejected) -> Rejected | Retryable:
        """Why a SKU that no listing has is refused: what has it is not for sale itself, or writes it in other letters
        (the database compares without case). Otherwise it is taken but not shown yet by the list."""
        params = [("sku", sku.strip()), ("status", "any"), ("per_page", "100")]
        rows = await self._api.read_rows("/products", wire.Product.model_validate, params)
        if not rows:
            return Retryable(refused.message, vendor_code=refused.vendor_code, vendor_status=400)
        refused.hint = f"product {rows[0].id} ({rows[0].name}, {rows[0].type}) has the SKU {rows[0].sku}: change one"
        return refused

    async def _relist(self, existing: ListingState, offer: Offer, key: str) -> ListingState:
        """The listing that has the SKU already; one that was ended goes back on sale, unless this is an old repeat."""
        if existing.status != "ended":
            return existing
        if "/" in existing.external_id:
            return await self._variations.relist(existing, offer, key)
        path = f"/products/{existing.external_id}"
        product = await self._api.read(path, wire.Product.model_validate)
        if wire.meta_value(product.meta_data, mapping.KEY_META) == key:
            return existing
        body = mapping.creation_body(offer, key, **await self._filing(offer))
        del body["type"]  # the merchant may have made another kind of it
        if wire.meta_value(product.meta_data, mapping.IMAGES_META) == mapping.image_sources(offer.images):
            del body["images"]
        body = mapping.beside_its_own(product, body)
        return await self._api.write_article("PUT", path, body, self._decode_product)

    def _require_currency(self, price: Money) -> None:
        # The shop's prices are bare numbers: it could not tell euros from dollars.
        if price.currency != self._currency:
            raise Rejected(f"the shop sells in {self._currency}, not {price.currency}", vendor_code="currency")

    async def revise(self, external_id: str, offer: Offer, key: str) -> ListingState:
        product_id, variation_id = _known_id(external_id)
        if variation_id is not None:
            return await self._variations.revise(product_id, variation_id, offer)
        product = await self._api.read(f"/products/{product_id}", wire.Product.model_validate)
        described = mapping.descriptive_body(offer, **await self._filing(offer))
        # What the offer leaves open stays as the shop has it.
        body = {name: value for name, value in described.items() if value}
        images = mapping.image_sources(offer.images)
        if offer.images and wire.meta_value(product.meta_data, mapping.IMAGES_META) != images:
            body |= mapping.images_body(offer)
            body["meta_data"] = mapping.meta_rows({mapping.IMAGES_META: images})
        body = mapping.beside_its_own(product, body)
        return await self._api.write_article("PUT", f"/products/{product_id}", body, self._decode_product)

    async def end(self, external_id: str, key: str) -> None:
        try:
            product_id, variation_id = mapping.split_id(external_id)
        except ValueError:
            return None  # nothing of this shop
        try:
            if variation_id is not None:
                return await self._variations.end(product_id, variation_id)
            state = await self.read_listing(external_id)
            if state is not None and state.status != "ended":
                # Not the bin: there the SKU stays taken and the page's address and reviews are lost.
                meta = mapping.meta_rows({mapping.ENDED_META: "yes"})
                await self._change(external_id, {"status": "draft", "meta_data": meta})
        except Rejected as refused:
            if not refused.missing:
                raise

    async def set_price(self, external_id: str, price: Money, key: str, expected: Money | None = None) -> ListingState:
        """Nothing the shop answers tells what was there before: with `expected` the listing is read first."""
        self._require_currency(price)
        if expected is not None:
            still_shows(await self.read_listing(external_id), price, expected)
        return await self._change(external_id, mapping.price_body(price))

    async def set_quantity(
        self, external_id: str, quantity: int, key: str, expected_version: str | None = None
    ) -> ListingState:
        """`expected_version` is not heeded: WooCommerce has no conditional write (see `capabilities`)."""
        state = await self._change(external_id, mapping.quantity_body(quantity))
        if state.quantity is None and not await stock.counts_stock(self._api):
            raise stock.not_counted()
        return state

    async def set_quantities(self, changes: Sequence[QuantityChange]) -> list[QuantityOutcome]:
        return await stock.set_quantities(self._api, changes, self._currency)

    async def _change(self, external_id: str, body: Mapping[str, Any]) -> ListingState:
        product_id, variation_id = _known_id(external_id)
        path = f"/products/{product_id}"
        if variation_id is None:
            return await self._api.write("PUT", path, body, self._decode_product)
        # Read first: after the write, a failed read would leave a written price looking refused.
        parent = await self._api.read(path, wire.Product.model_validate)

        def decode(data: Any) -> ListingState:
            return mapping.variation_listing(wire.Variation.model_validate(data), parent, self._currency)

        return await self._api.write("PUT", f"{path}/variations/{variation_id}", body, decode)

    def _decode_product(self, data: Any) -> ListingState:
        return mapping.product_listing(wire.Product.model_validate(data), self._currency)

    # Orders

    def orders(self, modified_after: datetime) -> AsyncIterator[ChannelOrder]:
        """Complete up to the last one yielded: ask again from its time."""
        since = require_utc(modified_after)
        return each_order(lambda aside: changed_orders(self._api, since, aside), self._order)

    async def _order(self, row: wire.Order) -> ChannelOrder:
        return mapping.order(row, await refunds_of(self._api, row))

    async def read_order(self, external_id: str) -> ChannelOrder | None:
        order = await self._wire_order(external_id)
        if order is None:
            return None
        refunds = await refunds_of(self._api, order)
        return usable(lambda row: mapping.order(row, refunds), order)

    async def _wire_order(self, external_id: str) -> wire.Order | None:
        if not (external_id.isascii() and external_id.isdigit()):
            return None
        return await self._api.read_known(f"/orders/{external_id}", wire.Order.model_validate)

    async def confirm_shipment(
        self, order_external_id: str, carrier: str, tracking_number: str, key: str
    ) -> ChannelOrder:
        order = await self._require_order(order_external_id)
        if not mapping.can_be_shipped(order):
            raise Rejected(f"the order is {order.status}: it cannot be shipped", vendor_code="status")
        # Before the write: a failed read after it must not hide that it was done.
        refunds = await refunds_of(self._api, order)
        if mapping.is_shipped_with(order, carrier, tracking_number):
            return mapping.order(order, refunds)
        meta = mapping.shipment_meta(carrier, tracking_number)
        body = {"status": "completed", "meta_data": mapping.meta_rows(meta)}

        def decode(data: Any) -> ChannelOrder:
            return mapping.order(wire.Order.model_validate(data), refunds)

        return await self._api.write("PUT", f"/orders/{order.id}", body, decode)

    async def issue_refund(self, wish: RefundOrder, key: str) -> str:
        """Through the gateway the buyer paid by. WooCommerce has no key for it: the reason bears our reference."""
        order = await self._require_order(wish.order_external_id)
        self._require_currency(wish.amount)
        body = mapping.refund_body(order, wish)
        try:
            return await self._api.write("POST", f"/orders/{order.id}/refunds", body, mapping.decode_refund_id)
        except OutcomeUnknown as unknown:
            raise refusals.refund_refused(unknown) from unknown

    async def tell_buyer(self, order_external_id: str, text: str) -> None:
        """A note to the customer: the shop mails it to them."""
        order = await self._require_order(order_external_id)
        body = {"note": text, "customer_note": True}
        await self._api.write("POST", f"/orders/{order.id}/notes", body, wire.OrderNote.model_validate)

    async def was_told(self, order_external_id: str, text: str) -> bool:
        order = await self._require_order(order_external_id)
        path = f"/orders/{order.id}/notes"
        notes = await self._api.read_rows(path, wire.OrderNote.model_validate, [("type", "customer")])
        return any(note.customer_note and mapping.same_words(note.note, text) for note in notes)

    async def _require_order(self, external_id: str) -> wire.Order:
        order = await self._wire_order(external_id)
        if order is None:
            raise Rejected("there is no such order", vendor_code="not_found", missing=True)
        return order

    async def rivals(self, skus: Sequence[str]) -> list[RivalOffer]:
        return []  # a shop of one's own has no other sellers

    # Webhooks

    async def ensure_webhooks(self, callback_url: str, secret: SecretStr) -> list[WebhookSubscription]:
        """WooCommerce switches a webhook off after its 7th failure and tells nobody: call this on a schedule."""
        return await ensure_subscriptions(self._api, callback_url, secret.get_secret_value())

    async def subscriptions(self) -> list[WebhookSubscription]:
        return await every_subscription(self._api)

    @classmethod
    def parse_webhook(
        cls, headers: Mapping[str, str], body: bytes, secret: SecretStr, config: AccountConfig
    ) -> WebhookNotice:
        return webhooks.parse(headers, body, secret.get_secret_value())


def _known_id(external_id: str) -> tuple[int, int | None]:
    """The ids of a listing. Raises Rejected for what cannot be one."""
    try:
        return mapping.split_id(external_id)
    except ValueError as error:
        raise Rejected(str(error), vendor_code="not_found", missing=True) from error
