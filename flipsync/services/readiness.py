"""Can this process do its work: is the database there and its schema ours, does Redis answer?"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from flipsync.store.database import Database
from flipsync.store.repositories.schema import missing_columns

_PATIENCE = 3.0


@dataclass(frozen=True)
class PartReadiness:
    """`detail` says what is wrong, for the operator."""

    name: str
    ready: bool
    detail: str = ""


async def check_parts(database: Database, redis: Redis) -> list[PartReadiness]:
    """Every part, asked at once, each within a few seconds. Raises nothing."""
    return list(await asyncio.gather(_database(database), _redis(redis)))


async def _database(database: Database) -> PartReadiness:
    try:
        async with asyncio.timeout(_PATIENCE), database.unbound() as session:
            missing = await missing_columns(session)
    except (SQLAlchemyError, OSError, TimeoutError):
        return PartReadiness("database", False, "PostgreSQL does not answer")
    if missing:
        return PartReadiness("database", False, f"migrations are behind: {len(missing)} columns are missing")
    return PartReadiness("database", True)


async def _redis(redis: Redis) -> PartReadiness:
    try:
        async with asyncio.timeout(_PATIENCE):
            await redis.execute_command("PING")  # type: ignore[no-untyped-call]
    except (RedisError, OSError, TimeoutError):
        return PartReadiness("redis", False, "Redis does not answer")
    return PartReadiness("redis", True)
