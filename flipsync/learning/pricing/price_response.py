"""P13: how demand answers the price, from weeks in which shelf prices moved; and how well that foretells the next week.

Goods side by side: units and prices are (goods, weeks), prices in minor units. A method sees the weeks so far and the
next week's price and gives a distribution of its units (`Foretold`). The classical ones:

    constant      Poisson at the mean of the past
    pooled        ln E(units) = a_i − e·ln price, one e for all goods, a_i of each good: Poisson regression with fixed
                  effects. Given what a good sold in all, its weeks are multinomial, so only e is looked for (Hausman,
                  Hall and Griliches, Econometrica 1984)
    of each       the same with an e_i of each good, from its own weeks alone
    shrunk        e_i drawn towards the mean of all by how surely it is known: normal with its mean and spread estimated
                  (Morris, JASA 78:47, 1983), errors widened by the weeks' overdispersion

Weeks are noisier than Poisson. `Foretold.spread` puts a Gamma(φ, φ) about each week's mean, by one φ for all goods that
is learned from the method's own weeks so far, so that means and spreads can be told apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import gammaln, logsumexp
from scipy.stats import nbinom

from flipsync.learning.simulator import Array

#: elasticities are looked for from −2 to 10
LEAST, MOST = -2.0, 10.0
#: a shape that is Poisson for all that matters, and those that are tried
CERTAIN = 1e7
SHAPES = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 20.0, 40.0, CERTAIN)


@dataclass(frozen=True)
class Foretold:
    """Units of each good in the next week: a mixture of negative binomials with `weights` and `means`, (goods, parts),
    and one `shape` a good, (goods,): variance m + m²/shape."""

    weights: Array
    means: Array
    shape: Array

    @classmethod
    def poisson(cls, mean: Array) -> Foretold:
        return cls(np.ones((len(mean), 1)), np.maximum(mean, 1e-9)[:, None], np.full(len(mean), CERTAIN))

    @property
    def mean(self) -> Array:
        return np.asarray((self.weights * self.means).sum(axis=1))

    def spread(self, shape: float) -> Foretold:
        """With a Gamma of that shape about every mean too; relative variances add up."""
        return replace(self, shape=1 / (1 / self.shape + 1 / shape))

    def log_score(self, units: Array) -> Array:
        """Log probability of what was sold, (goods,)."""
        m, r, u = self.means, self.shape[:, None], units[:, None]
        logs = gammaln(u + r) - gammaln(r) - gammaln(u + 1) + r * np.log(r / (r + m)) + u * np.log(m / (r + m))
        with np.errstate(divide="ignore"):
            return np.asarray(logsumexp(logs + np.log(self.weights), axis=1))

    def inside(self, units: Array, level: float = 0.8) -> Array:
        """How much of what was sold lies in the middle `level` of the distribution, (goods,): counts come in lumps, so
        a count at an edge counts by the share of it inside (Czado, Gneiting and Held, Biometrics 2009)."""
        chance = self.shape[:, None] / (self.shape[:, None] + self.means)
        above, below = (
            (self.weights * nbinom.cdf(units[:, None] - step, self.shape[:, None], chance)).sum(axis=1)
            for step in (0, 1)
        )
        low, high = (1 - level) / 2, (1 + level) / 2
        lump = np.maximum(above - below, 1e-12)
        return np.asarray(np.clip((high - below) / lump, 0, 1) - np.clip((low - below) / lump, 0, 1))


#: units and prices so far, (goods, weeks), and the next week's prices, (goods,)
Method = Callable[[Array, Array, Array], Foretold]


def _levels(units: Array, logs: Array, elasticity: Array) -> Array:
    """Units a week at ln price 0: as many as sold, half a unit added: nothing is said never to sell."""
    return np.asarray((units.sum(axis=1) + 0.5) / np.exp(-elasticity[:, None] * logs).sum(axis=1))


def pooled_elasticity(units: Array, logs: Array) -> float:
    """The one e that makes all goods' weeks likeliest, given what each sold in all; by Newton's steps."""
    e = 0.0
    for _ in range(50):
        score, information = _slopes(units, logs, np.full(len(units), e))
        step = float(score.sum() / max(information.sum(), 1e-12))
        e = min(max(e + step, LEAST), MOST)
        if abs(step) < 1e-9:
            break
    return e


def own_elasticities(units: Array, logs: Array, exposure: Array | float = 1.0) -> tuple[Array, Array]:
    """Each good's likeliest e and what its weeks say of it (Fisher information), (goods,); 0 and 0 for a price that
    never moved. `exposure` is who could have bought in each week, (goods, weeks)."""
    e = np.zeros(len(units))
    for _ in range(60):
        score, information = _slopes(units, logs, e, exposure)
        step = np.where(information > 1e-9, score / np.maximum(information, 1e-9), 0.0)
        e = np.clip(e + np.clip(step, -2, 2), LEAST, MOST)
    information = _slopes(units, logs, e, exposure)[1]
    return e, np.where(information > 1e-9, information, 0.0)


def _slopes(units: Array, logs: Array, e: Array, exposure: Array | float = 1.0) -> tuple[Array, Array]:
    """First derivative and information of the multinomial log likelihood in e, (goods,)."""
    power = np.log(exposure) - e[:, None] * logs
    chance = np.exp(power - power.max(axis=1, keepdims=True))
    chance /= chance.sum(axis=1, keepdims=True)
    mean = (chance * logs).sum(axis=1)
    total = units.sum(axis=1)
    information = total * ((chance * logs**2).sum(axis=1) - mean**2)
    return np.asarray(total * mean - (units * logs).sum(axis=1)), np.asarray(information)


def spread_of(units: Array, means: Array) -> float:
    """φ by moments over all goods and weeks: E(u − m)² = m + m²/φ. `CERTAIN` for weeks no noisier than that."""
    beyond = float(((units - means) ** 2 - means).sum())
    return float((means**2).sum()) / beyond if beyond > 0 else CERTAIN


@dataclass(frozen=True)
class Shrunk:
    """What is believed of each good's e: normal with `mean` and `deviation`, (goods,); of all goods together with
    `centre` and `between`. `shape` is the weeks' spread φ."""

    mean: Array
    deviation: Array
    centre: float
    between: float
    shape: float


