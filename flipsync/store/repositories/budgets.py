"""Slices of agents' hourly budgets: leased, spent, and given back. All times are the database's own."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.ids import new_id

#: budgets of the whole fleet, not of one agent, begin so; agents' names cannot
FLEET = "fleet:"
#: the constraint that breaks when a slice is spent that was taken back
TAKEN_BACK = "ck_budget_slice_spent"
#: what a slice granted may be spent until it expires, a little later if its transaction is slow: it counts that long
_WINDOW = "interval '1 hour' + interval '5 minutes'"
_HOLD = text("SELECT pg_advisory_xact_lock(hashtextextended('budget:' || :tenant_id || ':' || :agent, 0))")
#: what expired is worth what was spent of it; one that is being spent just now waits for the next lease
_CLOSE = text(
    """
    WITH over AS (
        SELECT id FROM budget_slice
         WHERE tenant_id = :tenant_id AND agent = :agent AND expires_at < clock_timestamp() AND granted > spent
           FOR UPDATE SKIP LOCKED)
    UPDATE budget_slice SET granted = spent FROM over WHERE budget_slice.id = over.id
    """
)
_DROP = text(
    "DELETE FROM budget_slice WHERE tenant_id = :tenant_id AND agent = :agent"
    " AND taken_at < clock_timestamp() - interval '3 hours'"
)
_LEASE = text(
    f"""
    WITH given AS (
        SELECT COALESCE(SUM(granted), 0)::bigint AS total FROM budget_slice
         WHERE tenant_id = :tenant_id AND agent = :agent AND taken_at > clock_timestamp() - ({_WINDOW}))
    INSERT INTO budget_slice (id, tenant_id, agent, granted, spent, taken_at, expires_at)
    SELECT :id, :tenant_id, :agent, LEAST(:wanted, :most - given.total), 0, clock_timestamp(),
           clock_timestamp() + make_interval(secs => :seconds)
      FROM given WHERE given.total < :most
    RETURNING granted, (SELECT total FROM given)
    """  # noqa: S608
)


async def lease(
    session: AsyncSession, tenant_id: UUID, agent: str, *, most: int, wanted: int, seconds: float
) -> tuple[UUID, int, int] | None:
    """A slice of at most `wanted` units out of `most` an hour, to be spent within so many seconds, and what others have
    of it; None: all is gone.

    Leases of one agent of a business wait for each other; commit soon.
    """
    who = {"tenant_id": tenant_id, "agent": agent}
    await session.execute(_HOLD, {"tenant_id": str(tenant_id), "agent": agent})
    await session.execute(_CLOSE, who)
    await session.execute(_DROP, who)
    slice_id = new_id()
    values = {**who, "id": slice_id, "most": most, "wanted": wanted, "seconds": seconds}
    found = (await session.execute(_LEASE, values)).one_or_none()
    return None if found is None else (slice_id, found[0], found[1])


_SPENT = text(
    f"SELECT agent, SUM(spent)::bigint FROM budget_slice WHERE taken_at > clock_timestamp() - ({_WINDOW})"  # noqa: S608
    " GROUP BY agent"
)


async def spent(session: AsyncSession) -> dict[str, int]:
    """What each agent has set in motion within the hour; and of the fleet's budgets (FLEET…) what was used."""
    return {row[0]: row[1] for row in await session.execute(_SPENT)}
