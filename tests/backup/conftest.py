"""A data folder with books in it, and ways to look at them and to lose them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from flipsync.backup import restoring, taking
from flipsync.backup.restoring import Restored
from flipsync.backup.taking import Taken
from flipsync.embedded.instance import Instance
from flipsync.system import install_database, keys_of

PASSPHRASE = "four random words here"


@dataclass
class DataFolder:
    """Books of which a test knows one number: how many tenants there are."""

    root: Path

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def backup(self) -> Path:
        return self.root / "backup"

    def run(self, *statements: str) -> list[tuple[Any, ...]]:
        """Start the server for the moment, as a command does; returns what the last statement found."""
        with Instance(self.home) as instance:
            parts = instance.start_parts()
            owner = install_database(parts, keys_of(self.home)).replace("+psycopg", "")
            return query(owner, *statements)

    def tenants(self) -> int:
        return int(self.run("SELECT count(*) FROM tenant")[0][0])

    def found(self) -> None:
        self.run(
            "INSERT INTO tenant (id, name, currency, settings, created_at, updated_at)"
            " VALUES (gen_random_uuid(), 'Shop', 'USD', '{}', now(), now())"
        )
        (self.home / "owner-tenant").write_text("the owner's\n")

    def take(self, **options: Any) -> Taken:
        told: dict[str, Any] = {"passphrase": PASSPHRASE, "continuous": False, "progress": lambda _done, _of: None}
        return taking.take(self.home, self.backup, **(told | options))

    def restore(self, **options: Any) -> Restored:
        return restoring.restore(self.home, self.backup, **({"passphrase": PASSPHRASE} | options))

    def destroy(self) -> None:
        data = self.home / "postgres" / "data"
        if data.is_symlink():
            shutil.rmtree(data.resolve().parent)
        shutil.rmtree(self.home)


def query(url: str, *statements: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


@pytest.fixture
def folder() -> Iterator[DataFolder]:
    with data_folder() as made:
        yield made


@pytest.fixture(scope="module")
def shared() -> Iterator[DataFolder]:
    """One for all tests of a module, with books and a backup of them."""
    with data_folder() as made:
        made.found()
        made.take()
        yield made


@contextmanager
def data_folder() -> Iterator[DataFolder]:
    """Root's servers run as another account, which has to pass (pytest's own tmp_path is closed)."""
    root = Path(tempfile.mkdtemp(prefix="fsb-"))
    root.chmod(0o711 if os.geteuid() == 0 else 0o700)
    made = DataFolder(root)
    made.home.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700)
    yield made
    shutil.rmtree(root, ignore_errors=True)
