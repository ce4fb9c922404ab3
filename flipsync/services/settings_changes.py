"""Settings changed by the owner: checked, on record with what was there before, and from the next decision on."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flipsync.domain.errors import InvalidInput, NotFound
from flipsync.domain.events import SettingsChanged
from flipsync.services.tenant_settings import TenantSettings, changed, value_of
from flipsync.store.repositories import tenants
from flipsync.store.unit_of_work import UnitOfWork


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
