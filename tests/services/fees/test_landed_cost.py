"""Landed cost: no cent is lost or made, whichever way the cost of what was sold is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flipsync.services.fees import CostError, Receipt, fifo, landed, specific, weighted_average

DAY = datetime(2026, 5, 1, tzinfo=UTC)


def receipt(key: str, units: int, cost: int, day: int = 0) -> Receipt:
    return Receipt(key, DAY + timedelta(days=day), units, cost)


OLD, NEW = receipt("old", 10, 1_000), receipt("new", 10, 1_500, day=5)


def test_freight_and_duty_are_shared_by_purchase_cost_to_the_cent() -> None:
    received = landed([("a", 3, 1_000), ("b", 1, 1_000), ("c", 7, 1_000)], 100, DAY)
    assert [each.cost for each in received] == [1_033, 1_034, 1_033]
    with pytest.raises(CostError):
        landed([("a", 3, 0)], 100, DAY)


def test_first_in_first_out() -> None:
    assert fifo([NEW, OLD], 12).cost == 1_000 + 300
    second = fifo([OLD, NEW], 5, before=8)
    assert (second.taken, second.left_units, second.left_cost) == ((("old", 2, 200), ("new", 3, 450)), 7, 1_050)
    assert second.unit_cost == 130


def test_the_moving_average() -> None:
    sales, units, value = weighted_average([OLD, (DAY + timedelta(days=1), 5), NEW, (DAY + timedelta(days=6), 10)])
    assert [each.cost for each in sales] == [500, 1_333]  # 10 of 15 units that cost 2,000
    assert (units, value) == (5, 667)


def test_exactly_these_units() -> None:
    cost = specific([OLD, NEW], {"new": 2}, before={"new": 1})
    assert (cost.cost, cost.left_units, cost.left_cost) == (300, 17, 2_050)


@pytest.mark.parametrize(
    "impossible",
    [
        lambda: fifo([OLD], 11),
        lambda: weighted_average([OLD, (DAY + timedelta(days=1), 11)]),
        lambda: weighted_average([(DAY, 1), receipt("later", 5, 5, day=1)]),
        lambda: specific([OLD], {"old": 8}, before={"old": 3}),
        lambda: specific([OLD], {"stolen": 1}),
        lambda: receipt("none", 0, 5),
    ],
)
def test_what_was_never_received_has_no_cost(impossible: object) -> None:
    with pytest.raises(CostError):
        impossible()  # type: ignore[operator]


receipts = st.lists(st.tuples(st.integers(1, 40), st.integers(0, 9_999), st.integers(0, 30)), min_size=1, max_size=8)


@given(receipts, st.lists(st.integers(0, 25), max_size=12))
def test_every_cent_is_sold_or_left(told: list[tuple[int, int, int]], wanted: list[int]) -> None:
    received = [receipt(f"r{i}", units, cost, day) for i, (units, cost, day) in enumerate(told)]
    there, whole = sum(each.units for each in received), sum(each.cost for each in received)
    sales, sold = [], 0
    for units in wanted:
        if sold + units <= there:
            sales.append(units)
            sold += units
    costs, before = 0, 0
    for units in sales:
        cost = fifo(received, units, before=before)
        costs, before = costs + cost.cost, before + units
        assert costs + cost.left_cost == whole
        assert cost.left_units == there - before
    last = DAY + timedelta(days=40)
    told_sales, units_left, left = weighted_average([*received, *((last, units) for units in sales)])
    assert sum(each.cost for each in told_sales) + left == whole
    assert units_left == there - sold


@given(receipts, st.data())
def test_all_units_sold_cost_all_receipts(told: list[tuple[int, int, int]], data: st.DataObject) -> None:
    """All units sold cost all receipts, by each method."""
    received = [receipt(f"r{i}", units, cost, day) for i, (units, cost, day) in enumerate(told)]
    there, whole = sum(each.units for each in received), sum(each.cost for each in received)
    assert fifo(received, there).cost == whole
    assert specific(received, {each.key: each.units for each in received}).cost == whole
    picked = {each.key: data.draw(st.integers(0, each.units)) for each in received}
    some = specific(received, picked)
    assert some.cost + some.left_cost == whole
