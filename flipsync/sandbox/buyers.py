"""Buyers: when they come, what they can pay, and which offer they choose.

Arrivals are a Poisson process with an hour-of-day profile (thinning: Lewis & Shedler 1979); the choice is a
multinomial logit with an outside option (McFadden 1974). Everything follows from the seed and the SKU.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from flipsync.sandbox.records import MARKETPLACES, Channel

#: Visits by local hour, relative to the busiest; web shops are quiet at night and busiest in the evening.
HOUR_PROFILE: tuple[float, ...] = (
    *(0.22, 0.15, 0.11, 0.09, 0.09, 0.12, 0.20, 0.33, 0.47, 0.58, 0.66, 0.71),
    *(0.74, 0.73, 0.71, 0.70, 0.72, 0.76, 0.83, 0.92, 1.00, 0.97, 0.75, 0.45),
)
#: How eager buyers are at the reference price: utility of a fair offer against buying nothing.
_BASE_UTILITY = 0.4
_NAMES = ("Avery Lane", "Jo Park", "Sam Ortiz", "Robin Hale", "Kim Novak", "Lee Brandt", "Chris Moss", "Dana Whit")
_PLACES = (
    ("411 Elm Street", "Columbus", "OH", "43004"),
    ("27 Harbor Road", "Portland", "ME", "04101"),
    ("980 Mission Street", "San Francisco", "CA", "94103"),
    ("15 Peachtree Place", "Atlanta", "GA", "30309"),
    ("6 Juniper Court", "Boulder", "CO", "80302"),
)


@dataclass(frozen=True)
class Buyer:
    """Who came: the most they pay for one unit (minor units), how prices move them, how many units they want."""

    willing_minor: int
    price_sensitivity: float
    quantity: int
    name: str = "Avery Lane"
    street: str = "411 Elm Street"
    city: str = "Columbus"
    region: str = "OH"
    postal_code: str = "43004"

    @property
    def email(self) -> str:
        return f"{self.name.lower().replace(' ', '.')}@example.com"


def stream(seed: int, *parts: object) -> Random:
    """An independent random stream for one named thing; the same name gives the same numbers."""
    return Random("|".join(str(part) for part in (seed, *parts)))  # noqa: S311


def visits_per_day(seed: int, channel: Channel, sku: str) -> float:
    """Visits a day before the traffic multiplier: log-normal, median 9 (marketplace) or 6 (own shop)."""
    median = 9.0 if channel in MARKETPLACES else 6.0
    return stream(seed, "demand", channel, sku).lognormvariate(math.log(median), 0.7)


def draw_buyer(rng: Random, reference_minor: int) -> Buyer:
    """A buyer for goods whose usual price is `reference_minor`."""
    willing = reference_minor * rng.lognormvariate(math.log(1.15), 0.22)
    street, city, region, postal_code = rng.choice(_PLACES)
    return Buyer(
        willing_minor=max(1, round(willing)),
        price_sensitivity=rng.lognormvariate(math.log(6.0), 0.35),
        quantity=rng.choices((1, 2, 3), weights=(86, 11, 3))[0],
        name=rng.choice(_NAMES),
        street=street,
        city=city,
        region=region,
        postal_code=postal_code,
    )


def choose(rng: Random, buyer: Buyer, reference_minor: int, prices_minor: Sequence[int]) -> int | None:
    """Index of the offer the buyer takes, or None when the buyer leaves without buying."""
    weights = [
        0.0
        if price > buyer.willing_minor
        else math.exp(min(50.0, _BASE_UTILITY - buyer.price_sensitivity * (price / reference_minor - 1)))
        for price in prices_minor
    ]
    draw = rng.random() * (1.0 + sum(weights))
    for index, weight in enumerate(weights):
        draw -= weight
        if draw < 0:
            return index
    return None
