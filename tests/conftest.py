"""One PostgreSQL, one Redis per test session; a database per test module that wants its own; a sandbox when asked."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from flipsync.embedded.postgres import EmbeddedPostgres
from flipsync.embedded.redis import EmbeddedRedis
from flipsync.store import bootstrap

ROOT = Path(__file__).resolve().parents[1]
APP_PASSWORD, WORKER_PASSWORD = "app-for-tests", "worker-for-tests"


@pytest.fixture(scope="session")
def contracts() -> Path:
    """The vendors' official models, kept beside the checkout; tests that need them skip without."""
    folder = Path(os.environ.get("FLIPSYNC_CONTRACTS", ROOT.parent / "shared" / "contracts"))
    if not folder.is_dir():
        pytest.skip(f"no vendor contracts at {folder}: set FLIPSYNC_CONTRACTS")
    return folder


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(tmp_path_factory.mktemp("postgres"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = EmbeddedRedis(tmp_path_factory.mktemp("redis"))
    yield server.start().url()
    server.stop()


@pytest.fixture(scope="session")
def make_database(postgres: EmbeddedPostgres) -> Callable[[], dict[str, str]]:
    """Makes freshly migrated databases: URLs as owner, app and worker."""

    def make() -> dict[str, str]:
        owner = bootstrap.create_database(postgres.address.url(), f"test_{uuid4().hex[:12]}")
        bootstrap.install(owner, app_password=APP_PASSWORD, worker_password=WORKER_PASSWORD)
        return {
            "owner": owner.render_as_string(hide_password=False),
            "app": bootstrap.role_url(owner, bootstrap.APP_ROLE, APP_PASSWORD).render_as_string(hide_password=False),
            "worker": bootstrap.role_url(owner, bootstrap.WORKER_ROLE, WORKER_PASSWORD).render_as_string(
                hide_password=False
            ),
        }

    return make


@pytest.fixture(scope="session")
def database_urls(make_database: Callable[[], dict[str, str]]) -> dict[str, str]:
    """A migrated database shared by the session's tests, which keep apart by tenant."""
    return make_database()


@dataclass(frozen=True)
class RunningSandbox:
    """A sandbox process: how to reach it."""

    base_url: str
    control_token: str
    woocommerce: dict[str, str]
    custom: dict[str, str]


@pytest.fixture
async def start_sandbox() -> AsyncIterator[Callable[..., Any]]:
    """Starts sandboxes that end with the test: `await start_sandbox("--seed", "3")`."""
    running: list[subprocess.Popen[bytes]] = []

    async def start(*arguments: str) -> RunningSandbox:
        process = subprocess.Popen(
            [sys.executable, "-m", "flipsync.sandbox", "--json", *arguments], stdout=subprocess.PIPE, cwd=ROOT
        )
        running.append(process)
        assert process.stdout is not None
        line = await asyncio.to_thread(process.stdout.readline)
        told = json.loads(line)
        return RunningSandbox(told["base_url"], told["control_token"], told["woocommerce"], told["custom"])

    yield start
    for process in running:
        process.terminate()
    for process in running:
        process.wait(timeout=10)
