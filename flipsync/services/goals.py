"""The owner's goals: read, set, and what they weigh."""

from __future__ import annotations

from uuid import UUID

from pydantic import BaseModel, ConfigDict
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.errors import NotFound, VersionMismatch
from flipsync.domain.goals import Goals, Horizon, Questions, Risk
from flipsync.services.settings_changes import set_settings
from flipsync.services.tenant_settings import TenantSettings
from flipsync.store.models import Tenant
from flipsync.store.repositories import tenants
from flipsync.store.unit_of_work import UnitOfWork


class GoalsChange(BaseModel):
    """What is given is changed, what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    horizon: Horizon | None = None
    risk: Risk | None = None
    questions: Questions | None = None


class GoalsView(BaseModel):
    """The goals, in words, and each criterion's share when options are compared."""

    goals: Goals
    in_words: str
    weights: dict[str, float]
    version: int


async def get_goals(session: AsyncSession, tenant_id: UUID) -> GoalsView:
    return _view(_there(await tenants.get(session, tenant_id), tenant_id))


async def set_goals(unit: UnitOfWork, change: GoalsChange, expected_version: int | None = None) -> GoalsView:
    """From the next decision on. Raises VersionMismatch when the settings are not at `expected_version` any more."""
    tenant = _there(await tenants.lock(unit.session, unit.tenant_id), unit.tenant_id)
    before = _view(tenant)
    if expected_version is not None and before.version != expected_version:
        raise VersionMismatch("the goals were changed since they were read", hint="read them again, then change them")
    given = change.model_dump(exclude_none=True)
    if await set_settings(unit, {f"goals.{name}": value for name, value in given.items()}):
        unit.audit("goals.changed", "tenant", unit.tenant_id, **given)
    return _view(tenant)


def _there(tenant: Tenant | None, tenant_id: UUID) -> Tenant:
    if tenant is None:
        raise NotFound(f"tenant {tenant_id} does not exist")
    return tenant


def _view(tenant: Tenant) -> GoalsView:
    goals = TenantSettings.model_validate(tenant.settings).goals
    return GoalsView(
        goals=goals,
        in_words=goals.in_words(),
        weights={name: round(share, 4) for name, share in goals.weights().items()},
        version=int(tenant.updated_at.timestamp() * 1_000_000),
    )
