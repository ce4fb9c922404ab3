"""Workers that are forked: what they share, what they must not share, and what happens without their zygote."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from embedded_waiting import wait_until

from flipsync.embedded.process import process_name
from flipsync.embedded.ray_worker import as_ours, hand_over
from flipsync.system import SHARED_MODULES

ZYGOTE = Path(__file__).parents[2] / "flipsync" / "embedded" / "zygote.py"
WORKER = """
import json, os, random, secrets, sys
shared = "flipsync.runtime.assembly" in sys.modules
from flipsync.domain.ids import new_id
import numpy
import ray
told = {
    "pid": os.getpid(), "group": os.getpgid(0), "folder": os.getcwd(), "shared": shared, "words": sys.argv[1:],
    "variable": os.environ.get("SAID"), "path": os.environ["PATH"], "name": __name__,
    "ids": [str(new_id())[-12:], secrets.token_hex(8), random.random(), float(numpy.random.random()),
            ray.WorkerID.from_random().hex()],
}
print(json.dumps(told), flush=True)
if "stay" in sys.argv:
    import time
    time.sleep(60)
raise SystemExit(3)
"""


class Zygote:
    """A running one, and the worker it is asked for."""

    def __init__(self, home: Path, *modules: str) -> None:
        self.socket, self.worker, self.log = home / "z", home / "worker.py", home / "zygote.log"
        self.worker.write_text(WORKER)
        root = str(ZYGOTE.parents[2])
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(ZYGOTE), str(self.socket), *modules],
                env=os.environ | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
                stderr=log,
            )
        assert wait_until(self.socket.exists)

    def start(self, output: Path, *words: str) -> bool:
        """Ask as the raylet's child does, from a process of its own whose output is `output`."""
        code = (
            "import sys; from flipsync.embedded.ray_worker import hand_over; "
            "sys.exit(0 if hand_over(sys.argv[1], sys.argv[2:]) else 1)"
        )
        with output.open("w") as out:
            asked = subprocess.run(
                [sys.executable, "-c", code, str(self.socket), str(self.worker), *words],
                env={**os.environ, "PYTHONPATH": str(ZYGOTE.parents[2]), "SAID": "yes"},
                cwd=output.parent,
                stdout=out,
                stderr=out,
                timeout=60,
            )
        return asked.returncode == 0

    def told(self, output: Path) -> dict[str, object]:
        assert wait_until(lambda: output.read_text().endswith("\n")), self.log.read_text()
        told: dict[str, object] = json.loads(output.read_text())
        return told


@pytest.fixture
def zygote(home: Path):
    started: list[Zygote] = []

    def start(*modules: str) -> Zygote:
        started.append(Zygote(home, *modules))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.wait()


@pytest.mark.slow
def test_workers_share_modules_and_make_ids_of_their_own(zygote: Callable[..., Zygote], home: Path):
    ours = zygote(*SHARED_MODULES)
    outputs = [home / f"out{number}" for number in range(3)]
    assert all(ours.start(output, "a b", "--c=d") for output in outputs), ours.log.read_text()
    told = [ours.told(output) for output in outputs]
    for each in told:
        assert each["shared"], "the modules were imported again"
        assert each["words"] == ["a b", "--c=d"] and each["name"] == "__main__"
        assert each["folder"] == str(home) and each["variable"] == "yes" and each["path"] == os.environ["PATH"]
        assert each["group"] == each["pid"], "whoever ends the group of one worker ends them all"
    for column in zip(*(each["ids"] for each in told), strict=True):
        assert len(set(column)) == len(told), "workers made the same ids"
    assert wait_until(lambda: not any(process_name(each["pid"]) for each in told)), "ended workers stay as zombies"


def test_a_worker_outlives_its_zygote_and_then_nobody_is_handed_over(zygote: Callable[..., Zygote], home: Path):
    ours = zygote()
    assert ours.start(home / "out", "stay")
    pid = ours.told(home / "out")["pid"]
    ours.process.kill()
    ours.process.wait()
    try:
        assert process_name(pid)
        assert not hand_over(str(ours.socket), [str(ours.worker)])
    finally:
        os.kill(pid, signal.SIGKILL)


def test_nonsense_is_refused_and_the_next_is_served(zygote: Callable[..., Zygote], home: Path):
    ours = zygote()
    for sent in (b"", b"x", b"\xff" * 8, (9).to_bytes(8) + b"{"):
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(str(ours.socket))
            if sent:
                socket.send_fds(stranger, [sent], [1, 2])
            stranger.shutdown(socket.SHUT_WR)
            assert stranger.recv(1) == b""
    assert ours.start(home / "out")
    ours.told(home / "out")
    assert ours.log.read_text().count("not understood") == 4


@pytest.mark.parametrize("module", ["ray", "threading_module"])
def test_what_cannot_be_forked_is_not_shared(zygote: Callable[..., Zygote], home: Path, module: str, monkeypatch):
    (home / "threading_module.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
    )
    monkeypatch.setattr(sys, "path", sys.path)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from flipsync.embedded.zygote import share; share([sys.argv[2]])"
    )
    tried = subprocess.run(
        [sys.executable, "-c", code, str(home), module],
        cwd=ZYGOTE.parents[2],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert tried.returncode == 1 and "RuntimeError: a shared module" in tried.stderr


def test_only_workers_that_run_as_ours_do_are_handed_over():
    usual = json.dumps({"command_prefix": [], "env_vars": {}, "py_executable": sys.executable, "java_jars": []})
    words = ["/x/default_worker.py", "--node-id=1"]
    own = json.dumps({"env_vars": {"A": "b"}})
    assert as_ours([*words, "--language=PYTHON", f"--serialized-runtime-env-context={usual}"]) == words
    assert as_ours([*words, "--language=PYTHON", "--serialized-runtime-env-context={}"]) == words
    assert as_ours([*words, "--language=PYTHON"]) == words
    assert as_ours([*words, "--language=JAVA"]) is None
    assert as_ours([*words, f"--serialized-runtime-env-context={own}"]) is None
    assert as_ours([*words, '--serialized-runtime-env-context={"py_executable": "uv run"}']) is None
    assert as_ours(["-s", *words]) is None and as_ours([]) is None
