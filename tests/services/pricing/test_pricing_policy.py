"""The pricing policy: what it proposes, when it stays, and how it says so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from flipsync.domain.channel import RivalOffer
from flipsync.domain.money import CurrencyMismatchError, Money, usd
from flipsync.services.fees import stripe_us
from flipsync.services.pricing import (
    Because,
    PolicySettings,
    PricePeriod,
    PricingPolicy,
    QuoteRequest,
    floor_price,
    net_profit,
    percentage_plus_fixed,
)
from flipsync.services.pricing.demand import DemandPrior, learn, sold_in_time

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
POLICY = PricingPolicy()
MARKETPLACE = percentage_plus_fixed(
    "custom", Decimal(1200), usd("0.30"), valid_from=NOW - timedelta(days=30), source="account"
)


def cents(amount: int) -> Money:
    return Money(amount_minor=amount, currency="USD")


def rival(price: str, *, in_stock: bool = True, currency: str = "USD") -> RivalOffer:
    return RivalOffer(sku="A", seller="r", price=Money.parse(price, currency), in_stock=in_stock, seen_at=NOW)


def sold(price: str, units: int, days: float) -> PricePeriod:
    return PricePeriod(price=usd(price), units=units, exposure_hours=days * 24)


def request(**changes: Any) -> QuoteRequest:
    """A listing at 20.00 that cost 8.00, with plenty in stock, with `changes`."""
    values: dict[str, Any] = {
        "current": usd("20.00"),
        "at": NOW,
        "unit_cost": usd("8.00"),
        "shipping_cost": usd("3.00"),
        "fees": MARKETPLACE,
        "ceiling": usd("60.00"),
        "min_margin": usd("0.50"),
        "stock": 100,
    }
    return QuoteRequest(**{**values, **changes})


def test_a_price_below_its_best_is_raised() -> None:
    """with no history the elasticity is that of the prior, and 13.50 leaves hardly anything after fees."""
    quote = POLICY.quote(request(current=usd("13.50")))
    assert (quote.action, quote.because) == ("move", Because.UP)
    assert usd("13.50") < quote.best <= usd("14.85")
    assert "higher price" in quote.reason
    assert 0.5 < quote.confidence <= 1


def test_a_price_above_its_best_is_lowered_when_sales_show_it() -> None:
    history = (sold("24.00", 10, 20), sold("26.00", 4, 20), sold("22.00", 30, 20))
    quote = POLICY.quote(request(current=usd("26.00"), history=history))
    assert quote.because is Because.DOWN
    assert quote.elasticity is not None and quote.elasticity > 3.5
    assert quote.confidence > 0.9


def test_flat_demand_learnt_from_sales_raises_where_the_prior_would_lower() -> None:
    insensitive = (sold("20.00", 40, 40), sold("24.00", 40, 40), sold("17.00", 40, 40))
    prior_only = POLICY.quote(request(current=usd("24.00")))
    learnt = POLICY.quote(request(current=usd("24.00"), history=insensitive))
    assert learnt.elasticity is not None and prior_only.elasticity is not None
    assert learnt.elasticity < prior_only.elasticity
    assert learnt.because is Because.UP
    assert prior_only.best <= usd("24.00")


def test_the_margin_is_the_exact_net_profit() -> None:
    quote = POLICY.quote(request())
    assert quote.margin == net_profit(quote.best, usd("8.00"), usd("3.00"), MARKETPLACE, NOW).net


def test_alternatives_say_what_staying_would_earn() -> None:
    quote = POLICY.quote(request(current=usd("13.50")))
    assert quote.action == "move"
    assert usd("13.50") in {each.price for each in quote.alternatives}
    assert quote.best not in {each.price for each in quote.alternatives}
    stay = next(each for each in quote.alternatives if each.price == usd("13.50"))
    assert quote.expected_profit_per_day is not None and quote.expected_profit_per_day > stay.expected_profit_per_day
    assert all(each.why for each in quote.alternatives)


def test_goods_that_can_be_had_again_are_not_hoarded() -> None:
    """Two dozen that sell one a day are scarce only where there will be no more of them."""
    history = (sold("20.00", 14, 14),)
    known: dict[str, Any] = {"current": usd("20.00"), "stock": 24, "history": history}
    last, again, plenty = (
        POLICY.quote(request(**known | change))
        for change in ({}, {"restock_days": 5.0}, {"stock": 1_000_000, "restock_days": None})
    )
    assert last.best > again.best, "what is the last of its kind is waited with"
    assert again.best == plenty.best
    assert POLICY.quote(request(**known, restock_days=1e9)).best == last.best, "after ages is never"


def test_one_unit_is_worth_waiting_for() -> None:
    """Quantity-one goods: the last unit is sold once, so it is held for a better price than one of a hundred."""
    history = (sold("20.00", 20, 20),)
    many = POLICY.quote(request(history=history, max_step_up_bps=4_000, max_step_down_bps=4_000))
    single = POLICY.quote(request(history=history, max_step_up_bps=4_000, max_step_down_bps=4_000, stock=1))
    assert single.best > many.best


def test_old_stock_is_marked_down_and_fresh_stock_is_not() -> None:
    fresh = POLICY.quote(request(current=usd("19.50"), days_since_last_sale=5.0))
    old = POLICY.quote(request(current=usd("19.50"), days_since_last_sale=150.0))
    assert fresh.action == "hold"
    assert (old.action, old.because) == ("move", Because.STALE)
    assert old.best < usd("19.50")
    assert "150 days" in old.reason


def test_a_rival_is_met_only_where_it_pays() -> None:
    near = POLICY.quote(request(current=usd("20.00"), rivals=(rival("19.50"), rival("19.80"), rival("22.00"))))
    assert near.because is Because.RIVAL
    assert near.best <= usd("19.50")
    floor = floor_price(usd("8.00"), usd("3.00"), MARKETPLACE, NOW, min_margin=usd("0.50"))
    below_cost = POLICY.quote(request(current=floor + usd("0.50"), rivals=(rival("9.00"),)))
    assert below_cost.best >= floor


def test_rivals_without_stock_or_in_another_currency_do_not_count() -> None:
    alone = POLICY.quote(request())
    ghost = POLICY.quote(request(rivals=(rival("9.00", in_stock=False), rival("9.00", currency="EUR"))))
    assert ghost == alone


def test_a_race_to_the_bottom_ends_above_the_floor_and_does_not_circle() -> None:
    """A rival that always undercuts us by a cent: prices settle; nobody circles and the floor is never touched."""
    ours, path, left = usd("25.00"), [], list[Money]()
    floor = floor_price(usd("8.00"), usd("3.00"), MARKETPLACE, NOW, min_margin=usd("0.50"))
    for _ in range(120):
        theirs = ours - usd("0.01")
        quote = POLICY.quote(request(current=ours, rivals=(rival(theirs.plain()),), recent_prices=tuple(left[-5:])))
        if quote.best != ours:
            left.append(ours)
        ours = quote.best
        path.append(ours)
        assert ours >= floor
    assert len(set(path[-60:])) == 1, "the price came to rest"
    assert all(after <= before for before, after in pairwise(path)), "and never went up to come down again"


def test_going_back_to_a_price_left_lately_needs_a_larger_gain() -> None:
    history = (sold("20.00", 20, 20),)
    going = POLICY.quote(request(current=usd("16.50"), history=history))
    assert going.action == "move"
    patient = PricingPolicy(PolicySettings(return_factor=100.0))
    stuck = patient.quote(request(current=usd("16.50"), history=history, recent_prices=(going.best,)))
    assert (stuck.best, stuck.because) == (usd("16.50"), Because.NO_RETURN)


def test_repeated_quotes_come_to_rest() -> None:
    price, moves = usd("13.50"), 0
    for _ in range(40):
        quote = POLICY.quote(request(current=price))
        moves += quote.best != price
        price = quote.best
    assert quote.action == "hold"
    assert moves < 15


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"unit_cost": None}, "unit cost"),
        ({"unit_cost": usd("0.00")}, "unit cost"),
        ({"shipping_cost": None}, "shipping"),
        ({"fees": None}, "fees"),
        ({"fees": MARKETPLACE.model_copy(update={"rules": ()})}, "fees"),
        ({"ceiling": None}, "ceiling"),
        ({"current": usd("0.00")}, "current price"),
    ],
)
def test_without_the_facts_no_price_is_chosen(changes: dict[str, Any], words: str) -> None:
    quote = POLICY.quote(request(**changes))
    assert (quote.action, quote.because, quote.best) == ("blocked", Because.FACTS_MISSING, quote.current)
    assert words in quote.reason


def test_no_stock_no_move_and_no_room_no_price() -> None:
    assert POLICY.quote(request(stock=0)).because is Because.NO_STOCK
    blocked = POLICY.quote(request(unit_cost=usd("30.00")))
    assert (blocked.action, blocked.because, blocked.best) == ("blocked", Because.NO_ROOM, usd("20.00"))


def test_a_price_outside_its_bounds_comes_inside() -> None:
    low = POLICY.quote(request(floor=usd("21.00")))
    assert low.because is Because.OUT_OF_BOUNDS and usd("21.00") <= low.best <= usd("22.00")
    high = POLICY.quote(request(ceiling=usd("19.00")))
    assert high.because is Because.OUT_OF_BOUNDS and usd("18.00") <= high.best <= usd("19.00")


def test_mixed_currencies_and_impossible_amounts_are_errors() -> None:
    with pytest.raises(CurrencyMismatchError):
        POLICY.quote(request(unit_cost=Money.parse("8.00", "EUR")))
    with pytest.raises(ValidationError, match="check the digits"):
        request(current=cents(10**12))


prices = st.integers(50, 9_000).map(cents)
requests = st.builds(
    request,
    current=prices,
    unit_cost=prices,
    shipping_cost=st.integers(0, 900).map(cents),
    fees=st.sampled_from([MARKETPLACE, stripe_us(international=True)]),
    tax_bps=st.integers(0, 2_000),
    floor=st.none() | prices,
    ceiling=prices,
    min_margin=st.integers(0, 400).map(cents),
    min_margin_bps=st.integers(0, 2_000),
    max_step_up_bps=st.integers(1, 4_000),
    max_step_down_bps=st.integers(1, 4_000),
    rivals=st.lists(
        st.builds(
            RivalOffer,
            sku=st.just("A"),
            seller=st.just("r"),
            price=prices,
            in_stock=st.booleans(),
            seen_at=st.just(NOW),
        ),
        max_size=4,
    ).map(tuple),
    history=st.lists(
        st.builds(PricePeriod, price=prices, units=st.integers(0, 60), exposure_hours=st.floats(0, 2_000)), max_size=4
    ).map(tuple),
    stock=st.integers(0, 20),
    days_since_last_sale=st.floats(0, 400),
    recent_prices=st.lists(prices, max_size=3).map(tuple),
)


@given(requests)
@settings(max_examples=400, deadline=None)
def test_a_move_stays_within_every_bound_and_is_deterministic(given_: QuoteRequest) -> None:
    quote = POLICY.quote(given_)
    assert quote == POLICY.quote(given_)
    assert 0 <= quote.confidence <= 1
    if quote.action != "move":
        assert quote.best == given_.current
        return
    now, best = given_.current.amount_minor, quote.best.amount_minor
    assert given_.ceiling is not None and given_.min_margin is not None
    assert (given_.floor or cents(1)) <= quote.best <= given_.ceiling
    assert (best - now) * 10_000 <= now * given_.max_step_up_bps
    assert (now - best) * 10_000 <= now * given_.max_step_down_bps
    assert quote.margin is not None and quote.margin >= given_.min_margin
    assert quote.margin.amount_minor * 10_000 >= best * given_.min_margin_bps


# --- demand -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("truth", [1.5, 3.0, 4.5])
def test_the_posterior_finds_the_true_elasticity(truth: float) -> None:
    """Sales drawn from a known curve; with ample data the posterior mean is near it, with none it is the prior's."""
    rng = np.random.default_rng(11)
    history = [(p, int(rng.poisson(0.5 * 1_000 * (p / 2_000) ** -truth)), 1_000.0) for p in (1_500.0, 2_000.0, 2_600.0)]
    assert learn(DemandPrior(), 2_000.0, history, []).elasticity() == pytest.approx(truth, abs=0.4)
    nothing = learn(DemandPrior(), 2_000.0, [], [])
    assert 2.5 < nothing.elasticity() < 3.5, "the measured mean, cut at the lowest elasticity of the grid"


