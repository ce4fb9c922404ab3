"""Codes read as they are scanned, copied and typed."""

from __future__ import annotations

import pytest

from flipsync.domain.errors import InvalidInput
from flipsync.domain.product_codes import check_digit, isbn10, isbn13, read_code


@pytest.mark.parametrize(
    ("text", "gtin", "asin"),
    [
        ("4006381333931", "04006381333931", None),  # EAN-13 (GS1's own example digits)
        ("036000291452", "00036000291452", None),  # UPC-A
        ("0 36000 29145 2", "00036000291452", None),
        ("73513537", "00000073513537", None),  # EAN-8
        ("0-306-40615-2", "09780306406157", "0306406152"),  # ISBN-10 (ISO 2108's example)
        ("978-0-306-40615-7", "09780306406157", "0306406152"),
        ("ISBN 080442957X", "09780804429573", "080442957X"),
        ("979-10-90636-07-1", "09791090636071", None),  # prefix 979 has no ISBN-10
        ("b08n5wrwnw", None, "B08N5WRWNW"),
    ],
)
def test_codes_of_all_kinds_are_one_number(text: str, gtin: str | None, asin: str | None) -> None:
    code = read_code(text)
    assert code is not None
    assert (code.gtin, code.asin) == (gtin, asin)


@pytest.mark.parametrize("text", ["4006381333932", "036000291453", "0306406153", "00000000", "12345678"])
def test_a_digit_read_badly_is_told(text: str) -> None:
    with pytest.raises(InvalidInput):
        read_code(text)


@pytest.mark.parametrize("text", ["Desk lamp", "2023", "M-65 Field Jacket", "B0SHORT", "٤٠٠٦٣٨١٣٣٣٩٣١", ""])
def test_words_are_no_code(text: str) -> None:
    assert read_code(text) is None


def test_every_single_wrong_digit_of_a_barcode_is_noticed() -> None:
    right = "4006381333931"
    for place, digit in enumerate(right):
        for other in "0123456789".replace(digit, ""):
            wrong = right[:place] + other + right[place + 1 :]
            assert check_digit(wrong[:-1]) != int(wrong[-1])


def test_isbns_go_both_ways() -> None:
    for number in ("0306406152", "080442957X", "1861972717"):
        assert isbn10(isbn13(number)) == number


def test_numbers_of_a_shop_and_cases_are_told_apart() -> None:
    own, case, article = (read_code(text) for text in ("2012345678903", "10614141000415", "9520000010379"))
    assert own is not None and own.in_house and not own.is_case
    assert case is not None and case.is_case and not case.in_house
    assert article is not None and not article.in_house and not article.is_case
