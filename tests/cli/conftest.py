"""A data folder for the command line to work on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with one business in it, made the way `up` makes it."""
    folder = tmp_path_factory.mktemp("home")
    script = (
        "import asyncio, sys; from pathlib import Path\n"
        "from flipsync.system import System; from flipsync import starting\n"
        "system = System(Path(sys.argv[1]), port=0)\n"
        "system.start_books()\n"
        "print(asyncio.run(starting.ensure_owner(system)).email)\n"
        "system.stop()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "owner@flipsync.local"
    return folder


@pytest.fixture(scope="module")
def open_home(home: Path) -> Iterator[Path]:
    """The same folder with its books open, so that a command need not start them."""
    script = (
        "import sys; from pathlib import Path; from flipsync.system import System\n"
        "system = System(Path(sys.argv[1]), port=0)\n"
        "system.start_books()\n"
        "print('open', flush=True)\n"
        "sys.stdin.read()\n"
        "system.stop()\n"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", script, str(home)], cwd=ROOT, text=True, **pipes) as keeper:
        assert keeper.stdout is not None and keeper.stdin is not None
        assert keeper.stdout.readline() == "open\n"
        yield home
        keeper.stdin.close()
