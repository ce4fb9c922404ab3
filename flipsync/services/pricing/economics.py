"""What one unit earns at a price, exactly, and the lowest price that earns enough.

net(p) = p + shipping charged - fees(p) - unit cost - shipping cost. Tax is collected for the state: it is no revenue,
but fees on the total are charged on it too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from flipsync.domain.errors import InvalidInput
from flipsync.domain.money import CurrencyMismatchError, Money
from flipsync.services.pricing.fees import (
    BPS,
    MAX_AMOUNT,
    PPM,
    FeeBreakdown,
    FeeSchedule,
    FeeTerm,
    FeeValue,
    Sale,
    divide,
    term_fee,
)

#: Jumps of the floor search; only rates of bounded rules that sum to nearly everything come near it.
MAX_JUMPS = 5_000


@dataclass(frozen=True, slots=True)
class UnitEconomics:
    """Costs, fees and the margin asked of one unit, in minor units of one currency; a single-unit order is assumed,
    the worst case for fees that are fixed per order."""

    terms: Sequence[FeeTerm]
    unit_cost: int
    shipping_cost: int
    shipping_charged: int = 0
    tax_bps: int = 0
    min_margin: int = 0
    margin_bps: int = 0

    def tax(self, price: int) -> int:
        return divide((price + self.shipping_charged) * self.tax_bps, BPS, "half_up")

    def fees(self, price: int) -> int:
        tax = self.tax(price)
        return sum(term_fee(term, price, self.shipping_charged, tax) for term in self.terms)

    def net(self, price: int) -> int:
        return price + self.shipping_charged - self.fees(price) - self.unit_cost - self.shipping_cost

    def required(self, price: int) -> int:
        """The margin asked: the amount, or the share of the price rounded up, whichever is more."""
        return max(self.min_margin, -(-price * self.margin_bps // BPS))

    def surplus(self, price: int) -> int:
        """Net profit beyond the margin asked; a price is acceptable when it is not negative."""
        return self.net(price) - self.required(price)

    def floor_price(self, at_least: int = 1, at_most: int = MAX_AMOUNT) -> int | None:
        """The smallest acceptable price in [at_least, at_most], or None.

        Fees and the margin asked never fall as the price rises, so surplus(p + d) <= surplus(p) + d: jumping up by the
        shortfall cannot pass an acceptable price. A rule without minimum or maximum takes at least rate * d - 1 of
        every rise d, and the margin asked is at least its share of p + d; both allow longer jumps, which land next to
        the answer at once.
        """
        rate, slack = open_rate(self.terms)
        keep, share = PPM - rate, self.margin_bps * (PPM // BPS)
        price = max(1, at_least)
        for _ in range(MAX_JUMPS):
            if price > at_most:
                return None
            net = self.net(price)
            jump = self.required(price) - net
            if jump <= 0:
                return price
            # (what is missing at `price`, in ppm of a minor unit; what every further minor unit brings, in ppm)
            for missing, gain in (
                ((jump - slack) * PPM, keep),
                (price * share - (net + slack) * PPM, keep - share),
            ):
                if missing > 0:
                    if gain <= 0:
                        return None
                    jump = max(jump, -(-missing // gain))
            price += jump
        return None


def open_rate(terms: Sequence[FeeTerm]) -> tuple[int, int]:
    """Sum of the least rates (ppm) of the rules without minimum and maximum, and their number."""
    rates = [term.least_ppm for term in terms if term.minimum is None and term.maximum is None]
    return sum(rates), len(rates)


class NetProfit(FeeValue):
    """What one sale at `price` leaves, and why."""

    price: Money
    fees: FeeBreakdown
    unit_cost: Money
    shipping_cost: Money
    net: Money


def net_profit(
    price: Money,
    unit_cost: Money,
    shipping_cost: Money,
    schedule: FeeSchedule,
    at: datetime,
    *,
    shipping_charged: Money | None = None,
    tax_bps: int = 0,
) -> NetProfit:
    """Exact profit of selling one unit. Raises CurrencyMismatchError, and InvalidInput when fees are unknown."""
    currency = price.currency
    shipping = shipping_charged or Money.zero(currency)
    tax_minor = divide((price.amount_minor + shipping.amount_minor) * tax_bps, BPS, "half_up")
    sale = Sale(item=price, shipping=shipping, tax=Money(amount_minor=tax_minor, currency=currency))
    fees = schedule.fees(sale, at)
    net = price + shipping - fees.total - unit_cost - shipping_cost
    return NetProfit(price=price, fees=fees, unit_cost=unit_cost, shipping_cost=shipping_cost, net=net)


def floor_price(
    unit_cost: Money,
    shipping_cost: Money,
    schedule: FeeSchedule,
    at: datetime,
    *,
    min_margin: Money | None = None,
    margin_bps: int = 0,
    shipping_charged: Money | None = None,
    tax_bps: int = 0,
) -> Money:
    """The smallest price whose net profit is at least `min_margin` and `margin_bps` of the price.

    Raises InvalidInput when fees are unknown or no price can earn it, CurrencyMismatchError for mixed currencies.
    """
    amounts = [unit_cost, shipping_cost, *(x for x in (min_margin, shipping_charged) if x is not None)]
    if any(amount.currency != schedule.currency for amount in amounts):
        raise CurrencyMismatchError(f"costs and fees must all be in {schedule.currency}")
    terms = schedule.terms(at)
    if not terms:
        raise InvalidInput(f"no fee rule of {schedule.vendor} is in force at {at.isoformat()}")
    found = UnitEconomics(
        terms=terms,
        unit_cost=unit_cost.amount_minor,
        shipping_cost=shipping_cost.amount_minor,
        shipping_charged=shipping_charged.amount_minor if shipping_charged else 0,
        tax_bps=tax_bps,
        min_margin=min_margin.amount_minor if min_margin else 0,
        margin_bps=margin_bps,
    ).floor_price()
    if found is None:
        raise InvalidInput(
            "no price earns this margin after fees",
            hint="Lower the margin, or check the fee rates: together they take the whole price.",
        )
    return Money(amount_minor=found, currency=schedule.currency)
