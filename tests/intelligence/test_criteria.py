"""The decision engine: safety before gain, a weighted sum, a second opinion, and what would change the choice."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flipsync.domain.goals import BALANCED, Goals
from flipsync.intelligence.criteria import Option, choose, topsis

SHARE = st.floats(0.01, 1)
SCORE = st.floats(-1, 1).map(lambda value: round(value, 3))
NAMES = ("profit", "risk", "cash")


def test_the_best_weighted_sum_wins_and_every_option_is_kept() -> None:
    choice = choose(
        [Option("a", {"profit": 0.2}), Option("b", {"profit": 0.9, "risk": -0.5})], {"profit": 3, "risk": 1}
    )
    assert choice.best.name == "b"
    assert choice.lead == pytest.approx((0.9 * 3 - 0.5) / 4 - 0.2 * 3 / 4)
    kept = choice.alternatives()
    assert [each.name for each in kept] == ["b", "a"]
    assert [each.chosen for each in kept] == [True, False]
    assert "would be “a” if" in kept[0].why


def test_no_gain_buys_a_breach_of_safety_and_the_graver_constraint_speaks_first() -> None:
    rich = Option("rich", {"profit": 1}, breaks={"health": 0.01})
    poor = Option("poor", {"profit": -1}, breaks={"limit": 5})
    safe = Option("safe", {"profit": -1})
    order = ("health", "limit")
    assert choose([rich, poor], {"profit": 1}, order).best is poor
    choice = choose([rich, poor, safe], {"profit": 1}, order)
    assert [each.option for each in choice.ranking] == [safe, poor, rich]
    assert choice.sensitivity() == "safety decides: no weight changes it"
    assert choose([rich, poor], {"profit": 1}, ("limit", "health")).best is rich


def test_what_is_forbidden_is_never_chosen() -> None:
    choice = choose([Option("no", {"profit": 1}, forbidden="the law"), Option("yes", {"profit": 0})], {"profit": 1})
    assert choice.best.name == "yes"
    assert choice.alternatives()[1].why == "the law"


@pytest.mark.parametrize(
    ("options", "weights"),
    [
        ([], {"profit": 1}),
        ([Option("a", {}, forbidden="no")], {"profit": 1}),
        ([Option("a", {"unknown": 1})], {"profit": 1}),
        ([Option("a", {}, breaks={"unknown": 1})], {"profit": 1}),
        ([Option("a", {"profit": math.nan})], {"profit": 1}),
        ([Option("a", {})], {"profit": 0}),
        ([Option("a", {})], {"profit": -1, "risk": 2}),
    ],
)
def test_what_cannot_be_ranked_is_an_error(options: list[Option], weights: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        choose(options, weights)


def test_closeness_is_the_published_method() -> None:
    """By hand: two criteria of equal weight; columns (3, 4) and (4, 3) have length 5."""
    a, b, c = Option("a", {"x": 3, "y": 4}), Option("b", {"x": 4, "y": 3}), Option("c", {})
    near = topsis([a, b, c], {"x": 0.5, "y": 0.5})
    to_ideal, to_worst = 0.1, math.hypot(0.3, 0.4)
    assert near == pytest.approx([to_worst / (to_worst + to_ideal)] * 2 + [0])


def test_a_different_second_opinion_is_told() -> None:
    """A sum forgives being the worst in one thing; distance to the ideal does not forgive it alike."""
    weights = {"x": 0.5, "y": 0.5}
    options = [Option("extreme", {"x": 1.0, "y": 0.0}), Option("middling", {"x": 0.52, "y": 0.47}), Option("none", {})]
    choice = choose(options, weights)
    assert (choice.best.name, choice.second_opinion) == ("extreme", "middling")
    assert "by distance to the ideal it would be “middling”" in choice.sensitivity()


@st.composite
def problems(draw: Any) -> tuple[list[Option], dict[str, float]]:
    count = draw(st.integers(2, 5))
    options = [Option(str(n), {name: draw(SCORE) for name in NAMES}) for n in range(count)]
    return options, {name: draw(SHARE) for name in NAMES}


@given(problems())
def test_beyond_the_threshold_the_choice_changes_and_before_it_does_not(
    problem: tuple[list[Option], dict[str, float]],
) -> None:
    options, weights = problem
    choice = choose(options, weights)
    for flip in choice.flips:

        def at(share: float, name: str = flip.criterion) -> str:
            rest = math.fsum(value for other, value in weights.items() if other != name)
            moved = {o: share if o == name else value / rest * (1 - share) for o, value in weights.items()}
            return choose(options, moved).best.name

        step = flip.threshold - flip.weight
        if abs(step) < 1e-6:
            continue
        assert at(flip.weight + 0.999 * step) == choice.best.name
        beyond = flip.threshold + math.copysign(1e-6, step)
        if 0 < beyond < 1:
            totals = {o.name: o for o in options}
            assert at(beyond) != choice.best.name or dict(totals[flip.winner].scores) == dict(choice.best.scores)


@given(problems())
def test_closeness_is_between_nothing_and_all(problem: tuple[list[Option], dict[str, float]]) -> None:
    options, weights = problem
    assert all(0 <= each <= 1 for each in topsis(options, weights))


@given(
    st.builds(
        Goals,
        horizon=st.sampled_from(["cash now", "balanced", "growth"]),
        risk=st.sampled_from(["careful", "balanced", "bold"]),
        questions=st.sampled_from(["few", "balanced", "many"]),
    )
)
def test_goals_are_shares_and_each_word_pulls_its_way(goals: Goals) -> None:
    shares = goals.weights()
    assert set(shares) == set(BALANCED)
    assert math.fsum(shares.values()) == pytest.approx(1)
    careful, bold = (goals.model_copy(update={"risk": word}).weights()["risk"] for word in ("careful", "bold"))
    assert careful > bold
    cash, growth = (goals.model_copy(update={"horizon": word}).weights()["cash"] for word in ("cash now", "growth"))
    assert cash > growth


def test_balanced_goals_weigh_as_written() -> None:
    assert Goals().weights() == pytest.approx(dict(BALANCED))
