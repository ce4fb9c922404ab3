"""What an order cancelled by us costs an account's standing: the channels' limits, and a price put on nearing them.

Limits are as the channels publish them. The price is ours: each cancellation uses up 1 / (limit × orders of the period)
of what is allowed, and the whole of it is worth what passing the limit would cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil


@dataclass(frozen=True)
class HealthRule:
    """`limit`: share of orders a seller may cancel within `days`. `loss`: share of those days' sales that passing it
    costs; `why` says how that is arrived at. `always`: cancellations that no share is taken of."""

    limit: float
    days: int
    loss: float
    why: str
    source: str
    always: int = 0


RULES: dict[str, HealthRule] = {
    "amazon": HealthRule(
        limit=0.025,
        days=7,
        loss=1.0,
        why="offers we ship may be deactivated; counted as a week without sales (our estimate)",
        source="sellercentral.amazon.com/seller-forums: Amazon on the pre-fulfillment cancel rate, under 2.5 %",
    ),
    "ebay": HealthRule(
        limit=0.02,
        days=90,
        loss=0.06 / 3,
        why="below standard adds 6 points to the final value fee, for a month at least (one of the three counted)",
        source="ebay.com: defects, above standard to 2 % of transactions or 4 buyers; fee: help.sitnsell.com 214",
        always=4,
    ),
}


@dataclass(frozen=True)
class Standing:
    """An account's orders in the days its rule looks at, those we cancelled for want of goods, and its sales."""

    orders: int = 0
    cancelled: int = 0
    sales_minor: int = 0


@dataclass(frozen=True)
class HealthCost:
    """`minor`: the price; `used`: share of what is allowed that one more cancellation brings it to (0: no limit)."""

    minor: int
    used: float
    words: str


def cost_of_cancelling(vendor: str, standing: Standing) -> HealthCost:
    """Of one order more that we cancel."""
    rule = RULES.get(vendor)
    if rule is None:
        return HealthCost(0, 0.0, "the channel keeps no count of cancellations that costs anything")
    orders = max(1, standing.orders)
    allowed = max(rule.limit * orders, float(rule.always), 1.0)
    minor = ceil(rule.loss * standing.sales_minor / allowed)
    used = (standing.cancelled + 1) / allowed
    words = (
        f"{standing.cancelled + 1} of {orders} orders in {rule.days} days cancelled by us, "
        f"{allowed:.0f} allowed ({rule.limit:.1%}); passing it: {rule.why}"
    )
    return HealthCost(minor, used, words)
