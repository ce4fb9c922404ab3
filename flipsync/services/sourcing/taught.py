"""What a business's own books taught about goods it has not bought yet (services.sourcing.lessons learns it).

What they do not teach yet is set wide, and said to be (`Lessons.unknown`); only the rate of returns has a source
outside: 20.8 % of online sales (National Retail Federation and Appriss Retail, "Consumer Returns in the Retail Industry
2021"), taken for as much as ten units of one's own.

It is kept beside answers by processes that do without numpy.
"""

from __future__ import annotations

from dataclasses import dataclass, field

#: standard deviations of logarithms where nothing is known: a factor of one and a half either way; of parcels a quarter
WIDE, WIDE_PARCEL = 0.4, 0.25
_RETURNED, _AS_UNITS = 0.208, 10.0


@dataclass(frozen=True, slots=True)
class Lessons:
    """Spreads are standard deviations of logarithms; the rest is parameters of a Beta or a Gamma.

    `own_spread`: between sales of the same goods; `drift`: between what they brought and will bring; `market_*` and
    `listed_*`: between what they bring and the cheapest offer of others or the list price. `rate_*`: units a day of
    goods not known yet. `stretch`: by how much intervals told earlier were too narrow.
    """

    own_spread: float = WIDE
    drift: float = WIDE / 2
    market_bias: float = 0.0
    market_spread: float = WIDE
    listed_bias: float = 0.0
    listed_spread: float = WIDE
    returned_a: float = _RETURNED * _AS_UNITS
    returned_b: float = (1 - _RETURNED) * _AS_UNITS
    restocked_a: float = 1.0
    restocked_b: float = 1.0
    shipping_minor: float = 0.0
    shipping_spread: float = WIDE_PARCEL
    rate_shape: float = 0.5
    rate_days: float = 30.0
    stretch: float = 1.0
    #: what was set wide for want of anything in the books
    unknown: tuple[str, ...] = field(default=("prices", "time to sell", "parcels"))
