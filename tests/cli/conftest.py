"""A data folder for the command line to work on."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest
from command import Flipsync, found_business

from flipsync import cli
from flipsync.embedded.secret_file import write_private


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


@pytest.fixture(scope="module")
def flipsync(home: Path, books: dict[str, str]) -> Flipsync:
    for each in ("agents", "flipsync.commands_on_books", "flipsync.runtime.mailbox", "flipsync.runtime.assembly"):
        importlib.import_module(each)
    cli.command()
    return Flipsync(home, books)
