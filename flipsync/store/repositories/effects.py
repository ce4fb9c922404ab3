"""The outbox: claiming across tenants (worker role), finishing within one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.clock import utc_now
from flipsync.domain.ids import new_id
from flipsync.store.models import Effect, Receipt
from flipsync.store.unit_of_work import UnitOfWork

_CLAIM_LOCK = 0x666C6566


@dataclass(frozen=True)
class ClaimedEffect:
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


# The last conditions repeat: somebody may have superseded the row since it was looked at.
# One effect a subject at a time: a listing's writes never overtake each other. `uncertain` says that an earlier attempt
# may have happened (its worker died, or the answer never came): the handler reads back before it writes.
_CLAIM = text(
    """
    WITH candidates AS (
        SELECT e.id, e.subject_kind, e.subject_id, e.priority, e.state, e.attempts
        FROM effect e
        WHERE e.finished_at IS NULL AND e.not_before <= now()
          AND (e.state <> 'leased' OR e.lease_until < now())
          AND NOT EXISTS (
              SELECT 1 FROM effect b
              WHERE b.tenant_id = e.tenant_id AND b.subject_kind = e.subject_kind AND b.subject_id = e.subject_id
                AND b.state = 'leased' AND b.finished_at IS NULL AND b.lease_until >= now() AND b.id <> e.id)
        ORDER BY e.priority, e.id LIMIT 4 * :limit
    ), next AS (
        SELECT DISTINCT ON (subject_kind, subject_id) id, priority, state
        FROM candidates ORDER BY subject_kind, subject_id, priority, id
    ), chosen AS (SELECT * FROM next ORDER BY priority, id LIMIT :limit)
    UPDATE effect e
       SET state = 'leased', lease_owner = :owner, lease_until = now() + make_interval(secs => :lease),
           epoch = e.epoch + 1, attempts = e.attempts + 1
      FROM chosen
     WHERE e.id = chosen.id AND e.finished_at IS NULL AND (e.state <> 'leased' OR e.lease_until < now())
    RETURNING e.id, e.tenant_id, e.account_id, e.command, e.payload, e.key, e.subject_kind, e.subject_id, e.attempts,
              e.epoch, chosen.state <> 'pending' AS uncertain, e.correlation_id, e.traceparent, e.created_at, e.priority
    """
)


async def claim(session: AsyncSession, *, owner: str, limit: int, lease_seconds: float) -> list[ClaimedEffect]:
    """The most urgent effects, one a subject, leased to `owner`."""
    await session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _CLAIM_LOCK})
    rows = await session.execute(_CLAIM, {"owner": owner, "limit": limit, "lease": lease_seconds})
    found = sorted(rows, key=lambda row: (row.priority, row.id))
    return [
        ClaimedEffect(
            row.id,
            row.tenant_id,
            row.account_id,
            row.command,
            row.payload,
            row.key,
            row.subject_kind,
            row.subject_id,
            row.attempts,
            row.epoch,
            row.uncertain,
            row.correlation_id,
            row.traceparent,
            row.created_at,
        )
        for row in found
    ]


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


async def finish(
    unit: UnitOfWork,
    effect: ClaimedEffect,
    *,
    state: str,
    outcome: str,
    detail: str,
    vendor_code: str,
    started_at: datetime,
    retry_in: float | None = None,
    result: dict[str, Any] | None = None,
) -> bool:
    """Write the receipt and the effect's new state; False when the lease is no longer ours (nothing is written then).

    `retry_in` gives the effect back for another attempt instead of finishing it.
    """
    final = retry_in is None
    taken = await unit.session.execute(
        update(Effect)
        .where(Effect.id == effect.id, Effect.state == "leased", Effect.epoch == effect.epoch)
        .values(
            state=state,
            lease_until=None,
            result=result or {},
            not_before=Effect.not_before if final else utc_now() + timedelta(seconds=retry_in or 0.0),
            finished_at=utc_now() if final else None,
        )
        .returning(Effect.id)
        .execution_options(synchronize_session=False)
    )
    if taken.scalar() is None:
        return False
    await unit.session.execute(
        insert(Receipt)
        .values(
            id=new_id(),
            tenant_id=unit.tenant_id,
            effect_id=effect.id,
            attempt=effect.attempts,
            outcome=outcome,
            detail=detail[:1000],
            vendor_code=vendor_code[:100],
            started_at=started_at,
            finished_at=utc_now(),
        )
        .on_conflict_do_nothing(index_elements=["effect_id", "attempt"])
    )
    return True


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


async def next_due(session: AsyncSession) -> float | None:
    """Seconds until some effect can be claimed; None when none waits."""
    seconds = await session.scalar(
        select(
            func.extract(
                "epoch",
                func.min(func.greatest(Effect.not_before, func.coalesce(Effect.lease_until, Effect.not_before)))
                - func.now(),
            )
        ).where(Effect.finished_at.is_(None))
    )
    return None if seconds is None else max(0.0, float(seconds))
