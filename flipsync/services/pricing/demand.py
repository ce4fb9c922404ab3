"""How many units sell at a price: what our own history and the rivals say, with a prior where they are silent.

Sales at price p come as a Poisson process of rate  level * (p / p0) ** -e * S(p) / S(p0)  per hour of exposure, where
e is the own-price elasticity and S our share of attraction against the rivals in stock,
S(p) = p ** -k / (p ** -k + sum of r ** -k)  (multiplicative competitive interaction; Cooper and Nakanishi,
"Market-Share Analysis", 1988). For each e of a grid the Gamma prior of `level` is conjugate, so the posterior is exact:

    level | e ~ Gamma(a + U, b + H(e)),    H(e) = sum of h_i * w_i(e),    w_i(e) = rate multiple at price p_i
    log P(e | sales) = log prior(e) + sum of u_i log w_i(e) - (a + U) log(b + H(e)) + constant

with u_i units in h_i hours at price p_i (Gelman et al., "Bayesian Data Analysis", 2.6). The prior is worth a sales at
the mean rate (U + a) / (sum of h_i + hours of the prior), an empirical-Bayes scale. Elasticities are shrunk towards
2.62, the mean of 1,851 measured ones (Bijmolt, van Heerde and Pieters, Journal of Marketing Research, 2005).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

#: Prices further than a factor e**3 (about 20) from the reference tell nothing about elasticity near it.
MAX_LOG_RATIO = 3.0
HOURS_PER_DAY = 24.0


class DemandPrior(BaseModel):
    """What is believed before any sale. Rates are per hour of exposure."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    elasticity_mean: float = 2.62
    elasticity_sd: float = Field(default=2.0, gt=0)
    lowest_elasticity: float = Field(default=0.5, ge=0)
    elasticity_step: float = Field(default=0.75, gt=0)
    elasticities: int = Field(default=12, ge=2, le=100)
    level_shape: float = Field(default=1.0, gt=0, description="a: the prior is worth this many sales")
    level_hours: float = Field(default=336.0, gt=0, description="within these hours, where nothing was seen")
    rival_sensitivity: float = Field(default=6.0, gt=0, description="k, the exponent of attraction")

    def grid(self) -> tuple[float, ...]:
        return tuple(self.lowest_elasticity + self.elasticity_step * i for i in range(self.elasticities))

    def log_weights(self) -> tuple[float, ...]:
        return tuple(-0.5 * ((e - self.elasticity_mean) / self.elasticity_sd) ** 2 for e in self.grid())


def log_ratio(price: float, reference: float) -> float:
    return min(max(math.log(price / reference), -MAX_LOG_RATIO), MAX_LOG_RATIO)


@dataclass(frozen=True, slots=True)
class Demand:
    """Posterior demand around a reference price: a weight and a level (sales per hour) for each elasticity.

    Levels are means of Gamma distributions that all have `shape`.
    """

    prior: DemandPrior
    reference: float
    rivals: float
    weights: tuple[float, ...]
    levels: tuple[float, ...]
    shape: float

    def rates(self, price: float) -> list[float]:
        """Sales per day at `price`, one for each elasticity of the grid."""
        ratio = log_ratio(price, self.reference)
        multiple = math.exp(-self.prior.lowest_elasticity * ratio) * self._share(ratio) * HOURS_PER_DAY
        step = math.exp(-self.prior.elasticity_step * ratio)
        rates = []
        for level in self.levels:
            rates.append(level * multiple)
            multiple *= step
        return rates

    def rate(self, price: float) -> float:
        """Expected sales per day at `price`."""
        return sum(weight * rate for weight, rate in zip(self.weights, self.rates(price), strict=True))

    def elasticity(self) -> float:
        """Posterior mean of the own-price elasticity."""
        return sum(w * e for w, e in zip(self.weights, self.prior.grid(), strict=True))

    def _share(self, ratio: float) -> float:
        return relative_share(ratio, self.rivals, self.prior.rival_sensitivity)


def relative_share(ratio: float, rivals: float, sensitivity: float) -> float:
    """Our share of attraction at log price ratio `ratio`, relative to the share at the reference price."""
    own = math.exp(-sensitivity * ratio)
    return own * (1.0 + rivals) / (own + rivals)


def learn(
    prior: DemandPrior,
    reference: float,
    history: Iterable[tuple[float, int, float]],
    rival_prices: Iterable[float],
) -> Demand:
    """The posterior from (price, units sold, hours on offer) periods and the prices of the rivals in stock."""
    rivals = 0.0
    for rival in rival_prices:
        rivals += math.exp(-prior.rival_sensitivity * log_ratio(rival, reference))
    exposure = [0.0] * prior.elasticities
    units, offered, tilt = 0, 0.0, 0.0
    for price, sold, hours in history:
        ratio = log_ratio(price, reference)
        weighted = (
            hours * math.exp(-prior.lowest_elasticity * ratio) * relative_share(ratio, rivals, prior.rival_sensitivity)
        )
        step = math.exp(-prior.elasticity_step * ratio)
        for i in range(prior.elasticities):
            exposure[i] += weighted
            weighted *= step
        units += sold
        offered += hours
        tilt += sold * ratio
    shape = prior.level_shape + units
    # the prior's scale follows what the goods sell at all, or fast sellers would be torn to the slow prior
    prior_hours = prior.level_shape * (offered + prior.level_hours) / shape
    logs = [
        log_weight - elasticity * tilt - shape * math.log(prior_hours + hours)
        for log_weight, elasticity, hours in zip(prior.log_weights(), prior.grid(), exposure, strict=True)
    ]
    top = max(logs)
    odds = [math.exp(each - top) for each in logs]
    total = sum(odds)
    return Demand(
        prior=prior,
        reference=reference,
        rivals=rivals,
        weights=tuple(each / total for each in odds),
        levels=tuple(shape / (prior_hours + hours) for hours in exposure),
        shape=shape,
    )


def sold_in_time(rate: float, stock: int, discount: float) -> float:
    """Units sold per day, counted as if paid evenly, when `stock` units sell at `rate` a day and waiting costs money.

    The discounted count of the first n arrivals of a Poisson process is (rate / d) * (1 - (rate / (rate + d)) ** n)
    (each arrival's Laplace transform is rate / (rate + d)); times d it is a rate again. It tends to `rate` for
    plentiful stock, and for one unit to rate * d / (rate + d): scarce goods are worth waiting for a better price.
    """
    if stock <= 0 or rate <= 0.0:
        return 0.0
    return rate * -math.expm1(-stock * math.log1p(discount / rate))


def share_kept(demand: Demand, price: float, stock: int, quantity: int, discount: float) -> float:
    """How much of a sale's worth now the last `quantity` of `stock` units keep, on average, by waiting their turn.

    What n units are worth less what n - 1 are, by `sold_in_time`: (rate / (rate + d)) ** n of a sale.
    """
    share = 0.0
    for weight, rate in zip(demand.weights, demand.rates(price), strict=True):
        each = rate / (rate + discount)
        share += weight * sum(each**place for place in range(stock - quantity + 1, stock + 1)) / quantity
    return share
