"""Rows of passkeys, and of notes that were spent."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, func, select, text, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.ids import new_id
from flipsync.store.models import Passkey, SpentNote
from flipsync.store.sorting import SortedQuestion, Sorts


async def tenant_of_passkey(session: AsyncSession, credential_id: bytes) -> UUID | None:
    """Works in a session of no tenant."""
    found = await session.execute(text("SELECT passkey_tenant(:id)"), {"id": credential_id})
    tenant_id: UUID | None = found.scalar()
    return tenant_id


async def insert_passkey(session: AsyncSession, values: dict[str, Any]) -> bool:
    """False when it is somebody's already."""
    query = pg_insert(Passkey).values(values).on_conflict_do_nothing(index_elements=["credential_id"])
    return (await session.execute(query.returning(Passkey.id))).scalar() is not None


async def lock_passkey(session: AsyncSession, credential_id: bytes) -> Passkey | None:
    """Not revoked. Of two that use it at once, the second waits for the first."""
    query = select(Passkey).where(Passkey.credential_id == credential_id, Passkey.revoked_at.is_(None))
    return (
        await session.execute(query.with_for_update().execution_options(populate_existing=True))
    ).scalar_one_or_none()


async def lock_own_passkey(session: AsyncSession, user_id: UUID, passkey_id: UUID) -> Passkey | None:
    query = select(Passkey).where(Passkey.user_id == user_id, Passkey.id == passkey_id)
    return (
        await session.execute(query.with_for_update().execution_options(populate_existing=True))
    ).scalar_one_or_none()


async def passkeys_of(session: AsyncSession, user_id: UUID) -> list[Passkey]:
    """Those that open something."""
    query = select(Passkey).where(Passkey.user_id == user_id, Passkey.revoked_at.is_(None), Passkey.copied_at.is_(None))
    return list((await session.execute(query.order_by(Passkey.id))).scalars())


async def count_passkeys(session: AsyncSession, user_id: UUID) -> int:
    """Not revoked: a copied one opens nothing, and still its person is not to be let in by a password alone."""
    query = select(func.count(Passkey.id)).where(Passkey.user_id == user_id, Passkey.revoked_at.is_(None))
    return int((await session.execute(query)).scalar_one())


async def update_passkey(session: AsyncSession, passkey_id: UUID, values: dict[str, Any]) -> None:
    await session.execute(update(Passkey).where(Passkey.id == passkey_id).values(values))


async def spend(session: AsyncSession, tenant_id: UUID, mark: str, expires_at: datetime) -> bool:
    """False when this note was spent before. Of two at once, the second waits for the first to commit."""
    values = {"id": new_id(), "tenant_id": tenant_id, "mark": mark, "expires_at": expires_at}
    query = pg_insert(SpentNote).values(values).on_conflict_do_nothing(index_elements=["tenant_id", "mark"])
    return (await session.execute(query.returning(SpentNote.id))).scalar() is not None


_SHOWN = [column for column in Passkey.__table__.c if column.name not in ("public_key", "credential_id")]
PASSKEY_SORTS = Sorts(Passkey.id, name=Passkey.name, last_used_at=Passkey.last_used_at)
#: user_id; revoked ones too
PASSKEYS = SortedQuestion(PASSKEY_SORTS, lambda _: select(*_SHOWN).where(Passkey.user_id == bindparam("user_id")))
