"""The shop's price rule with learned knobs, as a policy that is kept, staged and rolled back."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, datetime
from decimal import Decimal
from typing import ClassVar

from flipsync.domain.money import Money
from flipsync.learning.policy import Advice, Origin, Policy
from flipsync.services.pricing.demand import DemandPrior
from flipsync.services.pricing.fees import percentage_plus_fixed
from flipsync.services.pricing.policy import PricingPolicy
from flipsync.services.pricing.quote import PolicySettings, PricePeriod, QuoteRequest

_LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
_ADVISED_AT = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class ShopPrice(Policy):
    """`services.pricing.PricingPolicy` with these knobs; state (price, unit cost, units sold, days on offer, stock).

    The running system asks `settings` and quotes with everything it knows; `advise` is the same rule on five figures,
    at no fees. Prices and costs in minor units. Raises ValueError for knobs the rule refuses.
    """

    kind: ClassVar[str] = "shop-price"
    elasticity_mean: float
    elasticity_sd: float
    rival_sensitivity: float
    level_hours: float
    min_gain: float
    return_factor: float
    patience_days: float
    origin: Origin

    def __post_init__(self) -> None:
        _ = self.settings

    @property
    def settings(self) -> PolicySettings:
        return PolicySettings(
            prior=DemandPrior(
                elasticity_mean=self.elasticity_mean,
                elasticity_sd=self.elasticity_sd,
                rival_sensitivity=self.rival_sensitivity,
                level_hours=self.level_hours,
            ),
            min_gain=self.min_gain,
            return_factor=self.return_factor,
            patience_days=self.patience_days,
        )

    @classmethod
    def as_shipped(cls, origin: Origin) -> ShopPrice:
        """The knobs the rule has by itself."""
        return cls.of(shipped_knobs(), origin)

    @classmethod
    def of(cls, knobs: dict[str, float], origin: Origin) -> ShopPrice:
        return cls(**{each.name: knobs[each.name] for each in fields(cls) if each.name != "origin"}, origin=origin)

    def advise(self, state: tuple[float, ...]) -> Advice:
        if len(state) != 5:
            raise ValueError(f"expected (price, unit cost, units sold, days on offer, stock), got {len(state)} figures")
        price, cost, units, days, stock = state
        money = Money(amount_minor=round(price), currency="USD")
        nothing = Money.zero("USD")
        quote = PricingPolicy(self.settings).quote(
            QuoteRequest(
                current=money,
                at=_ADVISED_AT,
                unit_cost=Money(amount_minor=round(cost), currency="USD"),
                shipping_cost=nothing,
                fees=percentage_plus_fixed("custom", Decimal(0), nothing, valid_from=_LONG_AGO, source="none"),
                ceiling=Money(amount_minor=round(price) * 10, currency="USD"),
                history=(PricePeriod(price=money, units=round(units), exposure_hours=days * 24),),
                stock=round(stock),
            )
        )
        because = {"confidence": quote.confidence, "elasticity": quote.elasticity or 0.0}
        return Advice(float(quote.best.amount_minor), quote.reason, because)


def shipped_knobs() -> dict[str, float]:
    """What `PolicySettings()` says, by the names of `ShopPrice`."""
    shipped = PolicySettings()
    return {
        "elasticity_mean": shipped.prior.elasticity_mean,
        "elasticity_sd": shipped.prior.elasticity_sd,
        "rival_sensitivity": shipped.prior.rival_sensitivity,
        "level_hours": shipped.prior.level_hours,
        "min_gain": shipped.min_gain,
        "return_factor": shipped.return_factor,
        "patience_days": shipped.patience_days,
    }
