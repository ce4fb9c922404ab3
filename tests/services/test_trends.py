"""Trends: changes are found where they are, chance is held to the share that is said, seasons are no changes."""

from __future__ import annotations

import numpy as np
import pytest

from flipsync.services.trends import FALSE, changes, false_discovery, is_spike, out_of_line, seasons


def poisson(rate: np.ndarray | float, *shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).poisson(rate, shape).astype(np.float64)


def test_q_is_benjamini_and_hochbergs() -> None:
    np.testing.assert_allclose(false_discovery(np.array([0.03, 0.01, 0.9, 0.02])), [0.04, 0.04, 0.9, 0.04])
    np.testing.assert_allclose(false_discovery(np.array([0.01, 0.04])), [0.02, 0.04])


def test_a_change_is_found_in_its_week_with_its_sales() -> None:
    sold = poisson(3.0, 60, 52)
    sold[7, 40:] = poisson(12.0, 12, seed=2)
    found = changes(sold, np.ones_like(sold))
    assert np.flatnonzero(found.q <= FALSE).tolist() == [7]
    assert abs(found.week[7] - 40) <= 1 and 3 < found.ratio[7] < 5
    assert found.before[7] + found.after[7] == sold[7].sum()
    assert found.time_before[7] + found.time_after[7] == 52


@pytest.mark.parametrize("dispersion", [0.25, 1.0])
def test_where_nothing_changed_next_to_nothing_is_told(dispersion: float) -> None:
    """Weeks that vary more than Poisson's are no news: under no change at all every alarm is false."""
    told = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        rate = rng.gamma(1.2, 4.0, 100)[:, None] * rng.gamma(1 / dispersion, dispersion, (100, 52))
        found = changes(rng.poisson(rate).astype(np.float64), np.ones((100, 52)))
        told += bool((found.q <= FALSE).any())
    assert told <= 4, "one shop in twenty"


def test_an_empty_shelf_is_no_fall() -> None:
    sold, time = poisson(5.0, 30, 52), np.ones((30, 52))
    sold[0, 40:] = time[0, 40:] = 0.0
    sold[1, 40:] = 0.0
    found = changes(sold, time)
    assert found.q[0] > FALSE and found.q[1] <= FALSE and found.ratio[1] < 0.1


def test_a_season_is_told_once_and_taken_out_of_its_goods() -> None:
    wave = np.exp(0.8 * np.sin(2 * np.pi * np.arange(104) / 52))
    sold = poisson(6.0 * wave, 40, 104)
    time = np.ones_like(sold)
    found = seasons(np.vstack([sold.sum(axis=0), poisson(200.0, 104)]), np.ones((2, 104)))
    assert found.q[0] < 1e-6 and found.q[1] == 1.0 and (found.factor[1] == 1).all()
    assert abs(int(found.factor[0, :52].argmax()) - 13) <= 2
    naive = changes(sold[:, -52:], time[:, -52:])
    fair = changes(sold[:, -52:], np.tile(found.factor[0, -52:], (40, 1)))
    assert (naive.q <= FALSE).sum() > 30 and (fair.q <= FALSE).sum() <= 2


def test_a_week_out_of_line_and_one_that_only_varies() -> None:
    rng = np.random.default_rng(4)
    sold = rng.poisson(rng.gamma(2.0, 2.0, (50, 52))).astype(np.float64)
    sold[:, -1] = 4.0
    sold[3, -1], sold[4] = 60.0, rng.poisson(30.0, 52)
    sold[4, -1] = 2.0
    ratio, q = out_of_line(sold, np.ones_like(sold), np.zeros(50, dtype=np.int64))
    assert np.flatnonzero(is_spike(ratio, q)).tolist() == [3, 4]
    assert ratio[3] > 5 and ratio[4] < 0.2


def test_too_little_says_nothing() -> None:
    assert (changes(poisson(5.0, 4, 7), np.ones((4, 7))).q == 1).all(), "weeks"
    assert (changes(np.eye(3, 40), np.ones((3, 40))).q == 1).all(), "units"
    assert (changes(np.zeros((0, 40)), np.zeros((0, 40))).q == 1).all(), "goods"
    assert (seasons(poisson(5.0, 4, 60), np.ones((4, 60))).factor == 1).all()
    assert (out_of_line(np.ones((2, 1)), np.ones((2, 1)), np.zeros(2, dtype=np.int64))[1] == 1).all()
