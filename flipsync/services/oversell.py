"""The odds of selling one unit twice, and what each pooled channel may show so that they stay below the owner's limit.

A unit is sold twice when a second channel sells it before it has been told of the first sale.

- Demand. Goods sell on channel j as a Poisson process of rate θ·w_j: θ is how much these goods are wanted, w_j how
  much of that comes to j. θ is Gamma (shape a, b seconds), or a mixture of Gammas (`demand`); sold s times in t_j
  seconds on show it becomes (a + s, b + Σ w_j·t_j). Over all goods one Gamma is the negative binomial of Ehrenberg 1959
  (Applied Statistics 8:26); for goods of one unit, whose wait ends with the sale, the Pareto wait of Maguire, Pearson
  and Wynn 1952 (Biometrika 39:168). What is wanted here is wanted there: one θ for all channels, or hot goods would
  look harmless.
- The next sale, if it comes within a time H (`HORIZON`): on channel i with the chance w_i/W, W = Σ w_j, and, since
  goods that sell soon are wanted more, θ then has the density ∝ Gamma(a, b)·(1 - exp(-θ·W·H)).
  The parts w_j/W differ from goods to goods: Dirichlet, so that after a sale on i the others have a little less.
- The delay of channel j, D_ij = told_i + shown_j: sale on i → in our books → j confirmed showing less, measured
  (services.channel_pace).

Channel j sells N_j, Poisson of θ·w_j·D_ij, at most what it shows. More are sold than there are when
1 + Σ_j min(N_j, c_j) > units, with c_j = q_j and c_i = q_i - 1. For one unit, and delays that are known,
x = Σ_{j≠i} w_j·D_ij, that is 1 - [(b/(b+x))^a - (b/(b+x+W·H))^a] / [1 - (b/(b+W·H))^a]. It speaks of the next sale:
each decision states it anew.

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

from flipsync.services.channel_delay import WEIGHTS, Goods, Seller

#: the next sale is spoken of if it comes within this time, in seconds
HORIZON = 30 * 86_400.0
#: places the integral over θ is taken at (Gauss-Legendre)
_NODES = 14
#: where a mixture's places are gathered: fine at the top, since what is wanted most is sold twice first
_GATHERED = np.array([0.15, 0.3, 0.45, 0.6, 0.72, 0.82, 0.9, 0.95, 0.975, 0.99, 0.996, 0.9985, 0.9995])
#: more units than this are counted in lots: sales then come in lots too, which errs to the careful side
_MOST_LOTS = 24
#: sets of channels are tried one by one up to here
_MOST_TRIED = 6
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Showing:
    """What each channel shows, the odds that the next sale ends in an oversell, those if all showed everything, and
    the share of buyers who do not see the goods."""

    quantities: tuple[int, ...]
    odds: float
    odds_everywhere: float
    unseen: float


def odds_of_oversell(units: int, goods: Goods, sellers: Sequence[Seller], quantities: Sequence[int]) -> float:
    """Probability that of `units` more are sold than there are before every channel knows of the next sale."""
    if units < 1:
        return 1.0 if any(quantities) else 0.0
    return _Race(units, goods, sellers).odds(quantities)


def quantities_to_show(
    units: int,
    goods: Goods,
    sellers: Sequence[Seller],
    limit: float,
    *,
    held_back: int = 0,
    stuck: Sequence[tuple[Seller, int]] = (),
) -> Showing:
    """What keeps the odds within `limit` and loses the fewest sales. No channel shows more than units - held_back.

    `stuck` channels show what they show, which cannot be changed now; on their account nothing may be shown at all.
    """
    most = units - held_back
    if most <= 0 or not sellers:
        return Showing((0,) * len(sellers), 0.0, 0.0, 1.0)
    race = _Race(units, goods, [*sellers, *(seller for seller, _ in stuck)], [shown for _, shown in stuck])
    full = (most,) * len(sellers)
    everywhere = race.odds(full)
    if everywhere <= limit:
        return Showing(full, everywhere, everywhere, 0.0)
    found = race.even_tails(limit, most) or race.one_each(limit)
    unseen = sum(each.weight for each, shown in zip(sellers, found, strict=True) if not shown)
    return Showing(tuple(found), race.odds(found), everywhere, unseen / sum(each.weight for each in sellers))


class _Race:
    """Who sells how many before he knows. Arrays are (θ, first seller i, delay told, seller j)."""

    def __init__(self, units: int, goods: Goods, sellers: Sequence[Seller], stuck: Sequence[int] = ()) -> None:
        self._units, self._stuck, self._free = units, stuck, len(sellers) - len(stuck)
        self._lot = -(-units // _MOST_LOTS)
        self._lots = units // self._lot
        self._pull = np.array([seller.weight for seller in sellers])
        self._wanted, self._weights = _popularity(goods)
        told = np.array([seller.told for seller in sellers])  # (i, a)
        shown = np.array([seller.shown for seller in sellers])  # (j, b)
        late = (told[:, :, None, None] + shown[None, None, :, :]) * self._next(sellers)[
            :, None, :, None
        ]  # (i, a, j, b)
        self._mean = self._wanted[:, None, None, None, None] * late / self._lot
        self._own = np.eye(len(sellers), dtype=bool)

    def _next(self, sellers: Sequence[Seller]) -> Array:
        """Weight of j after a sale on i: with parts of the demand that are Dirichlet, i has one sale more."""
        sure = sum(seller.alike for seller in sellers)
        more = np.eye(len(sellers)) * self._pull.sum()
        return np.asarray(self._pull[None, :] + (more - self._pull[None, :]) / (sure + 1.0))

    @cached_property
    def _none(self) -> Array:
        """P(N_j = 0)."""
        return np.asarray(np.exp(-self._mean) @ _WEIGHTS)

    @cached_property
    def _sales(self) -> Array:
        """P(N_j = k) for k below the units: (k, θ, i, a, j). Poisson, mixed over the delay."""
        told: list[Array] = []
        term = np.exp(-self._mean)
        for count in range(self._lots):
            told.append(term @ _WEIGHTS)
            if count + 1 < self._lots:
                term = term * self._mean / (count + 1)
        return np.array(told)

    def odds(self, quantities: Sequence[int]) -> float:
        """For what each seller shows that is not stuck."""
        quantities = [*quantities, *self._stuck]
        if sum(quantities) <= self._units:
            return 0.0
        on = np.array(quantities) > 0
        if self._lots == 1:
            none = np.where(self._own[None, :, None, :] | ~on, 1.0, self._none)
            return self._over(1.0 - none.prod(axis=-1), on)
        most, total = self._lots, None  # P(sum = m), m < units
        for seller, quantity in enumerate(quantities):
            if not quantity:
                continue
            cap = min(most, -(-min(quantity, self._units) // self._lot))
            one = _capped(self._sales[..., seller], cap)
            one[:, :, seller] = _capped(self._sales[:, :, seller, :, seller], cap - 1)
            if total is None:
                total = one
                continue
            mixed = np.zeros_like(total)
            for count in range(min(cap, most - 1) + 1):
                mixed[count:] += one[count] * total[: most - count]
            total = mixed
        assert total is not None, "somebody shows"
        return self._over(1.0 - total.sum(axis=0), on)

    def one_each(self, limit: float) -> list[int]:
        """The channels that sell most together within the limit, one unit on each."""
        count = self._free
        by_pull = sorted(range(count), key=lambda seller: (-self._pull[seller], seller))
        sets: list[tuple[int, ...]] = [tuple(by_pull[:size]) for size in range(count, 0, -1)]
        if self._units == 1 and count <= _MOST_TRIED:
            sets = [each for size in range(count, 0, -1) for each in combinations(by_pull, size)]
            sets.sort(key=lambda each: -self._pull[list(each)].sum())
        shown = ([int(seller in each) for seller in range(count)] for each in sets)
        nothing = [0] * count  # only because of stuck ones: a channel alone sells nothing twice
        return next((each for each in shown if self.odds(each) <= limit), nothing)

    def even_tails(self, limit: float, most: int) -> list[int] | None:
        """The most units with even tails within the limit; None when one unit each is too many."""
        if most == 1:
            return None
        caps = self._caps_by_tail(most)
        low, high = 0, len(caps) - 1  # from all of it to one unit each
        if self.odds(caps[high]) > limit:
            return None
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if self.odds(caps[middle]) <= limit else (middle + 1, high)
        return caps[low]

    def _caps_by_tail(self, most: int) -> list[list[int]]:
        others = (self._pull[:, None] * ~self._own).astype(float)
        others /= np.maximum(others.sum(axis=0), 1e-300)
        before = np.cumsum(self._sales, axis=0)  # P(N_j <= k)
        tails = 1.0 - np.einsum("ktiaj,a,t,ij->kj", before, _WEIGHTS, self._likely(self._pull.sum()), others)
        tails = tails[:, : self._free]
        found: list[list[int]] = [[most] * self._free]
        for tail in np.unique(tails):
            enough = np.where((tails <= tail).any(axis=0), (tails <= tail).argmax(axis=0), self._lots)
            quantities = [max(1, min(most, int(lots) * self._lot)) for lots in enough]
            if quantities != found[-1]:
                found.append(quantities)
        if found[-1] != (last := [1] * self._free):
            found.append(last)
        return found

    def _likely(self, pull: float) -> Array:
        """Weights of θ, given that a sale comes in time."""
        weights = self._weights * -np.expm1(-self._wanted * pull * HORIZON)
        return np.asarray(weights / max(weights.sum(), 1e-300))

    def _over(self, values: Array, on: NDArray[np.bool_]) -> float:
        """Over the delay told, the first seller (of those that show), and θ."""
        pull = np.where(on, self._pull, 0.0)
        by_wanted = (values @ _WEIGHTS) @ (pull / pull.sum())
        return float(max(0.0, by_wanted @ self._likely(pull.sum())))


def _capped(sales: Array, cap: int) -> Array:
    """P(min(N, cap) = k), k below the units."""
    one = sales.copy()
    if cap < len(one):
        one[cap] = 1.0 - one[:cap].sum(axis=0)
        one[cap + 1 :] = 0.0
    return one


def _popularity(goods: Goods) -> tuple[Array, Array]:
    """Places and weights for a mean over θ. Many places are gathered into few, each the mean of its own."""
    parts = [_gamma(shape, seconds, _NODES if len(goods.parts) == 1 else 10) for _, shape, seconds in goods.parts]
    if len(parts) == 1:
        return parts[0]
    at = np.concatenate([place for place, _ in parts])
    weights = np.concatenate([share * weight for (share, _, _), (_, weight) in zip(goods.parts, parts, strict=True)])
    order = np.argsort(at)
    at, weights = at[order], weights[order] / weights.sum()
    group = np.searchsorted(_GATHERED, np.cumsum(weights) - weights / 2.0)
    together = np.bincount(group, weights).astype(np.float64)
    kept = together > 0
    return (np.bincount(group, weights * at)[kept] / together[kept], together[kept])


def _gamma(shape: float, seconds: float, nodes: int) -> tuple[Array, Array]:
    """Below one the density has a pole at 0, which x^shape takes away."""
    place, weight = _gauss(nodes)
    power = min(1.0, shape)
    far = 5.0 if shape > 2.0 else 8.0  # a small shape has a long tail
    low = max(0.0, shape - far * shape**0.5) ** power
    high = (shape + far * shape**0.5 + 1.5 * far) ** power
    spread = low + (high - low) * place
    at = spread ** (1.0 / power)
    log = (shape - power) * np.log(at) - at
    density = weight * np.exp(log - log.max())
    return at / seconds, density / density.sum()


@lru_cache(maxsize=4)
def _gauss(nodes: int) -> tuple[Array, Array]:
    place, weight = np.polynomial.legendre.leggauss(nodes)
    return (place + 1.0) / 2.0, weight / 2.0


_WEIGHTS: Any = np.array(WEIGHTS)
