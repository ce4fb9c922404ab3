"""Connections. Every session is bound to one tenant by row-level security; without a tenant it sees no rows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from flipsync.store.pipeline import Presence, ReadPipeline, TenantReader

#: the database is away, or what is raised when it goes away in the middle of something
AWAY = (OperationalError, OSError)
BROKEN_OFF = (DBAPIError, OSError)
#: the database is well, and will not have these values whoever brings them
UNFIT = (DataError, IntegrityError)
_BIND = text("SELECT set_config('app.tenant_id', :tenant, true)")
_BIND_READ_ONLY = text(
    "SELECT set_config('transaction_read_only', 'on', true), set_config('app.tenant_id', :tenant, true)"
)


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
        self._each_for_itself = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False, autoflush=False)
        self._pipeline = ReadPipeline(url, connections=pool_size, name=name)

    @asynccontextmanager
    async def session(self, tenant_id: UUID) -> AsyncIterator[AsyncSession]:
        """One transaction as `tenant_id`: committed on leaving, rolled back on an error."""
        async with self._sessions() as session, session.begin():
            await session.execute(_BIND, {"tenant": str(tenant_id)})
            yield session

    @asynccontextmanager
    async def reader(self, tenant_id: UUID) -> AsyncIterator[AsyncSession]:
        """One read-only transaction as `tenant_id`: PostgreSQL itself refuses writes in it."""
        async with self._sessions() as session, session.begin():
            await session.execute(_BIND_READ_ONLY, {"tenant": str(tenant_id)})
            yield session

    @asynccontextmanager
    async def trial(self, tenant_id: UUID) -> AsyncIterator[AsyncSession]:
        """One transaction as `tenant_id` that sees the books as they were when it began; its writes are taken back.

        Raises DBAPIError where it writes what somebody else has written since.
        """
        engine = self.engine.execution_options(isolation_level="REPEATABLE READ")
        async with AsyncSession(engine, expire_on_commit=False, autoflush=False) as session:
            await session.execute(_BIND, {"tenant": str(tenant_id)})
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
        async with self._sessions() as session, session.begin():
            yield session

    @asynccontextmanager
    async def queue(self) -> AsyncIterator[AsyncConnection]:
        """A connection of no tenant on which each statement is a transaction: for claims, which are one statement."""
        async with self._each_for_itself.connect() as connection:
            yield connection

    async def aclose(self) -> None:
        await self._pipeline.aclose()
        await self.engine.dispose()
