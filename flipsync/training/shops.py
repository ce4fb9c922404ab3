"""`shop-price`: the knobs of the shop's price rule, searched in shops that are not what the rule believes in.

Buyers choose by a logit over us, the rivals and not buying, linear in price; the rule assumes constant elasticity and
attraction shares. A shop is 20 listings with costs, buyers and rivals of their own and starting prices somewhere above
cost; it is worth its profit of 60 days after exact fees, learning days included, over what holding every starting price
earns.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar

import numpy as np
from scipy.stats import poisson

from flipsync.domain.money import usd
from flipsync.learning.policy import Origin, Policy
from flipsync.learning.protocol import JUDGE_SEED
from flipsync.learning.simulator import Array, Ints
from flipsync.services.learned_pricing import ShopPrice, shipped_knobs
from flipsync.services.pricing.batch import BLANK, QuoteArrays, quote_batch
from flipsync.services.pricing.batch_economics import BatchEconomics
from flipsync.services.pricing.batch_history import past_of
from flipsync.services.pricing.fees import FeeSchedule, percentage_plus_fixed
from flipsync.services.pricing.history import EVIDENCE, Book, Sold
from flipsync.services.pricing.quote import PolicySettings
from flipsync.training.problem import Memory, Params, Problem, Range, Step, running_mean

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
FEES = percentage_plus_fixed("custom", Decimal(1200), usd("0.30"), valid_from=NOW - timedelta(days=9), source="account")
LISTINGS, DAYS, RIVALS = 20, 60, 3
_NOON = timedelta(hours=12)


@dataclass(frozen=True)
class Shops:
    """Shops side by side, a row a listing. `luck` decides how many of the day's buyers come: (days, listings)."""

    cost: Ints
    start: Ints
    visitors: Array
    sensitivity: Array
    worth: Array
    rivals: Ints  # price by day, listing, rival; BLANK when out of stock
    floor: Ints
    units: BatchEconomics
    luck: Array

    @classmethod
    def draw(cls, shops: int, seed: int, days: int = DAYS) -> Shops:
        """Every second shop has rivals."""
        rng = np.random.default_rng(seed)
        n = shops * LISTINGS
        cost = rng.integers(400, 4_000, n)
        zero = np.zeros(n, dtype=np.int64)
        shipping, least = np.full(n, 300, dtype=np.int64), np.full(n, 25, dtype=np.int64)
        units = BatchEconomics(FEES.terms(NOW), cost, shipping, zero, zero, least, zero)
        floor = units.floor_price(np.ones(n, dtype=np.int64))
        usual = floor * rng.uniform(1.2, 1.7, n)
        walk = np.exp(np.cumsum(rng.normal(0, 0.01, (days, n, RIVALS)), axis=0) + rng.normal(0, 0.08, (n, RIVALS)))
        contested = (np.arange(n) // LISTINGS % 2 == 0)[None, :, None]
        shown = (rng.random((days, n, RIVALS)) < 0.85) & contested
        return cls(
            cost=cost,
            start=(floor * rng.uniform(1.1, 2.0, n)).astype(np.int64),
            visitors=rng.uniform(3, 20, n),
            sensitivity=rng.uniform(3.0, 8.0, n) / usual,
            worth=usual * rng.uniform(0.9, 1.2, n),
            rivals=np.where(shown, (usual[:, None] * walk).astype(np.int64), BLANK),
            floor=floor,
            units=units,
            luck=rng.random((days, n)),
        )

    def sales(self, day: int, price: Ints) -> Ints:
        """Units each listing sells that day; a lower price never sells less under the same luck."""

        def pull(p: Array, worth: Array, sensitivity: Array) -> Array:
            return np.asarray(np.exp(np.clip(sensitivity * (worth - p), -40, 40)))

        rivals = self.rivals[day]
        ours = pull(price.astype(np.float64), self.worth, self.sensitivity)
        theirs = pull(rivals.astype(np.float64), self.worth[:, None], self.sensitivity[:, None])
        others = np.where(rivals == BLANK, 0.0, theirs).sum(axis=1)
        rate = self.visitors * ours / (1.0 + ours + others)
        return np.asarray(poisson.ppf(self.luck[day], rate), dtype=np.int64)

    def by_shop(self, of_listing: Array) -> Array:
        return np.asarray(of_listing.reshape(-1, LISTINGS).sum(axis=1))

    def held(self) -> Array:
        """Profit of every shop that never changes a price."""
        days = range(len(self.luck))
        sold = np.sum([self.sales(day, self.start) for day in days], axis=0)
        return self.by_shop(sold * self.units.net(self.start))

    def play(self, settings: PolicySettings) -> Array:
        """Profit of every shop when the rule with these knobs prices it each day."""
        pricer = Pricer(settings, FEES, cost=self.cost, start=self.start, ceiling=self.floor * 3, shipping=300)
        total = np.zeros(len(self.start))
        for day in range(len(self.luck)):
            price = pricer.price(self.rivals[day])
            bought = self.sales(day, price)
            total += bought * self.units.net(price)
            pricer.sold(bought)
        return self.by_shop(total)


class Pricer:
    """The shop's price rule day by day for listings side by side, asked as the running system asks it, with books of
    each listing that reach back `evidence`; minor units."""

    def __init__(
        self,
        settings: PolicySettings,
        fees: FeeSchedule,
        *,
        cost: Ints,
        start: Ints,
        ceiling: Ints,
        shipping: int,
        evidence: timedelta = EVIDENCE,
    ) -> None:
        self.settings, self.fees, self.cost, self.ceiling, self.shipping = settings, fees, cost, ceiling, shipping
        self.evidence, self.now = evidence, NOW
        self.asked = start.copy()
        self.books = [Book(price, NOW, NOW) for price in start.tolist()]

    def knew(self, price: Ints, units: Ints) -> None:
        """What was asked and sold on each day until now, (listings, days)."""
        days = price.shape[1]
        begun = self.now - timedelta(days=days)
        for book, asked, sold in zip(self.books, price.tolist(), units.tolist(), strict=True):
            current = book.current_minor
            book.published_at, book.current_minor = begun, asked[0]
            for day in range(days):
                at = begun + timedelta(days=day)
                book.ask(asked[day], at)
                if sold[day]:
                    book.sales.append(Sold(at + _NOON, sold[day]))
            book.ask(current, self.now)

    def price(self, rivals: Ints) -> Ints:
        """The day's prices, (listings,); `rivals` (listings, rivals), BLANK where there is none in stock."""
        n = len(self.asked)
        zero, blank = np.zeros(n, dtype=np.int64), np.full(n, BLANK, dtype=np.int64)
        requests = QuoteArrays(
            current=self.asked,
            unit_cost=self.cost,
            shipping_cost=np.full(n, self.shipping, dtype=np.int64),
            shipping_charged=blank,
            tax_bps=zero,
            floor=blank,
            ceiling=self.ceiling,
            min_margin=np.full(n, 25, dtype=np.int64),
            margin_bps=zero,
            step_up_bps=np.full(n, 1_000, dtype=np.int64),
            step_down_bps=np.full(n, 800, dtype=np.int64),
            stock=np.full(n, 500, dtype=np.int64),
            restock_days=np.full(n, np.inf),
            rivals=rivals,
            **past_of([book.read(self.now - self.evidence) for book in self.books], self.now),
        )
        self.asked = quote_batch(requests, self.fees, self.settings, NOW).best
        return self.asked

    def sold(self, units: Ints) -> None:
        """What the day's prices, `asked`, sold, (listings,): the next day begins."""
        for book, price, count in zip(self.books, self.asked.tolist(), units.tolist(), strict=True):
            book.ask(price, self.now)
            if count:
                book.sales.append(Sold(self.now + _NOON, count))
        self.now += timedelta(days=1)


class ShopPriceProblem(Problem):
    """A step plays the rule in 8 more shops; the score is the mean gain over holding, as a share."""

    name = "shop-price"
    unit = "profit over holding every price"
    kind = "pricing"
    steps = 6
    shops: ClassVar[int] = 8
    space = {  # noqa: RUF012 - declared as ClassVar in the base
        "elasticity_mean": Range(1.5, 8.0),
        "elasticity_sd": Range(0.5, 4.0),
        "rival_sensitivity": Range(1.0, 12.0),
        "level_hours": Range(100.0, 1_500.0, log=True),
        "min_gain": Range(0.0, 0.06),
        "return_factor": Range(1.0, 5.0),
        "patience_days": Range(15.0, 240.0, log=True),
    }
    baseline = shipped_knobs()

    def advance(self, params: Params, seed: int, step: int, memory: Memory) -> Step:
        shops = Shops.draw(self.shops, seed * 1_000 + step)
        gain = shops.play(ShopPrice.of(dict(params), Origin(self.name, "", seed)).settings) / shops.held() - 1
        return running_mean(memory, float(gain.mean()))

    def policy(self, params: Params, memory: Memory, origin: Origin) -> Policy:
        return ShopPrice.of(dict(params), origin)

    def default(self, origin: Origin) -> Policy:
        return ShopPrice.as_shipped(origin)

    def judge(self, policy: Policy, runs: int) -> Array:
        assert isinstance(policy, ShopPrice)
        shops = Shops.draw(runs, JUDGE_SEED)
        return np.asarray(shops.play(policy.settings) / shops.held())

    def describe(self) -> dict[str, Any]:
        return {
            "scenarios": f"{self.shops} drawn shops of {LISTINGS} listings a step, {DAYS} days",
            "problem": self.name,
        }
