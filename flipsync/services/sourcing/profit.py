"""What goods would earn on a channel, as a distribution, and the most they may cost. Pure, all lines at once.

A sale price is log-normal around what is known: what we got for the goods, what others ask for them, our list price,
weighted by how near each was to the prices of goods we did sell (services.sourcing.lessons). Units a day are
Gamma-Poisson, so units sold within a time are negative binomial. Returns are beta-binomial. Fees are the exact tables.
The most to pay is the cost at which the profit asked is earned with the chance asked; it follows from one quantile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaincinv, ndtri

from flipsync.services.pricing.batch_economics import BatchEconomics
from flipsync.services.pricing.fees import MAX_AMOUNT, FeeTerm
from flipsync.services.sourcing.taught import Lessons

Floats = NDArray[np.float64]

#: draws of each distribution, the same for all lines: two lines differ by what is known of them, never by luck
DRAWS = 512
#: what the interval told holds
INSIDE = 0.8
#: units of a lot that are told apart when its share sold is worked out; the rest go like them
_UNITS = 200


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the owner asks of goods: profit of a unit and return on its cost, with which chance; and which share of a
    lot is sold within so many days."""

    profit_minor: int
    roi: float
    chance: float
    turn_days: float
    turn_share: float


@dataclass(frozen=True)
class Known:
    """Of each line on one channel: what is known of its prices (logarithms of minor units, NaN: nothing) and sales.

    `own` is the mean of what `units` of ours brought; `market` the cheapest offer of others; `listed` our list price.
    `sold` units went in `days` on show there; `lot` units are to be bought at once.
    """

    own: Floats
    units: Floats
    market: Floats
    listed: Floats
    sold: Floats
    days: Floats
    lot: NDArray[np.int64]


@dataclass(frozen=True)
class Outlook:
    """Of each line: the price expected, what a unit brings before its cost (draws), and how soon the lot is sold.

    `in_time` is the chance that all of it is by the owner's time, `gone` the share of it expected to be.
    """

    price: Floats
    spread: Floats
    brings: Floats
    in_time: Floats
    gone: Floats
    days: Floats
    known: NDArray[np.bool_]

    def most(self, wishes: Wishes) -> Floats:
        """The highest unit cost at which the owner's wishes for profit come true with the chance asked; 0: none."""
        least = np.quantile(self.brings, 1 - wishes.chance, axis=1)
        return np.asarray(np.maximum(np.floor(np.minimum(least - wishes.profit_minor, least / (1 + wishes.roi))), 0.0))

    def chance(self, cost: Floats, wishes: Wishes) -> Floats:
        """Of earning what is asked when a unit costs so much."""
        asked = np.maximum(wishes.profit_minor, wishes.roi * cost)
        return np.asarray(((self.brings - cost[:, None]) >= asked[:, None]).mean(axis=1))

    def worth(self, cost: Floats) -> Floats:
        """Profit expected by the owner's time on each unit of money laid out: what lines are ranked by."""
        return np.asarray((self.brings.mean(axis=1) * self.gone - cost * self.gone) / np.maximum(cost, 1.0))

    def interval(self, cost: Floats) -> Floats:
        """Low, middle and high of the net profit of a unit, (3, lines)."""
        tail = (1 - INSIDE) / 2
        return np.asarray(np.quantile(self.brings, (tail, 0.5, 1 - tail), axis=1) - cost)


