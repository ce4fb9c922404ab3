"""Bundles: the price told is the best of all, what is saved is exact, and no floor is passed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from flipsync.domain.errors import InvalidInput
from flipsync.domain.ids import new_id
from flipsync.domain.money import Money, usd
from flipsync.services.pricing import PricePeriod, PricingPolicy, QuoteRequest, percentage_plus_fixed
from flipsync.services.pricing.bundles import Part, Together, quote_bundle
from flipsync.services.pricing.economics import net_profit

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
POLICY = PricingPolicy()
FEES = percentage_plus_fixed(
    "ebay", Decimal(1200), usd("0.30"), valid_from=NOW - timedelta(days=30), source="the account"
)


def part(sku: str, price: str, cost: str, *, quantity: int = 1, sold: int = 10, **changes: Any) -> Part:
    values: dict[str, Any] = {
        "current": usd(price),
        "at": NOW,
        "unit_cost": usd(cost),
        "shipping_cost": usd("3.00"),
        "fees": FEES,
        "ceiling": usd("90.00"),
        "stock": 60,
        "history": (PricePeriod(price=usd(price), units=sold, exposure_hours=14 * 24),),
    }
    return Part(new_id(), sku, quantity, QuoteRequest(**{**values, **changes}), POLICY)


def seen(parts: list[Part], orders: int, together: int) -> Together:
    return Together({each.listing_id: orders for each in parts}, together)


def test_a_discount_that_brings_buyers_for_the_rest_pays() -> None:
    parts = [part("camera", "60.00", "30.00", sold=4), part("case", "20.00", "4.00", sold=20)]
    told = quote_bundle(parts, seen(parts, 40, 6))
    assert told.pays and told.lowest < told.price < told.apart == usd("80.00")
    assert told.base == "camera" and (told.orders_seen, told.orders_together) == (40, 6)
    assert told.taken_apart == pytest.approx(6.5 / 50, abs=1e-4) and told.taken > told.taken_apart
    assert told.gain_per_day.amount_minor > 0 and "take all" in told.reason
    assert told.units == 60 and [each.listing_id for each in told.parts] == [each.listing_id for each in parts]


def test_what_one_order_saves_is_a_parcel_and_a_fixed_fee() -> None:
    parts = [part("camera", "60.00", "30.00"), part("case", "20.00", "4.00")]
    assert quote_bundle(parts, seen(parts, 0, 0)).one_order_saves == usd("3.30")
    dear = quote_bundle(parts, seen(parts, 0, 0), usd("5.00"))
    assert dear.one_order_saves == usd("1.30")
    assert dear.sale == net_profit(dear.price, usd("34.00"), usd("5.00"), FEES, NOW, shipping_charged=usd("0.00"))


def test_where_all_buyers_take_all_anyway_nothing_is_given_away() -> None:
    parts = [part("pot", "30.00", "10.00"), part("lid", "12.00", "3.00")]
    told = quote_bundle(parts, seen(parts, 500, 500))
    assert not told.pays and told.price == told.apart and told.gain_per_day == usd("0.00") and told.discount_bps == 0


def test_floors_hold_for_the_sum() -> None:
    parts = [
        part("camera", "60.00", "30.00", sold=4, floor=usd("58.00")),
        part("case", "20.00", "4.00", sold=20, floor=usd("19.00")),
    ]
    assert quote_bundle(parts, seen(parts, 40, 6)).lowest == usd("77.00")
    at_floor = [part("a", "30.00", "10.00", floor=usd("30.00")), part("b", "20.00", "4.00", floor=usd("20.00"))]
    told = quote_bundle(at_floor, seen(at_floor, 40, 6))
    assert not told.pays and told.price == usd("50.00") and "forbid" in told.reason


def test_several_of_one() -> None:
    one = [part("socks", "12.00", "2.00", quantity=3)]
    told = quote_bundle(one, seen(one, 100, 2))
    assert told.apart == usd("36.00") and told.units == 20 and told.base == "socks"
    assert told.one_order_saves == usd("6.60"), "two parcels and two fixed fees less"
    assert told.pays and told.price < usd("36.00")


def test_what_is_scarce_is_not_given_away_with_something_else() -> None:
    plenty = [part("camera", "60.00", "30.00", sold=4), part("case", "20.00", "14.00", sold=30, stock=5000)]
    scarce = [plenty[0], part("case", "20.00", "14.00", sold=30, stock=1)]
    habits = Together({each.listing_id: 40 for each in (*plenty, *scarce)}, 6)
    assert quote_bundle(scarce, habits).price >= quote_bundle(plenty, habits).price


@pytest.mark.parametrize(
    "parts",
    [
        [part("a", "10.00", "2.00")],
        [part("a", "10.00", "2.00", quantity=0), part("b", "10.00", "2.00", quantity=2)],
        [part("a", "10.00", "2.00", stock=1, quantity=2)],
        [part("a", "10.00", "2.00"), part("b", "10.00", "2.00", unit_cost=None)],
    ],
    ids=["one article", "none of a part", "more than on offer", "no cost"],
)
def test_what_is_no_bundle_is_refused(parts: list[Part]) -> None:
    with pytest.raises(InvalidInput):
        quote_bundle(parts, Together({}, 0))


@settings(max_examples=120, deadline=None)
@given(
    goods=st.lists(
        st.tuples(st.integers(500, 6000), st.floats(0.1, 0.6), st.integers(0, 40), st.integers(1, 3)),
        min_size=1,
        max_size=4,
    ),
    orders=st.integers(0, 200),
    share=st.floats(0, 1),
)
def test_no_other_price_earns_more_and_none_is_below_a_floor(
    goods: list[tuple[int, float, int, int]], orders: int, share: float
) -> None:
    assume(sum(quantity for *_, quantity in goods) >= 2)
    parts = [
        part(
            f"S{place}",
            f"{price / 100:.2f}",
            f"{int(price * cost) / 100 + 0.01:.2f}",
            quantity=quantity,
            sold=sold,
            floor=Money(amount_minor=int(price * 0.7), currency="USD"),
        )
        for place, (price, cost, sold, quantity) in enumerate(goods)
    ]
    told = quote_bundle(parts, seen(parts, orders, int(orders * share)))
    assert told.price >= told.lowest
    assert told.lowest.amount_minor >= sum(int(price * 0.7) * quantity for price, _, _, quantity in goods)
    if told.pays:
        assert told.lowest <= told.price < told.apart and told.taken >= told.taken_apart
        assert told.sale.net.amount_minor >= 0


def test_the_price_is_the_best_for_simulated_buyers() -> None:
    """Buyers of the base face the rest's price with willingness of constant elasticity; gains counted one by one."""
    parts = [part("camera", "60.00", "30.00", sold=4, stock=5000), part("case", "20.00", "4.00", sold=20, stock=5000)]
    told = quote_bundle(parts, seen(parts, 90, 9))
    bend = POLICY.demand_of(parts[1].request).elasticity()
    # of buyers of the base, a tenth pays the whole 20.00 for the rest, and the law's tail says who pays less
    willing = 2000 * (0.095 / np.random.default_rng(2).random(400_000)) ** (1 / bend)

    def gain(price: int) -> float:
        rest = price - 6000
        earned = price * 0.88 - 30 - 3400 - 300 - (6000 * 0.88 - 30 - 3000 - 300)
        return float(np.mean(willing >= rest)) * earned

    best = max(range(6500, 8001, 25), key=gain)
    assert told.price.amount_minor == pytest.approx(best, abs=60)
