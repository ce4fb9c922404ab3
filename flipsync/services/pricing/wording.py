"""The firewall's reasons in plain words: what is wrong with this proposal, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from flipsync.domain.money import Money
from flipsync.services.pricing.fees import BPS
from flipsync.services.pricing.proposal import PriceProposal, Reason
from flipsync.services.pricing.rules import RULES, FirewallLimits, Rule


def explain(rule: Rule, proposal: PriceProposal, limits: FirewallLimits, now: datetime) -> Reason:
    """The rule's name, version and reason for this proposal."""
    info = RULES[rule]
    return Reason(rule=info.name, version=info.version, words=_WORDS[rule](proposal, limits, now))


def percent(basis_points: int) -> str:
    return f"{basis_points / 100:g} %"


def _price_range(p: PriceProposal, limits: FirewallLimits, now: datetime) -> str:
    if p.proposed.amount_minor <= 0:
        return f"{p.proposed} is not a price. A price is more than zero; blank is never zero."
    most = Money(amount_minor=limits.max_amount_minor, currency=p.proposed.currency)
    return f"{p.proposed} is above {most}, the most any price may be. Check the digits."


def _amount_range(p: PriceProposal, limits: FirewallLimits, now: datetime) -> str:
    return (
        "An amount is impossible (current price not above zero, a negative cost, charge or margin, or a figure above "
        f"{limits.max_amount_minor} minor units). Read the listing back and correct its record."
    )


def _currency(p: PriceProposal, limits: FirewallLimits, now: datetime) -> str:
    held = {amount.currency for amount in p.amounts()}
    if p.fees is not None:
        held.add(p.fees.currency)
    others = ", ".join(sorted(held - {p.channel_currency}))
    return f"The channel sells in {p.channel_currency}, but amounts are in {others}. Convert them first."


def _cost_known(p: PriceProposal, limits: FirewallLimits, now: datetime) -> str:
    if p.unit_cost is None:
        return "The unit cost is not known, so no profit can be computed. Enter what the item cost."
    return f"A unit cost of {p.unit_cost} means it is not known. Enter what the item cost; blank is never zero."


def _cost_fresh(p: PriceProposal, limits: FirewallLimits, now: datetime) -> str:
    if p.cost_as_of is None:
        return "It is not known when the unit cost was true. Confirm the cost."
    if p.cost_as_of > now:
        return f"The unit cost is dated in the future ({p.cost_as_of:%Y-%m-%d}). Correct the date."
    age = (now - p.cost_as_of).days
    return f"The unit cost was last true {age} days ago; {limits.max_cost_age.days} is the limit. Confirm the cost."


def _fees_known(p: PriceProposal, limits: FirewallLimits, now: datetime) -> str:
    if p.fees is None or not p.fees.in_force(now):
        return "The channel's fees are not known for today. Set the account's fees; 0 has to be said."
    if p.tax_bps is None:
        return "Fees are taken on the total with tax, but the tax rate is not known. Set it; 0 has to be said."
    return f"A tax rate of {percent(p.tax_bps)} is not possible. Correct it."


def _shipping_known(p: PriceProposal, limits: FirewallLimits, now: datetime) -> str:
    return "The cost of shipping one unit is not known. Enter an estimate; 0 has to be said."


def _margin_set(p: PriceProposal, limits: FirewallLimits, now: datetime) -> str:
    if p.min_margin_bps is not None and not 0 <= p.min_margin_bps < BPS:
        return f"A minimum margin of {percent(p.min_margin_bps)} of the price is not possible. Correct it."
    return "The least a sale must earn is not set. Set an amount or a share; 0 (break even) has to be said."


def _bounds_set(p: PriceProposal, limits: FirewallLimits, now: datetime) -> str:
    if p.ceiling is None or p.ceiling.amount_minor <= 0:
        return "No ceiling is set. Set the highest price this listing may show."
    if p.floor is not None and p.floor.amount_minor <= 0:
        return f"A floor of {p.floor} protects nothing. Set a real floor, or none to use the profit floor."
    return f"The floor {p.floor} is above the ceiling {p.ceiling}. Correct one of them."


def _market_known(p: PriceProposal, limits: FirewallLimits, now: datetime) -> str:
    return "The lowest and highest price this marketplace takes are not known, or not in order. Add its limits."


def _step_set(p: PriceProposal, limits: FirewallLimits, now: datetime) -> str:
    return "The largest single move is not set, or is not possible. Set how far one move may go up and down."


def _velocity_known(p: PriceProposal, limits: FirewallLimits, now: datetime) -> str:
    return (
        "It is not known how often and how far this price moved in the last 24 hours and 14 days. "
        "Read its history first."
    )


def _brakes_known(p: PriceProposal, limits: FirewallLimits, now: datetime) -> str:
    return "It is not known how much of the catalogue moved within the hour. Count its listings and moves first."


def _quantity(p: PriceProposal, limits: FirewallLimits, now: datetime) -> str:
    return f"A quantity of {p.quantity} is not possible (0 to {limits.max_quantity}). Count the stock."


def _minor_unit(p: PriceProposal, limits: FirewallLimits, now: datetime) -> str:
    return (
        f"{p.proposed} against {p.current} now is a factor of {limits.slip_factor} or more: it looks like cents taken "
        "for whole units, or the reverse. Check the source of the price."
    )


def _jump(p: PriceProposal, limits: FirewallLimits, now: datetime) -> str:
    return (
        f"{p.proposed} against {p.current} now is a factor of {limits.jump_factor} or more: a mistake, not a move. "
        "Check the source; a person can move it in steps."
    )


