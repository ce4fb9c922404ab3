"""Scores of stated probabilities: exact identities, known figures, and what they say of forecasters one knows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betainc

from flipsync.learning.evaluation.calibration import calibration, wilson
from flipsync.learning.evaluation.rates import chance_better, incomplete_beta


def forecaster(seed: int, decisions: int, *, too_sure: float = 0.0, alike: int = 1):
    """Stated probabilities, outcomes and decisions; each decision has `alike` cases with one fate."""
    rng = np.random.default_rng(seed)
    stated = rng.uniform(0.3, 0.95, decisions)
    happened = (rng.random(decisions) < stated - too_sure).astype(int)
    return tuple(np.repeat(each, alike).tolist() for each in (stated, happened, np.arange(decisions)))


def test_figures_worked_out_by_hand() -> None:
    told = calibration([0.8, 0.8, 0.8, 0.4, 0.4], [1, 1, 0, 0, 1], range(5))
    assert told.brier == pytest.approx((2 * 0.04 + 0.64 + 0.16 + 0.36) / 5)
    assert told.reliability == pytest.approx((3 * (0.8 - 2 / 3) ** 2 + 2 * 0.1**2) / 5)
    assert told.resolution == pytest.approx((3 * (2 / 3 - 0.6) ** 2 + 2 * 0.1**2) / 5)
    assert told.uncertainty == pytest.approx(0.24)
    assert told.log_score == pytest.approx(-(2 * math.log(0.8) + math.log(0.2) + math.log(0.6) + math.log(0.4)) / 5)
    assert told.error.mean == pytest.approx((3 * (0.8 - 2 / 3) + 2 * 0.1) / 5)
    assert [(round(each.stated, 9), each.count, round(each.share, 3)) for each in told.bins] == [
        (0.4, 2, 0.5),
        (0.8, 3, 0.667),
    ]
    assert told.z == pytest.approx((-0.6 * (0.2 + 0.2 - 0.8) + 0.2 * (-0.4 + 0.6)) / math.sqrt(0.1728 + 0.0192))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1), st.integers(0, 5)), min_size=1, max_size=60),
)
def test_the_parts_of_the_brier_score_add_up_exactly(cases: list[tuple[float, int, int]]) -> None:
    stated, happened, decisions = zip(*cases, strict=True)
    told = calibration(stated, happened, decisions)
    assert told.brier == pytest.approx(
        told.reliability - told.resolution + told.uncertainty + told.within_bins, abs=1e-12
    )
    assert sum(each.count for each in told.bins) == told.cases == len(cases)
    assert 1 <= told.worth <= told.decisions <= told.cases + 1e-9
    assert all(0 <= each.low <= each.share <= each.high <= 1 for each in told.bins)
    assert told.error.low <= told.error.mean <= told.error.high
    if len(set(stated)) <= 10:
        assert told.within_bins == pytest.approx(0, abs=1e-12)


def test_a_calibrated_forecaster_passes_and_one_who_is_too_sure_does_not() -> None:
    honest = [calibration(*forecaster(seed, 400)) for seed in range(30)]
    sure = [calibration(*forecaster(seed, 400, too_sure=0.15)) for seed in range(20)]
    assert sum(abs(each.z or 0) > 1.96 for each in honest) <= 6
    assert all(each.reliability > 0.01 for each in sure)
    assert np.mean([each.error.mean / each.error_by_chance for each in honest]) == pytest.approx(1, abs=0.15)
    assert min(each.error.mean / each.error_by_chance for each in sure) > 2


def test_a_decision_of_many_parts_counts_once() -> None:
    """Forty decisions of fifty parts each look like two thousand cases; their interval is that of forty."""
    one, fifty = calibration(*forecaster(3, 40)), calibration(*forecaster(3, 40, alike=50))
    assert (fifty.cases, fifty.decisions, round(fifty.worth)) == (2000, 40, 40)
    assert (fifty.share.low, fifty.share.high) == pytest.approx((one.share.low, one.share.high))
    assert fifty.z == pytest.approx(one.z)
    wrong = sum(abs(calibration(*forecaster(seed, 40, alike=50)).z or 0) > 1.96 for seed in range(30))
    assert wrong <= 5, "else parts were counted as if each had a fate of its own"


def test_edges() -> None:
    always = calibration([1.0, 1.0], [1, 0], "ab")
    assert always.z is None and always.p_value is None and math.isfinite(always.log_score)
    assert always.distinct == 1
    with pytest.raises(ValueError):
        calibration([], [], [])
    low, high = wilson(0.0, 10)
    assert low == 0 and 0.2 < high < 0.35


@settings(deadline=None)
@given(st.floats(0.5, 400), st.floats(0.5, 400), st.floats(0, 1))
def test_the_incomplete_beta_is_scipys(a: float, b: float, x: float) -> None:
    assert incomplete_beta(a, b, x) == pytest.approx(float(betainc(a, b, x)), abs=1e-9)


def test_which_of_two_prices_earns_more() -> None:
    assert chance_better(10, 100, 5.0, 10, 100, 5.0) == pytest.approx(0.5)
    assert chance_better(40, 100, 5.0, 10, 100, 5.0) > 0.99
    assert chance_better(10, 100, 10.0, 10, 100, 2.0) > 0.99, "as many sales, each worth five times as much"
    assert chance_better(40, 400, 5.0, 10, 100, 5.0) == pytest.approx(0.5, abs=0.08)
    assert chance_better(3, 10, -1.0, 3, 10, 2.0) == 0.0 and chance_better(3, 10, 1.0, 3, 10, -2.0) == 1.0
    rng = np.random.default_rng(1)
    better = rng.gamma(12.5, 1 / 90, 200_000) * 4 > rng.gamma(8.5, 1 / 70, 200_000) * 5
    assert chance_better(12, 90, 4, 8, 70, 5) == pytest.approx(better.mean(), abs=0.005)
