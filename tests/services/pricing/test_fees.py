"""Fees to the cent, dated tables, and the exact floor price."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, ROUND_UP, Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from flipsync.domain.channel import ChannelOrder, ChannelOrderLine
from flipsync.domain.errors import InvalidInput
from flipsync.domain.money import CurrencyMismatchError, Money, usd
from flipsync.services.fees import FeeProfile, default_profile, published_schedule, stripe_us
from flipsync.services.pricing import (
    FeeRule,
    FeeSchedule,
    Sale,
    UnitEconomics,
    floor_price,
    net_profit,
    percentage_plus_fixed,
)
from flipsync.services.pricing.fees import FeeTerm, divide, term_fee

NOW = datetime(2026, 5, 1, tzinfo=UTC)
ZERO = usd("0.00")


def sale(item: str, shipping: str = "0.00", tax: str = "0.00") -> Sale:
    return Sale(item=usd(item), shipping=usd(shipping), tax=usd(tax))


def published(vendor: str, profile: FeeProfile | None = None) -> FeeSchedule:
    schedule = published_schedule(vendor, "USD", profile)
    assert schedule is not None
    return schedule


@pytest.mark.parametrize(
    ("amounts", "fee"),
    [
        (("100.00",), "3.20"),
        (("10.00",), "0.59"),
        (("19.99", "5.00", "2.00"), "1.08"),  # 2.9 % of 26.99 is 0.78271
        (("0.50",), "0.31"),  # 1.45 cents rounds down to 1
        (("5.00",), "0.45"),  # 14.5 cents rounds up to 15, as the processor documents
    ],
)
def test_stripe_charges_on_the_whole_card_amount(amounts: tuple[str, ...], fee: str) -> None:
    assert stripe_us().fees(sale(*amounts), NOW).total == usd(fee)


@pytest.mark.parametrize(
    ("amounts", "fee"),
    [
        (("100.00",), "15.00"),
        (("20.00", "5.00", "2.00"), "3.75"),  # shipping counts, tax does not
        (("1.00",), "0.30"),  # the least of an item
    ],
)
def test_amazon_takes_a_share_of_price_and_shipping(amounts: tuple[str, ...], fee: str) -> None:
    assert published("amazon").fees(sale(*amounts), NOW).total == usd(fee)


def test_shopify_charges_by_plan_and_the_basic_one_is_assumed() -> None:
    usual = default_profile("shopify")
    fees = [
        published("shopify", usual.model_copy(update={"plan": plan})).fees(sale("100.00", "5.00"), NOW).total
        for plan in ("basic", "grow", "advanced")
    ]
    assert fees == [usd("3.35"), usd("3.14"), usd("2.93")]  # 2.625 rounds up
    assert published("shopify") == published("shopify", usual) and published("shopify").vendor == "shopify"


def test_international_cards_are_a_line_of_their_own() -> None:
    breakdown = stripe_us(international=True).fees(sale("100.00"), NOW)
    assert {line.kind: str(line.amount) for line in breakdown.lines} == {
        "card_processing": "3.20 USD",
        "international_card": "1.50 USD",
    }
    assert breakdown.total == usd("4.70")


def rule(kind: str = "commission", **changes: object) -> FeeRule:
    values: dict[str, object] = {"rate_bps": Decimal(1000), "valid_from": NOW - timedelta(days=30), "source": "account"}
    return FeeRule.model_validate({"kind": kind, **values, **changes})


def schedule(*rules: FeeRule) -> FeeSchedule:
    return FeeSchedule(vendor="custom", currency="USD", rules=rules)


def test_a_later_rule_of_a_kind_replaces_the_earlier_from_its_day_on() -> None:
    table = schedule(rule(), rule(rate_bps=Decimal(1200), valid_from=NOW))
    assert table.fees(sale("10.00"), NOW - timedelta(seconds=1)).total == usd("1.00")
    assert table.fees(sale("10.00"), NOW).total == usd("1.20")


def test_a_fee_that_ended_is_no_longer_taken() -> None:
    table = schedule(rule(), rule("listing", rate_bps=Decimal(0), fixed=usd("0.35"), valid_until=NOW))
    assert table.fees(sale("10.00"), NOW - timedelta(seconds=1)).total == usd("1.35")
    assert table.fees(sale("10.00"), NOW).total == usd("1.00")


def test_minimum_and_maximum_hold_the_fee() -> None:
    table = schedule(rule(minimum=usd("0.50"), maximum=usd("5.00")))
    assert [table.fees(sale(item), NOW).total for item in ("1.00", "20.00", "90.00")] == [
        usd("0.50"),
        usd("2.00"),
        usd("5.00"),
    ]


def test_unknown_fees_are_an_error_not_zero() -> None:
    with pytest.raises(InvalidInput, match="no fee rule"):
        schedule(rule(valid_from=NOW + timedelta(days=1))).fees(sale("10.00"), NOW)
    free = percentage_plus_fixed("custom", Decimal(0), ZERO, valid_from=NOW, source="account")
    assert free.fees(sale("10.00"), NOW).total == ZERO


def test_currencies_do_not_mix() -> None:
    euros = Money.parse("10.00", "EUR")
    nothing = Money.zero("EUR")
    with pytest.raises(CurrencyMismatchError):
        stripe_us().fees(Sale(item=euros, shipping=nothing, tax=nothing), NOW)
    with pytest.raises(CurrencyMismatchError):
        floor_price(euros, nothing, stripe_us(), NOW)
    with pytest.raises(ValidationError, match="in EUR, the schedule in USD"):
        schedule(rule(fixed=Money.parse("0.30", "EUR")))


@pytest.mark.parametrize(
    "changes",
    [
        {"fixed": usd("-0.01")},
        {"minimum": usd("2.00"), "maximum": usd("1.00")},
        {"rate_bps": Decimal("290.001")},
        {"rate_bps": Decimal(10_000)},
        {"valid_until": NOW - timedelta(days=60)},
        {"source": ""},
    ],
)
def test_impossible_rules_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        rule(**changes)


def test_two_rules_of_a_kind_may_not_start_together() -> None:
    with pytest.raises(ValidationError, match="two rules"):
        schedule(rule(), rule(rate_bps=Decimal(1)))


def test_fees_of_a_real_order_use_its_own_amounts() -> None:
    line = ChannelOrderLine(
        external_id="1", listing_external_id="9", sku="A", title="A", quantity=2, total=usd("19.98"), tax=usd("1.60")
    )
    order = ChannelOrder(
        external_id="5",
        number="5",
        status="paid",
        vendor_status="processing",
        holds_stock=True,
        placed_at=NOW,
        modified_at=NOW,
        currency="USD",
        lines=(line, line.model_copy(update={"external_id": "2"})),
        shipping=usd("4.00"),
        tax=usd("3.20"),
        total=usd("47.16"),
    )
    assert stripe_us().fees(Sale.of_order(order), NOW).total == usd("1.67")  # 2.9 % of 47.16 is 1.36764


@given(st.integers(0, 10**12), st.sampled_from(["half_up", "half_even", "up"]))
def test_rounding_agrees_with_decimal(numerator: int, rounding: str) -> None:
    modes = {"half_up": ROUND_HALF_UP, "half_even": ROUND_HALF_EVEN, "up": ROUND_UP}
    expected = (Decimal(numerator) / 10_000).to_integral_value(rounding=modes[rounding])
    assert divide(numerator, 10_000, rounding) == expected  # type: ignore[arg-type]


def rising(told: list[tuple[int, int, int]]) -> tuple[tuple[int | None, int, int], ...]:
    """Brackets whose ends, rates and fixed amounts only rise, the last without end."""
    ends = sorted({end for end, _, _ in told})
    steps = zip(ends, sorted(ppm for _, ppm, _ in told), sorted(fixed for *_, fixed in told), strict=False)
    *before, last = list(steps)
    return (*before, (None, *last[1:]))


bracketed = st.lists(
    st.tuples(st.integers(1, 3_000), st.integers(0, 350_000), st.integers(0, 60)), min_size=1, max_size=3
).map(rising)
plain_terms = st.builds(
    FeeTerm,
    ppm=st.integers(0, 350_000),
    fixed=st.integers(0, 60),
    minimum=st.none() | st.integers(0, 80),
    maximum=st.none() | st.integers(100, 400),
    basis=st.sampled_from(["item", "item+shipping", "total"]),
    rounding=st.sampled_from(["half_up", "half_even", "up", "down"]),
    brackets=st.just(()),
    portions=st.just(False),
)
terms = st.builds(
    FeeTerm,
    ppm=st.integers(0, 350_000),
    fixed=st.integers(0, 60),
    minimum=st.none() | st.integers(0, 80),
    maximum=st.none() | st.integers(100, 400),
    basis=st.sampled_from(["item", "item+shipping", "total"]),
    rounding=st.sampled_from(["half_up", "half_even", "up", "down"]),
    brackets=st.just(()) | bracketed,
    portions=st.booleans(),
)
economics = st.builds(
    UnitEconomics,
    terms=st.lists(terms, min_size=1, max_size=4).map(tuple),
    unit_cost=st.integers(1, 900),
    shipping_cost=st.integers(0, 300),
    shipping_charged=st.integers(0, 300),
    tax_bps=st.integers(0, 2_500),
    min_margin=st.integers(0, 200),
    margin_bps=st.integers(0, 4_000),
)


@given(economics, st.integers(0, 3_000))
@settings(max_examples=300, deadline=None)
def test_floor_is_the_smallest_price_that_earns_the_margin(unit: UnitEconomics, at_least: int) -> None:
    horizon = 6_000
    brute = next((p for p in range(max(at_least, 1), horizon + 1) if unit.surplus(p) >= 0), None)
    assert unit.floor_price(at_least, horizon) == brute


@given(economics, st.integers(1, 10**9), st.integers(1, 500))
@settings(max_examples=300)
def test_fees_never_fall_when_the_price_rises(unit: UnitEconomics, price: int, more: int) -> None:
    """The property the floor search rests on."""
    assert unit.fees(price) <= unit.fees(price + more)
    assert unit.surplus(price + more) <= unit.surplus(price) + more


def test_the_floor_of_a_huge_cost_is_found_in_few_steps() -> None:
    unit = UnitEconomics(
        terms=stripe_us().terms(NOW), unit_cost=10**9, shipping_cost=0, tax_bps=800, min_margin=0, margin_bps=9_000
    )
    floor = unit.floor_price()
    assert floor is not None
    assert unit.surplus(floor) >= 0 > unit.surplus(floor - 1)


@pytest.mark.parametrize("margin_bps", [9_710, 9_999])
def test_a_margin_no_price_can_earn_is_reported(margin_bps: int) -> None:
    with pytest.raises(InvalidInput, match="no price earns"):
        floor_price(usd("5.00"), ZERO, stripe_us(), NOW, margin_bps=margin_bps)


def test_floor_price_in_money() -> None:
    floor = floor_price(usd("10.00"), usd("4.00"), stripe_us(), NOW, min_margin=usd("2.00"), tax_bps=800)
    profit = net_profit(floor, usd("10.00"), usd("4.00"), stripe_us(), NOW, tax_bps=800)
    assert profit.net >= usd("2.00")
    below = net_profit(floor - usd("0.01"), usd("10.00"), usd("4.00"), stripe_us(), NOW, tax_bps=800)
    assert below.net < usd("2.00")
    assert profit.price - profit.fees.total - profit.unit_cost - profit.shipping_cost == profit.net


def test_vat_inside_the_price_can_be_told_as_a_rule() -> None:
    table = schedule(rule("vat_included", rate_bps=Decimal("1666.67")))
    assert table.fees(sale("120.00"), NOW).total == usd("20.00")


@given(st.integers(0, 10**7), st.integers(0, 10**6), st.integers(0, 10**6), plain_terms)
def test_a_term_is_the_decimal_formula(item: int, shipping: int, tax: int, term: FeeTerm) -> None:
    base = {"item": item, "item+shipping": item + shipping, "total": item + shipping + tax}[term.basis]
    exact = Decimal(base) * term.ppm / 1_000_000
    mode = {"half_up": ROUND_HALF_UP, "half_even": ROUND_HALF_EVEN, "up": ROUND_UP, "down": "ROUND_DOWN"}[term.rounding]
    fee = int(exact.to_integral_value(rounding=mode)) + term.fixed
    fee = max(fee, term.minimum) if term.minimum is not None else fee
    fee = min(fee, term.maximum) if term.maximum is not None else fee
    assert term_fee(term, item, shipping, tax) == fee


brackets = st.lists(
    st.tuples(st.integers(1, 9_000), st.integers(0, 300_000), st.integers(0, 90)), min_size=1, max_size=3
)


@given(st.integers(0, 12_000), brackets, st.booleans())
def test_brackets_are_the_sum_of_their_portions_or_the_one_they_fall_into(
    base: int, told: list[tuple[int, int, int]], portions: bool
) -> None:
    ends = sorted({upto for upto, _, _ in told})
    steps = [(end, ppm, fixed) for end, (_, ppm, fixed) in zip(ends, told, strict=False)]
    steps = [*steps[:-1], (None, *steps[-1][1:])]  # type: ignore[list-item]
    term = FeeTerm(0, 0, None, None, "item", "down", tuple(steps), portions)
    share, fixed = Decimal(0), 0
    for cent in range(1, base + 1) if portions else [base]:
        _, ppm, fixed = next(step for step in steps if step[0] is None or cent <= step[0])
        share += Decimal(ppm) * (1 if portions else base)
    if not base:
        fixed = steps[0][2]
    assert term_fee(term, base, 0, 0) == int(share / 1_000_000) + fixed


@pytest.mark.parametrize(
    "wrong",
    [
        [{"upto": usd("10.00"), "rate_bps": "800"}],
        [{"upto": None, "rate_bps": "800"}, {"upto": None, "rate_bps": "900"}],
        [{"upto": usd("10.00"), "rate_bps": "900"}, {"upto": None, "rate_bps": "800"}],
    ],
)
def test_brackets_that_make_no_sense_are_refused(wrong: list[dict[str, object]]) -> None:
    with pytest.raises(ValueError, match=r"bracket|fall"):
        rule(brackets=wrong)


def test_ebay_takes_its_share_of_all_the_buyer_pays() -> None:
    before, after = datetime(2024, 6, 1, tzinfo=UTC), datetime(2025, 6, 1, tzinfo=UTC)
    sold = Sale(item=usd("100.00"), shipping=usd("10.00"), tax=usd("8.00"))
    assert published("ebay").fees(sold, before).total == usd("16.04")  # 13.25 % of 118 is 15.635
    assert published("ebay").fees(sold, after).total == usd("16.45")  # 13.6 % of 118 is 16.048
