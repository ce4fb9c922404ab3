"""What the price firewall must answer, worked out a second time: one row at a time, in decimals, from the promises.

Written from the promises and not from the kernel: `Decimal` and its own rounding instead of integers, sets of plain
names instead of bits, the shortfall walk instead of the kernel's jumps. Slow on purpose; for samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal

#: one unknown number is None
Row = Mapping[str, int | None]
_ROUNDINGS = {"half_even": ROUND_HALF_EVEN, "half_up": ROUND_HALF_UP, "up": ROUND_CEILING, "down": ROUND_FLOOR}
_DAY = 86_400 * 10**6
_MOST = 10**10
_SUMS = 10**14


@dataclass(frozen=True)
class Fee:
    """A fee as the vendor words it: a percentage of a base, rounded to the cent, plus a fixed amount."""

    percent: str
    base: str = "item"
    rounding: str = "half_up"
    fixed: int = 0
    least: int | None = None
    most: int | None = None

    def of(self, item: int, shipping: int, tax: int) -> int:
        base = {"item": item, "item+shipping": item + shipping, "total": item + shipping + tax}[self.base]
        share = Decimal(base) * Decimal(self.percent) / 100
        amount = int(share.to_integral_value(rounding=_ROUNDINGS[self.rounding])) + self.fixed
        if self.least is not None:
            amount = max(amount, self.least)
        return amount if self.most is None else min(amount, self.most)


def spare(row: Row, fees: tuple[Fee, ...], price: int) -> int:
    """What a sale at `price` earns beyond what it must, in minor units."""
    shipping = row["shipping_charged"] or 0
    rate = Decimal(row["tax_bps"] or 0) / 10_000
    tax = int((Decimal(price + shipping) * rate).to_integral_value(rounding=ROUND_HALF_UP))
    taken = sum(fee.of(price, shipping, tax) for fee in fees)
    earned = price + shipping - taken - (row["unit_cost"] or 0) - (row["shipping_cost"] or 0)
    share = Decimal(price) * Decimal(row["margin_bps"] or 0) / 10_000
    return earned - max(row["min_margin"] or 0, int(share.to_integral_value(rounding=ROUND_CEILING)))


def answer(row: Row, fees: tuple[Fee, ...], now: int) -> int | None:
    """The price that may leave, in minor units, or None. `now` in Unix microseconds; the house's usual limits."""
    if not _sound(row, now):
        return None
    price, current = row["proposed"], row["current"]
    assert price is not None
    lowest = max(row["floor"] or 1, row["market_floor"] or 1)
    highest = min(row["ceiling"] or 0, row["market_ceiling"] or 0, _MOST)
    if current is None:
        cheapest = _first_that_earns(row, fees, row["floor"] or 1, _MOST)
        if cheapest is not None and (price >= 100 * cheapest or cheapest >= 100 * price):
            return None
    else:
        if not _calm(row, price, current):
            return None
        up, down = Decimal(row["step_up_bps"] or 0) / 10_000, Decimal(row["step_down_bps"] or 0) / 10_000
        day = Decimal(current) * Decimal("0.3") - (row["moved_24h"] or 0)
        room = max(0, int(day.to_integral_value(rounding=ROUND_FLOOR)))
        lowest = max(lowest, int((current * (1 - down)).to_integral_value(rounding=ROUND_CEILING)), current - room)
        highest = min(highest, int((current * (1 + up)).to_integral_value(rounding=ROUND_FLOOR)), current + room)
    if lowest > highest:
        return None
    to = _first_that_earns(row, fees, min(max(price, lowest), highest), highest)
    if to is None or current is None or to == current:
        return to if to is None or to == price or current is None else None
    return to if _may_move(row, fees, current, to) else None


def _first_that_earns(row: Row, fees: tuple[Fee, ...], price: int, highest: int) -> int | None:
    """Fees never fall as the price rises, so a price that lacks k earns nothing sooner than k higher."""
    while price <= highest:
        lacking = -spare(row, fees, price)
        if lacking <= 0:
            return price
        price += lacking
    return None


def _sound(row: Row, now: int) -> bool:
    """Every fact is known and possible."""
    known = all(
        row[name] is not None
        for name in ("proposed", "unit_cost", "cost_as_of", "shipping_cost", "ceiling", "quantity")
    )
    if not known or not row["one_currency"] or row["tax_bps"] is None:
        return False
    if row["min_margin"] is None and row["margin_bps"] is None:
        return False
    ranges = {
        "proposed": (1, _MOST),
        "current": (1, _MOST),
        "unit_cost": (1, _MOST),
        "cost_as_of": (now - 90 * _DAY, now + 5 * 60 * 10**6),
        "shipping_cost": (0, _MOST),
        "shipping_charged": (0, _MOST),
        "tax_bps": (0, 5_000),
        "floor": (1, _MOST),
        "ceiling": (1, _MOST),
        "min_margin": (0, _MOST),
        "margin_bps": (0, 9_999),
        "moved_24h": (0, _MOST),
        "travel_14d": (0, _MOST),
        "start_14d": (0, _MOST),
        "market_floor": (1, _MOST),
        "market_ceiling": (1, _SUMS),
        "quantity": (0, 10**6),
    }
    for name, (low, high) in ranges.items():
        value = row[name]
        if value is not None and not low <= value <= high:
            return False
    market = (row["market_floor"], row["market_ceiling"])
    if None in market or market[0] > market[1]:  # type: ignore[operator]
        return False
    return row["floor"] is None or row["floor"] <= (row["ceiling"] or 0)


def _calm(row: Row, price: int, current: int) -> bool:
    """A listing on sale: step, history and hour are known, and the price is no slip of the decimal point."""
    ranges = {
        "step_up_bps": (1, 90_000),
        "step_down_bps": (1, 9_000),
        "changes_24h": (0, 2**63),
        "moved_24h": (0, _MOST),
        "travel_14d": (0, _MOST),
        "start_14d": (1, _MOST),
        "catalogue_listings": (1, _SUMS),
        "catalogue_moved_1h": (0, _SUMS),
        "catalogue_value": (1, _SUMS),
        "at_risk_1h": (0, _SUMS),
    }
    for name, (low, high) in ranges.items():
        value = row[name]
        if value is None or not low <= value <= high:
            return False
    return max(price, current) < 10 * min(price, current)


def _may_move(row: Row, fees: tuple[Fee, ...], current: int, to: int) -> bool:
    """No circles, and the hour's brakes."""
    travel, start = row["travel_14d"] or 0, row["start_14d"] or 0
    before, after = travel - abs(current - start), travel + abs(to - current) - abs(to - start)
    lowest, highest = (
        max(row["floor"] or 1, row["market_floor"] or 1),
        min(row["ceiling"] or 0, row["market_ceiling"] or 0),
    )
    if (row["changes_24h"] or 0) >= 24:
        return False
    too_low = current < lowest or spare(row, fees, current) < 0
    brought_back = (to > current and too_low) or (to < current and current > highest)
    if not brought_back and after > before and after > Decimal(start) * Decimal("1.5"):
        return False
    if row["released"]:
        return True
    moved, listings = (row["catalogue_moved_1h"] or 0) + 1, row["catalogue_listings"] or 0
    if moved > 20 and moved > Decimal(listings) * Decimal("0.5"):
        return False
    risk = (row["at_risk_1h"] or 0) + abs(to - current) * (row["quantity"] or 0)
    return risk <= 50_000 or risk <= Decimal(row["catalogue_value"] or 0) * Decimal("0.05")
