"""What goods cost us: purchase, freight, duty and all, by receipt; and the cost of what was sold, three ways.

Amounts are minor units of one currency. Whatever the method, every cent of every receipt is either in the cost of
something sold or in the stock that is left: shares are split by cumulative rounding, never each by itself.
IAS 2 and US GAAP (ASC 330) name the three: first in first out, weighted average, specific identification.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from flipsync.domain.errors import FlipSyncError
from flipsync.services.pricing.fees import divide


class CostError(FlipSyncError):
    """More was sold than received, or a receipt is impossible: there is no cost to tell."""

    code: ClassVar[str] = "cost"
    status: ClassVar[int] = 409


@dataclass(frozen=True, slots=True)
class Receipt:
    """Units that came in at one time at one landed cost. `key` names the delivery line; `cost` is for all units."""

    key: str
    at: datetime
    units: int
    cost: int

    def __post_init__(self) -> None:
        if self.units <= 0 or self.cost < 0:
            raise CostError(f"receipt {self.key}: {self.units} units for {self.cost} is not possible")

    def first(self, units: int) -> int:
        """What its first `units` cost."""
        return divide(self.cost * units, self.units, "half_up")


@dataclass(frozen=True, slots=True)
class StockCost:
    """The cost of units that left, by receipt, and the cost of what is left."""

    cost: int
    taken: tuple[tuple[str, int, int], ...]
    left_units: int
    left_cost: int

    @property
    def unit_cost(self) -> int:
        """Of one unit that left, rounded up: a price floor must not rest on half a cent too little."""
        units = sum(units for _, units, _ in self.taken)
        return -(-self.cost // units) if units else 0


def landed(goods: Sequence[tuple[str, int, int]], charges: int, at: datetime) -> tuple[Receipt, ...]:
    """One delivery of several lines (key, units, purchase cost of all units): freight, duty and other `charges` of the
    whole are shared by purchase cost, to the cent. Raises CostError when there is nothing to share them by."""
    value = sum(cost for _, _, cost in goods)
    if charges < 0 or (charges and not value):
        raise CostError(f"charges of {charges} cannot be shared over goods of {value}")
    receipts, before = [], 0
    for key, units, cost in goods:
        upto = before + cost
        share = divide(charges * upto, value, "half_up") - divide(charges * before, value, "half_up") if value else 0
        receipts.append(Receipt(key, at, units, cost + share))
        before = upto
    return tuple(receipts)


def fifo(receipts: Sequence[Receipt], sold: int, *, before: int = 0) -> StockCost:
    """The cost of `sold` units when `before` units had left already: the oldest go first."""
    _enough(receipts, before + sold)
    taken: list[tuple[str, int, int]] = []
    skip, want, left_units, left_cost = before, sold, 0, 0
    for receipt in sorted(receipts, key=lambda each: (each.at, each.key)):
        gone = min(skip, receipt.units)
        now = min(want, receipt.units - gone)
        if now:
            taken.append((receipt.key, now, receipt.first(gone + now) - receipt.first(gone)))
        left_units += receipt.units - gone - now
        left_cost += receipt.cost - receipt.first(gone + now)
        skip, want = skip - gone, want - now
    return StockCost(sum(cost for *_, cost in taken), tuple(taken), left_units, left_cost)


def weighted_average(movements: Sequence[Receipt | tuple[datetime, int]]) -> tuple[list[StockCost], int, int]:
    """The moving average: receipts, and sales as (when, units). Returns the cost of each sale in order, and the units
    and cost that are left. At the same moment goods come in before they leave."""
    ordered = sorted(movements, key=lambda each: (each.at, 0) if isinstance(each, Receipt) else (each[0], 1))
    units, value, sales = 0, 0, []
    for each in ordered:
        if isinstance(each, Receipt):
            units, value = units + each.units, value + each.cost
            continue
        at, sold = each
        if sold > units:
            raise CostError(f"{sold} units were sold at {at:%Y-%m-%d} and {units} were there", hint="Book the receipt.")
        cost = divide(value * sold, units, "half_up") if units else 0
        units, value = units - sold, value - cost
        sales.append(StockCost(cost, (("average", sold, cost),), units, value))
    return sales, units, value


def specific(
    receipts: Sequence[Receipt], picked: Mapping[str, int], *, before: Mapping[str, int] | None = None
) -> StockCost:
    """The cost of exactly these units: `picked` and `before` (left earlier) are units by receipt key."""
    known = {receipt.key: receipt for receipt in receipts}
    gone = dict(before or {})
    taken: list[tuple[str, int, int]] = []
    for key, units in picked.items():
        receipt = known.get(key)
        if receipt is None or units < 0 or gone.get(key, 0) + units > receipt.units:
            raise CostError(f"{units} units of receipt {key} are not there", hint="Look at what was picked.")
        start = gone.get(key, 0)
        taken.append((key, units, receipt.first(start + units) - receipt.first(start)))
        gone[key] = start + units
    left_units = sum(receipt.units - gone.get(receipt.key, 0) for receipt in receipts)
    left_cost = sum(receipt.cost - receipt.first(gone.get(receipt.key, 0)) for receipt in receipts)
    return StockCost(sum(cost for *_, cost in taken), tuple(taken), left_units, left_cost)


def _enough(receipts: Sequence[Receipt], units: int) -> None:
    there = sum(receipt.units for receipt in receipts)
    if units > there or units < 0:
        raise CostError(f"{units} units left and {there} came in", hint="Book the receipt that is missing.")
