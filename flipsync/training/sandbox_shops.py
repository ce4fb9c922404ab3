"""`shop-market`: the knobs of the shop's price rule, searched in the market that the sandbox serves.

The same rule as `shop-price`, against buyers and rivals written for another purpose: two goods a market, twenty days,
prices set once a day from the sales and rivals the market shows. A market is worth its profit over what holding every
starting price earns, learning days included. What is learned here is kept by this name and served by nobody: the
sandbox's buyers are no evidence of anybody's own.
"""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from flipsync.domain.money import usd
from flipsync.learning.policy import Origin, Policy
from flipsync.learning.pricing.sandbox_market import SandboxMarket
from flipsync.learning.protocol import JUDGE_SEED
from flipsync.learning.simulator import Array
from flipsync.sandbox.orderbook import MARKETPLACE_FEE
from flipsync.services.learned_pricing import ShopPrice
from flipsync.services.pricing.batch import BLANK
from flipsync.services.pricing.fees import percentage_plus_fixed
from flipsync.services.pricing.quote import PolicySettings
from flipsync.training.problem import Memory, Params, Step, running_mean
from flipsync.training.shops import NOW, Pricer, ShopPriceProblem

FEES = percentage_plus_fixed(
    "custom", Decimal(round(MARKETPLACE_FEE * 10_000)), usd("0.00"), valid_from=NOW, source="account"
)
#: of a market, and rivals that are looked at
GOODS, DAYS, _RIVALS = 2, 20, 4


def play(settings: PolicySettings | None, markets: int, seed: int) -> Array:
    """Profit of every market, minor units, (markets,), when the rule with these knobs prices it each day; None: when
    every price is held where it began."""
    world = SandboxMarket(GOODS, DAYS)
    seen = world.reset(markets, seed)
    start = world.usual.ravel()
    pricer = None
    if settings is not None:
        pricer = Pricer(settings, FEES, cost=world.cost.ravel(), start=start, ceiling=start * 3, shipping=0)
    total = np.zeros(markets)
    for _ in range(DAYS):
        asked = start
        if pricer is not None:
            offers = np.concatenate([market.offers(_RIVALS) for market in world.markets])
            asked = pricer.price(np.where(offers > 0, offers, BLANK))
        seen, earned, _ = world.step((asked / start).reshape(markets, GOODS))
        total += earned
        if pricer is not None:
            pricer.sold(seen.reshape(-1, 3)[:, 2].astype(np.int64))
    world.close()
    return total


@lru_cache(maxsize=64)
def held(markets: int, seed: int) -> Array:
    """What holding every price earns: the same for every rule."""
    return play(None, markets, seed)


class ShopMarketProblem(ShopPriceProblem):
    """A step plays the rule in 3 more markets; the score is the mean gain over holding, as a share."""

    name = "shop-market"
    steps = 4
    markets: ClassVar[int] = 3

    def advance(self, params: Params, seed: int, step: int, memory: Memory) -> Step:
        settings = ShopPrice.of(dict(params), Origin(self.name, "", seed)).settings
        drawn = seed * 1_000 + step
        gain = play(settings, self.markets, drawn) / held(self.markets, drawn) - 1
        return running_mean(memory, float(gain.mean()))

    def judge(self, policy: Policy, runs: int) -> Array:
        assert isinstance(policy, ShopPrice)
        return np.asarray(play(policy.settings, runs, JUDGE_SEED) / held(runs, JUDGE_SEED))

    def describe(self) -> dict[str, Any]:
        return {
            "scenarios": f"{self.markets} markets of the sandbox a step, {GOODS} goods, {DAYS} days",
            "problem": self.name,
        }
