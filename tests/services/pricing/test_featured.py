"""Who is put first, and whether being first would pay."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flipsync.domain.channel import RivalOffer
from flipsync.domain.money import Money, usd
from flipsync.services.pricing import PricingPolicy, QuoteRequest, percentage_plus_fixed
from flipsync.services.pricing.explanation import explain

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
POLICY = PricingPolicy()
FEES = percentage_plus_fixed(
    "amazon", Decimal(1500), usd("0.30"), valid_from=NOW - timedelta(days=30), source="the account"
)


def rival(
    seller: str, price: str, *, featured: bool = False, in_stock: bool = True, currency: str = "USD"
) -> RivalOffer:
    money = Money.parse(price, currency)
    return RivalOffer(sku="A", seller=seller, price=money, in_stock=in_stock, seen_at=NOW, featured=featured)


def told(*rivals: RivalOffer, **changes: Any) -> Any:
    values: dict[str, Any] = {
        "current": usd("20.00"),
        "at": NOW,
        "unit_cost": usd("8.00"),
        "shipping_cost": usd("3.00"),
        "fees": FEES,
        "ceiling": usd("60.00"),
        "stock": 100,
        "rivals": rivals,
    }
    request = QuoteRequest(**{**values, **changes})
    return explain(request, POLICY.quote(request), POLICY).featured


def test_the_price_and_the_sales_that_being_first_needs() -> None:
    found = told(rival("cheap", "18.00"), rival("first", "19.01", featured=True))
    assert (found.seller, found.theirs, found.ours_from) == ("first", usd("19.01"), usd("19.00"))
    assert found.margin == usd("4.85"), "19.00 less 15 %, 0.30, 8.00 and 3.00"
    assert found.allowed and found.sales_needed == pytest.approx(5.70 / 4.85, abs=1e-4)
    assert found.sales_expected > 1, "a lower price sells more in any case"


def test_nothing_is_told_where_no_rival_who_can_deliver_is_first() -> None:
    assert told(rival("cheap", "18.00")) is None
    assert told(rival("gone", "18.00", featured=True, in_stock=False)) is None
    assert told(rival("abroad", "18.00", featured=True, currency="EUR")) is None


def test_shipping_that_buyers_pay_counts_on_both_sides() -> None:
    found = told(rival("first", "24.00", featured=True), shipping_charged=usd("4.00"))
    assert found.ours_from == usd("19.99")


def test_a_price_below_the_floor_is_not_allowed_and_one_that_loses_money_never_pays() -> None:
    assert not told(rival("first", "15.00", featured=True), floor=usd("16.00")).allowed
    found = told(rival("first", "9.00", featured=True))
    assert not found.allowed and found.sales_needed is None and found.margin < usd("0.00")


@settings(max_examples=100, deadline=None)
@given(theirs=st.integers(1500, 4000), cost=st.integers(100, 1000))
def test_at_the_sales_needed_the_profit_is_that_of_now(theirs: int, cost: int) -> None:
    found = told(
        rival("first", f"{theirs / 100:.2f}", featured=True), unit_cost=Money(amount_minor=cost, currency="USD")
    )
    if found.sales_needed is not None:
        now = 2000 - 300 - 30 - cost - 300
        assert found.sales_needed * found.margin.amount_minor == pytest.approx(
            now, abs=found.margin.amount_minor * 1e-4 + 1
        )
