"""The outbox: claiming across tenants (worker role), finishing within one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.clock import utc_now
from flipsync.domain.commands import PRIORITY_LAST_UNIT, SetChannelQuantity
from flipsync.domain.ids import new_id
from flipsync.store.models import Effect

_CLAIM_LOCK = 0x666C6566
#: how long a write whose outcome nobody knew may explain what a channel shows
_DOUBTFUL = timedelta(days=1)
SET_QUANTITY = SetChannelQuantity.type_name()
#: no command is less urgent
LEAST_URGENT = 32_767
#: what statements about claims ask
URGENCY = {"urgent": PRIORITY_LAST_UNIT, "set_quantity": SET_QUANTITY}
_TAKE_TURN = text("SELECT pg_advisory_xact_lock(:lock)")


@dataclass(frozen=True, eq=False)
class ClaimedEffect:
    """An effect that is leased to us. `taken` is the vendor's name for the work of an earlier attempt that it took."""

    id: UUID
    tenant_id: UUID
    account_id: UUID
    command: str
    payload: dict[str, Any]
    key: str
    subject_kind: str
    subject_id: UUID
    attempts: int
    epoch: int
    uncertain: bool
    correlation_id: UUID
    traceparent: str
    created_at: datetime
    priority: int
    taken: str

    @property
    def urgent(self) -> bool:
        """Whether it goes before everything and never behind a bulk call: the last unit was sold."""
        return self.priority <= PRIORITY_LAST_UNIT


# Accounts take turns: of one account the most urgent first, of several whoever has least under way. So a tenant's queue
# of any length delays nobody else's, and its length costs nothing: each account's next ones are read off the index.
# What is urgent for anybody goes before all of it.
# One effect a subject at a time: a listing's writes never overtake each other. Only what is urgent passes one that is
# on its way in a bulk call (see runtime.bulk_writes). `uncertain` says that an earlier attempt may have happened (its
# worker died, or the answer never came): the handler reads back before it writes.
# The last conditions repeat: somebody may have superseded the row since it was looked at.
_CLAIM = text(
    """
    WITH RECURSIVE account AS (
        SELECT (SELECT account_id FROM effect WHERE finished_at IS NULL ORDER BY account_id LIMIT 1) AS id
        UNION ALL
        SELECT (SELECT account_id FROM effect WHERE finished_at IS NULL AND account_id > account.id
                 ORDER BY account_id LIMIT 1)
          FROM account WHERE account.id IS NOT NULL
    ), candidates AS (
        SELECT waiting.*, account.id AS account_id
          FROM account CROSS JOIN LATERAL (
            SELECT e.id, e.subject_kind, e.subject_id, e.priority, e.state,
                   CASE WHEN e.subject_kind = 'account' THEN e.command ELSE '' END AS lane
              FROM effect e
             WHERE e.account_id = account.id AND e.priority <= :up_to
               AND e.finished_at IS NULL AND e.not_before <= now()
               AND (e.state <> 'leased' OR e.lease_until < now())
               AND NOT (e.account_id = ANY(CAST(:held AS uuid[])) AND e.command = :set_quantity
                        AND e.priority > :urgent)
               AND NOT EXISTS (
                   SELECT 1 FROM effect b
                    WHERE b.tenant_id = e.tenant_id AND b.subject_kind = e.subject_kind
                      AND b.subject_id = e.subject_id AND b.state = 'leased' AND b.finished_at IS NULL
                      AND b.lease_until >= now() AND b.id <> e.id
                      AND NOT (b.bulk AND e.priority <= :urgent)
                      AND (e.subject_kind <> 'account' OR b.command = e.command))
             ORDER BY e.priority, e.id LIMIT 4 * :limit) AS waiting
    ), next AS (
        SELECT DISTINCT ON (subject_kind, subject_id, lane) id, priority, state, account_id
        FROM candidates ORDER BY subject_kind, subject_id, lane, priority, id
    ), turns AS (
        SELECT id, priority, state,
               coalesce((CAST(:busy AS json) ->> CAST(account_id AS text))::int, 0)
               + row_number() OVER (PARTITION BY account_id ORDER BY priority, id) AS turn
          FROM next
    ), chosen AS (
        SELECT * FROM turns
         ORDER BY priority > :urgent, turn, priority, id LIMIT :limit
    ), taken AS (
        UPDATE effect e
           SET state = 'leased', lease_owner = :owner, lease_until = now() + make_interval(secs => :lease),
               epoch = e.epoch + 1, attempts = e.attempts + 1, bulk = false
          FROM chosen
         WHERE e.id = chosen.id AND e.finished_at IS NULL AND (e.state <> 'leased' OR e.lease_until < now())
        RETURNING e.id, e.tenant_id, e.account_id, e.command, e.payload, e.key, e.subject_kind, e.subject_id,
                  e.attempts, e.epoch, chosen.state <> 'pending' AS uncertain, e.correlation_id, e.traceparent,
                  e.created_at, e.priority, coalesce(e.result ->> 'taken', '') AS taken_as
    )
    SELECT taken.*, NULL::float8 AS due, NULL::boolean AS more FROM taken
    UNION ALL
    SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
           extract(epoch FROM min(at) FILTER (WHERE at > now()) - now())::float8,
           (SELECT count(*) FROM taken) >= :limit OR coalesce(bool_or(at <= now()), false)
      FROM (SELECT greatest(not_before, lease_until) AS at FROM effect
             WHERE finished_at IS NULL AND id NOT IN (SELECT id FROM taken)
               AND (SELECT count(*) FROM taken) < :limit) AS others
    """
)


