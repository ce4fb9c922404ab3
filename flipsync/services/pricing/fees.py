"""Dated fee tables and the exact fees of one sale.

Rounding: each rule's percentage part is rounded once to the minor unit by that rule's own mode, then its fixed part is
added and the sum held between its minimum and maximum. Card processors and the custom channel round half up (Stripe:
https://support.stripe.com/questions/rounding-rules-for-stripe-fees).
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
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
    fee = divide(base * term.ppm, PPM, term.rounding) + term.fixed
    if term.minimum is not None and fee < term.minimum:
        fee = term.minimum
    if term.maximum is not None and fee > term.maximum:
        fee = term.maximum
    return fee


class FeeRule(FeeValue):
    """One fee of a channel or payment processor, from `valid_from` on.

    `rate_bps` is basis points of the `basis` (290 = 2.9 %). A later rule of the same kind replaces an earlier one.
    VAT contained in the price can be told as a rule of its own: 20 % VAT takes 1666.67 bps of the item.
    """

    kind: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    rate_bps: RateBps = Decimal(0)
    fixed: Money | None = None
    minimum: Money | None = None
    maximum: Money | None = None
    basis: Basis = "item"
    rounding: Rounding = "half_up"
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
            for amount in (rule.fixed, rule.minimum, rule.maximum):
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


_STRIPE_SOURCE = "https://stripe.com/pricing (United States, online cards)"
_STRIPE_SINCE = datetime(2020, 1, 1, tzinfo=UTC)


def stripe_us(*, international: bool = False) -> FeeSchedule:
    """A WooCommerce shop paid through Stripe's US standard pricing: 2.9 % + 30¢ of all the card is charged.

    `international` adds the 1.5 % for cards issued abroad, for shops that sell there.
    """
    rules = [
        FeeRule(
            kind="payment_processing",
            rate_bps=Decimal(290),
            fixed=Money(amount_minor=30, currency="USD"),
            basis="total",
            valid_from=_STRIPE_SINCE,
            source=_STRIPE_SOURCE,
        )
    ]
    if international:
        rules.append(
            FeeRule(
                kind="international_card",
                rate_bps=Decimal(150),
                basis="total",
                valid_from=_STRIPE_SINCE,
                source=_STRIPE_SOURCE,
            )
        )
    return FeeSchedule(vendor="woocommerce", currency="USD", rules=tuple(rules))


def amazon_us() -> FeeSchedule:
    """Selling on Amazon.com: the referral fee of most categories, 15 % of price and shipping, at least 30¢ an item.

    Some categories cost less (electronics 8 %) and a few more (jewellery 20 %). The monthly plan is no fee of a sale.
    """
    rule = FeeRule(
        kind="referral",
        rate_bps=Decimal(1500),
        minimum=Money(amount_minor=30, currency="USD"),
        basis="item+shipping",
        valid_from=datetime(2020, 1, 1, tzinfo=UTC),
        source="https://sell.amazon.com/pricing (referral fees, United States, most categories)",
    )
    return FeeSchedule(vendor="amazon", currency="USD", rules=(rule,))


_EBAY_SOURCE = (
    "https://www.ebay.com/help/selling/fees-credits-invoices/selling-fees?id=4364 (no store, most categories)"
)


def ebay_us() -> FeeSchedule:
    """eBay.com without a store: a share of all the buyer pays, tax included, and a fee for each order.

    The order fee is 40 cents, and 30 for orders of up to 10 dollars: the higher one is taken for all.
    """
    rates = (("1325", datetime(2023, 2, 15, tzinfo=UTC)), ("1360", datetime(2025, 2, 14, tzinfo=UTC)))
    rules = tuple(
        FeeRule(
            kind="final_value",
            rate_bps=Decimal(rate),
            fixed=Money(amount_minor=40, currency="USD"),
            basis="total",
            valid_from=since,
            source=_EBAY_SOURCE,
        )
        for rate, since in rates
    )
    return FeeSchedule(vendor="ebay", currency="USD", rules=rules)


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
