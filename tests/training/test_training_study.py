"""A study's books on PostgreSQL, without Ray: what was computed once is found by the next driver and counted once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from shop import Shop, open_store

from flipsync.domain.errors import Unavailable
from flipsync.learning.policy import Origin, Policy
from flipsync.training.drawn import FadingDemandProblem
from flipsync.training.study import Books, Study


class Worse(FadingDemandProblem):
    """Its trials are all worse than what ships."""

    space = {name: type(each)(0.7, 0.9) for name, each in FadingDemandProblem.space.items()}  # noqa: RUF012

    def draw(self, seed: int, number: int) -> dict[str, float]:
        return super().draw(seed, number + 1)


@pytest.fixture
def open_study(database_urls: dict[str, str]) -> Iterator[Callable[..., Study]]:
    """Opens studies of one business, each as a driver of its own would."""
    opened: list[Books] = []
    shop = Shop(open_store(database_urls["app"], pool_size=1))

    def make(problem: Any = None, *, seed: int = 4, samples: int = 4) -> Study:
        books = Books(open_store(database_urls["app"], pool_size=1), shop.tenant_id)
        if not opened:
            books.do(Shop(books.store, shop.tenant_id).found())
        opened.append(books)
        return Study(books, problem or FadingDemandProblem(), seed=seed, samples=samples)

    yield make
    for books in opened:
        books.close()


def compute(study: Study, most: int = 10_000) -> int:
    """What the tuner does, one trial after the other; stops after `most` steps."""
    for trial in study.wanted():
        while not trial.ended and most:
            step = len(trial.scores)
            done = study.problem.advance(trial.params, study.seed, step, trial.memory)
            study.add_step(trial.number, trial.params, done.score, done.memory)
            most -= 1
            if step + 1 == study.problem.steps:
                study.end_trial(trial.number, "finished")
    return most


def test_a_second_driver_goes_on_where_the_first_was_killed(open_study: Callable[..., Study]) -> None:
    first = open_study()
    compute(first, most=7)
    second = open_study()
    assert second.experiment_id == first.experiment_id
    assert (second.steps_before, second.steps_now) == (7, 0)
    assert [len(trial.scores) for trial in second.wanted()] == [5, 2, 0, 0]
    compute(second)
    assert second.steps_now == 4 * 5 - 7
    resumed = second.conclude(judged=20)
    whole = open_study(seed=4, samples=5)
    compute(whole)
    alone = [trial.scores for trial in whole.wanted()][:4]
    assert [trial.scores for trial in second.wanted()] == alone, "as if nobody had been killed"
    assert (resumed.steps_before, resumed.steps_now, resumed.trials) == (7, 13, 4)
    assert open_study().experiment_id != second.experiment_id, "a finished one is not gone on with"


def test_a_step_told_twice_is_written_once(open_study: Callable[..., Study]) -> None:
    one, other = open_study(), open_study()
    for study in (one, other):  # two drivers that do not know of one another
        study.add_step(0, study.wanted()[0].params, -0.5, {"total": -0.5, "count": 1})
    assert open_study().wanted()[0].scores == [-0.5]


def test_the_best_is_kept_with_what_it_depends_on(open_study: Callable[..., Study]) -> None:
    study = open_study(samples=12)
    compute(study)
    outcome = study.conclude(judged=40)
    worth, base = outcome.comparison.worth[0], outcome.comparison.baseline[0]
    assert outcome.comparison.difference[0] == pytest.approx(worth - base)
    assert outcome.learned == (outcome.comparison.difference[1] > 0)
    assert Policy.from_json(outcome.policy.to_json()) == outcome.policy
    assert outcome.as_dict()["trials"] == 12


def test_the_baseline_ships_when_nothing_beats_it(open_study: Callable[..., Study]) -> None:
    study = open_study(Worse())
    compute(study)
    outcome = study.conclude(judged=40)
    assert not outcome.learned and outcome.comparison.difference[2] < 0
    assert outcome.policy.version == Worse().default(Origin("", "", 0)).version


def test_a_study_without_a_score_says_so(open_study: Callable[..., Study]) -> None:
    study = open_study(seed=9)
    for trial in study.wanted():
        study.end_trial(trial.number, "failed")
    with pytest.raises(Unavailable):
        study.conclude(judged=10)
    study.fail(Unavailable("no trial of the study ended with a score"))
    assert open_study(seed=9).experiment_id != study.experiment_id
