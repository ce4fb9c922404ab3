"""What always asking a kind of price would have earned, from the log of a grocer's own prices: off-policy estimates.

A row is a good and a week; the action is how its price stood to the usual one (`RUNGS`); the reward its profit against
what its mean week at the usual price would leave, so that goods count alike. The grocer's chances are not known: they
are estimated by how often the good stood at each price in its busy and in its quiet weeks. So IPS, SNIPS and the doubly
robust estimate are unbiased only if, that given, a week's price says nothing of its demand beside its own effect.
Promotions go with displays, leaflets and holidays: `traffic_beside` tells how much busier their weeks were, and so how
far to trust what is said of low prices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flipsync.learning.evaluation.off_policy import Log, doubly_robust, ips, snips
from flipsync.learning.grocer import Panel
from flipsync.learning.pricing.replayed_market import MARGIN, Response
from flipsync.learning.protocol import Interval, bootstrap
from flipsync.learning.simulator import Array, Ints

RUNGS = ("more than 15 % below the usual price", "3 to 15 % below", "the usual price")
_EDGES = np.array([0.85, 0.97])
#: weeks a good has to have had at each price
LEAST_WEEKS = 5
#: weeks as the good's own over the whole year that its busy and its quiet half are each taken to have had beside
_BELIEVED = 5.0


@dataclass(frozen=True)
class LoggedPrices:
    """Goods that stood at every rung for a while: `action`, `chance` (of what was done) and `reward` (goods, weeks),
    `model` (goods, weeks, rungs) what a price response fitted to the same weeks expects."""

    action: Ints
    chance: Array
    reward: Array
    model: Array
    traffic: Array

    @classmethod
    def of(cls, panel: Panel, margin: float = MARGIN) -> LoggedPrices:
        """Raises ValueError when no good stood at every rung for `LEAST_WEEKS`."""
        ratio = panel.price / panel.usual[:, None]
        action = np.searchsorted(_EDGES, ratio, side="right")
        counts = np.stack([(action == rung).sum(axis=1) for rung in range(len(RUNGS))], axis=1)
        kept = np.flatnonzero((counts >= LEAST_WEEKS).all(axis=1))
        if not len(kept):
            raise ValueError("no good stood at every kind of price for long enough")
        chosen, action, counts = panel.take(kept), action[kept], counts[kept]
        ratio = ratio[kept]
        response = Response.of(chosen, chosen.units.shape[1])
        e, rows = response.believed.mean, np.arange(len(kept))
        usual_week = chosen.traffic * response.level(rows, e)[:, None]
        unit = usual_week.mean(axis=1) * margin
        left = ratio - (1 - margin)
        # what each rung stood for with this good, in the middle
        at = np.stack(
            [np.nanmedian(np.where(action == rung, ratio, np.nan), axis=1) for rung in range(len(RUNGS))], axis=1
        )
        model = usual_week[..., None] * (at ** -e[:, None] * (at - (1 - margin)))[:, None, :]
        return cls(
            action,
            _chances(action, chosen.traffic),
            chosen.units * left / unit[:, None],
            model / unit[:, None, None],
            chosen.traffic,
        )

    def worth(self, policy: Array) -> dict[str, Interval]:
        """Mean reward of a policy that takes rungs with these chances, (rungs,), by each estimator; intervals by
        bootstrap over goods, whose weeks are not independent. `model` is the price response alone."""
        told: dict[str, list[float]] = {"IPS": [], "SNIPS": [], "doubly robust": [], "model": []}
        for good in range(len(self.action)):
            log = Log(self.action[good], self.chance[good], self.reward[good])
            wants = np.broadcast_to(policy, (len(log.action), len(RUNGS)))
            told["IPS"].append(ips(log, wants).value.mean)
            told["SNIPS"].append(snips(log, wants).value.mean)
            told["doubly robust"].append(doubly_robust(log, wants, self.model[good]).value.mean)
            told["model"].append(float((wants * self.model[good]).sum(axis=1).mean()))
        return {name: bootstrap(each) for name, each in told.items()}

    def as_logged(self) -> Interval:
        """Mean reward of what the grocer did."""
        return bootstrap(self.reward.mean(axis=1))

    def traffic_beside(self, rung: int) -> Interval:
        """The category's baskets in weeks at that rung over those in weeks at the usual price, less one, by good."""
        here, usual = self.action == rung, self.action == len(RUNGS) - 1
        ratio = (self.traffic * here).sum(axis=1) / here.sum(axis=1)
        return bootstrap(ratio / ((self.traffic * usual).sum(axis=1) / usual.sum(axis=1)) - 1)


def _chances(action: Ints, traffic: Array) -> Array:
    """The chance of what was done, (goods, weeks): see the module."""
    busy = traffic > np.median(traffic, axis=1, keepdims=True)
    stood = action[..., None] == np.arange(len(RUNGS))
    overall = stood.mean(axis=1, keepdims=True)
    chance = np.zeros(stood.shape)
    for half in (busy, ~busy):
        times = (stood & half[..., None]).sum(axis=1, keepdims=True)
        share = (times + _BELIEVED * overall) / (half.sum(axis=1)[:, None, None] + _BELIEVED)
        chance = np.where(half[..., None], share, chance)
    return np.asarray(np.take_along_axis(chance, action[..., None], axis=2)[..., 0])
