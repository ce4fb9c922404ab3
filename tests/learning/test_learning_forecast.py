"""Forecasting of intermittent demand: measures and classics by hand, and ours against them on several markets."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import poisson

from flipsync.learning.forecast import intermittent
from flipsync.learning.forecast.pooled import PooledForecast


def test_measures_by_hand() -> None:
    history = np.array([[0.0, 2.0, 0.0, 2.0]])
    assert intermittent.scale(history) == pytest.approx([2.0])
    assert intermittent.rmsse(np.array([1.0]), np.array([[0.0, 2.0]]), history) == pytest.approx([0.5])
    cost = intermittent.newsvendor_cost(np.array([1.0]), np.array([[0.0, 3.0]]), 0.9)
    assert cost == pytest.approx([(0.1 * 1 + 0.9 * 2) / 2])


def test_the_newsvendors_stock_is_the_quantile() -> None:
    sold = np.random.default_rng(0).poisson(3.0, (1, 50_000)).astype(float)
    costs = [float(intermittent.newsvendor_cost(np.array([float(n)]), sold, 0.9)[0]) for n in range(12)]
    assert int(np.argmin(costs)) == int(poisson.ppf(0.9, 3.0))


def test_classics_by_hand() -> None:
    steady = np.tile([0.0, 0.0, 3.0], (1, 20))
    assert intermittent.croston_sba(steady) == pytest.approx([0.95 * 3 / 3])
    stopped = np.concatenate([steady, np.zeros((1, 60))], axis=1)
    assert intermittent.tsb(stopped)[0] < 1e-4 < intermittent.croston_sba(stopped)[0]
    constant = np.full((1, 24), 5.0)
    for method in (intermittent.croston_sba, intermittent.tsb, intermittent.imapa):
        assert method(constant)[0] == pytest.approx(5.0, rel=0.06)
    assert intermittent.zero(steady) == pytest.approx([0.0])


def test_pooled_forecast_beats_every_classic_and_not_the_truth_on_a_spread_of_markets() -> None:
    for seed in (1, 2, 3):
        market = intermittent.Market.draw(700, 52, seed)
        past, actual = market.sold[:, :-12], market.sold[:, -12:]
        ours = PooledForecast.fit(past)
        error = intermittent.rmsse(ours.forecast(past), actual, past).mean()
        for method in intermittent.PEERS.values():
            assert error < intermittent.rmsse(method(past), actual, past).mean()
        assert error > intermittent.rmsse(market.expected[:, -12:], actual, past).mean()
        low, high = ours.stock(past, 0.8), ours.stock(past, 0.95)
        assert (low <= high).all()
        mine = intermittent.newsvendor_cost(high, actual, 0.95).mean()
        theirs = intermittent.newsvendor_cost(poisson.ppf(0.95, intermittent.imapa(past)), actual, 0.95).mean()
        assert mine < theirs


def test_too_short_a_history_says_how_long_it_should_be() -> None:
    with pytest.raises(ValueError, match="at least 28"):
        PooledForecast.fit(np.ones((3, 20)))
