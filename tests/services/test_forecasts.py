"""Forecasts of demand: what is censored is no zero, what is served is what was judged, and baselines may win."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from shop import Shop, open_store

from flipsync.domain.clock import ManualClock
from flipsync.learning.forecast.intermittent import HORIZON, Market, rmsse
from flipsync.services.forecasts import History, forecasts, foresee, pooled, read_history, shrunk
from flipsync.services.orders import ingest_order


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 3, 2, 12, tzinfo=UTC))


@pytest.fixture
async def shop(database_urls: dict[str, str], clock: ManualClock) -> AsyncIterator[Shop]:
    store = open_store(database_urls["worker"], clock=clock)
    yield await Shop(store).found()
    await store.aclose()


def drawn(series: int = 300, weeks: int = 104, seed: int = 5) -> History:
    sold = Market.draw(series, weeks, seed).sold
    return History(sold, np.ones_like(sold))


def test_what_is_judged_is_what_would_have_been_served_then() -> None:
    whole = drawn(200)
    cut = whole.sold.shape[1] - HORIZON
    then = History(whole.sold[:, :cut], whole.open[:, :cut])  # the books as they were
    seen, served = whole.up_to(cut), then.up_to(cut)
    for name in ("filled", "shape", "rate"):
        np.testing.assert_array_equal(getattr(seen, name), getattr(served, name))
    tested = foresee(whole).backtest
    assert tested is not None
    by_hand = rmsse(pooled(served), whole.sold[:, cut:], served.filled)
    np.testing.assert_array_equal(tested.of_series["pooled"], by_hand)


def test_weeks_with_an_empty_shelf_take_nothing_from_the_rate() -> None:
    rng = np.random.default_rng(3)
    wanted = rng.poisson(2.0, (40, 80)).astype(float)
    open_ = (rng.random((40, 80)) < 0.5).astype(float)
    censored = History(wanted * open_, open_).up_to(80)
    assert abs(shrunk(censored).mean() - 2.0) < 0.1
    as_zeros = History(wanted * open_, np.ones_like(open_)).up_to(80)
    assert abs(shrunk(as_zeros).mean() - 1.0) < 0.1, "what would come of counting them"


def test_new_goods_lean_on_the_others() -> None:
    sold, open_ = np.full((10, 30), 1.0), np.ones((10, 30))
    sold[0, :29] = open_[0, :29] = 0.0
    sold[0, 29] = 9.0
    history = History(sold, open_)
    new, known = shrunk(history.up_to(30))[:2]
    assert 1.0 < new < 4.0 < 9.0 and known == pytest.approx(1.0, abs=0.01)
    told = foresee(history)
    assert told.high[0] - told.low[0] > told.high[1] - told.low[1]


@pytest.mark.parametrize("seed", [5, 6, 7])
def test_intervals_hold_the_weeks_they_say(seed: int) -> None:
    told = foresee(drawn(seed=seed))
    assert told.backtest is not None and told.backtest.coverage is not None
    assert 0.75 <= told.backtest.coverage <= 0.9
    assert told.backtest.rmsse["pooled"] < told.backtest.rmsse["zero"]


def test_where_a_baseline_wins_it_is_used_and_named() -> None:
    season = np.tile(np.where(np.arange(52) < 26, 1.0, 12.0), 2)
    history = History(np.tile(season, (5, 1)), np.ones((5, 104)))
    told = foresee(history)
    assert told.method == "seasonal naive" and told.baseline_wins and "baseline seasonal naive" in told.why
    np.testing.assert_allclose(told.weekly, 1.0)


async def test_the_books_say_what_sold_and_when_the_shelf_was_empty(shop: Shop, clock: ManualClock) -> None:
    goods, account = await shop.variant(units=3), await shop.account()
    await shop.listing(account, goods, units=3)
    clock.advance(timedelta(weeks=10))
    async with shop.unit() as unit:
        await ingest_order(unit, account, shop.order({goods.sku: 3}))
    clock.advance(timedelta(weeks=4))
    async with shop.store.reader(shop.tenant_id) as session:
        known, history = await read_history(session, clock.now())
        told = await forecasts(session, clock.now(), goods.sku)
        none = await forecasts(session, clock.now(), "another")
    assert [row.sku for row in known] == [goods.sku] and none.items == ()
    assert history.sold[0].tolist() == [0.0] * 9 + [3.0] + [0.0] * 4, "an hour before it was told"
    np.testing.assert_allclose(history.open[0], [1.0] * 10 + [0.0] * 4, atol=0.01)
    (one,) = told.items
    assert (one.units_sold, round(one.weeks_on_shelf)) == (3, 10) and 0.5 < one.own_share < 0.8
    assert one.weekly == pytest.approx(0.3, abs=0.03), "of the ten weeks it could be bought, not of fourteen"
    other = await Shop(shop.store).found()
    async with other.store.reader(other.tenant_id) as session:
        assert (await forecasts(session, clock.now())).items == (), "another business's goods are nobody else's"
