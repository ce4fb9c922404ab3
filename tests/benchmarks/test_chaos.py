"""A slice of the crash benchmark, and proof that it would notice a worker that hopes."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from agents import ROSTER
from benchmarks.chaos import measure
from benchmarks.crash_lives import Runtime
from benchmarks.crash_pieces import PIECES
from flipsync.security.secrets import SecretBox
from flipsync.store.repositories import effects as effect_rows

pytestmark = pytest.mark.slow


@pytest.fixture
def urls(make_database: Callable[[], dict[str, str]]) -> dict[str, str]:
    return make_database()


def runtime(urls: dict[str, str]) -> Runtime:
    return Runtime(urls["worker"], tuple(ROSTER), SecretBox(secrets.token_bytes(32)), secrets.token_bytes(32))


@pytest.mark.timeout(900)
def test_killed_at_any_step_nothing_is_done_twice_and_nothing_is_lost(urls: dict[str, str]) -> None:
    tally = measure(runtime(urls), urls["app"], 200, seed=7)
    assert tally.problems == []
    assert tally.clean
    assert tally.runs == 200
    assert set(tally.by_piece) == set(PIECES)
    assert tally.again > 20
    assert any(step.startswith("during ") for step in tally.by_step)
    assert tally.orders > 20
    assert tally.refunds > 10
    assert tally.labels > 5


def test_a_worker_that_takes_what_was_under_way_for_done_is_found_out(
    urls: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hopeful(session: AsyncSession, slot: str, owner: str) -> int:
        statement = "UPDATE effect SET state = 'confirmed', finished_at = now() WHERE state = 'leased'"
        return len((await session.execute(text(f"{statement} RETURNING id"))).all())

    monkeypatch.setattr(effect_rows, "release_earlier_lives", hopeful)
    tries = (measure(runtime(urls), urls["app"], 12, seed) for seed in range(7, 12))
    assert any(not tally.clean for tally in tries)
