"""How fast channels are is measured from our own books, and what pooled stock shows follows it."""

from __future__ import annotations

from uuid import UUID

import pytest
from shop import Goods, Shop
from sqlalchemy import text

from agents.market.inventory import InventoryAgent
from flipsync.domain.commands import MeasureChannels, SetChannelQuantity
from flipsync.domain.events import CycleStarted, StockMoved
from flipsync.domain.ids import new_id
from flipsync.services import accounts, channel_pace
from flipsync.services.channel_delay import BELIEVED_SHOWN, BELIEVED_TOLD, points_of
from flipsync.services.orders import AccountRef, ingest_order
from flipsync.store.journal import ProposedCommand


async def pooled(shop: Shop, units: int, channels: int = 2) -> tuple[Goods, list[AccountRef], list[UUID]]:
    goods = await shop.variant(units=units, mode="pooled")
    places = [await shop.account(stock_mode="pooled") for _ in range(channels)]
    return goods, places, [await shop.listing(place, goods, units=units) for place in places]


async def change(shop: Shop, sql: str, **values: object) -> None:
    async with shop.unit() as unit:
        await unit.session.execute(text(sql), values)


def moved(goods: Goods) -> StockMoved:
    return StockMoved(
        stock_item_id=goods.stock_item_id,
        variant_id=goods.variant_id,
        kind="receive",
        quantity=1,
        on_hand=1,
        reserved=0,
    )


async def test_what_sold_and_the_time_on_show_are_kept_with_each_listing(shop: Shop) -> None:
    goods, (first, _), listings = await pooled(shop, 3)
    await change(shop, "UPDATE allocation SET shown_since = now() - interval '1 hour'")
    async with shop.unit() as unit:
        await ingest_order(unit, first, shop.order({goods.sku: 2}))
    share = await shop.share(listings[0])
    assert (share.sold, share.shown_seconds) == (2, 0.0), "still on show"
    async with shop.unit() as unit:
        await ingest_order(unit, first, shop.order({goods.sku: 1}))
    share = await shop.share(listings[0])
    assert (share.sold, share.shown_since) == (3, None), "sold out: time stands still"
    assert share.shown_seconds == pytest.approx(3600, abs=60)
    await change(shop, "UPDATE allocation SET entitled = 1 WHERE listing_id = :id", id=listings[0])
    assert (await shop.share(listings[0])).shown_since is not None


async def test_an_order_told_with_a_refund_counts_as_demand_too(shop: Shop) -> None:
    """It takes the longer way through the books."""
    goods, (first, _), listings = await pooled(shop, 5)
    unpaid = shop.order({goods.sku: 2}, external_id="late", holds_stock=False, status="pending")
    async with shop.unit() as unit:
        await ingest_order(unit, first, unpaid)
        await ingest_order(unit, first, shop.order({goods.sku: 2}, external_id="late", minute=1))
    assert (await shop.share(listings[0])).sold == 2


async def test_delays_are_measured_from_order_to_books_and_from_books_to_the_other_channel(shop: Shop) -> None:
    goods, (first, second), listings = await pooled(shop, 5)
    await change(shop, "UPDATE marketplace_account SET created_at = now() - interval '1 day'")
    async with shop.unit() as unit:
        await ingest_order(unit, first, shop.order({goods.sku: 1}))
        sale = unit.emit(moved(goods).model_copy(update={"kind": "reserve"}))
    await change(shop, "UPDATE customer_order SET placed_at = created_at - interval '40 seconds'")
    told = SetChannelQuantity(account_id=second.id, listing_id=listings[1], quantity=4)
    written = ProposedCommand(new_id(), 0, told.type_name(), told.model_dump(mode="json"), *told.subject())
    decided = {"id": written.decision_id, "agent": "inventory", "agent_version": "1", "event_id": sale}
    decided |= {"state": "applied", "source": "rules", "rationale": "", "confidence": 1.0, "stake_minor": None}
    decided |= {"stake_currency": None, "alternatives": [], "evidence": [], "correlation_id": sale}
    async with shop.unit() as unit:
        unit.decide(decided, [written])
        unit.enqueue(told, account_id=second.id, key="overtaken", proposal_id=written.id)
        unit.enqueue(told, account_id=second.id, key="newer")  # the first was overtaken: this one shows it
    await change(
        shop,
        "UPDATE effect SET state = 'superseded', finished_at = now() WHERE key = 'overtaken' AND tenant_id = :t",
        t=shop.tenant_id,
    )
    await change(
        shop,
        "UPDATE effect SET state = 'confirmed', finished_at = e.recorded_at + interval '9 seconds' FROM event e"
        " WHERE e.id = :sale AND effect.tenant_id = :tenant AND key = 'newer'",
        sale=sale,
        tenant=shop.tenant_id,
    )
    async with shop.unit() as unit:
        await channel_pace.measure(unit)
    async with shop.store.reader(shop.tenant_id) as session:
        paces = await channel_pace.paces(session)
    assert paces[first.id].told == pytest.approx(points_of([40.0], BELIEVED_TOLD), abs=0.5)
    assert paces[second.id].shown == pytest.approx(points_of([9.0], BELIEVED_SHOWN), abs=0.1)
    assert paces[second.id].told == pytest.approx(BELIEVED_TOLD), "it sold nothing yet"


