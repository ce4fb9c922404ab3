"""`flipsync train` as people call it: on a Ray of its own, killed and called again; and on the running system's."""

from __future__ import annotations

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

PROGRAM = [sys.executable, "-m", "flipsync.cli"]


def command(home: Path, *words: str) -> Any:
    done = subprocess.run(
        [*PROGRAM, *words, "--json"],
        cwd=ROOT,
        env=new_users_environment(home),
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_killed_training_goes_on_and_counts_no_trial_twice(tmp_path: Path) -> None:
    words = ["train", "smooth-order", "--samples", "8", "--seed", "3", "--judged", "20"]
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
    begun, deadline = "", time.monotonic() + 120
    while "1/8 trials" not in begun and time.monotonic() < deadline:
        begun += driver.stderr.readline()
        assert driver.poll() is None, begun
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()

    told = command(tmp_path, *words)
    assert told["steps_found"] > 0, "what was computed before the kill was found"
    assert told["trials"] == 8 and told["difference"][1] > 0 and told["learned"]
    experiment = command(tmp_path, "models", "experiment", told["experiment_id"])
    scores = [trial["scores"] for trial in experiment["trials"]]
    assert [trial["number"] for trial in experiment["trials"]] == list(range(8)), "no trial twice"
    assert sum(map(len, scores)) == told["steps_found"] + told["steps_computed"] <= 8 * 4, "no step twice"
    assert {trial["state"] for trial in experiment["trials"]} <= {"finished", "stopped"}
    (model,) = command(tmp_path, "models", "list")
    assert model["version"] == told["policy"]["version"] and model["experiment_id"] == told["experiment_id"]


@pytest.mark.slow
@pytest.mark.whole_system(2)
def test_the_same_call_trains_a_population_on_the_running_system(whole_system: WholeSystem) -> None:
    told = command(whole_system.home, "train", "moving-demand", "--samples", "6", "--judged", "20", "--address", "auto")
    assert told["trials"] == 6 and told["learned"] and told["difference"][1] > 0
    experiment = command(whole_system.home, "models", "experiment", told["experiment_id"])
    assert [len(trial["scores"]) for trial in experiment["trials"]] == [8] * 6, "a population goes on together"
