"""What the books say of limits that bind persons and hours: both sides of a change of settings that is tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.ids import first_id_at

#: commands that touch a listing: the fleet's budgets are spent on them
LISTING_COMMANDS = ("ChangePrice", "ReviseListing", "EndListing", "PublishListing")


@dataclass(frozen=True)
class Questions:
    """`ended`: those nobody answered in time; `late`: those answered later than the asked hours after they were put."""

    ended: int
    late: int


@dataclass(frozen=True)
class Above:
    """Things above a limit, in one currency: how many, and what they are together in minor units."""

    currency: str
    count: int
    minor: int


@dataclass(frozen=True)
class HourOfChanges:
    """What agents wanted of one account's listings within an hour of the clock: changes, and minor units staked."""

    hour: datetime
    account_id: UUID
    changes: int
    stake: int


_QUESTIONS = text(
    """
    SELECT count(*) FILTER (WHERE state = 'expired') AS ended,
           count(*) FILTER (WHERE state IN ('approved', 'refused')
                                  AND answered_at > asked_at + make_interval(hours => :hours)) AS late
      FROM approval
     WHERE tenant_id = current_tenant() AND id >= :first AND id < :last
    """
)
_REFUNDS = text(
    """
    SELECT currency, count(*) AS count, sum(amount_minor)::bigint AS minor
      FROM refund_request
     WHERE tenant_id = current_tenant() AND id >= :first AND id < :last AND amount_minor > :most
     GROUP BY currency ORDER BY currency
    """
)
_LABELS = text(
    """
    SELECT currency, count(*) AS count, sum(cost_minor)::bigint AS minor
      FROM label_purchase
     WHERE tenant_id = current_tenant() AND id >= :first AND id < :last AND cost_minor > :most
     GROUP BY currency ORDER BY currency
    """
)
_CHANGES = text(
    """
    SELECT date_trunc('hour', d.decided_at) AS hour, CAST(p.payload->>'account_id' AS uuid) AS account_id,
           count(*) AS changes, coalesce(sum(d.stake_minor / of_it.proposals), 0)::bigint AS stake
      FROM agent_decision d
     CROSS JOIN LATERAL (SELECT count(*) AS proposals FROM proposal o WHERE o.decision_id = d.id) of_it
      JOIN proposal p ON p.decision_id = d.id
     WHERE d.tenant_id = current_tenant() AND d.id >= :first AND d.id < :last AND p.command = ANY(:commands)
       AND (p.verdict IN ('proceed', 'mutate', 'ask') OR (p.verdict = 'deny' AND p.rule = :denied))
     GROUP BY 1, 2 ORDER BY 1, 2
    """
)


def _between(since: datetime, until: datetime) -> dict[str, UUID]:
    return {"first": first_id_at(since), "last": first_id_at(until)}


async def questions(session: AsyncSession, since: datetime, until: datetime, hours: int) -> Questions:
    """Of the questions put between the two moments (wall clock)."""
    row = (await session.execute(_QUESTIONS, {**_between(since, until), "hours": hours})).one()
    return Questions(row.ended, row.late)


async def refunds_above(session: AsyncSession, since: datetime, until: datetime, most: int) -> Sequence[Above]:
    """Wishes to give more back than that, in minor units of their currencies."""
    return [Above(*row) for row in await session.execute(_REFUNDS, {**_between(since, until), "most": most})]


async def labels_above(session: AsyncSession, since: datetime, until: datetime, most: int) -> Sequence[Above]:
    """Labels that cost more than that, in minor units of their currencies."""
    return [Above(*row) for row in await session.execute(_LABELS, {**_between(since, until), "most": most})]


async def listing_changes(
    session: AsyncSession, since: datetime, until: datetime, denied: str
) -> Sequence[HourOfChanges]:
    """By hour and account, what was let through, put to the owner, or denied by that rule."""
    values = {**_between(since, until), "commands": list(LISTING_COMMANDS), "denied": denied}
    return [HourOfChanges(*row) for row in await session.execute(_CHANGES, values)]
