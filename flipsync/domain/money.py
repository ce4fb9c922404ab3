"""Money as integer minor units with an ISO 4217 currency; no float ever holds an amount.

Minor-unit exponents: ISO 4217 list one (SIX Group, the maintenance agency); currencies not named here have two.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

_ZERO_DECIMALS = frozenset("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split())
_THREE_DECIMALS = frozenset("BHD IQD JOD KWD LYD OMR TND".split())
_PLAIN_DECIMAL = re.compile(r"[+-]?\d+(\.\d+)?")

#: PostgreSQL bigint; larger amounts are a mistake, not a price.
MAX_MINOR = 2**63 - 1
#: more than any amount has before its decimal point
_MOST_DIGITS = 20

Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217 code", examples=["USD"])]


class CurrencyMismatchError(ValueError):
    """Two amounts of different currencies were combined; convert one first, at a rate that is on record."""


def minor_digits(currency: str) -> int:
    """Digits after the decimal point: 2 for USD, 0 for JPY, 3 for KWD."""
    if currency in _ZERO_DECIMALS:
        return 0
    return 3 if currency in _THREE_DECIMALS else 2


class Money(BaseModel):
    """An exact amount. `Money(amount_minor=1999, currency="USD")` is nineteen dollars and ninety-nine cents."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    amount_minor: int = Field(strict=True, ge=-MAX_MINOR, le=MAX_MINOR, description="integer minor units (cents)")
    currency: Currency

    @classmethod
    def parse(cls, text: str, currency: str) -> Self:
        """From a plain decimal string ("19.99"). Never rounds: ValueError for "12,5", "", "1e3" or "1.999" USD."""
        cleaned = text.strip()
        if not _PLAIN_DECIMAL.fullmatch(cleaned):
            raise ValueError(f"{text!r} is not an amount: write digits with a decimal point, e.g. 19.99")
        return cls.from_decimal(Decimal(cleaned), currency)

    @classmethod
    def from_decimal(cls, value: Decimal, currency: str) -> Self:
        """Exact conversion; raises ValueError when the currency has fewer decimals than `value`."""
        if not value.is_finite() or value.adjusted() > _MOST_DIGITS:
            raise ValueError(f"{value} is out of range for an amount")
        scaled = value.scaleb(minor_digits(currency))
        try:
            minor = int(scaled.to_integral_exact())
        except InvalidOperation as error:
            raise ValueError(f"{value} is out of range for an amount") from error
        if minor != scaled:
            raise ValueError(f"{value} has more decimals than {currency} allows ({minor_digits(currency)})")
        return cls(amount_minor=minor, currency=currency)

    @classmethod
    def round_decimal(cls, value: Decimal, currency: str, rounding: str = ROUND_HALF_EVEN) -> Self:
        """Nearest minor unit; `rounding` is one of decimal's modes."""
        minor = int(value.scaleb(minor_digits(currency)).to_integral_value(rounding=rounding))
        return cls(amount_minor=minor, currency=currency)

    @classmethod
    def zero(cls, currency: str) -> Self:
        return cls(amount_minor=0, currency=currency)

    @classmethod
    def total(cls, amounts: Iterable[Money], currency: str) -> Self:
        """Sum of `amounts`; zero `currency` when there are none."""
        minor = 0
        for amount in amounts:
            if amount.currency != currency:
                raise CurrencyMismatchError(f"cannot add {amount.currency} to {currency}")
            minor += amount.amount_minor
        return cls(amount_minor=minor, currency=currency)

    def decimal(self) -> Decimal:
        return Decimal(self.amount_minor).scaleb(-minor_digits(self.currency))

    def plain(self) -> str:
        """Decimal string without sign of currency, as channels' APIs expect: "19.90"."""
        return f"{self.decimal():.{minor_digits(self.currency)}f}"

    def times(self, factor: Decimal, rounding: str = ROUND_HALF_EVEN) -> Self:
        """Product with an exact factor, rounded once to the minor unit."""
        return type(self).round_decimal(self.decimal() * factor, self.currency, rounding)

    def _same(self, other: Money) -> None:
        if self.currency != other.currency:
            raise CurrencyMismatchError(f"{self.currency} and {other.currency} cannot be combined")

    def __add__(self, other: Money) -> Self:
        self._same(other)
        return type(self)(amount_minor=self.amount_minor + other.amount_minor, currency=self.currency)

    def __sub__(self, other: Money) -> Self:
        self._same(other)
        return type(self)(amount_minor=self.amount_minor - other.amount_minor, currency=self.currency)

    def __mul__(self, quantity: int) -> Self:
        if not isinstance(quantity, int) or isinstance(quantity, bool):
            raise TypeError("money is multiplied by whole numbers; use times() for a Decimal factor")
        return type(self)(amount_minor=self.amount_minor * quantity, currency=self.currency)

    def __neg__(self) -> Self:
        return type(self)(amount_minor=-self.amount_minor, currency=self.currency)

    def __lt__(self, other: Money) -> bool:
        self._same(other)
        return self.amount_minor < other.amount_minor

    def __le__(self, other: Money) -> bool:
        self._same(other)
        return self.amount_minor <= other.amount_minor

    def __gt__(self, other: Money) -> bool:
        return other < self

    def __ge__(self, other: Money) -> bool:
        return other <= self

    def __bool__(self) -> bool:
        return self.amount_minor != 0

    def __str__(self) -> str:
        return f"{self.plain()} {self.currency}"


def usd(text: str) -> Money:
    """`usd("25.00")`: shorthand for declarations."""
    return Money.parse(text, "USD")
