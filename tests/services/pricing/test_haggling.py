"""What a buyer who bids is answered: by hand, by properties, and against simple rules on simulated buyers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flipsync.domain.errors import InvalidInput
from flipsync.domain.money import CurrencyMismatchError, Money, usd
from flipsync.services.pricing import PricePeriod, PricingPolicy, QuoteRequest, percentage_plus_fixed
from flipsync.services.pricing.demand import sold_in_time
from flipsync.services.pricing.haggling import answer_offer

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
POLICY = PricingPolicy()
FEES = percentage_plus_fixed(
    "ebay", Decimal(1200), usd("0.30"), valid_from=NOW - timedelta(days=30), source="the account"
)


def listed(**changes: Any) -> QuoteRequest:
    """At 20.00, cost 8.00 and 3.00 to send, one sold a day, plenty in stock, with `changes`."""
    values: dict[str, Any] = {
        "current": usd("20.00"),
        "at": NOW,
        "unit_cost": usd("8.00"),
        "shipping_cost": usd("3.00"),
        "fees": FEES,
        "ceiling": usd("60.00"),
        "stock": 200,
        "history": (PricePeriod(price=usd("20.00"), units=14, exposure_hours=14 * 24),),
    }
    return QuoteRequest(**{**values, **changes})


def seldom(days: float) -> tuple[PricePeriod, ...]:
    """One sale in so many days at the price."""
    return (PricePeriod(price=usd("20.00"), units=1, exposure_hours=days * 24),)


def test_of_plenty_a_fair_bid_is_taken_and_a_low_one_countered() -> None:
    fair = answer_offer(listed(), POLICY, usd("18.00"))
    assert fair.answer == "accept" and fair.counter is None and fair.chance_agreed == 1.0
    assert fair.kept_is_worth < usd("0.50"), "of two hundred one more or less is worth next to nothing"
    low = answer_offer(listed(), POLICY, usd("12.00"))
    assert low.answer == "counter" and low.counter == low.accept_from
    assert low.counter is not None and usd("12.00") < low.counter < usd("20.00")
    assert low.chance_agreed == pytest.approx((12 / float(low.counter.plain())) ** 4, rel=1e-3)


def test_the_only_one_that_sells_soon_is_kept() -> None:
    answer = answer_offer(listed(stock=1), POLICY, usd("18.00"))
    assert answer.answer == "decline" and answer.accept_from is None and answer.otherwise == "decline"
    assert answer.kept_is_worth > usd("5.50"), "nearly all of the 6.30 that it leaves at its price"
    assert "next buyer" in answer.reason


def test_the_only_one_that_nobody_wants_is_let_go() -> None:
    answer = answer_offer(listed(stock=1, history=seldom(400), days_since_last_sale=400), POLICY, usd("17.50"))
    assert answer.answer == "accept"


def test_nothing_is_agreed_to_below_the_owners_floor_or_the_margin() -> None:
    floored = answer_offer(listed(floor=usd("19.00")), POLICY, usd("18.00"))
    assert floored.answer == "counter" and floored.counter is not None and floored.counter >= usd("19.00")
    assert floored.lowest == usd("19.00") and "below 19.00 USD" in floored.reason
    margin = answer_offer(listed(min_margin_bps=3000), POLICY, usd("18.00"))
    assert margin.lowest > usd("18.00") and margin.answer != "accept"
    impossible = answer_offer(listed(floor=usd("25.00")), POLICY, usd("19.99"))
    assert impossible.answer == "decline"


def test_a_bid_at_or_above_the_price_is_taken() -> None:
    assert answer_offer(listed(stock=1), POLICY, usd("20.00")).answer == "accept"


@pytest.mark.parametrize(
    ("bid", "quantity", "changes", "error"),
    [
        (Money.parse("18.00", "EUR"), 1, {}, CurrencyMismatchError),
        (usd("0.00"), 1, {}, InvalidInput),
        (usd("18.00"), 3, {"stock": 2}, InvalidInput),
        (usd("18.00"), 1, {"stock": 0}, InvalidInput),
        (usd("18.00"), 1, {"unit_cost": None}, InvalidInput),
    ],
)
def test_what_cannot_be_judged_is_refused(bid: Money, quantity: int, changes: dict[str, Any], error: type) -> None:
    with pytest.raises(error):
        answer_offer(listed(**changes), POLICY, bid, quantity)


@settings(max_examples=150, deadline=None)
@given(
    bids=st.tuples(st.integers(1, 2500), st.integers(1, 2500)),
    stock=st.integers(1, 60),
    units=st.integers(0, 60),
    floor=st.one_of(st.none(), st.integers(1, 2600)),
)
def test_a_higher_bid_is_never_treated_worse(bids: tuple[int, int], stock: int, units: int, floor: int | None) -> None:
    request = listed(
        stock=stock,
        history=(PricePeriod(price=usd("20.00"), units=units, exposure_hours=14 * 24),),
        floor=None if floor is None else Money(amount_minor=floor, currency="USD"),
    )
    lower, higher = (answer_offer(request, POLICY, Money(amount_minor=bid, currency="USD")) for bid in sorted(bids))
    assert (lower.answer, higher.answer) != ("accept", "counter")
    assert lower.chance_agreed <= higher.chance_agreed
    for each in (lower, higher):
        if each.answer == "accept":
            assert each.offered >= min(each.lowest, each.listed)
        if each.counter is not None:
            assert max(each.lowest, each.offered) <= each.counter < each.listed
    more = answer_offer(request.model_copy(update={"stock": stock + 5}), POLICY, lower.offered)
    assert more.kept_is_worth <= lower.kept_is_worth, "the more there are, the less one is worth keeping"


def test_what_keeping_is_worth_is_the_difference_one_unit_makes() -> None:
    """value of n units less value of n − 1, by the policy's own count of sales, for one elasticity."""
    demand = POLICY.demand_of(listed())
    discount = POLICY.settings.discount
    expected = sum(
        weight * (sold_in_time(rate, 3, discount) - sold_in_time(rate, 2, discount)) / discount
        for weight, rate in zip(demand.weights, demand.rates(2000.0), strict=True)
    )
    net = answer_offer(listed(stock=3), POLICY, usd("20.00")).net.amount_minor
    assert answer_offer(listed(stock=3), POLICY, usd("18.00")).kept_is_worth.amount_minor == round(net * expected)


