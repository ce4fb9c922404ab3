"""A database that others run: a dump of it, and back into it in one transaction."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from flipsync.backup import restoring, taking
from flipsync.domain.errors import Conflict, Unavailable
from flipsync.system import keys_of

PASSPHRASE = "four random words here"
TENANT = (
    b"INSERT INTO tenant (id, name, currency, settings, created_at, updated_at)"
    b" VALUES (gen_random_uuid(), 'Shop', 'USD', '{}', now(), now())"
)


def count(url: str, schema: str = "public") -> int:
    with psycopg.connect(url) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {schema}.tenant".encode()).fetchone()[0])  # type: ignore[index]


def run(url: str, statement: bytes) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


@pytest.fixture
def home(tmp_path: Path, roles: tuple[str, str]) -> Path:
    """A data folder whose roles are those of the session's server."""
    folder = tmp_path / "home"
    keys = folder / "keys"
    keys.mkdir(parents=True)
    for name, password in zip(("app_password", "worker_password"), roles, strict=True):
        (keys / name).write_text(password)
    keys_of(folder)
    return folder


@pytest.fixture
def url(make_database: Callable[[], dict[str, str]], monkeypatch: pytest.MonkeyPatch, redis_url: str) -> str:
    found = make_database()["owner"].replace("+psycopg", "")
    monkeypatch.setenv("DATABASE_URL", found)
    monkeypatch.setenv("REDIS_URL", redis_url)
    return found


def take(home: Path, folder: Path, **options: Any) -> taking.Taken:
    return taking.take(
        home, folder, **({"passphrase": PASSPHRASE, "continuous": False, "progress": lambda _d, _o: None} | options)
    )


def test_a_dump_goes_back_in_one_transaction(home: Path, url: str, tmp_path: Path) -> None:
    run(url, TENANT)
    taken = take(home, tmp_path / "backup")
    assert taken.manifest.kind == "dump"
    run(url, TENANT)
    with pytest.raises(Conflict, match="books in the database already"):
        restoring.restore(home, tmp_path / "backup", passphrase=PASSPHRASE)
    assert count(url) == 2

    dump = tmp_path / "backup" / "books.dump"
    whole = dump.read_bytes()
    dump.write_bytes(whole[:-100])
    with pytest.raises(Conflict, match="bytes instead of"):
        restoring.restore(home, tmp_path / "backup", passphrase=PASSPHRASE, replace=True)
    dump.write_bytes(whole)

    done = restoring.restore(home, tmp_path / "backup", passphrase=PASSPHRASE, replace=True)
    assert count(url) == 1
    assert done.aside is not None
    assert count(url, done.aside.name.replace("-", "_").lower()) == 2, "what was there is kept beside it"
    assert not list(home.glob("restor*"))
    # row-level security and the roles' rights came back with the tables
    app = taking.bootstrap.role_url(url, "flipsync_app", keys_of(home).app_password)
    with psycopg.connect(app.set(drivername="postgresql").render_as_string(hide_password=False)) as connection:
        assert connection.execute(b"SELECT count(*) FROM product").fetchone() == (0,)


def test_a_dump_that_does_not_load_leaves_everything(
    home: Path, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(url, TENANT)
    take(home, tmp_path / "backup")
    run(url, TENANT)
    real = restoring.postgres_tools.run

    def broken(name: str, arguments: list[str], *rest: Any, **more: Any) -> bytes:
        done: bytes = real(name, arguments, *rest, **more)
        if name == "pg_restore":
            script = next(each.partition("=")[2] for each in arguments if each.startswith("--file="))
            Path(script).write_text(Path(script).read_text() + "\nSELECT no_such_function();\n")
        return done

    monkeypatch.setattr(restoring.postgres_tools, "run", broken)
    with pytest.raises(Unavailable, match="psql failed"):
        restoring.restore(home, tmp_path / "backup", passphrase=PASSPHRASE, replace=True)
    assert count(url) == 2
    assert not list(home.glob("restor*"))


def test_a_stream_of_it_is_its_servers_business(home: Path, url: str, tmp_path: Path) -> None:
    with pytest.raises(Conflict, match="theirs to make"):
        take(home, tmp_path / "backup", continuous=True)
    assert not (tmp_path / "backup").exists()


def test_kinds_do_not_mix(home: Path, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    take(home, tmp_path / "backup")
    monkeypatch.delenv("DATABASE_URL")
    with pytest.raises(Conflict, match="a dump of a database that others run"):
        restoring.restore(home, tmp_path / "backup", passphrase=PASSPHRASE)
    assert "DATABASE_URL" not in os.environ
