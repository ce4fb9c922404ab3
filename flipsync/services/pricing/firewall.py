"""The price firewall: the only thing that can permit a price. Pure: no I/O, the time comes from the clock it is given.

Order of judgement: every fact must be known, possible and in one currency, or the proposal is denied with all the
reasons at once; then the price is moved into the owner's and the marketplace's bounds within the step and the daily
move, and up to the first price that earns the margin after all fees; where those leave no price, or none but the
current one, it is denied. Last, the move that is left must not go round in circles, nor the catalogue too fast: a
brake asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from uuid import UUID

from flipsync.domain.clock import Clock, SystemClock
from flipsync.domain.money import Money
from flipsync.services.pricing.certificate import Certificate, Seal, timestamp
from flipsync.services.pricing.economics import UnitEconomics
from flipsync.services.pricing.fees import BPS, FeeTerm
from flipsync.services.pricing.proposal import Allow, Ask, Clamp, Deny, PriceProposal, PriceVerdict
from flipsync.services.pricing.rules import (
    MAX_COST_LEAD,
    MAX_STEP_DOWN_BPS,
    MAX_STEP_UP_BPS,
    MAX_SUM,
    MAX_TAX_BPS,
    RULE_VERSIONS,
    RULES,
    FirewallLimits,
    Rule,
)
from flipsync.services.pricing.wording import explain


class Firewall:
    """Checks proposals and signs the prices it permits.

    `key` signs certificates (16 bytes or more); `retired` keys still verify, for changing the key without a gap.
    Thread-safe: it holds no state but its configuration.
    """

    def __init__(
        self,
        key: bytes,
        *,
        limits: FirewallLimits | None = None,
        clock: Clock | None = None,
        retired: Sequence[bytes] = (),
    ) -> None:
        self.limits = limits or FirewallLimits()
        self._clock = clock or SystemClock()
        self._seal = Seal(key, retired)

    def check(self, proposal: PriceProposal) -> PriceVerdict:
        """Judge one proposal. Never raises for a bad price: a bad price is a Deny with its reasons."""
        now = self._clock.now()
        price, crossed = judge(proposal, self.limits, now)
        reasons = tuple(explain(rule, proposal, self.limits, now) for rule in crossed)
        if price is None:
            answers = {RULES[rule].answer for rule in crossed}
            return Ask(reasons=reasons) if "ask" in answers and "deny" not in answers else Deny(reasons=reasons)
        to = Money(amount_minor=price, currency=proposal.channel_currency)
        certificate = self._certify(proposal, to, crossed, now)
        if not crossed:
            return Allow(price=to, certificate=certificate)
        return Clamp(to=to, reasons=reasons, certificate=certificate)

    def verify(
        self,
        certificate: Certificate | None,
        listing_id: UUID,
        price: Money,
        now: datetime,
        *,
        current: Money | None = None,
    ) -> None:
        """Raise CertificateRefused unless `certificate` permits this price on this listing at `now`."""
        self._seal.verify(certificate, listing_id, price, now, current=current)

    def _certify(self, proposal: PriceProposal, to: Money, crossed: Sequence[Rule], now: datetime) -> Certificate:
        return self._seal.sign(
            {
                "schema": 2,
                "listing_id": str(proposal.listing_id),
                "price": to.model_dump(),
                "verdict": "clamp" if crossed else "allow",
                "crossed": [RULES[rule].name for rule in crossed],
                "inputs": proposal.model_dump(mode="json"),
                "limits": self.limits.model_dump(mode="json"),
                "rules": RULE_VERSIONS,
                "issued_at": timestamp(now),
                "valid_until": timestamp(now + self.limits.certificate_validity),
            }
        )


def judge(proposal: PriceProposal, limits: FirewallLimits, now: datetime) -> tuple[int | None, list[Rule]]:
    """The price permitted in minor units (None: nothing) and the rules the proposal crossed, in order."""
    terms = proposal.fees.terms(now) if proposal.fees else ()
    denials = sorted(set(_denials(proposal, limits, terms, now)))
    if denials:
        return None, denials
    economics = proposal.economics(terms)
    price = proposal.proposed.amount_minor
    floor = proposal.floor.amount_minor if proposal.floor else 1
    if proposal.current is None:
        lowest = economics.floor_price(floor, limits.max_amount_minor)
        if lowest is not None and max(price, lowest) >= limits.slip_factor * min(price, lowest):
            return None, [Rule.FIRST_LISTING]

    bounds = list(_bounds(proposal, limits))
    low, high = max(bound[1] for bound in bounds), min(bound[2] for bound in bounds)
    crossed = {rule for rule, lowest, highest in bounds if not lowest <= price <= highest}
    if low > high:
        return None, sorted({*crossed, Rule.NO_ROOM})
    to: int | None = min(max(price, low), high)
    if economics.surplus(price) < 0:
        crossed.add(Rule.NET_FLOOR)
    if to is not None and economics.surplus(to) < 0:
        crossed.add(Rule.NET_FLOOR)
        to = economics.floor_price(to, high)
    if to is None:
        return None, sorted({*crossed, Rule.NO_ROOM})
    if crossed and proposal.current is not None and to == proposal.current.amount_minor:
        return None, sorted(crossed)
    if proposal.current is not None and to != proposal.current.amount_minor:
        held = list(_holds(proposal, limits, economics, to))
        if held:
            return None, sorted({*crossed, *held})
    return to, sorted(crossed)


def _minor(amount: Money | None) -> int | None:
    return None if amount is None else amount.amount_minor


def _within(value: int | None, low: int, high: int) -> bool:
    return value is not None and low <= value <= high


def _bounds(proposal: PriceProposal, limits: FirewallLimits) -> Iterator[tuple[Rule, int, int]]:
    """Each bounding rule with the lowest and highest price it permits."""
    highest = limits.max_amount_minor
    yield Rule.OWNER_FLOOR, _minor(proposal.floor) or 1, highest
    yield Rule.CEILING, 1, _minor(proposal.ceiling) or 1
    yield Rule.MARKET_LIMITS, _minor(proposal.market_floor) or 1, min(_minor(proposal.market_ceiling) or 1, highest)
    current = _minor(proposal.current)
    if current is None:
        return
    up, down = proposal.max_step_up_bps or 0, proposal.max_step_down_bps or 0
    yield Rule.STEP, -(-current * (BPS - down) // BPS), current * (BPS + up) // BPS
    left = max(0, current * limits.max_daily_move_bps // BPS - (_minor(proposal.moved_24h) or 0))
    yield Rule.DAILY_MOVE, current - left, current + left


def _holds(proposal: PriceProposal, limits: FirewallLimits, economics: UnitEconomics, to: int) -> Iterator[Rule]:
    """The rules on what moves add up to: of this listing in 14 days, of the catalogue in an hour."""
    current = _minor(proposal.current) or 0
    step = abs(to - current)
    if (proposal.changes_24h or 0) >= limits.max_changes_per_day:  # the price stays, but is not allowed to
        yield Rule.CHANGE_COUNT
    start, travel = _minor(proposal.start_14d) or 0, _minor(proposal.travel_14d) or 0
    idle = travel - abs(current - start)
    idle_then = travel + step - abs(to - start)
    if idle_then > idle and idle_then > start * limits.max_cycle_bps // BPS:
        low = max(_minor(proposal.floor) or 1, _minor(proposal.market_floor) or 1)
        high = min(_minor(proposal.ceiling) or 0, _minor(proposal.market_ceiling) or 0)
        # a price that breaks its own bounds where it stands may always be brought back to them
        back = (current < low or economics.surplus(current) < 0) if to > current else current > high
        if not back:
            yield Rule.NO_CYCLE
    if proposal.released:
        return
    moved = (proposal.catalogue_moved_1h or 0) + 1
    share = (proposal.catalogue_listings or 0) * limits.brake_share_bps // BPS
    if moved > max(limits.brake_free_moves, share):
        yield Rule.SHARE_BRAKE
    at_risk = (_minor(proposal.at_risk_1h) or 0) + step * proposal.quantity
    share = (_minor(proposal.catalogue_value) or 0) * limits.brake_risk_bps // BPS
    if at_risk > max(limits.brake_free_risk_minor, share):
        yield Rule.RISK_BRAKE


def _denials(
    proposal: PriceProposal, limits: FirewallLimits, terms: Sequence[FeeTerm], now: datetime
) -> Iterator[Rule]:
    """The rules that no other price would satisfy."""
    most = limits.max_amount_minor
    price, current, cost = _minor(proposal.proposed), _minor(proposal.current), _minor(proposal.unit_cost)
    floor, ceiling, shipping = _minor(proposal.floor), _minor(proposal.ceiling), _minor(proposal.shipping_cost)
    margin, moved = _minor(proposal.min_margin), _minor(proposal.moved_24h)
    start, travel = _minor(proposal.start_14d), _minor(proposal.travel_14d)
    market_low, market_high = _minor(proposal.market_floor), _minor(proposal.market_ceiling)
    assert price is not None
    same_currency = one_currency(proposal)
    current_possible = _within(current, 1, most)

    if not 1 <= price <= most:
        yield Rule.PRICE_RANGE
    if (
        (current is not None and not current_possible)
        or any(amount is not None and amount > most for amount in (cost, floor, ceiling))
        or any(
            amount is not None and not 0 <= amount <= most
            for amount in (shipping, _minor(proposal.shipping_charged), margin, moved, travel, start)
        )
    ):
        yield Rule.AMOUNT_RANGE
    if not same_currency:
        yield Rule.CURRENCY
    if cost is None or cost <= 0:
        yield Rule.COST_KNOWN
    elif proposal.cost_as_of is None or not (now - limits.max_cost_age <= proposal.cost_as_of <= now + MAX_COST_LEAD):
        yield Rule.COST_FRESH
    on_total = any(term.basis == "total" for term in terms)
    tax_possible = not on_total if proposal.tax_bps is None else 0 <= proposal.tax_bps <= MAX_TAX_BPS
    if not terms or not tax_possible:
        yield Rule.FEES_KNOWN
    if shipping is None:
        yield Rule.SHIPPING_KNOWN
    share = proposal.min_margin_bps
    if (margin is None and share is None) or (share is not None and not 0 <= share < BPS):
        yield Rule.MARGIN_SET
    if ceiling is None or ceiling <= 0 or (floor is not None and (floor <= 0 or (same_currency and floor > ceiling))):
        yield Rule.BOUNDS_SET
    if not (_within(market_low, 1, most) and _within(market_high, market_low or 1, MAX_SUM)):
        yield Rule.MARKET_KNOWN
    if not 0 <= proposal.quantity <= limits.max_quantity:
        yield Rule.QUANTITY
    if current is None:
        return
    if not (
        _within(proposal.max_step_up_bps, 1, MAX_STEP_UP_BPS)
        and _within(proposal.max_step_down_bps, 1, MAX_STEP_DOWN_BPS)
    ):
        yield Rule.STEP_SET
    changes = proposal.changes_24h
    if changes is None or changes < 0 or moved is None or travel is None or start is None or start <= 0:
        yield Rule.VELOCITY_KNOWN
    elif changes >= limits.max_changes_per_day and price != current:
        yield Rule.CHANGE_COUNT
    if not (
        _within(proposal.catalogue_listings, 1, MAX_SUM)
        and _within(proposal.catalogue_moved_1h, 0, MAX_SUM)
        and _within(_minor(proposal.catalogue_value), 1, MAX_SUM)
        and _within(_minor(proposal.at_risk_1h), 0, MAX_SUM)
    ):
        yield Rule.BRAKES_KNOWN
    if same_currency and current_possible and 1 <= price <= most:
        larger, smaller = max(price, current), min(price, current)
        if larger >= limits.slip_factor * smaller:
            yield Rule.MINOR_UNIT
        elif larger >= limits.jump_factor * smaller:
            yield Rule.JUMP


def one_currency(proposal: PriceProposal) -> bool:
    """Whether every amount and the fees are in the currency of the channel."""
    currency = proposal.channel_currency
    return all(amount.currency == currency for amount in proposal.amounts()) and (
        proposal.fees is None or proposal.fees.currency == currency
    )
