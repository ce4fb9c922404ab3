"""Rows of authenticator apps and recovery codes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, delete, exists, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.ids import new_id
from flipsync.store.models import Passkey, RecoveryCode, SecondFactor
from flipsync.store.reading import Question


async def lock_factor(session: AsyncSession, user_id: UUID) -> SecondFactor | None:
    """Of two that present one code at once, the second waits for the first."""
    query = select(SecondFactor).where(SecondFactor.user_id == user_id).with_for_update()
    return (await session.execute(query.execution_options(populate_existing=True))).scalar_one_or_none()


async def app_in_force(session: AsyncSession, user_id: UUID) -> bool:
    query = select(SecondFactor.id).where(SecondFactor.user_id == user_id, SecondFactor.confirmed_at.is_not(None))
    return (await session.execute(query)).scalar() is not None


async def in_force(session: AsyncSession, user_id: UUID) -> bool:
    """An app, or a passkey that was not revoked."""
    app = exists().where(SecondFactor.user_id == user_id, SecondFactor.confirmed_at.is_not(None))
    passkey = exists().where(Passkey.user_id == user_id, Passkey.revoked_at.is_(None))
    return bool((await session.execute(select(or_(app, passkey)))).scalar_one())


async def insert_factor(session: AsyncSession, values: dict[str, Any]) -> None:
    session.add(SecondFactor(**values))
    await session.flush()


async def update_factor(session: AsyncSession, factor_id: UUID, values: dict[str, Any]) -> None:
    await session.execute(update(SecondFactor).where(SecondFactor.id == factor_id).values(values))


async def delete_factor(session: AsyncSession, user_id: UUID) -> None:
    await session.execute(delete(SecondFactor).where(SecondFactor.user_id == user_id))


async def delete_recovery_codes(session: AsyncSession, user_id: UUID) -> None:
    await session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))


async def replace_recovery_codes(session: AsyncSession, tenant_id: UUID, user_id: UUID, hashes: Sequence[str]) -> None:
    await session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    session.add_all(
        RecoveryCode(id=new_id(), tenant_id=tenant_id, user_id=user_id, code_hash=code_hash) for code_hash in hashes
    )
    await session.flush()


async def use_recovery_code(session: AsyncSession, user_id: UUID, code_hash: str, at: datetime) -> bool:
    """False when the user has no such code, or used it before."""
    used = await session.execute(
        update(RecoveryCode)
        .where(RecoveryCode.user_id == user_id, RecoveryCode.code_hash == code_hash, RecoveryCode.used_at.is_(None))
        .values(used_at=at)
        .returning(RecoveryCode.id)
    )
    return used.scalar() is not None


_LEFT = (
    select(func.count(RecoveryCode.id))
    .where(RecoveryCode.user_id == bindparam("user_id"), RecoveryCode.used_at.is_(None))
    .scalar_subquery()
    .label("recovery_codes_left")
)
_APP = (
    select(SecondFactor.confirmed_at)
    .where(SecondFactor.user_id == bindparam("user_id"))
    .scalar_subquery()
    .label("confirmed_at")
)
#: user_id; one row: since when an app is in force, how many passkeys, how many codes
FACTOR = Question(
    lambda _: select(
        _APP,
        _LEFT,
        select(func.count(Passkey.id))
        .where(Passkey.user_id == bindparam("user_id"), Passkey.revoked_at.is_(None), Passkey.copied_at.is_(None))
        .scalar_subquery()
        .label("passkeys"),
    )
)
