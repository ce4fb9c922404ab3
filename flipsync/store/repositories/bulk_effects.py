"""Effects that go out together or take long: more of them claimed, leases put off, what a vendor took of them."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.commands import PRIORITY_LAST_UNIT
from flipsync.store.repositories.effects import URGENCY, ClaimedEffect, take_turn

# Quantities of pooled stock alone: others need more than one write each. Rows are found by their account's index and
# looked up one by one, whatever the planner believes of a table that has just grown by thousands.
_CLAIM_MORE = text(
    """
    WITH waiting AS MATERIALIZED (
        SELECT e.id, e.tenant_id, e.subject_kind, e.subject_id, e.state, e.priority
          FROM effect e
         WHERE e.account_id = :account_id AND e.command = :set_quantity AND e.priority > :urgent
           AND coalesce(e.result ->> 'taken', '') = :taken
           AND e.finished_at IS NULL AND e.not_before <= now() AND (e.state <> 'leased' OR e.lease_until < now())
         ORDER BY e.priority, e.id LIMIT 2 * :limit
    ), candidates AS MATERIALIZED (
        SELECT w.id, w.subject_id, w.state
          FROM waiting w
         WHERE (SELECT i.mode FROM allocation a JOIN stock_item i ON i.id = a.stock_item_id
                 WHERE a.listing_id = w.subject_id) = 'pooled'
           AND (SELECT count(*) FROM effect b
                 WHERE b.tenant_id = w.tenant_id AND b.subject_kind = w.subject_kind AND b.subject_id = w.subject_id
                   AND b.state = 'leased' AND b.finished_at IS NULL AND b.lease_until >= now() AND b.id <> w.id) = 0
         ORDER BY w.priority, w.id LIMIT :limit
    ), chosen AS (
        SELECT DISTINCT ON (subject_id) id, state FROM candidates ORDER BY subject_id, id
    )
    UPDATE effect e
       SET state = 'leased', lease_owner = :owner, lease_until = now() + make_interval(secs => :lease),
           epoch = e.epoch + 1, attempts = e.attempts + 1, bulk = true
      FROM chosen
     WHERE e.id = chosen.id AND e.finished_at IS NULL AND (e.state <> 'leased' OR e.lease_until < now())
    RETURNING e.id, e.tenant_id, e.account_id, e.command, e.payload, e.key, e.subject_kind, e.subject_id,
              e.attempts, e.epoch, chosen.state <> 'pending' AS uncertain, e.correlation_id, e.traceparent,
              e.created_at, e.priority, coalesce(e.result ->> 'taken', '')
    """
)
_MARK_BULK = text(
    """
    UPDATE effect e SET bulk = true
      FROM json_to_recordset(CAST(:ours AS json)) AS o(id uuid, epoch bigint)
     WHERE e.id = o.id AND e.state = 'leased' AND e.epoch = o.epoch
    """
)
_RENEW = text(
    """
    UPDATE effect e
       SET lease_until = CASE WHEN e.state = 'leased' THEN now() + make_interval(secs => :lease) ELSE e.lease_until END
      FROM json_to_recordset(CAST(:ours AS json)) AS o(id uuid, epoch bigint)
     WHERE e.id = o.id AND e.epoch = o.epoch
    RETURNING e.id
    """
)
_RAISE = text(
    """
    UPDATE effect e SET priority = :urgent
      FROM json_to_recordset(CAST(:ours AS json)) AS o(id uuid, epoch bigint)
     WHERE e.id = o.id AND e.state = 'leased' AND e.epoch = o.epoch
    """
)
_NOTE_TAKEN = text(
    """
    UPDATE effect e SET result = jsonb_build_object('taken', CAST(:name AS text))
      FROM json_to_recordset(CAST(:ours AS json)) AS o(id uuid, epoch bigint)
     WHERE e.id = o.id AND e.state = 'leased' AND e.epoch = o.epoch
    """
)


async def claim_bulk(
    session: AsyncSession, these: Sequence[ClaimedEffect], *, owner: str, limit: int, lease_seconds: float
) -> list[ClaimedEffect]:
    """Up to `limit` more quantities of an account that can go out in one call with these, which are leased already.

    A tenant's own session.
    """
    await take_turn(session)
    values = {
        **URGENCY,
        "account_id": these[0].account_id,
        "taken": these[0].taken,
        "owner": owner,
        "limit": max(0, limit),
        "lease": lease_seconds,
    }
    more = [ClaimedEffect(*row) for row in await session.execute(_CLAIM_MORE, values)]
    if len(these) + len(more) > 1 or these[0].taken:
        await session.execute(_MARK_BULK, {"ours": _as_ours(these)})
    return more


async def note_taken(session: AsyncSession, effects: Sequence[ClaimedEffect], name: str) -> None:
    """The vendor works these off under this name: kept until it is known what came of it."""
    await session.execute(_NOTE_TAKEN, {"ours": _as_ours(effects), "name": name})


async def renew(session: AsyncSession, effects: Sequence[ClaimedEffect], lease_seconds: float) -> set[UUID]:
    """Their work goes on: put the ends of their leases off. Returns those that no other worker has taken, among them
    what was finished just now."""
    return set((await session.execute(_RENEW, {"ours": _as_ours(effects), "lease": lease_seconds})).scalars())


async def make_urgent(session: AsyncSession, effects: Sequence[ClaimedEffect]) -> None:
    """When they come back, they go before everything and alone."""
    await session.execute(_RAISE, {"ours": _as_ours(effects), "urgent": PRIORITY_LAST_UNIT})


def _as_ours(effects: Sequence[ClaimedEffect]) -> str:
    return orjson.dumps([{"id": effect.id, "epoch": effect.epoch} for effect in effects]).decode()
