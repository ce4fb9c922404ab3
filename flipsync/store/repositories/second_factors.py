"""Rows of authenticator apps and recovery codes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.ids import new_id
from flipsync.store.models import RecoveryCode, SecondFactor
from flipsync.store.reading import Question


async def lock_factor(session: AsyncSession, user_id: UUID) -> SecondFactor | None:
    """Of two that present one code at once, the second waits for the first."""
    query = select(SecondFactor).where(SecondFactor.user_id == user_id).with_for_update()
    return (await session.execute(query.execution_options(populate_existing=True))).scalar_one_or_none()


async def in_force(session: AsyncSession, user_id: UUID) -> bool:
    query = select(SecondFactor.id).where(SecondFactor.user_id == user_id, SecondFactor.confirmed_at.is_not(None))
    return (await session.execute(query)).scalar() is not None


async def insert_factor(session: AsyncSession, values: dict[str, Any]) -> None:
    session.add(SecondFactor(**values))
    await session.flush()


async def update_factor(session: AsyncSession, factor_id: UUID, values: dict[str, Any]) -> None:
    await session.execute(update(SecondFactor).where(SecondFactor.id == factor_id).values(values))


async def delete_factor(session: AsyncSession, user_id: UUID) -> None:
    """With its recovery codes."""
    await session.execute(delete(SecondFactor).where(SecondFactor.user_id == user_id))
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
#: user_id; of one in force
FACTOR = Question(
    lambda _: select(SecondFactor.confirmed_at, _LEFT).where(
        SecondFactor.user_id == bindparam("user_id"), SecondFactor.confirmed_at.is_not(None)
    )
)
