"""Hostile price proposals by the million, and an audit of what the firewall let out of them.

The audit repeats the promises over arrays in its own words; `price_oracle` answers samples row by row.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.price_oracle import Fee, answer
from flipsync.domain.money import usd
from flipsync.services.pricing import FeeRule, FeeSchedule, FirewallLimits
from flipsync.services.pricing.batch_economics import BLANK, Ints
from flipsync.services.pricing.batch_firewall import BatchVerdicts, ProposalArrays

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
NOW_MICROS = int(NOW.timestamp()) * 10**6
LIMITS = FirewallLimits()


def rule(kind: str, rate: str, **more: Any) -> FeeRule:
    return FeeRule(kind=kind, rate_bps=Decimal(rate), valid_from=NOW - timedelta(days=9), source="account", **more)


#: a channel with every way of rounding, a least and a most fee
MARKETPLACE = FeeSchedule(
    vendor="custom",
    currency="USD",
    rules=(
        rule("commission", "1312.5", basis="item+shipping", rounding="half_even", minimum=usd("0.30")),
        rule("promotion", "250", rounding="up", maximum=usd("4.00")),
        rule("payment", "290", basis="total", fixed=usd("0.30")),
    ),
)
#: the same channel as the oracle is told of it
ORACLE_FEES = (
    Fee("13.125", base="item+shipping", rounding="half_even", least=30),
    Fee("2.5", rounding="up", most=400),
    Fee("2.9", base="total", fixed=30),
)


def hostile(size: int, seed: int) -> ProposalArrays:
    """Mostly plausible rows, with every kind of nonsense sprinkled over them: blanks, zeros, minus signs, cents taken
    for dollars, figures at the edge of 64 bits, other currencies, stale costs, prices dragged round, busy hours."""
    rng = np.random.default_rng(seed)
    junk = np.array([BLANK, 0, -1, 1, 10**9, 10**13, 2**63 - 1, -(2**62)], dtype=np.int64)

    def spoiled(values: NDArray[Any], share: float = 0.01) -> Ints:
        out = values.astype(np.int64)
        hit = rng.random(size) < share
        out[hit] = rng.choice(junk, int(hit.sum()))
        return out

    def share_of(amounts: NDArray[Any], low: float, high: float) -> Ints:
        return (amounts * rng.uniform(low, high, size)).astype(np.int64)

    current = np.exp(rng.normal(7.6, 1.0, size)).astype(np.int64) + 50
    factor = np.exp(rng.normal(0.0, 0.15, size)) * rng.choice(
        [1.0, 0.01, 100.0, 10.0], size, p=[0.97, 0.01, 0.01, 0.01]
    )
    cost = share_of(current, 0.2, 1.1) + 1
    age = rng.integers(0, 95, size) * 86_400_000_000
    listings = rng.integers(1, 400, size)
    value = listings * rng.integers(2_000, 20_000, size)
    return ProposalArrays(
        current=np.where(rng.random(size) < 0.1, BLANK, spoiled(current)),
        proposed=spoiled(np.maximum((current * factor).astype(np.int64), 0), 0.02),
        unit_cost=spoiled(cost),
        cost_as_of=spoiled(NOW_MICROS - age),
        shipping_cost=spoiled(rng.integers(0, 900, size)),
        shipping_charged=np.where(rng.random(size) < 0.5, BLANK, spoiled(rng.integers(0, 700, size))),
        tax_bps=spoiled(rng.integers(0, 1_100, size)),
        floor=np.where(rng.random(size) < 0.4, BLANK, spoiled(cost)),
        ceiling=spoiled(current * 3),
        min_margin=spoiled(rng.integers(0, 300, size)),
        margin_bps=spoiled(rng.integers(0, 2_000, size)),
        step_up_bps=spoiled(rng.integers(100, 3_000, size)),
        step_down_bps=spoiled(rng.integers(100, 3_000, size)),
        changes_24h=spoiled(rng.integers(0, 26, size)),
        moved_24h=spoiled(share_of(current, 0.0, 0.4)),
        travel_14d=spoiled(share_of(current, 0.0, 2.0)),
        start_14d=spoiled(share_of(current, 0.6, 1.5) + 1),
        market_floor=spoiled(np.where(rng.random(size) < 0.5, 1, 99)),
        market_ceiling=spoiled(np.where(rng.random(size) < 0.9, 10**11, current)),
        catalogue_listings=spoiled(listings, 0.005),
        catalogue_value=spoiled(value, 0.005),
        catalogue_moved_1h=spoiled(share_of(listings, 0.0, 0.7), 0.005),
        at_risk_1h=spoiled(share_of(np.maximum(value // 20, 50_000), 0.0, 1.05), 0.005),
        released=rng.random(size) < 0.05,
        quantity=spoiled(rng.integers(0, 9, size)),
        one_currency=rng.random(size) > 0.01,
    )


@dataclass
class Audit:
    """What left, and every promise it broke: name to number of rows."""

    rows: int = 0
    left: int = 0
    changed: int = 0
    escapes: dict[str, int] = field(default_factory=dict)

    @property
    def escaped(self) -> int:
        return sum(self.escapes.values())

    def look_at(self, rows: ProposalArrays, verdicts: BatchVerdicts) -> None:
        """Check every promise on every row that left."""
        out = verdicts.price != BLANK
        self.rows += len(rows)
        self.left += int(out.sum())
        self.changed += int((out & (verdicts.price != rows.proposed)).sum())
        r = ProposalArrays(*(getattr(rows, each.name)[out] for each in fields(rows)))
        for promise, broken in _broken_promises(r, verdicts.price[out]).items():
            count = int(np.count_nonzero(broken))
            if count:
                self.escapes[promise] = self.escapes.get(promise, 0) + count


def _broken_promises(r: ProposalArrays, price: Ints) -> dict[str, NDArray[np.bool_]]:
    on_sale = r.current != BLANK
    current = np.where(on_sale, r.current, price)
    charged = np.where(r.shipping_charged == BLANK, 0, r.shipping_charged)
    net = _net(r, price, charged)
    margin = np.where(r.min_margin == BLANK, 0, r.min_margin)
    share = np.where(r.margin_bps == BLANK, 0, r.margin_bps)
    floor = np.where(r.floor == BLANK, 1, r.floor)
    step = price - current
    moves = on_sale & (step != 0)
    larger, smaller = np.maximum(price, current), np.minimum(price, current)
    age = NOW_MICROS - r.cost_as_of
    start = np.where(moves, r.start_14d, 1)
    idle_before = np.where(moves, r.travel_14d - np.abs(current - start), 0)
    idle = np.where(moves, r.travel_14d + np.abs(step) - np.abs(price - start), 0)
    # a price outside its own bounds may come back to them however it travelled; all others are held to it
    net_now = _net(r, current, charged)
    too_low = (current < np.maximum(floor, r.market_floor)) | (net_now < margin) | (net_now * 10_000 < current * share)
    too_high = current > np.minimum(r.ceiling, r.market_ceiling)
    at_home = ~np.where(price > current, too_low, too_high)
    risk = np.where(moves, r.at_risk_1h + np.abs(step) * r.quantity, 0)
    held = moves & ~r.released
    moved = np.where(moves, r.catalogue_moved_1h + 1, 0)
    return {
        "currency": ~r.one_currency,
        "cost known": r.unit_cost <= 0,
        "cost fresh": (age < -300 * 10**6) | (age > 90 * 86_400 * 10**6),
        "shipping known": r.shipping_cost < 0,
        "margin set": (r.min_margin == BLANK) & (r.margin_bps == BLANK),
        "net profit": net < margin,
        "net share": net * 10_000 < price * share,
        "floor": price < floor,
        "ceiling": (price > r.ceiling) | (price < 1),
        "marketplace": (price < r.market_floor) | (price > r.market_ceiling),
        "step up": moves & (step * 10_000 > current * r.step_up_bps),
        "step down": moves & (-step * 10_000 > current * r.step_down_bps),
        "a day's moves": moves & ((np.abs(step) + r.moved_24h) * 10_000 > current * 3_000),
        "a day's changes": moves & (r.changes_24h >= 24),
        "decimal slip": larger >= 10 * smaller,
        "circles": moves & at_home & (idle > idle_before) & (idle * 10_000 > start * 15_000) & (idle > 0),
        "share of the catalogue": held & (moved > 20) & (moved * 10_000 > r.catalogue_listings * 5_000),
        "revenue at risk": held & (risk > 50_000) & (risk > r.catalogue_value // 20),
    }


def _net(r: ProposalArrays, price: Ints, charged: Ints) -> Ints:
    """What a sale at `price` leaves under MARKETPLACE's fees."""
    gross = price + charged
    tax = (gross * r.tax_bps + 5_000) // 10_000
    commission, rest = np.divmod(gross * 131_250, 1_000_000)
    commission += (rest > 500_000) | ((rest == 500_000) & (commission % 2 == 1))
    promotion = np.minimum(-(-price * 250 // 10_000), 400)
    payment = ((gross + tax) * 29_000 + 500_000) // 1_000_000 + 30
    net: Ints = gross - r.unit_cost - r.shipping_cost - np.maximum(commission, 30) - promotion - payment
    return net


def disagreements(rows: ProposalArrays, verdicts: BatchVerdicts, chosen: NDArray[np.intp]) -> list[int]:
    """Rows of `chosen` on which the oracle, asked one by one, answers otherwise than the firewall did."""
    columns = {each.name: getattr(rows, each.name) for each in fields(rows)}
    wrong = []
    for index in chosen.tolist():
        row = {name: None if values[index] == BLANK else int(values[index]) for name, values in columns.items()}
        given = None if verdicts.price[index] == BLANK else int(verdicts.price[index])
        if answer(row, ORACLE_FEES, NOW_MICROS) != given:
            wrong.append(index)
    return wrong
