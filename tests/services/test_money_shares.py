"""Money divided by what more of it would bring: never more than there is, nothing better given up than kept."""

from __future__ import annotations

import zlib
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from flipsync.domain.ids import new_id
from flipsync.intelligence.sharing import Step, best_first
from flipsync.services.buying import Goods, Terms, levels_within, plan, plan_shares
from flipsync.services.buying_returns import CASH, MOST_STEPS, cash_steps
from flipsync.services.buying_rule import SHIPPED, Rule
from flipsync.services.money_shares import LEAST_BPS, MoneyReview, Taker, apart, least_bps, share_out, taker, why
from flipsync.services.recorded_desk import MOST_BYTES

amounts = st.floats(1, 10_000)
takers = st.lists(st.lists(st.tuples(amounts, amounts), max_size=6), min_size=2, max_size=6)


def review(limit: int, steps: list[list[tuple[float, float]]], times: float = 1.0, spent: int = 0) -> MoneyReview:
    found = [
        Taker(new_id(), f"taker {at}", spent, best_first([Step(1.0, value, {"m": use}) for value, use in of], "m", 16))
        for at, of in enumerate(steps)
    ]
    return MoneyReview("USD", limit, times, found)


@given(takers, st.integers(0, 50_000))
@settings(max_examples=100, deadline=None)
def test_no_more_is_given_than_there_is_and_nothing_better_is_given_up_than_kept(
    steps: list[list[tuple[float, float]]], limit: int
) -> None:
    shared = share_out(review(limit, steps))
    if not any(steps):
        assert shared.told == [] and shared.shares_bps == {}
        return
    assert sum(each.takes for each in shared.told) <= limit + 1e-3
    assert sum(shared.shares_bps.values()) == 10_000 and min(shared.shares_bps.values()) >= least_bps(len(steps))
    if shared.price > 0:
        for each in shared.told:
            assert each.following <= shared.price + 1e-6 and (each.last == 0 or each.last >= shared.price - 1e-6)


def test_what_was_spent_this_month_is_part_of_a_share() -> None:
    one = review(1_000, [[(90.0, 10.0)], [(1.0, 10.0)]], times=30.0, spent=200)
    shared = share_out(one)
    assert [each.takes for each in shared.told] == pytest.approx([300.0, 300.0])
    tight = share_out(review(500, [[(90.0, 10.0)], [(1.0, 10.0)]], times=30.0, spent=200))
    assert [round(each.takes) for each in tight.told] == [100, 0] and tight.price == pytest.approx(9.0)
    assert tight.told[0].share_bps > tight.told[1].share_bps > LEAST_BPS, "what is spent is spent"
    gone = share_out(review(100, [[(90.0, 10.0)], [(1.0, 10.0)]], spent=200))
    assert [each.takes for each in gone.told] == [0.0, 0.0]


def test_it_says_why_and_what_would_change_it() -> None:
    shared = share_out(review(10, [[(9.0, 10.0)], [(6.0, 10.0)]]))
    first, second = shared.told
    assert "the last of it brings 90% of what it takes" in why(first, shared.price)
    assert "more goes there when it earns 50% more than now (60% of what it takes)" in why(second, 0.9)
    assert "nothing there brings as much as elsewhere" in why(second, shared.price)
    plenty = share_out(review(10_000, [[(9.0, 10.0)], [(6.0, 10.0)]]))
    assert plenty.price == 0 and "more would bring nothing there" in why(plenty.told[0], plenty.price)


