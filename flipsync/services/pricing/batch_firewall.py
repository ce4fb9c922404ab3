"""The price firewall over arrays: the same rules as `firewall.judge`, for millions of proposals a second.

It judges and never signs: a price that is to be sent goes through `Firewall.check`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from flipsync.services.pricing.batch_economics import BLANK, BatchEconomics, Bools, Ints
from flipsync.services.pricing.fees import BPS, FeeSchedule
from flipsync.services.pricing.firewall import one_currency
from flipsync.services.pricing.proposal import PriceProposal
from flipsync.services.pricing.rules import (
    MAX_COST_LEAD,
    MAX_STEP_DOWN_BPS,
    MAX_STEP_UP_BPS,
    MAX_SUM,
    MAX_TAX_BPS,
    FirewallLimits,
    Rule,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class ProposalArrays:
    """Proposals of one channel account as columns; BLANK is None. Amounts in minor units, times in Unix microseconds.

    `one_currency` says that all amounts of the row (and the fees) are in the channel's currency.
    """

    current: Ints
    proposed: Ints
    unit_cost: Ints
    cost_as_of: Ints
    shipping_cost: Ints
    shipping_charged: Ints
    tax_bps: Ints
    floor: Ints
    ceiling: Ints
    min_margin: Ints
    margin_bps: Ints
    step_up_bps: Ints
    step_down_bps: Ints
    changes_24h: Ints
    moved_24h: Ints
    travel_14d: Ints
    start_14d: Ints
    market_floor: Ints
    market_ceiling: Ints
    catalogue_listings: Ints
    catalogue_value: Ints
    catalogue_moved_1h: Ints
    at_risk_1h: Ints
    released: Bools
    quantity: Ints
    one_currency: Bools

    def __len__(self) -> int:
        return int(self.proposed.size)

    def part(self, chosen: slice) -> ProposalArrays:
        return ProposalArrays(*(getattr(self, each.name)[chosen] for each in fields(self)))

    @classmethod
    def of(cls, proposals: Sequence[PriceProposal]) -> ProposalArrays:
        def column(values: list[int | None]) -> Ints:
            # a count beyond 64 bits is as impossible as the largest one
            return np.array([BLANK if v is None else max(min(v, 2**62), -(2**62)) for v in values], dtype=np.int64)

        def amounts(name: str) -> Ints:
            held = [getattr(proposal, name) for proposal in proposals]
            return column([None if amount is None else amount.amount_minor for amount in held])

        def counts(name: str) -> Ints:
            return column([getattr(proposal, name) for proposal in proposals])

        return cls(
            current=amounts("current"),
            proposed=amounts("proposed"),
            unit_cost=amounts("unit_cost"),
            cost_as_of=column([None if p.cost_as_of is None else _micros(p.cost_as_of) for p in proposals]),
            shipping_cost=amounts("shipping_cost"),
            shipping_charged=amounts("shipping_charged"),
            tax_bps=counts("tax_bps"),
            floor=amounts("floor"),
            ceiling=amounts("ceiling"),
            min_margin=amounts("min_margin"),
            margin_bps=counts("min_margin_bps"),
            step_up_bps=counts("max_step_up_bps"),
            step_down_bps=counts("max_step_down_bps"),
            changes_24h=counts("changes_24h"),
            moved_24h=amounts("moved_24h"),
            travel_14d=amounts("travel_14d"),
            start_14d=amounts("start_14d"),
            market_floor=amounts("market_floor"),
            market_ceiling=amounts("market_ceiling"),
            catalogue_listings=counts("catalogue_listings"),
            catalogue_value=amounts("catalogue_value"),
            catalogue_moved_1h=counts("catalogue_moved_1h"),
            at_risk_1h=amounts("at_risk_1h"),
            released=np.array([p.released for p in proposals], dtype=np.bool_),
            quantity=counts("quantity"),
            one_currency=np.array([one_currency(p) for p in proposals], dtype=np.bool_),
        )


@dataclass(frozen=True, slots=True)
class BatchVerdicts:
    """`price` is what may be sent (BLANK: nothing); `crossed` has bit `Rule.x.mask` set for every rule crossed."""

    price: Ints
    crossed: Ints

    @property
    def allowed(self) -> Bools:
        return ~self.denied & np.equal(self.crossed, 0)

    @property
    def clamped(self) -> Bools:
        return ~self.denied & np.not_equal(self.crossed, 0)

    @property
    def denied(self) -> Bools:
        return np.equal(self.price, BLANK)

    def rules(self, row: int) -> list[Rule]:
        return [rule for rule in Rule if int(self.crossed[row]) & rule.mask]


def check_batch(
    proposals: ProposalArrays,
    fees: FeeSchedule | None,
    limits: FirewallLimits,
    now: datetime,
    *,
    chunk: int = 16_384,
) -> BatchVerdicts:
    """Judge every row as `firewall.judge` would, with one fee schedule for all. Works in chunks that fit the cache."""
    size = len(proposals)
    price, crossed = np.empty(size, dtype=np.int64), np.empty(size, dtype=np.int64)
    for start in range(0, size, chunk):
        part = slice(start, start + chunk)
        price[part], crossed[part] = _check(proposals.part(part), fees, limits, now)
    return BatchVerdicts(price, crossed)


def _check(p: ProposalArrays, fees: FeeSchedule | None, limits: FirewallLimits, now: datetime) -> tuple[Ints, Ints]:
    crossed = _denials(p, fees, limits, now)
    price = np.full(len(p), BLANK, dtype=np.int64)
    sound = np.flatnonzero(crossed == 0)
    if not sound.size or fees is None:
        return price, crossed

    wanted, current = p.proposed[sound], p.current[sound]
    units = BatchEconomics(
        fees.terms(now),
        p.unit_cost[sound],
        p.shipping_cost[sound],
        _or(p.shipping_charged[sound], 0),
        _or(p.tax_bps[sound], 0),
        _or(p.min_margin[sound], 0),
        _or(p.margin_bps[sound], 0),
    )
    first = current == BLANK
    floor = _or(p.floor[sound], 1)
    bits = np.zeros(sound.size, dtype=np.int64)
    rows = np.flatnonzero(first)
    if rows.size:
        lowest, price_first = units.rows(rows).floor_price(floor[rows], limits.max_amount_minor), wanted[rows]
        larger, smaller = np.maximum(price_first, lowest), np.minimum(price_first, lowest)
        # where there is no floor (BLANK), `smaller` would overflow
        out_of_proportion = (lowest != BLANK) & (larger >= limits.slip_factor * np.maximum(smaller, 1))
        bits[rows[out_of_proportion]] = Rule.FIRST_LISTING.mask
    refused = bits != 0

    known = np.where(first, 1, current)
    ceiling = p.ceiling[sound]
    step_low = np.where(first, 1, -(-known * (BPS - p.step_down_bps[sound]) // BPS))
    step_high = np.where(first, limits.max_amount_minor, known * (BPS + p.step_up_bps[sound]) // BPS)
    left = np.maximum(0, known * limits.max_daily_move_bps // BPS - p.moved_24h[sound])
    move_low = np.where(first, 1, known - left)
    move_high = np.where(first, limits.max_amount_minor, known + left)

    market_low, market_high = p.market_floor[sound], np.minimum(p.market_ceiling[sound], limits.max_amount_minor)

    low = np.maximum(np.maximum(floor, market_low), np.maximum(step_low, move_low))
    high = np.minimum(np.minimum(ceiling, market_high), np.minimum(step_high, move_high))
    over = np.where(wanted < floor, Rule.OWNER_FLOOR.mask, 0)
    over |= np.where(wanted > ceiling, Rule.CEILING.mask, 0)
    over |= np.where((wanted < market_low) | (wanted > market_high), Rule.MARKET_LIMITS.mask, 0)
    over |= np.where((wanted < step_low) | (wanted > step_high), Rule.STEP.mask, 0)
    over |= np.where((wanted < move_low) | (wanted > move_high), Rule.DAILY_MOVE.mask, 0)
    no_room = low > high
    to = np.minimum(np.maximum(wanted, low), high)
    short = units.surplus(to) < 0
    over |= np.where(~no_room & (short | (units.surplus(wanted) < 0)), Rule.NET_FLOOR.mask, 0)
    rows = np.flatnonzero(short & ~no_room & ~refused)
    if rows.size:
        to[rows] = units.rows(rows).floor_price(to[rows], high[rows])
        no_room[rows] = to[rows] == BLANK
    over |= np.where(no_room, Rule.NO_ROOM.mask, 0)
    unchanged = (over != 0) & ~first & (to == current)
    nothing = refused | no_room | unchanged
    rows = np.flatnonzero(~nothing & ~first & (to != current))
    held = _holds(p, sound[rows], limits, units, rows, to[rows])
    over[rows] |= held
    nothing[rows] |= held != 0

    crossed[sound] = np.where(refused, bits, over)
    price[sound] = np.where(nothing, BLANK, to)
    return price, crossed


def _holds(
    p: ProposalArrays,
    where: NDArray[np.intp],
    limits: FirewallLimits,
    units: BatchEconomics,
    rows: NDArray[np.intp],
    to: Ints,
) -> Ints:
    """What `firewall._holds` finds; `where` are the rows in `p`, `rows` the same ones in `units`."""
    current, start, travel = p.current[where], p.start_14d[where], p.travel_14d[where]
    step = np.abs(to - current)
    idle = travel - np.abs(current - start)
    idle_then = travel + step - np.abs(to - start)
    round_again = (idle_then > idle) & (idle_then > start * limits.max_cycle_bps // BPS)
    suspects = np.flatnonzero(round_again)
    if suspects.size:
        at, price = where[suspects], current[suspects]
        low = np.maximum(_or(p.floor[at], 1), p.market_floor[at])
        high = np.minimum(p.ceiling[at], p.market_ceiling[at])
        below = (price < low) | (units.rows(rows[suspects]).surplus(price) < 0)
        round_again[suspects] = ~np.where(to[suspects] > price, below, price > high)
    bits = np.where(round_again, Rule.NO_CYCLE.mask, 0)
    bits |= np.where(p.changes_24h[where] >= limits.max_changes_per_day, Rule.CHANGE_COUNT.mask, 0)
    asked = ~p.released[where]
    share = p.catalogue_listings[where] * limits.brake_share_bps // BPS
    moved = p.catalogue_moved_1h[where] + 1
    bits |= np.where(asked & (moved > np.maximum(share, limits.brake_free_moves)), Rule.SHARE_BRAKE.mask, 0)
    share = p.catalogue_value[where] * limits.brake_risk_bps // BPS
    at_risk = p.at_risk_1h[where] + step * p.quantity[where]
    bits |= np.where(asked & (at_risk > np.maximum(share, limits.brake_free_risk_minor)), Rule.RISK_BRAKE.mask, 0)
    return bits


def _denials(p: ProposalArrays, fees: FeeSchedule | None, limits: FirewallLimits, now: datetime) -> Ints:
    most = limits.max_amount_minor
    price, current, cost, floor, ceiling = p.proposed, p.current, p.unit_cost, p.floor, p.ceiling
    existing = current != BLANK
    has_floor = floor != BLANK
    price_possible = _within(price, 1, most)
    current_possible = _within(current, 1, most)
    bits = np.where(price_possible, 0, Rule.PRICE_RANGE.mask)

    impossible = (existing & ~current_possible) | (cost > most) | (floor > most) | (ceiling > most)
    for amount in (p.shipping_cost, p.shipping_charged, p.min_margin, p.moved_24h, p.travel_14d, p.start_14d):
        impossible |= (amount != BLANK) & ~_within(amount, 0, most)
    bits |= np.where(impossible, Rule.AMOUNT_RANGE.mask, 0)
    bits |= np.where(p.one_currency, 0, Rule.CURRENCY.mask)
    cost_known = cost > 0
    fresh = _within(p.cost_as_of, _micros(now - limits.max_cost_age), _micros(now + MAX_COST_LEAD))
    bits |= np.where(cost_known, np.where(fresh, 0, Rule.COST_FRESH.mask), Rule.COST_KNOWN.mask)

    terms = fees.terms(now) if fees is not None else ()
    tax_blank = p.tax_bps == BLANK
    if not terms:
        bits |= Rule.FEES_KNOWN.mask
    else:
        on_total = any(term.basis == "total" for term in terms)
        bits |= np.where(tax_blank & on_total, Rule.FEES_KNOWN.mask, 0)
        bits |= np.where(~tax_blank & ~_within(p.tax_bps, 0, MAX_TAX_BPS), Rule.FEES_KNOWN.mask, 0)
    bits |= np.where(p.shipping_cost == BLANK, Rule.SHIPPING_KNOWN.mask, 0)
    share_blank = p.margin_bps == BLANK
    no_margin = ((p.min_margin == BLANK) & share_blank) | (~share_blank & ~_within(p.margin_bps, 0, BPS - 1))
    bits |= np.where(no_margin, Rule.MARGIN_SET.mask, 0)
    disorder = (ceiling <= 0) | (has_floor & ((floor <= 0) | (p.one_currency & (floor > ceiling))))
    bits |= np.where(disorder, Rule.BOUNDS_SET.mask, 0)
    market_known = _within(p.market_floor, 1, most) & (p.market_ceiling >= p.market_floor)
    bits |= np.where(market_known & (p.market_ceiling <= MAX_SUM), 0, Rule.MARKET_KNOWN.mask)
    bits |= np.where(_within(p.quantity, 0, limits.max_quantity), 0, Rule.QUANTITY.mask)

    step_set = _within(p.step_up_bps, 1, MAX_STEP_UP_BPS) & _within(p.step_down_bps, 1, MAX_STEP_DOWN_BPS)
    bits |= np.where(existing & ~step_set, Rule.STEP_SET.mask, 0)
    velocity_known = (p.changes_24h >= 0) & (p.moved_24h != BLANK) & (p.travel_14d != BLANK) & (p.start_14d > 0)
    bits |= np.where(existing & ~velocity_known, Rule.VELOCITY_KNOWN.mask, 0)
    often = existing & velocity_known & (p.changes_24h >= limits.max_changes_per_day) & (price != current)
    bits |= np.where(often, Rule.CHANGE_COUNT.mask, 0)
    brakes_known = (
        _within(p.catalogue_listings, 1, MAX_SUM)
        & _within(p.catalogue_moved_1h, 0, MAX_SUM)
        & _within(p.catalogue_value, 1, MAX_SUM)
        & _within(p.at_risk_1h, 0, MAX_SUM)
    )
    bits |= np.where(existing & ~brakes_known, Rule.BRAKES_KNOWN.mask, 0)

    comparable = existing & p.one_currency & current_possible & price_possible
    # amounts outside the range are left out of the comparison, so that no product can overflow
    one, other = np.where(comparable, price, 1), np.where(comparable, current, 1)
    larger, smaller = np.maximum(one, other), np.minimum(one, other)
    slip = comparable & (larger >= limits.slip_factor * smaller)
    bits |= np.where(slip, Rule.MINOR_UNIT.mask, 0)
    jump = comparable & ~slip & (larger >= limits.jump_factor * smaller)
    bits |= np.where(jump, Rule.JUMP.mask, 0)
    return bits


def _within(values: Ints, low: int, high: int) -> Bools:
    return (values >= low) & (values <= high)


def _or(values: Ints, default: int) -> Ints:
    return np.where(values == BLANK, default, values)


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND
