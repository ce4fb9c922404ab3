"""Dated fee tables and the exact fees of one sale.

Rounding: each rule's percentage part is rounded once to the minor unit by that rule's own mode, then its fixed part is
added and the sum held between its minimum and maximum. Card processors and the custom channel round half up (Stripe:
https://support.stripe.com/questions/rounding-rules-for-stripe-fees).
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from flipsync.domain.channel import ChannelOrder, Vendor
from flipsync.domain.errors import InvalidInput
from flipsync.domain.money import Currency, CurrencyMismatchError, Money

Basis = Literal["item", "item+shipping", "total"]
Rounding = Literal["half_up", "half_even", "up", "down"]

PPM = 1_000_000
BPS = 10_000
#: The highest amount the pricing kernel handles, so that 64-bit products of amounts and rates cannot overflow.
MAX_AMOUNT = 10**11


def _two_decimals(rate: Decimal) -> Decimal:
    if rate * 100 != int(rate * 100):
        raise ValueError("a rate has at most two decimals of a basis point (0.0001 %)")
    return rate


RateBps = Annotated[Decimal, Field(ge=0, lt=10_000), AfterValidator(_two_decimals)]


class FeeValue(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FeeTerm(NamedTuple):
    """A fee rule in integers: parts per million of the base, and minor units. What the arithmetic runs on."""

    ppm: int
    fixed: int
    minimum: int | None
    maximum: int | None
    basis: Basis
    rounding: Rounding
    #: (base up to and with, ppm, fixed) in rising order, the last without end; with them `ppm` and `fixed` are not used
    brackets: tuple[tuple[int | None, int, int], ...] = ()
    #: each bracket's rate is for its own portion of the base, not for all of it
    portions: bool = False

    @property
    def least_ppm(self) -> int:
        """What every further minor unit of the base costs at least."""
        return min((ppm for _, ppm, _ in self.brackets), default=self.ppm)


def divide(numerator: int, denominator: int, rounding: Rounding) -> int:
    """Exact rounding of a non-negative fraction to an integer."""
    if rounding == "half_up":
        return (numerator + denominator // 2) // denominator
    if rounding == "down":
        return numerator // denominator
    if rounding == "up":
        return -(-numerator // denominator)
    quotient, rest = divmod(numerator, denominator)
    return quotient + (2 * rest > denominator or (2 * rest == denominator and quotient % 2 == 1))


def term_fee(term: FeeTerm, item: int, shipping: int, tax: int) -> int:
    """The fee of one rule in minor units; never falls when an amount rises."""
    base = item
    if term.basis != "item":
        base += shipping
    if term.basis == "total":
        base += tax
    share, fixed = (base * term.ppm, term.fixed) if not term.brackets else _bracketed(term, base)
    fee = divide(share, PPM, term.rounding) + fixed
    if term.minimum is not None and fee < term.minimum:
        fee = term.minimum
    if term.maximum is not None and fee > term.maximum:
        fee = term.maximum
    return fee


def _bracketed(term: FeeTerm, base: int) -> tuple[int, int]:
    """Share in ppm of a minor unit, and the fixed part."""
    share, begin = 0, 0
    for upto, ppm, fixed in term.brackets:
        inside = upto is None or base <= upto
        share += ((base if inside or upto is None else upto) - begin) * ppm
        if inside:
            return (share if term.portions else base * ppm), fixed
        begin = upto or 0
    raise AssertionError("the last bracket has no end")


class FeeBracket(FeeValue):
    """`rate_bps` and `fixed` for a base of at most `upto` (None: without end)."""

    upto: Money | None
    rate_bps: RateBps = Decimal(0)
    fixed: Money | None = None


class FeeRule(FeeValue):
    """One fee of a channel or payment processor, from `valid_from` on.

    `rate_bps` is basis points of the `basis` (290 = 2.9 %). A later rule of the same kind replaces an earlier one.
    VAT contained in the price can be told as a rule of its own: 20 % VAT takes 1666.67 bps of the item.
    `brackets` take the place of rate and fixed amount: the one the base falls into is for all of it or, with
    `portions`, each is for its own portion. A fee must not fall as the price rises (floor prices depend on it).
    """

    kind: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    rate_bps: RateBps = Decimal(0)
    fixed: Money | None = None
    minimum: Money | None = None
    maximum: Money | None = None
    basis: Basis = "item"
    rounding: Rounding = "half_up"
    brackets: tuple[FeeBracket, ...] = ()
    portions: bool = False
    valid_from: AwareDatetime
    valid_until: AwareDatetime | None = None
    source: str = Field(min_length=1, description="document or account setting the numbers come from")

    @model_validator(mode="after")
    def _amounts_make_sense(self) -> Self:
        for amount in (self.fixed, self.minimum, self.maximum):
            if amount is not None and amount.amount_minor < 0:
                raise ValueError("a fee is never negative")
            if amount is not None and amount.amount_minor > MAX_AMOUNT:
                raise ValueError("the amount is too large for a fee")
        if self.minimum is not None and self.maximum is not None and self.maximum < self.minimum:
            raise ValueError("the maximum fee is below the minimum fee")
        ends = [bracket.upto.amount_minor for bracket in self.brackets if bracket.upto is not None]
        if self.brackets and (self.brackets[-1].upto is not None or len(ends) != len(self.brackets) - 1):
            raise ValueError("the last bracket, and only the last, has no end")
        if ends != sorted(set(ends)):
            raise ValueError("brackets come in rising order")
        levels = [(each.rate_bps, each.fixed.amount_minor if each.fixed else 0) for each in self.brackets]
        if any(after[1] < before[1] for before, after in pairwise(levels)) or (
            not self.portions and any(after[0] < before[0] for before, after in pairwise(levels))
        ):
            raise ValueError("a fee must not fall as the price rises: give the higher rate, or portions")
        if self.valid_until is not None and self.valid_until <= self.valid_from:
            raise ValueError("valid_until must be after valid_from")
        return self

    def term(self) -> FeeTerm:
        return FeeTerm(
            ppm=int(self.rate_bps * 100),
            fixed=self.fixed.amount_minor if self.fixed else 0,
            minimum=None if self.minimum is None else self.minimum.amount_minor,
            maximum=None if self.maximum is None else self.maximum.amount_minor,
            basis=self.basis,
            rounding=self.rounding,
            brackets=tuple(
                (
                    None if each.upto is None else each.upto.amount_minor,
                    int(each.rate_bps * 100),
                    each.fixed.amount_minor if each.fixed else 0,
                )
                for each in self.brackets
            ),
            portions=self.portions,
        )


class FeeLine(FeeValue):
    kind: str
    amount: Money
    source: str


class FeeBreakdown(FeeValue):
    """Every fee of one sale and their sum."""

    lines: tuple[FeeLine, ...]
    total: Money


class Sale(FeeValue):
    """The amounts fees are taken from: goods after discounts, shipping charged to the buyer, tax added on top."""

    item: Money
    shipping: Money
    tax: Money

    @model_validator(mode="after")
    def _one_currency(self) -> Self:
        if not self.item.currency == self.shipping.currency == self.tax.currency:
            raise ValueError("a sale has one currency")
        if min(self.item.amount_minor, self.shipping.amount_minor, self.tax.amount_minor) < 0:
            raise ValueError("a sale has no negative amounts; refunds are their own documents")
        return self

    @classmethod
    def of_order(cls, order: ChannelOrder) -> Self:
        item = Money.total((line.total for line in order.lines), order.currency)
        return cls(item=item, shipping=order.shipping, tax=order.tax)


class FeeSchedule(FeeValue):
    """All fees of one channel account. No rule in force means the fees are unknown, not that there are none."""

    vendor: Vendor
    currency: Currency
    rules: tuple[FeeRule, ...] = ()

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        seen: set[tuple[str, datetime]] = set()
        for rule in self.rules:
            bracketed = (amount for each in rule.brackets for amount in (each.upto, each.fixed))
            for amount in (rule.fixed, rule.minimum, rule.maximum, *bracketed):
                if amount is not None and amount.currency != self.currency:
                    raise ValueError(f"rule {rule.kind} is in {amount.currency}, the schedule in {self.currency}")
            if (rule.kind, rule.valid_from) in seen:
                raise ValueError(f"two rules of kind {rule.kind} start at {rule.valid_from.isoformat()}")
            seen.add((rule.kind, rule.valid_from))
        return self

    def in_force(self, at: datetime) -> tuple[FeeRule, ...]:
        """The rules that hold at `at`, one per kind, in the order of the table."""
        newest: dict[str, FeeRule] = {}
        for rule in self.rules:
            held = newest.get(rule.kind)
            if rule.valid_from <= at and (held is None or rule.valid_from > held.valid_from):
                newest[rule.kind] = rule
        return tuple(rule for rule in newest.values() if rule.valid_until is None or at < rule.valid_until)

    def terms(self, at: datetime) -> tuple[FeeTerm, ...]:
        return tuple(rule.term() for rule in self.in_force(at))

    def fees(self, sale: Sale, at: datetime) -> FeeBreakdown:
        """Exact fees of `sale` at that time. Raises InvalidInput when no rule is in force (unknown is not zero)."""
        if sale.item.currency != self.currency:
            raise CurrencyMismatchError(f"fees are in {self.currency}, the sale in {sale.item.currency}")
        rules = self.in_force(at)
        if not rules:
            raise InvalidInput(
                f"no fee rule of {self.vendor} is in force at {at.isoformat()}",
                hint="Give the account's fees; where it really charges nothing, say so with a rule of 0.",
            )
        amounts = (sale.item.amount_minor, sale.shipping.amount_minor, sale.tax.amount_minor)
        lines = tuple(
            FeeLine(
                kind=rule.kind,
                amount=Money(amount_minor=term_fee(rule.term(), *amounts), currency=self.currency),
                source=rule.source,
            )
            for rule in rules
        )
        return FeeBreakdown(lines=lines, total=Money.total((line.amount for line in lines), self.currency))


def percentage_plus_fixed(
    vendor: Vendor,
    rate_bps: Decimal,
    fixed: Money,
    *,
    valid_from: datetime,
    source: str,
    basis: Basis = "item+shipping",
    kind: str = "commission",
) -> FeeSchedule:
    """A schedule of one rule, as a channel account reports it: `rate_bps` of the basis plus `fixed` per order."""
    rule = FeeRule(kind=kind, rate_bps=rate_bps, fixed=fixed, basis=basis, valid_from=valid_from, source=source)
    return FeeSchedule(vendor=vendor, currency=fixed.currency, rules=(rule,))
