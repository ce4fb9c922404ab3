"""The `flipsync` command as a process: started anew, or forked from this one, which has imported everything already."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from forked_command import become, in_a_fork

from flipsync import starting
from flipsync.system import System

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Flipsync:
    """The command, on one data folder, in a process of its own."""

    home: Path
    environment: dict[str, str]
    warm: bool = True  # a fork; what a fresh start imports is tested once

    def __call__(self, *words: str, given: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        whole = os.environ | self.environment | {"FLIPSYNC_HOME": str(self.home), "COLUMNS": "200"} | environment
        command = [sys.executable, "-m", "flipsync.cli", *words]
        if not self.warm:
            return subprocess.run(
                command, cwd=ROOT, env=whole, input=given, capture_output=True, text=True, timeout=300
            )
        with (
            tempfile.TemporaryFile("w+") as stdin,
            tempfile.TemporaryFile("w+") as out,
            tempfile.TemporaryFile("w+") as err,
        ):
            stdin.write(given)
            stdin.seek(0)
            child = os.fork()
            if child == 0:
                become(words, str(ROOT), whole, [stdin.fileno(), out.fileno(), err.fileno()])
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(command, code, out.read(), err.read())


def found_business(folder: Path, environment: dict[str, str]) -> str:
    """What `flipsync up` does with an empty folder before it starts Ray; the owner's address."""

    def found() -> str:
        os.environ.update(environment)
        system = System(folder, port=0)
        system.start_books()
        login = asyncio.run(starting.ensure_owner(system))
        system.stop()
        assert login is not None
        return login.email

    return in_a_fork(found)
