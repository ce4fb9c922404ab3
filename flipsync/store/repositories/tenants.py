"""Which tenants there are; for workers that serve all of them."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.store.models import Tenant
from flipsync.store.reading import Sentence

_ZONE = "SELECT coalesce(settings ->> 'time_zone', 'UTC') AS zone FROM tenant WHERE id = current_tenant()"
ZONE = Sentence(_ZONE)


async def all_ids(session: AsyncSession) -> Sequence[UUID]:
    """Every tenant, oldest first (worker role only: others see their own)."""
    return (await session.scalars(select(Tenant.id).order_by(Tenant.id))).all()


async def found(session: AsyncSession, tenant_id: UUID, name: str) -> None:
    """A new business with nobody in it; the session is bound to it already."""
    session.add(Tenant(id=tenant_id, name=name))
    await session.flush()


async def get(session: AsyncSession, tenant_id: UUID) -> Tenant | None:
    return await session.get(Tenant, tenant_id)


async def lock(session: AsyncSession, tenant_id: UUID) -> Tenant | None:
    """The tenant, held until the transaction ends: changes of its settings come one after the other."""
    return await session.get(Tenant, tenant_id, with_for_update=True, populate_existing=True)


async def zone(session: AsyncSession) -> str:
    """The time zone of the business the session is bound to."""
    return (await session.execute(text(_ZONE))).scalar_one_or_none() or "UTC"


async def knows_zone(session: AsyncSession, zone: str) -> bool:
    """Whether the database can work with it."""
    query = text("SELECT EXISTS (SELECT FROM pg_timezone_names WHERE name = :zone)")
    return bool((await session.execute(query, {"zone": zone})).scalar_one())
