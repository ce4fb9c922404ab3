"""From an empty PostgreSQL (15 or newer) to one FlipSync can use: database, two least-privilege roles, migrations."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError, ProgrammingError

from flipsync.domain.errors import Unavailable
from flipsync.store.database import driver_url

APP_ROLE = "flipsync_app"
WORKER_ROLE = "flipsync_worker"
_LOCK = 0x666C6970  # one installer at a time


def role_url(url: str | URL, role: str, password: str) -> URL:
    """The same database as another role."""
    return driver_url(url).set(username=role, password=password)


def create_database(admin_url: str | URL, name: str) -> URL:
    """Create database `name` unless it is there; returns its URL (as the same administrator)."""
    engine = create_engine(driver_url(admin_url), isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            found = connection.execute(text("SELECT 1 FROM pg_database WHERE datname = :name"), {"name": name}).scalar()
            if not found:
                connection.exec_driver_sql(f'CREATE DATABASE "{name}"')
    finally:
        engine.dispose()
    return driver_url(admin_url).set(database=name)


def ensure_roles(owner_url: str | URL, *, app_password: str, worker_password: str) -> None:
    """The two roles, before tables that name them are put back."""
    engine = create_engine(driver_url(owner_url))
    try:
        with engine.begin() as connection:
            _ensure_role(connection, APP_ROLE, app_password)
            _ensure_role(connection, WORKER_ROLE, worker_password)
    finally:
        engine.dispose()


def install(owner_url: str | URL, *, app_password: str, worker_password: str) -> str:
    """Create or update the two roles, migrate to the newest schema, and return its revision.

    Raises Unavailable when the server cannot be reached, is older than 15, or the given user may not do it.
    """
    engine = create_engine(driver_url(owner_url))
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            _require_version(connection)
            _ensure_role(connection, APP_ROLE, app_password)
            _ensure_role(connection, WORKER_ROLE, worker_password)
            if current_revision(connection) != newest_revision():
                command.upgrade(migration_config(connection), "head")
            connection.exec_driver_sql("UPDATE agent_status SET state = 'starting'")  # whoever was ready is gone
            return current_revision(connection) or ""
    except OperationalError as error:
        raise Unavailable(
            f"PostgreSQL does not answer: {error.orig}", hint="check DATABASE_URL and that the server is running"
        ) from error
    except ProgrammingError as error:
        raise Unavailable(
            f"PostgreSQL refused the installation: {error.orig}",
            hint=f"the user in DATABASE_URL needs CREATEROLE and must own the database, or an administrator creates "
            f"the roles {APP_ROLE} and {WORKER_ROLE} (LOGIN, no other rights) first",
        ) from error
    finally:
        engine.dispose()


def migration_config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


def current_revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def revision_of(url: str | URL) -> str | None:
    """The schema a database has; None when it was never installed."""
    engine = create_engine(driver_url(url))
    try:
        with engine.connect() as connection:
            return current_revision(connection)
    finally:
        engine.dispose()


def knows_revision(revision: str) -> bool:
    """Whether this version can bring a schema of that revision to its own."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return any(script.revision == revision for script in ScriptDirectory.from_config(config).walk_revisions())


def newest_revision() -> str:
    """A revision's number is its file's: every command asks, and none has to import them all to know."""
    return max(
        file.name.partition("_")[0] for file in (Path(__file__).parent / "migrations" / "versions").glob("0*.py")
    )


def _require_version(connection: Connection) -> None:
    number = int(connection.exec_driver_sql("SHOW server_version_num").scalar_one())
    if number < 150000:
        raise Unavailable(
            f"PostgreSQL {number // 10000} is too old: 15 or newer is needed", hint="upgrade the server in DATABASE_URL"
        )


def _ensure_role(connection: Connection, role: str, password: str) -> None:
    found = connection.execute(
        text("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = :role"), {"role": role}
    ).scalar()
    if found:
        raise Unavailable(
            f"role {role} can bypass row security", hint=f"ALTER ROLE {role} NOSUPERUSER NOBYPASSRLS, then start again"
        )
    literal = connection.execute(text("SELECT quote_literal(:password)"), {"password": password}).scalar_one()
    verb = "CREATE" if found is None else "ALTER"
    connection.exec_driver_sql(f"{verb} ROLE {role} LOGIN PASSWORD {literal}")
    schema = connection.exec_driver_sql("SELECT current_schema()").scalar_one()
    connection.exec_driver_sql(f'GRANT USAGE ON SCHEMA "{schema}" TO {role}')
