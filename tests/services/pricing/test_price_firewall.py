"""What the firewall lets out, what it changes and what it refuses, with certificates that cannot be bent."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flipsync.domain.clock import ManualClock
from flipsync.domain.errors import InvalidInput
from flipsync.domain.ids import new_id
from flipsync.domain.money import MAX_MINOR, Money, usd
from flipsync.services.fees import stripe_us
from flipsync.services.pricing import (
    Allow,
    Ask,
    Certificate,
    CertificateRefused,
    Clamp,
    Deny,
    FeeSchedule,
    Firewall,
    FirewallLimits,
    PriceProposal,
    net_profit,
)
from flipsync.services.pricing.rules import RULE_VERSIONS, RULES, Rule

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
KEY = b"0123456789abcdef0123456789abcdef"
LISTING = UUID("01890000-0000-7000-8000-000000000001")


def firewall(**limits: Any) -> Firewall:
    return Firewall(KEY, clock=ManualClock(NOW), limits=FirewallLimits(**limits))


def proposal(**changes: Any) -> PriceProposal:
    """A sound move from 19.99 to 18.99 of an item that cost 8.00, with `changes`."""
    values: dict[str, Any] = {
        "listing_id": LISTING,
        "channel_currency": "USD",
        "current": usd("19.99"),
        "proposed": usd("18.99"),
        "unit_cost": usd("8.00"),
        "cost_as_of": NOW - timedelta(days=3),
        "fees": stripe_us(),
        "shipping_cost": usd("4.00"),
        "tax_bps": 800,
        "floor": usd("14.00"),
        "ceiling": usd("30.00"),
        "min_margin": usd("1.00"),
        "max_step_up_bps": 2_000,
        "max_step_down_bps": 2_000,
        "changes_24h": 0,
        "moved_24h": usd("0.00"),
        "travel_14d": usd("0.00"),
        "start_14d": usd("19.99"),
        "market_floor": usd("0.01"),
        "market_ceiling": usd("100000.00"),
        "catalogue_listings": 100,
        "catalogue_value": usd("5000.00"),
        "catalogue_moved_1h": 0,
        "at_risk_1h": usd("0.00"),
        "quantity": 1,
    }
    return PriceProposal(**{**values, **changes})


def first_listing(**changes: Any) -> PriceProposal:
    blank = {"current": None, "max_step_up_bps": None, "max_step_down_bps": None, "changes_24h": None}
    return proposal(**{**blank, "moved_24h": None, **changes})


def denied_for(given_: PriceProposal, **limits: Any) -> set[str]:
    verdict = firewall(**limits).check(given_)
    assert isinstance(verdict, Deny), verdict
    assert all(reason.words and reason.version == RULE_VERSIONS[reason.rule] for reason in verdict.reasons)
    return {reason.rule for reason in verdict.reasons}


def test_a_sound_move_is_allowed_and_signed() -> None:
    guard = firewall()
    verdict = guard.check(proposal())
    assert isinstance(verdict, Allow)
    assert verdict.price == usd("18.99")
    guard.verify(verdict.certificate, LISTING, usd("18.99"), NOW + timedelta(minutes=14))


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"unit_cost": None}, "cost-known"),
        ({"unit_cost": usd("0.00")}, "cost-known"),
        ({"unit_cost": usd("-8.00")}, "cost-known"),
        ({"cost_as_of": None}, "cost-fresh"),
        ({"cost_as_of": NOW - timedelta(days=91)}, "cost-fresh"),
        ({"cost_as_of": NOW + timedelta(days=1)}, "cost-fresh"),
        ({"fees": None}, "fees-known"),
        ({"fees": FeeSchedule(vendor="woocommerce", currency="USD")}, "fees-known"),
        ({"tax_bps": None}, "fees-known"),
        ({"tax_bps": -1}, "fees-known"),
        ({"shipping_cost": None}, "shipping-known"),
        ({"shipping_cost": usd("-1.00")}, "amount-range"),
        ({"min_margin": None}, "margin-set"),
        ({"min_margin_bps": 10_000}, "margin-set"),
        ({"ceiling": None}, "bounds-set"),
        ({"ceiling": usd("0.00")}, "bounds-set"),
        ({"floor": usd("0.00")}, "bounds-set"),
        ({"floor": usd("31.00")}, "bounds-set"),
        ({"max_step_up_bps": None}, "step-set"),
        ({"max_step_down_bps": 0}, "step-set"),
        ({"changes_24h": None}, "velocity-known"),
        ({"moved_24h": None}, "velocity-known"),
        ({"changes_24h": 24}, "change-count"),
        ({"quantity": -1}, "quantity"),
        ({"travel_14d": None}, "velocity-known"),
        ({"start_14d": usd("0.00")}, "velocity-known"),
        ({"travel_14d": usd("-1.00")}, "amount-range"),
        ({"market_floor": None}, "market-known"),
        ({"market_ceiling": None}, "market-known"),
        ({"market_floor": usd("2.00"), "market_ceiling": usd("1.00")}, "market-known"),
        ({"catalogue_listings": 0}, "brakes-known"),
        ({"catalogue_moved_1h": None}, "brakes-known"),
        ({"catalogue_value": None}, "brakes-known"),
        ({"at_risk_1h": usd("-1.00")}, "brakes-known"),
        ({"at_risk_1h": Money.parse("1.00", "EUR")}, "currency"),
        ({"current": usd("0.00")}, "amount-range"),
        ({"proposed": usd("0.00")}, "price-range"),
        ({"proposed": usd("-18.99")}, "price-range"),
        ({"proposed": Money(amount_minor=MAX_MINOR, currency="USD")}, "price-range"),
        ({"proposed": Money.parse("18.99", "EUR")}, "currency"),
        ({"unit_cost": Money.parse("8.00", "GBP")}, "currency"),
        ({"fees": FeeSchedule(vendor="custom", currency="EUR")}, "currency"),
    ],
)
def test_a_missing_or_impossible_fact_denies(changes: dict[str, Any], rule: str) -> None:
    assert rule in denied_for(proposal(**changes))


def test_all_reasons_are_told_at_once_and_say_what_to_do() -> None:
    verdict = firewall().check(proposal(unit_cost=None, fees=None, ceiling=None))
    assert isinstance(verdict, Deny)
    assert [reason.rule for reason in verdict.reasons] == ["cost-known", "fees-known", "bounds-set"]
    assert "Enter what the item cost" in verdict.reasons[0].words


@pytest.mark.parametrize(
    ("changes", "to", "rules"),
    [
        ({"proposed": usd("15.00")}, "16.00", {"step"}),  # a step down is at most 20 %
        ({"proposed": usd("29.00")}, "23.98", {"step", "daily-move"}),
        ({"proposed": usd("26.00"), "max_step_up_bps": 9_000}, "25.98", {"daily-move"}),
        ({"proposed": usd("17.00"), "floor": usd("18.50")}, "18.50", {"owner-floor"}),
        ({"proposed": usd("23.00"), "ceiling": usd("22.00")}, "22.00", {"ceiling"}),
        ({"proposed": usd("17.00"), "moved_24h": usd("5.00")}, "19.00", {"daily-move"}),
        ({"proposed": usd("21.00"), "market_ceiling": usd("20.50")}, "20.50", {"market-limits"}),
        ({"proposed": usd("18.00"), "market_floor": usd("18.25")}, "18.25", {"market-limits"}),
    ],
)
def test_a_price_across_a_bound_is_moved_to_it(changes: dict[str, Any], to: str, rules: set[str]) -> None:
    guard = firewall()
    verdict = guard.check(proposal(**changes))
    assert isinstance(verdict, Clamp), verdict
    assert verdict.to == usd(to)
    assert {reason.rule for reason in verdict.reasons} == rules
    guard.verify(verdict.certificate, LISTING, usd(to), NOW)


def test_a_price_that_earns_too_little_is_raised_to_the_first_that_earns_enough() -> None:
    given_ = proposal(unit_cost=usd("12.50"), proposed=usd("17.50"))
    verdict = firewall().check(given_)
    assert isinstance(verdict, Clamp)

    def net(price: Money) -> Money:
        return net_profit(price, usd("12.50"), usd("4.00"), stripe_us(), NOW, tax_bps=800).net

    assert net(verdict.to) >= usd("1.00") > net(verdict.to - usd("0.01"))
    assert "a sale at 17.50 usd nets" in verdict.reasons[0].words.lower()


def test_a_floor_out_of_reach_is_a_matter_for_a_person() -> None:
    """The cost doubled: even a full step up still loses money, so nothing leaves."""
    assert denied_for(proposal(unit_cost=usd("22.00"), proposed=usd("23.00"))) == {"net-floor", "no-room"}
    assert denied_for(proposal(proposed=usd("19.00"), ceiling=usd("15.00"))) == {"ceiling", "no-room"}


def test_a_clamp_back_to_the_price_now_is_a_denial() -> None:
    assert denied_for(proposal(proposed=usd("18.00"), floor=usd("19.99"))) == {"owner-floor"}
    assert denied_for(proposal(proposed=usd("19.00"), moved_24h=usd("6.00"))) == {"daily-move"}


def test_sending_the_same_price_again_is_no_move() -> None:
    same = proposal(proposed=usd("19.99"), changes_24h=24, moved_24h=usd("19.00"))
    assert isinstance(firewall().check(same), Allow)


def test_a_first_listing_needs_cost_and_ceiling_but_no_step() -> None:
    assert isinstance(firewall().check(first_listing()), Allow)
    assert isinstance(firewall().check(first_listing(floor=None)), Allow)
    assert denied_for(first_listing(unit_cost=None)) == {"cost-known"}
    assert denied_for(first_listing(ceiling=None)) == {"bounds-set"}
    below = firewall().check(first_listing(proposed=usd("9.99"), floor=None))
    assert isinstance(below, Clamp)
    assert [reason.rule for reason in below.reasons] == ["net-floor"]


def test_the_penny_hour() -> None:
    """A broken feed wrote 0.01 on everything (repricing outage of December 2014)."""
    assert "minor-unit" in denied_for(proposal(proposed=usd("0.01")))
    assert "minor-unit" in denied_for(proposal(proposed=usd("0.01"), floor=None, min_margin=usd("0.00")))
    assert denied_for(first_listing(proposed=usd("0.01"), floor=None)) == {"first-listing"}


def test_the_blank_minimum() -> None:
    """An empty minimum field imported as 0: the rival at 0.50 cannot pull the price below what a sale must earn."""
    assert denied_for(proposal(floor=usd("0.00"), proposed=usd("0.50"))) >= {"bounds-set", "jump"}
    falling = usd("19.99")
    for _ in range(30):
        verdict = firewall().check(proposal(floor=None, current=falling, proposed=falling.times(Decimal("0.82"))))
        if isinstance(verdict, Deny):
            break
        falling = verdict.to if isinstance(verdict, Clamp) else verdict.price
    profit = net_profit(falling, usd("8.00"), usd("4.00"), stripe_us(), NOW, tax_bps=800).net
    assert usd("1.00") <= profit < usd("1.10")


@pytest.mark.parametrize(("now", "then"), [("19.99", "1999.00"), ("19.99", "0.19"), ("4.00", "400.00")])
def test_the_minor_unit_slip(now: str, then: str) -> None:
    given_ = proposal(current=usd(now), proposed=usd(then), ceiling=usd("5000.00"), floor=None)
    assert "minor-unit" in denied_for(given_)


def test_the_minor_unit_slip_on_a_first_listing() -> None:
    slipped = first_listing(proposed=usd("1999.00"), ceiling=usd("5000.00"), floor=None)
    assert denied_for(slipped) == {"first-listing"}
    meant = slipped.model_copy(update={"floor": usd("1500.00")})
    assert isinstance(firewall().check(meant), Allow)


def test_the_book_spiral_stops_at_the_ceiling() -> None:
    """Two repricers at 1.27 and 0.998 of each other reached $23,698,655.93 in 2011."""
    ours, theirs, clock = usd("35.00"), usd("35.00"), ManualClock(NOW)
    guard = Firewall(KEY, clock=clock)
    for _ in range(60):
        theirs = ours.times(Decimal("0.99830"))
        wanted = theirs.times(Decimal("1.27059"))
        verdict = guard.check(
            proposal(current=ours, proposed=wanted, ceiling=usd("80.00"), cost_as_of=clock.now(), floor=None)
        )
        if isinstance(verdict, Deny):
            break
        ours = verdict.to if isinstance(verdict, Clamp) else verdict.price
        clock.advance(timedelta(days=1))
    assert ours == usd("80.00")


def held_by_a_brake(given_: PriceProposal) -> set[str]:
    verdict = firewall().check(given_)
    assert isinstance(verdict, Ask), verdict
    return {reason.rule for reason in verdict.reasons}


def test_a_price_that_two_rules_drag_round_comes_to_rest() -> None:
    """12 <-> 17: one rule climbs while stock is low, another resets; each step alone is small and legitimate."""
    price, start, travel, wanted, turns = usd("12.00"), usd("12.00"), usd("0.00"), usd("17.00"), 0
    for _ in range(200):
        verdict = firewall().check(
            proposal(
                current=price,
                proposed=wanted,
                floor=usd("11.00"),
                unit_cost=usd("3.00"),
                travel_14d=travel,
                start_14d=start,
            )
        )
        if isinstance(verdict, Deny):
            assert [reason.rule for reason in verdict.reasons][-1] == "no-cycle"
            assert "goes round in circles" in verdict.reasons[-1].words
            break
        to = verdict.to if isinstance(verdict, Clamp) else verdict.price  # type: ignore[union-attr]
        travel, price = travel + Money(amount_minor=abs((to - price).amount_minor), currency="USD"), to
        if price == wanted:
            wanted, turns = (usd("12.00") if wanted == usd("17.00") else usd("17.00")), turns + 1
    else:
        raise AssertionError("it went round for ever")
    assert turns <= 3
    assert travel.amount_minor - abs((price - start).amount_minor) <= start.amount_minor * 3 // 2


def test_a_price_going_one_way_is_no_circle_however_far_it_travels() -> None:
    marked_down = proposal(current=usd("20.00"), proposed=usd("19.00"), travel_14d=usd("40.00"), start_14d=usd("60.00"))
    assert isinstance(firewall().check(marked_down), Allow)
    assert denied_for(marked_down.model_copy(update={"proposed": usd("21.00"), "travel_14d": usd("130.00")})) == {
        "no-cycle"
    }


def test_a_price_below_its_own_floor_may_be_brought_back_although_it_went_round() -> None:
    dizzy = {"travel_14d": usd("60.00"), "start_14d": usd("15.00")}
    assert denied_for(proposal(**dizzy)) == {"no-cycle"}
    sunk = proposal(current=usd("13.50"), proposed=usd("14.00"), floor=usd("14.00"), unit_cost=usd("3.00"), **dizzy)
    assert isinstance(firewall().check(sunk), Allow)


def test_a_brake_asks_a_person_who_may_release_it() -> None:
    many = proposal(catalogue_moved_1h=50)
    risky = proposal(at_risk_1h=usd("499.50"), quantity=1)
    assert held_by_a_brake(many) == {"share-brake"}
    assert held_by_a_brake(risky) == {"risk-brake"}
    assert isinstance(firewall().check(proposal(catalogue_moved_1h=49)), Allow)
    assert isinstance(firewall().check(proposal(at_risk_1h=usd("499.00"), quantity=1)), Allow)
    for each in (many, risky):
        released = each.model_copy(update={"released": True})
        assert isinstance(firewall().check(released), Allow)
        assert isinstance(firewall().check(released.model_copy(update={"unit_cost": None})), Deny), "brakes alone"
    assert isinstance(firewall().check(many.model_copy(update={"unit_cost": None})), Deny), "nothing to ask about"


def test_a_brake_never_stops_a_first_price_or_the_same_price() -> None:
    assert isinstance(firewall().check(first_listing(catalogue_moved_1h=99)), Allow)
    assert isinstance(firewall().check(proposal(proposed=usd("19.99"), catalogue_moved_1h=99)), Allow)


def test_yen_have_no_cents() -> None:
    def yen(amount: int) -> Money:
        return Money(amount_minor=amount, currency="JPY")

    fees = FeeSchedule.model_validate(
        {
            "vendor": "custom",
            "currency": "JPY",
            "rules": [
                {"kind": "commission", "rate_bps": "360", "valid_from": NOW - timedelta(days=9), "source": "account"}
            ],
        }
    )
    sound = proposal(
        channel_currency="JPY",
        current=yen(2000),
        proposed=yen(1900),
        unit_cost=yen(800),
        shipping_cost=yen(500),
        fees=fees,
        floor=yen(1500),
        ceiling=yen(4000),
        min_margin=yen(100),
        moved_24h=yen(0),
        travel_14d=yen(0),
        start_14d=yen(2000),
        market_floor=yen(1),
        market_ceiling=yen(10**8),
        catalogue_value=yen(500_000),
        at_risk_1h=yen(0),
    )
    assert isinstance(firewall().check(sound), Allow)
    assert "minor-unit" in denied_for(sound.model_copy(update={"proposed": yen(200_000)}))


def test_every_rule_has_a_name_a_version_and_a_purpose() -> None:
    assert set(RULES) == set(Rule)
    assert len(RULE_VERSIONS) == len(Rule)
    assert all(info.version >= 1 and info.purpose for info in RULES.values())


# --- certificates -----------------------------------------------------------------------------------------------------


def certified() -> tuple[Firewall, Certificate]:
    guard = firewall()
    verdict = guard.check(proposal())
    assert isinstance(verdict, Allow)
    return guard, verdict.certificate


def test_a_certificate_is_canonical_json_of_inputs_and_rule_versions() -> None:
    _, certificate = certified()
    content = json.loads(certificate.payload)
    assert content["rules"] == RULE_VERSIONS
    assert content["inputs"]["unit_cost"] == {"amount_minor": 800, "currency": "USD"}
    assert json.dumps(content, sort_keys=True, separators=(",", ":")) == certificate.payload
    assert hashlib.sha256(certificate.payload.encode()).hexdigest() == certificate.sha256
    assert (certificate.issued_at, certificate.valid_until) == (NOW, NOW + timedelta(minutes=15))
    assert certified()[1] == certificate, "the same facts give the same certificate"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((new_id(), usd("18.99"), NOW), "issued for listing"),
        ((LISTING, usd("18.98"), NOW), "permits 18.99"),
        ((LISTING, Money.parse("18.99", "EUR"), NOW), "permits 18.99"),
        ((LISTING, usd("18.99"), NOW + timedelta(minutes=15)), "valid until"),
        ((LISTING, usd("18.99"), NOW - timedelta(minutes=1)), "valid only from"),
    ],
)
def test_a_certificate_permits_one_price_on_one_listing_for_a_while(
    arguments: tuple[UUID, Money, datetime], why: str
) -> None:
    guard, certificate = certified()
    with pytest.raises(CertificateRefused, match=why):
        guard.verify(certificate, *arguments)


def test_unsigned_forged_and_altered_certificates_are_refused() -> None:
    guard, certificate = certified()
    other = Firewall(b"another key of sufficient length", clock=ManualClock(NOW)).check(proposal())
    assert isinstance(other, Allow)
    payload = certificate.payload.replace('"amount_minor":1899', '"amount_minor":1')
    altered = Certificate(
        payload=payload, sha256=hashlib.sha256(payload.encode()).hexdigest(), signature=certificate.signature
    )
    for bad in (
        None,
        other.certificate,
        altered,
        certificate.model_copy(update={"signature": ""}),
        certificate.model_copy(update={"signature": "é" * 64}),
        certificate.model_copy(update={"sha256": "0" * 64}),
    ):
        price = usd("18.99") if bad is not altered else usd("0.01")
        with pytest.raises(CertificateRefused):
            guard.verify(bad, LISTING, price, NOW)


def test_a_certificate_does_not_outlive_the_price_it_was_checked_against() -> None:
    guard, certificate = certified()
    guard.verify(certificate, LISTING, usd("18.99"), NOW, current=usd("19.99"))
    with pytest.raises(CertificateRefused, match="has changed"):
        guard.verify(certificate, LISTING, usd("18.99"), NOW, current=usd("25.00"))


def test_a_key_can_be_changed_without_a_gap() -> None:
    _, certificate = certified()
    fresh = b"the next key, also long enough.."
    Firewall(fresh, retired=[KEY]).verify(certificate, LISTING, usd("18.99"), NOW)
    with pytest.raises(CertificateRefused):
        Firewall(fresh).verify(certificate, LISTING, usd("18.99"), NOW)
    with pytest.raises(InvalidInput):
        Firewall(b"short")


def test_a_certificate_survives_storage() -> None:
    guard, certificate = certified()
    restored = Certificate.model_validate_json(certificate.model_dump_json())
    guard.verify(restored, LISTING, usd("18.99"), NOW)


# --- properties -------------------------------------------------------------------------------------------------------

amounts = st.integers(-100, 12_000).map(lambda minor: Money(amount_minor=minor, currency="USD"))


def net_at(given_: PriceProposal, price: Money) -> int:
    """Net profit beyond the margin asked, in cents; below zero also where the marketplace does not take the price."""
    assert given_.unit_cost and given_.shipping_cost and given_.fees and given_.market_floor
    assert given_.min_margin is not None
    if price < given_.market_floor:
        return -1
    net = net_profit(price, given_.unit_cost, given_.shipping_cost, given_.fees, NOW, tax_bps=given_.tax_bps or 0).net
    share = -(-price.amount_minor * (given_.min_margin_bps or 0) // 10_000)
    return net.amount_minor - max(share, given_.min_margin.amount_minor)


@given(
    st.builds(
        proposal,
        current=amounts | st.none(),
        proposed=amounts,
        unit_cost=st.integers(1, 4_000).map(lambda minor: Money(amount_minor=minor, currency="USD")),
        floor=amounts | st.none(),
        ceiling=amounts,
        min_margin=st.integers(0, 500).map(lambda minor: Money(amount_minor=minor, currency="USD")),
        min_margin_bps=st.none() | st.integers(0, 3_000),
        max_step_up_bps=st.integers(1, 5_000),
        max_step_down_bps=st.integers(1, 5_000),
        moved_24h=st.integers(0, 400).map(lambda minor: Money(amount_minor=minor, currency="USD")),
        travel_14d=st.integers(0, 6_000).map(lambda minor: Money(amount_minor=minor, currency="USD")),
        start_14d=st.integers(1, 6_000).map(lambda minor: Money(amount_minor=minor, currency="USD")),
        market_floor=st.integers(1, 500).map(lambda minor: Money(amount_minor=minor, currency="USD")),
        catalogue_moved_1h=st.integers(0, 70),
        at_risk_1h=st.integers(0, 60_000).map(lambda minor: Money(amount_minor=minor, currency="USD")),
        quantity=st.integers(0, 40),
        released=st.booleans(),
        tax_bps=st.integers(0, 2_000),
        fees=st.sampled_from([stripe_us(), stripe_us(international=True)]),
    )
)
@settings(max_examples=1_000, deadline=None)
def test_nothing_that_leaves_breaks_a_promise(given_: PriceProposal) -> None:
    verdict = firewall().check(given_)
    if isinstance(verdict, Ask | Deny):
        assert verdict.reasons
        assert isinstance(verdict, Deny) or not given_.released
        return
    price = verdict.to if isinstance(verdict, Clamp) else verdict.price
    assert given_.unit_cost is not None and given_.shipping_cost is not None and given_.fees is not None
    assert given_.ceiling is not None and given_.min_margin is not None and given_.moved_24h is not None
    net = net_profit(price, given_.unit_cost, given_.shipping_cost, given_.fees, NOW, tax_bps=given_.tax_bps or 0).net
    assert net >= given_.min_margin
    assert net.amount_minor * 10_000 >= price.amount_minor * (given_.min_margin_bps or 0)
    assert (given_.floor or usd("0.01")) <= price <= given_.ceiling
    if given_.current:
        now = given_.current.amount_minor
        assert (price.amount_minor - now) * 10_000 <= now * (given_.max_step_up_bps or 0)
        assert (now - price.amount_minor) * 10_000 <= now * (given_.max_step_down_bps or 0)
        moved = abs(price.amount_minor - now)
        assert moved == 0 or (moved + given_.moved_24h.amount_minor) * 10 <= now * 3
        assert given_.travel_14d is not None and given_.start_14d is not None and given_.at_risk_1h is not None
        start, travel = given_.start_14d.amount_minor, given_.travel_14d.amount_minor
        idle = travel + moved - abs(price.amount_minor - start)
        inside = (given_.floor or usd("0.01")) <= given_.current <= given_.ceiling
        if inside and idle > travel - abs(now - start) and net_at(given_, given_.current) >= 0:
            assert idle * 2 <= start * 3
        if moved and not given_.released:
            assert (given_.catalogue_moved_1h or 0) + 1 <= 50
            assert given_.at_risk_1h.amount_minor + moved * given_.quantity <= 50_000
    assert given_.market_floor is not None and price >= given_.market_floor
    again = given_.model_copy(update={"proposed": price})
    assert isinstance(firewall().check(again), Allow), "what the firewall gave back passes it unchanged"
