"""The odds of selling one unit twice, and what each pooled channel may show so that they stay below the owner's limit.

A unit is sold twice when a second channel sells it before it has been told of the first sale. Three things are not
known and are integrated out:

- Demand. Sales of a listing are Poisson with a rate that is Gamma (shape a, b seconds): a mean of a/b a second. Sold
  s times in t seconds on show it becomes (a + s, b + t). Over all listings that is the negative binomial of Ehrenberg
  1959 (Applied Statistics 8:26); for goods of one unit, whose wait ends with the sale, it is the Pareto wait of
  Maguire, Pearson and Wynn 1952 (Biometrika 39:168). (a, b) comes from the account's other listings (`fit_demand`), so
  that goods that never sold before have odds too.
- The first sale. It comes after T seconds, on channel i, with density a_i/(b_i+T) · Π_k (b_k/(b_k+T))^a_k. What sells
  late sells slowly: rates at that time are Gamma (a_j, b_j + T), that of channel i has one sale more.
- The delay of channel j, D_ij = told_i + shown_j: sale on i → in our books → j confirmed showing less, measured
  (services.channel_pace).

Channel j sells N_j units within D_ij, at most what it shows. More are sold than there are when
1 + Σ_j min(N_j, c_j) > units, with c_j = q_j and c_i = q_i - 1. For one unit that is 1 - Π_{j≠i} E[exp(-λ_j D_ij)]. It
speaks of the next sale: each decision states it anew.

The least sales are lost for the odds when tails are even: a unit more on channel j is worth P(N_j > q_j), so every q_j
is the least with P(N_j > q_j) ≤ ε, and ε the least within the limit. Where one unit each is too many, channels that
sell least are left out; of a single unit the set of channels that sells most is found by trying all. Shown
Σ q_j ≤ units nothing can be sold twice, so every limit can be kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flipsync.services.channel_delay import WEIGHTS, Seller

#: instants of the first sale the integral is taken at (Gauss-Legendre)
_NODES = 8
#: more units than this are counted in lots: sales then come in lots too, which errs to the careful side
_MOST_LOTS = 24
#: sets of channels are tried one by one up to here
_MOST_TRIED = 6
_SCREEN = 3.0
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Showing:
    """What each channel shows, the odds that the next sale ends in an oversell, those if all showed everything, and
    the share of buyers who do not see the goods."""

    quantities: tuple[int, ...]
    odds: float
    odds_everywhere: float
    unseen: float


def odds_of_oversell(units: int, sellers: Sequence[Seller], quantities: Sequence[int]) -> float:
    """Probability that of `units` more are sold than there are before every channel knows of the next sale."""
    if units < 1:
        return 1.0 if any(quantities) else 0.0
    if sum(quantities) <= units:
        return 0.0
    chosen = [index for index, quantity in enumerate(quantities) if quantity > 0]
    race = _Race(units, [sellers[index] for index in chosen])
    return race.odds([min(units, quantities[index]) for index in chosen])


def quantities_to_show(units: int, sellers: Sequence[Seller], limit: float, *, held_back: int = 0) -> Showing:
    """What keeps the odds within `limit` and loses the fewest sales. No channel shows more than units - held_back."""
    most = units - held_back
    if most <= 0 or not sellers:
        return Showing((0,) * len(sellers), 0.0, 0.0, 1.0)
    full = (most,) * len(sellers)
    everywhere = odds_of_oversell(units, sellers, full)
    if everywhere <= limit:
        return Showing(full, everywhere, everywhere, 0.0)
    found = _one_each(units, sellers, limit) if most == 1 else _even_tails(units, sellers, limit, most)
    rates = [seller.rate for seller in sellers]
    unseen = sum(rate for rate, shown in zip(rates, found[0], strict=True) if not shown) / sum(rates)
    return Showing(found[0], found[1], everywhere, unseen)


def _one_each(units: int, sellers: Sequence[Seller], limit: float) -> tuple[tuple[int, ...], float]:
    """The channels that sell most together within the limit, one unit on each."""
    count = len(sellers)
    rates = [seller.rate for seller in sellers]
    by_rate = sorted(range(count), key=lambda index: (-rates[index], index))
    sets: list[tuple[int, ...]] = [tuple(by_rate[:size]) for size in range(count, 0, -1)]
    if units == 1 and 2 < count <= _MOST_TRIED:
        pairs, first = _Race(1, sellers).pairs()
        sets = [each for size in range(count - 1, 0, -1) for each in combinations(by_rate, size)]
        # the sum over pairs is more than the odds, about: what it puts far above the limit need not be looked at
        sets = [
            each
            for each in sets
            if len(each) == 1 or pairs[np.ix_(each, each)].sum() <= _SCREEN * limit * first[list(each)].sum()
        ]
        sets.sort(key=lambda each: -sum(rates[index] for index in each))
    for each in sets:
        quantities = tuple(int(index in each) for index in range(count))
        odds = odds_of_oversell(units, sellers, quantities)
        if odds <= limit:
            return quantities, odds
    raise AssertionError("one channel alone cannot sell twice what it shows once")


def _even_tails(units: int, sellers: Sequence[Seller], limit: float, most: int) -> tuple[tuple[int, ...], float]:
    race = _Race(units, sellers)
    caps_of = race.caps_by_tail(most)

    def odds(place: int) -> float:
        return race.odds(caps_of[place]) if sum(caps_of[place]) > units else 0.0

    low, high = 0, len(caps_of) - 1  # from all of it to one unit each
    if odds(high) > limit:
        return _one_each(units, sellers, limit)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if odds(middle) <= limit else (middle + 1, high)
    return tuple(caps_of[low]), odds(low)


class _Race:
    """Who sells how many before he knows. Arrays are (instant, first seller i, delay told, seller j)."""

    def __init__(self, units: int, sellers: Sequence[Seller]) -> None:
        self._lot = -(-units // _MOST_LOTS)
        self._units = units // self._lot
        shape = np.array([seller.shape for seller in sellers])
        seconds = np.array([seller.seconds for seller in sellers])
        instants, self._weights = _first_sale(shape, seconds)  # (t,), (t, i)
        told = np.array([seller.told for seller in sellers])  # (i, a)
        shown = np.array([seller.shown for seller in sellers])  # (j, b)
        late = told[:, :, None, None] + shown[None, None, :, :]  # (i, a, j, b)
        self._share = (seconds[None, :] + instants[:, None])[:, None, None, :, None]  # (t, 1, 1, j, 1)
        self._share = late[None] / self._share / self._lot
        self._shape = (shape[None, :] + np.eye(len(sellers)))[None, :, None, :, None]  # (1, i, 1, j, 1)

    @cached_property
    def _sales(self) -> Array:
        """P(N_j = k) for k below the units: (k, t, i, a, j). Negative binomial, mixed over the delay."""
        told: list[Array] = []
        term = np.exp(-self._shape * np.log1p(self._share))
        step = self._share / (1.0 + self._share)
        for count in range(self._units):
            told.append(term @ _WEIGHTS)
            if count + 1 < self._units:
                term = term * (self._shape + count) * step / (count + 1)
        return np.array(told)

    def odds(self, quantities: Sequence[int]) -> float:
        """For what each seller shows, at least one unit."""
        sales = self._sales
        most = self._units
        sellers = sales.shape[-1]
        own = np.eye(sellers, dtype=int)
        whole = np.ones(sales.shape[1:4])
        if most == 1:
            none = np.where(own[None, :, None, :] == 1, 1.0, sales[0])
            return self._mean(1.0 - none.prod(axis=-1))
        total: Array | None = None  # P(sum = m), m < units
        for seller, quantity in enumerate(quantities):
            cap = min(most, -(-quantity // self._lot))
            one = _capped(sales[..., seller], cap)
            one[:, :, seller] = _capped(sales[:, :, seller, :, seller], cap - 1)
            if total is None:
                total = one
                continue
            mixed = np.zeros_like(total)
            for count in range(min(cap, most - 1) + 1):
                mixed[count:] += one[count] * total[: most - count]
            total = mixed
        assert total is not None, "somebody sells"
        return self._mean(whole - total.sum(axis=0))

    def pairs(self) -> tuple[Array, Array]:
        """P(i sells first and j before it knows), by (i, j), and P(i sells first)."""
        also = np.einsum("tiaj,a->tij", 1.0 - self._sales[0], _WEIGHTS) * (1.0 - np.eye(self._weights.shape[1]))[None]
        return np.einsum("tij,ti->ij", also, self._weights), self._weights.sum(axis=0)

    def caps_by_tail(self, most: int) -> list[list[int]]:
        """Quantities for every even tail ε, from all that may be shown to one unit each."""
        before = np.cumsum(self._sales, axis=0)  # P(N_j <= k)
        delays = np.einsum("ktiaj,a->ktij", before, _WEIGHTS)
        others = self._weights[:, :, None] * (1.0 - np.eye(self._weights.shape[1]))[None]
        mean = np.einsum("ktij,tij->kj", delays, others) / np.maximum(others.sum(axis=(0, 1)), 1e-300)
        tails = 1.0 - mean  # (k, j): P(N_j > k)
        found: list[list[int]] = [[most] * tails.shape[1]]
        for tail in np.unique(tails[1:]):
            enough = (tails <= tail).argmax(axis=0)
            enough = np.where((tails <= tail).any(axis=0), enough, self._units)
            quantities = [max(1, min(most, int(units) * self._lot)) for units in enough]
            if quantities != found[-1]:
                found.append(quantities)
        if found[-1] != (last := [1] * tails.shape[1]):
            found.append(last)
        return found

    def _mean(self, values: Array) -> float:
        """Over the delay told, the instant and the first seller."""
        return float(max(0.0, (self._weights * (values @ _WEIGHTS)).sum()))


def _capped(sales: Array, cap: int) -> Array:
    """P(min(N, cap) = k), k below the units."""
    one = sales.copy()
    if cap < len(one):
        one[cap] = 1.0 - one[:cap].sum(axis=0)
        one[cap + 1 :] = 0.0
    return one


def _first_sale(shape: Array, seconds: Array) -> tuple[Array, Array]:
    """Instants T of the first sale, and the weight of (T, who sells); weights add up to 1.

    Instants are where the chance that nothing is sold, Π (b/(b+T))^a, falls through the places of the quadrature.
    """
    place, weight = _gauss(_NODES)
    wanted = -np.log(place)[::-1]  # rising with T
    # between these every place is reached: one channel at most, all of them at least
    low = np.log(seconds.min() * np.expm1(np.minimum(wanted[0] / shape.sum(), 500.0)))
    high = np.log(seconds.max() * np.expm1(np.minimum(wanted[-1] / shape.sum(), 500.0)))
    late = np.linspace(low, high, 48)
    unsold = np.log1p(np.exp(late)[:, None] / seconds) @ shape
    at = np.interp(wanted, unsold, late)
    for _ in range(2):  # Newton, from a table to all digits
        instants = np.exp(at)
        after = seconds[None, :] + instants[:, None]
        off = np.log1p(instants[:, None] / seconds) @ shape - wanted
        at = at - off / (instants * (shape / after).sum(axis=1))
    instants = np.exp(at)
    hazard = shape[None, :] / (seconds[None, :] + instants[:, None])
    return instants, weight[::-1, None] * hazard / hazard.sum(axis=1, keepdims=True)


@lru_cache(maxsize=4)
def _gauss(nodes: int) -> tuple[Array, Array]:
    place, weight = np.polynomial.legendre.leggauss(nodes)
    return (place + 1.0) / 2.0, weight / 2.0


_WEIGHTS: Any = np.array(WEIGHTS)


def fit_demand(sold: Sequence[int], seconds: Sequence[float], *, shape: float, mean: float) -> tuple[float, float]:
    """(shape, seconds) of an account's listings, from what each sold in its time on show.

    The most likely Gamma beside a weak belief: shape within a factor of 2.7 of `shape`, sales a second within a factor
    of 20 of `mean` (one standard deviation each). The likelihood is the same whether a listing was watched for a given
    time or until it sold.
    """
    from scipy.optimize import minimize  # heavy, and wanted once an hour

    counts, times = np.asarray(sold, dtype=np.float64), np.asarray(seconds, dtype=np.float64)
    groups, members = np.unique(counts, return_inverse=True)
    many = np.bincount(members)
    begin = np.array([np.log(shape), np.log(mean)])

    def unlikely(at: Array) -> float:
        a = float(np.exp(at[0]))
        b = a / float(np.exp(at[1]))
        rising = sum(float(np.log(a + np.arange(int(g))).sum()) * m for g, m in zip(groups, many, strict=True))
        told = rising + len(counts) * a * np.log(b) - ((a + counts) * np.log(b + times)).sum()
        off = at - begin
        return float(off[0] ** 2 / 2 + (off[1] / 3.0) ** 2 / 2 - told)

    bounds = [(begin[0] - 5.0, begin[0] + 5.0), (begin[1] - 15.0, begin[1] + 15.0)]
    found = minimize(unlikely, begin, method="Nelder-Mead", bounds=bounds, options={"xatol": 1e-3, "fatol": 1e-3}).x
    a = float(np.exp(found[0]))
    return a, a / float(np.exp(found[1]))
