"""How much agents may set in motion an hour, across all processes: each leases a slice of it and spends from memory.

What was spent is written in the statement that writes the effects, so both are there or neither is. What a slice has
left comes back when it expires, whatever became of its holder. Spending a slice that was taken back breaks a constraint
of the table, and with it the transaction: the budget is never exceeded.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from uuid import UUID

from flipsync.store.repositories import budgets as rows
from flipsync.store.unit_of_work import UnitOfWork

#: a slice is this part of the budget, and lasts so long; shortly before its end nothing is taken from it any more
_PARTS, LEASE_SECONDS, _MARGIN = 20, 60.0, 10.0
#: that nothing is left is believed so long before it is asked again
_GONE_SECONDS = 1.0


@dataclass
class _Slice:
    id: UUID | None
    left: int
    until: float


class Budgets:
    """The slices of one process."""

    def __init__(self) -> None:
        self._slices: dict[tuple[UUID, str], _Slice] = {}

    async def take(self, unit: UnitOfWork, agent: str, most: int) -> bool:
        """One unit of the agent's budget of `most` an hour, if there is one left in the fleet."""
        key = (unit.tenant_id, agent)
        held = self._slices.get(key)
        if held is None or time.monotonic() > held.until or (held.id is not None and held.left < 1):
            held = self._slices[key] = await self._lease(unit, agent, most)
        if held.id is None:
            return False
        held.left -= 1
        unit.spend(held.id)
        return True

    def forget_if(self, error: Exception) -> None:
        """Spend nothing more of what is held, if the error says that it was taken back (this process slept)."""
        if rows.TAKEN_BACK in str(error):
            self._slices.clear()

    async def _lease(self, unit: UnitOfWork, agent: str, most: int) -> _Slice:
        """In a transaction of its own: others wait for it, and it stays whatever becomes of the unit."""
        asked_at = time.monotonic()
        wanted = max(1, most // _PARTS)
        async with unit.database.session(unit.tenant_id) as session:
            found = await rows.lease(session, unit.tenant_id, agent, most=most, wanted=wanted, seconds=LEASE_SECONDS)
        if found is None:
            return _Slice(None, 0, asked_at + _GONE_SECONDS)
        return _Slice(found[0], found[1], asked_at + LEASE_SECONDS - _MARGIN)
