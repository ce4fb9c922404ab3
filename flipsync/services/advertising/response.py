"""How a listing's sales answer to its ad rate, learned from its days: a Gamma-Poisson model with a shop-wide prior.

At rate r an ad reaches g(r) = 1 - exp(-r / reach) of what it can. It brings `lift` * g of the sales there would be
without it, and `own` * g of those would have come anyway and come by the ad, for which the channel charges too:

    units by ads a day    ~ Poisson(rate * (lift + own) * g)
    other units a day     ~ Poisson(rate * (1 - own * g)),        rate ~ Gamma

(lift, own, reach) are on a grid; the rate is integrated out. The shop's weights on the grid are learned from all of its
listings (nonparametric empirical Bayes by EM: Laird, JASA 73, 1978), so that a listing nobody has tried yet starts
where the others are, and one with many days of its own goes its own way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[np.float64]]

LIFTS = (0.0, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.2)
OWNS = (0.0, 0.1, 0.25, 0.5, 0.8)
#: in basis points
REACHES = (200.0, 500.0, 1_000.0)
#: what is believed before anything was seen: the middle of each, and how far around it (in steps of the grid)
_MIDDLE, _AROUND = (0.5, 0.25, 500.0), 2.0
#: what the belief counts for, in listings
_BELIEF = 6.0
#: a buyer may take several units: so much of what is seen counts
_WEIGHT = 0.8
#: shape of the spread of rates among listings
_SHAPE = 0.7
_TURNS = 25


@dataclass(frozen=True)
class Seen:
    """Days at one ad rate with something to sell, the units sold in them, and those by ads."""

    rate_bps: int
    days: float
    units: int
    ad_units: int = 0


@dataclass(frozen=True)
class Grid:
    """Points (lift, own, reach) and what is believed of each."""

    lift: Array
    own: Array
    reach: Array
    belief: Array

    def seen_share(self, rate_bps: float) -> Array:
        import numpy as np

        return 1.0 - np.exp(-rate_bps / self.reach)


@dataclass(frozen=True)
class Learned:
    """By listing (rows) and point of the grid: how likely it is, and the sales a day without ads if it is so."""

    grid: Grid
    weights: Array
    rates: Array


@lru_cache(maxsize=1)
def grid() -> Grid:
    import numpy as np

    points = [(lift, own, reach) for lift in LIFTS for own in OWNS for reach in REACHES]
    apart = [
        sum(
            (axis.index(each) - axis.index(middle)) ** 2
            for axis, each, middle in zip(_AXES, point, _MIDDLE, strict=True)
        )
        for point in points
    ]
    belief = np.exp(-np.array(apart) / (2 * _AROUND**2))
    lift, own, reach = np.array(points, dtype=np.float64).T
    return Grid(lift, own, reach, belief / belief.sum())


_AXES = (LIFTS, OWNS, REACHES)


@dataclass(frozen=True)
class Shop:
    """What all listings of a shop together tell: how likely each point of the grid is, and their sales a day."""

    weights: Array
    mean: float


def shop_of(listings: Sequence[Sequence[Seen]]) -> Shop:
    """From the days of every listing of a shop."""
    on = grid()
    units = sum(each.units for days in listings for each in days)
    time = sum(each.days for days in listings for each in days)
    mean = max(units / max(time, 1.0), 1e-3)
    tried = [days for days in listings if any(each.rate_bps > 0 for each in days)]
    shop = on.belief
    if tried:
        likely, _ = _likely(tried, mean)
        for _ in range(_TURNS):
            mine = shop * likely
            mine /= mine.sum(axis=1, keepdims=True)
            shop = (_BELIEF * on.belief + mine.sum(axis=0)) / (_BELIEF + len(mine))
    return Shop(shop, mean)


def posterior(listings: Sequence[Sequence[Seen]], shop: Shop) -> Learned:
    """What is believed of each listing, from its own days and its shop."""
    likely, rates = _likely(listings, shop.mean)
    weights = shop.weights * likely
    return Learned(grid(), weights / weights.sum(axis=1, keepdims=True), rates)


def learn(listings: Sequence[Sequence[Seen]]) -> Learned:
    """Of listings that are a whole shop."""
    return posterior(listings, shop_of(listings))


def _likely(listings: Sequence[Sequence[Seen]], mean: float) -> tuple[Array, Array]:
    """By listing and point of the grid: how likely its days are (1 for the likeliest point, and where nothing was
    tried), and the sales a day without ads."""
    import numpy as np
    from scipy.special import gammaln

    on, count = grid(), len(listings)
    units = np.array([sum(each.units for each in days) for days in listings], dtype=np.float64)
    rates = sorted({each.rate_bps for days in listings for each in days if each.rate_bps > 0})
    place = {rate: at for at, rate in enumerate(rates)}
    idle = np.zeros(count)
    with_ad, by_ads, others = (np.zeros((count, len(rates))) for _ in range(3))
    for at, days in enumerate(listings):
        for each in days:
            if each.rate_bps <= 0:
                idle[at] += each.days
                continue
            column, ads = place[each.rate_bps], min(each.ad_units, each.units)
            with_ad[at, column] += each.days
            by_ads[at, column] += ads
            others[at, column] += each.units - ads
    share = np.array([on.seen_share(rate) for rate in rates]).reshape(len(rates), len(on.lift))
    exposure = idle[:, None] + with_ad @ (1.0 + on.lift * share)
    told = others @ np.log(np.maximum(1.0 - on.own * share, 1e-3))
    told += by_ads @ np.log(np.maximum((on.lift + on.own) * share, 1e-4))
    scale, shape = _SHAPE / mean, _SHAPE + units[:, None]
    likely = _WEIGHT * (told + gammaln(shape) - shape * np.log(scale + exposure))
    likely = np.where((with_ad.sum(axis=1) > 0)[:, None], likely, 0.0)
    return np.exp(likely - likely.max(axis=1, keepdims=True)), shape / (scale + exposure)
