"""AdvertisingAgent on real rows: what is advertised, what never is, and what the owner's limits hold back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from shop import Goods, Shop
from sqlalchemy import text

from agents import ROSTER
from agents.market.advertising import AdvertisingAgent
from flipsync.domain.advertising import AdsRead, AdvertisedStockTurned, PullAds, SetAdRate
from flipsync.domain.decisions import Decision, Verdict
from flipsync.domain.events import CycleStarted
from flipsync.domain.ids import new_id
from flipsync.runtime.agent import Context
from flipsync.runtime.decision_path import DecisionPath
from flipsync.runtime.gate import Gate
from flipsync.runtime.graph import Graph
from flipsync.services import orders, stock
from flipsync.services.advertising import books, desk
from flipsync.services.approvals import answer_approval
from flipsync.services.desk import Services
from flipsync.services.orders import AccountRef
from flipsync.services.settings_changes import set_settings
from flipsync.store.repositories import advertising as rows


async def wants(shop: Shop, **values: Any) -> None:
    async with shop.unit() as unit:
        await set_settings(unit, {f"advertising.{name}": value for name, value in values.items()})


async def look(shop: Shop, account: AccountRef) -> Decision[Any]:
    fact = AdsRead(account_id=account.id, vendor="ebay", advertised=0)
    decided: Decision[Any] = await shop.decide(AdvertisingAgent(), fact)
    return decided


async def sold(shop: Shop, account: AccountRef, goods: Goods, units: int) -> None:
    async with shop.unit() as unit:
        for number in range(units):
            await orders.ingest_order(unit, account, shop.order({goods.sku: 1}, minute=number))


async def on_sale(shop: Shop, account: AccountRef, *, units: int = 60, cost: int | None = 900, **more: Any) -> UUID:
    return await shop.listing(account, await shop.variant(units=units, cost=cost), units=units, **more)


async def advertised(shop: Shop, account: AccountRef, listing: UUID, rate: int, *, hours_ago: float = 48) -> None:
    command = SetAdRate(account_id=account.id, listing_id=listing, rate_bps=rate, was_bps=0)
    async with shop.unit() as unit:
        await books.book_rate(unit, account, command, new_id())
        since = unit.now - timedelta(hours=hours_ago)
        change = text("UPDATE ad_listing SET changed_at = :at, rate_since = :at, first_at = :at WHERE listing_id = :id")
        await unit.session.execute(change, {"at": since, "id": listing})


async def turned(shop: Shop, goods: UUID, available: int) -> Decision[Any]:
    fact = AdvertisedStockTurned(stock_item_id=goods, available=available)
    decided: Decision[Any] = await shop.decide(AdvertisingAgent(), fact)
    return decided


@pytest.fixture
async def ebay(shop: Shop) -> AccountRef:
    return await shop.account("ebay")


async def test_without_the_owners_word_nothing_is_advertised(shop: Shop, ebay: AccountRef) -> None:
    await on_sale(shop, ebay)
    daily = CycleStarted(tenant_id=shop.tenant_id, cycle="daily")
    for decided in (await look(shop, ebay), await shop.decide(AdvertisingAgent(), daily)):
        assert decided.is_hold and "advertising.mode is off" in decided.rationale


async def test_once_a_day_every_account_that_has_ads_is_asked(shop: Shop, ebay: AccountRef) -> None:
    await shop.account("woocommerce")
    await wants(shop, mode="auto")
    decided = await shop.decide(AdvertisingAgent(), CycleStarted(tenant_id=shop.tenant_id, cycle="daily"))
    assert decided.proposals == (PullAds(account_id=ebay.id),)
    hourly = await shop.decide(AdvertisingAgent(), CycleStarted(tenant_id=shop.tenant_id, cycle="hourly"))
    assert hourly.is_hold


async def test_what_pays_is_advertised_and_the_rest_is_told_apart(shop: Shop, ebay: AccountRef) -> None:
    await wants(shop, mode="auto", max_rate_bps=600)
    goods = await shop.variant(units=90, cost=900)
    good = await shop.listing(ebay, goods, units=90)
    await sold(shop, ebay, goods, 6)
    await on_sale(shop, ebay, cost=2000), await on_sale(shop, ebay, cost=None)
    empty, ended = await on_sale(shop, ebay, units=0), await on_sale(shop, ebay)
    async with shop.unit() as unit:
        await unit.session.execute(text("UPDATE listing SET status = 'ended' WHERE id = :id"), {"id": ended})
    await advertised(shop, ebay, ended, 300)
    await advertised(shop, ebay, empty, 400)
    decided = await look(shop, ebay)
    by_listing = {each.listing_id: each for each in decided.proposals}
    assert by_listing.keys() == {good, empty, ended}
    assert 200 <= by_listing[good].rate_bps <= 600
    assert (by_listing[empty].rate_bps, by_listing[empty].resume_bps) == (0, 400)
    assert (by_listing[ended].rate_bps, by_listing[ended].resume_bps) == (0, 0)
    for why in (desk.NO_UNITS, desk.OFF_SALE, desk.UNKNOWN, desk.THIN):
        assert f"1 {why}" in decided.rationale
    assert decided.stake is not None and decided.stake.amount_minor > 0
    best = decided.alternatives[-1].scores
    assert best[f"{by_listing[good].rate_bps / 100:.1f} %"] > best["0.0 %"]


async def test_what_sells_out_anyway_needs_no_ad(shop: Shop, ebay: AccountRef) -> None:
    await wants(shop, mode="auto")
    goods = await shop.variant(units=45, cost=900)
    await shop.listing(ebay, goods, units=45)
    await sold(shop, ebay, goods, 42)  # in three days; three are left
    assert (await look(shop, ebay)).is_hold


async def test_the_months_money_goes_where_it_brings_most(shop: Shop, ebay: AccountRef) -> None:
    await wants(shop, mode="auto", monthly_budget_minor=0)
    listing = await on_sale(shop, ebay)
    assert (await look(shop, ebay)).is_hold
    await advertised(shop, ebay, listing, 300)
    (stopped,) = (await look(shop, ebay)).proposals
    assert (stopped.rate_bps, stopped.cause) == (0, "budget")


async def test_rates_change_once_a_day(shop: Shop, ebay: AccountRef) -> None:
    await wants(shop, mode="auto", max_rate_bps=1000)
    goods = await shop.variant(units=90, cost=900)
    listing = await shop.listing(ebay, goods, units=90)
    await sold(shop, ebay, goods, 6)
    await advertised(shop, ebay, listing, 1000, hours_ago=2)
    assert (await look(shop, ebay)).is_hold
    await advertised(shop, ebay, listing, 1000, hours_ago=30)
    (lower,) = (await look(shop, ebay)).proposals
    assert 0 < lower.rate_bps < 1000


async def test_ads_end_with_the_last_unit_and_come_back_with_the_first(shop: Shop, ebay: AccountRef) -> None:
    await wants(shop, mode="auto")
    goods = await shop.variant(units=2)
    listing = await shop.listing(ebay, goods, units=2)
    assert (await turned(shop, goods.stock_item_id, 0)).is_hold, "nobody advertises it"
    await advertised(shop, ebay, listing, 450)
    assert (await turned(shop, goods.stock_item_id, 0)).is_hold, "told late: there are units again"
    await sold(shop, ebay, goods, 2)
    (stop,) = (await turned(shop, goods.stock_item_id, 0)).proposals
    assert (stop.listing_id, stop.rate_bps, stop.resume_bps, stop.priority()) == (listing, 0, 450, 10)
    async with shop.unit() as unit:
        await books.book_rate(unit, ebay, stop, new_id())
    assert (await turned(shop, goods.stock_item_id, 3)).is_hold, "told too early"
    async with shop.unit() as unit:
        await stock.receive(unit, goods.variant_id, 3, key="more", mode="escrow")
    (back,) = (await turned(shop, goods.stock_item_id, 3)).proposals
    assert (back.rate_bps, back.cause) == (450, "stock")
    await wants(shop, mode="off")
    assert (await turned(shop, goods.stock_item_id, 3)).is_hold


async def test_when_the_owner_wants_no_ads_ours_end_and_others_stay(shop: Shop, ebay: AccountRef) -> None:
    ours, theirs = await on_sale(shop, ebay), await on_sale(shop, ebay)
    await advertised(shop, ebay, ours, 450)
    async with shop.unit() as unit:
        await rows.record_shown(unit, ebay.id, {theirs: ("1", 300), ours: ("1", 450)}, unit.now)
    decided = await shop.decide(AdvertisingAgent(), CycleStarted(tenant_id=shop.tenant_id, cycle="daily"))
    assert [(each.listing_id, each.rate_bps, each.cause) for each in decided.proposals] == [(ours, 0, "off")]


async def judged(shop: Shop, account: AccountRef, listing: UUID, rate: int, **more: Any) -> Verdict:
    approved = more.pop("approved", False)
    command = SetAdRate(account_id=account.id, listing_id=listing, rate_bps=rate, was_bps=0, **more)
    async with shop.unit() as unit:
        ctx = Context(shop.tenant_id, unit.now, Services(unit.session, shop.tenant_id, unit.now), new_id(), new_id())
        return await Gate(shop.firewall).judge(unit, ctx, "advertising", command, approved=approved)


async def test_the_gate_holds_every_limit_whoever_asks(shop: Shop, ebay: AccountRef) -> None:
    listing, empty = await on_sale(shop, ebay), await on_sale(shop, ebay, units=0)
    assert "advertising.mode is off" in (await judged(shop, ebay, listing, 300)).reason
    await wants(shop, mode="auto", max_rate_bps=500)
    assert (await judged(shop, ebay, listing, 300)).answer == "proceed"
    assert "above the owner's limit" in (await judged(shop, ebay, listing, 550, approved=True)).reason
    assert "nothing to ship" in (await judged(shop, ebay, empty, 300)).reason
    assert (await judged(shop, ebay, empty, 0)).answer == "proceed"
    stranger = await Shop(shop.store).found()
    foreign = await on_sale(stranger, await stranger.account("ebay"))
    assert "not on sale" in (await judged(shop, ebay, foreign, 300)).reason
    await advertised(shop, ebay, listing, 300, hours_ago=3)
    assert "once a day" in (await judged(shop, ebay, listing, 400)).reason
    await advertised(shop, ebay, listing, 300)
    await wants(shop, monthly_budget_minor=100)
    async with shop.unit() as unit:
        await books.record(unit, ebay, [], [], unit.now)
        await unit.session.execute(text("UPDATE ad_day SET ad_fees_minor = 100"))
    assert "all they may" in (await judged(shop, ebay, listing, 400)).reason


async def test_whoever_wants_to_be_asked_is_asked_before_a_rate_rises(shop: Shop, ebay: AccountRef) -> None:
    await wants(shop, mode="ask")
    listing = await on_sale(shop, ebay)
    path = DecisionPath(Graph(ROSTER), Gate(shop.firewall))
    command = SetAdRate(account_id=ebay.id, listing_id=listing, rate_bps=300, was_bps=0)
    decision = Decision.propose(command, why="it earns more", confidence=0.8)
    async with shop.unit() as unit:
        event_id = unit.emit(AdsRead(account_id=ebay.id, vendor="ebay", advertised=0))
        await unit.flush()
        ctx = Context(shop.tenant_id, unit.now, Services(unit.session, shop.tenant_id, unit.now), event_id, event_id)
        decided = await path.record(unit, ctx, AdvertisingAgent.spec, decision)
    assert [row.state for row in await shop.rows("SELECT state FROM approval")] == ["open"]
    assert await shop.rows("SELECT 1 FROM effect WHERE tenant_id = :tenant") == []
    async with shop.unit() as unit:
        ctx = Context(shop.tenant_id, unit.now, Services(unit.session, shop.tenant_id, unit.now), event_id, event_id)
        (question,) = await shop.rows("SELECT id FROM approval")
        await answer_approval(unit, question.id, approved=True, by=new_id())
        await path.endorse(unit, ctx, decided)
    (effect,) = await shop.rows("SELECT command, payload FROM effect WHERE tenant_id = :tenant")
    assert (effect.command, effect.payload["rate_bps"]) == ("SetAdRate", 300)


def test_the_vendors_with_ads_are_those_whose_connectors_have_them() -> None:
    from flipsync.connectors.marketplaces import connector_class, vendors

    assert {each for each in vendors() if each != "python" and connector_class(each).capabilities.ads} == set(
        desk.VENDORS
    )
