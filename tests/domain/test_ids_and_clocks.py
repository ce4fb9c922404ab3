"""Identifiers sort by time; clocks are aware, UTC, and only move forward."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flipsync.domain.clock import ManualClock, ScaledClock, SystemClock, require_utc, utc_now
from flipsync.domain.ids import first_id_at, new_id

MOMENTS = st.integers(946_684_800, 4_102_444_800).map(lambda second: datetime.fromtimestamp(second, UTC))


def test_ids_are_version_7_unique_and_sort_by_time() -> None:
    ids = [new_id() for _ in range(20_000)]
    assert len(set(ids)) == len(ids)
    assert ids == sorted(ids), "also within one millisecond"
    assert {each.version for each in ids} == {7}
    made = ids[-1].int >> 80
    assert abs(made - time.time() * 1000) < 5_000, "the first 48 bits are Unix milliseconds"


def test_ids_made_before_and_after_a_time_lie_on_either_side_of_its_first_id() -> None:
    before = new_id()
    time.sleep(0.005)
    bound = first_id_at(utc_now())
    assert before < bound <= new_id()


def test_a_time_without_zone_is_refused_and_others_become_utc() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        require_utc(datetime(2026, 1, 1))  # noqa: DTZ001 - the naive time is the point
    there = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    assert require_utc(there) == there
    assert require_utc(there).utcoffset() == timedelta(0)


def test_the_system_clock_tells_utc_now() -> None:
    before = utc_now()
    told = SystemClock().now()
    assert before <= told <= utc_now()
    assert told.utcoffset() == timedelta(0)


@given(MOMENTS, MOMENTS, st.floats(0.001, 100_000))
def test_a_scaled_clock_travels_as_text(start: datetime, since: datetime, speed: float) -> None:
    clock = ScaledClock(start, since, speed)
    copy = ScaledClock.parse(str(clock))
    assert (copy.start, copy.since, copy.speed) == (start, since, speed)


def test_a_scaled_clock_runs_at_its_speed() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    since = utc_now() - timedelta(seconds=10)
    passed = ScaledClock(start, since, 1440.0).now() - start
    assert timedelta(hours=4) <= passed < timedelta(hours=4, minutes=10), "10 seconds are 4 hours"


@pytest.mark.parametrize("speed", [0.0, -1.0])
def test_time_moves_forward(speed: float) -> None:
    with pytest.raises(ValueError, match="forward"):
        ScaledClock(utc_now(), utc_now(), speed)


@pytest.mark.parametrize("text", ["", "now", "2026-01-01|2026-01-01|2"])
def test_a_text_that_is_no_clock_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        ScaledClock.parse(text)


def test_a_manual_clock_moves_when_told_and_never_back() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    clock = ManualClock(start)
    assert clock.now() == clock.now() == start
    clock.advance(timedelta(hours=1))
    assert clock.now() == start + timedelta(hours=1)
    with pytest.raises(ValueError, match="backwards"):
        clock.advance(timedelta(seconds=-1))
