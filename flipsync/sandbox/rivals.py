"""Rival sellers on the marketplace: who they are, how they answer prices, when they run out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

Strategy = Literal["follow", "undercut", "steady"]
_SELLERS = ("northside-resale", "bargain-barn", "second-spring", "attic-and-co", "value-vault", "quickflip")
_HOUR_MS = 3_600_000


@dataclass
class Rival:
    """One rival's offer for one SKU; prices in minor units."""

    seller: str
    strategy: Strategy
    price_minor: int
    floor_minor: int
    in_stock: bool


def open_rivals(rng: Random, reference_minor: int) -> list[Rival]:
    """Two to four rivals for a SKU; the first always answers our price, so that no market is dead."""
    sellers = rng.sample(_SELLERS, rng.randint(2, 4))
    strategies: list[Strategy] = ["undercut" if rng.random() < 0.5 else "follow"]
    strategies += [rng.choices(("follow", "undercut", "steady"), weights=(35, 25, 40))[0] for _ in sellers[1:]]
    return [
        Rival(
            seller=seller,
            strategy=strategy,
            price_minor=max(1, round(reference_minor * rng.uniform(0.94, 1.15))),
            floor_minor=max(1, round(reference_minor * rng.uniform(0.72, 0.9))),
            in_stock=rng.random() < 0.92,
        )
        for seller, strategy in zip(sellers, strategies, strict=True)
    ]


def reprice(
    rng: Random, rival: Rival, reference_minor: int, ours_minor: int | None, others_minor: Sequence[int]
) -> int:
    """The rival's next price: followers match the cheapest, undercutters go 1-3 % below us, the rest drift."""
    competing = [*others_minor, *([ours_minor] if ours_minor is not None else [])]
    if rival.strategy == "steady" or not competing:
        anchor = rival.price_minor + 0.2 * (reference_minor - rival.price_minor)
        return max(rival.floor_minor, round(anchor * rng.uniform(0.98, 1.02)))
    if rival.strategy == "undercut" and ours_minor is not None:
        return max(rival.floor_minor, round(ours_minor * rng.uniform(0.97, 0.99)))
    return max(rival.floor_minor, min(competing))


def reprice_delay_ms(rng: Random, rival: Rival) -> int:
    """Market time to the rival's next look at prices: some watch hourly, some twice a day."""
    mean_hours = {"undercut": 2.5, "follow": 4.0, "steady": 9.0}[rival.strategy]
    return round(max(0.1, rng.expovariate(1 / mean_hours)) * _HOUR_MS)


def stock_delay_ms(rng: Random, *, in_stock: bool) -> int:
    """Market time until the rival runs out (days) or is supplied again (hours)."""
    mean_hours = 60.0 if in_stock else 10.0
    return round(rng.expovariate(1 / mean_hours) * _HOUR_MS) + 60_000
