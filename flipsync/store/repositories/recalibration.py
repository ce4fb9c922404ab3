"""Statements about maps from stated to counted confidence: the outcomes they rest on, and the maps themselves."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select, text, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.ids import new_id
from flipsync.store.models import RecalibrationRow

# a decision is one case, however many parts it had; what was not due yet at that time was not known
_GRADED = text(
    """
    SELECT agent, kind, stated, sum(weight)::float8 AS weight, sum(weight * share)::float8 AS came_true, count(*)::int
      FROM (SELECT agent, kind, round(confidence::numeric, 3)::float8 AS stated, avg(outcome)::float8 AS share,
                   power(0.5, GREATEST(0, extract(epoch FROM CAST(:now AS timestamptz) - min(decided_at))::float8
                                          / :half_life)) AS weight
              FROM decision_outcome
             WHERE tenant_id = :tenant_id AND state = 'known' AND drawn AND due_at <= :now
             GROUP BY agent, kind, decision_id, round(confidence::numeric, 3)) AS decided
     GROUP BY agent, kind, stated
     ORDER BY agent, kind, stated
    """
)


async def graded(
    session: AsyncSession, tenant_id: UUID, now: datetime, half_life_seconds: float
) -> list[tuple[str, str, float, float, float, int]]:
    """By agent, kind and confidence stated: what the decisions weigh, how much of it came true, and how many they are.

    What is older by `half_life_seconds` weighs half.
    """
    values = {"tenant_id": tenant_id, "now": now, "half_life": half_life_seconds}
    return [tuple(row) for row in await session.execute(_GRADED, values)]


async def replace(session: AsyncSession, tenant_id: UUID, maps: Sequence[dict[str, Any]], now: datetime) -> None:
    """These are the business's maps from now on; one that has not changed keeps its time."""
    one = RecalibrationRow
    kept = [(each["agent"], each["kind"]) for each in maps]
    gone = delete(one).where(one.tenant_id == tenant_id)
    await session.execute(gone.where(tuple_(one.agent, one.kind).not_in(kept)) if kept else gone)
    if not maps:
        return
    rows = insert(one).values([{"id": new_id(), "tenant_id": tenant_id, "fitted_at": now, **each} for each in maps])
    told = {name: rows.excluded[name] for name in ("slope", "shift", "decisions", "fitted_at")}
    changed = (one.slope != told["slope"]) | (one.shift != told["shift"]) | (one.decisions != told["decisions"])
    await session.execute(
        rows.on_conflict_do_update(index_elements=["tenant_id", "agent", "kind"], set_=told, where=changed)
    )


async def of_tenant(session: AsyncSession, tenant_id: UUID, agent: str | None = None) -> Sequence[RecalibrationRow]:
    one = RecalibrationRow
    query = select(one).where(one.tenant_id == tenant_id).order_by(one.agent, one.kind)
    return (await session.scalars(query if agent is None else query.where(one.agent == agent))).all()
