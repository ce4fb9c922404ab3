"""`flipsync train` as people call it: on a Ray of its own, killed and called again; and on the running system's."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from whole_system import ROOT, WholeSystem, new_users_environment

from flipsync.domain.ids import new_id
from flipsync.services.reading_models import experiment_of
from flipsync.store.repositories import tenants
from flipsync.system import open_books
from flipsync.training.requests import request

pytestmark = pytest.mark.starts_ray

PROGRAM = [sys.executable, "-m", "flipsync.cli"]


def command(home: Path, *words: str) -> Any:
    done = subprocess.run(
        [*PROGRAM, *words, "--json"],
        cwd=ROOT,
        env=new_users_environment(home),
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_killed_training_goes_on_and_counts_no_trial_twice(tmp_path: Path) -> None:
    words = ["train", "smooth-order", "--samples", "6", "--seed", "3", "--judged", "20"]
    driver = subprocess.Popen(
        [*PROGRAM, *words, "--json"],
        cwd=ROOT,
        env=new_users_environment(tmp_path),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert driver.stderr is not None
    begun, deadline = "", time.monotonic() + 300
    while "1/6 trials" not in begun and time.monotonic() < deadline:
        begun += driver.stderr.readline()
        assert driver.poll() is None, begun
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()

    told = command(tmp_path, *words)
    assert told["steps_found"] > 0, "what was computed before the kill was found"
    assert told["trials"] == 6 and told["difference"][1] > 0 and told["learned"]
    experiment = command(tmp_path, "models", "experiment", told["experiment_id"])
    scores = [trial["scores"] for trial in experiment["trials"]]
    assert [trial["number"] for trial in experiment["trials"]] == list(range(6)), "no trial twice"
    assert sum(map(len, scores)) == told["steps_found"] + told["steps_computed"] <= 6 * 4, "no step twice"
    assert {trial["state"] for trial in experiment["trials"]} <= {"finished", "stopped"}
    (model,) = command(tmp_path, "models", "list")
    assert model["version"] == told["policy"]["version"] and model["experiment_id"] == told["experiment_id"]


@pytest.mark.slow
@pytest.mark.whole_system(2)
def test_the_same_call_trains_on_the_running_system(whole_system: WholeSystem) -> None:
    words = ["train", "fading-demand", "--samples", "6", "--seed", "5", "--judged", "20", "--address", "auto"]
    told = command(whole_system.home, *words)
    assert told["trials"] == 6 and 6 <= told["steps_computed"] <= 6 * 5


@pytest.mark.slow
@pytest.mark.whole_system(2)
async def test_what_an_agent_asks_for_is_trained_beside_the_running_system(whole_system: WholeSystem) -> None:
    with open_books(whole_system.home, {}) as store:
        tenant_id = new_id()
        async with store.unit(tenant_id) as unit:
            await tenants.found(unit.session, tenant_id, "asks for a training")
            asked = await request(unit, "fading-demand", seed=2, samples=6, cause="a test wants one")
        deadline, told = time.monotonic() + 300, None
        while (told is None or told.state == "running") and time.monotonic() < deadline:
            await asyncio.sleep(1.0)
            async with store.reader(tenant_id) as session:
                told = await experiment_of(session, asked)
        await store.aclose()
    assert told is not None and told.state == "finished", told
    assert [trial.number for trial in told.trials] == list(range(6)) and told.cause == "a test wants one"
    assert set(told.result) >= {"difference", "policy_id", "learned"}