@dataclass(frozen=True)
class Claim:
    """Effects leased to a worker. Of the others: the seconds until the next is due (None: none is to come, or there
    was no room for it), and whether some are due already and wait for room or for their subject."""

    effects: list[ClaimedEffect]
    due: float | None
    more: bool


async def take_turn(session: AsyncSession) -> None:
    """One claim at a time, until the transaction ends."""
    await session.execute(_TAKE_TURN, {"lock": _CLAIM_LOCK})


async def claim(
    session: AsyncSession,
    *,
    owner: str,
    limit: int,
    lease_seconds: float,
    up_to: int = LEAST_URGENT,
    held: Collection[UUID] = (),
    busy: Mapping[UUID, int] | None = None,
) -> Claim:
    """The most urgent effects, one a subject, leased to `owner`.

    `up_to` is the least urgent priority that is wanted; accounts `held` have enough bulk calls under way, so that their
    other quantities wait; `busy` is how much each account has under way already.
    """
    await take_turn(session)
    values = {
        **URGENCY,
        "owner": owner,
        "limit": limit,
        "lease": lease_seconds,
        "up_to": up_to,
        "held": list(held),
        "busy": orjson.dumps({str(account): count for account, count in (busy or {}).items()}).decode(),
    }
    *found, last = (await session.execute(_CLAIM, values)).all()
    found.sort(key=lambda row: (row.priority, row.id))
    return Claim([ClaimedEffect(*row[:16]) for row in found], last.due, last.more)


async def release_earlier_lives(session: AsyncSession, slot: str, owner: str) -> int:
    """A worker starts: what its earlier lives held may have happened, and is claimed again at once."""
    result = await session.execute(
        update(Effect)
        .where(
            Effect.state == "leased",
            Effect.finished_at.is_(None),
            Effect.lease_owner.like(f"{slot}:%"),
            Effect.lease_owner != owner,
        )
        .values(state="unknown", lease_until=None)
        .returning(Effect.id)
        .execution_options(synchronize_session=False)
    )
    return len(result.scalars().all())


@dataclass(frozen=True)
class Outcome:
    """What came of one attempt. `retry_in` seconds gives the effect back for another instead of finishing it.

    `shown` is a listing with the quantity its channel shows now (None: it does not say), noted with the receipt.
    """

    state: str
    outcome: str
    started_at: datetime
    detail: str = ""
    vendor_code: str = ""
    result: dict[str, Any] | None = None
    retry_in: float | None = None
    shown: tuple[UUID, int | None] | None = None


_FINISH = text(
    """
    WITH told AS (
        SELECT * FROM json_to_recordset(CAST(:told AS json)) AS t(
               id uuid, epoch bigint, state text, result jsonb, retry_in float8, receipt_id uuid, attempt bigint,
               outcome text, detail text, vendor_code text, started_at timestamptz, listing_id uuid, quantity bigint)
    ), ours AS (
        UPDATE effect e
           SET state = told.state, lease_until = NULL,
               result = CASE WHEN told.state = 'unknown' THEN e.result ELSE '{}' END || told.result,
               not_before = coalesce(:now + make_interval(secs => told.retry_in), e.not_before),
               finished_at = CASE WHEN told.retry_in IS NULL THEN :now END
          FROM told
         WHERE e.id = told.id AND e.state = 'leased' AND e.epoch = told.epoch
        RETURNING e.id
    ), receipts AS (
        INSERT INTO receipt (id, tenant_id, effect_id, attempt, outcome, detail, vendor_code, started_at, finished_at)
        SELECT receipt_id, :tenant_id, id, attempt, outcome, detail, vendor_code, started_at, :now
          FROM told JOIN ours USING (id)
        ON CONFLICT (effect_id, attempt) DO NOTHING
    ), shown AS (
        UPDATE listing SET quantity_shown = told.quantity, updated_at = :now
          FROM told JOIN ours USING (id)
         WHERE listing.id = told.listing_id
    )
    SELECT id FROM ours
    """
)


