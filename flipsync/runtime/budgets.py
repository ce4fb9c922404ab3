"""How much may be set in motion an hour, across all processes: each leases a slice of it and spends from memory.

A budget is an agent's (how many effects) or the fleet's: listings touched and margin at risk, in all and by channel.
What was spent is written in the statement that writes the effects, so both are there or neither is. What a slice has
left comes back when it expires, whatever became of its holder. Spending a slice that was taken back breaks a constraint
of the table, and with it the transaction: the budget is never exceeded.

What a budget denied is not lost: the agent decides anew on the same fact once there is room again, for a day.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from flipsync.domain.commands import Command
from flipsync.domain.errors import OverBudget
from flipsync.domain.steering_events import BudgetRunningLow
from flipsync.store.journal import ProposedCommand
from flipsync.store.repositories import budgets as rows
from flipsync.store.repositories import tasks as task_rows
from flipsync.store.unit_of_work import UnitOfWork

#: a slice is this part of the budget, and lasts so long; shortly before its end nothing is taken from it any more
_PARTS, LEASE_SECONDS, _MARGIN = 20, 60.0, 10.0
#: that nothing is left is believed so long before it is asked again
_GONE_SECONDS = 1.0
#: a budget of the fleet runs low when this part of it is spent or promised
LOW = 0.8
#: rules that deny what is above a budget
OF_AGENT, OF_FLEET = "budget", OverBudget.code
#: what a dead process held comes back within a minute, what was spent within the hour: it is decided on anew after so
#: many seconds at least and at most, longer each time, drawn so that not all come at once; and the age to let a fact go
_LEAST_SECONDS, _MOST_SECONDS, _SPREAD, _LET_GO_SECONDS = 60.0, 3600.0, (1.0, 1.5), 86400.0


class Want(NamedTuple):
    """So many units of a budget of `most` an hour."""

    budget: str
    most: int
    units: int = 1


@dataclass
class _Slice:
    id: UUID | None
    left: int
    until: float
    #: that there is no more than `left` is believed until then
    short_until: float = 0.0


class Budgets:
    """The slices of one process."""

    def __init__(self) -> None:
        self._slices: dict[tuple[UUID, str], _Slice] = {}

    async def take(self, unit: UnitOfWork, agent: str, most: int) -> bool:
        """One unit of the agent's budget of `most` an hour, if there is one left in the fleet."""
        return await self.take_all(unit, [Want(agent, most)]) is None

    async def take_all(self, unit: UnitOfWork, wants: Sequence[Want]) -> Want | None:
        """All of it or nothing; the one there is not enough of, None when all were taken."""
        held = []
        for want in wants:
            found = await self._slice(unit, want)
            if found.id is None or found.left < want.units:
                return want
            held.append(found)
        for want, found in zip(wants, held, strict=True):
            assert found.id is not None
            found.left -= want.units
            unit.spend(found.id, want.units)
        return None

    def forget_if(self, error: Exception) -> None:
        """Spend nothing more of what is held, if the error says that it was taken back (this process slept)."""
        if rows.TAKEN_BACK in str(error):
            self._slices.clear()

    async def _slice(self, unit: UnitOfWork, want: Want) -> _Slice:
        key, now = (unit.tenant_id, want.budget), time.monotonic()
        held = self._slices.get(key)
        if held is not None and now <= held.until and (held.id is None or held.left >= want.units):
            return held
        if held is not None and now <= min(held.until, held.short_until):
            return held
        held = self._slices[key] = await self._lease(unit, want)
        return held

    async def _lease(self, unit: UnitOfWork, want: Want) -> _Slice:
        """In a transaction of its own: others wait for it, and it stays whatever becomes of the unit."""
        asked_at = time.monotonic()
        wanted = max(want.units, want.most // _PARTS)
        async with unit.database.session(unit.tenant_id) as session:
            found = await rows.lease(
                session, unit.tenant_id, want.budget, most=want.most, wanted=wanted, seconds=LEASE_SECONDS
            )
        if found is None:
            self._tell_low(unit, want, 1.0)
            return _Slice(None, 0, asked_at + _GONE_SECONDS)
        slice_id, granted, others = found
        if (share := (others + granted) / want.most) >= LOW:
            self._tell_low(unit, want, min(share, 1.0))
        short = asked_at + _GONE_SECONDS if granted < want.units else 0.0
        return _Slice(slice_id, granted, asked_at + LEASE_SECONDS - _MARGIN, short)

    @staticmethod
    def _tell_low(unit: UnitOfWork, want: Want, share: float) -> None:
        """Once an hour (business time) for each of the fleet's, with all its channels' shares."""
        if want.budget.startswith(rows.FLEET):
            whole = want.budget.removeprefix(rows.FLEET).partition(":")[0]
            low = BudgetRunningLow(tenant_id=unit.tenant_id, budget=want.budget, share=round(share, 3))
            unit.emit(low, dedup_key=f"low:{whole}:{unit.now:%Y-%m-%dT%H}")


def comes_again(commands: Sequence[Command], proposals: Sequence[ProposedCommand]) -> bool:
    """Whether a budget denied some of a decision, and no deed in our own books could be done twice by deciding anew.

    What went to a channel can be decided on again: any second fact about the same thing does that too.
    """
    pairs = list(zip(commands, proposals, strict=True))
    if any(proposal.verdict == "proceed" and command.scope == "internal" for command, proposal in pairs):
        return False
    return any(proposal.verdict == "deny" and proposal.rule in (OF_AGENT, OF_FLEET) for proposal in proposals)


async def put_off(unit: UnitOfWork, task_id: UUID) -> None:
    """Have an agent decide anew, when the hour's budget has room again, on the fact of a task that is done."""
    spread = random.uniform(*_SPREAD)  # noqa: S311 - nobody gains from guessing it
    await task_rows.put_off(
        unit.session, task_id, least=_LEAST_SECONDS, most=_MOST_SECONDS, spread=spread, longest=_LET_GO_SECONDS
    )
