"""What the journal tells of how fast and how well things go: decisions, work that waits, effects; of one business.

Looks back over the newest rows only (`most`): ids are in the order of time, so that no look reads a whole history.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.ids import first_id_at

# seconds from the fact until the decision on it; a fact that came in bulk waits for those before it
_DECISIONS = text(
    """
    SELECT (d.decided_at AT TIME ZONE 'UTC')::date AS day, d.agent, count(*) AS decisions,
           count(*) FILTER (WHERE d.state = 'held') AS held, count(*) FILTER (WHERE d.state = 'overruled') AS overruled,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY d.seconds) AS median_seconds,
           percentile_cont(0.95) WITHIN GROUP (ORDER BY d.seconds) AS p95_seconds
      FROM (SELECT n.decided_at, n.agent, n.state,
                   greatest(0, extract(epoch FROM n.decided_at - e.recorded_at))::float8 AS seconds
              FROM (SELECT decided_at, agent, state, event_id FROM agent_decision
                     WHERE id >= :first ORDER BY id DESC LIMIT :most) n
              JOIN event e ON e.id = n.event_id) d
     GROUP BY day, d.agent ORDER BY day DESC, d.agent
    """
)
_EFFECTS = text(
    """
    SELECT (n.created_at AT TIME ZONE 'UTC')::date AS day, a.vendor, n.command, count(*) AS effects,
           count(*) FILTER (WHERE n.state = 'confirmed') AS confirmed,
           count(*) FILTER (WHERE n.state = 'rejected') AS rejected,
           count(*) FILTER (WHERE n.state = 'superseded') AS superseded,
           count(*) FILTER (WHERE n.finished_at IS NULL) AS under_way, sum(n.attempts)::bigint AS attempts,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY n.seconds) AS median_seconds,
           percentile_cont(0.95) WITHIN GROUP (ORDER BY n.seconds) AS p95_seconds
      FROM (SELECT created_at, finished_at, account_id, command, state, attempts,
                   CASE WHEN finished_at IS NOT NULL
                        THEN greatest(0, extract(epoch FROM finished_at - created_at))::float8 END AS seconds
              FROM effect
             WHERE id >= :first ORDER BY id DESC LIMIT :most) n
      JOIN marketplace_account a ON a.id = n.account_id
     GROUP BY day, a.vendor, n.command ORDER BY day DESC, a.vendor, n.command
    """
)
_WAITING = text(
    """
    SELECT t.agent, count(*) AS waiting, min(e.recorded_at) AS since
      FROM (SELECT agent, event_id FROM agent_task
             WHERE tenant_id = current_tenant() AND state IN ('pending','leased') LIMIT :most) t
      JOIN event e ON e.id = t.event_id
     GROUP BY t.agent ORDER BY t.agent
    """
)


async def decisions(session: AsyncSession, since: datetime, most: int) -> Sequence[Any]:
    """By day (UTC, newest first) and agent: day, agent, decisions, held, overruled, median_seconds, p95_seconds."""
    return (await session.execute(_DECISIONS, {"first": first_id_at(since), "most": most})).all()


async def effects(session: AsyncSession, since: datetime, most: int) -> Sequence[Any]:
    """By the day they were asked for (UTC, newest first), vendor and command: how many ended how, and how soon."""
    return (await session.execute(_EFFECTS, {"first": first_id_at(since), "most": most})).all()


async def waiting(session: AsyncSession, most: int) -> Sequence[Any]:
    """By agent: how many facts wait, of at most so many, and when the oldest of them was recorded."""
    return (await session.execute(_WAITING, {"most": most})).all()
