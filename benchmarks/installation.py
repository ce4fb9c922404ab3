"""A whole FlipSync in a temporary folder, for a benchmark to drive; and its books, read as their owner."""

from __future__ import annotations

import importlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg

from benchmarks.measuring import saying
from flipsync.domain.clock import utc_now
from flipsync.embedded.instance import live_state
from flipsync.embedded.ports import choose_port
from flipsync.embedded.ray_head import join
from flipsync.runtime.assembly import load_roster
from flipsync.runtime.graph import Graph
from flipsync.starting import replicas_wanted
from flipsync.system import SandboxProcess, System, environment, keys_of

ROSTER = "agents:ROSTER"
#: a load comes from one address, by few sessions, as fast as it is answered
UNPACED = {f"FLIPSYNC_{whose}_PER_MINUTE": "100000000" for whose in ("SESSION", "ADDRESS", "DELIVERIES")}
#: nothing looks around by itself while something else is measured
QUIET = UNPACED | {
    f"FLIPSYNC_EVERY_{rhythm}": "864000" for rhythm in ("ORDERS", "RIVALS", "LISTINGS", "PRICES", "HOURLY", "DAILY")
}


@contextmanager
def temporary_home() -> Iterator[Path]:
    """A folder that PostgreSQL's own account may pass through."""
    folder = Path(tempfile.mkdtemp(prefix="fsb-"))
    folder.chmod(0o711)
    try:
        yield folder / "home"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running(
    home: Path, *, sandbox: Sequence[str] | None = None, effect_workers: int = 1, await_agents: bool = True
) -> Iterator[System]:
    """The system, quiet, with PostgreSQL noting when each transaction was committed (see `commit_time`).

    Where FLIPSYNC_BENCHMARK_HOME names a prepared folder on which FlipSync runs already, that one is borrowed: less
    quiet, for runs that only show that a benchmark works.
    """
    if lent := os.environ.get("FLIPSYNC_BENCHMARK_HOME"):
        with _borrowed(Path(lent), sandbox) as system:
            yield system
        return
    with saying("first start: data folder"):
        prepare(home)
    since = utc_now()
    system = System(home, port=choose_port(), effect_workers=effect_workers, extra_environment=QUIET)
    with system:
        with saying("system starts"):
            system.start_books()
            if sandbox is not None:
                system.start_sandbox(*sandbox)
            system.start_runtime()
        if await_agents:
            with saying("agents start"):
                wait_for_agents(home, since=since)
        yield system


def prepare(home: Path) -> None:
    """A data folder whose PostgreSQL notes commit times from its next start on."""
    with System(home, port=choose_port()) as first:
        first.start_books()
        _note_commit_times(owner_url(home))


@contextmanager
def _borrowed(home: Path, sandbox: Sequence[str] | None) -> Iterator[System]:
    """A system of another process, with a sandbox of ours; its benchmark tenants sell nothing afterwards."""
    state = live_state(home.absolute())
    system = System(home, port=urlsplit(state.url("api")).port or 0)
    system.keys = keys_of(home)
    system.environment = environment(state.url("redis"), state.url("books"), system.keys, None) | UNPACED
    os.environ.update(system.environment)
    wait_for_agents(home, since=state.started_at)
    join(home, state.url("ray"))
    if sandbox is not None:
        system.sandbox = SandboxProcess.start(sandbox)
    try:
        yield system
    finally:
        with psycopg.connect(owner_url(home), autocommit=True) as connection:
            connection.execute(
                "UPDATE marketplace_account SET status = 'disconnected'"
                " WHERE tenant_id IN (SELECT id FROM tenant WHERE name = 'Benchmark')"
            )
        if system.sandbox is not None:
            system.sandbox.stop()
        importlib.import_module("ray").shutdown()


def graph() -> Graph:
    return Graph(load_roster(ROSTER))


def wait_for_agents(home: Path, *, since: datetime, limit: float = 180.0) -> float:
    """Until all replicas of the roster's agents have become ready after `since`; seconds waited. Raises TimeoutError.

    The records of an earlier run say "ready" until the supervisor is up: they do not count.
    """
    wanted, began = replicas_wanted(graph().agents), time.monotonic()
    query = "SELECT count(*) FROM agent_status WHERE state = 'ready' AND ready_at >= %s"
    with psycopg.connect(owner_url(home), autocommit=True) as connection:
        while True:
            ready = connection.execute(query, (since,)).fetchone()
            if ready is not None and ready[0] >= wanted:
                return time.monotonic() - began
            if time.monotonic() - began > limit:
                raise TimeoutError(f"{ready} of {wanted} agents are ready after {limit:.0f} s")
            time.sleep(0.05)


def owner_url(home: Path) -> str:
    """The running system's database as its owner, for psycopg; row-level security does not bind it."""
    return live_state(home.absolute()).url("books").replace("postgresql+psycopg://", "postgresql://")


def fetch(url: str, query: str, parameters: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Rows as dictionaries."""
    with psycopg.connect(url, autocommit=True, row_factory=psycopg.rows.dict_row) as connection:
        return connection.execute(query.encode(), parameters).fetchall()


def commit_time(table: str) -> str:
    """SQL for when the row of `table` became visible to others, as Unix seconds: finer than any column says."""
    return f"extract(epoch FROM pg_xact_commit_timestamp({table}.xmin))::float8"


def _note_commit_times(url: str) -> None:
    data = Path(str(fetch(url, "SHOW data_directory")[0]["data_directory"]))
    ours = (data / "postgresql.conf").stat()
    custom = data / "custom.conf"
    custom.write_text("track_commit_timestamp = on\n", encoding="utf-8")
    custom.chmod(0o600)
    os.chown(custom, ours.st_uid, ours.st_gid)
