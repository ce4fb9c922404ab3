from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flipsync.domain.money import Money
from flipsync.services.catalogue.model import CellRefusedError
from flipsync.services.catalogue.numbers import AmountReader, Evidence, read_decimal
from flipsync.services.catalogue.units import check_digit, read_barcode, read_percent, read_quantity, read_weight


def amount(text: str, mark: str | None = None, currency: str = "EUR") -> int:
    return AmountReader(currency, mark, max_minor=10**12)(text).amount_minor


@pytest.mark.parametrize(
    ("text", "minor"),
    [
        ("12.50", 1250),
        ("12,5", 1250),
        ("12", 1200),
        ("12.5000", 1250),
        ("1.234,50", 123450),
        ("1,234.50", 123450),
        ("1'234.50", 123450),
        ("1\u202f234,50", 123450),
        ("1 234 567,8", 123456780),
        ("1,234,567", 123456700),
        ("€12,50", 1250),
        ("12,50 €", 1250),
        ("12.50 EUR", 1250),
        ("EUR 12.50", 1250),
        ("0,125 ", None),
        ("12,-", 1200),
        ("0.99", 99),
        (".99", 99),
        ("1234,5", 123450),
        ("-0", 0),
        ("12,34,567.00", 123456700),
    ],
)
def test_an_amount_that_reads_one_way_needs_no_evidence(text: str, minor: int | None) -> None:
    if minor is None:
        with pytest.raises(CellRefusedError, match="decimals"):
            amount(text.strip())
    else:
        assert amount(text) == minor


@pytest.mark.parametrize("text", ["1,234", "1.234", "123.456", "12,345", "$1,234"])
def test_an_amount_that_reads_two_ways_is_refused_without_evidence(text: str) -> None:
    with pytest.raises(CellRefusedError, match="ambiguous"):
        amount(text, currency="USD")


def test_evidence_settles_an_ambiguous_amount() -> None:
    assert amount("1,234", ".") == 123400
    assert amount("1.234", ",") == 123400
    with pytest.raises(CellRefusedError, match="more decimals"):
        amount("1,234", ",")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("-5", "negative"),
        ("(5.00)", "negative"),
        ("5-6", "not a number"),
        ("1.2.3", "separators"),
        ("abc", "not a number"),
        ("1E+3", "scientific"),
        ("$5", "another currency"),
        ("5 USD", "another currency"),
        ("5 apples", "another currency"),
        ("12.x", "“x” does not belong"),
        ("99999999999999", "larger"),
        ("9" * 400, "not a number"),
        ("٣", "not a number"),
        ("=1+1", "not a number"),
        ("1,23,4", "separators"),
        ("+-5", "two signs|not a number"),
    ],
)
def test_what_is_not_an_amount_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(CellRefusedError, match=reason):
        amount(text)


def test_a_dollar_sign_may_stand_for_any_dollar() -> None:
    assert amount("$5", currency="CAD") == 500
    assert amount("CA$5", currency="CAD") == 500
    with pytest.raises(CellRefusedError, match="another currency"):
        amount("CA$5", currency="AUD")


def test_minor_units_follow_the_currency() -> None:
    assert amount("1500", currency="JPY") == 1500
    assert amount("1.500", ".", currency="KWD") == 1500
    with pytest.raises(CellRefusedError, match="more decimals"):
        amount("15.5", currency="JPY")


@given(st.integers(0, 10**11), st.sampled_from([(".", ","), (",", ".")]), st.booleans())
def test_amounts_round_trip_through_both_conventions(minor: int, marks: tuple[str, str], grouped: bool) -> None:
    mark, group = marks
    whole, part = divmod(minor, 100)
    digits = f"{whole:,}".replace(",", group) if grouped else str(whole)
    assert amount(f"{digits}{mark}{part:02}", mark) == minor


@given(st.text(max_size=60))
def test_any_text_is_an_amount_or_refused(text: str) -> None:
    try:
        money = AmountReader("EUR", None, max_minor=10**12)(text)
    except CellRefusedError:
        return
    assert isinstance(money, Money)
    assert 0 <= money.amount_minor <= 10**12


