"""The policy against "hold" and "match the lowest" in a market that is not the one it believes in.

Buyers choose by a logit over us, the rivals and not buying, linear in price; the policy assumes constant elasticity and
attraction shares. Each seed is a shop of 20 listings with their own costs, buyers and rivals; starting prices are cost
plus an arbitrary mark-up. Every policy meets the same listings and rivals, starts from the same prices and is measured
by realised profit over 90 days after exact fees; the learning days count.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

import numpy as np
import pytest

from flipsync.domain.money import usd
from flipsync.services.pricing import PolicySettings, percentage_plus_fixed
from flipsync.services.pricing.batch import BLANK, QuoteArrays, quote_batch
from flipsync.services.pricing.batch_economics import BatchEconomics

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
FEES = percentage_plus_fixed("custom", Decimal(1200), usd("0.30"), valid_from=NOW - timedelta(days=9), source="account")
SEEDS, LISTINGS, DAYS, RIVALS, BUCKETS = 40, 20, 90, 3, 8
Player = Literal["policy", "hold", "match"]
Array = np.ndarray[Any, Any]


@dataclass
class Shop:
    cost: Array
    start: Array
    visitors: Array
    sensitivity: Array
    worth: Array
    rivals: Array  # price by day, listing, rival; BLANK when out of stock
    units: BatchEconomics
    floor: Array


def shop(seed: int, *, contested: bool) -> Shop:
    rng = np.random.default_rng(seed)
    n = LISTINGS
    cost = rng.integers(400, 4_000, n)
    zero = np.zeros(n, dtype=np.int64)
    shipping = np.full(n, 300, dtype=np.int64)
    units = BatchEconomics(FEES.terms(NOW), cost, shipping, zero, zero, np.full(n, 25, dtype=np.int64), zero)
    floor = units.floor_price(np.ones(n, dtype=np.int64))
    usual = floor * rng.uniform(1.2, 1.7, n)
    walk = np.exp(np.cumsum(rng.normal(0, 0.01, (DAYS, n, RIVALS)), axis=0) + rng.normal(0, 0.08, (n, RIVALS)))
    shown = (rng.random((DAYS, n, RIVALS)) < 0.85) & contested
    return Shop(
        cost=cost,
        start=(floor * rng.uniform(1.1, 2.0, n)).astype(np.int64),
        visitors=rng.uniform(3, 20, n),
        sensitivity=rng.uniform(3.0, 8.0, n) / usual,
        worth=usual * rng.uniform(0.9, 1.2, n),
        rivals=np.where(shown, (usual[:, None] * walk).astype(np.int64), BLANK),
        units=units,
        floor=floor,
    )


def sales_per_day(market: Shop, price: Array, rivals: Array) -> Array:
    def pull(p: Array, worth: Array, sensitivity: Array) -> Array:
        return np.exp(np.clip(sensitivity * (worth - p), -40, 40))

    ours = pull(price, market.worth, market.sensitivity)
    theirs = pull(rivals.astype(float), market.worth[:, None], market.sensitivity[:, None])
    others = np.where(rivals == BLANK, 0.0, theirs).sum(axis=1)
    return market.visitors * ours / (1.0 + ours + others)


def profit(player: Player, seed: int, *, contested: bool) -> float:
    market = shop(seed, contested=contested)
    rng = np.random.default_rng([seed, 99])
    n = LISTINGS
    price, total = market.start.copy(), 0.0
    # the last prices with what they sold, newest last: (listing, bucket)
    seen = np.full((n, BUCKETS), BLANK, dtype=np.int64)
    sold, hours = np.zeros((n, BUCKETS), dtype=np.int64), np.zeros((n, BUCKETS))
    blank, zero = np.full(n, BLANK, dtype=np.int64), np.zeros(n, dtype=np.int64)
    for day in range(DAYS):
        rivals = market.rivals[day]
        if player == "match":
            lowest = np.where(rivals == BLANK, np.iinfo(np.int64).max, rivals).min(axis=1)
            price = np.where((rivals != BLANK).any(axis=1), np.maximum(lowest, market.floor), price)
        elif player == "policy":
            requests = QuoteArrays(
                current=price,
                unit_cost=market.cost,
                shipping_cost=np.full(n, 300, dtype=np.int64),
                shipping_charged=blank,
                tax_bps=zero,
                floor=blank,
                ceiling=market.floor * 3,
                min_margin=np.full(n, 25, dtype=np.int64),
                margin_bps=zero,
                step_up_bps=np.full(n, 1_000, dtype=np.int64),
                step_down_bps=np.full(n, 1_000, dtype=np.int64),
                stock=np.full(n, 500, dtype=np.int64),
                days_since_last_sale=np.zeros(n),
                restock_days=np.full(n, np.inf),
                rivals=rivals,
                recent=seen[:, -4:-1],
                history_price=seen,
                history_units=sold,
                history_hours=hours,
            )
            quotes = quote_batch(requests, FEES, PolicySettings(), NOW)
            price = quotes.best
            assert (market.units.surplus(price) >= 0).all()
        bought = rng.poisson(sales_per_day(market, price, rivals))
        total += float((bought * market.units.net(price)).sum())
        fresh = np.flatnonzero(seen[:, -1] != price)
        for column in (seen, sold, hours):
            column[fresh] = np.roll(column[fresh], -1, axis=1)
        seen[fresh, -1], sold[fresh, -1], hours[fresh, -1] = price[fresh], 0, 0.0
        sold[:, -1] += bought
        hours[:, -1] += 24.0
    return total


def gain(baseline: Player, *, contested: bool) -> tuple[float, float]:
    """Mean gain of the policy over the baseline as a share of its profit, and half of its 95 % interval (Student)."""
    ratios = np.array(
        [
            profit("policy", seed, contested=contested) / profit(baseline, seed, contested=contested) - 1
            for seed in range(SEEDS)
        ]
    )
    quantile = 2.023  # of Student's t with 39 degrees of freedom, two-sided 95 %
    return float(ratios.mean()), float(quantile * ratios.std(ddof=1) / np.sqrt(SEEDS))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("baseline", "contested"), [("hold", True), ("match", True), ("hold", False)], ids=["hold", "match", "alone-hold"]
)
def test_the_policy_earns_more_than_the_baseline(baseline: Player, contested: bool, record_property: Any) -> None:
    mean, half = gain(baseline, contested=contested)
    record_property("gain", f"{mean:+.1%} ± {half:.1%}")
    assert mean - half > 0, f"gain over {baseline}: {mean:+.1%} ± {half:.1%}"
