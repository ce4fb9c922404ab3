"""Connector for any shop that serves the custom-channel protocol (PROTOCOL.md). Credentials: `token`."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, ClassVar, TypeVar
from urllib.parse import quote

import httpx2
from pydantic import SecretStr

from flipsync.connectors.base import AccountConfig, Capabilities, Limiter, MarketplaceConnector, still_shows
from flipsync.connectors.http import HttpCore
from flipsync.connectors.marketplaces.custom import mapping, wire
from flipsync.connectors.request import Params
from flipsync.connectors.unread import Aside, Rows, each_order
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
from flipsync.domain.clock import require_utc, utc_now
from flipsync.domain.errors import InvalidInput, Rejected, Retryable
from flipsync.domain.ids import new_id
from flipsync.domain.money import Money

T = TypeVar("T")
_PAGE = 200
_SKUS_PER_CALL = 50


class CustomConnector(MarketplaceConnector):
    """A listing's external id is its SKU; `version` is the protocol's stock_version."""

    vendor: ClassVar[Vendor] = "custom"
    capabilities: ClassVar[Capabilities] = Capabilities(
        conditional_stock=True, create_once="key", rival_offers=True, webhooks=True, refunds="key", tells_replaced=True
    )
    needs: ClassVar[tuple[str, ...]] = ("token",)

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
        if "token" not in credentials:
            raise InvalidInput("the credential 'token' is missing")
        self._base = str(config.base_url).rstrip("/").removesuffix("/v1") + "/v1"
        self._http = HttpCore(
            config, limiter, account_key, sign=self._sign, read_error=mapping.read_error, transport=transport
        )

    def _sign(self, method: str, url: str, params: Params) -> tuple[Mapping[str, str], Params]:
        return {"Authorization": f"Bearer {self.credentials['token'].get_secret_value()}"}, ()

    async def aclose(self) -> None:
        await self._http.aclose()

    async def _read(self, path: str, decode: Callable[[Any], T], params: Params = ()) -> T:
        return (await self._http.request("GET", self._base + path, decode=decode, params=params)).value

    async def _read_known(self, path: str, decode: Callable[[Any], T]) -> T | None:
        try:
            return await self._read(path, decode)
        except Rejected as refused:
            if refused.missing:
                return None
            raise

    async def _write(
        self,
        method: str,
        path: str,
        body: Any,
        key: str,
        decode: Callable[[Any], T],
        headers: Mapping[str, str] | None = None,
    ) -> T:
        sent = {**(headers or {}), "Idempotency-Key": key}
        answer = await self._http.request(method, self._base + path, decode=decode, body=body, headers=sent)
        return answer.value

    async def probe(self) -> ChannelInfo:
        channel = await self._read("/channel", wire.Channel.model_validate)
        notes = [] if channel.can_write else ["the token may read but not write"]
        if channel.currency != self.config.currency:
            notes.append(f"the channel sells in {channel.currency}, the account is set to {self.config.currency}")
        return ChannelInfo(
            name=channel.name,
            version=channel.version,
            currency=channel.currency,
            timezone=channel.timezone,
            can_read=True,
            can_write=channel.can_write,
            notes=tuple(notes),
        )

    async def find_listing(self, sku: str) -> ListingState | None:
        return await self.read_listing(sku)

    async def read_listing(self, external_id: str) -> ListingState | None:
        return await self._read_known(_listing_path(external_id), mapping.decode_listing)

    async def listings(self) -> AsyncIterator[ListingState]:
        """Raises Unreadable for listings that cannot be read, once all others were told."""
        aside = Rows("listings", "sku")
        decode = partial(wire.ListingPage.model_validate, context=aside.context)
        cursor: str | None = None
        cursors: set[str] = set()
        while True:
            params = [("limit", str(_PAGE)), *([("cursor", cursor)] if cursor else [])]
            page = await self._read("/listings", decode, params)
            for row in page.items:
                if (state := aside.read(mapping.listing, row)) is not None:
                    yield state
            cursor = _next(page.next_cursor, cursors)
            if cursor is None:
                break
        aside.tell()

    async def publish(self, offer: Offer, key: str) -> ListingState:
        path = _listing_path(offer.sku)
        try:
            return await self._write("PUT", path, mapping.creation_body(offer), key, mapping.decode_listing)
        except Rejected as refused:
            if refused.auth:
                raise
            # A listing that exists refuses price and quantity here: it is the one that was asked for.
            existing = await self.read_listing(offer.sku)
            if existing is None or existing.status == "ended":
                raise
            return existing

    async def revise(self, external_id: str, offer: Offer, key: str) -> ListingState:
        # PUT creates what is missing, and a revision must not: the listing may have been removed by hand.
        if await self.read_listing(external_id) is None:
            raise Rejected("there is no such listing", vendor_code="not_found", vendor_status=404, missing=True)
        path = _listing_path(external_id)
        return await self._write("PUT", path, mapping.descriptive_body(offer), key, mapping.decode_listing)

    async def end(self, external_id: str, key: str) -> None:
        try:
            await self._write("DELETE", _listing_path(external_id), None, key, lambda _: None)
        except Rejected as refused:
            if not refused.missing:
                raise

    async def set_price(self, external_id: str, price: Money, key: str, expected: Money | None = None) -> ListingState:
        """The protocol has no conditional price: with `expected` the listing is read first."""
        if expected is not None:
            still_shows(await self.read_listing(external_id), price, expected)
        path = f"{_listing_path(external_id)}/price"
        return await self._write("PUT", path, {"price": mapping.money_body(price)}, key, mapping.decode_listing)

    async def set_quantity(
        self, external_id: str, quantity: int, key: str, expected_version: str | None = None
    ) -> ListingState:
        headers = {} if expected_version is None else {"If-Match": f'"{expected_version}"'}
        path = f"{_listing_path(external_id)}/quantity"
        try:
            return await self._write("PUT", path, {"quantity": quantity}, key, mapping.decode_listing, headers)
        except Rejected as refused:
            if refused.vendor_status == 412:
                refused.vendor_code = "version"
            raise

    def orders(self, modified_after: datetime) -> AsyncIterator[ChannelOrder]:
        return each_order(lambda aside: self._changed(modified_after, aside), mapping.order)

    async def _changed(self, modified_after: datetime, aside: Aside) -> AsyncIterator[wire.Order]:
        since = require_utc(modified_after).isoformat().replace("+00:00", "Z")
        cursor: str | None = None
        seen: set[tuple[str, datetime]] = set()
        cursors: set[str] = set()
        while True:
            params = [("modified_after", since), ("limit", str(_PAGE)), *([("cursor", cursor)] if cursor else [])]
            page = await self._read("/orders", partial(wire.OrderPage.model_validate, context=aside.context), params)
            for row in page.items:
                if (row.id, row.modified_at) not in seen:
                    seen.add((row.id, row.modified_at))
                    yield row
            cursor = _next(page.next_cursor, cursors)
            if cursor is None:
                return

    async def read_order(self, external_id: str) -> ChannelOrder | None:
        return await self._read_known(f"/orders/{_segment(external_id)}", mapping.decode_order)

    async def confirm_shipment(
        self, order_external_id: str, carrier: str, tracking_number: str, key: str
    ) -> ChannelOrder:
        path = f"/orders/{_segment(order_external_id)}/shipment"
        body = {"carrier": carrier, "tracking_number": tracking_number}
        return await self._write("POST", path, body, key, mapping.decode_order)

    async def issue_refund(self, wish: RefundOrder, key: str) -> str:
        path = f"/orders/{_segment(wish.order_external_id)}/refunds"
        return await self._write("POST", path, mapping.refund_body(wish), key, mapping.decode_refund_id)

    async def rivals(self, skus: Sequence[str]) -> list[RivalOffer]:
        wanted = list(dict.fromkeys(skus))
        found: list[RivalOffer] = []
        for start in range(0, len(wanted), _SKUS_PER_CALL):
            params = [("sku", sku) for sku in wanted[start : start + _SKUS_PER_CALL]]
            page = await self._read("/offers", wire.RivalPage.model_validate, params)
            found += [mapping.rival(row) for row in page.items]
        return found

    async def ensure_webhooks(self, callback_url: str, secret: SecretStr) -> list[WebhookSubscription]:
        # One name per account: the subscription moves with the callback instead of doubling.
        name = f"flipsync-{hashlib.sha256(self.account_key.encode()).hexdigest()[:12]}"
        body = {"url": callback_url, "secret": secret.get_secret_value(), "topics": list(mapping.TOPICS)}
        # A fresh key each time: a replayed answer would not switch a disabled subscription on again.
        hook = await self._write("PUT", f"/webhooks/{name}", body, str(new_id()), wire.Webhook.model_validate)
        return [
            WebhookSubscription(external_id=hook.name, topic=topic, url=hook.url, active=hook.active)
            for topic in hook.topics
        ]

    async def subscriptions(self) -> list[WebhookSubscription]:
        page = await self._read("/webhooks", wire.WebhookPage.model_validate)
        return [
            WebhookSubscription(external_id=hook.name, topic=topic, url=hook.url, active=hook.active)
            for hook in page.items
            for topic in hook.topics
        ]

    @classmethod
    def parse_webhook(
        cls, headers: Mapping[str, str], body: bytes, secret: SecretStr, config: AccountConfig
    ) -> WebhookNotice:
        return mapping.webhook(headers, body, secret.get_secret_value(), utc_now().astimezone(UTC))


def _segment(text: str) -> str:
    """One path segment. Raises Rejected for texts that a URL cannot carry as one."""
    if text in ("", ".", ".."):
        raise Rejected(f"{text!r} cannot be part of an address", vendor_code="request")
    return quote(text, safe="")


def _next(cursor: str | None, followed: set[str]) -> str | None:
    """Where the list goes on. Raises Retryable for a place it has gone on from before: it would never end."""
    if cursor is not None and cursor in followed:
        raise Retryable("the channel shows the same page again")
    followed.update([cursor] if cursor else [])
    return cursor or None


def _listing_path(sku: str) -> str:
    return f"/listings/{_segment(sku)}"
