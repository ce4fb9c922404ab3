"""Actors as Ray runs them: what ends a process is set aside, and agents begin anew while facts come."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from whole_system import WholeSystem

from flipsync.store.repositories.tasks import MAX_ATTEMPTS

PROGRAM = Path(__file__).with_name("deadly_agent.py")


@pytest.mark.slow
@pytest.mark.whole_system(2)
def test_a_fact_that_ends_the_process_is_set_aside_and_restarts_lose_and_double_nothing(
    whole_system: WholeSystem,
) -> None:
    environment = os.environ | {"FLIPSYNC_BENCHMARK_HOME": str(whole_system.home)}
    done = subprocess.run(
        [sys.executable, str(PROGRAM)],
        cwd=PROGRAM.parents[2],
        env=environment | {"PYTHONPATH": str(PROGRAM.parents[2])},
        capture_output=True,
        timeout=300,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout[done.stdout.index("{") :])
    deaths, restarts = told["deaths"], told["restarts"]
    assert deaths["poison"] == ["failed", "RuntimeError: every try so far ended the agent's process"]
    assert deaths["decided_once"], "all others are, those that shared a batch with it included"
    assert deaths["lives"] == MAX_ATTEMPTS + 1
    assert len(restarts["seconds"]) == 2 and restarts["told"] > 20
    assert restarts["decided_once"]
