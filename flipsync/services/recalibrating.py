"""What agents' confidence counts as: maps fitted to what came of their decisions, and how they bear on the next ones.

A map is an agent's for one kind of decision, in one business. It starts from what the agent's other kinds show, half of
the way, and with little data stays there; old outcomes count less and less, so what was once wrong is forgiven. Only
outcomes that were known when it was fitted are in it, and each decision keeps the map it was judged by.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.errors import FlipSyncError
from flipsync.learning.evaluation.recalibration import IDENTITY, Group, Recalibration, fit
from flipsync.store.repositories import recalibration as rows
from flipsync.store.unit_of_work import UnitOfWork

#: an outcome counts half after so long
HALF_LIFE: Final = timedelta(days=60)
#: decisions below which a kind shows nothing of its own, and how far the agent's other kinds are believed for it
LEAST, ALIKE = 20, 0.5
#: what is too little to count a confidence otherwise
WORTH: Final = 0.005
_DIGITS = 4


@dataclass(frozen=True)
class Recalibrated:
    """A map with what it rests on: so many decisions of the kind itself, known by then."""

    agent: str
    kind: str
    map: Recalibration
    decisions: int
    fitted_at: datetime


async def refit(unit: UnitOfWork) -> int:
    """Fit all of a business's maps to what is known now; returns how many there are."""
    known: defaultdict[str, dict[str, list[Group]]] = defaultdict(dict)
    decisions: defaultdict[tuple[str, str], int] = defaultdict(int)
    for agent, kind, stated, weight, came_true, count in await rows.graded(
        unit.session, unit.tenant_id, unit.now, HALF_LIFE.total_seconds()
    ):
        known[agent].setdefault(kind, []).append(Group(stated, weight, came_true))
        decisions[agent, kind] += count
    maps = []
    for agent, kinds in known.items():
        enough = {kind: groups for kind, groups in kinds.items() if decisions[agent, kind] >= LEAST}
        for kind, groups in kinds.items():
            fitted = fitted_map(groups if kind in enough else [], [enough[each] for each in enough if each != kind])
            told = {"slope": round(fitted.slope, _DIGITS), "shift": round(fitted.shift, _DIGITS)}
            maps.append({"agent": agent, "kind": kind, "decisions": decisions[agent, kind], **told})
    await rows.replace(unit.session, unit.tenant_id, maps, unit.now)
    return len(maps)


def fitted_map(own: list[Group], others: Iterable[list[Group]]) -> Recalibration:
    """A kind's map, from its own decisions and those of the agent's other kinds."""
    pooled = [group for groups in others for group in groups]
    believed = IDENTITY.towards(fit(pooled)[0], ALIKE) if pooled else IDENTITY
    return fit(own, believed)[0] if own else believed


async def of_tenant(session: AsyncSession, tenant_id: UUID, agent: str | None = None) -> list[Recalibrated]:
    return [
        Recalibrated(row.agent, row.kind, Recalibration(row.slope, row.shift), row.decisions, row.fitted_at)
        for row in await rows.of_tenant(session, tenant_id, agent)
    ]


def lowest(maps: Iterable[Recalibrated], confidence: float) -> Recalibrated | None:
    """The map by which the confidence counts least; None where none takes anything away: a map never adds to it."""
    told = [each for each in maps if each.map.of(confidence) < confidence - WORTH]
    return min(told, key=lambda each: (each.map.of(confidence), each.kind), default=None)


def as_kept(used: Recalibrated, share: float) -> dict[str, Any]:
    """As it is written beside a decision, with the share of the confidence that a standing left."""
    return {
        "share": share,
        "kind": used.kind,
        "slope": used.map.slope,
        "shift": used.map.shift,
        "decisions": used.decisions,
        "fitted_at": used.fitted_at.isoformat(),
    }


def read_kept(agent: str, kept: dict[str, Any]) -> tuple[Recalibrated, float]:
    """The map, and the share that a standing left beside it. Raises FlipSyncError for what `as_kept` did not write."""
    try:
        recalibration = Recalibration(float(kept["slope"]), float(kept["shift"]))
        fitted_at = datetime.fromisoformat(kept["fitted_at"])
        used = Recalibrated(agent, str(kept["kind"]), recalibration, int(kept["decisions"]), fitted_at)
        return used, float(kept["share"])
    except (LookupError, TypeError, ValueError) as error:
        raise FlipSyncError(f"the map kept with the decision cannot be read: {error!r}") from error