def _earned(request: QuoteRequest, accept_from: float, counter: float | None, rng: np.random.Generator) -> float:
    """Discounted profit of one shop until it is sold out: buyers at the price and bidders come, money waits."""
    rate = POLICY.demand_of(request).rate(2000.0)
    left, day, total = request.stock, 0.0, 0.0
    while left and day < 1500:
        day += rng.exponential(1 / (2 * rate))  # as many bid as buy
        price = 2000.0
        if rng.random() < 0.5:
            bid = 2000 * rng.uniform(0.55, 0.99)
            willing = bid * rng.random() ** -0.25
            price = bid if bid >= accept_from else (counter or 2000.0)
            if price > max(willing, bid):
                continue
        left -= 1
        total += np.exp(-POLICY.settings.discount * day) * (price * 0.88 - 30 - 1100)
    return total


@pytest.mark.parametrize(
    ("name", "changes"),
    [("the only one", {"stock": 1}), ("slow", {"stock": 1, "history": seldom(90)}), ("plenty", {"stock": 60})],
)
def test_it_earns_more_than_simple_rules(name: str, changes: dict[str, Any]) -> None:
    request = listed(**changes)
    told = answer_offer(request, POLICY, usd("11.00"))
    ask = None if told.counter is None else float(told.counter.amount_minor)
    rules = {
        "ours": (ask or 2000.0, ask),
        "never": (2000.0, None),
        "anything above the floor": (float(told.lowest.amount_minor), None),
    }
    runs = 60 if changes["stock"] > 1 else 600
    earned = {
        rule: np.array([_earned(request, *limits, np.random.default_rng(seed)) for seed in range(runs)])
        for rule, limits in rules.items()
    }
    for rule in ("never", "anything above the floor"):
        gain = earned["ours"] - earned[rule]
        assert gain.mean() >= -2 * gain.std() / runs**0.5, (name, rule)
    beaten = [rule for rule in rules if rule != "ours" and (earned["ours"] - earned[rule]).mean() > 0]
    assert beaten, f"{name}: no rule was beaten"
