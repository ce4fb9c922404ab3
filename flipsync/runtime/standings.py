"""What outcomes have taken away of agents' authority, as one process knows it: read now and then, not per decision."""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

from flipsync.domain.decisions import Decision
from flipsync.domain.predictions import prediction
from flipsync.services.standing import Standing, lowest
from flipsync.services.standing_desk import in_force
from flipsync.store.unit_of_work import UnitOfWork

#: a change is heeded everywhere within this
_SECONDS = 30.0


class Standings:
    def __init__(self) -> None:
        self._known: dict[UUID, tuple[float, dict[tuple[str, str], Standing]]] = {}

    async def of(self, unit: UnitOfWork, agent: str, decision: Decision[Any], fact: str) -> Standing | None:
        """The lowest standing of the agent that bears on the decision; None when it has lost nothing."""
        if decision.is_hold:
            return None
        known = self._known.get(unit.tenant_id)
        if known is None or time.monotonic() - known[0] > _SECONDS:
            known = self._known[unit.tenant_id] = (time.monotonic(), await in_force(unit.session, unit.tenant_id))
        if not known[1]:
            return None
        kinds = {prediction(command.type_name(), fact).kind for command in decision.proposals}
        return lowest(standing for kind in kinds if (standing := known[1].get((agent, kind))) is not None)

    def forget(self, tenant_id: UUID) -> None:
        self._known.pop(tenant_id, None)
