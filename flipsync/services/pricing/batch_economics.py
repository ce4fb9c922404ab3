"""Fees, net profit and floor prices of many units at once: the arithmetic of `economics`, on int64 arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flipsync.services.pricing.economics import MAX_JUMPS, open_rate
from flipsync.services.pricing.fees import BPS, MAX_AMOUNT, PPM, FeeTerm, Rounding

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: Stands for None in an array of amounts or counts: blank is never zero.
BLANK: int = -(2**63)


def divide(numerator: Ints, denominator: int, rounding: Rounding) -> Ints:
    """Exact rounding of non-negative fractions; equal to `fees.divide`."""
    if rounding == "half_up":
        numerator = numerator + denominator // 2
    elif rounding == "up":
        numerator = numerator + (denominator - 1)
    quotient: Ints = numerator // denominator
    if rounding != "half_even":
        return quotient
    twice = 2 * (numerator - quotient * denominator)
    up = (twice > denominator) | ((twice == denominator) & (quotient % 2 == 1))
    rounded: Ints = quotient + up.astype(np.int64)
    return rounded


def _fee(term: FeeTerm, base: Ints) -> Ints:
    """A term's fee before its minimum and maximum; equal to `fees.term_fee`."""
    if not term.brackets:
        return divide(base * term.ppm, PPM, term.rounding) + term.fixed
    share, fixed = np.zeros_like(base), np.zeros_like(base)
    begin = 0
    for index, (upto, ppm, amount) in enumerate(term.brackets):
        here = base > begin if index else np.ones(base.shape, dtype=np.bool_)
        if term.portions:
            end = base if upto is None else np.minimum(base, upto)
            share += np.where(here, (end - begin) * ppm, 0)
        else:
            share = np.where(here, base * ppm, share)
        fixed = np.where(here, amount, fixed)
        begin = upto or 0
    return divide(share, PPM, term.rounding) + fixed


@dataclass(frozen=True, slots=True)
class BatchEconomics:
    """`UnitEconomics` of many units under the same fee terms; all arrays broadcast together."""

    terms: Sequence[FeeTerm]
    unit_cost: Ints
    shipping_cost: Ints
    shipping_charged: Ints
    tax_bps: Ints
    min_margin: Ints
    margin_bps: Ints

    def rows(self, chosen: Bools | NDArray[np.intp] | slice) -> BatchEconomics:
        return BatchEconomics(
            self.terms,
            self.unit_cost[chosen],
            self.shipping_cost[chosen],
            self.shipping_charged[chosen],
            self.tax_bps[chosen],
            self.min_margin[chosen],
            self.margin_bps[chosen],
        )

    def net(self, price: Ints) -> Ints:
        gross = price + self.shipping_charged
        total = gross
        if any(term.basis == "total" for term in self.terms):
            total = gross + divide(gross * self.tax_bps, BPS, "half_up")
        net = gross - self.unit_cost - self.shipping_cost
        for term in self.terms:
            base = price if term.basis == "item" else gross if term.basis == "item+shipping" else total
            fee = _fee(term, base)
            if term.minimum is not None:
                fee = np.maximum(fee, term.minimum)
            if term.maximum is not None:
                fee = np.minimum(fee, term.maximum)
            net = net - fee
        return net

    def required(self, price: Ints) -> Ints:
        share: Ints = -(-price * self.margin_bps // BPS)
        return np.maximum(self.min_margin, share)

    def surplus(self, price: Ints) -> Ints:
        return self.net(price) - self.required(price)

    def floor_price(self, at_least: Ints, at_most: Ints | int = MAX_AMOUNT) -> Ints:
        """The smallest acceptable price in [at_least, at_most] of each unit, BLANK where there is none.

        The jumps of `UnitEconomics.floor_price`, for all units that have not arrived yet.
        """
        rate, slack = open_rate(self.terms)
        keep = PPM - rate
        found = np.full(at_least.shape, BLANK, dtype=np.int64)
        price = np.maximum(at_least, 1)
        most = np.broadcast_to(np.asarray(at_most, dtype=np.int64), price.shape)
        index = np.arange(price.size)
        units = self
        for _ in range(MAX_JUMPS):
            inside = price <= most
            if not inside.all():
                index, price, most, units = index[inside], price[inside], most[inside], units.rows(inside)
            if not index.size:
                break
            net = units.net(price)
            jump = units.required(price) - net
            arrived = jump <= 0
            found[index[arrived]] = price[arrived]
            share = units.margin_bps * (PPM // BPS)
            for missing, gain in (
                ((jump - slack) * PPM, np.full_like(share, keep)),
                (price * share - (net + slack) * PPM, keep - share),
            ):
                jump = np.where(missing > 0, np.maximum(jump, -(-missing // np.maximum(gain, 1))), jump)
                arrived |= (missing > 0) & (gain <= 0)
            on = ~arrived
            index, price, most, units = index[on], price[on] + jump[on], most[on], units.rows(on)
        return found
