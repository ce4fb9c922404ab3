"""What goes into the price firewall and what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from flipsync.domain.money import Currency, Money
from flipsync.services.pricing.certificate import Certificate
from flipsync.services.pricing.economics import UnitEconomics
from flipsync.services.pricing.fees import MAX_AMOUNT, FeeSchedule, FeeTerm


class PricingValue(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PriceProposal(PricingValue):
    """A price somebody wants to show. None means unknown everywhere, and unknown never means zero.

    `current` None is a first listing. `cost_as_of` is when the cost was last known to be true: the purchase, or the
    last cost review of stock in hand. `tax_bps` is the highest tax added on top at checkout; fees on the total are
    taken on it. `shipping_charged` None counts as nothing charged, the careful reading. `quantity` is units on offer.

    What the history-dependent rules judge by: `changes_24h` and `moved_24h`; `travel_14d`, the sum of all moves of 14
    days, and `start_14d`, the price they began at. What the brakes judge by, over all listings of the tenant in this
    currency: how many there are, their prices times units on offer, how many *others* were moved within the hour, and
    the moves times units on offer of that hour. `released`: a person has agreed to go beyond the brakes.
    """

    listing_id: UUID
    channel_currency: Currency
    current: Money | None
    proposed: Money
    unit_cost: Money | None
    cost_as_of: AwareDatetime | None
    fees: FeeSchedule | None
    shipping_cost: Money | None
    shipping_charged: Money | None = None
    tax_bps: int | None = None
    floor: Money | None = None
    ceiling: Money | None
    min_margin: Money | None = None
    min_margin_bps: int | None = None
    max_step_up_bps: int | None = None
    max_step_down_bps: int | None = None
    changes_24h: int | None = None
    moved_24h: Money | None = Field(default=None, description="sum of the absolute price moves of the last 24 h")
    travel_14d: Money | None = None
    start_14d: Money | None = None
    market_floor: Money | None = Field(default=None, description="lowest price the marketplace takes")
    market_ceiling: Money | None = Field(default=None, description="highest price the marketplace takes")
    catalogue_listings: int | None = None
    catalogue_value: Money | None = None
    catalogue_moved_1h: int | None = None
    at_risk_1h: Money | None = None
    released: bool = False
    quantity: int = 1

    def amounts(self) -> tuple[Money, ...]:
        """Every amount that is known."""
        held = (
            *(self.proposed, self.current, self.unit_cost, self.shipping_cost, self.shipping_charged, self.floor),
            *(self.ceiling, self.min_margin, self.moved_24h, self.travel_14d, self.start_14d, self.market_floor),
            *(self.market_ceiling, self.catalogue_value, self.at_risk_1h),
        )
        return tuple(amount for amount in held if amount is not None)

    def economics(self, terms: Sequence[FeeTerm]) -> UnitEconomics:
        """The unit's economics under these fee terms; for a proposal whose facts were found to be known."""
        return UnitEconomics(
            terms=terms,
            unit_cost=_minor(self.unit_cost),
            shipping_cost=_minor(self.shipping_cost),
            shipping_charged=_minor(self.shipping_charged),
            tax_bps=self.tax_bps or 0,
            min_margin=_minor(self.min_margin),
            margin_bps=self.min_margin_bps or 0,
        )

    def lowest(self, at: datetime) -> int:
        """The lowest price the firewall would let through at that time: the owner's or the net-profit floor, in minor
        units. MAX_AMOUNT when no price earns enough."""
        owners = self.floor.amount_minor if self.floor else 1
        if self.fees is None:
            return owners
        return self.economics(self.fees.terms(at)).floor_price(owners) or MAX_AMOUNT


def _minor(amount: Money | None) -> int:
    return 0 if amount is None else amount.amount_minor


class Reason(PricingValue):
    """One rule's word on a price: its name and version, what is wrong, and what to do."""

    rule: str
    version: int
    words: str


class Allow(PricingValue):
    """The price may be sent as proposed, with the certificate."""

    verdict: Literal["allow"] = "allow"
    price: Money
    certificate: Certificate
    reasons: tuple[Reason, ...] = ()


class Clamp(PricingValue):
    """Only `to` may be sent, with the certificate; `reasons` say which bounds the proposal crossed."""

    verdict: Literal["clamp"] = "clamp"
    to: Money
    reasons: tuple[Reason, ...]
    certificate: Certificate


class Ask(PricingValue):
    """Nothing may be sent until a person agrees: a global brake spoke. Then the proposal comes again, `released`."""

    verdict: Literal["ask"] = "ask"
    reasons: tuple[Reason, ...]


class Deny(PricingValue):
    """Nothing may be sent."""

    verdict: Literal["deny"] = "deny"
    reasons: tuple[Reason, ...]


PriceVerdict = Allow | Clamp | Ask | Deny
