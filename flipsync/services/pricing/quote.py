"""What the pricing policy is asked and what it answers."""

from __future__ import annotations

from decimal import Decimal
from enum import IntEnum
from typing import Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from flipsync.domain.channel import RivalOffer
from flipsync.domain.money import Money
from flipsync.services.pricing.demand import DemandPrior
from flipsync.services.pricing.fees import BPS, MAX_AMOUNT, FeeSchedule


class Because(IntEnum):
    """Why a quote is what it is."""

    BEST_ALREADY = 0
    NO_RETURN = 1
    NO_STOCK = 2
    UP = 3
    DOWN = 4
    RIVAL = 5
    STALE = 6
    OUT_OF_BOUNDS = 7
    FACTS_MISSING = 8
    NO_ROOM = 9
    EXPLORING = 10

    @property
    def action(self) -> Literal["hold", "move", "blocked"]:
        if self <= Because.NO_STOCK:
            return "hold"
        return "move" if self <= Because.OUT_OF_BOUNDS or self == Because.EXPLORING else "blocked"


class PolicyValue(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PolicySettings(PolicyValue):
    """The knobs of the policy. Shares are fractions of one, times are days."""

    prior: DemandPrior = DemandPrior()
    min_gain: float = Field(default=0.02, ge=0, description="a move must raise expected profit by this share")
    return_factor: float = Field(default=3.0, ge=1, description="times `min_gain` to go back to a price left lately")
    return_tolerance_bps: int = Field(default=50, ge=0)
    patience_days: float = Field(default=60.0, gt=0, description="time in which waiting money loses all but 1/e")
    stale_after_days: float = Field(default=45.0, ge=0)
    stale_ramp_days: float = Field(default=90.0, gt=0)
    stale_relief: float = Field(default=0.5, ge=0, le=1, description="share of cost a sale of the oldest stock frees")

    @property
    def discount(self) -> float:
        return 1.0 / self.patience_days

    def waiting(self, restock_days: float | None) -> float:
        """What a day of waiting to sell takes off a sale's worth, as a rate: by patience, and of goods that can be had
        again by the days until more are there, for then there is nothing left to wait with. Both at once is their sum
        (`demand.sold_in_time` with a wait that ends at either of two exponential times)."""
        return self.discount if restock_days is None else self.discount + 1.0 / restock_days


class PricePeriod(PolicyValue):
    """What a price sold: units in the hours it was on offer with stock."""

    price: Money
    units: int = Field(ge=0)
    exposure_hours: float = Field(ge=0)


class QuoteRequest(PolicyValue):
    """Everything the policy looks at. None is unknown. `recent_prices` are prices left lately, newest last;
    `days_since_last_sale` counts from the listing's start when nothing sold yet. `restock_days`: how long more of the
    goods take to come, where a supplier offers them; None: there will be no more."""

    current: Money
    at: AwareDatetime
    unit_cost: Money | None
    shipping_cost: Money | None
    shipping_charged: Money | None = None
    tax_bps: int = Field(default=0, ge=0, le=5_000)
    fees: FeeSchedule | None
    floor: Money | None = None
    ceiling: Money | None
    min_margin: Money | None = None
    min_margin_bps: int = Field(default=0, ge=0, lt=BPS)
    max_step_up_bps: int = Field(default=1_000, ge=1, le=9 * BPS)
    max_step_down_bps: int = Field(default=1_000, ge=1, lt=BPS)
    rivals: tuple[RivalOffer, ...] = ()
    history: tuple[PricePeriod, ...] = ()
    stock: int
    days_since_last_sale: float = Field(default=0.0, ge=0)
    restock_days: float | None = Field(default=None, gt=0)
    recent_prices: tuple[Money, ...] = ()

    @model_validator(mode="after")
    def _amounts_possible(self) -> Self:
        own = (self.current, self.unit_cost, self.shipping_cost, self.shipping_charged, self.floor, self.ceiling)
        if any(each is not None and abs(each.amount_minor) > MAX_AMOUNT for each in (*own, self.min_margin)):
            raise ValueError(f"an amount is above {MAX_AMOUNT} minor units: check the digits")
        return self

    def rival_prices(self) -> list[int]:
        """Prices of rivals who can deliver; another currency cannot be compared and is left out."""
        return [
            rival.price.amount_minor
            for rival in self.rivals
            if rival.in_stock and rival.price.currency == self.current.currency and rival.price.amount_minor > 0
        ]


class PriceAlternative(PolicyValue):
    """A price that was considered. Expected profit per day in major units of the currency."""

    price: Money
    expected_profit_per_day: Decimal
    why: str


class Quote(PolicyValue):
    """The policy's answer. `best` equals `current` unless it moves; `margin` is the exact net profit of a sale at
    `best` (None where the costs are unknown); `confidence` is the posterior probability that the choice is right."""

    best: Money
    current: Money
    action: Literal["hold", "move", "blocked"]
    because: Because
    reason: str
    confidence: float
    expected_profit_per_day: Decimal | None
    margin: Money | None
    elasticity: float | None
    alternatives: tuple[PriceAlternative, ...] = ()