def shrunk(units: Array, logs: Array, exposure: Array | float = 1.0) -> Shrunk:
    """See the module. A good's error is widened by how much noisier its weeks are than Poisson at its mean: 1 + m/φ."""
    own, information = own_elasticities(units, logs, exposure)
    pull = exposure * np.exp(-own[:, None] * logs)
    fitted = pull * (units.sum(axis=1) / pull.sum(axis=1))[:, None]
    shape = spread_of(units, fitted)
    known = information > 0
    variance = np.where(known, (1 + units.mean(axis=1) / shape) / np.maximum(information, 1e-9), np.inf)
    sure = known & (own > LEAST + 0.01) & (own < MOST - 0.01)
    if sure.sum() < 2:
        return Shrunk(np.zeros(len(own)), np.full(len(own), 1.0), 0.0, 1.0, shape)
    centre, between = 0.0, 1.0
    for _ in range(200):
        weight = 1 / (variance[sure] + between**2)
        centre = float((weight * own[sure]).sum() / weight.sum())
        beyond = (weight**2 * ((own[sure] - centre) ** 2 - variance[sure])).sum() / (weight**2).sum()
        between = float(np.sqrt(max(beyond, 1e-4)))
    precision = np.where(known, 1 / variance, 0.0)
    after = 1 / (precision + 1 / between**2)
    mean = after * (precision * own + centre / between**2)
    return Shrunk(np.asarray(mean), np.sqrt(after), centre, between, shape)


# -- methods ----------------------------------------------------------------------------------------------------------


def constant(units: Array, prices: Array, price: Array) -> Foretold:
    return Foretold.poisson((units.sum(axis=1) + 0.5) / units.shape[1])


def _at(units: Array, prices: Array, price: Array, elasticity: Array) -> Array:
    logs = np.log(prices / price[:, None])
    return _levels(units, logs, elasticity)


def pooled(units: Array, prices: Array, price: Array) -> Foretold:
    e = pooled_elasticity(units, np.log(prices / prices[:, :1]))
    return Foretold.poisson(_at(units, prices, price, np.full(len(units), e)))


def of_each(units: Array, prices: Array, price: Array) -> Foretold:
    own, _ = own_elasticities(units, np.log(prices / prices[:, :1]))
    return Foretold.poisson(_at(units, prices, price, own))


def of_each_shrunk(units: Array, prices: Array, price: Array) -> Foretold:
    return Foretold.poisson(_at(units, prices, price, shrunk(units, np.log(prices / prices[:, :1])).mean))


BASELINES: dict[str, Method] = {
    "constant demand": constant,
    "pooled regression": pooled,
    "regression of each good": of_each,
    "regression of each, shrunk": of_each_shrunk,
}


@dataclass(frozen=True)
class Scores:
    """Of one method, by good and week foretold, (goods, weeks): log score with and without the weeks' spread, share
    inside the 80 % band with and without, and the error of the mean in units."""

    plain: Array
    spread: Array
    inside_plain: Array
    inside_spread: Array
    error: Array


def walk_forward(method: Method, units: Array, prices: Array, first: int) -> Scores:
    """Foretell every week from `first` on from all before it; the price of the week is known, its units are not.

    The spread is the one of `SHAPES` under which the weeks foretold so far were likeliest; before the first, the past
    about its mean.
    """
    past = units[:, :first]
    about = Foretold.poisson(past.mean(axis=1) + 0.5 / first)
    likely = np.array([sum(about.spread(shape).log_score(week).sum() for week in past.T) for shape in SHAPES])
    told: list[tuple[Array, ...]] = []
    for week in range(first, units.shape[1]):
        foretold, actual = method(units[:, :week], prices[:, :week], prices[:, week]), units[:, week]
        each = [foretold.spread(shape).log_score(actual) for shape in SHAPES]
        at = int(likely.argmax())
        wide = foretold.spread(SHAPES[at])
        told.append(
            (
                foretold.log_score(actual),
                each[at],
                foretold.inside(actual),
                wide.inside(actual),
                actual - foretold.mean,
            )
        )
        likely = (likely if week > first else 0.0) + np.array([score.sum() for score in each])
    return Scores(*(np.stack(each, axis=1) for each in zip(*told, strict=True)))
