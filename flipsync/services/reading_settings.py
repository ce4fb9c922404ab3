"""All settings as the API shows and takes them: what each is for, and whether trying it on the past tells anything.

Apart from `settings_changes`, which every agent imports: what is known of trials on the past is not theirs to load.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.errors import NotFound, VersionMismatch
from flipsync.services.dry_run_change import DECIDES_NOTHING
from flipsync.services.settings_changes import set_settings
from flipsync.services.tenant_settings import SETTINGS, TenantSettings, refuse_unknown_agents, value_of
from flipsync.store.models import Tenant
from flipsync.store.repositories import tenants
from flipsync.store.unit_of_work import UnitOfWork

_VALUES: dict[str, Any] = {"pricing.min_margin_bps": 800, "stock.oversell_limit": 0.005}


class SettingsChange(BaseModel):
    """What is given by its dotted name is changed, what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    change: dict[str, Any] = Field(min_length=1, max_length=50, examples=[_VALUES])


class SettingView(BaseModel):
    """One setting by its dotted name, as it is and as it comes."""

    name: str = Field(examples=["pricing.min_margin_bps"])
    value: Any = Field(examples=[800])
    default: Any = Field(examples=[500])
    about: str = Field(examples=["least share of the price a sale must earn"])
    decides_nothing: str | None = Field(
        description="why trying it on the past shows nothing; null: POST /strategy/dry-run tells what another value"
        " would have meant",
        examples=[None],
    )


class SettingsView(BaseModel):
    items: list[SettingView]
    version: int = Field(description="the ETag; goals and limits of ads are settings too", examples=[1764340000000000])


async def get_settings(session: AsyncSession, tenant_id: UUID) -> SettingsView:
    """All of them. Raises NotFound."""
    return _view(_there(await tenants.get(session, tenant_id), tenant_id))


async def change_settings(
    unit: UnitOfWork, change: SettingsChange, expected_version: int, agents: Collection[str]
) -> SettingsView:
    """`agents` are those there are. Raises NotFound, InvalidInput, and VersionMismatch when the settings are not at
    `expected_version` any more."""
    refuse_unknown_agents(change.change, agents)
    tenant = _there(await tenants.lock(unit.session, unit.tenant_id), unit.tenant_id)
    if _version(tenant) != expected_version:
        raise VersionMismatch("settings were changed since they were read", hint="read them again, then change them")
    if (fact := await set_settings(unit, change.change)) is not None:
        unit.audit("settings.changed", "tenant", unit.tenant_id, before=fact.before, after=fact.after)
    return _view(tenant)


def _there(tenant: Tenant | None, tenant_id: UUID) -> Tenant:
    if tenant is None:
        raise NotFound(f"tenant {tenant_id} does not exist")
    return tenant


def _version(tenant: Tenant) -> int:
    return int(tenant.updated_at.timestamp() * 1_000_000)


def _view(tenant: Tenant) -> SettingsView:
    present, shipped = TenantSettings.model_validate(tenant.settings), TenantSettings()
    return SettingsView(
        items=[
            SettingView(
                name=name,
                value=value_of(present, name),
                default=value_of(shipped, name),
                about=about,
                decides_nothing=DECIDES_NOTHING.get(name),
            )
            for name, about in SETTINGS.items()
        ],
        version=_version(tenant),
    )
