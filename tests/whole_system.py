"""FlipSync as a process, started as the README says; one serves all tests that need the whole of it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from readme_blocks import ROOT, script

from benchmarks.installation import UNPACED
from flipsync.embedded.ports import choose_port

BASH = shutil.which("bash") or "/bin/bash"


def new_users_environment(home: Path) -> dict[str, str]:
    """As in an active environment of a new user: no settings, no data."""
    ours = {name: value for name, value in os.environ.items() if not re.match(r"FLIPSYNC_|RAY_|[A-Z]+_URL$", name)}
    return ours | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "FLIPSYNC_HOME": str(home),
        "COLUMNS": "120",
    }


@dataclass(frozen=True)
class WholeSystem:
    """`flipsync up --sandbox`: its data folder, the API's port, and what it printed."""

    process: subprocess.Popen[str]
    home: Path
    port: int
    log: Path

    def address(self, text: str) -> str:
        """`text` with the README's address of the API replaced by this one's."""
        return text.replace("127.0.0.1:8000", f"127.0.0.1:{self.port}")


@contextmanager
def running(folder: Path) -> Iterator[WholeSystem]:
    """Up on `folder`/home, ready to be asked; stopped as with Ctrl-C."""
    home, log, port = folder / "home", folder / "up.log", choose_port()
    text = script("up").replace("flipsync up", f"exec flipsync up --port {port}")
    with log.open("w") as output:
        process = subprocess.Popen(
            [BASH, "-c", text],
            cwd=ROOT,
            env=new_users_environment(home) | UNPACED,  # benchmarks ask it too
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
        )
    try:
        deadline = time.monotonic() + 400
        while "/api/v1" not in log.read_text():
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.5)
        yield WholeSystem(process, home, port, log)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