def test_what_is_kept_of_a_review_is_short_and_divides_alike() -> None:
    rng = np.random.default_rng(3)
    steps = [[Step(1.0, value, {"m": use}) for value, use in rng.uniform(1, 9e5, (16, 2)).tolist()] for _ in range(200)]
    full = [Taker(new_id(), f"supplier {at}", 0, each) for at, each in enumerate(steps)]
    short = [taker(each.id, each.name, 0, each.steps) for each in full]
    kept = MoneyReview("USD", 50_000_000, 1.0, short)
    written = TypeAdapter(list[MoneyReview]).dump_json([kept])
    assert len(zlib.compress(written, 1)) < MOST_BYTES, "two hundred suppliers' decision can be replayed"
    whole = MoneyReview("USD", 50_000_000, 1.0, full)
    again = TypeAdapter(list[MoneyReview]).validate_json(written)[0]
    assert share_out(again) == share_out(kept)
    assert apart(share_out(whole).shares_bps, share_out(kept).shares_bps) <= 1
    assert taker(new_id(), "dust", 0, [Step(1.0, 0.001, {"m": 0.001})]).steps == []


def test_of_many_the_best_still_has_most() -> None:
    shared = share_out(review(1_000, [[(9_000.0, 1_000.0)]] + [[(10.0, 10.0)]] * 149))
    assert shared.told[0].share_bps > 8_000 and sum(shared.shares_bps.values()) == 10_000
    assert {each.share_bps for each in shared.told[1:]} <= {13, 14}


def test_how_far_shares_are_apart() -> None:
    assert apart({"a": 5_000}, {}) == 10_000 and apart({}, {"a": 1}) == 0
    assert apart({"a": 5_000, "b": 5_000}, {"a": 4_000, "b": 5_100}) == 1_000


def goods(**over: list[float]) -> Goods:
    """Two goods of two suppliers, alike but for what is said."""
    same: dict[str, list[float]] = {
        "weekly": [10.0, 10.0],
        "spread": [4.0, 4.0],
        "doubt": [1.0, 1.0],
        "position": [5.0, 5.0],
        "margin": [500.0, 500.0],
        "pack_units": [1.0, 1.0],
        "pack_cost": [1_000.0, 1_000.0],
        "least_units": [0.0, 0.0],
        "lead_days": [7.0, 7.0],
        "lead_spread": [2.0, 2.0],
    }
    arrays = {name: np.array(values) for name, values in (same | over).items()}
    return Goods(**arrays, supplier=np.array([0, 1]))


def best(found: Goods) -> list[float]:
    """What the first step of each supplier brings for its cash."""
    return [steps[0].value / steps[0].uses[CASH] for steps in cash_steps(found, Terms(), 2)]


def test_cash_brings_more_where_it_comes_back_sooner_and_where_margins_are_higher() -> None:
    alike = best(goods())
    assert alike[0] == pytest.approx(alike[1])
    quick, slow = best(goods(lead_days=[7.0, 56.0]))
    assert quick > 4 * slow
    rich, poor = best(goods(margin=[800.0, 200.0]))
    assert rich > 3 * poor
    assert cash_steps(goods(position=[5.0, 10_000.0]), Terms(), 2)[1] == [], "what is there for years is not bought"
    assert cash_steps(goods(weekly=[10.0, 0.0], position=[5.0, 0.0]), Terms(), 3)[2] == [], "nobody's goods"
    ratios = [step.value / step.uses[CASH] for step in cash_steps(goods(), Terms(), 2)[0]]
    assert ratios == sorted(ratios, reverse=True)
    many = 200
    alike = {name: np.repeat(values, many) for name, values in vars(goods()).items() if name != "supplier"}
    crowd = Goods(**alike, supplier=np.zeros(2 * many, dtype=np.int64))
    (few,) = cash_steps(crowd, Terms(), 1)
    single = cash_steps(goods(), Terms(), 2)
    assert len(few) == MOST_STEPS
    for figure in (lambda step: step.value, lambda step: step.uses[CASH]):
        assert sum(map(figure, few)) == pytest.approx(many * sum(figure(step) for each in single for step in each))


def test_each_supplier_spends_its_own_share_and_no_more() -> None:
    found = goods()
    whole = plan(found, Terms(), least_order=np.zeros(2))
    plan_of, dearness = plan_shares(found, Terms(), least_order=np.zeros(2), cash=np.array([np.inf, 4_000.0]))
    assert plan_of.units[0] == whole.units[0] and 0 < plan_of.units[1] <= 4 < whole.units[1]
    assert dearness[0] == 0 < dearness[1] and plan_of.below == frozenset()
    assert plan_of.units[1] >= 3, "the share is spent, though no multiplier would give up but some of the goods"
    none, _ = plan_shares(found, Terms(), least_order=np.array([0.0, 9_000.0]), cash=np.array([0.0, 4_000.0]))
    assert list(none.units) == [0, 0] and none.below == frozenset({1})


