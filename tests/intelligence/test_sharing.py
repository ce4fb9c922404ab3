"""Scarce resources divided by marginal value: against the greedy optimum, with prices that say what one more brings."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flipsync.intelligence.sharing import Step, divide, shares

CALLS = "calls"


def step(count: float, value: float, **uses: float) -> Step:
    return Step(count, value, uses or {CALLS: 1.0})


def test_what_brings_most_goes_first_and_the_price_is_the_next_best() -> None:
    found = divide({"a": [step(10, 5.0)], "b": [step(10, 3.0)], "c": [step(10, 1.0)]}, {CALLS: 15.0})
    assert [each[CALLS] for each in found.taken.values()] == pytest.approx([10, 5, 0])
    assert found.value == pytest.approx(65.0)
    assert found.prices[CALLS] == pytest.approx(3.0), "one more call goes to b"


def test_plenty_has_no_price_and_a_channels_own_limit_has_its_own() -> None:
    channels = {"a": [step(10, 5.0)], "b": [step(10, 3.0)]}
    assert divide(channels, {CALLS: 100.0}).prices[CALLS] == 0.0
    found = divide(channels, {CALLS: 100.0}, {"a": {CALLS: 4.0}})
    assert found.taken["a"][CALLS] == pytest.approx(4.0)
    assert found.at_limit["a"][CALLS] == pytest.approx(5.0) and found.prices[CALLS] == 0.0


def test_two_resources_are_weighed_against_each_other() -> None:
    channels = {"dear": [step(10, 10.0, calls=1.0, money=10.0)], "cheap": [step(10, 4.0, calls=1.0, money=1.0)]}
    found = divide(channels, {"calls": 10.0, "money": 55.0})
    assert found.taken["dear"]["calls"] == pytest.approx(5.0) and found.taken["cheap"]["calls"] == pytest.approx(5.0)
    assert found.prices["calls"] == pytest.approx(10 / 3) and found.prices["money"] == pytest.approx(2 / 3)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.floats(0.1, 100)), min_size=1, max_size=6),
    st.integers(0, 100),
)
def test_one_resource_is_divided_as_greedily_as_it_can_be(steps: list[tuple[int, float]], total: int) -> None:
    found = divide({str(at): [step(*each)] for at, each in enumerate(steps)}, {CALLS: float(total)})
    left, best = float(total), 0.0
    for count, value in sorted(steps, key=lambda each: -each[1]):
        best += value * min(count, left)
        left -= min(count, left)
    assert found.value == pytest.approx(best, abs=1e-4)
    assert sum(each.get(CALLS, 0.0) for each in found.taken.values()) <= total + 1e-6


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 0"):
        divide({"a": [step(1, 1.0)]}, {CALLS: -1.0})
    assert divide({"a": []}, {CALLS: 1.0}).prices == {CALLS: 0.0}


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=40), st.integers(0, 5_000))
def test_shares_add_up_to_all_of_it_and_none_is_too_small(taken: list[float], least: int) -> None:
    told = shares({str(at): each for at, each in enumerate(taken)}, least)
    assert sum(told.values()) == 10_000
    assert min(told.values()) >= min(least, 10_000 // len(taken))