def test_evidence_is_per_column_then_of_the_whole_file() -> None:
    evidence = Evidence([0, 1, 2])
    for cell in ("12,50", "1.234", "7"):
        evidence.add(0, cell)
    assert evidence.mark(0) == ","
    assert evidence.mark(1) == ","
    evidence.add(2, "3.5")
    assert (evidence.mark(0), evidence.mark(1), evidence.mark(2)) == (",", None, ".")
    assert evidence.conflicting() == []
    evidence.add(0, "12.50")
    assert evidence.mark(0) is None
    assert evidence.conflicting() == [0]


@pytest.mark.parametrize(
    ("text", "unit", "grams"),
    [
        ("1.5 kg", None, 1500),
        ("250", "g", 250),
        ("12 oz", "kg", 340),
        ("1 lb", None, 454),
        ("2,5kg", None, 2500),
        ("0.4", "mg", 1),
        ("0", "kg", None),
    ],
)
def test_weights_become_grams(text: str, unit: str | None, grams: int | None) -> None:
    assert read_weight(text, unit, None, max_grams=10**6) == grams


@pytest.mark.parametrize(
    ("text", "unit", "reason"),
    [
        ("5", None, "without its unit"),
        ("5 stones?", None, "not a weight"),
        ("5 parsec", None, "not a unit"),
        ("-5", "g", "negative"),
        ("1.250", "kg", "ambiguous"),
        ("5000 kg", None, "more than"),
        ("heavy", "kg", "not a weight"),
    ],
)
def test_weights_that_cannot_be_read_are_refused(text: str, unit: str | None, reason: str) -> None:
    with pytest.raises(CellRefusedError, match=reason):
        read_weight(text, unit, None, max_grams=10**6)


def test_quantities_are_whole() -> None:
    assert read_quantity("7", None, maximum=100) == 7
    assert read_quantity("7.0", None, maximum=100) == 7
    assert read_quantity("-3", None, maximum=100) == -3
    assert read_quantity("1,234", ".", maximum=10_000) == 1234
    for text in ("2.5", "101", "many", "1,234", "9" * 30):
        with pytest.raises(CellRefusedError):
            read_quantity(text, None, maximum=100)


@pytest.mark.parametrize(
    ("text", "percent"), [("20", "20"), ("20%", "20"), ("0.2", "20"), ("0.5%", "0.5"), ("0", "0"), ("7,7", "7.7")]
)
def test_tax_rates_are_percent(text: str, percent: str) -> None:
    assert read_percent(text, None) == Decimal(percent)


@pytest.mark.parametrize(
    ("text", "barcode"),
    [
        ("4006381333931", "4006381333931"),
        ("'4006381333931", "4006381333931"),
        ("4006381333931.0", "4006381333931"),
        ("036000291452", "036000291452"),
        ("96385074", "96385074"),
        ("0-306-40615-2", "9780306406157"),
        ("080442957X", "9780804429573"),
        ("10036000291459", "10036000291459"),
    ],
)
def test_barcodes_with_a_valid_check_digit_are_read(text: str, barcode: str) -> None:
    assert read_barcode(text) == barcode


@pytest.mark.parametrize("text", ["4006381333932", "36000291452", "ABC-123", "0-306-40615-3", "١٢٣٤٥٦٧٨", "12X4567890"])
def test_other_barcodes_are_refused(text: str) -> None:
    with pytest.raises(CellRefusedError):
        read_barcode(text)


@given(st.sampled_from([7, 11, 12, 13]).flatmap(lambda n: st.text("0123456789", min_size=n, max_size=n)), st.data())
def test_one_wrong_digit_is_always_noticed(payload: str, data: st.DataObject) -> None:
    code = payload + check_digit(payload)
    assert read_barcode(code) == code
    at = data.draw(st.integers(0, len(code) - 1))
    wrong = data.draw(st.sampled_from([d for d in "0123456789" if d != code[at]]))
    with pytest.raises(CellRefusedError):
        read_barcode(code[:at] + wrong + code[at + 1 :])


def test_decimals_carry_no_currency() -> None:
    assert read_decimal("1,5", None) == Decimal("1.5")
    with pytest.raises(CellRefusedError):
        read_decimal("$5", None)
