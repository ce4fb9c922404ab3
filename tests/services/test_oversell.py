"""The odds of an oversell against closed forms and brute force; what is shown keeps every limit and wastes little."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import exp, isclose, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flipsync.services.channel_delay import BELIEVED_SHOWN, BELIEVED_TOLD, WEIGHTS, Goods, Seller, points_of
from flipsync.services.demand import fit_demand
from flipsync.services.oversell import HORIZON, odds_of_oversell, quantities_to_show

KNOWN = Goods.gamma(1e6, 1e6 * 900)  # a sale in 900 seconds, for sure


def constant(delay: float, weight: float = 1.0) -> Seller:
    """A channel whose delay is known."""
    return Seller(weight, (0.0,) * len(WEIGHTS), (delay,) * len(WEIGHTS))


def believed(*weights: float) -> list[Seller]:
    return [Seller(weight, BELIEVED_TOLD, BELIEVED_SHOWN) for weight in weights]


def brute(
    units: int, goods: Goods, sellers: Sequence[Seller], shown: Sequence[int], runs: int = 400_000
) -> tuple[float, float]:
    """The same event drawn at random, without any formula: share of oversells and its standard error."""
    rng = np.random.default_rng(7)
    weights = np.array(WEIGHTS) / sum(WEIGHTS)
    part = np.array(goods.parts)[rng.choice(len(goods.parts), runs, p=[share for share, _, _ in goods.parts])]
    wanted = rng.gamma(part[:, 1], 1 / part[:, 2])
    rates = wanted[:, None] * np.array([each.weight for each in sellers]) * (np.array(shown) > 0)
    waits = rng.exponential(1.0, rates.shape) / np.maximum(rates, 1e-300)
    in_time, first = waits.min(1) < HORIZON, waits.argmin(1)
    told = np.array([each.told for each in sellers])[first, rng.choice(len(WEIGHTS), runs, p=weights)]
    total = np.ones(runs)
    for seller, (each, quantity) in enumerate(zip(sellers, shown, strict=True)):
        delay = told + np.array(each.shown)[rng.choice(len(WEIGHTS), runs, p=weights)]
        left = np.where(first == seller, quantity - 1, quantity)
        total += np.minimum(rng.poisson(np.minimum(rates[:, seller] * delay, 1e9)), np.maximum(0, left))
    share = float((total[in_time] > units).mean())
    return share, sqrt(share * (1 - share) / in_time.sum()) + 1e-9


def test_one_unit_on_two_channels_is_a_race_with_a_closed_form() -> None:
    odds = odds_of_oversell(1, KNOWN, [constant(60, 1.0), constant(300, 3.0)], (1, 1))
    exact = 0.25 * (1 - exp(-3 * 300 / 900)) + 0.75 * (1 - exp(-60 / 900))
    assert isclose(odds, exact, rel_tol=1e-4)


def test_two_units_need_two_more_sales() -> None:
    """Three equal channels of which each shows both: the chance of two or more in the delay, at most 2 on each."""
    mean = 0.3
    odds = odds_of_oversell(2, KNOWN, [constant(mean * 900)] * 3, (2, 2, 2))
    none, one = exp(-3 * mean), 3 * mean * exp(-3 * mean)
    own_twice = exp(-2 * mean) * (1 - exp(-mean) - mean * exp(-mean))  # it shows one more only: no oversell alone
    assert isclose(odds, 1 - none - one - own_twice, rel_tol=1e-4)


@pytest.mark.parametrize("shape", [0.1, 0.5, 1.0, 6.0, 80.0])
@pytest.mark.parametrize("seconds", [1e4, 1e6, 1e8])
def test_demand_that_is_not_known_has_a_closed_form_too(shape: float, seconds: float) -> None:
    delay = 2000.0
    odds = odds_of_oversell(1, Goods.gamma(shape, seconds), [constant(delay)] * 2, (1, 1))

    def unsold(time: float) -> float:
        return float((1 + time / seconds) ** -shape)

    exact = 1 - (unsold(delay) - unsold(delay + 2 * HORIZON)) / (1 - unsold(2 * HORIZON))
    assert isclose(odds, exact, rel_tol=2e-2)


@pytest.mark.parametrize(
    ("units", "goods", "weights", "shown"),
    [
        (1, Goods.gamma(0.5, 8640), (0.3, 1, 2), (1, 1, 1)),
        (1, Goods.gamma(0.3, 300_000), (5, 1), (1, 1)),
        (2, Goods.gamma(3, 1000), (1, 1), (2, 2)),
        (2, Goods.gamma(3, 1000), (1, 0.5), (1, 2)),
        (5, Goods.gamma(8, 800), (3, 2, 1), (5, 3, 2)),
        (1, Goods(((0.7, 6, 4e6), (0.2, 6, 4e4), (0.1, 6, 4e3))), (1, 2), (1, 1)),
        (2, Goods(((0.7, 6, 4e6), (0.3, 6, 4e3))), (1, 2), (2, 2)),
    ],
)
def test_the_odds_are_those_of_brute_force(
    units: int, goods: Goods, weights: tuple[float, ...], shown: tuple[int, ...]
) -> None:
    share, error = brute(units, goods, believed(*weights), shown)
    assert abs(odds_of_oversell(units, goods, believed(*weights), shown) - share) < 4 * error


PARTS = st.tuples(st.floats(0.05, 1), st.floats(0.05, 50), st.floats(10, 1e7))
GOODS = st.lists(PARTS, min_size=1, max_size=4).map(
    lambda parts: Goods(tuple((share / sum(each[0] for each in parts), *more) for share, *more in parts))
)
SELLERS = st.lists(
    st.builds(
        Seller,
        st.floats(0.05, 20),
        st.just(BELIEVED_TOLD),
        st.lists(st.floats(0, 1e5), min_size=len(WEIGHTS), max_size=len(WEIGHTS)).map(
            lambda points: tuple(sorted(points))
        ),
    ),
    min_size=1,
    max_size=4,
)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 60), GOODS, SELLERS, st.sampled_from([0.0, 1e-4, 0.01, 0.2]), st.integers(0, 2))
def test_every_limit_is_kept_and_the_odds_are_those_of_what_is_shown(
    units: int, goods: Goods, sellers: list[Seller], limit: float, held_back: int
) -> None:
    found = quantities_to_show(units, goods, sellers, limit, held_back=held_back)
    assert all(0 <= quantity <= max(0, units - held_back) for quantity in found.quantities)
    assert found.odds <= limit and 0 <= found.unseen <= 1
    assert isclose(found.odds, odds_of_oversell(units, goods, sellers, found.quantities), abs_tol=1e-9)
    if units > held_back:
        assert any(found.quantities), "a channel alone sells nothing twice: some channel always shows"


@settings(deadline=None, max_examples=40)
@given(GOODS, SELLERS)
def test_of_one_unit_no_better_set_of_channels_keeps_the_limit(goods: Goods, sellers: list[Seller]) -> None:
    limit = 0.02
    found = quantities_to_show(1, goods, sellers, limit)
    best = 0.0
    for bits in range(1, 2 ** len(sellers)):
        shown = [bits >> place & 1 for place in range(len(sellers))]
        if odds_of_oversell(1, goods, sellers, shown) <= limit:
            best = max(best, sum(each.weight for each, on in zip(sellers, shown, strict=True) if on))
    ours = sum(each.weight for each, on in zip(sellers, found.quantities, strict=True) if on)
    assert ours >= best * (1 - 1e-9)


def test_what_is_stuck_on_show_is_a_seller_too() -> None:
    hot, slow = Goods.gamma(5, 20_000), Goods.gamma(5, 5e8)
    stuck = [(Seller(1, BELIEVED_TOLD, (86_400.0,) * len(WEIGHTS)), 1)]
    assert quantities_to_show(1, hot, believed(1, 1), 0.01, stuck=stuck).quantities == (0, 0)
    shown = quantities_to_show(1, slow, believed(1, 1), 0.01, stuck=stuck)
    alone = quantities_to_show(1, slow, believed(1, 1), 0.01)
    assert shown.quantities == alone.quantities == (1, 1) and shown.odds > 10 * alone.odds
    assert sum(quantities_to_show(3, hot, believed(1, 1), 0.0, stuck=stuck).quantities) == 2, "three, one of them there"


def test_slow_goods_are_shown_everywhere_and_fast_ones_where_they_sell_most() -> None:
    slow, fast = Goods.gamma(0.5, 5e6), Goods.gamma(5, 1000)
    assert quantities_to_show(1, slow, believed(1, 1, 1), 0.01).quantities == (1, 1, 1)
    assert quantities_to_show(1, fast, believed(1, 3, 2), 0.01).quantities == (0, 1, 0)
    assert quantities_to_show(90_000, fast, believed(1, 3, 2), 0.01).quantities == (90_000,) * 3, "plenty is no risk"


@settings(deadline=None)
@given(st.lists(st.floats(0, 1e5), max_size=300), st.integers(1, 50))
def test_points_keep_the_mean_of_what_was_measured_and_believed(measured: list[float], sales: int) -> None:
    points = points_of(measured, BELIEVED_SHOWN, sales)
    believed = sum(share * seconds for share, seconds in zip(WEIGHTS, BELIEVED_SHOWN, strict=True))
    mean = (sum(measured) + sales * believed) / (len(measured) + sales)
    told = sum(share * seconds for share, seconds in zip(WEIGHTS, points, strict=True))
    assert isclose(told, mean, rel_tol=1e-6, abs_tol=1e-6)
    assert all(earlier <= later + 1e-6 for earlier, later in pairwise(points))


def test_points_keep_most_of_the_square_of_delays_with_breakdowns() -> None:
    """Two sales within one delay go by it."""
    kept = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        broken = (rng.random(4000) < 0.006) * rng.exponential(3600.0, 4000)
        delays = 30.0 * np.exp(1.2 * rng.standard_normal(4000)) + broken
        points = np.array(points_of(delays.tolist(), BELIEVED_SHOWN, 0))
        kept.append(float(np.array(WEIGHTS) @ points**2 / np.mean(delays**2)))
    assert 0.88 < np.mean(kept) <= 1.0, "of a mean of each part it is always a little less"


def test_demand_is_found_from_when_single_units_sold_on_channels_of_unequal_pull() -> None:
    rng = np.random.default_rng(3)
    wanted = rng.gamma(0.7, 1 / 50.0, 6000)
    pull = np.array([1.0, 3.0])
    wait = np.minimum(rng.exponential(1 / (wanted * pull.sum())), 200)
    sold = [int(each < 200) for each in wait]
    where = (rng.random(6000) < 0.75).astype(int)
    rows = [(item, seller) for item in range(6000) for seller in (0, 1)]
    found = fit_demand(
        [item for item, _ in rows],
        [seller for _, seller in rows],
        [float(sold[item] and where[item] == seller) for item, seller in rows],
        [float(wait[item]) for item, _ in rows],
        shape=0.5,
        mean=0.01,
        count=2,
    )
    assert found.weights[1] / found.weights[0] == pytest.approx(3, rel=0.1)
    assert sum(found.weights) * found.goods.rate == pytest.approx(4 * 0.7 / 50, rel=0.15)


def test_without_sales_the_belief_stays() -> None:
    found = fit_demand([0], [0], [0.0], [1.0], shape=0.5, mean=1e-6, count=2)
    assert found.goods.rate == pytest.approx(1e-6, rel=0.2)
    assert found.weights == pytest.approx((1, 1), abs=1e-3)


def test_what_sold_speaks_for_the_part_it_came_from() -> None:
    """Two kinds of goods: after ten sales in an hour it is the hot kind, and the rate is that of its own sales."""
    goods = Goods(((0.99, 6, 6 * 30 * 86_400.0), (0.01, 6, 6 * 600.0))).after(10, 3600)
    assert goods.parts[-1][0] == pytest.approx(1) and goods.rate == pytest.approx(16 / 7200, rel=1e-3)
    slow = Goods(((0.99, 6, 6 * 30 * 86_400.0), (0.01, 6, 6 * 600.0))).after(0, 86_400)
    assert slow.rate < 1 / (29 * 86_400)
