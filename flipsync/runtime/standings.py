"""What outcomes say of agents' confidence, as one process knows it: read now and then, not per decision."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from flipsync.domain.decisions import Decision
from flipsync.domain.predictions import prediction
from flipsync.services import recalibrating
from flipsync.services.recalibrating import Recalibrated
from flipsync.services.standing import Bearing, Standing, lowest
from flipsync.services.standing_desk import in_force, maps_in_force
from flipsync.store.unit_of_work import UnitOfWork

#: a change is heeded everywhere within this
_SECONDS = 30.0


@dataclass(frozen=True)
class _Known:
    at: float
    standings: dict[tuple[str, str], Standing]
    maps: dict[tuple[str, str], Recalibrated]


class Standings:
    def __init__(self) -> None:
        self._known: dict[UUID, _Known] = {}

    async def of(self, unit: UnitOfWork, agent: str, decision: Decision[Any], fact: str) -> Bearing | None:
        """The lowest standing of the agent and the map that leave least of the decision; None when nothing is lost."""
        if decision.is_hold:
            return None
        known = self._known.get(unit.tenant_id)
        if known is None or time.monotonic() - known.at > _SECONDS:
            standings = await in_force(unit.session, unit.tenant_id)
            maps = await maps_in_force(unit.session, unit.tenant_id)
            known = self._known[unit.tenant_id] = _Known(time.monotonic(), standings, maps)
        if not known.standings and not known.maps:
            return None
        kinds = {prediction(command.type_name(), fact).kind for command in decision.proposals}
        standing = lowest(found for kind in kinds if (found := known.standings.get((agent, kind))) is not None)
        fitted = [known.maps[agent, kind] for kind in kinds if (agent, kind) in known.maps]
        used = recalibrating.lowest(fitted, decision.confidence)
        return Bearing(standing, used) if standing is not None or used is not None else None

    def forget(self, tenant_id: UUID) -> None:
        self._known.pop(tenant_id, None)
