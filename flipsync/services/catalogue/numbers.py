"""Amounts as people and spreadsheets write them ("1.234,50", "$12.50", "12.50 EUR"), read exactly or refused.

Whether "." or "," is the decimal mark is decided from the cells of a column (and its neighbours) that can be read one
way only. A cell that can be read two ways ("1,234") is refused unless that evidence settles it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Literal

from flipsync.domain.money import Money, minor_digits
from flipsync.services.catalogue.model import CellRefusedError

DecimalMark = Literal[".", ","]

_SPACES = "\\s\u00a0\u2009\u202f'\u2019"
_AMOUNT = re.compile(
    rf"(?P<open>\(?)\s*(?P<sign1>[-+\u2212]?)\s*(?P<before>(?:[^\d\s.,()+\-\u2212]+\.?)?)\s*(?P<sign2>[-+\u2212]?)\s*"
    rf"(?P<number>[0-9](?:[0-9.,{_SPACES}]*[0-9.,])?|[.,][0-9]+)(?:[.,]?[-\u2013\u2014])?\s*"
    rf"(?P<after>[^\d\s.,()+\-]*)\s*\)?"
)
_READABLE: dict[DecimalMark, re.Pattern[str]] = {
    ".": re.compile(
        rf"(?P<whole>[0-9]+|[1-9][0-9]{{0,2}}(?:[,{_SPACES}][0-9]{{3}})+|[1-9][0-9]?(?:,[0-9]{{2}})+,[0-9]{{3}})?"
        r"(?:\.(?P<part>[0-9]*))?"
    ),
    ",": re.compile(rf"(?P<whole>[0-9]+|[1-9][0-9]{{0,2}}(?:[.{_SPACES}][0-9]{{3}})+)?(?:,(?P<part>[0-9]*))?"),
}
_NOT_DIGIT = re.compile(r"[^0-9]")
_SCIENTIFIC = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)?[eE][+-]?[0-9]+")
_PLAIN = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,2})?", re.ASCII)

#: Longer cells are not amounts; the bound keeps integer conversion and the patterns above cheap.
_MAX_CHARS = 40

_DOLLARS = frozenset(
    {
        "USD",
        "CAD",
        "AUD",
        "NZD",
        "SGD",
        "HKD",
        "MXN",
        "ARS",
        "CLP",
        "COP",
        "TWD",
        "BBD",
        "BSD",
        "BZD",
        "FJD",
        "JMD",
        "LRD",
        "NAD",
        "TTD",
        "XCD",
    }
)
_KRONOR = frozenset({"SEK", "NOK", "DKK", "ISK"})
#: What a sign may stand for; a sign that cannot mean the import's currency refuses the cell.
_SIGNS: dict[str, frozenset[str]] = {
    "$": _DOLLARS,
    "us$": frozenset({"USD"}),
    "c$": frozenset({"CAD"}),
    "ca$": frozenset({"CAD"}),
    "a$": frozenset({"AUD"}),
    "au$": frozenset({"AUD"}),
    "nz$": frozenset({"NZD"}),
    "hk$": frozenset({"HKD"}),
    "s$": frozenset({"SGD"}),
    "r$": frozenset({"BRL"}),
    "€": frozenset({"EUR"}),
    "£": frozenset({"GBP", "EGP", "GIP", "FKP", "SHP"}),
    "¥": frozenset({"JPY", "CNY"}),
    "₹": frozenset({"INR"}),
    "rs": frozenset({"INR", "PKR", "LKR", "NPR", "MUR"}),
    "rs.": frozenset({"INR", "PKR", "LKR", "NPR", "MUR"}),
    "zł": frozenset({"PLN"}),
    "kč": frozenset({"CZK"}),
    "ft": frozenset({"HUF"}),
    "lei": frozenset({"RON"}),
    "kr": _KRONOR,
    "kr.": _KRONOR,
    "fr.": frozenset({"CHF"}),
    "₺": frozenset({"TRY"}),
    "₽": frozenset({"RUB"}),
    "₩": frozenset({"KRW"}),
    "₪": frozenset({"ILS"}),
    "₴": frozenset({"UAH"}),
    "₫": frozenset({"VND"}),
    "r": frozenset({"ZAR"}),
}


def _readings(number: str) -> dict[DecimalMark, tuple[str, str]]:
    """The ways a run of digits and separators can be read: decimal mark → (whole digits, fraction digits)."""
    found: dict[DecimalMark, tuple[str, str]] = {}
    for mark, pattern in _READABLE.items():
        match = pattern.fullmatch(number)
        if match and (match["whole"] or match["part"]):
            found[mark] = (_NOT_DIGIT.sub("", match["whole"] or "0"), (match["part"] or "").rstrip("0"))
    return found


def read_decimal(text: str, mark: DecimalMark | None) -> Decimal:
    """A number without sign of currency or unit. Raises CellRefusedError."""
    sign, whole, part, token = _parts(text, mark)
    if token:
        raise CellRefusedError("not a number")
    return Decimal(f"{sign}{whole}.{part or '0'}")


def _parts(text: str, mark: DecimalMark | None) -> tuple[str, str, str, str]:
    """Sign, whole digits, fraction digits and currency token of a cell. Raises CellRefusedError."""
    match = _AMOUNT.fullmatch(text) if len(text) <= _MAX_CHARS else None
    if match is None:
        if _SCIENTIFIC.fullmatch(text):
            raise CellRefusedError("scientific notation: a spreadsheet has damaged this number")
        raise CellRefusedError("not a number")
    ways = _readings(match["number"])
    if not ways:
        raise CellRefusedError("not a number: its separators make no sense")
    if len(set(ways.values())) == 1:
        whole, part = next(iter(ways.values()))
    elif mark is None:
        raise CellRefusedError(
            "ambiguous: the separator may mean thousands or decimals, and nothing in the file settles which"
        )
    else:
        whole, part = ways[mark]
    signs = match["sign1"] + match["sign2"]
    if len(signs) > 1:
        raise CellRefusedError("not a number: it has two signs")
    before, after = match["before"].strip(), match["after"].strip()
    if before and after and before.casefold() != after.casefold():
        raise CellRefusedError("not an amount: text on both sides of the number")
    return ("-" if match["open"] or signs in {"-", "\u2212"} else ""), whole, part, before or after


class Evidence:
    """Collects, per column, which decimal marks its unambiguous cells use."""

    def __init__(self, columns: Iterable[int]) -> None:
        self._seen: dict[int, set[DecimalMark]] = {column: set() for column in columns}
        self._known: dict[str, DecimalMark | None] = {}

    def add(self, column: int, text: str) -> None:
        """Note one cell. Blank, whole and unreadable cells prove nothing."""
        if not text or (text.isascii() and text.isdigit()):
            return
        if text in self._known:
            mark = self._known[text]
        else:
            mark = _proven_mark(text)
            if len(self._known) < 50_000:
                self._known[text] = mark
        if mark is not None:
            self._seen[column].add(mark)

    def conflicting(self) -> list[int]:
        """Columns in which both marks are in use as decimal marks."""
        return [column for column, marks in self._seen.items() if len(marks) == 2]

    def mark(self, column: int) -> DecimalMark | None:
        """The column's decimal mark: its own evidence, else that of all columns, where it is unanimous."""
        own = self._seen.get(column, set())
        marks = own or set[DecimalMark]().union(*self._seen.values())
        return next(iter(marks)) if len(marks) == 1 else None


