"""The price rule that runs, set against itself: two sellers of one good who both ask it, with the buyers of P5.

Calvano et al. (American Economic Review 2020) found that sellers who learn may end near the monopoly price without a
word; `learning.pricing.duopoly` has their buyers, the Nash and the monopoly price. Each day brings `visits` buyers.
Each seller sees the other's price and what its own prices of the last weeks sold, and moves within its steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np

from flipsync.domain.channel import RivalOffer
from flipsync.domain.money import Money
from flipsync.learning.pricing import duopoly
from flipsync.learning.simulator import Array, Ints
from flipsync.services.pricing.fees import percentage_plus_fixed
from flipsync.services.pricing.history import EVIDENCE, Book, Sold, left_lately, spans
from flipsync.services.pricing.policy import PricingPolicy
from flipsync.services.pricing.quote import PricePeriod, QuoteRequest

#: minor units that the paper's cost of 1 is
UNIT = 1_000
STEP_UP_BPS, STEP_DOWN_BPS = 1_000, 800
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
_FREE = percentage_plus_fixed(
    "custom", Decimal(0), Money.zero("USD"), valid_from=datetime(2020, 1, 1, tzinfo=UTC), source="P5 has no fees"
)


def meet(rule: PricingPolicy, *, visits: float, days: int, seed: int, begin: float | None = None) -> tuple[Array, Ints]:
    """Expected profit a buyer of each seller in units of the paper, (days, 2), and prices in minor units, (days, 2).

    Both have enough of the good on the shelf, and begin at the price `begin` of the paper, else at prices drawn between
    cost and above monopoly.
    """
    rng = np.random.default_rng(seed)
    first = rng.uniform(1.15, 2.3, 2) if begin is None else np.full(2, begin)
    now = [int(price) for price in first * UNIT]
    books = [Book(price, _BEGIN, _BEGIN) for price in now]
    profits, prices = np.zeros((days, 2)), np.zeros((days, 2), dtype=np.int64)
    for day in range(days):
        prices[day] = now
        asked = prices[day] / UNIT
        shares = duopoly.share(asked, asked[::-1])
        profits[day] = duopoly.profit(asked, asked[::-1])
        for side, units in enumerate(rng.poisson(visits * shares).tolist()):
            if units:
                books[side].sales.append(Sold(_BEGIN + timedelta(days=day, hours=12), units))
        at = _BEGIN + timedelta(days=day + 1)
        now = [rule.quote(_question(books[side], now[1 - side], at)).best.amount_minor for side in (0, 1)]
        for book, price in zip(books, now, strict=True):
            book.ask(price, at)
    return profits, prices


@dataclass(frozen=True)
class End:
    """Where two sellers are in the last tenth of their days: mean price in units of the paper, and `gain`, the Δ of
    Calvano et al.: 0 at the profits of the Nash price, 1 at those of a monopoly."""

    price: float
    gain: float

    @property
    def way(self) -> float:
        """How far from competition (0) to monopoly (1), by price or profit, whichever is more: prices far above a
        monopoly's earn little."""
        nash, monopoly = duopoly.nash(), duopoly.monopoly()
        return max(self.gain, (self.price - nash) / (monopoly - nash))


def end_of(rule: PricingPolicy, *, visits: float, days: int, seed: int, begin: float | None = None) -> End:
    """Where the rule ends up against itself, from `begin` as `meet` has it."""
    profits, prices = meet(rule, visits=visits, days=days, seed=seed, begin=begin)
    tail = max(days // 10, 1)
    return End(float(prices[-tail:].mean()) / UNIT, duopoly.profit_gain(float(profits[-tail:].mean())))


def _question(book: Book, rival: int, at: datetime) -> QuoteRequest:
    """What a seller asks whose past that is, with the other's price in sight."""
    book.read(at - EVIDENCE)
    return QuoteRequest(
        current=_usd(book.current_minor),
        at=at,
        unit_cost=_usd(UNIT),
        shipping_cost=_usd(0),
        fees=_FREE,
        ceiling=_usd(5 * UNIT),
        max_step_up_bps=STEP_UP_BPS,
        max_step_down_bps=STEP_DOWN_BPS,
        rivals=(RivalOffer(sku="P5", seller="the other", price=_usd(rival), in_stock=True, seen_at=at),),
        history=tuple(
            PricePeriod(price=_usd(price), units=units, exposure_hours=hours) for price, units, hours in spans(book, at)
        ),
        stock=1_000_000,
        recent_prices=tuple(_usd(price) for price in left_lately(book, at)),
    )


def _usd(minor: int) -> Money:
    return Money(amount_minor=minor, currency="USD")
