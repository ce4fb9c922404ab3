"""The firewall over arrays judges as the scalar one does, and a million hostile proposals find no way through."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from flipsync.domain.money import Money, usd
from flipsync.services.pricing import FeeRule, FeeSchedule, FirewallLimits, PriceProposal, UnitEconomics, stripe_us
from flipsync.services.pricing.batch_economics import BLANK, BatchEconomics
from flipsync.services.pricing.batch_firewall import ProposalArrays, check_batch
from flipsync.services.pricing.fees import FeeTerm
from flipsync.services.pricing.firewall import judge
from flipsync.services.pricing.rules import Rule

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LISTING = UUID("01890000-0000-7000-8000-000000000001")
LIMITS = FirewallLimits()


def rule(kind: str, rate: str, **more: Any) -> FeeRule:
    return FeeRule(kind=kind, rate_bps=Decimal(rate), valid_from=NOW - timedelta(days=9), source="account", **more)


MARKETPLACE = FeeSchedule(
    vendor="custom",
    currency="USD",
    rules=(
        rule("commission", "1312.5", basis="item+shipping", rounding="half_even", minimum=usd("0.30")),
        rule("promotion", "250", rounding="up", maximum=usd("4.00")),
        rule("payment", "290", basis="total", fixed=usd("0.30")),
    ),
)

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


def hostile(size: int, seed: int) -> ProposalArrays:
    """Mostly plausible rows, with every kind of nonsense sprinkled over them."""
    rng = np.random.default_rng(seed)

    def spoiled(values: np.ndarray[Any, Any], share: float = 0.02) -> np.ndarray[Any, np.dtype[np.int64]]:
        junk = np.array([BLANK, 0, -1, 1, 10**9, 10**13, 2**63 - 1, -(2**62)], dtype=np.int64)
        out = values.astype(np.int64)
        hit = rng.random(size) < share
        out[hit] = rng.choice(junk, hit.sum())
        return out

    current = np.exp(rng.normal(7.6, 1.0, size)).astype(np.int64) + 50
    factor = np.exp(rng.normal(0.0, 0.15, size)) * rng.choice(
        [1.0, 0.01, 100.0, 10.0], size, p=[0.97, 0.01, 0.01, 0.01]
    )
    cost = (current * rng.uniform(0.2, 1.1, size)).astype(np.int64) + 1
    age = rng.integers(0, 95, size) * 86_400_000_000
    now = int(NOW.timestamp() * 1_000_000)
    return ProposalArrays(
        current=np.where(rng.random(size) < 0.1, BLANK, spoiled(current)),
        proposed=spoiled(np.maximum((current * factor).astype(np.int64), 0)),
        unit_cost=spoiled(cost),
        cost_as_of=spoiled(now - age, 0.01),
        shipping_cost=spoiled(rng.integers(0, 900, size)),
        shipping_charged=np.where(rng.random(size) < 0.5, BLANK, spoiled(rng.integers(0, 700, size))),
        tax_bps=spoiled(rng.integers(0, 1_100, size), 0.01),
        floor=np.where(rng.random(size) < 0.4, BLANK, spoiled(cost)),
        ceiling=spoiled(current * 3),
        min_margin=spoiled(rng.integers(0, 300, size)),
        margin_bps=spoiled(rng.integers(0, 2_000, size)),
        step_up_bps=spoiled(rng.integers(100, 3_000, size), 0.01),
        step_down_bps=spoiled(rng.integers(100, 3_000, size), 0.01),
        changes_24h=spoiled(rng.integers(0, 26, size), 0.01),
        moved_24h=spoiled((current * rng.uniform(0, 0.4, size)).astype(np.int64), 0.01),
        quantity=spoiled(rng.integers(0, 5, size), 0.01),
        one_currency=rng.random(size) > 0.01,
    )


def test_a_million_hostile_proposals_find_no_way_through() -> None:
    """Checked by an audit written apart from the firewall: the same promises, in float-free Python and numpy."""
    size = 1_000_000
    rows = hostile(size, seed=20260501)
    started = time.perf_counter()
    verdicts = check_batch(rows, MARKETPLACE, LIMITS, NOW)
    seconds = time.perf_counter() - started

    out = ~verdicts.denied
    assert 0.2 * size < out.sum() < 0.9 * size, "the fuzz must exercise both sides"
    assert verdicts.clamped.sum() > 10_000 and verdicts.allowed.sum() > 10_000
    seen = np.bitwise_or.reduce(verdicts.crossed)
    assert {r.name for r in Rule if int(seen) & r.mask} == {r.name for r in Rule}

    price, current = verdicts.price[out], rows.current[out]
    cost, shipping, ceiling, floor = (x[out] for x in (rows.unit_cost, rows.shipping_cost, rows.ceiling, rows.floor))
    charged = np.where(rows.shipping_charged[out] == BLANK, 0, rows.shipping_charged[out])
    assert (cost > 0).all() and (shipping >= 0).all() and rows.one_currency[out].all()
    assert ((price >= 1) & (price <= ceiling)).all()
    assert (price >= np.where(floor == BLANK, 1, floor)).all()
    gross = price + charged
    tax = (gross * rows.tax_bps[out] + 5_000) // 10_000
    commission, rest = np.divmod(gross * 131_250, 1_000_000)
    commission += (rest > 500_000) | ((rest == 500_000) & (commission % 2 == 1))
    promotion = np.minimum(-(-price * 250 // 10_000), 400)
    payment = ((gross + tax) * 29_000 + 500_000) // 1_000_000 + 30
    net = gross - cost - shipping - np.maximum(commission, 30) - promotion - payment
    margin = np.where(rows.min_margin[out] == BLANK, 0, rows.min_margin[out])
    share = np.where(rows.margin_bps[out] == BLANK, 0, rows.margin_bps[out])
    assert (net >= margin).all()
    assert (net * 10_000 >= price * share).all()
    old = current != BLANK
    up, down = rows.step_up_bps[out][old], rows.step_down_bps[out][old]
    step = (price - current)[old] * 10_000
    assert (step <= current[old] * up).all() and (-step <= current[old] * down).all()
    moved = np.abs(price - current)[old]
    assert ((moved == 0) | ((moved + rows.moved_24h[out][old]) * 10_000 <= current[old] * 3_000)).all()
    assert seconds < 10, f"{size / seconds:,.0f} proposals a second"


def test_a_sample_of_the_fuzz_agrees_with_the_scalar_firewall() -> None:
    rows = hostile(2_000, seed=7)
    verdicts = check_batch(rows, MARKETPLACE, LIMITS, NOW)

    def money(value: Any) -> Money | None:
        return None if value == BLANK else Money(amount_minor=int(value), currency="USD")

    def number(value: Any) -> int | None:
        return None if value == BLANK else int(value)

    compared = 0
    for i in range(len(rows)):
        proposed = money(rows.proposed[i])
        # a proposal always has a price, and dates outside the calendar cannot be written down
        if proposed is None or not 0 < rows.cost_as_of[i] < 10**16 or not rows.one_currency[i]:
            continue
        proposal = PriceProposal(
            listing_id=LISTING,
            channel_currency="USD",
            current=money(rows.current[i]),
            proposed=proposed,
            unit_cost=money(rows.unit_cost[i]),
            cost_as_of=datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(rows.cost_as_of[i])),
            fees=MARKETPLACE,
            shipping_cost=money(rows.shipping_cost[i]),
            shipping_charged=money(rows.shipping_charged[i]),
            tax_bps=number(rows.tax_bps[i]),
            floor=money(rows.floor[i]),
            ceiling=money(rows.ceiling[i]),
            min_margin=money(rows.min_margin[i]),
            min_margin_bps=number(rows.margin_bps[i]),
            max_step_up_bps=number(rows.step_up_bps[i]),
            max_step_down_bps=number(rows.step_down_bps[i]),
            changes_24h=number(rows.changes_24h[i]),
            moved_24h=money(rows.moved_24h[i]),
            quantity=int(rows.quantity[i]),
        )
        price, crossed = judge(proposal, LIMITS, NOW)
        assert (verdicts.price[i], verdicts.rules(i)) == (BLANK if price is None else price, crossed)
        compared += 1
    assert compared > 1_500


def test_without_fees_nothing_leaves() -> None:
    rows = hostile(1_000, seed=3)
    for fees in (None, FeeSchedule(vendor="custom", currency="USD"), stripe_us().model_copy(update={"rules": ()})):
        verdicts = check_batch(rows, fees, LIMITS, NOW)
        assert verdicts.denied.all()
        assert all(Rule.FEES_KNOWN in verdicts.rules(i) for i in range(50))
