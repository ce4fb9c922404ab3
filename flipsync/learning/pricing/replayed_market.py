"""P14: a market that is replayed: a grocer's goods, traffic and shelf prices as they were, buyers as fitted to them.

Of the real weeks are: which goods, what each usually costs, the lowest and highest price it was sold at, how many
baskets a week held something else of its category (who could have bought it), and the path of its price. Fitted to
them is how a buyer answers the price: units a basket ∝ (price / usual) ** −e, e of each good drawn for each run from
what the weeks say of it (`price_response.shrunk`), and how noisy a week is (a Gamma about its mean, Poisson by day).
Assumed is what goods cost, for the grocer does not say: `MARGIN` of the usual price is left.

So a replay can rank policies under the price response that the data supports, within the prices that were asked. It
cannot say what buyers do at other prices, whether a price was low because demand was expected to be high (displays and
leaflets go with promotions: e is then too great), what goods take from one another, nor what buyers remember.

A run is a shop of `goods` goods drawn from the panel. A period is a day; an action is each good's price as a share of
the usual one, held between the lowest and the highest that were seen. Observation, for each good in turn: our price as
such a share, last day's units, and the day's traffic as a share of the good's mean. Reward: revenue less cost, minor
units.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import gamma, poisson

from flipsync.learning.grocer import Panel
from flipsync.learning.pricing.price_response import CERTAIN, Shrunk, shrunk
from flipsync.learning.simulator import Array, Ints, Simulator

#: share of the usual price that is left after the cost of the goods: an assumption, about a grocer's gross margin
MARGIN = 0.3
GOODS, WEEK = 10, 7


@dataclass(frozen=True)
class Response:
    """What the panel's first `weeks` weeks say: the posterior of every good's e, and its units a basket at the usual
    price for any e."""

    believed: Shrunk
    units: Array
    traffic: Array
    logs: Array

    @classmethod
    def of(cls, panel: Panel, weeks: int) -> Response:
        units, traffic = panel.units[:, :weeks], panel.traffic[:, :weeks]
        logs = np.log(panel.price[:, :weeks] / panel.usual[:, None])
        return cls(shrunk(units, logs, traffic), units, traffic, logs)

    def level(self, rows: Ints, elasticity: Array) -> Array:
        """Units a basket at the usual price of these goods, each with that e, (goods,)."""
        exposed = (self.traffic[rows] * np.exp(-elasticity[:, None] * self.logs[rows])).sum(axis=1)
        return np.asarray((self.units[rows].sum(axis=1) + 0.5) / exposed)


class ReplayedMarket(Simulator):
    """See the module. Fitted to the weeks before `first_week`, replayed from there on. `row`, `elasticity`, `rate`
    (units a basket at the usual price), `usual`, `lowest`, `highest` and `cost` are (runs, goods), drawn at `reset`."""

    def __init__(
        self, panel: Panel, *, goods: int = GOODS, first_week: int = 26, weeks: int = 25, margin: float = MARGIN
    ) -> None:
        """Raises ValueError for weeks beyond the panel's, and a margin that is no share."""
        super().__init__()
        if not (first_week > 0 and first_week + weeks <= panel.units.shape[1] and 0 < goods <= len(panel.units)):
            raise ValueError("the panel has not so many weeks or goods")
        if not 0 < margin < 1:
            raise ValueError(f"a margin of {margin} is not a share between 0 and 1")
        self.panel, self.first_week, self.margin = panel, first_week, margin
        self.response = Response.of(panel, first_week)
        self.horizon, self.action_size, self.observation_size = weeks * WEEK, goods, 3 * goods
        none = np.zeros((0, goods))
        self.row = np.zeros((0, goods), dtype=np.int64)
        self.elasticity = self.rate = self.usual = self.lowest = self.highest = self.cost = self.noise = none

    def action_bounds(self) -> tuple[Array, Array]:
        ratio = self.panel.price / self.panel.usual[:, None]
        return np.full(self.action_size, ratio.min()), np.full(self.action_size, ratio.max())

    def asked(self, actions: Array) -> Array:
        """Prices in minor units, (runs, goods): within what was seen of each good."""
        return np.asarray(np.clip(actions * self.usual, self.lowest, self.highest))

    def logged(self, period: int) -> Array:
        """The action that asks the prices of that day's week as they were, (runs, goods)."""
        return np.asarray(self.panel.price[self.row, self.first_week + period // WEEK] / self.usual)

    def best(self) -> Array:
        """The action that earns most for who knows e: e/(e − 1) times the cost, or the highest price; (runs, goods)."""
        e = self.elasticity
        wanted = np.where(e > 1, e / np.maximum(e - 1, 1e-9) * self.cost, self.highest)
        return np.asarray(np.clip(wanted, self.lowest, self.highest) / self.usual)

    def expected(self, actions: Array) -> Array:
        """Units that the day is expected to bring, (runs, goods), before the week's noise."""
        ratio = self.asked(actions) / self.usual
        return np.asarray(self._baskets() * self.rate * ratio**-self.elasticity)

    def _baskets(self) -> Array:
        return np.asarray(self.panel.traffic[self.row, self.first_week + self.period // WEEK] / WEEK)

    def _begin(self) -> Array:
        shape = (self.runs, self.action_size)
        order = self.rng.random((self.runs, len(self.panel.units))).argsort(axis=1)
        self.row = np.asarray(order[:, : self.action_size], dtype=np.int64)
        believed = self.response.believed
        drawn = self.rng.standard_normal(shape) * believed.deviation[self.row] + believed.mean[self.row]
        # that dearer goods sell more is luck or a promotion's company, and no price response
        self.elasticity = np.clip(drawn, 0.0, None)
        flat, e = self.row.ravel(), self.elasticity.ravel()
        self.rate = self.response.level(flat, e).reshape(shape)
        self.usual = self.panel.usual[self.row]
        self.lowest, self.highest = self.panel.price.min(axis=1)[self.row], self.panel.price.max(axis=1)[self.row]
        self.cost = self.usual * (1 - self.margin)
        return self._seen(np.ones(shape), np.zeros(shape))

    def _move(self, actions: Array) -> tuple[Array, Array]:
        if self.period % WEEK == 0:
            phi = min(self.response.believed.shape, CERTAIN)
            self.noise = np.asarray(gamma.ppf(self.rng.random(self.row.shape), phi, scale=1 / phi))
        luck = self.rng.random(self.row.shape)
        units = np.asarray(poisson.ppf(luck, self.expected(actions) * self.noise), dtype=np.float64)
        price = self.asked(actions)
        return self._seen(price / self.usual, units), (units * (price - self.cost)).sum(axis=1)

    def _seen(self, price: Array, units: Array) -> Array:
        mean = self.panel.traffic[self.row].mean(axis=2) / WEEK
        return np.stack([price, units, self._baskets() / mean], axis=2).reshape(self.runs, -1)
