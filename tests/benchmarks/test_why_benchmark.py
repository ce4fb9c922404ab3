"""The benchmark of `flipsync why` at a tiny size: every question has an answer, in a journal as long as was wanted."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.installation import temporary_home
from benchmarks.why import measure

pytestmark = pytest.mark.slow


def test_every_kind_of_question_is_answered_in_a_repeated_journal() -> None:
    with temporary_home() as home:
        found = measure(Path(home), 2_000, 1, seed=3)
    assert found["events"] >= 2_000
    assert set(found["seconds"]) == {"goods", "listing", "order", "decision", "effect", "fact", "no such thing"}
    assert all(each["ours"]["n"] > 0 for each in found["seconds"].values())
    assert 0 < found["slowest"] < 30
