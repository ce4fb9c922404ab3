"""What a business's own books teach about goods it has not bought yet: how near prices were to what was known of them,
how often goods come back, what a parcel costs, how fast goods sell. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from flipsync.services.sourcing.taught import WIDE, WIDE_PARCEL, Lessons

Floats = NDArray[np.float64]

#: goods from which a spread or a rate is learnt; below it stays wide. Parcels and outcomes likewise
FEWEST_GOODS, FEWEST_LABELS, FEWEST_OUTCOMES = 8, 5, 20
#: shapes of the Gamma of rates that are tried; with fewer goods than this nothing is known of how fast goods sell
_SHAPES = np.geomspace(0.2, 12.0, 25)


@dataclass(frozen=True, slots=True)
class GoodsSold:
    """One SKU on one account: units, the mean and mean square deviation of the logarithm of their price, money back,
    units back on the shelf, days on show; and what is known beside it: the cheapest offer of others, the list price."""

    units: int
    mean_log: float
    square: float
    goods_minor: int
    refunded_minor: int
    restocked: int
    shown_days: float
    ever_sold: int
    market_minor: int | None
    listed_minor: int | None


def learn(
    sold: Sequence[GoodsSold],
    *,
    parcels_minor: Sequence[int] = (),
    usual_parcel_minor: int,
    errors: Sequence[float] = (),
) -> Lessons:
    """`errors`: of intervals told earlier, how far the outcome was from the middle, in halves of the interval."""
    table = np.array([(s.units, s.mean_log, s.square, s.shown_days, s.ever_sold) for s in sold], dtype=np.float64)
    table = table.reshape(len(sold), 5)
    units, means, squares, days, ever = table.T
    unknown = []
    fallback = Lessons()
    several = units > 1
    if several.sum() >= FEWEST_GOODS:
        own = float(np.sqrt((squares[several] * units[several]).sum() / (units[several] - 1).sum()))
    else:
        own = fallback.own_spread
        unknown.append("prices")
    own = max(own, 0.02)
    market_bias, market_spread = _residual(means, units, [s.market_minor for s in sold], own)
    listed_bias, listed_spread = _residual(means, units, [s.listed_minor for s in sold], own)
    drift = min(own, market_spread)
    goods, back = sum(s.goods_minor for s in sold), sum(s.refunded_minor for s in sold)
    count = float(units.sum())
    rate = min(1.0, back / goods) if goods else 0.0
    restocked = min(float(sum(s.restocked for s in sold)), rate * count)
    shown = days > 0.5
    shape, per_day = fallback.rate_shape, fallback.rate_days
    if shown.sum() >= FEWEST_GOODS and ever[shown].sum() > 0:
        shape, per_day = _rates(ever[shown], days[shown])
    else:
        unknown.append("time to sell")
    parcel, parcel_spread = float(usual_parcel_minor), WIDE_PARCEL
    if len(parcels_minor) >= FEWEST_LABELS:
        logs = np.log(np.maximum(np.asarray(parcels_minor, dtype=np.float64), 1))
        parcel, parcel_spread = float(np.mean(parcels_minor)), float(max(logs.std(ddof=1), 0.02))
    else:
        unknown.append("parcels")
    stretch = 1.0
    if len(errors) >= FEWEST_OUTCOMES:  # the conformal quantile of past errors (Vovk et al. 2005)
        ranked = np.sort(np.abs(np.asarray(errors)))
        stretch = float(np.clip(ranked[min(len(ranked) - 1, int(np.ceil(0.8 * (len(ranked) + 1))) - 1)], 0.25, 4.0))
    return Lessons(
        own_spread=own,
        drift=drift,
        market_bias=market_bias,
        market_spread=market_spread,
        listed_bias=listed_bias,
        listed_spread=listed_spread,
        returned_a=fallback.returned_a + rate * count,
        returned_b=fallback.returned_b + (1 - rate) * count,
        restocked_a=1 + restocked,
        restocked_b=1 + max(0.0, rate * count - restocked),
        shipping_minor=parcel,
        shipping_spread=parcel_spread,
        rate_shape=shape,
        rate_days=per_day,
        stretch=stretch,
        unknown=tuple(unknown),
    )


def _residual(means: Floats, units: Floats, anchors: Sequence[int | None], own: float) -> tuple[float, float]:
    """Mean and spread between what goods brought and an anchor; the luck of few sales is not counted as spread."""
    has = np.array([anchor is not None and anchor > 0 for anchor in anchors], dtype=bool) & (units > 0)
    if has.sum() < FEWEST_GOODS:
        return 0.0, WIDE
    anchor = np.log(np.array([each for each, ok in zip(anchors, has, strict=True) if ok], dtype=np.float64))
    apart = means[has] - anchor
    luck = float((own**2 / units[has]).mean())
    free = int(has.sum())
    # its own uncertainty, learnt from so few goods, is added (predictive variance of a mean)
    spread = np.sqrt(max(float(apart.var(ddof=1)) - luck, 1e-4) * (1 + 1 / free))
    return float(apart.mean()), float(spread)


def _rates(sold: Floats, days: Floats) -> tuple[float, float]:
    """Shape and days of the Gamma of units a day, by the greatest likelihood of what sold in the days on show; goods
    that sold nothing count by their days (right-censored)."""
    mean = sold.sum() / days.sum()
    shapes = _SHAPES[:, None]
    scale = shapes / mean
    fit = (
        gammaln(sold + shapes)
        - gammaln(shapes)
        + shapes * np.log(scale / (scale + days))
        + sold * np.log(days / (scale + days))
    ).sum(axis=1)
    shape = float(_SHAPES[int(fit.argmax())])
    return shape, shape / float(mean)
