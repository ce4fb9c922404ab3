"""Our own connectors find in the sandbox what they expect of the vendors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from flipsync.connectors.base import AccountConfig, Limiter, MarketplaceConnector, Unlimited
from flipsync.connectors.marketplaces import connector_class
from flipsync.domain.channel import Offer
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import Rejected
from flipsync.domain.money import usd
from flipsync.runtime.mailbox import Limits
from flipsync.sandbox.client import SandboxClient

_ADDRESSES = ("base_url", "token_url", "notification_url", "options")


class Paced(Unlimited):
    """A limiter of this process alone: waits until a bucket has tokens, as the shared one does."""

    def __init__(self) -> None:
        self._full_at: dict[str, float] = {}

    async def acquire(self, bucket: str, rate_per_second: float, burst: int, cost: float = 1.0) -> None:
        # A bucket is empty when it takes the whole burst's time to be full again (generic cell rate algorithm).
        now = asyncio.get_running_loop().time()
        full_at = max(now, self._full_at.get(bucket, now)) + cost / rate_per_second
        self._full_at[bucket] = full_at
        # Half a token is left: one request's delay on its way must not bring the next one too close.
        await asyncio.sleep(max(0.0, full_at - now - (burst - 0.5) / rate_per_second))


@dataclass
class Bench:
    control: SandboxClient
    connector: MarketplaceConnector
    channel: Any


#: What the sandbox calls each vendor's channel.
CHANNELS: dict[Any, str] = {"woocommerce": "woo", "custom": "custom", "shopify": "shopify", "amazon": "amazon"}


@pytest.fixture(params=sorted(CHANNELS))
async def bench(request: pytest.FixtureRequest, serve: Callable[..., Any], redis_url: str) -> AsyncIterator[Bench]:
    info, _ = serve("--seed", "5")
    known = dict(info["channels"][request.param])
    where = {name: known.pop(name) for name in _ADDRESSES if name in known}
    config = AccountConfig.model_validate({"vendor": request.param, "currency": "USD", **where})
    secrets = {name: SecretStr(value) for name, value in known.items()}
    # Keeps to the pace that the vendor allows, and learns it from the answers.
    shared = Limits(redis_url)
    limiter: Limiter = Paced() if request.param == "amazon" else shared
    connector = connector_class(config.vendor)(config, secrets, limiter, f"test-{uuid4()}")
    async with SandboxClient(info["base_url"], info["control_token"]) as control, connector:
        yield Bench(control, connector, CHANNELS[request.param])
    await shared.aclose()


async def test_a_sale_a_shipment_and_a_refund_read_back_as_they_happened(bench: Bench) -> None:
    connector, control = bench.connector, bench.control
    assert (await connector.probe()).can_write
    offer = Offer(sku="MUG & 1", title="Mug & saucer", price=usd("12.50"), quantity=6, description_html="<p>Blue.</p>")
    listing = await connector.publish(offer, "publish-1")
    assert (await connector.publish(offer, "publish-1")).external_id == listing.external_id
    assert (await connector.set_price(listing.external_id, usd("11.00"), "price-1")).price == usd("11.00")
    sold = await control.place_order(bench.channel, offer.sku, 2)
    assert sold["accepted"]
    (order,) = [row async for row in connector.orders(utc_now() - timedelta(days=2))]
    assert (order.external_id, order.status, order.holds_stock) == (sold["id"], "paid", True)
    assert (order.lines[0].sku, order.lines[0].quantity, order.lines[0].total) == (offer.sku, 2, usd("22.00"))
    shown = await connector.read_listing(listing.external_id)
    assert shown is not None
    assert (shown.quantity, shown.price, shown.status) == (4, usd("11.00"), "active")
    shipped = await connector.confirm_shipment(order.external_id, "usps", "T1", "ship-1")
    assert (shipped.status, shipped.holds_stock) == ("shipped", True)
    await connector.confirm_shipment(order.external_id, "usps", "T1", "ship-1")
    books = await control.books()
    assert not any(books["double_side_effects"].values())
    assert books["skus"][offer.sku]["units_held"] == 2
    await connector.end(listing.external_id, "end-1")
    ended = await connector.read_listing(listing.external_id)
    assert ended is None or ended.status == "ended"


async def test_a_buyer_is_told_where_the_channel_takes_messages(bench: Bench) -> None:
    connector, control, how = bench.connector, bench.control, bench.connector.capabilities.buyer_messages
    await connector.publish(Offer(sku="MUG", title="Mug", price=usd("12.50"), quantity=6), "publish-1")
    order = (await control.place_order(bench.channel, "MUG"))["id"]
    words = "We are sorry: 1 × “Mug & saucer” <blue> is not in stock."
    if how == "none":
        with pytest.raises(Rejected, match="takes no messages"):
            await connector.tell_buyer(order, words)
        return
    await connector.tell_buyer(order, words)
    assert (await control.books())["double_side_effects"]["messages"] == []
    if how == "listed":
        assert [await connector.was_told(order, each) for each in (words, "something else")] == [True, False]
        with pytest.raises(Rejected):
            await connector.tell_buyer("999999", words)
    else:
        assert await control.call_off(bench.channel, order, "cancellation")
        with pytest.raises(Rejected, match="no message about a problem"):
            await connector.tell_buyer(order, words)


async def test_what_the_connector_says_is_off_the_shelf_agrees_with_the_books(bench: Bench) -> None:
    connector, control = bench.connector, bench.control
    for number in range(4):
        offer = Offer(sku=f"S{number}", title=f"Item {number}", price=usd("20.00"), quantity=60)
        await connector.publish(offer, f"publish-{number}")
    await control.open_for_business(traffic=8, cancel_share=0.2, refund_share=0.3, rivals=False)
    begin = utc_now() - timedelta(days=1)
    await control.advance(3 * 86_400)
    held: dict[str, int] = {}
    count = 0
    async for order in connector.orders(begin):
        count += 1
        for line in order.lines:
            back = sum(refund.restocked.get(line.external_id, 0) for refund in order.refunds)
            held[line.sku] = held.get(line.sku, 0) + (line.quantity - back if order.holds_stock else 0)
    books = await control.books()
    assert count == books["orders_total"] > 30
    assert held == {sku: truth["units_held"] for sku, truth in books["skus"].items()}


async def test_webhooks_are_understood(bench: Bench, listener: Any) -> None:
    connector, control = bench.connector, bench.control
    await connector.publish(Offer(sku="S", title="Item", price=usd("20.00"), quantity=1), "publish")
    secret = SecretStr("a-secret-of-some-length")
    hooks = await connector.ensure_webhooks(listener.url, secret)
    assert hooks
    assert all(hook.active for hook in hooks)
    again = await connector.ensure_webhooks(listener.url, secret)
    assert sorted(hook.external_id for hook in again) == sorted(hook.external_id for hook in hooks)
    sold = await control.place_order(bench.channel, "S", 1)
    await control.flush_webhooks()
    await asyncio.sleep(0.1)
    if connector.capabilities.webhooks:
        signed_with = connector.credentials.get(connector.signs_with, secret)
        notices = [
            connector.parse_webhook(headers, body, signed_with, connector.config)
            for headers, body in listener.deliveries()
        ]
    else:
        notices = [notice async for notice in connector.notices()]
    asked = connector.changed_listings(utc_now()) is not None  # who can be asked need not tell
    assert {notice.kind for notice in notices} == {"order"} | (set() if asked else {"listing"})
    assert sold["id"] in {notice.resource_id for notice in notices if notice.kind == "order"}
