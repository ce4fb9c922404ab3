"""Trials as Ray Tune sees them, without Ray: what an earlier driver computed is told again, a population goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flipsync.training.catalogue import problem


@pytest.fixture(scope="module")
def member() -> Callable[..., Any]:
    """Makes trials; `ray.tune` is imported, no Ray is started."""
    from flipsync.training.tuner import Member

    def make(name: str, **point: Any) -> Any:
        params = problem(name).draw(3, 2)
        whole = {"problem": name, "seed": 3, "number": 2, "params": params, "known": [], "memory": {}, "closed": False}
        return Member(config={"point": whole | point})

    return make


def test_what_is_known_is_told_and_only_the_rest_computed(member: Callable[..., Any]) -> None:
    alone, steps = member("fading-demand"), problem("fading-demand").steps
    told = [alone.step() for _ in range(steps)]
    assert all(each["computed"] for each in told) and [each["done"] for each in told] == [False] * (steps - 1) + [True]
    known = [each["score"] for each in told[:2]]
    resumed = member("fading-demand", known=known, memory=told[1]["memory"])
    again = [resumed.step() for _ in range(steps)]
    assert [each["computed"] for each in again] == [False, False, *[True] * (steps - 2)]
    assert [each["score"] for each in again] == [each["score"] for each in told], "as if nobody had been killed"


def test_a_trial_that_was_stopped_is_told_and_goes_no_further(member: Callable[..., Any]) -> None:
    stopped = member("fading-demand", known=[-0.7, -0.8], memory={"total": -1.6, "count": 2}, closed=True)
    first, last = stopped.step(), stopped.step()
    assert (first["score"], first["done"], last["score"], last["done"]) == (-0.7, False, -0.8, True)
    assert not first["computed"] and not last["computed"]


def test_a_population_goes_on_where_it_stood_and_hands_its_memory_on(
    member: Callable[..., Any], tmp_path: Path
) -> None:
    donor = member("moving-demand")
    told = [donor.step() for _ in range(3)]
    resumed = member("moving-demand", known=[each["score"] for each in told], memory=told[-1]["memory"])
    fourth, same = donor.step(), resumed.step()
    assert same["computed"] and (same["at"], same["score"]) == (4, fourth["score"])
    donor.save_checkpoint(str(tmp_path))
    heir = member("moving-demand", params=problem("moving-demand").draw(3, 5))
    heir.load_checkpoint(str(tmp_path))
    fifth = heir.step()
    assert (fifth["at"], fifth["computed"]) == (5, True)
    assert fifth["memory"] != donor.step()["memory"], "its own parameters from there on"
