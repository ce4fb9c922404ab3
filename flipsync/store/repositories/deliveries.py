"""Statements about where people are told outside the app, and what came of telling them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.ids import new_id
from flipsync.store.models import (
    InstallationSecret,
    Notification,
    NotificationDelivery,
    NotificationDestination,
    User,
    UserSession,
)


@dataclass(frozen=True)
class Target:
    """A destination as far as planning needs it."""

    id: UUID
    user_id: UUID
    channel: str


@dataclass(frozen=True)
class ClaimedDelivery:
    """A message whose turn it is. `cut_off`: an earlier try began and nobody knows how it ended."""

    id: UUID
    user_id: UUID
    destination_id: UUID
    purpose: str
    about: tuple[UUID, ...]
    attempts: int
    cut_off: bool


# -- destinations -----------------------------------------------------------------------------------------------------


async def add_destination(session: AsyncSession, values: dict[str, Any]) -> None:
    session.add(NotificationDestination(**values))
    await session.flush()


async def destinations_of(session: AsyncSession, user_id: UUID) -> Sequence[NotificationDestination]:
    """Those there are, oldest first."""
    mine = NotificationDestination
    query = select(mine).where(mine.user_id == user_id, mine.state != "removed").order_by(mine.id)
    return (await session.scalars(query)).all()


async def lock_person(session: AsyncSession, user_id: UUID) -> bool:
    """Held until the transaction ends: what is counted of theirs stays so. False where there is nobody."""
    query = select(User.id).where(User.id == user_id, User.disabled_at.is_(None)).with_for_update()
    return (await session.execute(query)).scalar_one_or_none() is not None


async def destination(session: AsyncSession, destination_id: UUID) -> NotificationDestination | None:
    mine = NotificationDestination
    query = select(mine).where(mine.id == destination_id, mine.state != "removed")
    return (await session.scalars(query)).one_or_none()


async def lock_marked(session: AsyncSession, mark: str) -> Sequence[NotificationDestination]:
    """Of the browser with this mark, whoever in the business it tells; held until the transaction ends."""
    mine = NotificationDestination
    query = select(mine).where(mine.mark == mark, mine.state != "removed").order_by(mine.id).with_for_update()
    return (await session.scalars(query.execution_options(populate_existing=True))).all()


async def renew_destination(session: AsyncSession, destination_id: UUID, values: dict[str, Any]) -> None:
    await session.execute(
        update(NotificationDestination)
        .where(NotificationDestination.id == destination_id, NotificationDestination.state != "removed")
        .values(**values)
        .execution_options(synchronize_session="fetch")
    )


async def signed_in(session: AsyncSession, session_id: UUID) -> bool:
    """Whether that sign-in still lasts."""
    mine = UserSession
    query = select(mine.id).where(mine.id == session_id, mine.revoked_at.is_(None), mine.expires_at > func.now())
    return (await session.execute(query)).scalar_one_or_none() is not None


async def remove_destination(session: AsyncSession, user_id: UUID, destination_id: UUID) -> bool:
    """Its secret is gone at once, what was sent there is known for a while; False where it is not that person's."""
    mine = NotificationDestination
    gone = await session.execute(
        update(mine)
        .where(mine.id == destination_id, mine.user_id == user_id, mine.state != "removed")
        .values(state="removed", sealed=b"", detail="", mark=None)
        .execution_options(synchronize_session=False)
    )
    return bool(gone.rowcount)  # type: ignore[attr-defined]


async def set_destination(session: AsyncSession, destination_id: UUID, state: str, detail: str) -> None:
    await session.execute(
        update(NotificationDestination)
        .where(NotificationDestination.id == destination_id, NotificationDestination.state != "removed")
        .values(state=state, detail=detail)
        .execution_options(synchronize_session=False)
    )


async def working(session: AsyncSession) -> list[Target]:
    """Where everybody can be told."""
    mine = NotificationDestination
    query = select(mine.id, mine.user_id, mine.channel).where(mine.state == "working").order_by(mine.id)
    return [Target(*row) for row in await session.execute(query)]


async def installation_secret(session: AsyncSession, name: str) -> bytes | None:
    """Sealed. It is no business's: every one finds the same."""
    query = select(InstallationSecret.sealed).where(InstallationSecret.name == name)
    return (await session.execute(query)).scalar_one_or_none()


async def keep_installation_secret(session: AsyncSession, name: str, sealed: bytes) -> None:
    """Unless there is one: the first of two stays."""
    values = {"name": name, "sealed": sealed, "created_at": func.now()}
    await session.execute(pg_insert(InstallationSecret).values(**values).on_conflict_do_nothing())


# -- planning ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Untold:
    """A notification nobody has thought of yet for outside the app."""

    id: UUID
    user_id: UUID
    kind: str
    severity: str
    raised_at: datetime


