"""Several statements in one round trip, on a connection of the pool: what is done for every fact, and opens and ends
every transaction.

A transaction was five exchanges with PostgreSQL (begin, bind the tenant, read, write, commit), each through SQLAlchemy,
greenlets and the event loop. Here statements are compiled once, stay prepared on the connection, and go out together:
libpq's pipeline mode, as for the API's reads (`pipeline.py`), but in whatever transaction the connection is in. Without
one, all that is sent together is a transaction of its own.
https://www.postgresql.org/docs/18/libpq-pipeline-mode.html
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, cast
from uuid import UUID

import psycopg
from psycopg import adapt
from psycopg.abc import PQGen, Transformer
from psycopg.pq import ConnStatus, ExecStatus, Format
from psycopg.pq.abc import PGconn, PGresult
from psycopg.waiting import Ready, Wait
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError

from flipsync.store.pipeline import columns_of, written_text
from flipsync.store.reading import Asked, Rows, Sentence

#: PostgreSQL's types of parameters (pg_type.dat); everything else is written as text, and typed by where it stands
_OIDS: dict[type, int] = {UUID: 2950, bool: 16, int: 20, float: 701, datetime: 1184}
#: in a pooled connection's `info`
_ABOUT = "flipsync round trips"
#: invalid_sql_statement_name and feature_not_supported: what was prepared is gone, or stands for tables of yesterday
_STALE = ("26000", "0A000")
#: an older libpq cannot close what was prepared: it stays, unused, as long as the connection
_CLOSES = psycopg.pq.version() >= 170_000


BEGIN, READ, SNAPSHOT = (Sentence(f"BEGIN{how}") for how in ("", " READ ONLY", " ISOLATION LEVEL REPEATABLE READ"))
COMMIT = Sentence("COMMIT")
BIND = Sentence("SELECT set_config('app.tenant_id', :tenant, true)", "tenant")


@dataclass
class _About:
    """One connection: its prepared statements by text and types, names that may stand for nothing, and how many there
    ever were; and what reads its answers."""

    reads: Transformer
    prepared: dict[tuple[bytes, tuple[int, ...]], bytes] = field(default_factory=dict)
    doubtful: list[bytes] = field(default_factory=list)
    ever: int = 0


async def exchange(connection: Connection, steps: Sequence[Asked]) -> list[Rows]:
    """The answers to the steps, in order; after one that fails the rest is not done.

    Raises SQLAlchemy's errors. Where `connection_invalidated` is set, the caller has to invalidate the connection.
    """
    pooled = connection.connection
    driver = cast("psycopg.AsyncConnection[Any]", pooled.driver_connection)
    about = pooled.info.get(_ABOUT)
    if about is None:
        about = pooled.info[_ABOUT] = _About(adapt.Transformer(driver))
    pgconn, fresh = driver.pgconn, []
    wanted = []
    for step in steps:  # before anything is sent: a value that cannot be written leaves the connection as it was
        wire = step.statement.wire
        values = [step.values.get(name, wire.constants.get(name)) for name in wire.names]
        key = (wire.text, tuple([_OIDS.get(type(value), 0) for value in values]))
        wanted.append((key, [written_text(value) for value in values]))
    #: of all that is sent: whether it is a step
    sent: list[bool] = []
    try:
        async with driver.lock:
            pgconn.enter_pipeline_mode()
            try:
                while about.doubtful and _CLOSES:
                    pgconn.send_close_prepared(about.doubtful.pop())
                    sent.append(False)
                for key, written in wanted:
                    if (name := about.prepared.get(key)) is None:
                        about.ever += 1
                        name = about.prepared[key] = b"fs%d" % about.ever
                        fresh.append(key)
                        pgconn.send_prepare(name, *key)
                        sent.append(False)
                    pgconn.send_query_prepared(name, written, None, Format.BINARY)
                    sent.append(True)
                pgconn.pipeline_sync()
                results = await driver.wait(_answers(pgconn))
            finally:
                _leave(pgconn)
        for result in results:
            if result.status == ExecStatus.FATAL_ERROR:
                raise psycopg.errors.error_from_result(result, encoding=driver.info.encoding)
    except BaseException as error:
        for key in fresh:  # some of them after the mistake
            about.doubtful.append(about.prepared.pop(key))
        if not isinstance(error, psycopg.Error):
            raise
        gone = pgconn.status != ConnStatus.OK or error.sqlstate in _STALE
        raise DBAPIError.instance(
            b"; ".join(step.statement.wire.text for step in steps).decode(),
            None,
            psycopg.OperationalError(str(error)) if gone else error,
            psycopg.Error,
            connection_invalidated=gone,
            dialect=connection.dialect,
        ) from error
    answers: list[Rows] = []
    for step, result in zip(steps, itertools.compress(results, sent), strict=True):
        about.reads.set_pgresult(result)
        make = step.statement.row(partial(columns_of, result))
        answers.append(about.reads.load_rows(0, result.ntuples, make) if result.nfields else [])
    return answers


def _answers(pgconn: PGconn) -> PQGen[list[PGresult]]:
    """Everything up to the sync."""
    results: list[PGresult] = []
    while pgconn.flush():
        if (yield Wait.RW) & Ready.R:
            pgconn.consume_input()
    ended = False
    while True:
        while pgconn.is_busy():
            yield Wait.R
            pgconn.consume_input()
        result = pgconn.get_result()
        if result is None:  # ends the answer to one statement; twice: nothing more has come
            if ended:
                yield Wait.R
                pgconn.consume_input()
            ended = True
            continue
        if result.status == ExecStatus.PIPELINE_SYNC:
            return results
        ended = False
        results.append(result)


def _leave(pgconn: PGconn) -> None:
    """Back to one statement at a time; a connection that still has something to say is of no use any more."""
    try:
        pgconn.exit_pipeline_mode()
    except psycopg.Error:
        pgconn.finish()


def watch_rollbacks(engine: Engine) -> None:
    """psycopg forgets all prepared statements of a connection, ours too, when it takes something back."""

    def doubt(connection: Connection, *_: Any) -> None:
        about = None if connection.invalidated else connection.connection.info.get(_ABOUT)
        if about is not None:
            about.doubtful += about.prepared.values()
            about.prepared.clear()

    event.listen(engine, "rollback", doubt)
    event.listen(engine, "rollback_savepoint", doubt)
