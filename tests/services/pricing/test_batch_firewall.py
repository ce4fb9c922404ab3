"""The firewall over arrays judges as the scalar one does, and a million hostile proposals find no way through."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.price_fuzz import LIMITS, MARKETPLACE, NOW, Audit, disagreements, hostile
from flipsync.domain.money import Money
from flipsync.services.fees import stripe_us
from flipsync.services.pricing import FeeSchedule, PriceProposal, UnitEconomics
from flipsync.services.pricing.batch_economics import BLANK, BatchEconomics
from flipsync.services.pricing.batch_firewall import BatchVerdicts, ProposalArrays, check_batch
from flipsync.services.pricing.fees import FeeTerm
from flipsync.services.pricing.firewall import judge
from flipsync.services.pricing.rules import Rule

LISTING = UUID("01890000-0000-7000-8000-000000000001")

minor = st.one_of(st.integers(-2, 3), st.integers(1, 5_000), st.integers(-(2**63) + 1, 2**63 - 1))
dollars = minor.map(lambda amount: Money(amount_minor=amount, currency="USD"))
euros = st.just(Money(amount_minor=1_000, currency="EUR"))
amount = st.one_of(dollars, dollars, dollars, euros, st.none())
sound = st.integers(1, 5_000).map(lambda amount: Money(amount_minor=amount, currency="USD"))
count = st.none() | st.integers(-2, 60) | st.integers(-(2**70), 2**70)


def proposals(money: st.SearchStrategy[Any], numbers: st.SearchStrategy[Any]) -> st.SearchStrategy[PriceProposal]:
    return st.builds(
        PriceProposal,
        listing_id=st.just(LISTING),
        channel_currency=st.just("USD"),
        current=money | st.none(),
        proposed=sound | dollars,
        unit_cost=money,
        cost_as_of=st.just(NOW) | st.none() | st.integers(-100, 2).map(lambda days: NOW + timedelta(days=days)),
        fees=st.just(MARKETPLACE),
        shipping_cost=money,
        shipping_charged=money | st.none(),
        tax_bps=st.integers(0, 2_000) | numbers,
        floor=money | st.none(),
        ceiling=money,
        min_margin=money,
        min_margin_bps=st.integers(0, 9_999) | numbers,
        max_step_up_bps=st.integers(1, 9_999) | numbers,
        max_step_down_bps=st.integers(1, 9_000) | numbers,
        changes_24h=st.integers(0, 3) | numbers,
        moved_24h=money,
        travel_14d=money,
        start_14d=money,
        market_floor=money,
        market_ceiling=money,
        catalogue_listings=st.integers(1, 200) | numbers,
        catalogue_value=money,
        catalogue_moved_1h=st.integers(0, 60) | numbers,
        at_risk_1h=money,
        released=st.booleans(),
        quantity=st.integers(0, 9) | st.integers(-2, 2**70),
    )


@given(st.lists(proposals(amount, count) | proposals(sound, st.just(500)), min_size=1, max_size=40))
@settings(max_examples=150, deadline=None)
def test_batch_and_scalar_judge_alike(given_: list[PriceProposal]) -> None:
    verdicts = check_batch(ProposalArrays.of(given_), MARKETPLACE, LIMITS, NOW, chunk=16)
    for i, each in enumerate(given_):
        price, crossed = judge(each, LIMITS, NOW)
        assert verdicts.rules(i) == crossed
        assert verdicts.price[i] == (BLANK if price is None else price)


@given(
    st.lists(
        st.tuples(st.integers(1, 900), st.integers(0, 300), st.integers(0, 2_500), st.integers(0, 9_000)), min_size=1
    ),
    st.lists(
        st.builds(
            FeeTerm,
            ppm=st.integers(0, 350_000),
            fixed=st.integers(0, 60),
            minimum=st.none() | st.integers(0, 80),
            maximum=st.none() | st.integers(100, 400),
            basis=st.sampled_from(["item", "item+shipping", "total"]),
            rounding=st.sampled_from(["half_up", "half_even", "up", "down"]),
            brackets=st.sampled_from(
                [
                    (),
                    ((1_000, 80_000, 30), (None, 150_000, 40)),
                    ((250, 50_000, 0), (900, 90_000, 0), (None, 90_000, 9)),
                ]
            ),
            portions=st.booleans(),
        ),
        min_size=1,
        max_size=4,
    ),
)
@settings(max_examples=150, deadline=None)
def test_floors_of_many_units_are_the_floors_of_each(
    rows: list[tuple[int, int, int, int]], terms: list[FeeTerm]
) -> None:
    cost, shipping, tax, share = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
    many = BatchEconomics(terms, cost, shipping, shipping, tax, np.zeros_like(cost), share)
    floors = many.floor_price(np.ones_like(cost), 10**7)
    for i, (a, b, c, d) in enumerate(rows):
        one = UnitEconomics(terms, a, b, b, c, 0, d).floor_price(1, 10**7)
        assert floors[i] == (BLANK if one is None else one)


def test_hostile_proposals_find_no_way_through() -> None:
    """Checked by an audit and an oracle written apart from the firewall (benchmarks.price_fuzz, price_oracle)."""
    size = 300_000
    rows = hostile(size, seed=20260501)
    verdicts = check_batch(rows, MARKETPLACE, LIMITS, NOW)
    audit = Audit()
    audit.look_at(rows, verdicts)
    assert audit.escapes == {}
    assert 0.1 * size < audit.left < 0.9 * size, "the fuzz must exercise both sides"
    assert verdicts.clamped.sum() > 10_000 and verdicts.allowed.sum() > 10_000
    seen = np.bitwise_or.reduce(verdicts.crossed)
    assert {r.name for r in Rule if int(seen) & r.mask} == {r.name for r in Rule}
    assert disagreements(rows, verdicts, np.arange(3_000)) == []


def test_the_audit_and_the_oracle_notice_what_should_not_have_left() -> None:
    rows = hostile(20_000, seed=5)
    verdicts = check_batch(rows, MARKETPLACE, LIMITS, NOW)
    out = np.flatnonzero(verdicts.price != BLANK)
    spoiled = verdicts.price.copy()
    spoiled[out] = rows.ceiling[out] + 1
    bent = BatchVerdicts(spoiled, verdicts.crossed)
    audit = Audit()
    audit.look_at(rows, bent)
    assert audit.escapes["ceiling"] == out.size
    assert disagreements(rows, bent, out[:200]) == out[:200].tolist()
    blind = check_batch(rows, MARKETPLACE, LIMITS.model_copy(update={"max_changes_per_day": 99}), NOW)
    careless = Audit()
    careless.look_at(rows, blind)
    assert set(careless.escapes) == {"a day's changes"}


def test_a_sample_of_the_fuzz_agrees_with_the_scalar_firewall() -> None:
    rows = hostile(2_000, seed=7)
    verdicts = check_batch(rows, MARKETPLACE, LIMITS, NOW)
    compared = 0
    for i in range(len(rows)):
        # a proposal always has a price, and dates outside the calendar cannot be written down
        if rows.proposed[i] == BLANK or not 0 < rows.cost_as_of[i] < 10**16 or not rows.one_currency[i]:
            continue
        price, crossed = judge(proposal_of(rows, i), LIMITS, NOW)
        assert (verdicts.price[i], verdicts.rules(i)) == (BLANK if price is None else price, crossed)
        compared += 1
    assert compared > 1_500


def proposal_of(rows: ProposalArrays, i: int) -> PriceProposal:
    """One row of a fuzz as the scalar firewall takes it."""
    names = {"margin_bps": "min_margin_bps", "step_up_bps": "max_step_up_bps", "step_down_bps": "max_step_down_bps"}
    amounts = {
        *("current", "proposed", "unit_cost", "shipping_cost", "shipping_charged", "floor", "ceiling", "min_margin"),
        *("moved_24h", "travel_14d", "start_14d", "market_floor", "market_ceiling", "catalogue_value", "at_risk_1h"),
    }
    values: dict[str, Any] = {}
    for each in fields(rows):
        value = int(getattr(rows, each.name)[i])
        told = None if value == BLANK else value
        if each.name in amounts:
            values[each.name] = None if told is None else Money(amount_minor=told, currency="USD")
        elif each.name not in ("one_currency", "cost_as_of", "released", "quantity"):
            values[names.get(each.name, each.name)] = told
    return PriceProposal(
        listing_id=LISTING,
        channel_currency="USD",
        fees=MARKETPLACE,
        cost_as_of=datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(rows.cost_as_of[i])),
        released=bool(rows.released[i]),
        quantity=int(rows.quantity[i]),
        **values,
    )


def test_without_fees_nothing_leaves() -> None:
    rows = hostile(1_000, seed=3)
    for fees in (None, FeeSchedule(vendor="custom", currency="USD"), stripe_us().model_copy(update={"rules": ()})):
        verdicts = check_batch(rows, fees, LIMITS, NOW)
        assert verdicts.denied.all()
        assert all(Rule.FEES_KNOWN in verdicts.rules(i) for i in range(50))
