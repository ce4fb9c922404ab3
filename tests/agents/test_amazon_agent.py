"""AmazonAgent: orders asked for rarely, notifications kept on, goods without a barcode told apart."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from shop import Shop

from agents.market.amazon import AmazonAgent
from flipsync.domain.commands import (
    EnsureWebhooks,
    PublishListing,
    PullOrders,
    PullRefunds,
    PullRivals,
    PullWarehouse,
    SurveyListings,
    VerifyListings,
)
from flipsync.domain.events import AccountConnected, ChannelCheckDue, ListingCheckDue, ListingRequested
from flipsync.domain.ids import new_id
from flipsync.runtime.agent import Context
from flipsync.services.desk import Services
from flipsync.services.orders import AccountRef


@pytest.fixture
async def account(shop: Shop) -> AccountRef:
    return await shop.account("amazon")


async def test_orders_are_asked_for_in_one_minute_of_five_unless_a_queue_tells(shop: Shop, account: AccountRef) -> None:
    async def kinds(minute: int, *, rivals: bool = False, account: AccountRef = account) -> set[type]:
        event = ChannelCheckDue(account_id=account.id, vendor="amazon", rivals=rivals)
        async with shop.store.reader(shop.tenant_id) as session:
            now = datetime(2026, 3, 2, 14, minute, 30, tzinfo=UTC)
            services = Services(session, shop.tenant_id, now)
            decision = await AmazonAgent().decide(event, Context(shop.tenant_id, now, services, new_id(), new_id()))
            return {type(command) for command in decision.proposals}

    asked = [await kinds(minute) for minute in range(10)]
    assert asked == [{PullOrders}, set(), set(), set(), set()] * 2
    assert await kinds(3, rivals=True) == {PullOrders, PullRivals}
    queued = await shop.account("amazon", queue="http://127.0.0.1:9/queue")
    assert [await kinds(minute, account=queued) for minute in range(3)] == [{PullOrders}] * 3


async def test_notifications_are_subscribed_without_a_public_address(shop: Shop, account: AccountRef) -> None:
    agent = AmazonAgent()
    welcome = await shop.decide(agent, AccountConnected(account_id=account.id, vendor="amazon"))
    assert [type(command) for command in welcome.proposals] == [
        SurveyListings,
        PullWarehouse,
        EnsureWebhooks,
        PullOrders,
    ]
    check = await shop.decide(agent, ListingCheckDue(account_id=account.id, vendor="amazon"))
    assert [type(command) for command in check.proposals] == [
        VerifyListings,
        PullWarehouse,
        PullRefunds,
        EnsureWebhooks,
    ]
    gone = await shop.decide(agent, ListingCheckDue(account_id=new_id(), vendor="amazon"))
    assert [type(command) for command in gone.proposals] == [VerifyListings]


async def test_goods_without_a_barcode_are_less_sure(shop: Shop, account: AccountRef) -> None:
    for barcode, confidence in (("4006381333931", 0.95), (None, 0.75)):
        goods = await shop.variant(units=4, barcode=barcode)
        await shop.listing(account, goods, price=None, status="requested")
        event = ListingRequested(account_id=account.id, vendor="amazon", product_id=goods.product_id)
        decision = await shop.decide(AmazonAgent(), event)
        (command,) = decision.proposals
        assert isinstance(command, PublishListing) and command.offer.barcode == barcode
        assert decision.confidence == confidence
        assert (goods.sku in decision.rationale) == (barcode is None)
        assert decision.evidence
