"""The command line as people use it: on books of their own and on managed servers, with good input and with bad."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

from flipsync import cli
from flipsync.embedded.secret_file import write_private

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def books(make_database: Callable[[], dict[str, str]], redis_url: str) -> dict[str, str]:
    """Managed servers, as an operator names them: the commands then start none of their own."""
    return {"DATABASE_URL": make_database()["owner"], "REDIS_URL": redis_url}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, books: dict[str, str], roles: tuple[str, str]) -> Path:
    """A data folder with one business in it, made the way `up` makes it."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "keys").mkdir(mode=0o700)
    for name, password in zip(("app_password", "worker_password"), roles, strict=True):
        write_private(folder / "keys" / name, password)  # the server's roles belong to all tests of the session
    assert found_business(folder, books) == "owner@flipsync.local"
    return folder


def found_business(folder: Path, environment: dict[str, str]) -> str:
    script = (
        "import asyncio, sys; from pathlib import Path\n"
        "from flipsync.system import System; from flipsync import starting\n"
        "system = System(Path(sys.argv[1]), port=0)\n"
        "system.start_books()\n"
        "print(asyncio.run(starting.ensure_owner(system)).email)\n"
        "system.stop()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def flipsync(home: Path, books: dict[str, str]) -> Flipsync:
    for each in ("agents", "flipsync.commands_on_books", "flipsync.runtime.mailbox", "flipsync.runtime.assembly"):
        importlib.import_module(each)
    return Flipsync(home, books)


@dataclass(frozen=True)
class Flipsync:
    """The command, on one data folder, in a process of its own."""

    home: Path
    environment: dict[str, str]
    warm: bool = True  # a fork, which has imported everything: what a fresh start imports is tested once

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | self.environment | {"FLIPSYNC_HOME": str(self.home), "COLUMNS": "120"}
        command = [sys.executable, "-m", "flipsync.cli", *words]
        if not self.warm:
            return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            child = os.fork()
            if child == 0:
                _be_the_command(command[2:], environment, out.fileno(), err.fileno())
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            out.seek(0), err.seek(0)
            return subprocess.CompletedProcess(command, code, out.read(), err.read())


def _be_the_command(words: list[str], environment: dict[str, str], out: int, err: int) -> NoReturn:
    code = 99
    try:
        os.dup2(out, 1), os.dup2(err, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(ROOT)
        sys.argv = words
        signal.alarm(120)
        cli.main()
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(code)


@pytest.mark.slow
def test_books_that_nobody_runs_are_opened_for_the_moment(tmp_path_factory: pytest.TempPathFactory) -> None:
    """On embedded servers, started and stopped by each command."""
    folder = tmp_path_factory.mktemp("alone")
    assert found_business(folder, {}) == "owner@flipsync.local"
    flipsync = Flipsync(folder, {}, warm=False)
    file = folder / "goods.csv"
    file.write_text("sku,title,price,cost,quantity\nA-1,Lamp,25.00,9.00,3\n", encoding="utf-8")
    assert json.loads(flipsync("import", str(file), "--json").stdout)["variants_created"] == 1
    assert "3 units on hand" in flipsync("why", "a-1").stdout
    states = {check["name"]: check["status"] for check in json.loads(flipsync("doctor", "--json").stdout)["checks"]}
    assert states["postgres"] == states["redis"] == "not-running"


def test_importing_twice_updates_instead_of_doubling(flipsync: Flipsync, tmp_path: Path) -> None:
    file = tmp_path / "goods.csv"
    file.write_text("sku,title,price,cost,quantity\nA-1,Lamp,25.00,9.00,3\nA-2,Chair,,20.00,1\n", encoding="utf-8")
    dry = json.loads(flipsync("import", str(file), "--dry-run", "--json").stdout)
    assert (dry["dry_run"], dry["variants_created"]) == (True, 1)
    first = json.loads(flipsync("import", str(file), "--json").stdout)
    assert first["variants_created"] == 1
    problem = first["report"]["problems"][0]
    assert (problem["line"], problem["severity"]) == (3, "rejected")
    second = json.loads(flipsync("import", str(file), "--json").stdout)
    assert (second["variants_created"], second["variants_unchanged"]) == (0, 1)
    told = flipsync("why", "a-1")
    assert told.returncode == 0
    assert "Lamp" in told.stdout and "3 units on hand" in told.stdout
    assert json.loads(flipsync("why", "A-1", "--json").stdout)["subject"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("import", "/no/such/file.csv"), "there is no file"),
        (("why", "nothing-like-this"), "nothing is called"),
        (("user", "add", "x@example.com", "--role", "king"), "is not a role"),
        (("why", "A-1", "--tenant", "not-an-id"), "is not the id of a business"),
    ],
)
def test_bad_input_ends_in_one_line_and_a_hint(flipsync: Flipsync, words: tuple[str, ...], said: str) -> None:
    done = flipsync(*words)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2


def test_a_broken_file_changes_nothing(flipsync: Flipsync, tmp_path: Path) -> None:
    file = tmp_path / "broken.csv"
    file.write_bytes(b"\x00\xff\xfe garbage \x01")
    done = flipsync("import", str(file))
    assert done.returncode == 1
    assert "error:" in done.stderr and "Traceback" not in done.stderr


def test_users_are_added_once_and_their_password_is_shown_once(flipsync: Flipsync) -> None:
    first = json.loads(flipsync("user", "add", "clerk@example.com", "--role", "clerk", "--json").stdout)
    assert len(first["password"]) >= 16
    again = flipsync("user", "add", "clerk@example.com", "--role", "clerk")
    assert again.returncode == 1 and "error:" in again.stderr


def test_the_agents_and_their_graph_are_told(flipsync: Flipsync) -> None:
    told = json.loads(flipsync("agents", "list", "--json").stdout)
    assert len(told["agents"]) == 9
    assert sum(agent["reports_to"] is None for agent in told["agents"]) == 1
    assert flipsync("agents", "graph", "--mermaid").stdout.startswith("flowchart TD")
    assert "executive" in flipsync("agents", "graph").stdout


def test_doctor_knows_what_does_not_run(tmp_path: Path) -> None:
    told = json.loads(Flipsync(tmp_path, {})("doctor", "--json").stdout)
    states = {check["name"]: check["status"] for check in told["checks"]}
    assert states["postgres"] == "not-running" and states["python"] == "ok"
