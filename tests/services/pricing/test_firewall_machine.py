"""The firewall under any sequence of events: whatever agents, rivals, owners and clocks do, its promises hold."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from benchmarks.price_failures import CARD, Seller, money
from benchmarks.price_oracle import spare
from flipsync.domain.money import Money
from flipsync.services.pricing import Allow, Ask, Certificate, CertificateRefused, Clamp, Deny

LISTINGS = 40


class FirewallMachine(RuleBasedStateMachine):
    """One listing, its owner's settings, and the hour of a catalogue of 40, mirrored in plain numbers."""

    @initialize(price=st.integers(900, 9_000), share=st.integers(20, 70))
    def begin(self, price: int, share: int) -> None:
        self.seller = Seller(price, max(1, price * share // 100), price * 2)
        self.hour: list[tuple[int, int]] = []  # (minute, risk) of moves let out anywhere in the catalogue
        self.minute = 0
        self.others = 0
        self.certificates: list[tuple[Certificate, Money, int]] = []
        self.broken: list[str] = []

    def risk(self) -> int:
        return sum(risk for minute, risk in self.hour if minute > self.minute - 60)

    def propose(self, wanted: int, released: bool) -> None:
        seller, before = self.seller, self.seller.price
        more = {
            "catalogue_listings": LISTINGS,
            "catalogue_value": money(LISTINGS * 3_000),
            "catalogue_moved_1h": self.others,
            "at_risk_1h": money(self.risk()),
            "quantity": 3,
            "released": released,
        }
        proposal = seller.proposal(wanted, **more)
        verdict = seller.guard.check(proposal)
        assert verdict == seller.guard.check(proposal), "the same facts give the same answer"
        if isinstance(verdict, Deny | Ask):
            assert verdict.reasons and all(reason.words for reason in verdict.reasons)
            assert not (isinstance(verdict, Ask) and released)
            return
        to = verdict.to if isinstance(verdict, Clamp) else verdict.price
        self.certificates.append((verdict.certificate, to, self.minute))
        seller.guard.verify(verdict.certificate, proposal.listing_id, to, seller.clock.now(), current=proposal.current)
        if to.amount_minor == before:
            return
        self.check_move(before, to.amount_minor, released)
        seller.changes.append((seller.clock.now(), before, to.amount_minor))
        self.hour.append((self.minute, abs(to.amount_minor - before) * 3))
        seller.price = to.amount_minor

    def check_move(self, before: int, to: int, released: bool) -> None:
        """The promises about one move, in plain arithmetic."""
        seller = self.seller
        row = {"unit_cost": seller.cost, "shipping_cost": 400, "shipping_charged": 0, "tax_bps": 800}
        assert spare({**row, "min_margin": seller.margin, "margin_bps": 0}, CARD, to) >= 0
        assert (seller.floor or 1) <= to <= (seller.ceiling or 0)
        assert abs(to - before) * 10_000 <= before * seller.step_bps
        day = [abs(new - old) for at, old, new in seller.changes if at >= seller.clock.now() - timedelta(days=1)]
        assert len(day) < 24
        assert (sum(day) + abs(to - before)) * 10 <= before * 3
        if not released:
            assert self.risk() + abs(to - before) * 3 <= 50_000
            assert self.others + 1 <= 20

    @rule(factor=st.floats(0.5, 2.0), released=st.booleans())
    def an_agent_proposes(self, factor: float, released: bool) -> None:
        self.propose(int(self.seller.price * factor), released)

    @rule(price=st.integers(-5, 20_000) | st.sampled_from([0, 1, 10**9]))
    def a_broken_feed_proposes(self, price: int) -> None:
        self.propose(price, released=False)

    @rule(steps=st.integers(1, 8), up=st.booleans())
    def a_rival_leads(self, steps: int, up: bool) -> None:
        for _ in range(steps):
            self.propose(self.seller.price * (105 if up else 95) // 100, released=False)
            self.time_passes(90)

    @rule(minutes=st.integers(1, 3_000))
    def time_passes(self, minutes: int) -> None:
        self.seller.later(minutes=minutes)
        self.minute += minutes
        if minutes >= 60:
            self.others = 0

    @rule(share=st.integers(5, 120))
    def the_cost_changes(self, share: int) -> None:
        self.seller.cost = max(1, self.seller.price * share // 100)

    @rule(low=st.integers(30, 99), high=st.integers(101, 400), floor=st.booleans())
    def the_owner_sets_bounds(self, low: int, high: int, floor: bool) -> None:
        self.seller.floor = max(1, self.seller.price * low // 100) if floor else None
        self.seller.ceiling = self.seller.price * high // 100

    @rule(moved=st.integers(0, LISTINGS - 1), risk=st.integers(0, 40_000))
    def the_rest_of_the_catalogue_moves(self, moved: int, risk: int) -> None:
        self.others = max(self.others, moved)
        self.hour.append((self.minute, risk))

    @precondition(lambda self: self.certificates)
    @rule(data=st.data(), cents=st.integers(-3, 3))
    def a_certificate_is_used_again(self, data: st.DataObject, cents: int) -> None:
        """It permits its price for 15 minutes, and nothing else at any time."""
        certificate, price, minute = data.draw(st.sampled_from(self.certificates))
        asked = price + Money(amount_minor=cents, currency="USD")
        good = cents == 0 and self.minute - minute < 15
        if good:
            self.seller.guard.verify(certificate, certificate.listing_id, asked, self.seller.clock.now())
            return
        with pytest.raises(CertificateRefused):
            self.seller.guard.verify(certificate, certificate.listing_id, asked, self.seller.clock.now())

    @invariant()
    def what_may_stay_may_be_sent_again(self) -> None:
        if not hasattr(self, "seller"):
            return
        verdict = self.seller.guard.check(self.seller.proposal(self.seller.price))
        assert not isinstance(verdict, Ask), "standing still is never a matter of brakes"
        if isinstance(verdict, Allow):
            assert verdict.price.amount_minor == self.seller.price

    @invariant()
    def two_weeks_hold_no_circles(self) -> None:
        """Travel beyond the way across is at most 1.5 times the price it began at, when it was last added to."""
        if not hasattr(self, "seller") or not self.seller.changes:
            return
        at, before, to = self.seller.changes[-1]
        recent = [change for change in self.seller.changes if change[0] >= at - timedelta(days=14)]
        start = recent[0][1]
        travel = sum(abs(new - old) for _, old, new in recent)
        added = abs(to - before) - (abs(to - start) - abs(before - start))
        if added > 0 and not self.brought_back(before):
            assert (travel - abs(to - start)) * 2 <= start * 3

    def brought_back(self, before: int) -> bool:
        """Whether the price stood outside its bounds, or lost money: then it may always come back. Costs and bounds may
        have changed since, so a price that is outside of today's proves nothing and is left out."""
        row = {"unit_cost": self.seller.cost, "shipping_cost": 400, "shipping_charged": 0, "tax_bps": 800}
        low, high = self.seller.floor or 1, self.seller.ceiling or 0
        return not low <= before <= high or spare({**row, "min_margin": 0, "margin_bps": 0}, CARD, before) < 0


TestFirewallMachine = FirewallMachine.TestCase
TestFirewallMachine.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