def test_the_posterior_rate_shrinks_from_the_prior_to_what_was_seen() -> None:
    prior = DemandPrior()
    seen = 0.05
    rates = [learn(prior, 2_000.0, [(2_000.0, round(seen * h), float(h))], []).rate(2_000.0) for h in (0, 400, 40_000)]
    assert rates[0] == pytest.approx(24 / prior.level_hours)
    assert rates[0] < rates[1] < rates[2]
    assert rates[2] == pytest.approx(seen * 24, rel=0.02)


def test_posterior_agrees_with_brute_force_integration() -> None:
    """The closed form against numerical integration over the level, for the same likelihood."""
    prior = DemandPrior(elasticities=4, lowest_elasticity=1.0, elasticity_step=1.0, level_hours=50.0)
    history = [(1_800.0, 7, 90.0), (2_200.0, 3, 120.0)]
    levels = np.linspace(1e-5, 0.6, 60_000)
    prior_hours = (210.0 + prior.level_hours) / 11
    weights, means = [], []
    for e, log_prior in zip(prior.grid(), prior.log_weights(), strict=True):
        log = log_prior + (prior.level_shape - 1) * np.log(levels) - prior_hours * levels
        for price, units, hours in history:
            rate = levels * hours * (price / 2_000.0) ** -e
            log = log + units * np.log(rate) - rate
        density = np.exp(log)
        weights.append(density.sum())
        means.append((density * levels).sum() / density.sum())
    demand = learn(prior, 2_000.0, history, [])
    assert demand.weights == pytest.approx(np.array(weights) / sum(weights), rel=1e-3)
    assert demand.levels == pytest.approx(means, rel=1e-3)


def test_discounted_sales_agree_with_simulation() -> None:
    """`sold_in_time` against discounted Poisson arrivals, of which only the first `stock` find goods."""
    rng = np.random.default_rng(5)
    rate, discount = 0.2, 1 / 60
    for stock in (1, 3, 10):
        arrivals = rng.exponential(1 / rate, (40_000, stock)).cumsum(axis=1)
        present = np.exp(-discount * arrivals).sum(axis=1) * discount
        error = 4 * present.std() / np.sqrt(present.size)
        assert sold_in_time(rate, stock, discount) == pytest.approx(present.mean(), abs=error)
    assert sold_in_time(rate, 10**6, discount) == pytest.approx(rate)
    assert sold_in_time(rate, 0, discount) == 0
