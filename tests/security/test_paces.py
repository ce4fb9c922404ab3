"""A pace: so much at once, so much over time, the replicas together; and what is told of it."""

from __future__ import annotations

import pytest

from flipsync.security import paces
from flipsync.security.paces import Pace, Paces, Quota, TooManyRequests


def passes(pace: Pace, seconds: int, *, per_second: int = 10) -> int:
    passed = 0
    for moment in range(seconds * per_second):
        try:
            pace.take(1000 + moment / per_second)
            passed += 1
        except TooManyRequests:
            pass
    return passed


@pytest.mark.parametrize(("replicas", "least"), [(1, 300), (4, 75)])
def test_it_is_kept_over_time_by_the_replicas_together(replicas: int, least: int) -> None:
    assert least <= passes(Pace(60, replicas=replicas), 300) <= least + 11


@pytest.mark.parametrize("replicas", [1, 8])
def test_a_burst_is_let_through_by_each_and_told_to_the_last(replicas: int) -> None:
    pace = Pace(30, replicas=replicas, name="session")
    told = [pace.take(50.0) for _ in range(5)]
    assert [quota.left for quota in told] == [4, 3, 2, 1, 0]
    with pytest.raises(TooManyRequests, match="this session asks too often") as refused:
        pace.take(50.0)
    assert refused.value.after == 2 * replicas and refused.value.quota == told[-1]
    assert pace.take(50.0 + refused.value.after).left == 0, "who waits as long as told comes in"
    assert told[-1] == Quota("session", 5, 10 * replicas, 0, 10 * replicas)
    assert pace.take(5000.0).left == 4


@pytest.mark.parametrize("per_minute", [1, 7, 60_000])
def test_who_is_told_that_so_many_are_left_may_send_so_many(per_minute: int) -> None:
    pace, moment = Pace(per_minute), 10.0
    for step in range(50):
        moment += step * 0.013
        try:
            left = pace.take(moment).left
        except TooManyRequests as refused:
            moment += refused.after
            continue
        for _ in range(left):
            pace.take(moment)
        with pytest.raises(TooManyRequests):
            pace.take(moment)


def test_each_has_one_of_their_own_and_the_last_few_thousand_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paces, "_REMEMBERED", 3)
    each = Paces("key", 6)
    each.allow("quick", 60)
    assert [each.take("quick").left for _ in range(10)][-1] == 0
    for who in ("a", "b"):
        assert each.take(who).left == 0
        with pytest.raises(TooManyRequests):
            each.take(who)
    each.allow("quick", 60)
    with pytest.raises(TooManyRequests):
        each.take("quick")
    assert each.allow("quick", 120).take().left == 19, "another pace begins anew"
    each.take("c")
    assert each.take("a").left == 0, "forgotten: came longest ago"
