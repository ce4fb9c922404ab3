"""What the books say of a change of settings that is tried: of limits that bind persons and hours, of days, and of what
had been sold when something was decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
class Counted:
    """Things of one currency: how many, and what they are together in minor units."""

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
      FROM label_purchase l
     WHERE tenant_id = current_tenant() AND id >= :first AND id < :last AND cost_minor > :most
       AND (CAST(:account AS uuid) IS NULL
            OR EXISTS (SELECT FROM customer_order o WHERE o.id = l.order_id AND o.account_id = :account))
     GROUP BY currency ORDER BY currency
    """
)
_ON_ANOTHER_DAY = text(
    """
    SELECT currency, count(*) AS count, sum(total_minor)::bigint AS minor
      FROM customer_order
     WHERE tenant_id = current_tenant() AND id >= :first AND id < :last
       AND (placed_at AT TIME ZONE :then)::date <> (placed_at AT TIME ZONE :now)::date
     GROUP BY currency ORDER BY currency
    """
)
# An order counts as long as its units are off the shelf, which its facts tell: the last one before the decision says
# how it stood then. A refund leaves it as it is now.
_SOLD = text(
    """
    SELECT s.listing_id, sum(s.quantity)::bigint AS units
      FROM order_line s
      JOIN customer_order o ON o.id = s.order_id
     CROSS JOIN LATERAL (SELECT e.type, e.payload->>'status' AS status FROM event e
                          WHERE e.tenant_id = o.tenant_id AND e.subject_kind = 'order' AND e.subject_id = o.id
                            AND e.id < :decision AND e.type IN ('OrderReceived', 'OrderChanged')
                          ORDER BY e.id DESC LIMIT 1) last
     WHERE o.tenant_id = current_tenant() AND s.listing_id = ANY(:listings) AND o.placed_at >= :since
       AND CASE WHEN last.type = 'OrderReceived' OR last.status IN ('paid', 'shipped') THEN true
                WHEN last.status IN ('pending', 'cancelled', 'failed') THEN false
                ELSE o.holds_stock END
     GROUP BY s.listing_id
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


async def refunds_above(session: AsyncSession, since: datetime, until: datetime, most: int) -> Sequence[Counted]:
    """Wishes to give more back than that, in minor units of their currencies."""
    return [Counted(*row) for row in await session.execute(_REFUNDS, {**_between(since, until), "most": most})]


async def labels_above(
    session: AsyncSession, since: datetime, until: datetime, most: int, account_id: UUID | None = None
) -> Sequence[Counted]:
    """Labels, of one account or of all, that cost more than that, in minor units of their currencies."""
    values = {**_between(since, until), "most": most, "account": account_id}
    return [Counted(*row) for row in await session.execute(_LABELS, values)]


async def listing_changes(
    session: AsyncSession, since: datetime, until: datetime, denied: str
) -> Sequence[HourOfChanges]:
    """By hour and account, what was let through, put to the owner, or denied by that rule."""
    values = {**_between(since, until), "commands": list(LISTING_COMMANDS), "denied": denied}
    return [HourOfChanges(*row) for row in await session.execute(_CHANGES, values)]


async def orders_on_another_day(
    session: AsyncSession, since: datetime, until: datetime, then: str, now: str
) -> Sequence[Counted]:
    """Orders told between the two moments (wall clock) that were placed on other days of the two time zones."""
    values = {**_between(since, until), "then": then, "now": now}
    return [Counted(*row) for row in await session.execute(_ON_ANOTHER_DAY, values)]


async def sold(
    session: AsyncSession, listings: Sequence[UUID], since: datetime, decision_id: UUID
) -> Mapping[UUID, int]:
    """Units that each listing sold since then (business time), as the books had it before that decision."""
    values = {"listings": list(listings), "since": since, "decision": decision_id}
    return {row.listing_id: row.units for row in await session.execute(_SOLD, values)}
