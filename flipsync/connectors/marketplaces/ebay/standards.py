"""How eBay rates the seller (Sell Analytics API): the level of each programme, now and as it will be."""

from __future__ import annotations

from dataclasses import dataclass

from flipsync.connectors.marketplaces.ebay import limits
from flipsync.connectors.marketplaces.ebay.api import EbayApi
from flipsync.connectors.marketplaces.ebay.wire import Shape


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
