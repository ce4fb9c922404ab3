"""The command line as people use it: on books that nobody runs, with good input and with bad."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agents import ROSTER

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


def flipsync(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flipsync.cli", *words],
        cwd=ROOT,
        env=os.environ | {"FLIPSYNC_HOME": str(home), "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_importing_twice_updates_instead_of_doubling(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "goods.csv"
    file.write_text("sku,title,price,cost,quantity\nA-1,Lamp,25.00,9.00,3\nA-2,Chair,,20.00,1\n", encoding="utf-8")
    dry = json.loads(flipsync(home, "import", str(file), "--dry-run", "--json").stdout)
    assert (dry["dry_run"], dry["variants_created"]) == (True, 1)
    first = json.loads(flipsync(home, "import", str(file), "--json").stdout)
    assert first["variants_created"] == 1
    problem = first["report"]["problems"][0]
    assert (problem["line"], problem["severity"]) == (3, "rejected")
    second = json.loads(flipsync(home, "import", str(file), "--json").stdout)
    assert (second["variants_created"], second["variants_unchanged"]) == (0, 1)
    told = flipsync(home, "why", "a-1")
    assert told.returncode == 0
    assert "Lamp" in told.stdout and "3 units on hand" in told.stdout
    assert json.loads(flipsync(home, "why", "A-1", "--json").stdout)["subject"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("import", "/no/such/file.csv"), "there is no file"),
        (("why", "nothing-like-this"), "nothing is called"),
        (("user", "add", "x@example.com", "--role", "king"), "is not a role"),
        (("why", "A-1", "--tenant", "not-an-id"), "is not the id of a business"),
    ],
)
def test_bad_input_ends_in_one_line_and_a_hint(home: Path, words: tuple[str, ...], said: str) -> None:
    done = flipsync(home, *words)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2


def test_a_broken_file_changes_nothing(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "broken.csv"
    file.write_bytes(b"\x00\xff\xfe garbage \x01")
    done = flipsync(home, "import", str(file))
    assert done.returncode == 1
    assert "error:" in done.stderr and "Traceback" not in done.stderr


def test_users_are_added_once_and_their_password_is_shown_once(home: Path) -> None:
    first = json.loads(flipsync(home, "user", "add", "clerk@example.com", "--role", "clerk", "--json").stdout)
    assert len(first["password"]) >= 16
    again = flipsync(home, "user", "add", "clerk@example.com", "--role", "clerk")
    assert again.returncode == 1 and "error:" in again.stderr


def test_the_agents_and_their_graph_are_told(home: Path) -> None:
    told = json.loads(flipsync(home, "agents", "list", "--json").stdout)
    assert len(told["agents"]) == len(ROSTER)
    assert sum(agent["reports_to"] is None for agent in told["agents"]) == 1
    assert flipsync(home, "agents", "graph", "--mermaid").stdout.startswith("flowchart TD")
    assert "executive" in flipsync(home, "agents", "graph").stdout


def test_doctor_knows_what_does_not_run(home: Path) -> None:
    told = json.loads(flipsync(home, "doctor", "--json").stdout)
    states = {check["name"]: check["status"] for check in told["checks"]}
    assert states["postgres"] == "not-running" and states["python"] == "ok"
