"""TrendAgent on real rows: what sells otherwise than before is told once, with its sales, and explained."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import numpy as np
import pytest
from shop import Shop, open_store

from agents import ROSTER
from agents.governance.compliance import ComplianceAgent
from agents.market.trend import TrendAgent
from flipsync.domain.clock import ManualClock
from flipsync.domain.commands import NoteTrend
from flipsync.domain.decisions import Decision
from flipsync.domain.events import TrendsDue
from flipsync.domain.ids import new_id
from flipsync.domain.listing_care import ListingsDue
from flipsync.runtime.agent import Context
from flipsync.runtime.decision_path import DecisionPath
from flipsync.runtime.gate import Gate
from flipsync.runtime.graph import Graph
from flipsync.runtime.scheduler import Scheduler
from flipsync.services import trend_desk
from flipsync.services.desk import Services
from flipsync.services.forecasts import History
from flipsync.services.orders import ingest_order
from flipsync.services.reading_forecasts import TrendFilter, list_trends
from flipsync.services.reading_page import PageRequest
from flipsync.services.trend_desk import findings
from flipsync.services.why import explain
from flipsync.settings import Cadence


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 3, 2, 12, tzinfo=UTC))


@pytest.fixture(scope="module")
def books(make_database: Callable[[], dict[str, str]]) -> dict[str, str]:
    """Without the businesses of other tests: the clock of the house sees to all there are."""
    return make_database()


@pytest.fixture
async def shop(books: dict[str, str], clock: ManualClock) -> AsyncIterator[Shop]:
    store = open_store(books["worker"], clock=clock)
    yield await Shop(store).found()
    await store.aclose()


async def decide(shop: Shop, whose: Shop | None = None) -> Decision[Any]:
    told = await shop.decide(TrendAgent(), TrendsDue(tenant_id=(whose or shop).tenant_id))
    return cast(Decision[Any], told)


async def test_the_week_is_told_once(shop: Shop, clock: ManualClock) -> None:
    await shop.account()
    counts = []
    for days in (0, 1, 7):
        clock.advance(timedelta(days=days))
        scheduler = Scheduler(shop.store, Cadence())  # a new one each time: the house was started again
        await scheduler.beat()
        if scheduler.beside is not None:
            await scheduler.beside
        scheduler.stop()
        counts.append(len(await shop.events(TrendsDue)))
        assert len(await shop.events(ListingsDue)) == counts[-1], "what listings lack is looked at as often"
    assert counts == [1, 1, 2]


async def test_goods_that_rise_are_told_once_with_their_sales(shop: Shop, clock: ManualClock) -> None:
    account = await shop.account()
    steady, rising = await shop.variant(units=900), await shop.variant(units=900)
    for goods in (steady, rising):
        await shop.listing(account, goods, units=9)
    assert "over 0 weeks" in (await decide(shop)).rationale
    for week in range(24):
        clock.advance(timedelta(weeks=1))
        async with shop.unit() as unit:
            varies = 4 + week % 3
            await ingest_order(
                unit, account, shop.order({steady.sku: varies, rising.sku: varies * (4 if week >= 14 else 1)})
            )
    clock.advance(timedelta(days=1))
    decision = await decide(shop)
    (command,) = decision.proposals
    assert isinstance(command, NoteTrend)
    assert (command.kind, command.stock_item_id, command.q <= 0.05) == ("rising", rising.stock_item_id, True)
    assert abs(command.since - (clock.now() - timedelta(weeks=10))) <= timedelta(weeks=1)
    assert 3 < command.ratio < 5 and rising.sku in command.why
    assert command.evidence["units_after"] > command.evidence["units_before"] > 50
    assert [each.id for each in decision.evidence] == [rising.stock_item_id]
    path = DecisionPath(Graph(ROSTER), Gate(shop.firewall, [ComplianceAgent()]))
    async with shop.unit() as unit:
        event_id = unit.emit(TrendsDue(tenant_id=shop.tenant_id))
        await unit.flush()
        services = Services(unit.session, shop.tenant_id, unit.now)
        context = Context(shop.tenant_id, unit.now, services, event_id, event_id)
        decision_id = await path.record(unit, context, TrendAgent.spec, decision)
    again = await decide(shop)
    assert again.is_hold and "1 told before" in again.rationale
    async with shop.store.reader(shop.tenant_id) as session:
        (shown,) = (await list_trends(session, PageRequest(), TrendFilter(kind="rising"))).items
        assert (shown.sku, shown.ratio) == (rising.sku, command.ratio)
        assert shown.decision_id == decision_id
        assert (await list_trends(session, PageRequest(), TrendFilter(kind="falling"))).items == []
        why = (await explain(session, rising.sku)).model_dump_json()
        assert "tell a trend (rising)" in why and "look what sells otherwise than before" in why
    stranger = await Shop(shop.store).found()
    assert (await decide(stranger)).is_hold and (await decide(shop, stranger)).is_hold
    clock.advance(timedelta(weeks=53))
    async with shop.unit() as unit:
        await trend_desk.forget_old(unit)
    assert await shop.rows("SELECT id FROM trend") == []


def test_categories_with_a_season_and_that_fall_are_told() -> None:
    rng = np.random.default_rng(3)
    wave = np.exp(0.8 * np.sin(2 * np.pi * np.arange(104) / 52))
    fall = np.where(np.arange(104) < 92, 1.0, 0.75)  # too little to see in one of them
    rates = np.vstack([np.tile(12.0 * wave, (12, 1)), np.tile(20.0 * fall, (12, 1)), np.full((12, 104), 15.0)])
    sold = rng.poisson(rates).astype(np.float64)
    place = [new_id() for _ in sold]
    goods = {item: f"SKU-{at}" for at, item in enumerate(place)}
    of = {item: ("skis", "lamps")[at // 12] for at, item in enumerate(place) if at < 24}
    found, categories = findings(History(sold, np.ones_like(sold)), place, goods, of, datetime(2026, 3, 2, tzinfo=UTC))
    assert categories == 2
    assert [(each.kind, each.category) for each in found if each.category] == [("season", "skis"), ("falling", "lamps")]
    told = [each for each in found if each.stock_item_id is not None]
    wrong = [each for each in told if of.get(each.stock_item_id) != "lamps" or each.kind != "falling"]
    assert len(wrong) <= 1, "goods with a season, and steady ones"
    assert all(each.q <= 0.05 for each in found)
