"""The policies of the learning core: a season's price, orders, slow movers' demand, a price against moving demand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from flipsync.learning.forecast.intermittent import tsb
from flipsync.learning.inventory.lost_sales import LostSales, orders_of
from flipsync.learning.policy import Advice, Origin, Policy
from flipsync.learning.pricing.finite_stock import RATE
from flipsync.learning.pricing.moving_line import lacks_information
from flipsync.learning.pricing.unknown_line import HIGH, LOW


@dataclass(frozen=True)
class SeasonPrice(Policy):
    """Price of the last items of a season: the rule of `pricing.finite_stock`, state (items, share of time left)."""

    kind: ClassVar[str] = "season-price"
    rule: tuple[float, ...]
    origin: Origin

    def advise(self, state: tuple[float, ...]) -> Advice:
        if len(state) != 2:
            raise ValueError(f"expected (items left, share of the season left), got {len(state)} figures")
        items, time = max(state[0], 1.0), min(max(state[1], 0.0), 1.0)
        x, log_n = float(np.log1p(RATE * time / (np.e * items))), float(np.log(items))
        parts = np.array([1.0, x, x**2, log_n, x * log_n, x / items]) * self.rule
        names = ("base", "buyers to come", "many buyers to come", "stock", "stock against buyers", "few items")
        price = max(float(parts.sum()), 0.5)
        each = RATE * time / np.e / items
        why = f"{state[0]:g} left with {time:.0%} of the season to go: about {each:.1f} buyers an item"
        return Advice(price, why, dict(zip(names, np.round(parts, 6).tolist(), strict=True)))


@dataclass(frozen=True)
class SmoothOrder(Policy):
    """How much to order when sales are lost: the rule of `inventory.lost_sales`, state (on hand, then what comes)."""

    kind: ClassVar[str] = "smooth-order"
    weights: tuple[float, ...]
    penalty: float
    lead: int
    mean: float
    origin: Origin

    def advise(self, state: tuple[float, ...]) -> Advice:
        if len(state) != self.lead:
            raise ValueError(f"expected stock and {self.lead - 1} orders on their way, got {len(state)} figures")
        cap = LostSales(self.penalty, self.lead, self.mean).order_cap
        at = np.array(state, dtype=np.float64)
        order = float(orders_of(np.array(self.weights), at[:, None], cap)[0])
        coming = float(at[1:].sum())
        why = f"{at[0]:g} on hand and {coming:g} on the way, for {self.mean:g} a period over {self.lead} periods"
        return Advice(order, why, {"on hand": float(at[0]), "on the way": coming, "most": float(cap)})


@dataclass(frozen=True)
class FadingDemand(Policy):
    """Units a week to come, by Teunter, Syntetos and Babai's smoothing; state: the weeks so far, oldest first."""

    kind: ClassVar[str] = "fading-demand"
    size_pace: float
    chance_pace: float
    origin: Origin

    def advise(self, state: tuple[float, ...]) -> Advice:
        if not state:
            raise ValueError("expected at least one week of sales")
        weeks = np.array(state, dtype=np.float64)[None, :]
        level = float(tsb(weeks, self.size_pace, self.chance_pace)[0])
        selling = float((weeks > 0).mean())
        why = f"sold in {selling:.0%} of {weeks.shape[1]} weeks, the later ones counting more"
        return Advice(level, why, {"weeks with sales": selling, "mean": float(weeks.mean())})


@dataclass(frozen=True)
class TrackingPrice(Policy):
    """Price against demand that moves: the rule of `pricing.moving_line`, state its six figures (see there)."""

    kind: ClassVar[str] = "tracking-price"
    memory: float
    step: float
    most: float
    origin: Origin

    def advise(self, state: tuple[float, ...]) -> Advice:
        if len(state) != 6:
            raise ValueError(f"expected five sums and the period, got {len(state)} figures")
        n, p, pp, d, pd, period = state
        slope = (n * pd - p * d) / (n * pp - p**2)
        a, b = (d - slope * p) / n, max(-slope, 0.05)
        best = min(max(a / (2 * b), LOW), HIGH)
        lacking = bool(lacks_information(np.array([state[:5]]), self.memory, self.most)[0])
        side = 1.0 if round(period) % 2 == 0 else -1.0
        price = min(max(best + side * self.step, LOW), HIGH) if lacking else best
        why = "demand has to be looked at again" if lacking else "demand is known well enough"
        return Advice(price, why, {"level": a, "slope": b, "periods remembered": 1 / max(1 - self.memory, 1e-9)})
