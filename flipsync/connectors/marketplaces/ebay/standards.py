"""How eBay rates the seller (Sell Analytics API): the level of each programme, now and as it will be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from flipsync.connectors.marketplaces.ebay import limits
from flipsync.connectors.marketplaces.ebay.api import EbayApi
from flipsync.connectors.marketplaces.ebay.wire import Shape
from flipsync.domain.channel import SellerRating


@dataclass(frozen=True, slots=True)
class Standard:
    """One rating. `level` is TOP_RATED, ABOVE_STANDARD or BELOW_STANDARD; `projected`: as the next one will be."""

    program: str
    level: str
    projected: bool
    below: tuple[str, ...] = ()


class _Cycle(Shape):
    cycle_type: str = "CURRENT"


class _Metric(Shape):
    metric_key: str = ""
    level: str = ""


class _Profile(Shape):
    program: str = ""
    standards_level: str = ""
    cycle: _Cycle = _Cycle()
    metrics: tuple[_Metric, ...] = ()


class _Profiles(Shape):
    standards_profiles: tuple[_Profile, ...] = ()


_LEVELS: dict[str, Literal["top", "good", "below"]] = {
    "TOP_RATED": "top",
    "ABOVE_STANDARD": "good",
    "BELOW_STANDARD": "below",
}


def rating(found: Sequence[Standard]) -> SellerRating | None:
    """Of all programmes the worst; None where the seller is rated in none, or by levels nobody knows."""
    levels = {
        projected: [_LEVELS[each.level] for each in found if each.projected is projected and each.level in _LEVELS]
        for projected in (False, True)
    }
    if not levels[False]:
        return None
    worst = list(_LEVELS.values()).index
    soon = max(levels[True], key=worst, default=None)
    below = {measure for each in found for measure in each.below}
    return SellerRating(level=max(levels[False], key=worst), soon=soon, because=tuple(sorted(below)))


async def seller_standards(api: EbayApi) -> list[Standard]:
    """Every rating of the seller; `below` names the measures that fall short."""
    path = "/sell/analytics/v1/seller_standards_profile"
    found = await api.read(path, _Profiles.model_validate, limits.SELL_ANALYTICS)
    return [
        Standard(
            program=profile.program,
            level=profile.standards_level,
            projected=profile.cycle.cycle_type == "PROJECTED",
            below=tuple(each.metric_key for each in profile.metrics if each.level == "BELOW_STANDARD"),
        )
        for profile in found.standards_profiles
    ]
