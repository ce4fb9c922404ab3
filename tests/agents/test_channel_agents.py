"""BaseMarketAgent and WooCommerceAgent: publish, look, compare, welcome; the shop without rivals and with webhooks."""

from __future__ import annotations

import pytest
from shop import Shop

from agents.market.base_market import BaseMarketAgent
from agents.market.woocommerce import WooCommerceAgent
from flipsync.domain.commands import EnsureWebhooks, PublishListing, PullOrders, PullRivals, VerifyListings
from flipsync.domain.events import AccountConnected, ChannelCheckDue, ListingCheckDue, ListingRequested

BOTH = pytest.mark.parametrize("agent", [BaseMarketAgent, WooCommerceAgent])


@BOTH
async def test_publishes_what_is_requested_with_nothing_to_sell_yet(shop: Shop, agent: type[BaseMarketAgent]) -> None:
    account = await shop.account()
    goods = await shop.variant(units=4, title="Teapot", options={"colour": "blue"}, barcode="4006381333931")
    listing = await shop.listing(account, goods, price=None, status="requested")
    event = ListingRequested(account_id=account.id, vendor="custom", product_id=goods.product_id)
    decision = await shop.decide(agent(), event)
    (command,) = decision.proposals
    assert isinstance(command, PublishListing)
    assert (command.listing_id, command.offer.sku, command.offer.quantity) == (listing, goods.sku, 0)
    assert command.offer.title == "Teapot – blue"
    assert command.offer.barcode == "4006381333931"
    assert command.certificate is None, "only the firewall signs"


@BOTH
async def test_a_variant_without_a_price_is_not_published(shop: Shop, agent: type[BaseMarketAgent]) -> None:
    account, goods = await shop.account(), await shop.variant(units=4, price=None)
    await shop.listing(account, goods, price=None, status="requested")
    event = ListingRequested(account_id=account.id, vendor="custom", product_id=goods.product_id)
    decision = await shop.decide(agent(), event)
    assert decision.is_hold and "no price" in decision.rationale


async def test_looks_for_orders_and_where_there_are_rivals_for_them(shop: Shop) -> None:
    account = await shop.account()
    for agent, rivals, looks in (
        (BaseMarketAgent, False, {PullOrders}),
        (BaseMarketAgent, True, {PullOrders, PullRivals}),
        (WooCommerceAgent, True, {PullOrders}),
    ):
        due = ChannelCheckDue(account_id=account.id, vendor="custom", rivals=rivals)
        decision = await shop.decide(agent(), due)
        assert {type(command) for command in decision.proposals} == looks


async def test_webhooks_are_asked_for_where_we_can_be_reached(shop: Shop) -> None:
    reachable = await Shop(shop.store).found(webhook_base_url="https://we.example")
    for place, hooks in ((shop, set()), (reachable, {EnsureWebhooks})):
        account = await place.account()
        welcome = await place.decide(BaseMarketAgent(), AccountConnected(account_id=account.id, vendor="custom"))
        assert {type(command) for command in welcome.proposals} == {PullOrders} | hooks
        check = ListingCheckDue(account_id=account.id, vendor="woocommerce")
        compared = await place.decide(WooCommerceAgent(), check)
        assert {type(command) for command in compared.proposals} == {VerifyListings} | hooks
        plain = await place.decide(BaseMarketAgent(), check)
        assert {type(command) for command in plain.proposals} == {VerifyListings}
