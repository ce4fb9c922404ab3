"""What is printed under a barcode, or read off a page: GTIN, UPC, EAN, ISBN, ASIN. Checked by their own digits. Pure.

GTIN-8, -12, -13 and -14 of one article are one number with leading zeros (GS1 General Specifications 3.3); an ISBN-10
is the ISBN-13 of prefix 978 without it (ISO 2108), and on Amazon the ASIN of the printed book.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from flipsync.domain.errors import InvalidInput

CodeKind = Literal["gtin", "isbn", "asin"]
_ASIN = re.compile(r"B0[0-9A-Z]{8}")
_ISBN10 = re.compile(r"[0-9]{9}[0-9X]")
_LENGTHS = (8, 12, 13, 14)
#: what people write between digits
_BETWEEN = str.maketrans("", "", " -\u2010\u2011\u2012\u2013\u00a0")


@dataclass(frozen=True, slots=True)
class ProductCode:
    """One article. `gtin` has 14 digits; both are there where one follows from the other."""

    kind: CodeKind
    gtin: str | None = None
    asin: str | None = None

    @property
    def in_house(self) -> bool:
        """Numbers a shop gives out itself (GS1 prefixes 02, 04 and 2; of GTIN-8 0 and 2): others mean other goods."""
        if self.gtin is None or self.is_case:
            return False
        if self.gtin.startswith("000000"):
            return self.gtin[6] in "02"
        return self.gtin[1] == "2" or self.gtin[1:3] in ("02", "04")

    @property
    def is_case(self) -> bool:
        """A trade unit that holds several of an article (GTIN-14 with an indicator): another thing than the article."""
        return self.gtin is not None and self.gtin[0] != "0"


def check_digit(digits: str) -> int:
    """The last digit of a GTIN of any length, from those before it (GS1: weights 3 and 1 from the right)."""
    return -sum(int(digit) * (3 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(digits))) % 10


def isbn10_check(digits: str) -> str:
    """The last sign of an ISBN-10, from the nine digits before it (ISO 2108: modulus 11)."""
    rest = -sum(int(digit) * (10 - place) for place, digit in enumerate(digits)) % 11
    return "X" if rest == 10 else str(rest)


def isbn13(isbn10: str) -> str:
    """The ISBN-13 of an ISBN-10. Raises InvalidInput."""
    if not _ISBN10.fullmatch(isbn10) or isbn10_check(isbn10[:9]) != isbn10[9]:
        raise InvalidInput(f"{isbn10} is no ISBN-10: its last sign does not fit")
    whole = f"978{isbn10[:9]}"
    return f"{whole}{check_digit(whole)}"


def isbn10(isbn13: str) -> str | None:
    """The ISBN-10 of an ISBN-13; None for prefix 979, which has none."""
    return f"{isbn13[3:12]}{isbn10_check(isbn13[3:12])}" if isbn13.startswith("978") else None


def read_code(text: str) -> ProductCode | None:
    """What a text says when it is nothing but a code; None for other words.

    Raises InvalidInput for digits as long as a code whose check digit is wrong: scanned or copied badly.
    """
    plain = text.translate(_BETWEEN).upper().removeprefix("ISBN").lstrip(":")
    if _ASIN.fullmatch(plain):
        return ProductCode("asin", asin=plain)
    if _ISBN10.fullmatch(plain):
        return _of_book(isbn13(plain))
    if not plain.isascii() or not plain.isdigit() or len(plain) not in _LENGTHS:
        return None
    expected = check_digit(plain[:-1])
    if expected != int(plain[-1]):
        raise InvalidInput(
            f"{plain} is no barcode: its check digit would be {expected}",
            hint="scan it again, or look for a digit lost",
        )
    if int(plain) == 0:
        raise InvalidInput("a barcode of zeros is none")
    whole = plain.zfill(14)
    return _of_book(whole[1:]) if whole.startswith(("0978", "0979")) else ProductCode("gtin", gtin=whole)


def _of_book(number: str) -> ProductCode:
    return ProductCode("isbn", gtin=number.zfill(14), asin=isbn10(number))