def _change_count(p: PriceProposal, limits: FirewallLimits, now: datetime) -> str:
    return f"The price changed {p.changes_24h} times in 24 hours; {limits.max_changes_per_day} is the limit. Wait."


def _first_listing(p: PriceProposal, limits: FirewallLimits, now: datetime) -> str:
    return (
        f"A first price of {p.proposed} is a factor of {limits.slip_factor} or more from its floor: it looks like a "
        "slip of the decimal point. If a high price is meant, set a floor nearer to it."
    )


def _net_floor(p: PriceProposal, limits: FirewallLimits, now: datetime) -> str:
    economics = p.economics(p.fees.terms(now) if p.fees else ())
    price, currency = p.proposed.amount_minor, p.channel_currency
    net = Money(amount_minor=economics.net(price), currency=currency)
    asked = Money(amount_minor=economics.required(price), currency=currency)
    floor = economics.floor_price()
    lowest = (
        "no price does" if floor is None else f"the lowest that does is {Money(amount_minor=floor, currency=currency)}"
    )
    return f"A sale at {p.proposed} nets {net} after fees, cost and shipping; it must earn {asked}; {lowest}."


def _owner_floor(p: PriceProposal, limits: FirewallLimits, now: datetime) -> str:
    return f"{p.proposed} is below the floor of {p.floor} set for this listing."


def _ceiling(p: PriceProposal, limits: FirewallLimits, now: datetime) -> str:
    return f"{p.proposed} is above the ceiling of {p.ceiling} set for this listing."


def _market_limits(p: PriceProposal, limits: FirewallLimits, now: datetime) -> str:
    return f"{p.proposed} is not within what the marketplace takes, {p.market_floor} to {p.market_ceiling}."


def _step(p: PriceProposal, limits: FirewallLimits, now: datetime) -> str:
    up, down = percent(p.max_step_up_bps or 0), percent(p.max_step_down_bps or 0)
    return f"From {p.current} to {p.proposed} is more than one move may be ({up} up, {down} down)."


def _daily_move(p: PriceProposal, limits: FirewallLimits, now: datetime) -> str:
    return (
        f"With {p.moved_24h} moved in 24 hours already, a move to {p.proposed} goes beyond "
        f"{percent(limits.max_daily_move_bps)} of {p.current} a day."
    )


def _no_room(p: PriceProposal, limits: FirewallLimits, now: datetime) -> str:
    return (
        "Floor, ceiling, marketplace, margin, step and daily move leave no price. Approve a larger step, change floor "
        "or ceiling, or take the listing off sale."
    )


def _no_cycle(p: PriceProposal, limits: FirewallLimits, now: datetime) -> str:
    start = p.start_14d or p.proposed
    most = Money(amount_minor=start.amount_minor * limits.max_cycle_bps // BPS, currency=p.channel_currency)
    return (
        f"In 14 days this price moved {p.travel_14d} to come from {start} to {p.current}; a move to {p.proposed} makes "
        f"the travel that led nowhere more than {most}. It goes round in circles: find the two rules, or the rival, "
        "that drag it, and hold the price until then."
    )


def _share_brake(p: PriceProposal, limits: FirewallLimits, now: datetime) -> str:
    return (
        f"{p.catalogue_moved_1h} of {p.catalogue_listings} listings in {p.channel_currency} moved within the hour "
        f"already; {percent(limits.brake_share_bps)} (or {limits.brake_free_moves}) is the limit. Look at why so many "
        "move at once, then approve, or wait an hour."
    )


def _risk_brake(p: PriceProposal, limits: FirewallLimits, now: datetime) -> str:
    free = Money(amount_minor=limits.brake_free_risk_minor, currency=p.channel_currency)
    return (
        f"Moves of this hour put {p.at_risk_1h} of revenue at risk (step times units on offer), and this one adds "
        f"{p.quantity} units; {percent(limits.brake_risk_bps)} of {p.catalogue_value} on offer (or {free}) is the "
        "limit. Approve it, or wait an hour."
    )


_WORDS: dict[Rule, Callable[[PriceProposal, FirewallLimits, datetime], str]] = {
    Rule.PRICE_RANGE: _price_range,
    Rule.AMOUNT_RANGE: _amount_range,
    Rule.CURRENCY: _currency,
    Rule.COST_KNOWN: _cost_known,
    Rule.COST_FRESH: _cost_fresh,
    Rule.FEES_KNOWN: _fees_known,
    Rule.SHIPPING_KNOWN: _shipping_known,
    Rule.MARGIN_SET: _margin_set,
    Rule.BOUNDS_SET: _bounds_set,
    Rule.MARKET_KNOWN: _market_known,
    Rule.STEP_SET: _step_set,
    Rule.VELOCITY_KNOWN: _velocity_known,
    Rule.BRAKES_KNOWN: _brakes_known,
    Rule.QUANTITY: _quantity,
    Rule.MINOR_UNIT: _minor_unit,
    Rule.JUMP: _jump,
    Rule.CHANGE_COUNT: _change_count,
    Rule.FIRST_LISTING: _first_listing,
    Rule.NET_FLOOR: _net_floor,
    Rule.OWNER_FLOOR: _owner_floor,
    Rule.CEILING: _ceiling,
    Rule.MARKET_LIMITS: _market_limits,
    Rule.STEP: _step,
    Rule.DAILY_MOVE: _daily_move,
    Rule.NO_ROOM: _no_room,
    Rule.NO_CYCLE: _no_cycle,
    Rule.SHARE_BRAKE: _share_brake,
    Rule.RISK_BRAKE: _risk_brake,
}
