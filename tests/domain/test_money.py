"""Money: exact, in one currency, and never guessed from a text that could mean two things."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from flipsync.domain.money import MAX_MINOR, CurrencyMismatchError, Money, minor_digits, usd

CURRENCIES = st.sampled_from(["USD", "EUR", "JPY", "KRW", "KWD", "BHD", "CHF"])
AMOUNTS = st.integers(-(10**15), 10**15)
MONEY = st.builds(Money, amount_minor=AMOUNTS, currency=CURRENCIES)
DOLLARS = st.builds(Money, amount_minor=AMOUNTS, currency=st.just("USD"))


@given(MONEY)
def test_plain_text_reads_back_as_the_same_amount(money: Money) -> None:
    assert Money.parse(money.plain(), money.currency) == money
    assert Money.from_decimal(money.decimal(), money.currency) == money


@pytest.mark.parametrize(
    ("currency", "digits", "plain"), [("JPY", 0, "1234"), ("USD", 2, "12.34"), ("KWD", 3, "1.234")]
)
def test_each_currency_has_its_own_decimals(currency: str, digits: int, plain: str) -> None:
    assert minor_digits(currency) == digits
    assert Money(amount_minor=1234, currency=currency).plain() == plain


@pytest.mark.parametrize(
    ("text", "currency"),
    [
        *(
            (text, "USD")
            for text in ("", " ", "12,5", "1,234.00", "1e3", "$5", "5 USD", "NaN", "Infinity", "1.999", ".5")
        ),
        ("5.", "USD"),
        ("1.5", "JPY"),
        ("1.2345", "KWD"),
        ("９９", "JPY" * 2),
    ],
)
def test_a_text_that_is_no_plain_amount_is_refused_not_rounded(text: str, currency: str) -> None:
    with pytest.raises(ValueError):
        Money.parse(text, currency)


def test_more_decimals_are_fine_when_they_say_nothing() -> None:
    assert Money.parse(" 19.9900 ", "USD") == usd("19.99")
    assert Money.parse("500.000", "JPY") == Money(amount_minor=500, currency="JPY")


@given(DOLLARS, DOLLARS, st.integers(0, 1000))
def test_arithmetic_is_that_of_integers(one: Money, two: Money, times: int) -> None:
    assert (one + two).amount_minor == one.amount_minor + two.amount_minor
    assert one + two - two == one
    assert (one * times).amount_minor == one.amount_minor * times
    assert -(-one) == one
    assert (one < two) == (one.amount_minor < two.amount_minor)
    assert (one <= two) != (one > two)
    assert Money.total([one, two, one], "USD") == one + two + one


@given(DOLLARS, st.decimals(-100, 100, places=4))
def test_a_product_is_rounded_once_to_the_nearest_cent(money: Money, factor: Decimal) -> None:
    exact = Decimal(money.amount_minor) * factor
    assert abs(money.times(factor).amount_minor - exact) <= Decimal("0.5")


@given(MONEY, MONEY)
def test_currencies_never_mix(one: Money, two: Money) -> None:
    if one.currency == two.currency:
        return
    assert one != two
    for combine in (
        lambda: one + two,
        lambda: one - two,
        lambda: one < two,
        lambda: one >= two,
        lambda: Money.total([one, two], one.currency),
    ):
        with pytest.raises(CurrencyMismatchError):
            combine()


@pytest.mark.parametrize("amount", [1.0, "5", True, None, MAX_MINOR + 1, -MAX_MINOR - 1])
def test_an_amount_is_an_integer_that_fits_the_books(amount: object) -> None:
    with pytest.raises(ValidationError):
        Money(amount_minor=amount, currency="USD")  # type: ignore[arg-type]


@pytest.mark.parametrize("currency", ["", "usd", "US", "USDT", "U5D"])
def test_a_currency_is_three_capital_letters(currency: str) -> None:
    with pytest.raises(ValidationError):
        Money(amount_minor=1, currency=currency)


@pytest.mark.parametrize("factor", [1.5, Decimal(2), True])
def test_money_is_multiplied_by_whole_numbers_only(factor: object) -> None:
    with pytest.raises(TypeError):
        usd("1.00") * factor  # type: ignore[operator]


def test_money_does_not_change_and_can_be_a_key() -> None:
    price = usd("1.00")
    with pytest.raises(ValidationError):
        price.amount_minor = 5
    assert {price: 1}[usd("1.00")] == 1
    assert str(price) == "1.00 USD"
    assert not Money.zero("USD") and price


@pytest.mark.parametrize("text", ["1e999999", "-1E400", "1e22", "NaN", "Infinity"])
def test_what_is_beyond_all_amounts_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="out of range"):
        Money.from_decimal(Decimal(text), "USD")
