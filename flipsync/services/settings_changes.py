"""Settings read and changed by the owner: checked, on record with what was there before, from the next decision on."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.errors import InvalidInput, NotFound, VersionMismatch
from flipsync.domain.events import SettingsChanged
from flipsync.services.dry_run_change import DECIDES_NOTHING
from flipsync.services.tenant_settings import SETTINGS, TenantSettings, changed, value_of
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


async def change_settings(unit: UnitOfWork, change: SettingsChange, expected_version: int) -> SettingsView:
    """Raises NotFound, InvalidInput, and VersionMismatch when they are not at `expected_version` any more."""
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


async def set_settings(
    unit: UnitOfWork, change: Mapping[str, Any], *, undoes: UUID | None = None
) -> SettingsChanged | None:
    """What is given by its dotted name is changed, what is left out stays; None where nothing is otherwise.

    `undoes`: the change that is taken back by it. Raises NotFound, InvalidInput.
    """
    tenant = await tenants.lock(unit.session, unit.tenant_id)
    if tenant is None:
        raise NotFound(f"tenant {unit.tenant_id} does not exist")
    before = TenantSettings.model_validate(tenant.settings)
    after = changed(before, change)
    names = [name for name in change if value_of(before, name) != value_of(after, name)]
    if not names:
        return None
    if "time_zone" in names and not await tenants.knows_zone(unit.session, after.time_zone):
        raise unknown_zone(after.time_zone)
    kept = copy.deepcopy(tenant.settings)
    for name in names:
        *path, last = name.split(".")
        place = kept
        for each in path:
            place = place.setdefault(each, {})
        place[last] = value_of(after, name)
    tenant.settings = kept
    await unit.session.flush()
    fact = SettingsChanged(
        tenant_id=unit.tenant_id,
        before={name: value_of(before, name) for name in names},
        after={name: value_of(after, name) for name in names},
        by=unit.cause.actor.id,
        undoes=undoes,
    )
    unit.emit(fact)
    return fact


def unknown_zone(zone: str) -> InvalidInput:
    return InvalidInput(f"time_zone {zone!r}: the database does not know it", hint="write it as Europe/Berlin")
