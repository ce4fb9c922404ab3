"""Rows of API keys."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, bindparam, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.store.models import ApiKey
from flipsync.store.reading import where
from flipsync.store.sorting import SortedQuestion, Sorts


@dataclass(frozen=True)
class KeyHolder:
    """Whom a key speaks for, and for what. `own`: id, version, name and permissions of the business's own role."""

    id: UUID
    tenant_id: UUID
    user_id: UUID
    role: str
    permissions: tuple[str, ...]
    per_minute: int
    expires_at: datetime
    own: tuple[UUID, int, str, list[str]] | None


async def key_holder(session: AsyncSession, key_hash: str) -> KeyHolder | None:
    """Of a key that is good now, in whatever tenant; notes that it was used. Works in a session of no tenant."""
    row = (await session.execute(text("SELECT * FROM api_key_holder(:hash)"), {"hash": key_hash})).one_or_none()
    if row is None:
        return None
    own = (row.role_id, row.role_version, row.role_name, row.role_permissions) if row.role_id is not None else None
    return KeyHolder(
        row.id, row.tenant_id, row.user_id, row.role, tuple(row.permissions), row.per_minute, row.expires_at, own
    )


async def insert_key(session: AsyncSession, values: dict[str, Any]) -> None:
    session.add(ApiKey(**values))
    await session.flush()


async def revoke_key(session: AsyncSession, key_id: UUID, at: datetime) -> None:
    await session.execute(update(ApiKey).where(ApiKey.id == key_id).values(revoked_at=at))


async def lock_key(session: AsyncSession, key_id: UUID) -> ApiKey | None:
    return (await session.execute(select(ApiKey).where(ApiKey.id == key_id).with_for_update())).scalar_one_or_none()


def _keys(given: frozenset[str]) -> Select[*tuple[Any, ...]]:
    columns = [column for column in ApiKey.__table__.c if column.name != "key_hash"]
    return where(
        select(*columns),
        given,
        key_id=ApiKey.id == bindparam("key_id"),
        user_id=ApiKey.user_id == bindparam("user_id"),
    )


KEY_SORTS = Sorts(ApiKey.id, name=ApiKey.name, expires_at=ApiKey.expires_at, last_used_at=ApiKey.last_used_at)
#: any of key_id, user_id
KEYS = SortedQuestion(KEY_SORTS, _keys)