def drawn(rng: np.random.Generator, suppliers: int, each: int) -> Goods:
    count = suppliers * each
    weekly = rng.lognormal(1.5, 0.8, count)
    return Goods(
        weekly=weekly,
        spread=np.sqrt(weekly * rng.uniform(1, 3, count)),
        doubt=np.sqrt(weekly / 30),
        position=np.rint(weekly * rng.uniform(0, 2, count)),
        margin=rng.uniform(100, 2_000, count),
        pack_units=np.ones(count),
        pack_cost=np.rint(rng.uniform(200, 2_000, count)),
        least_units=np.zeros(count),
        lead_days=np.full(count, 14.0),
        lead_spread=np.full(count, 4.0),
        supplier=np.arange(count) % suppliers,
    )


def test_by_a_learned_rule_too_each_supplier_spends_its_own_share_within_the_step() -> None:
    """Three suppliers: the first's goods are bought by a rule that keeps more, the last's by one that keeps less."""
    rng, terms, step = np.random.default_rng(8), Terms(), 0.5
    for _ in range(20):
        found = drawn(rng, 3, 6)
        weight = np.array([3.0, 1.0, 0.2])[found.supplier]
        rule = Rule(spread=weight, lead=weight)

        def spent(units: np.ndarray, found: Goods = found) -> np.ndarray:
            return np.bincount(found.supplier, weights=units * found.cost, minlength=3)

        def shares(cash: np.ndarray, by: Rule, found: Goods = found) -> tuple[np.ndarray, np.ndarray, list[float]]:
            made, dear = plan_shares(found, terms, least_order=np.zeros(3), cash=cash, rule=by, step=step)
            return made.units, made.level, dear

        whole = plan(found, terms, least_order=np.zeros(3), rule=rule, step=step)
        free, level, dear = shares(np.full(3, np.inf), rule)
        assert free.tolist() == whole.units.tolist() and level.tolist() == whole.level.tolist() and dear == [0.0] * 3
        wanted, usual = spent(free), spent(shares(np.full(3, np.inf), SHIPPED)[0])
        assert wanted[0] > usual[0] and wanted[1] == usual[1] and wanted[2] < usual[2]
        cash = wanted * np.array([rng.uniform(0.2, 0.7), 1.0, rng.uniform(0.2, 0.7)])
        units, level, dear = shares(cash, rule)
        assert (spent(units) <= cash + 1e-6).all() and dear[0] > 0 < dear[2] and dear[1] == 0
        assert (spent(units) >= 0.8 * cash).all(), "a share is there to be spent"
        assert (units[found.supplier == 1] == free[found.supplier == 1]).all(), "nobody else's share changes it"
        for at, dearness in enumerate(dear):
            low, high = (each[found.supplier == at] for each in levels_within(found, terms, dearness, step))
            theirs = level[found.supplier == at]
            assert ((theirs >= low) & (theirs <= high)).all()


@given(st.lists(st.tuples(amounts, amounts), max_size=60), st.integers(1, 8))
def test_steps_that_are_put_together_bring_and_take_the_same(of: list[tuple[float, float]], most: int) -> None:
    steps = [Step(1.0, value, {"m": use}) for value, use in of]
    found = best_first(steps, "m", most)
    assert len(found) == min(most, len(of))
    assert sum(each.value for each in found) == pytest.approx(sum(value for value, _ in of))
    assert sum(each.uses["m"] for each in found) == pytest.approx(sum(use for _, use in of))
    ratios = [each.value / each.uses["m"] for each in found]
    assert all(a >= b - 1e-9 * abs(b) for a, b in pairwise(ratios))
