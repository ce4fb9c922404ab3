"""One PostgreSQL and one Redis per test process, one Ray in all; a database per module that wants it; a sandbox."""

from __future__ import annotations

import asyncio
import gc
import json
import multiprocessing
import os
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from functools import cache
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from amazon_models import Models, models_at
from argon2 import PasswordHasher
from forked_sandbox import serve
from whole_system import WholeSystem, running
from xdist.scheduler import LoadScopeScheduling

from flipsync.embedded.postgres import EmbeddedPostgres
from flipsync.embedded.redis import EmbeddedRedis
from flipsync.security.passwords import Passwords
from flipsync.store import bootstrap
from flipsync.store.database import driver_url

ROOT = Path(__file__).resolve().parents[1]
APP_PASSWORD, WORKER_PASSWORD = "app-for-tests", "worker-for-tests"


@pytest.fixture(scope="session")
def contracts() -> Path:
    """The vendors' official models, kept beside the checkout; tests that need them skip without."""
    named = os.environ.get("FLIPSYNC_CONTRACTS")
    folder = Path(named or ROOT.parent / "shared" / "contracts")
    if named and not folder.is_dir():
        pytest.fail(f"FLIPSYNC_CONTRACTS names {folder}, which is no folder")
    if not folder.is_dir():
        pytest.skip(f"no vendor contracts at {folder}: set FLIPSYNC_CONTRACTS")
    return folder


@pytest.fixture
def models(contracts: Path) -> Models:
    """Amazon's models, to hold requests and answers against."""
    return models_at(contracts)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """The session's server. Nobody pulls its plug, so it need not wait for the disk; servers that get killed do."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("postgres"))
    with psycopg.connect(server.start().url(), autocommit=True) as connection:
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.execute(f"ALTER SYSTEM SET {name} = off".encode())
        connection.execute("SELECT pg_reload_conf()")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = EmbeddedRedis(tmp_path_factory.mktemp("redis"))
    yield server.start().url()
    server.stop()


@pytest.fixture(scope="session")
def make_database(postgres: EmbeddedPostgres) -> Callable[[], dict[str, str]]:
    """Makes databases with the newest schema: URLs as owner, app and worker. Migrated once, then copied."""
    admin = postgres.address.url()
    template = bootstrap.create_database(admin, "migrated")
    bootstrap.install(template, app_password=APP_PASSWORD, worker_password=WORKER_PASSWORD)

    def make() -> dict[str, str]:
        name = f"test_{uuid4().hex[:12]}"
        with psycopg.connect(admin, autocommit=True) as connection:
            # copied as files: a quarter of what it takes to write each page to the log, which nobody will read
            connection.execute(f'CREATE DATABASE {name} TEMPLATE "{template.database}" STRATEGY file_copy'.encode())
        owner = driver_url(admin).set(database=name)
        urls = {
            "owner": owner,
            "app": bootstrap.role_url(owner, bootstrap.APP_ROLE, APP_PASSWORD),
            "worker": bootstrap.role_url(owner, bootstrap.WORKER_ROLE, WORKER_PASSWORD),
        }
        return {role: url.render_as_string(hide_password=False) for role, url in urls.items()}

    return make


@pytest.fixture(scope="module", autouse=True)
async def kept_databases() -> AsyncIterator[None]:
    """What `shop.open_store` kept open is closed with the module."""
    if (shop := sys.modules.get("shop")) is None:
        yield
        return
    shop.KeptDatabase.loop = asyncio.get_running_loop()
    yield
    await shop.KeptDatabase.close_all()


@pytest.fixture(scope="session")
def roles() -> tuple[str, str]:
    """Passwords of the app's and the worker's role, which belong to the server: no test may change them."""
    return APP_PASSWORD, WORKER_PASSWORD


@pytest.fixture(scope="session")
def database_urls(make_database: Callable[[], dict[str, str]]) -> dict[str, str]:
    """A migrated database shared by the session's tests, which keep apart by tenant."""
    return make_database()


@pytest.fixture(scope="session")
def passwords() -> Iterator[Passwords]:
    """Hashes at a small part of the usual price, for tests that need somebody who can sign in and nothing more."""
    cheap = Passwords(PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
    yield cheap
    cheap.close()


@cache
def _marks(module: str) -> set[str]:
    return set(re.findall(r"mark\.(\w+)", (ROOT / module).read_text(encoding="utf-8")))


def _starts_ray(module: str) -> bool:
    return not _marks(module).isdisjoint({"starts_ray", "whole_system"})


class ByModule(LoadScopeScheduling):
    """A module stays in one process, and all modules that start Ray are in the same one: one Ray at a time."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return "ray" if _starts_ray(module) else module


# Ten thousand tests are found much sooner while nobody looks for what they leave behind: they leave nothing behind.
gc.disable()


def pytest_collection_finish(session: pytest.Session) -> None:
    gc.freeze()
    gc.enable()


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByModule:
    return ByModule(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that share the whole system come in their turns and last: nobody waits for it, and one of them ends it.

    Where tests run in several processes, those that start Ray begin: they take longest. Modules with slow tests come
    next, so that no process is left with one when the others have nothing to do any more.
    """

    def turn(item: pytest.Item) -> int:
        mark = item.get_closest_marker("whole_system")
        return mark.args[0] if mark else 0

    items.sort(key=turn)  # stable: everything else stays in its place
    if hasattr(config, "workerinput"):
        modules = {item: item.nodeid.partition("::")[0] for item in items}
        items.sort(key=lambda item: (not _starts_ray(modules[item]), "slow" not in _marks(modules[item])))


@pytest.fixture(scope="session")
def whole_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeSystem]:
    """The session's one FlipSync with Ray, agents, API and a sandbox. Tests keep apart by tenant.

    Tests that kill, start or stop something own a system of their own.
    """
    from benchmarks.installation import prepare

    folder = tmp_path_factory.mktemp("whole")
    prepare(folder / "home")  # benchmarks that borrow it read commit times
    with running(folder) as system:
        yield system


@dataclass(frozen=True)
class RunningSandbox:
    """A sandbox process: how to reach it."""

    base_url: str
    control_token: str
    #: addresses and keys, by vendor
    channels: dict[str, dict[str, Any]]

    @property
    def woocommerce(self) -> dict[str, Any]:
        return self.channels["woocommerce"]

    @property
    def custom(self) -> dict[str, Any]:
        return self.channels["custom"]


@pytest.fixture(scope="session")
def sandboxes() -> ForkServerContext:
    """Forks processes that need not import the sandbox any more; that it comes up by itself, its own tests show."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["flipsync.sandbox.__main__"])
    return context


@pytest.fixture
async def start_sandbox(sandboxes: ForkServerContext) -> AsyncIterator[Callable[..., Any]]:
    """Starts sandboxes that end with the test: `await start_sandbox("--seed", "3")`."""
    running: list[ForkServerProcess] = []

    async def start(*arguments: str) -> RunningSandbox:
        heard, told = sandboxes.Pipe(duplex=False)
        process = sandboxes.Process(target=serve, args=(told, arguments))
        process.start()
        running.append(process)
        told.close()
        with os.fdopen(os.dup(heard.fileno())) as output:
            line = json.loads(await asyncio.to_thread(output.readline))
        heard.close()
        return RunningSandbox(line["base_url"], line["control_token"], line["channels"])

    yield start
    for process in running:
        process.terminate()
    for process in running:
        process.join(10)
        if process.exitcode is None:
            process.kill()
            pytest.fail("a sandbox did not end within ten seconds of being asked to")
