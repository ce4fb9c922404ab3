"""How much goods are wanted, and how much of that comes to each channel, from what was sold in the time on show.

Sales of goods g on account j are Poisson with rate θ_g·w_j: see `oversell`. The likelihood is the same whether goods
were watched for a given time or until they sold. θ is first one Gamma over all goods; then that is bent to what sold: a
mixture of narrow Gammas on a grid (Laird 1978, JASA 73:805, by expectation and maximisation), in which the first counts
as some goods more. One Gamma has too thin a tail for the few things that everybody wants at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flipsync.services.channel_delay import Goods

#: what every account is believed to have sold beside what it sold, as an average one
_BELIEVED_SALES = 2.0
#: the grid: Gammas of this shape about multiples of the mean; the one Gamma counts as so many goods beside them
_KERNEL, _GRID, _BELIEVED_GOODS = 6.0, np.logspace(-3.0, 2.4, 28), 30.0
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Demand:
    """θ over all goods, and w by account."""

    goods: Goods
    weights: tuple[float, ...]


def fit_demand(
    goods: Sequence[int],
    accounts: Sequence[int],
    sold: Sequence[float],
    seconds: Sequence[float],
    *,
    shape: float,
    mean: float,
    count: int,
) -> Demand:
    """One row a listing: its goods and its account (numbers from 0; `count` accounts), units sold, seconds on show.

    The most likely Gamma beside a weak belief: shape within a factor of 2.7 of `shape`, sales a second within a factor
    of 20 of `mean` (one standard deviation each). Weights are fitted in turns with it; an average account has 1.
    """
    of, at = np.asarray(goods, dtype=np.intp), np.asarray(accounts, dtype=np.intp)
    sales, times = np.asarray(sold, dtype=np.float64), np.asarray(seconds, dtype=np.float64)
    weights = np.ones(count)
    if not len(of):
        return Demand(Goods.gamma(shape, shape / mean), tuple(weights.tolist()))
    totals = np.bincount(of, sales).astype(np.float64)
    by_account = np.bincount(at, sales, count)
    found = (shape, shape / mean)
    for _ in range(6):
        exposure = np.bincount(of, times * weights[at]).astype(np.float64)
        found = _gamma(totals, exposure, shape, mean, found)
        wanted = (found[0] + totals) / (found[1] + exposure)
        expected = np.bincount(at, wanted[of] * times, count)
        weights = (by_account + _BELIEVED_SALES) / (expected + _BELIEVED_SALES)
    exposure = np.bincount(of, times * weights[at]).astype(np.float64)
    return Demand(_bent(totals, exposure, *found), tuple(weights.tolist()))


def _bent(totals: Array, exposure: Array, shape: float, seconds: float) -> Goods:
    means = _GRID * shape / seconds
    spans = _KERNEL / means
    believed = shape * np.log(means * seconds) - means * seconds  # the Gamma, over log θ
    shares = np.exp(believed - believed.max())
    shares = believed = np.maximum(shares / shares.sum(), 1e-9)
    told = _KERNEL * np.log(spans) - (_KERNEL + totals[:, None]) * np.log(spans + exposure[:, None])
    likely = np.exp(told - told.max(axis=1, keepdims=True))
    for _ in range(80):
        joint = likely * shares
        each = (joint / joint.sum(axis=1, keepdims=True)).sum(axis=0)
        shares = (each + _BELIEVED_GOODS * believed) / (len(totals) + _BELIEVED_GOODS)
    kept = shares > 1e-7
    whole = shares[kept].sum()
    return Goods(tuple((float(s / whole), _KERNEL, float(b)) for s, b in zip(shares[kept], spans[kept], strict=True)))


def _gamma(
    totals: Array, exposure: Array, shape: float, mean: float, begin: tuple[float, float]
) -> tuple[float, float]:
    """Shape and rate, looked for from `begin`: the marginal likelihood (negative binomial) and its gradient."""
    from scipy.optimize import minimize  # heavy, and wanted once an hour
    from scipy.special import digamma, gammaln

    groups, members = np.unique(totals, return_inverse=True)
    many = np.bincount(members)
    believed = np.array([np.log(shape), np.log(mean)])

    def unlikely(at: Array) -> tuple[float, Array]:
        a = float(np.exp(at[0]))
        b = a / float(np.exp(at[1]))
        rising = ((gammaln(a + groups) - gammaln(a)) * many).sum()
        told = rising + len(totals) * a * np.log(b) - ((a + totals) * np.log(b + exposure)).sum()
        by_a = ((digamma(a + groups) - digamma(a)) * many).sum() + (np.log(b) - np.log(b + exposure)).sum()
        by_b = len(totals) * a / b - ((a + totals) / (b + exposure)).sum()
        off = at - believed
        belief = off[0] ** 2 / 2 + (off[1] / 3.0) ** 2 / 2
        slope = np.array([off[0] - a * by_a - b * by_b, off[1] / 9.0 + b * by_b])
        return float(belief - told), slope

    bounds = [(believed[0] - 5.0, believed[0] + 5.0), (believed[1] - 15.0, believed[1] + 15.0)]
    start = np.array([np.log(begin[0]), np.log(begin[0] / begin[1])])
    found = minimize(unlikely, start, method="L-BFGS-B", jac=True, bounds=bounds).x
    a = float(np.exp(found[0]))
    return a, a / float(np.exp(found[1]))
