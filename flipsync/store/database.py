"""Connections. Every session is bound to one tenant by row-level security; without a tenant it sees no rows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast
from uuid import UUID

import orjson
from sqlalchemy import Connection, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.util import await_only

from flipsync.store import round_trip
from flipsync.store.pipeline import Presence, ReadPipeline, TenantReader
from flipsync.store.reading import Asked, Rows
from flipsync.store.round_trip import BEGIN, BIND, COMMIT, READ, SNAPSHOT, watch_rollbacks

#: the database is away, or what is raised when it goes away in the middle of something
AWAY = (OperationalError, OSError)
BROKEN_OFF = (DBAPIError, OSError)
#: the database is well, and will not have these values whoever brings them
UNFIT = (DataError, IntegrityError)
#: in a session's `info`: what its transaction begins with, what was answered, and the connection it is on
_FIRST, _ANSWERED, _ON = "first", "answered", "on"


def driver_url(url: str | URL) -> URL:
    """`postgres://…` in any spelling as SQLAlchemy's psycopg URL."""
    return make_url(url).set(drivername="postgresql+psycopg")


def _dump_json(value: object) -> str:
    return orjson.dumps(value).decode()


class Database:
    """A pool of connections as one role."""

    def __init__(self, url: str | URL, *, pool_size: int = 2, max_overflow: int = 2, name: str = "flipsync") -> None:
        self.engine: AsyncEngine = create_async_engine(
            driver_url(url),
            pool_size=pool_size,
            max_overflow=max_overflow,
            pool_pre_ping=False,
            connect_args={"application_name": name, "connect_timeout": 10},
            json_serializer=_dump_json,
            json_deserializer=orjson.loads,
        )
        watch_rollbacks(self.engine.sync_engine)
        self._sessions = async_sessionmaker(
            self.engine, sync_session_class=_BoundSession, expire_on_commit=False, autoflush=False
        )
        self._pipeline = ReadPipeline(url, connections=pool_size, name=name)

    @asynccontextmanager
    async def session(self, tenant_id: UUID) -> AsyncIterator[AsyncSession]:
        """One transaction as `tenant_id`, begun by its first statement: committed on leaving, rolled back on errors."""
        async with self._bound(BEGIN(), tenant_id) as session:
            yield session

    @asynccontextmanager
    async def reader(self, tenant_id: UUID) -> AsyncIterator[AsyncSession]:
        """One read-only transaction as `tenant_id`: PostgreSQL itself refuses writes in it."""
        async with self._bound(READ(), tenant_id) as session:
            yield session

    @asynccontextmanager
    async def _bound(self, begin: Asked, tenant_id: UUID) -> AsyncIterator[AsyncSession]:
        first = [begin, BIND(tenant=str(tenant_id))]
        async with self._sessions(info={_FIRST: first}) as session, session.begin():
            yield session

    async def at_once(
        self, tenant_id: UUID, steps: Sequence[Asked], *, after: AsyncSession | None = None
    ) -> list[Rows]:
        """The answers to the steps, a transaction of their own as `tenant_id` in one round trip.

        `after` is a session that has read all it wants: its transaction is ended in the same round trip.
        """
        bound = [BIND(tenant=str(tenant_id)), *steps]
        if after is not None and has_begun(after):
            return (await ask(after, [COMMIT(), *bound]))[2:]
        async with self.engine.connect() as connection:
            return (await ask(connection, bound))[1:]

    @asynccontextmanager
    async def trial(self, tenant_id: UUID) -> AsyncIterator[AsyncSession]:
        """One transaction as `tenant_id` that sees the books as they were when it began; its writes are taken back.

        Raises DBAPIError where it writes what somebody else has written since.
        """
        async with self._bound(SNAPSHOT(), tenant_id) as session:
            yield session
            await session.rollback()

    def questions(self, tenant_id: UUID, presence: Presence | None = None) -> TenantReader:
        """For questions as `tenant_id`, each a read-only transaction of one round trip; opens nothing by itself.

        With `presence` they are answered only while that session or key is good and its user enabled.
        """
        return TenantReader(self._pipeline, tenant_id, presence)

    @asynccontextmanager
    async def unbound(self) -> AsyncIterator[AsyncSession]:
        """One transaction of no tenant: for the work queues (worker role) and the sign-in functions (app role)."""
        async with self._sessions(info={_FIRST: [BEGIN()]}) as session, session.begin():
            yield session

    @asynccontextmanager
    async def queue(self) -> AsyncIterator[AsyncConnection]:
        """A connection of no tenant on which each `ask` is a transaction: for claims, which are one statement."""
        async with self.engine.connect() as connection:
            yield connection

    async def aclose(self) -> None:
        await self._pipeline.aclose()
        await self.engine.dispose()


class _BoundSession(Session):
    """A session whose transaction begins, and is bound to its tenant, in one round trip when it is first needed."""


@event.listens_for(_BoundSession, "after_begin")
def _bind(session: Session, _transaction: Any, connection: Connection) -> None:
    first = session.info.pop(_FIRST, None)
    if first is None:  # a part of a transaction
        return
    try:
        session.info[_ANSWERED] = await_only(round_trip.exchange(connection, first))
    except DBAPIError as error:
        if error.connection_invalidated:
            connection.invalidate(error)
        raise
    session.info[_ON] = connection


def has_begun(session: AsyncSession) -> bool:
    """Whether anything was asked in it."""
    return _FIRST not in session.info


async def ask(where: AsyncSession | AsyncConnection, steps: Sequence[Asked]) -> list[Rows]:
    """The answers to the steps in one round trip: in a session's transaction, even where it begins with them, or as a
    transaction of their own on the connection of a `queue`."""
    if isinstance(where, AsyncSession):
        if where.in_nested_transaction():
            await where.connection()  # a part's savepoint is set when it first needs the connection
        elif not has_begun(where):
            where.info[_FIRST] += steps
            await where.connection()
            answers: list[Rows] = where.info.pop(_ANSWERED)
            return answers[-len(steps) :]
    connection = where.sync_connection if isinstance(where, AsyncConnection) else where.info[_ON]
    try:
        return await round_trip.exchange(cast(Connection, connection), steps)
    except DBAPIError as error:
        if error.connection_invalidated:
            await (where if isinstance(where, AsyncConnection) else await where.connection()).invalidate()
        raise


class SessionReader:
    """Asks within an open transaction, after what that has changed so far."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def ask(self, *asked: Asked) -> list[Rows]:
        await self._session.flush()
        return await ask(self._session, asked) if asked else []