async def untold(session: AsyncSession, most: int) -> list[Untold]:
    """What is the matter and was not thought of yet for outside the app, urgent and oldest first; nobody else plans it
    now."""
    told = Notification
    query = (
        select(told.id, told.user_id, told.kind, told.severity, told.raised_at)
        .where(told.settled_at.is_(None), told.told_at.is_(None))
        .order_by(told.severity != "urgent", told.raised_at, told.id)
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    return [Untold(*row) for row in await session.execute(query)]


async def mark_told(session: AsyncSession, notification_ids: Collection[UUID], at: datetime) -> None:
    if notification_ids:
        await session.execute(
            update(Notification)
            .where(Notification.id.in_(notification_ids))
            .values(told_at=at)
            .execution_options(synchronize_session=False)
        )


async def sent_since(session: AsyncSession, user_ids: Collection[UUID], since: datetime) -> dict[UUID, int]:
    """By person: messages made since then for whichever of their destinations got most of them; tests aside."""
    mine = NotificationDelivery
    each = (
        select(mine.user_id, mine.destination_id, func.count().label("count"))
        .where(mine.user_id.in_(user_ids), mine.created_at >= since, mine.purpose != "test")
        .group_by(mine.user_id, mine.destination_id)
        .subquery()
    )
    found = await session.execute(select(each.c.user_id, func.max(each.c.count)).group_by(each.c.user_id))
    return {row[0]: row[1] for row in found}


async def tests_since(session: AsyncSession, user_id: UUID, since: datetime) -> int:
    mine = NotificationDelivery
    query = select(func.count()).where(mine.user_id == user_id, mine.purpose == "test", mine.created_at >= since)
    return int(await session.scalar(query) or 0)


async def put(session: AsyncSession, tenant_id: UUID, rows: Sequence[dict[str, Any]]) -> list[UUID]:
    """Messages that wait for their turn."""
    made = [NotificationDelivery(id=new_id(), tenant_id=tenant_id, **row) for row in rows]
    session.add_all(made)
    await session.flush()
    return [each.id for each in made]


# -- delivering -------------------------------------------------------------------------------------------------------

_CLAIM = text(
    """
    WITH due AS (
        SELECT id, state FROM notification_delivery
         WHERE finished_at IS NULL
           AND ((state = 'waiting' AND not_before <= :now) OR (state = 'sending' AND lease_until < :now))
         ORDER BY not_before, id LIMIT :most FOR UPDATE SKIP LOCKED)
    UPDATE notification_delivery d SET state = 'sending', attempts = d.attempts + 1, lease_until = :until
      FROM due WHERE due.id = d.id
    RETURNING d.id, d.user_id, d.destination_id, d.purpose, d.about, d.attempts, due.state = 'sending' AS cut_off
    """
)


async def claim(session: AsyncSession, now: datetime, until: datetime, most: int) -> list[ClaimedDelivery]:
    """Messages whose turn it is, each for one process, until then."""
    found = await session.execute(_CLAIM, {"now": now, "until": until, "most": most})
    return [
        ClaimedDelivery(
            row.id,
            row.user_id,
            row.destination_id,
            row.purpose,
            tuple(UUID(each) for each in row.about),
            row.attempts,
            row.cut_off,
        )
        for row in found
    ]


async def of_message(session: AsyncSession, user_id: UUID, about: Collection[UUID]) -> Sequence[Notification]:
    """That person's, of those, that are still the matter; newest first."""
    query = (
        select(Notification)
        .where(Notification.id.in_(about), Notification.user_id == user_id, Notification.settled_at.is_(None))
        .order_by(Notification.raised_at.desc(), Notification.id.desc())
    )
    return (await session.scalars(query)).all()


async def finish(session: AsyncSession, delivery_id: UUID, attempt: int, state: str, detail: str, at: datetime) -> bool:
    """How it ended; False when another try has begun in the meantime, which has the say then."""
    return await _end(session, delivery_id, attempt, state=state, detail=detail, finished_at=at, lease_until=None)


async def put_off(session: AsyncSession, delivery_id: UUID, attempt: int, detail: str, not_before: datetime) -> bool:
    """It is tried again then."""
    return await _end(
        session, delivery_id, attempt, state="waiting", detail=detail, not_before=not_before, lease_until=None
    )


async def _end(session: AsyncSession, delivery_id: UUID, attempt: int, **values: Any) -> bool:
    mine = NotificationDelivery
    done = await session.execute(
        update(mine)
        .where(mine.id == delivery_id, mine.attempts == attempt, mine.state == "sending")
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    return bool(done.rowcount)  # type: ignore[attr-defined]


async def of_person(
    session: AsyncSession, *, user_id: UUID, limit: int, after: UUID | None = None
) -> Sequence[tuple[NotificationDelivery, str]]:
    """(message, where it went as it may be shown), newest first."""
    mine = NotificationDelivery
    query = (
        select(mine, NotificationDestination.shown)
        .join(NotificationDestination, NotificationDestination.id == mine.destination_id)
        .where(mine.user_id == user_id)
        .order_by(mine.id.desc())
        .limit(limit)
    )
    if after is not None:
        query = query.where(mine.id < after)
    return [(row[0], row[1]) for row in await session.execute(query)]
