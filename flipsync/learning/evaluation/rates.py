"""Which of two Poisson rates earns more, from counts alone. No library: it runs beside the clock of the house."""

from __future__ import annotations

from math import exp, lgamma, log

_STEPS, _ENOUGH, _TINY = 300, 1e-12, 1e-300


def chance_better(count: int, exposure: float, worth: float, than: int, during: float, valued: float) -> float:
    """Posterior probability that `count` in `exposure`, each worth `worth`, earns more an hour than the other.

    Both rates have Jeffreys' prior, Gamma(1/2); their ratio is then a beta prime, so it is one incomplete beta.
    Raises ValueError for an exposure that is not above zero.
    """
    if exposure <= 0 or during <= 0:
        raise ValueError("a rate needs an exposure")
    if worth <= 0 or valued <= 0:  # the one that earns is ahead; of two that lose nothing can be said
        return 0.5 if worth <= 0 and valued <= 0 else float(worth > 0)
    odds = exposure * valued / (during * worth)  # the ratio of standard gammas above which the first is ahead
    return 1.0 - incomplete_beta(count + 0.5, than + 0.5, odds / (1.0 + odds))


def incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function, by its continued fraction (Lentz; DLMF 8.17.22)."""
    if x <= 0.0 or x >= 1.0:
        return float(x >= 1.0)
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - incomplete_beta(b, a, 1.0 - x)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log(1.0 - x)) / a
    c, d = 1.0, 1.0 / _off_zero(1.0 - (a + b) * x / (a + 1.0))
    whole = d
    for m in range(1, _STEPS):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 / _off_zero(1.0 + term * d)
            c = _off_zero(1.0 + term / c)
            whole *= d * c
        if abs(d * c - 1.0) < _ENOUGH:
            break
    return min(1.0, front * whole)


def _off_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
