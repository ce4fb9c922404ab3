"""The famous pricing failures, replayed over days against the firewall, and moves a careful seller would make.

Every replay keeps its own books (price, changes, clock) and asks the firewall as the gate would. A replay counts an
escape whenever a price left that the failure is known for; each promise is worked out here, not asked of the kernel.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks.price_oracle import Fee, spare
from flipsync.domain.clock import ManualClock
from flipsync.domain.ids import new_id
from flipsync.domain.money import Money
from flipsync.services.fees import stripe_us
from flipsync.services.pricing import Allow, Clamp, Firewall, PriceProposal

BEGIN = datetime(2026, 5, 1, tzinfo=UTC)
KEY = b"a key for replays, long enough.."
#: Stripe's standard price for cards, as the oracle is told of it
CARD = (Fee("2.9", base="total", fixed=30),)


def money(minor: int | None) -> Money | None:
    return None if minor is None else Money(amount_minor=minor, currency="USD")


@dataclass
class Seller:
    """One listing with its owner's settings and its history. Amounts in cents."""

    price: int
    cost: int
    ceiling: int | None
    floor: int | None = None
    margin: int | None = 0
    step_bps: int = 1_000
    clock: ManualClock = field(default_factory=lambda: ManualClock(BEGIN))
    changes: list[tuple[datetime, int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.guard = Firewall(KEY, clock=self.clock)

    def proposal(self, wanted: int, **more: Any) -> PriceProposal:
        now = self.clock.now()
        recent = [change for change in self.changes if change[0] >= now - timedelta(days=14)]
        day = [change for change in recent if change[0] >= now - timedelta(days=1)]
        return PriceProposal(
            **{
                "listing_id": new_id(),
                "channel_currency": "USD",
                "current": money(self.price),
                "proposed": money(wanted),
                "unit_cost": money(self.cost),
                "cost_as_of": now - timedelta(days=2),
                "fees": stripe_us(),
                "shipping_cost": money(400),
                "tax_bps": 800,
                "floor": money(self.floor),
                "ceiling": money(self.ceiling),
                "min_margin": money(self.margin),
                "max_step_up_bps": self.step_bps,
                "max_step_down_bps": self.step_bps,
                "changes_24h": len(day),
                "moved_24h": money(sum(abs(new - old) for _, old, new in day)),
                "travel_14d": money(sum(abs(new - old) for _, old, new in recent)),
                "start_14d": money(recent[0][1] if recent else self.price),
                "market_floor": money(1),
                "market_ceiling": money(10**11),
                "catalogue_listings": 200,
                "catalogue_value": money(1_000_000),
                "catalogue_moved_1h": 0,
                "at_risk_1h": money(0),
                **more,
            }
        )

    def ask(self, wanted: int, **more: Any) -> str:
        """Propose; what leaves becomes the price. Returns the verdict's word."""
        verdict = self.guard.check(self.proposal(wanted, **more))
        if isinstance(verdict, Allow | Clamp):
            to = verdict.to if isinstance(verdict, Clamp) else verdict.price
            if to.amount_minor != self.price:
                self.changes.append((self.clock.now(), self.price, to.amount_minor))
                self.price = to.amount_minor
        return verdict.verdict

    def loses(self) -> bool:
        """Whether a sale at the price that is shown loses money."""
        row = {"unit_cost": self.cost, "shipping_cost": 400, "shipping_charged": 0, "tax_bps": 800}
        return spare({**row, "min_margin": 0, "margin_bps": 0}, CARD, self.price) < 0

    def later(self, **more: float) -> None:
        self.clock.advance(timedelta(**more))


@dataclass
class Replay:
    """How often one failure was tried, and how often it got through."""

    proposals: int = 0
    escapes: int = 0
    worst: str = ""

    def count(self, escaped: bool, what: str) -> None:
        self.proposals += 1
        if escaped:
            self.escapes += 1
            self.worst = what


def penny_hour(rng: random.Random) -> Replay:
    """A broken feed writes 0.01 on a whole catalogue, again and again for an hour (December 2014)."""
    told = Replay()
    for _ in range(20):
        first = rng.randrange(500, 20_000)
        seller = Seller(first, first // 3, first * 2, floor=rng.choice([None, first // 2]))
        for _ in range(12):
            seller.ask(1)
            told.count(seller.price != first, f"{first} became {seller.price}")
            seller.later(minutes=5)
    return told


def blank_minimum(rng: random.Random) -> Replay:
    """The minimum price is blank, or blank was imported as 0, and a rival goes to nothing."""
    told = Replay()
    first = rng.randrange(1_500, 9_000)
    blank = rng.choice([None, 0])
    seller = Seller(first, int(first * rng.uniform(0.3, 0.6)), first * 2, floor=blank, margin=rng.choice([0, 100]))
    rival = first
    for _ in range(240):
        rival = max(1, int(rival * rng.uniform(0.90, 0.99)))
        seller.ask(rival - 1)
        told.count(seller.loses(), f"{seller.price} at a cost of {seller.cost}")
        seller.later(hours=3)
    return told


def book_spiral(rng: random.Random) -> Replay:
    """Two repricers at 1.27059 and 0.99830 of each other reached 23,698,655.93 dollars for a book in 2011."""
    told = Replay()
    first = rng.randrange(2_000, 6_000)
    ceiling = rng.choice([None, first * 2, first * 4])
    ours = Seller(first, first // 4, ceiling, step_bps=rng.choice([1_000, 3_000, 9_000]))
    for _ in range(90):
        theirs = int(ours.price * 0.99830)
        ours.ask(int(theirs * 1.27059))
        told.count(ours.price > (ceiling or first), f"{first} became {ours.price} under a ceiling of {ceiling}")
        ours.later(days=1)
    return told


def oscillation(rng: random.Random) -> Replay:
    """12 to 17 and back, for ever: a rule that climbs and one that resets, or a rival who leads up and down."""
    told = Replay()
    low, high = rng.randrange(1_100, 1_300), rng.randrange(1_600, 1_800)
    seller = Seller(low, 300, 4_000, floor=1_000, step_bps=rng.choice([1_000, 2_000, 5_000]))
    target, reset = high, rng.random() < 0.5
    for _ in range(60 * 8):
        wanted = target if reset else seller.price + (120 if target == high else -120)
        seller.ask(max(low, min(high, wanted)))
        if seller.price >= high:
            target = low
        elif seller.price <= low:
            target = high
        since = seller.clock.now() - timedelta(days=14)
        travel = sum(abs(new - old) for at, old, new in seller.changes if at >= since)
        # idle travel of 1.5 times the price at most, and one way across from where that was reached
        most = 1.5 * high + 2 * (high - low)
        told.count(travel > most, f"travelled {travel} in 14 days between {low} and {high}")
        seller.later(hours=3)
    return told


FAILURES: dict[str, Callable[[random.Random], Replay]] = {
    "1p hour": penny_hour,
    "blank minimum": blank_minimum,
    "$23.7M book spiral": book_spiral,
    "$12-$17 oscillation": oscillation,
}


def replay(name: str, runs: int, seed: int) -> Replay:
    """`runs` replays of one failure with different figures."""
    rng = random.Random(f"{name} {seed}")
    told = Replay()
    for _ in range(runs):
        one = FAILURES[name](rng)
        told.proposals += one.proposals
        told.escapes += one.escapes
        told.worst = one.worst or told.worst
    return told


# -- moves that a careful seller makes --------------------------------------------------------------------------------


def _history(seller: Seller, rng: random.Random, a_day: float, size: float) -> None:
    """Two weeks of small changes about the price, the last of them hours ago."""
    now, price, moments = seller.clock.now(), seller.price, int(14 * a_day)
    path = [price]
    for _ in range(moments):
        pull = 0.2 * (price - path[-1]) / price
        path.append(max(1, int(path[-1] * (1 + pull + rng.uniform(-size, size)))))
    path.reverse()
    for index in range(moments):
        at = now - timedelta(days=14) * (1 - (index + 0.5) / (moments + 1))
        if path[index] != path[index + 1]:
            seller.changes.append((at, path[index], path[index + 1]))


def _moves() -> dict[str, Callable[[Seller, random.Random], int]]:
    """What is done, by name: the price a careful seller would ask for next."""
    return {
        "undercut a rival by cents": lambda s, r: s.price - r.randrange(1, 25),
        "follow a rival up": lambda s, r: int(s.price * r.uniform(1.005, 1.06)),
        "markdown of the week": lambda s, r: int(s.price * r.uniform(0.90, 0.97)),
        "weekend sale begins": lambda s, r: int(s.price * r.uniform(0.85, 0.90)),
        "stock runs low, price up": lambda s, r: int(s.price * r.uniform(1.02, 1.10)),
        "small correction": lambda s, r: int(s.price * r.uniform(0.98, 1.02)),
        "rounded to a price point": lambda s, r: s.price // 100 * 100 + 99,
        "the same price again": lambda s, r: s.price,
    }


MOVES = tuple(_moves())


def legitimate(kind: str, rng: random.Random) -> tuple[Seller, int, dict[str, Any]]:
    """A seller in an ordinary situation, the move labelled `kind`, and the hour of the catalogue it happens in.

    The label holds by construction: the price asked for earns its margin by the oracle, stays within the bounds the
    owner set, and is no more than 15 % from the price now.
    """
    while True:
        price = int(10 ** rng.uniform(2.9, 4.8))
        seller = Seller(
            price, max(1, int(price * rng.uniform(0.25, 0.6))), int(price * rng.uniform(1.3, 3.0)), step_bps=1_500
        )
        seller.margin = int(price * rng.uniform(0.0, 0.08))
        busy = rng.random()
        _history(seller, rng, a_day=rng.choice([0.1, 0.5, 1, 3, 8]), size=rng.choice([0.005, 0.01, 0.02]))
        wanted = _moves()[kind](seller, rng)
        row = {"unit_cost": seller.cost, "shipping_cost": 400, "shipping_charged": 0, "tax_bps": 800}
        if wanted < 1 or spare({**row, "min_margin": seller.margin, "margin_bps": 0}, CARD, wanted) < 0:
            continue  # nobody careful would ask for it
        if abs(wanted - price) > price * 0.15 or wanted > (seller.ceiling or 0):
            continue
        hour = {
            "catalogue_listings": 500,
            "catalogue_value": money(500 * 3_000 * 4),
            "catalogue_moved_1h": int(500 * 0.4 * busy),
            "at_risk_1h": money(int(6_000_000 * 0.02 * busy)),
            "quantity": rng.randrange(1, 12),
        }
        return seller, wanted, hour
