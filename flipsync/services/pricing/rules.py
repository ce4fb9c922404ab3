"""The price firewall's rules: names, versions, bits, and the limits of the house.

A rule that only bounds a price can be met by moving the price (`clamps`); every other one denies. The bit order is the
order of the reasons. Changing what a rule means means raising its version: certificates carry it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum

from pydantic import BaseModel, ConfigDict, Field

from flipsync.services.pricing.fees import BPS, MAX_AMOUNT

#: Bounds of the shares a proposal may state, in basis points.
MAX_TAX_BPS = 5_000
MAX_STEP_UP_BPS = 90_000
MAX_STEP_DOWN_BPS = 9_000
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
    STEP_SET = 9
    VELOCITY_KNOWN = 10
    QUANTITY = 11
    MINOR_UNIT = 12
    JUMP = 13
    CHANGE_COUNT = 14
    FIRST_LISTING = 15
    NET_FLOOR = 16
    OWNER_FLOOR = 17
    CEILING = 18
    STEP = 19
    DAILY_MOVE = 20
    NO_ROOM = 21

    @property
    def mask(self) -> int:
        return 1 << self.value


@dataclass(frozen=True, slots=True)
class RuleInfo:
    name: str
    version: int
    purpose: str
    clamps: bool = False


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
    Rule.STEP_SET: RuleInfo("step-set", 1, "the largest single move is set"),
    Rule.VELOCITY_KNOWN: RuleInfo("velocity-known", 1, "it is known how much the price moved in the last 24 h"),
    Rule.QUANTITY: RuleInfo("quantity", 1, "the quantity is possible"),
    Rule.MINOR_UNIT: RuleInfo("minor-unit", 1, "a price a hundred times off is cents taken for dollars or the reverse"),
    Rule.JUMP: RuleInfo("jump", 1, "a price ten times off is a mistake, not a move"),
    Rule.CHANGE_COUNT: RuleInfo("change-count", 1, "a price does not change too often in 24 h"),
    Rule.FIRST_LISTING: RuleInfo("first-listing", 1, "a first price stands in proportion to its floor"),
    Rule.NET_FLOOR: RuleInfo("net-floor", 1, "after all fees, cost and shipping a sale earns the margin", clamps=True),
    Rule.OWNER_FLOOR: RuleInfo("owner-floor", 1, "never below the owner's floor", clamps=True),
    Rule.CEILING: RuleInfo("ceiling", 1, "never above the owner's ceiling", clamps=True),
    Rule.STEP: RuleInfo("step", 1, "one move is no larger than the step", clamps=True),
    Rule.DAILY_MOVE: RuleInfo("daily-move", 1, "the moves of 24 h together stay small", clamps=True),
    Rule.NO_ROOM: RuleInfo("no-room", 1, "floor, ceiling, step and daily move leave at least one price"),
}
RULE_VERSIONS: dict[str, int] = {info.name: info.version for info in RULES.values()}


class FirewallLimits(BaseModel):
    """Limits of the house; an owner's own bounds come with each proposal. Amounts are minor units."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_amount_minor: int = Field(default=10**10, ge=1, le=MAX_AMOUNT)
    max_cost_age: timedelta = Field(default=timedelta(days=90), gt=timedelta(0))
    certificate_validity: timedelta = Field(default=timedelta(minutes=15), gt=timedelta(0))
    slip_factor: int = Field(default=100, ge=2, le=10_000)
    jump_factor: int = Field(default=10, ge=2, le=10_000)
    max_changes_per_day: int = Field(default=24, ge=1)
    max_daily_move_bps: int = Field(default=3_000, ge=1, le=BPS)
    max_quantity: int = Field(default=1_000_000, ge=1)