async def test_goods_nobody_has_sold_yet_are_shown_everywhere_and_the_odds_are_stated(shop: Shop) -> None:
    goods, _, listings = await pooled(shop, 1)
    await change(shop, "UPDATE allocation SET entitled = 0, target = 0")
    decision = await shop.decide(InventoryAgent(), moved(goods))
    assert decision.proposals[0].shares == dict.fromkeys(listings, 1)
    assert "one too many with a probability of" in decision.evidence[0].note
    assert "believed, not measured" in decision.rationale


async def test_the_last_unit_of_fast_goods_is_shown_where_it_sells_most(shop: Shop) -> None:
    goods, _, listings = await pooled(shop, 1)
    for listing, sold in zip(listings, (40, 90), strict=True):
        await change(
            shop,
            "UPDATE allocation SET sold = :sold, shown_seconds = 86400, shown_since = NULL WHERE listing_id = :id",
            sold=sold,
            id=listing,
        )
    async with shop.unit() as unit:
        await channel_pace.measure(unit)
    decision = await shop.decide(InventoryAgent(), moved(goods))
    assert decision.proposals[0].shares == {listings[0]: 0, listings[1]: 1}
    assert "shown on 1 of 2 channels, unseen by 31% of the demand: nothing can be sold twice" in decision.rationale
    rates = [each.scores["expected_sales_a_day"] for each in decision.alternatives]
    assert 35 < min(rates) < 45 and 80 < max(rates) < 95


async def test_the_owners_limit_decides_how_much_is_risked(shop: Shop) -> None:
    careless = await Shop(shop.store).found(stock={"oversell_limit": 1.0})
    goods, _, listings = await pooled(careless, 1)
    await change(careless, "UPDATE allocation SET sold = 90, shown_seconds = 86400, target = 0")
    async with careless.unit() as unit:
        await channel_pace.measure(unit)
    decision = await careless.decide(InventoryAgent(), moved(goods))
    assert decision.proposals[0].shares == dict.fromkeys(listings, 1)


async def test_a_channel_that_cannot_be_written_to_goes_on_selling_and_is_reckoned_with(shop: Shop) -> None:
    """Ten sales a day on each: what is shown there cannot be taken back, so the unit is shown nowhere else."""
    goods, places, listings = await pooled(shop, 1)
    await change(shop, "UPDATE allocation SET sold = 140, shown_seconds = 14 * 86400, shown_since = NULL")
    async with shop.unit() as unit:
        await channel_pace.measure(unit)
        await accounts.pause_account(unit, places[0].id, "credentials refused")
    decision = await shop.decide(InventoryAgent(), moved(goods))
    assert decision.proposals[0].shares == {listings[0]: 1, listings[1]: 0}


async def test_channels_are_measured_every_hour(shop: Shop) -> None:
    hourly = await shop.decide(InventoryAgent(), CycleStarted(tenant_id=shop.tenant_id, cycle="hourly"))
    assert hourly.proposals == (MeasureChannels(tenant_id=shop.tenant_id),)
    assert (await shop.decide(InventoryAgent(), CycleStarted(tenant_id=shop.tenant_id, cycle="daily"))).is_hold


def test_a_listing_counts_with_no_more_than_a_window_of_its_own_sales() -> None:
    week = 7 * 86_400.0
    goods, _ = channel_pace.racing([channel_pace.Pace()], [100], [10 * week], 7)
    assert goods.parts == ((1.0, channel_pace.BELIEVED_SHAPE + 10, channel_pace.BELIEVED_SECONDS + week),)


def test_a_channel_that_sells_these_goods_better_than_others_gets_more_of_their_demand() -> None:
    _, (poor, good) = channel_pace.racing([channel_pace.Pace()] * 2, [1, 30], [1e6, 1e6], 30)
    assert good.weight > 5 * poor.weight
