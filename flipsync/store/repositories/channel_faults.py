"""Rows of what was found out about channels, and of what came by webhook, for the watch to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.commands import EnsureWebhooks
from flipsync.domain.ids import new_id
from flipsync.store.models import ChannelFault, Effect, WebhookDelivery, WebhookTrouble

_NOTE = text(
    """
    INSERT INTO webhook_trouble (id, tenant_id, account_id, kind, minute, last_at, count)
    VALUES (:id, :tenant_id, :account_id, :kind, date_trunc('minute', CAST(:at AS timestamptz)), :at, :count)
    ON CONFLICT (account_id, kind, minute)
    DO UPDATE SET count = webhook_trouble.count + excluded.count, last_at = excluded.last_at
    """
)


@dataclass(frozen=True)
class Arrived:
    """A delivery (or `count` of them in a minute) as the books have it; `kind` is "" for genuine new ones."""

    kind: str
    at: datetime
    order_id: str = ""
    changed_at: datetime | None = None
    count: int = 1


async def open_faults(session: AsyncSession, account_id: UUID | None = None) -> Sequence[ChannelFault]:
    """What is the matter now, oldest first; of one account, or of all of the tenant's."""
    query = select(ChannelFault).where(ChannelFault.closed_at.is_(None)).order_by(ChannelFault.opened_at)
    if account_id is not None:
        query = query.where(ChannelFault.account_id == account_id)
    return (await session.scalars(query)).all()


async def get(session: AsyncSession, fault_id: UUID) -> ChannelFault | None:
    return await session.get(ChannelFault, fault_id)


async def open_one(
    session: AsyncSession,
    tenant_id: UUID,
    account_id: UUID,
    *,
    cause: str,
    since: datetime,
    now: datetime,
    evidence: Sequence[str],
    hint: str,
) -> UUID | None:
    """The id of the new row; None when somebody else has just opened it."""
    values = {
        "id": new_id(),
        "tenant_id": tenant_id,
        "account_id": account_id,
        "cause": cause,
        "since": since,
        "opened_at": now,
        "last_seen_at": now,
        "evidence": list(evidence),
        "hint": hint,
    }
    statement = insert(ChannelFault).values(values)
    statement = statement.on_conflict_do_nothing(
        index_elements=["account_id", "cause"], index_where=text("closed_at IS NULL")
    )
    found: UUID | None = (await session.execute(statement.returning(ChannelFault.id))).scalar()
    return found


async def seen_again(session: AsyncSession, fault_id: UUID, now: datetime, evidence: Sequence[str]) -> None:
    await session.execute(
        update(ChannelFault)
        .where(ChannelFault.id == fault_id)
        .values(last_seen_at=now, evidence=list(evidence))
        .execution_options(synchronize_session=False)
    )


async def close_one(session: AsyncSession, fault_id: UUID, now: datetime) -> bool:
    """False when somebody else has closed it."""
    done = await session.execute(
        update(ChannelFault)
        .where(ChannelFault.id == fault_id, ChannelFault.closed_at.is_(None))
        .values(closed_at=now)
        .returning(ChannelFault.id)
        .execution_options(synchronize_session=False)
    )
    return done.scalar() is not None


async def note_trouble(
    session: AsyncSession, tenant_id: UUID, account_id: UUID, kind: str, at: datetime, count: int
) -> None:
    """Count deliveries that were not taken in; one row a minute."""
    values = {"id": new_id(), "tenant_id": tenant_id, "account_id": account_id, "kind": kind, "at": at, "count": count}
    await session.execute(_NOTE, values)


async def delivered_at(session: AsyncSession, account_id: UUID, dedup_key: str) -> datetime | None:
    """When a fact was first delivered."""
    query = select(WebhookDelivery.received_at).where(
        WebhookDelivery.account_id == account_id, WebhookDelivery.dedup_key == dedup_key
    )
    found: datetime | None = await session.scalar(query)
    return found


async def was_subscribed(session: AsyncSession, account_id: UUID) -> bool:
    """Whether the account's webhooks were made once: before that, none are missing."""
    query = select(Effect.id).where(
        Effect.account_id == account_id, Effect.command == EnsureWebhooks.type_name(), Effect.state == "confirmed"
    )
    return await session.scalar(query.limit(1)) is not None


async def arrivals(session: AsyncSession, account_id: UUID, after: datetime) -> list[Arrived]:
    """What came after that moment (real time), in the order it came."""
    new = await session.execute(
        select(WebhookDelivery.received_at, WebhookDelivery.order_id, WebhookDelivery.changed_at).where(
            WebhookDelivery.account_id == account_id, WebhookDelivery.received_at > after
        )
    )
    bad = await session.execute(
        select(WebhookTrouble.kind, WebhookTrouble.last_at, WebhookTrouble.count).where(
            WebhookTrouble.account_id == account_id,
            WebhookTrouble.last_at > after,
            WebhookTrouble.minute > after - timedelta(minutes=2),
        )
    )
    rows = [Arrived("", at, order_id, changed_at) for at, order_id, changed_at in new]
    rows += [Arrived(kind, at, count=int(count)) for kind, at, count in bad]
    return sorted(rows, key=lambda row: row.at)
