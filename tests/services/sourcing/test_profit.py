"""What goods would earn, checked against sales drawn from what the method assumes, and against its own closed form."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from flipsync.services.pricing.economics import UnitEconomics
from flipsync.services.quotes import fee_schedule
from flipsync.services.sourcing.lessons import GoodsSold, learn
from flipsync.services.sourcing.profit import Known, Wishes, outlook
from flipsync.services.sourcing.taught import Lessons
from flipsync.services.tenant_settings import PricingChoices

NOTHING = float("nan")
NOW = datetime(2026, 6, 1, tzinfo=UTC)
WISHES = Wishes(profit_minor=200, roi=0.2, chance=0.7, turn_days=60, turn_share=0.5)


def terms() -> tuple[object, ...]:
    schedule = fee_schedule("ebay", "USD", PricingChoices())
    assert schedule is not None
    return tuple(schedule.terms(NOW))


def known(**columns: object) -> Known:
    usual = {
        "own": [NOTHING],
        "units": [0.0],
        "market": [NOTHING],
        "listed": [NOTHING],
        "sold": [0.0],
        "days": [0.0],
        "lot": [1],
    }
    told = {name: np.array(values) for name, values in (usual | columns).items()}
    return Known(**told)  # type: ignore[arg-type]


def look(told: Known, lessons: Lessons) -> object:
    return outlook(told, lessons, terms(), charged=0, tax_bps=1000, turn_days=60)  # type: ignore[arg-type]


NO_LUCK = Lessons(
    **dict.fromkeys(("own_spread", "drift", "market_spread", "shipping_spread"), 1e-6),
    returned_a=1e-3,
    returned_b=1e6,
    shipping_minor=450.0,
)


def test_without_luck_it_is_the_exact_fee_engine() -> None:
    seen = look(known(own=[np.log(3000.0)], units=[50.0]), NO_LUCK)
    exact = UnitEconomics(
        terms=terms(),  # type: ignore[arg-type]
        unit_cost=1000,
        shipping_cost=450,
        shipping_charged=0,
        tax_bps=1000,
        min_margin=0,
        margin_bps=0,
    ).net(3000)
    low, likely, high = seen.interval(np.array([1000.0]))[:, 0]  # type: ignore[attr-defined]
    assert (low, likely, high) == (pytest.approx(exact, abs=2),) * 3


def test_the_most_is_where_the_chance_and_both_wishes_are_just_met() -> None:
    lessons = Lessons(own_spread=0.1, drift=0.05, shipping_minor=450.0)
    seen = look(known(own=np.log([1500.0, 3000.0, 30_000.0]), units=[9.0] * 3, **_three()), lessons)
    most = seen.most(WISHES)  # type: ignore[attr-defined]
    assert (most > 0).all()
    assert (seen.chance(most, WISHES) >= WISHES.chance - 0.003).all()  # type: ignore[attr-defined]
    assert (seen.chance(most * 1.02 + 2, WISHES) < WISHES.chance).all()  # type: ignore[attr-defined]


def _three() -> dict[str, object]:
    return {name: [NOTHING] * 3 for name in ("market", "listed")} | {
        "sold": [0.0] * 3,
        "days": [0.0] * 3,
        "lot": [1] * 3,
    }


def test_what_is_not_known_makes_the_bars_wider_and_nothing_known_is_said() -> None:
    few = look(known(own=[np.log(3000.0)], units=[2.0]), Lessons(own_spread=0.1, drift=0.05))
    many = look(known(own=[np.log(3000.0)], units=[200.0]), Lessons(own_spread=0.1, drift=0.05))
    unlearnt = look(known(market=[np.log(3000.0)]), Lessons())
    width = [np.ptp(each.interval(np.array([1000.0]))[[0, 2], 0]) for each in (many, few, unlearnt)]  # type: ignore[attr-defined]
    assert width[0] < width[1] < width[2]
    assert not look(known(), Lessons()).known[0]  # type: ignore[attr-defined]


def test_books_teach_spreads_rates_and_returns() -> None:
    rng = np.random.default_rng(3)
    sold = []
    for _ in range(400):
        rate = rng.gamma(2.0, 0.05)
        units, anchor = int(rng.poisson(rate * 60)), float(rng.uniform(1000, 9000))
        prices = np.log(anchor) - 0.1 + rng.normal(0, 0.08) + rng.normal(0, 0.05, max(units, 1))
        goods = round(float(np.exp(prices).sum())) if units else 0
        sold.append(
            GoodsSold(
                *(units, float(prices.mean()), float(prices.var()), goods, round(goods * 0.12), 0, 60.0, units),
                market_minor=round(anchor),
                listed_minor=None,
            )
        )
    lessons = learn(sold, usual_parcel_minor=450)
    assert lessons.own_spread == pytest.approx(0.05, rel=0.1)
    assert lessons.market_bias == pytest.approx(-0.1, abs=0.02)
    assert lessons.market_spread == pytest.approx(0.08, rel=0.15)
    assert lessons.returned_a / (lessons.returned_a + lessons.returned_b) == pytest.approx(0.12, abs=0.005)
    assert lessons.rate_shape / lessons.rate_days == pytest.approx(0.1, rel=0.1)
    assert 1.2 < lessons.rate_shape < 3.5
    assert lessons.unknown == ("parcels",)


def test_intervals_that_were_too_narrow_are_widened_by_what_came_of_them() -> None:
    errors = list(np.random.default_rng(1).normal(0, 2 / 1.2816, 500))  # twice as far out as was told
    assert learn([], usual_parcel_minor=450, errors=errors).stretch == pytest.approx(2.0, rel=0.12)
    assert learn([], usual_parcel_minor=450, errors=errors[:19]).stretch == 1.0


def test_units_sold_in_time_are_those_of_many_drawn_histories() -> None:
    lessons = Lessons(rate_shape=2.0, rate_days=20.0)
    seen = look(known(own=[np.log(3000.0)], units=[9.0], sold=[4.0], days=[30.0], lot=[5]), lessons)
    rng = np.random.default_rng(8)
    wanted = rng.poisson(rng.gamma(6.0, 1 / 50.0, 200_000) * 60)
    assert seen.in_time[0] == pytest.approx((wanted >= 5).mean(), abs=0.01)  # type: ignore[attr-defined]
    assert seen.gone[0] == pytest.approx(np.minimum(wanted, 5).mean() / 5, abs=0.01)  # type: ignore[attr-defined]
