"""How much of our shelf to send to a channel's own warehouse, for all goods at once. Pure; arrays (goods,), units.

Two places sell from what we have, and what was sent does not come back. The warehouse is kept by the same periodic
review as goods that are bought (services.buying): below the level s, which covers what is asked for there until a later
transfer could arrive, it is raised to S. Where the shelf does not reach for that and for its own sales of that time,
each unit goes where it is likelier to be asked for (marginal analysis: B. Fox, "Discrete optimization via marginal
analysis", Management Science 13, 1966; both sums of expected lost sales are convex, so unit by unit is the best).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import betainc

from flipsync.services.buying import Array, Bools, Goods, Ints, Terms, ahead, expected_short, plan


@dataclass(frozen=True)
class Sending:
    """Units to send of each; s and S of the warehouse and the chance that s covers; units asked for and not there by
    the time a later transfer could arrive, in both places together, if nothing is sent and if this is. `scarce`: the
    shelf does not reach for both."""

    units: Ints
    level: Array
    up_to: Array
    service: Array
    short_without: Array
    short_with: Array
    scarce: Bools


def send(there: Goods, here: Goods, spare: Array, terms: Terms) -> Sending:
    """`there` are the goods in the warehouse, with what is under way in `position` and the warehouse's place as
    `supplier`; `here` the same goods as the shelf sells them over the same time; `spare` what of the shelf is nobody's.
    """
    spare, there = np.maximum(np.floor(spare), 0.0), replace(there, position=np.maximum(there.position, 0.0))
    places = int(there.supplier.max()) + 1 if len(there.supplier) else 0
    wanted = plan(there, terms, least_order=np.zeros(places))
    most = np.minimum(wanted.units.astype(np.float64), spare)
    shape_there, chance_there = _distribution(there, terms)
    shape_here, chance_here = _distribution(here, terms)

    def gains(units: Array) -> Bools:
        """Whether the last of so many units is likelier to be asked for there than here."""
        asked_there = 1 - betainc(shape_there, there.position + units, chance_there)
        asked_here = 1 - betainc(shape_here, spare - units + 1, chance_here)
        return np.asarray(asked_there >= asked_here)

    # each further unit gains less than the one before, so the last that gains is found by halves
    low, high = np.zeros(len(spare)), most
    while (searched := low < high).any():
        middle = np.ceil((low + high) / 2)
        worth = gains(np.maximum(middle, 1.0))
        low = np.where(searched & worth, middle, low)
        high = np.where(searched & ~worth, middle - 1, high)
    units = low
    return Sending(
        units.astype(np.int64),
        wanted.level,
        wanted.up_to,
        wanted.service,
        _short(there, here, spare, np.zeros(len(spare)), terms),
        _short(there, here, spare, units, terms),
        np.asarray(units < wanted.units),
    )


def _distribution(goods: Goods, terms: Terms) -> tuple[Array, Array]:
    """Shape and chance of the negative binomial of what is asked for until a later transfer could arrive."""
    mean, variance = ahead(goods, terms)
    chance = mean / variance
    return mean * chance / (1 - chance), chance


def _short(there: Goods, here: Goods, spare: Array, units: Array, terms: Terms) -> Array:
    total = np.zeros(len(spare))
    for goods, stock in ((there, there.position + units), (here, spare - units)):
        mean, variance = ahead(goods, terms)
        total = total + expected_short(stock, mean, np.sqrt(variance))
    return np.asarray(total)
