"""Real shops from npm, started for tests: where they are installed, how they start, how they end.

`python tests/stores/running.py` installs them, once, into $FLIPSYNC_STORES (by default flipsync/stores in the user's
cache folder). Tests only use what is there, and skip otherwise.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from flipsync.embedded.postgres import EmbeddedPostgres

HERE = Path(__file__).resolve().parent
USER, PASSWORD = "owner@shop.test", "owner-pass"
_START_SECONDS = 240


def _folder(name: str) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("FLIPSYNC_STORES") or cache / "flipsync" / "stores") / name


def _missing(name: str) -> bool:
    wanted = json.loads((HERE / name / "package.json").read_text())["dependencies"]
    files = {package: _folder(name) / "node_modules" / package / "package.json" for package in wanted}
    found = {package: json.loads(file.read_text())["version"] for package, file in files.items() if file.is_file()}
    return bool(found != wanted)


def install(name: str) -> None:
    """Bring what is missing from npm. Raises CalledProcessError or TimeoutExpired when that fails."""
    if not _missing(name):
        return
    folder = _folder(name)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / name / "package.json", folder)
    command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"]
    subprocess.run(command, cwd=folder, check=True, timeout=900)


def installed(name: str) -> Path:
    """The folder of an installed shop with today's scripts in it; skips the test when there is none."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("real shops need node and npm")
    folder = _folder(name)
    if _missing(name):
        pytest.skip(f"{name} is not installed in {folder}: run `python tests/stores/running.py` once")
    for script in (HERE / name).glob("*.js"):
        shutil.copy(script, folder)
    return folder


def new_database(postgres: EmbeddedPostgres) -> str:
    """The URL of an empty database."""
    name = f"store_{uuid4().hex[:12]}"
    with psycopg.connect(postgres.address.url(), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return postgres.address.url(database=name)


def run(folder: Path, environment: Mapping[str, str], *command: str) -> None:
    """One step of setting a shop up. Raises with its last words when it fails."""
    told = subprocess.run(
        ["node", *command], cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, timeout=280
    )
    assert told.returncode == 0, f"{told.stdout[-2000:]}{told.stderr[-2000:]}"


@contextmanager
def serving(folder: Path, environment: Mapping[str, str], log: Path, ready: str, *command: str) -> Iterator[None]:
    """A shop that runs while this is open; `ready` is what it prints when it serves."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["node", *command],
            cwd=folder,
            env={**os.environ, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + _START_SECONDS
            while ready not in log.read_text(errors="replace"):
                assert process.poll() is None, log.read_text(errors="replace")[-3000:]
                assert time.monotonic() < deadline, f"not ready: {log.read_text(errors='replace')[-3000:]}"
                time.sleep(0.2)
            yield
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait(10)


if __name__ == "__main__":
    for shop in ("vendure", "medusa"):
        install(shop)
