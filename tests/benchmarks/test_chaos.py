"""A slice of the crash benchmark, and proof that it would notice workers that hope or forget."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from agents import ROSTER
from benchmarks import crash_business
from benchmarks.chaos import Log, measure
from benchmarks.crash_lives import Runtime
from benchmarks.crash_pieces import PIECES
from benchmarks.crash_steps import Step, steps_of
from benchmarks.crash_tally import Tally
from flipsync.connectors.marketplaces.custom.client import CustomConnector
from flipsync.runtime import money_writes
from flipsync.security.secrets import SecretBox
from flipsync.store.repositories import effects as effect_rows

Torment = Callable[[int], Tally]


@pytest.fixture
def torment(make_database: Callable[[], dict[str, str]], tmp_path: Path) -> Torment:
    def one_business(runs: int) -> Tally:
        urls, log = make_database(), Log(tmp_path / "chaos.jsonl")
        runtime = Runtime(urls["worker"], tuple(ROSTER), SecretBox(secrets.token_bytes(32)), secrets.token_bytes(32))
        measure(runtime, urls["app"], [(0, runs)], 7, log)
        return log.read()[0]

    return one_business


@pytest.mark.slow
def test_killed_at_any_step_nothing_is_done_twice_and_nothing_is_lost(torment: Torment) -> None:
    tally = torment(130)
    assert tally.problems == []
    assert tally.clean
    assert tally.runs == sum(tally.by_step.values()) == 130
    assert set(tally.by_piece) == set(PIECES)
    assert tally.again > 10
    assert any(step.startswith("during ") for step in tally.by_step)
    assert tally.orders > 10
    assert tally.refunds > 5
    assert tally.labels > 2


def only_where(monkeypatch: pytest.MonkeyPatch, asks: str, pieces: tuple[str, ...]) -> None:
    """Killed nowhere but at steps of such a name: few runs are enough."""

    def there(business: crash_business.Business, passed: list[Step]) -> Step:
        found = [step for step in passed if re.match(asks, step.name)]
        return business.dice.choice(found or [Step("nowhere", 0)])

    monkeypatch.setattr(crash_business, "PIECES", {name: PIECES[name] for name in pieces})
    monkeypatch.setattr(crash_business.Business, "_step", there)


@pytest.mark.slow
def test_a_worker_that_takes_what_was_under_way_for_done_is_found_out(
    torment: Torment, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hopeful(session: AsyncSession, slot: str, owner: str) -> int:
        statement = "UPDATE effect SET state = 'confirmed', finished_at = now() WHERE state = 'leased'"
        return len((await session.execute(text(f"{statement} RETURNING id"))).all())

    monkeypatch.setattr(effect_rows, "release_earlier_lives", hopeful)
    only_where(monkeypatch, "before POST .*/refunds", ("offer", "sell", "give_back"))
    tally = torment(4)  # each of these kills loses a refund: the worker believes it given
    assert tally.refunds_wrong > 0
    assert sum(tally.doubled_at.values()) > 0


@pytest.mark.slow
@pytest.mark.parametrize("new_key", [False, True])
def test_a_worker_that_does_not_look_whether_it_paid_is_found_out(
    torment: Torment, monkeypatch: pytest.MonkeyPatch, new_key: bool
) -> None:
    issue = CustomConnector.issue_refund

    async def forgetful(*_: Any) -> None:
        return None

    async def with_a_new_key(self: CustomConnector, refund: Any, key: str) -> str:
        return await issue(self, refund, f"{key}:{secrets.token_hex(4)}")

    only_where(monkeypatch, "(during|after) POST .*/refunds", ("offer", "sell", "give_back"))
    monkeypatch.setattr(money_writes, "_given_before", forgetful)
    if new_key:
        monkeypatch.setattr(CustomConnector, "issue_refund", with_a_new_key)
    tally = torment(12)
    assert tally.refunds_wrong > 0
    doubled = any(problem.startswith("order o") for problem in tally.problems)  # WooCommerce's have numbers
    assert doubled == new_key, "the custom channel's key keeps it from paying twice, WooCommerce has none"


def test_a_step_is_known_by_its_name_and_how_often_it_came_before() -> None:
    passed = ["before a commit", "after a transaction", "before a commit"]
    assert steps_of(passed) == [Step("before a commit", 0), Step("after a transaction", 0), Step("before a commit", 1)]


def test_tallies_add_up_and_survive_being_cut_off(tmp_path: Path) -> None:
    one = Tally(runs=2, orders=1, doubled=1, problems=["twice"])
    one.by_step.update({"before effect is written": 1, "during POST /orders": 1})
    one.close()
    other = Tally(runs=1)
    other.by_step.update(["after effect is written"])
    other.close()
    log = Log(tmp_path / "chaos.jsonl")
    log.add(0, one)
    log.add(1, other)
    with (tmp_path / "chaos.jsonl").open("a") as file:
        file.write(json.dumps({"business": 2})[:-4])  # killed while it wrote
    assert log.read() == {0: one, 1: other}
    total = Tally()
    for tally in log.read().values():
        total.add(tally)
    assert (total.runs, total.doubled, total.problems, total.clean) == (3, 1, ["twice"], False)
    assert total.table().splitlines()[2:] == ["| effect | 1 | 0 | 1 | 1 | 0 |", "| POST /orders | 0 | 1 | 0 | 1 | 0 |"]
