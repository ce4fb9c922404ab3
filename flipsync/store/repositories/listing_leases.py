"""Rows of leases of listings' parts. They are written with the decision that takes them (store.journal)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

# One row, whatever there is: the effect on its way that wants the same of the listing (one at the channel before those
# that wait), and who holds the part.
_CONTESTED = text(
    """
    SELECT e.agent AS open_agent, e.decision_id AS open_decision, e.sent, l.agent, l.rank, l.score, l.decision_id,
           l.until
      FROM (SELECT 1) AS one
      LEFT JOIN LATERAL (
           SELECT d.agent, d.id AS decision_id, effect.state <> 'pending' AS sent
             FROM effect JOIN proposal p ON p.id = effect.proposal_id JOIN agent_decision d ON d.id = p.decision_id
            WHERE effect.tenant_id = current_tenant() AND effect.command = :command
              AND effect.subject_kind = 'listing' AND effect.subject_id = :listing AND effect.finished_at IS NULL
            ORDER BY (effect.state = 'pending'), effect.id DESC LIMIT 1) AS e ON true
      LEFT JOIN listing_lease l ON l.tenant_id = current_tenant() AND l.listing_id = :listing AND l.part = :part
    """
)
_FORGET = text("DELETE FROM listing_lease WHERE tenant_id = current_tenant() AND until < :before")


@dataclass(frozen=True)
class ContestRow:
    """`open_…`: of the effect on its way, None where there is none; the rest is the lease's, None where none is."""

    open_agent: str | None
    open_decision: UUID | None
    sent: bool | None
    agent: str | None
    rank: int | None
    score: float | None
    decision_id: UUID | None
    until: datetime | None


async def contested(session: AsyncSession, command: str, listing_id: UUID, part: str) -> ContestRow:
    values = {"command": command, "listing": listing_id, "part": part}
    return ContestRow(*(await session.execute(_CONTESTED, values)).one())


async def forget_before(session: AsyncSession, before: datetime) -> None:
    await session.execute(_FORGET, {"before": before})
