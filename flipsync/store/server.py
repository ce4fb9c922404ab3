"""What backups ask of a database server, and the slots that keep its log for them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from flipsync.domain.errors import Unavailable
from flipsync.store.database import driver_url


@contextmanager
def connected(url: str, *, autocommit: bool = False) -> Iterator[Connection]:
    options = {"isolation_level": "AUTOCOMMIT"} if autocommit else {}
    engine = create_engine(driver_url(url), **options)
    try:
        with engine.begin() as connection:
            yield connection
    except OperationalError as error:
        raise Unavailable(f"PostgreSQL does not answer: {error.orig}", hint="check DATABASE_URL") from error
    finally:
        engine.dispose()


def schema_name(url: str) -> str:
    """Where the books' tables are."""
    with connected(url) as connection:
        return str(connection.exec_driver_sql("SELECT current_schema()").scalar_one())


def server_version(url: str) -> str:
    with connected(url) as connection:
        return str(connection.exec_driver_sql("SHOW server_version").scalar_one()).split()[0]


def has_books(url: str) -> bool:
    """Whether tables are in the schema."""
    with connected(url) as connection:
        return bool(
            connection.exec_driver_sql(
                "SELECT EXISTS (SELECT 1 FROM pg_class"
                " WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace)"
            ).scalar_one()
        )


def create_slot(url: str, slot: str) -> None:
    """From this moment on the server keeps its log until it was received."""
    with connected(url, autocommit=True) as connection:
        connection.execute(text("SELECT pg_create_physical_replication_slot(:slot, true)"), {"slot": slot})


def drop_slot(url: str, slot: str, patience: float = 10.0) -> None:
    """Its receiver may need a moment to let go. Raises Unavailable when it does not."""
    deadline = time.monotonic() + patience
    while True:
        try:
            with connected(url, autocommit=True) as connection:
                connection.execute(
                    text(
                        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = :slot"
                    ),
                    {"slot": slot},
                )
            return
        except (Unavailable, ProgrammingError) as error:
            if time.monotonic() > deadline:
                raise Unavailable(f"the backup's slot {slot} cannot be dropped: {error}") from error
            time.sleep(0.3)
