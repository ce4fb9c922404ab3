"""Pricing policy v1 as somebody with pandas writes it: columns of a DataFrame, a loop over candidate prices.

Written from the words of `flipsync/services/pricing/{demand,policy}.py` and from none of their code, for fees that are
a share of the price and a fixed amount, and goods whose shipping costs the buyer nothing.
"""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pandas as pd

from flipsync.services.pricing import PolicySettings
from flipsync.services.pricing.batch import BLANK, QuoteArrays
from flipsync.services.pricing.batch_economics import Ints
from flipsync.services.pricing.fees import FeeSchedule

_STEPS = 6


def best_prices(asked: QuoteArrays, fees: FeeSchedule, settings: PolicySettings, at: datetime) -> Ints:
    """The price each listing should have, minor units; where it is to stay, the one it has."""
    (term,) = fees.terms(at)
    prior = settings.prior
    frame = pd.DataFrame(
        {
            "current": asked.current,
            "cost": asked.unit_cost,
            "shipping": asked.shipping_cost,
            "margin": asked.margin_bps,
            "least": pd.Series(asked.min_margin).where(asked.min_margin != BLANK, 0),
            "floor": pd.Series(asked.floor).where(asked.floor != BLANK, 1),
            "ceiling": asked.ceiling,
            "up": asked.step_up_bps,
            "down": asked.step_down_bps,
            "stock": asked.stock,
            "waiting": settings.discount + 1 / asked.restock_days,
        }
    )
    age = (pd.Series(asked.days_since_last_sale) - settings.stale_after_days) / settings.stale_ramp_days
    frame["relief"] = settings.stale_relief * age.clip(0.0, 1.0) * frame["cost"]

    def ratio(price: pd.Series) -> pd.Series:
        return np.log(price / frame["current"]).clip(-3.0, 3.0)

    def net(price: pd.Series) -> pd.Series:
        return price - (price * term.ppm + 500_000) // 1_000_000 - term.fixed - frame["cost"] - frame["shipping"]

    def surplus(price: pd.Series) -> pd.Series:
        return net(price) - np.maximum(frame["least"], -(-price * frame["margin"] // 10_000))

    # what the rivals leave
    attraction = pd.Series(0.0, index=frame.index)
    cheapest = pd.Series(np.inf, index=frame.index)
    for column in range(asked.rivals.shape[1]):
        rival = pd.Series(asked.rivals[:, column]).where(asked.rivals[:, column] != BLANK)
        attraction += np.exp(-prior.rival_sensitivity * ratio(rival)).fillna(0.0)
        cheapest = np.fmin(cheapest, rival)
    contested = cheapest < np.inf

    def share(of: pd.Series) -> pd.Series:
        own = np.exp(-prior.rival_sensitivity * of)
        return own * (1.0 + attraction) / (own + attraction)

    # what our own prices sold
    elasticities = [prior.lowest_elasticity + prior.elasticity_step * number for number in range(prior.elasticities)]
    exposure = [pd.Series(0.0, index=frame.index) for _ in elasticities]
    units = hours = tilt = pd.Series(0.0, index=frame.index)
    for column in range(asked.history_price.shape[1]):
        price = pd.Series(asked.history_price[:, column]).where(
            asked.history_price[:, column] != BLANK, frame["current"]
        )
        sold, lasted, then = asked.history_units[:, column], asked.history_hours[:, column], ratio(price)
        pull = lasted * share(then)
        for number, elasticity in enumerate(elasticities):
            exposure[number] += pull * np.exp(-elasticity * then)
        units, hours, tilt = units + sold, hours + lasted, tilt + sold * then
    shape = prior.level_shape + units
    before = prior.level_shape * (hours + prior.level_hours) / shape
    logs = pd.DataFrame(
        {
            number: -0.5 * ((elasticity - prior.elasticity_mean) / prior.elasticity_sd) ** 2
            - elasticity * tilt
            - shape * np.log(before + exposure[number])
            for number, elasticity in enumerate(elasticities)
        }
    )
    odds = np.exp(logs.sub(logs.max(axis=1), axis=0))
    weights = odds.div(odds.sum(axis=1), axis=0)

    def score(price: pd.Series) -> pd.Series:
        there = ratio(price)
        rate = pd.Series(0.0, index=frame.index)
        for number, elasticity in enumerate(elasticities):
            rate += weights[number] * shape / (before + exposure[number]) * np.exp(-elasticity * there)
        rate *= share(there) * 24.0
        sold = rate * -np.expm1(-frame["stock"].clip(lower=0) * np.log1p(frame["waiting"] / rate))
        return sold * (net(price) + frame["relief"])

    # what may be asked
    current = frame["current"]
    low = np.maximum(np.maximum(frame["floor"], -(-current * (10_000 - frame["down"]) // 10_000)), 1)
    high = np.minimum(frame["ceiling"], current * (10_000 + frame["up"]) // 10_000)
    lowest = low.copy()
    while ((short := -surplus(lowest)) > 0).any() and (lowest <= high).any():
        lowest = lowest + short.clip(lower=0)
    room = lowest <= high
    lowest = lowest.where(room, current)
    tried = [current + current * frame["up"] * step // (10_000 * _STEPS) for step in range(1, _STEPS + 1)]
    tried += [current - current * frame["down"] * step // (10_000 * _STEPS) for step in range(1, _STEPS + 1)]
    near = cheapest.where(contested, lowest).astype("int64")
    tried += [lowest, high, near.where(~contested, near - 1), near]
    best, top = current.copy(), pd.Series(-np.inf, index=frame.index)
    for price in tried:
        price = np.minimum(np.maximum(price, lowest), high)
        value = score(price).where(surplus(price) >= 0, -np.inf)
        alike = np.isfinite(top) & ((value - top).abs() <= 1e-9 * top.abs())
        nearer = 2 * (price - current).abs() + (price > current) < 2 * (best - current).abs() + (best > current)
        take = ((value > top) & ~alike) | (alike & nearer)
        best, top = price.where(take, best), value.where(take, top)

    # whether it is worth a move
    stay = score(current)
    returning = pd.Series(False, index=frame.index)
    for column in range(asked.recent.shape[1]):
        left = pd.Series(asked.recent[:, column])
        close = (left - best).abs() * 10_000 <= best * settings.return_tolerance_bps
        returning |= (left != BLANK) & close
    wanted = settings.min_gain * np.where(returning, settings.return_factor, 1.0)
    inside = (low <= current) & (current <= high) & (surplus(current) >= 0)
    moves = ~inside | ((frame["stock"] > 0) & (best != current) & (top - stay >= wanted * stay))
    answer: Ints = best.where(moves & room, current).to_numpy(dtype=np.int64)
    return answer
