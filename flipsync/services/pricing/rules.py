"""The price firewall's rules: names, versions, bits, what each answers, and the limits of the house.

A rule that only bounds a price is met by moving the price (`clamp`); a global brake asks a person (`ask`); every other
one denies. The bit order is the order of the reasons. Changing what a rule means means raising its version:
certificates carry it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from flipsync.services.pricing.fees import BPS, MAX_AMOUNT

#: Bounds of the shares a proposal may state, in basis points.
MAX_TAX_BPS = 5_000
MAX_STEP_UP_BPS = 90_000
MAX_STEP_DOWN_BPS = 9_000
#: The highest sum over a catalogue that is believed, so that products of sums and shares cannot overflow.
MAX_SUM = 10**14
#: A cost dated further ahead than this is not clock skew.
MAX_COST_LEAD = timedelta(minutes=5)


class Rule(IntEnum):
    """Bit numbers of the rules; `RULES[rule]` tells the rest."""

    PRICE_RANGE = 0
    AMOUNT_RANGE = 1
    CURRENCY = 2
    COST_KNOWN = 3
    COST_FRESH = 4
    FEES_KNOWN = 5
    SHIPPING_KNOWN = 6
    MARGIN_SET = 7
    BOUNDS_SET = 8
    MARKET_KNOWN = 9
    STEP_SET = 10
    VELOCITY_KNOWN = 11
    BRAKES_KNOWN = 12
    QUANTITY = 13
    MINOR_UNIT = 14
    JUMP = 15
    CHANGE_COUNT = 16
    FIRST_LISTING = 17
    NET_FLOOR = 18
    OWNER_FLOOR = 19
    CEILING = 20
    MARKET_LIMITS = 21
    STEP = 22
    DAILY_MOVE = 23
    NO_ROOM = 24
    NO_CYCLE = 25
    SHARE_BRAKE = 26
    RISK_BRAKE = 27

    @property
    def mask(self) -> int:
        return 1 << self.value


@dataclass(frozen=True, slots=True)
class RuleInfo:
    name: str
    version: int
    purpose: str
    answer: Literal["deny", "clamp", "ask"] = "deny"


RULES: dict[Rule, RuleInfo] = {
    Rule.PRICE_RANGE: RuleInfo("price-range", 1, "a price is more than zero and not absurdly high"),
    Rule.AMOUNT_RANGE: RuleInfo("amount-range", 1, "the other amounts are possible amounts"),
    Rule.CURRENCY: RuleInfo("currency", 1, "every amount is in the channel's currency"),
    Rule.COST_KNOWN: RuleInfo("cost-known", 1, "the unit cost is known; blank or 0 is unknown"),
    Rule.COST_FRESH: RuleInfo("cost-fresh", 1, "the unit cost was true recently"),
    Rule.FEES_KNOWN: RuleInfo("fees-known", 1, "the channel's fees, and the tax they are taken on, are known"),
    Rule.SHIPPING_KNOWN: RuleInfo("shipping-known", 1, "the cost of shipping is known; only a stated 0 is 0"),
    Rule.MARGIN_SET: RuleInfo("margin-set", 1, "the owner said what a sale must earn"),
    Rule.BOUNDS_SET: RuleInfo("bounds-set", 1, "the owner's ceiling (and floor, if any) are real and in order"),
    Rule.MARKET_KNOWN: RuleInfo("market-known", 1, "the lowest and highest price the marketplace takes are known"),
    Rule.STEP_SET: RuleInfo("step-set", 1, "the largest single move is set"),
    Rule.VELOCITY_KNOWN: RuleInfo("velocity-known", 2, "it is known how the price moved in the last 24 h and 14 days"),
    Rule.BRAKES_KNOWN: RuleInfo("brakes-known", 1, "it is known how much of the catalogue moved within the hour"),
    Rule.QUANTITY: RuleInfo("quantity", 1, "the quantity is possible"),
    Rule.MINOR_UNIT: RuleInfo("minor-unit", 1, "a price a hundred times off is cents taken for dollars or the reverse"),
    Rule.JUMP: RuleInfo("jump", 1, "a price ten times off is a mistake, not a move"),
    Rule.CHANGE_COUNT: RuleInfo("change-count", 2, "a price does not change too often in 24 h"),
    Rule.FIRST_LISTING: RuleInfo("first-listing", 1, "a first price stands in proportion to its floor"),
    Rule.NET_FLOOR: RuleInfo("net-floor", 1, "after fees, cost and shipping a sale earns the margin", answer="clamp"),
    Rule.OWNER_FLOOR: RuleInfo("owner-floor", 1, "never below the owner's floor", answer="clamp"),
    Rule.CEILING: RuleInfo("ceiling", 1, "never above the owner's ceiling", answer="clamp"),
    Rule.MARKET_LIMITS: RuleInfo("market-limits", 1, "within what the marketplace takes", answer="clamp"),
    Rule.STEP: RuleInfo("step", 1, "one move is no larger than the step", answer="clamp"),
    Rule.DAILY_MOVE: RuleInfo("daily-move", 1, "the moves of 24 h together stay small", answer="clamp"),
    Rule.NO_ROOM: RuleInfo("no-room", 1, "floor, ceiling, step and daily move leave at least one price"),
    Rule.NO_CYCLE: RuleInfo("no-cycle", 1, "a price does not go round in circles, whoever drags it"),
    Rule.SHARE_BRAKE: RuleInfo("share-brake", 1, "most of the catalogue stays where it is for an hour", answer="ask"),
    Rule.RISK_BRAKE: RuleInfo("risk-brake", 1, "an hour's moves put little of the revenue at risk", answer="ask"),
}
RULE_VERSIONS: dict[str, int] = {info.name: info.version for info in RULES.values()}


class FirewallLimits(BaseModel):
    """Limits of the house; an owner's own bounds come with each proposal. Amounts are minor units.

    `max_cycle_bps`: travel that led nowhere (all moves of 14 days less the way they came) as a share of the price at
    their start. `brake_*`: an hour's moves of all listings in one currency; up to `brake_free_moves` listings and
    `brake_free_risk_minor` no brake speaks, so that a small shop can move at all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_amount_minor: int = Field(default=10**10, ge=1, le=MAX_AMOUNT)
    max_cost_age: timedelta = Field(default=timedelta(days=90), gt=timedelta(0))
    certificate_validity: timedelta = Field(default=timedelta(minutes=15), gt=timedelta(0))
    slip_factor: int = Field(default=100, ge=2, le=10_000)
    jump_factor: int = Field(default=10, ge=2, le=10_000)
    max_changes_per_day: int = Field(default=24, ge=1)
    max_daily_move_bps: int = Field(default=3_000, ge=1, le=BPS)
    max_cycle_bps: int = Field(default=15_000, ge=0, le=100 * BPS)
    brake_share_bps: int = Field(default=5_000, ge=0, le=BPS)
    brake_free_moves: int = Field(default=20, ge=0)
    brake_risk_bps: int = Field(default=500, ge=0, le=BPS)
    brake_free_risk_minor: int = Field(default=50_000, ge=0, le=MAX_SUM)
    max_quantity: int = Field(default=1_000_000, ge=1)