def outlook(
    known: Known, lessons: Lessons, terms: Sequence[FeeTerm], *, charged: int, tax_bps: int, turn_days: float
) -> Outlook:
    """`charged` is what buyers pay for shipping, `terms` the channel's fees; amounts are minor units."""
    mean, variance = _price(known, lessons)
    lot = np.maximum(known.lot, 1)
    one_price = lessons.own_spread**2 / lot
    draws = _draws()
    price = np.exp(mean[:, None] + np.sqrt(variance + one_price)[:, None] * draws.price)
    whole = np.clip(np.nan_to_num(np.rint(price)), 1, MAX_AMOUNT // 10).astype(np.int64)  # unknown: see `known`
    ones = np.ones((1, 1), dtype=np.int64)
    economics = BatchEconomics(terms, 0 * ones, 0 * ones, charged * ones, tax_bps * ones, 0 * ones, 0 * ones)
    after_fees = economics.net(whole).astype(np.float64)
    fees = whole + charged - after_fees
    shipping = lessons.shipping_minor * np.exp(
        lessons.shipping_spread * draws.shipping - lessons.shipping_spread**2 / 2
    )
    rate = betaincinv(lessons.returned_a, lessons.returned_b, draws.returned)
    back = np.empty(price.shape)
    for units in np.unique(lot):  # the same luck for lots of the same size
        back[lot == units] = np.random.default_rng(int(units)).binomial(int(units), rate) / units
    # a returned unit costs both ways and, as a careful guess, its fees; back on the shelf it is sold once more
    again = betaincinv(lessons.restocked_a, lessons.restocked_b, draws.restocked)
    sold = after_fees - shipping
    lost = -2 * shipping - fees
    brings = (1 - back) * sold + back * (lost + again * (sold - shipping))
    middle = np.median(brings, axis=1, keepdims=True)
    brings = middle + lessons.stretch * (brings - middle)
    shape, per_day = lessons.rate_shape + known.sold, lessons.rate_days + known.days
    part = np.asarray(betaincinv(lot, shape, 0.5))
    within = turn_days / (turn_days + per_day)
    gone = np.zeros(len(lot))
    for unit in range(1, min(int(lot.max(initial=1)), _UNITS) + 1):
        gone += np.where(lot >= unit, betainc(unit, shape, within), 0.0)
    return Outlook(
        price=np.exp(mean),
        spread=np.sqrt(variance + lessons.own_spread**2),
        brings=np.where(np.isfinite(mean)[:, None], brings, 0.0),
        in_time=np.asarray(betainc(lot, shape, within)),
        gone=gone / np.minimum(lot, _UNITS),
        days=per_day * part / np.maximum(1 - part, 1e-9),
        known=np.isfinite(mean),
    )


def _price(known: Known, lessons: Lessons) -> tuple[Floats, Floats]:
    """Mean and variance of the logarithm of the goods' price level; NaN where nothing tells it."""
    own = np.where(known.units > 0, known.own, np.nan)
    told = np.stack([own, known.market + lessons.market_bias, known.listed + lessons.listed_bias])
    of_own = lessons.own_spread**2 / np.maximum(known.units, 1) + lessons.drift**2
    variances = np.stack(
        [of_own, np.full_like(of_own, lessons.market_spread**2), np.full_like(of_own, lessons.listed_spread**2)]
    )
    weight = np.where(np.isfinite(told), 1 / np.maximum(variances, 1e-6), 0.0)
    whole = weight.sum(axis=0)
    some = whole > 0
    mean = np.where(some, (np.nan_to_num(told) * weight).sum(axis=0) / np.where(some, whole, 1), np.nan)
    # the sources are not independent of one another: two that agree are no surer than the better of them
    best = np.where(np.isfinite(told), variances, np.inf).min(axis=0)
    return mean, np.where(some, best, 0.0)


@dataclass(frozen=True)
class _Draws:
    price: Floats
    shipping: Floats
    returned: Floats
    restocked: Floats


def _draws() -> _Draws:
    """Stratified: the middles of DRAWS equal parts, each source of luck in an order of its own."""
    rng = np.random.default_rng(0)
    even = (np.arange(DRAWS) + 0.5) / DRAWS
    price, shipping, returned, restocked = (rng.permutation(even) for _ in range(4))
    return _Draws(np.asarray(ndtri(price)), np.asarray(ndtri(shipping)), returned, restocked)