async def finish(
    session: AsyncSession, tenant_id: UUID, finished: Sequence[tuple[ClaimedEffect, Outcome]]
) -> set[UUID]:
    """Write receipts and the effects' new states; returns those whose lease was still ours. Of others nothing is kept.

    A tenant's own session.
    """
    told = [
        {
            "id": effect.id,
            "epoch": effect.epoch,
            "state": outcome.state,
            "result": outcome.result or {},
            "retry_in": outcome.retry_in,
            "receipt_id": new_id(),
            "attempt": effect.attempts,
            "outcome": outcome.outcome,
            "detail": outcome.detail[:1000],
            "vendor_code": outcome.vendor_code[:100],
            "started_at": outcome.started_at,
            "listing_id": outcome.shown[0] if outcome.shown else None,
            "quantity": outcome.shown[1] if outcome.shown else None,
        }
        for effect, outcome in finished
    ]
    values = {"tenant_id": tenant_id, "now": utc_now(), "told": orjson.dumps(told).decode()}
    return set((await session.execute(_FINISH, values)).scalars())


async def put_back(session: AsyncSession, effect: ClaimedEffect, seconds: float, *, uncertain: bool = False) -> None:
    """Not now (account paused, circuit open): wait without counting an attempt."""
    await session.execute(
        update(Effect)
        .where(Effect.id == effect.id, Effect.state == "leased", Effect.epoch == effect.epoch)
        .values(
            state="unknown" if uncertain or effect.uncertain else "pending",
            lease_until=None,
            attempts=Effect.attempts - 1,
            not_before=utc_now() + timedelta(seconds=seconds),
        )
        .execution_options(synchronize_session=False)
    )


async def is_outrun(session: AsyncSession, effect: ClaimedEffect) -> bool:
    """Whether a newer effect wants the same of the same subject: this one would put back what is out of date."""
    found = await session.scalar(
        select(Effect.id)
        .where(
            Effect.tenant_id == effect.tenant_id,
            Effect.command == effect.command,
            Effect.subject_kind == effect.subject_kind,
            Effect.subject_id == effect.subject_id,
            Effect.id > effect.id,
            Effect.state != "rejected",
        )
        .limit(1)
    )
    return found is not None


async def sent_price(session: AsyncSession, effect: ClaimedEffect, price_minor: int) -> bool:
    """Whether an earlier effect sent this price to the subject of `effect`, and nobody knows that it did not arrive."""
    found = await session.scalar(
        select(Effect.id)
        .where(
            Effect.tenant_id == effect.tenant_id,
            Effect.command == effect.command,
            Effect.subject_kind == effect.subject_kind,
            Effect.subject_id == effect.subject_id,
            Effect.id != effect.id,
            Effect.attempts > 0,
            Effect.state.not_in(("confirmed", "rejected")),
            Effect.created_at > effect.created_at - _DOUBTFUL,
            Effect.payload["price"]["amount_minor"].as_integer() == price_minor,
        )
        .limit(1)
    )
    return found is not None


async def offer_told(session: AsyncSession, listing_id: UUID) -> dict[str, Any] | None:
    """The offer in the newest publication or revision that is on its way or was confirmed, as it was written down.

    None when there is none, or when nobody knows whether the newest one took effect.
    """
    row = (
        await session.execute(
            select(Effect.payload, Effect.state, Effect.finished_at)
            .where(
                Effect.subject_kind == "listing",
                Effect.subject_id == listing_id,
                Effect.command.in_(("PublishListing", "ReviseListing")),
                Effect.state.not_in(("rejected", "superseded")),
            )
            .order_by(Effect.id.desc())
            .limit(1)
        )
    ).one_or_none()
    if row is None or (row.state == "unknown" and row.finished_at is not None):
        return None
    offer: dict[str, Any] = row.payload["offer"]
    return offer
