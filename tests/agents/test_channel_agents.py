"""The channels' agents: publish, look, compare, welcome; shops without rivals and with webhooks that vanish."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from shop import Shop
from sqlalchemy import update

from agents import ROSTER
from agents.market.base_market import BaseMarketAgent
from agents.market.shopify import ShopifyAgent
from agents.market.woocommerce import WooCommerceAgent
from flipsync.domain.commands import (
    EndListing,
    EnsureWebhooks,
    PublishListing,
    PullOrders,
    PullRivals,
    ReviseListing,
    SurveyListings,
    VerifyListings,
)
from flipsync.domain.decisions import Decision
from flipsync.domain.events import (
    AccountConnected,
    ChannelCheckDue,
    ChannelFaultCleared,
    ChannelFaultFound,
    ListingCheckDue,
    ListingOutdated,
    ListingRequested,
)
from flipsync.domain.ids import new_id
from flipsync.services.orders import AccountRef
from flipsync.store.models import Effect, Listing, Product, Tenant, Variant

EACH = pytest.mark.parametrize("agent", [BaseMarketAgent, WooCommerceAgent, ShopifyAgent])


@EACH
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


@EACH
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
        (ShopifyAgent, True, {PullOrders}),
    ):
        due = ChannelCheckDue(account_id=account.id, vendor="custom", rivals=rivals)
        decision = await shop.decide(agent(), due)
        assert {type(command) for command in decision.proposals} == looks


@pytest.mark.parametrize("agent", [each for each in ROSTER if issubclass(each, BaseMarketAgent)])
async def test_every_channel_is_looked_at_before_anything_is_listed(shop: Shop, agent: type[BaseMarketAgent]) -> None:
    account = await shop.account()
    welcome = await shop.decide(agent(), AccountConnected(account_id=account.id, vendor="custom"))
    assert SurveyListings(account_id=account.id) in welcome.proposals


async def test_webhooks_are_asked_for_where_we_can_be_reached(shop: Shop) -> None:
    reachable = await Shop(shop.store).found(webhook_base_url="https://we.example")
    for place, hooks in ((shop, set()), (reachable, {EnsureWebhooks})):
        account = await place.account()
        welcome = await place.decide(BaseMarketAgent(), AccountConnected(account_id=account.id, vendor="custom"))
        assert {type(command) for command in welcome.proposals} == {PullOrders, SurveyListings} | hooks
        check = ListingCheckDue(account_id=account.id, vendor="woocommerce")
        for shop_agent in (WooCommerceAgent(), ShopifyAgent()):
            compared = await place.decide(shop_agent, check)
            assert {type(command) for command in compared.proposals} == {VerifyListings} | hooks
        plain = await place.decide(BaseMarketAgent(), check)
        assert {type(command) for command in plain.proposals} == {VerifyListings}


async def follow(shop: Shop, agent: type[BaseMarketAgent], account: AccountRef, listing: UUID) -> Decision[Any]:
    event = ListingOutdated(account_id=account.id, vendor=account.vendor, listing_id=listing)
    decision: Decision[Any] = await shop.decide(agent(), event)
    return decision


@EACH
async def test_a_live_listing_follows_its_product(shop: Shop, agent: type[BaseMarketAgent]) -> None:
    account = await shop.account()
    goods = await shop.variant(units=4, title="Teapot", options={"colour": "blue"}, image="https://img.example/1.jpg")
    listing = await shop.listing(account, goods, units=4)
    (first,) = (await follow(shop, agent, account, listing)).proposals
    assert isinstance(first, ReviseListing)
    assert (first.offer.title, first.offer.images) == ("Teapot – blue", ("https://img.example/1.jpg",))
    effect_id = await shop.enqueue(first, account)
    assert (await follow(shop, agent, account, listing)).is_hold, "that is on its way"
    async with shop.unit() as unit:
        (await unit.session.get_one(Variant, goods.variant_id)).price_minor = 3500
    assert (await follow(shop, agent, account, listing)).is_hold, "prices go another way"
    async with shop.unit() as unit:
        (await unit.session.get_one(Product, goods.product_id)).title = "Kettle"
    (second,) = (await follow(shop, agent, account, listing)).proposals
    assert isinstance(second, ReviseListing) and second.offer.title == "Kettle – blue"
    async with shop.unit() as unit:
        (await unit.session.get_one(Product, goods.product_id)).title = "Teapot"
    assert (await follow(shop, agent, account, listing)).is_hold
    await set_effect(shop, effect_id, "rejected")
    assert not (await follow(shop, agent, account, listing)).is_hold, "the channel did not take it"
    await set_effect(shop, effect_id, "unknown")
    assert not (await follow(shop, agent, account, listing)).is_hold, "nobody knows whether it did"


async def set_effect(shop: Shop, effect_id: UUID, state: str) -> None:
    async with shop.unit() as unit:
        effect = await unit.session.get_one(Effect, effect_id)
        effect.state, effect.finished_at = state, unit.now


@EACH
async def test_a_listing_goes_with_its_product(shop: Shop, agent: type[BaseMarketAgent]) -> None:
    account, goods = await shop.account(), await shop.variant(units=4)
    listing = await shop.listing(account, goods, units=4)
    async with shop.unit() as unit:
        (await unit.session.get_one(Product, goods.product_id)).published = False
    (end,) = (await follow(shop, agent, account, listing)).proposals
    assert isinstance(end, EndListing)
    assert (end.listing_id, end.account_id) == (listing, account.id)
    assert "not published" in end.reason


async def test_what_is_not_on_sale_is_left_alone(shop: Shop) -> None:
    account, goods = await shop.account(), await shop.variant(units=4)
    listing = await shop.listing(account, goods, units=4)
    async with shop.unit() as unit:
        (await unit.session.get_one(Listing, listing)).status = "ended"
    for listing_id in (listing, new_id()):
        decision = await follow(shop, BaseMarketAgent, account, listing_id)
        assert decision.is_hold and "not on sale" in decision.rationale


def found(account: AccountRef, cause: str) -> ChannelFaultFound:
    return ChannelFaultFound(
        account_id=account.id, vendor="custom", fault_id=new_id(), cause=cause, evidence=("a sign",)
    )


@EACH
@pytest.mark.parametrize(
    ("cause", "done"),
    [
        ("webhooks-missing", [EnsureWebhooks, PullOrders]),
        ("orders-missing", [PullOrders]),
        ("write-reverted", [PullOrders, VerifyListings]),
    ],
)
async def test_mends_of_a_channel_what_needs_no_person(
    shop: Shop, agent: type[BaseMarketAgent], cause: str, done: list[type]
) -> None:
    account = await shop.account()
    async with shop.unit() as unit:
        await unit.session.execute(update(Tenant).values(settings={"webhook_base_url": "https://api.example"}))
    decision = await shop.decide(agent(), found(account, cause))
    assert [type(command) for command in decision.proposals] == done
    assert decision.evidence[0].note == "a sign"


@EACH
async def test_tells_the_owner_plainly_what_only_the_owner_can_do(shop: Shop, agent: type[BaseMarketAgent]) -> None:
    decision = await shop.decide(agent(), found(await shop.account(), "scope-lost"))
    assert decision.is_hold and "What to do: grant all permissions" in decision.rationale


@EACH
async def test_looks_at_everything_when_a_fault_is_over(shop: Shop, agent: type[BaseMarketAgent]) -> None:
    account = await shop.account()
    event = ChannelFaultCleared(account_id=account.id, vendor="custom", fault_id=new_id(), cause="channel-down")
    assert [type(command) for command in (await shop.decide(agent(), event)).proposals] == [VerifyListings]
