"""The odds of an oversell against closed forms and brute force; what is shown keeps every limit and wastes little."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, isclose, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flipsync.services.channel_delay import BELIEVED_SHOWN, BELIEVED_TOLD, WEIGHTS, Seller, points_of
from flipsync.services.oversell import fit_demand, odds_of_oversell, quantities_to_show

SURE = 1e7  # a shape so large that the rate is as good as known


def constant(rate: float, delay: float) -> Seller:
    """A channel whose rate and delay are known."""
    return Seller(SURE, SURE / rate, (0.0,) * 7, (delay,) * 7)


def brute(units: int, sellers: Sequence[Seller], shown: Sequence[int], runs: int = 400_000) -> tuple[float, float]:
    """The same event drawn at random, without any formula: share of oversells and its standard error."""
    rng = np.random.default_rng(7)
    weights = np.array(WEIGHTS) / sum(WEIGHTS)
    rates = np.stack([rng.gamma(each.shape, 1 / each.seconds, runs) for each in sellers], 1) * (np.array(shown) > 0)
    first = (rng.exponential(1.0, rates.shape) / np.maximum(rates, 1e-300)).argmin(1)
    told = np.array([each.told for each in sellers])[first, rng.choice(7, runs, p=weights)]
    total = np.ones(runs)
    for seller, (each, quantity) in enumerate(zip(sellers, shown, strict=True)):
        delay = told + np.array(each.shown)[rng.choice(7, runs, p=weights)]
        left = np.where(first == seller, quantity - 1, quantity)
        total += np.minimum(rng.poisson(np.minimum(rates[:, seller] * delay, 1e9)), np.maximum(0, left))
    share = float((total > units).mean())
    return share, sqrt(share * (1 - share) / runs) + 1e-9


def test_one_unit_on_two_channels_is_a_race_with_a_closed_form() -> None:
    first, second = 1 / 3600, 1 / 900
    odds = odds_of_oversell(1, [constant(first, 60), constant(second, 300)], (1, 1))
    weight = first / (first + second)
    exact = weight * (1 - exp(-second * 300)) + (1 - weight) * (1 - exp(-first * 60))
    assert isclose(odds, exact, rel_tol=1e-5)


def test_two_units_need_two_more_sales() -> None:
    """Three equal channels of which each shows both: the chance of two or more in the delay, at most 2 on each."""
    mean = 0.3
    odds = odds_of_oversell(2, [constant(mean / 100, 100)] * 3, (2, 2, 2))
    none, one = exp(-3 * mean), 3 * mean * exp(-3 * mean)
    own_twice = exp(-2 * mean) * (1 - exp(-mean) - mean * exp(-mean))  # it shows one more only: no oversell alone
    assert isclose(odds, 1 - none - one - own_twice, rel_tol=1e-5)


def test_a_rate_that_is_not_known_makes_a_pareto_race() -> None:
    """Equal exposure b and delay d: with u = b/(b+T), u^(2a) is uniform, and 1 - E[(1 + d·u/b)^-a] in closed form."""
    shape, seconds, delay = 1.0, 1000.0, 500.0
    seller = Seller(shape, seconds, (0.0,) * 7, (delay,) * 7)
    ratio = delay / seconds
    exact = 1 - 2 * (ratio - np.log1p(ratio)) / ratio**2  # the integral of 2u/(1 + ratio·u) over u in (0, 1)
    assert isclose(odds_of_oversell(1, [seller, seller], (1, 1)), exact, rel_tol=1e-3)


@pytest.mark.parametrize(
    ("units", "sellers", "shown"),
    [
        (1, [(0.5, 8640), (2, 864), (0.1, 86400)], (1, 1, 1)),
        (1, [(0.3, 300), (4, 90_000)], (1, 1)),
        (2, [(3, 1000), (2, 1000)], (2, 2)),
        (2, [(3, 1000), (2, 1000)], (1, 2)),
        (5, [(30, 1000), (2, 100), (0.5, 100)], (5, 3, 2)),
    ],
)
def test_the_odds_are_those_of_brute_force(
    units: int, sellers: list[tuple[float, float]], shown: tuple[int, ...]
) -> None:
    known = [Seller(shape, seconds, BELIEVED_TOLD, BELIEVED_SHOWN) for shape, seconds in sellers]
    share, error = brute(units, known, shown)
    assert abs(odds_of_oversell(units, known, shown) - share) < 4 * error


SELLERS = st.lists(
    st.builds(
        Seller,
        st.floats(0.05, 50),
        st.floats(10, 1e7),
        st.just(BELIEVED_TOLD),
        st.lists(st.floats(0, 1e5), min_size=7, max_size=7).map(lambda points: tuple(sorted(points))),
    ),
    min_size=1,
    max_size=4,
)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 60), SELLERS, st.sampled_from([0.0, 1e-4, 0.01, 0.2]), st.integers(0, 2))
def test_every_limit_is_kept_and_the_odds_are_those_of_what_is_shown(
    units: int, sellers: list[Seller], limit: float, held_back: int
) -> None:
    found = quantities_to_show(units, sellers, limit, held_back=held_back)
    assert all(0 <= quantity <= max(0, units - held_back) for quantity in found.quantities)
    assert found.odds <= limit and 0 <= found.unseen <= 1
    assert isclose(found.odds, odds_of_oversell(units, sellers, found.quantities), abs_tol=1e-9)
    if units > held_back:
        assert any(found.quantities), "a channel alone sells nothing twice: some channel always shows"


@settings(deadline=None, max_examples=40)
@given(SELLERS)
def test_of_one_unit_no_better_set_of_channels_keeps_the_limit(sellers: list[Seller]) -> None:
    limit = 0.02
    found = quantities_to_show(1, sellers, limit)
    best = 0.0
    for bits in range(1, 2 ** len(sellers)):
        shown = [bits >> place & 1 for place in range(len(sellers))]
        if odds_of_oversell(1, sellers, shown) <= limit:
            best = max(best, sum(each.rate for each, on in zip(sellers, shown, strict=True) if on))
    ours = sum(each.rate for each, on in zip(sellers, found.quantities, strict=True) if on)
    assert ours >= best * (1 - 1e-9)


def test_slow_goods_are_shown_everywhere_and_fast_ones_where_they_sell_most() -> None:
    slow, fast = Seller(0.5, 5e6, BELIEVED_TOLD, BELIEVED_SHOWN), Seller(5, 1000, BELIEVED_TOLD, BELIEVED_SHOWN)
    assert quantities_to_show(1, [slow, slow, slow], 0.01).quantities == (1, 1, 1)
    assert quantities_to_show(1, [slow, fast, fast], 0.01).quantities != (1, 1, 1)
    assert quantities_to_show(500, [slow, fast, fast], 0.01).quantities == (500, 500, 500), "plenty is no risk"


@settings(deadline=None)
@given(st.lists(st.floats(0, 1e5), max_size=300), st.integers(1, 50))
def test_points_keep_the_mean_of_what_was_measured_and_believed(measured: list[float], sales: int) -> None:
    points = points_of(measured, BELIEVED_SHOWN, sales)
    believed = sum(share * seconds for share, seconds in zip(WEIGHTS, BELIEVED_SHOWN, strict=True))
    mean = (sum(measured) + sales * believed) / (len(measured) + sales)
    told = sum(share * seconds for share, seconds in zip(WEIGHTS, points, strict=True))
    assert isclose(told, mean, rel_tol=1e-6, abs_tol=1e-6)
    assert list(points) == sorted(points) or max(np.diff(points) * -1) < 1e-6


def test_the_demand_of_many_single_units_is_found_from_when_they_sold() -> None:
    rng = np.random.default_rng(3)
    wait = rng.exponential(1 / rng.gamma(0.7, 1 / 50.0, 6000))
    shape, seconds = fit_demand((wait < 200).astype(int).tolist(), np.minimum(wait, 200).tolist(), shape=0.5, mean=0.01)
    assert shape == pytest.approx(0.7, rel=0.12)
    assert seconds == pytest.approx(50, rel=0.25)


def test_without_sales_the_belief_stays() -> None:
    shape, seconds = fit_demand([0], [1.0], shape=0.5, mean=1e-6)
    assert shape == pytest.approx(0.5, rel=0.05) and shape / seconds == pytest.approx(1e-6, rel=0.1)
