"""Migrations make exactly the tables the models describe, on the embedded server and on the oldest one supported."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text

from flipsync.embedded.placement import server_account
from flipsync.embedded.ports import choose_port
from flipsync.store import bootstrap
from flipsync.store.database import driver_url
from flipsync.store.models import Base

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")


def differences(url: str) -> list[object]:
    engine = create_engine(driver_url(url))
    try:
        with engine.connect() as connection:
            return list(compare_metadata(MigrationContext.configure(connection), Base.metadata))
    finally:
        engine.dispose()


def test_the_newest_schema_is_what_the_models_describe(make_database: Callable[[], dict[str, str]]) -> None:
    assert differences(make_database()["owner"]) == []


def test_the_way_back_and_forth_ends_where_it_began(make_database: Callable[[], dict[str, str]]) -> None:
    url = make_database()["owner"]
    engine = create_engine(driver_url(url))
    with engine.begin() as connection:
        config = bootstrap.migration_config(connection)
        command.downgrade(config, "0001")
        command.upgrade(config, "head")
    engine.dispose()
    assert differences(url) == []


def test_installing_again_changes_nothing(make_database: Callable[[], dict[str, str]]) -> None:
    urls = make_database()
    again = bootstrap.install(urls["owner"], app_password="app-for-tests", worker_password="worker-for-tests")
    assert again == bootstrap.newest_revision()


def test_an_earlier_schema_is_brought_to_the_newest(make_database: Callable[[], dict[str, str]]) -> None:
    url = make_database()["owner"]
    engine = create_engine(driver_url(url))
    with engine.begin() as connection:
        config = bootstrap.migration_config(connection)
        assert bootstrap.newest_revision() == ScriptDirectory.from_config(config).get_current_head()
        command.downgrade(config, "-2")
    engine.dispose()
    again = bootstrap.install(url, app_password="app-for-tests", worker_password="worker-for-tests")
    assert again == bootstrap.newest_revision() and differences(url) == []


def test_a_role_that_can_bypass_row_security_is_refused(make_database: Callable[[], dict[str, str]]) -> None:
    urls = make_database()
    engine = create_engine(driver_url(urls["owner"]))
    with engine.connect() as connection:
        flags = connection.execute(
            text("SELECT bool_or(rolsuper OR rolbypassrls) FROM pg_roles WHERE rolname = ANY(:roles)"),
            {"roles": [bootstrap.APP_ROLE, bootstrap.WORKER_ROLE]},
        ).scalar_one()
    engine.dispose()
    assert flags is False


@pytest.fixture
def debian_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Debian's PostgreSQL 15 as a managed server would be: only its URL is known."""
    if not (DEBIAN_15 / "initdb").exists():
        pytest.skip("Debian's PostgreSQL 15 is not installed here")
    account, port = server_account(), choose_port()
    folder = Path("/tmp") / f"flipsync-pg15-{port}"  # passable for the server's account, unlike pytest's folders
    folder.mkdir(mode=0o755)
    if os.geteuid() == 0:
        os.chown(folder, account.uid, account.gid)

    def command(*words: str) -> None:
        subprocess.run(
            [str(DEBIAN_15 / words[0]), *words[1:]],
            cwd=folder,
            check=True,
            capture_output=True,
            **({"user": account.uid, "group": account.gid} if os.geteuid() == 0 else {}),
        )

    data = str(folder / "data")
    command("initdb", "-D", data, "-U", "admin", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''"
    command("pg_ctl", "-D", data, "-w", "-l", str(folder / "log"), "-o", options, "start")
    yield f"postgresql://admin@127.0.0.1:{port}/postgres"
    command("pg_ctl", "-D", data, "-m", "immediate", "stop")
    shutil.rmtree(folder)


def test_a_managed_server_of_version_15_will_do(debian_postgres: str) -> None:
    owner = bootstrap.create_database(debian_postgres, "shop").render_as_string(hide_password=False)
    bootstrap.install(owner, app_password="a", worker_password="w")
    assert differences(owner) == []