def _proven_mark(text: str) -> DecimalMark | None:
    match = _AMOUNT.fullmatch(text.strip()) if len(text) <= _MAX_CHARS else None
    if match is None or not ("." in match["number"] or "," in match["number"]):
        return None
    ways = _readings(match["number"])
    return next(iter(ways)) if len(ways) == 1 else None


class AmountReader:
    """Reads the money cells of one column. Remembers what it has read: prices repeat."""

    def __init__(self, currency: str, mark: DecimalMark | None, *, max_minor: int) -> None:
        self._currency = currency
        self._digits = minor_digits(currency)
        self._mark = mark
        self._max_minor = max_minor
        self._known: dict[str, Money] = {}

    def __call__(self, text: str) -> Money:
        """An amount of zero or more. Raises CellRefusedError."""
        money = self._known.get(text)
        if money is None:
            money = self._read(text)
            if len(self._known) < 50_000:
                self._known[text] = money
        return money

    def _read(self, text: str) -> Money:
        if self._digits == 2 and _PLAIN.fullmatch(text):
            whole, _, part = text.partition(".")
            sign = token = ""
        else:
            sign, whole, part, token = _parts(text, self._mark)
        if token and not self._means_ours(token):
            raise CellRefusedError(
                f"the amount is in another currency than {self._currency}, or “{token}” does not belong in it"
            )
        if len(part) > self._digits:
            raise CellRefusedError(f"more decimals than {self._currency} has ({self._digits})")
        minor = int(whole + part.ljust(self._digits, "0"))
        if sign and minor:
            raise CellRefusedError("negative")
        if minor > self._max_minor:
            raise CellRefusedError("larger than any price this house deals with")
        return Money(amount_minor=minor, currency=self._currency)

    def _means_ours(self, token: str) -> bool:
        return token.upper() == self._currency or self._currency in _SIGNS.get(token.casefold(), frozenset())
