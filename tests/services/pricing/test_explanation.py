"""A quote in full: its parts agree with the quote and with figures worked out otherwise."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flipsync.domain.channel import RivalOffer
from flipsync.domain.money import Money, usd
from flipsync.services.pricing import PricePeriod, PricingPolicy, QuoteRequest, net_profit, percentage_plus_fixed
from flipsync.services.pricing.explanation import CURVE, explain, rate_band

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
POLICY = PricingPolicy()
FEES = percentage_plus_fixed(
    "custom", Decimal(1200), usd("0.30"), valid_from=NOW - timedelta(days=30), source="the account"
)


def request(**changes: Any) -> QuoteRequest:
    values: dict[str, Any] = {
        "current": usd("20.00"),
        "at": NOW,
        "unit_cost": usd("8.00"),
        "shipping_cost": usd("3.00"),
        "fees": FEES,
        "ceiling": usd("60.00"),
        "stock": 100,
        "history": (
            PricePeriod(price=usd("24.00"), units=6, exposure_hours=240),
            PricePeriod(price=usd("20.00"), units=14, exposure_hours=240),
        ),
    }
    return QuoteRequest(**{**values, **changes})


def rival(seller: str, price: str, *, in_stock: bool = True, currency: str = "USD") -> RivalOffer:
    return RivalOffer(sku="A", seller=seller, price=Money.parse(price, currency), in_stock=in_stock, seen_at=NOW)


def test_every_part_of_a_quote_is_told() -> None:
    asked = request(
        rivals=(
            rival("b", "19.00"),
            rival("a", "21.00"),
            rival("c", "5.00", in_stock=False),
            rival("d", "1.00", currency="EUR"),
        )
    )
    quote = POLICY.quote(asked)
    told = explain(asked, quote, POLICY)
    assert [each.price.amount_minor for each in told.demand] == [round(2000 * share) for share in CURVE]
    assert [each.sold_per_day for each in told.demand] == sorted((p.sold_per_day for p in told.demand), reverse=True)
    assert all(each.low < each.sold_per_day < each.high for each in told.demand)
    assert [each.seller for each in told.rivals] == ["b", "a"], "the cheapest first; who cannot deliver is left out"
    assert told.cheaper_rivals == sum(each.price < quote.best for each in told.rivals)
    assert told.sale == net_profit(quote.best, usd("8.00"), usd("3.00"), FEES, NOW)
    assert told.sale is not None and told.sale.net == quote.margin
    assert told.seen == asked.history
    assert quote.elasticity is not None and told.elasticity_low is not None and told.elasticity_high is not None
    assert told.elasticity_low <= quote.elasticity <= told.elasticity_high
    assert [each.change_bps for each in told.instead] == [-500, 500]


def test_the_band_holds_four_fifths_of_the_belief() -> None:
    demand = POLICY.demand_of(request())
    rng = np.random.default_rng(3)
    at = rng.choice(len(demand.weights), size=200_000, p=demand.weights)
    rates = np.array(demand.rates(2200.0))[at] * rng.gamma(demand.shape, 1 / demand.shape, size=len(at))
    low, high = rate_band(demand, 2200.0)
    assert np.mean(rates < low) == pytest.approx(0.1, abs=0.004)
    assert np.mean(rates > high) == pytest.approx(0.1, abs=0.004)


def test_the_bound_that_counts_is_named_and_forbids() -> None:
    asked = request(current=usd("20.00"), floor=usd("19.80"), ceiling=usd("20.50"))
    quote = POLICY.quote(asked)
    told = explain(asked, quote, POLICY)
    binding = {each.side: (each.name, each.price) for each in told.bounds if each.binds}
    assert binding == {"lowest": ("the owner's floor", usd("19.80")), "highest": ("the ceiling", usd("20.50"))}
    assert {each.name for each in told.bounds} == {
        *("the largest step down", "the owner's floor", "the lowest price that earns the margin"),
        *("the largest step up", "the ceiling"),
    }
    down, up = told.instead
    assert not down.allowed and down.why_not == "the owner's floor is 19.80 USD"
    assert not up.allowed and up.why_not == "the ceiling is 20.50 USD"


def test_a_quote_without_its_facts_explains_what_is_known() -> None:
    asked = request(unit_cost=None, rivals=(rival("b", "19.00"),))
    told = explain(asked, POLICY.quote(asked), POLICY)
    assert (told.demand, told.sale, told.bounds, told.instead) == ((), None, (), ())
    assert [each.seller for each in told.rivals] == ["b"] and told.seen == asked.history


def test_a_sold_out_listing_says_so() -> None:
    asked = request(stock=0)
    told = explain(asked, POLICY.quote(asked), POLICY)
    assert [each.why_not for each in told.instead] == ["there is nothing to sell"] * 2


@settings(max_examples=150, deadline=None)
@given(
    current=st.integers(900, 6000),
    cost=st.integers(100, 3000),
    stock=st.integers(0, 40),
    sold=st.lists(st.tuples(st.integers(900, 6000), st.integers(0, 30)), max_size=4),
    rivals=st.lists(st.integers(500, 7000), max_size=4),
    idle=st.integers(0, 300),
)
def test_why_not_is_never_contradicted_by_the_figures(
    current: int, cost: int, stock: int, sold: list[tuple[int, int]], rivals: list[int], idle: int
) -> None:
    asked = request(
        current=Money(amount_minor=current, currency="USD"),
        unit_cost=Money(amount_minor=cost, currency="USD"),
        stock=stock,
        history=tuple(
            PricePeriod(price=Money(amount_minor=price, currency="USD"), units=units, exposure_hours=72)
            for price, units in sold
        ),
        rivals=tuple(rival(str(n), f"{price / 100:.2f}") for n, price in enumerate(rivals)),
        days_since_last_sale=idle,
    )
    quote = POLICY.quote(asked)
    told = explain(asked, quote, POLICY)
    for each in told.instead:
        possible = POLICY.quote_at(asked, each.price)
        assert (possible is not None) == each.allowed
        if possible is not None:
            assert (possible.margin, possible.expected_profit_per_day) == (each.margin, each.expected_profit_per_day)
        if "less" in each.why_not:
            assert each.allowed and each.chance_it_earns_more < 1
        if "more" in each.why_not:
            assert each.allowed and each.chance_it_earns_more > 0
    if quote.margin is not None:
        assert {each.side for each in told.bounds if each.binds} == {"lowest", "highest"}
