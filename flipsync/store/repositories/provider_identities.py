"""Rows of people as providers of sign-ins know them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, delete, select, text, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.store.models import ProviderIdentity
from flipsync.store.reading import Question


async def tenant_of_identity(session: AsyncSession, issuer: str, subject: str) -> UUID | None:
    """Works in a session of no tenant."""
    query = text("SELECT provider_identity_tenant(:issuer, :subject)")
    tenant_id: UUID | None = (await session.execute(query, {"issuer": issuer, "subject": subject})).scalar()
    return tenant_id


async def get_identity(session: AsyncSession, issuer: str, subject: str) -> ProviderIdentity | None:
    query = select(ProviderIdentity).where(ProviderIdentity.issuer == issuer, ProviderIdentity.subject == subject)
    return (await session.execute(query)).scalar_one_or_none()


async def insert_identity(session: AsyncSession, values: dict[str, Any]) -> bool:
    """False when it is somebody's already, here or elsewhere, or the user has another one of this issuer."""
    inserted = await session.execute(
        pg_insert(ProviderIdentity).values(values).on_conflict_do_nothing().returning(ProviderIdentity.id)
    )
    return inserted.scalar() is not None


async def mark_identity_used(session: AsyncSession, identity_id: UUID, at: datetime) -> None:
    await session.execute(update(ProviderIdentity).where(ProviderIdentity.id == identity_id).values(last_used_at=at))


async def delete_identity(session: AsyncSession, user_id: UUID, identity_id: UUID) -> str | None:
    """Its provider; None when the user has no such identity."""
    query = delete(ProviderIdentity).where(ProviderIdentity.user_id == user_id, ProviderIdentity.id == identity_id)
    provider: str | None = (await session.execute(query.returning(ProviderIdentity.provider))).scalar()
    return provider


#: user_id
IDENTITIES = Question(
    lambda _: (
        select(*ProviderIdentity.__table__.c)
        .where(ProviderIdentity.user_id == bindparam("user_id"))
        .order_by(ProviderIdentity.id.desc())
    )
)
