"""The map from stated to counted confidence: order stays, little data changes nothing, unseen cases gain."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from benchmarks.agent_recalibration import AGENTS, compare
from flipsync.domain.clock import utc_now
from flipsync.learning.evaluation.recalibration import IDENTITY, Group, Recalibration, _most_likely, _odds, fit
from flipsync.services.recalibrating import ALIKE, Recalibrated, fitted_map, lowest

chances = st.floats(0, 1)
groups = st.lists(
    st.tuples(chances, st.floats(0, 500), chances).map(lambda each: Group(each[0], each[1], each[1] * each[2])),
    max_size=12,
)


@given(groups, chances, chances)
@settings(max_examples=200, deadline=None)
def test_the_surer_of_two_stays_the_surer_and_nothing_leaves_zero_to_one(
    known: list[Group], one: float, other: float
) -> None:
    found, chance = fit(known)
    low, high = sorted((one, other))
    assert 0 <= found.of(low) <= found.of(high) + 1e-12 <= 1 + 1e-12 and found.slope >= 0 and 0 <= chance <= 1


@given(chances)
def test_without_outcomes_confidence_counts_as_stated(stated: float) -> None:
    assert fit([]) == (IDENTITY, 0.5) and IDENTITY.of(stated) == stated
    assert fit([Group(0.9, 0.0, 0.0)])[0].of(stated) == stated


def test_the_most_likely_map_is_the_one_another_optimiser_finds() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        p, n = rng.uniform(0.05, 0.95, 6), rng.uniform(5, 60, 6)
        known = [Group(*map(float, each)) for each in zip(p, n, n * rng.uniform(0, 1, 6), strict=True)]

        def depth(at: np.ndarray, known: list[Group] = known) -> float:
            total = ((at[0] - 1) / 0.5) ** 2 / 2 + at[1] ** 2 / 2
            for each in known:
                x = at[0] * math.log(each.stated / (1 - each.stated)) + at[1]
                total += each.weight * np.logaddexp(0, x) - each.came_true * x
            return float(total)

        theirs = minimize(depth, np.array([1.0, 0.0]), bounds=[(0, None), (None, None)], method="L-BFGS-B")
        ours = _most_likely([(_odds(each.stated), each.weight, each.came_true) for each in known], IDENTITY)
        assert depth(np.array(ours)) <= theirs.fun + 1e-6
        assert ours == pytest.approx(tuple(theirs.x), abs=1e-3)


def test_few_decisions_move_little_and_many_reach_what_came_true() -> None:
    far = [abs(fit([Group(0.9, n, 0.8 * n)])[0].of(0.9) - 0.9) for n in (2, 20, 200, 20_000)]
    assert far == sorted(far) and far[0] < 0.02 and far[-1] == pytest.approx(0.1, abs=0.003)
    assert abs(fit([Group(0.9, 200, 180)])[0].of(0.9) - 0.9) < 1e-6


def test_whose_surest_decisions_are_the_worst_is_not_turned_round() -> None:
    found, _ = fit([Group(0.9, 200, 20), Group(0.1, 200, 180)])
    assert found.slope < 0.01 and found.of(0.9) >= found.of(0.1)


def test_a_kind_starts_half_way_from_what_the_agents_other_kinds_show() -> None:
    others = [Group(0.9, 500, 300)]
    pooled = fit(others)[0].of(0.9)
    alone, started = fitted_map([], []), fitted_map([], [others])
    assert alone == IDENTITY and pooled < started.of(0.9) < 0.9
    assert started == IDENTITY.towards(fit(others)[0], ALIKE)
    own = [Group(0.9, 2_000, 1_800)]
    assert fitted_map(own, [others]).of(0.9) == pytest.approx(0.9, abs=0.01), "its own decisions say otherwise"


@pytest.mark.parametrize("bad", [Group(1.1, 1, 1), Group(0.5, -1, 0), Group(0.5, 1, 2), Group(math.nan, 1, 1)])
def test_what_is_no_group_of_decisions_is_refused(bad: Group) -> None:
    with pytest.raises(ValueError, match="no group"):
        fit([bad])


def test_no_map_ever_adds_to_a_confidence() -> None:
    modest = Recalibration(slope=1.0, shift=1.0)
    used = Recalibrated("pricing", "price-move", modest, 100, utc_now())
    assert modest.of(0.6) > 0.6 and lowest([used], 0.6) is None


@pytest.mark.slow
@pytest.mark.parametrize("agent", [each for each in AGENTS if each != "calibrated"])
def test_an_agent_that_is_wrong_about_itself_is_counted_righter_on_decisions_not_seen(agent: str) -> None:
    told = compare(agent, range(12))
    assert told["Brier over stated"].high < 0 and told["error over stated"].high < 0


@pytest.mark.slow
def test_a_calibrated_agent_is_not_harmed() -> None:
    told = compare("calibrated", range(12))
    assert told["Brier over stated"].high < 0.001 and told["error over stated"].high < 0.006
    assert told["Brier over isotonic"].high < 0, "which believes every chance of the draw"
