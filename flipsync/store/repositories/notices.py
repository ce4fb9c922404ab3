"""Statements about what people are told and how they want it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, Text, bindparam, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.ids import new_id
from flipsync.store.models import CustomRole, Notification, NotificationDestination, NotificationPreference, User
from flipsync.store.reading import Question, among, among_ids, where
from flipsync.store.sorting import SortedQuestion, Sorts

#: rows an insert takes at a time: a statement has room for 65,535 values
_AT_ONCE = 2_000


@dataclass(frozen=True)
class Person:
    """Somebody who may be told. `own`: id, version, name and permissions of the business's own role."""

    id: UUID
    email: str
    role: str
    own: tuple[UUID, int, str, list[str]] | None = None


@dataclass(frozen=True)
class Told:
    """What somebody was told that is not settled."""

    id: UUID
    user_id: UUID
    kind: str
    source: str
    key: str
    facts: dict[str, Any]


async def people(session: AsyncSession) -> list[Person]:
    """Who can sign in."""
    query = (
        select(User.id, User.email, User.role, CustomRole)
        .outerjoin(CustomRole, CustomRole.id == User.role_id)
        .where(User.disabled_at.is_(None), User.password_hash != "")
        .order_by(User.id)
    )
    return [
        Person(each, email, role, (own.id, own.version, own.name, own.permissions) if own is not None else None)
        for each, email, role, own in await session.execute(query)
    ]


async def unsettled(session: AsyncSession) -> list[Told]:
    """All that people were told of and that is still the matter, as far as is known."""
    columns = (Notification.id, Notification.user_id, Notification.kind, Notification.source, Notification.key)
    found = await session.execute(select(*columns, Notification.facts).where(Notification.settled_at.is_(None)))
    return [Told(*row) for row in found]


async def raise_all(session: AsyncSession, tenant_id: UUID, rows: Sequence[dict[str, Any]], at: datetime) -> set[UUID]:
    """Tell of matters: the ids of rows that are new, or of matters that were settled and are there again."""
    fresh: set[UUID] = set()
    for start in range(0, len(rows), _AT_ONCE):
        insert = pg_insert(Notification).values(
            [
                {"id": new_id(), "tenant_id": tenant_id, "raised_at": at, "times": 1, **row}
                for row in rows[start : start + _AT_ONCE]
            ]
        )
        again = {name: getattr(insert.excluded, name) for name in ("raised_at", "severity", "facts")}
        nothing = dict.fromkeys(("read_at", "told_at", "settled_at"))
        found = await session.execute(
            insert.on_conflict_do_update(
                index_elements=["user_id", "key"],
                set_={**again, **nothing, "times": Notification.times + 1},
                where=Notification.settled_at.is_not(None),
            ).returning(Notification.id)
        )
        fresh.update(found.scalars())
    return fresh


async def settle(session: AsyncSession, notification_ids: Collection[UUID], at: datetime) -> int:
    """They are the matter no more; how many were so until now."""
    if not notification_ids:
        return 0
    done = await session.execute(
        update(Notification)
        .where(Notification.id.in_(notification_ids), Notification.settled_at.is_(None))
        .values(settled_at=at)
        .execution_options(synchronize_session=False)
    )
    return int(done.rowcount)  # type: ignore[attr-defined]


_FACTS = text("UPDATE notification SET facts = facts || :facts WHERE id = ANY (:ids)").bindparams(
    bindparam("facts", type_=JSONB)
)


async def renew_facts(session: AsyncSession, notification_ids: Collection[UUID], facts: dict[str, Any]) -> None:
    """What is known of a matter has changed; nobody is told again."""
    await session.execute(_FACTS, {"ids": list(notification_ids), "facts": facts})


# -- one person's -----------------------------------------------------------------------------------------------------


def _of_person(given: frozenset[str]) -> Select[*tuple[Any, ...]]:
    mine = select(*Notification.__table__.c).where(
        Notification.user_id == bindparam("user_id"), Notification.kind == among("kinds", Text())
    )
    return where(
        mine,
        given,
        settled=Notification.settled_at.is_not(None),
        unsettled=Notification.settled_at.is_(None),
        read=Notification.read_at.is_not(None),
        unread=Notification.read_at.is_(None),
        severity=Notification.severity == bindparam("severity"),
    )


OF_PERSON_SORTS = Sorts(Notification.id, default="-raised_at", raised_at=Notification.raised_at)
#: user_id, kinds, and perhaps severity, and any of the words settled, unsettled, read, unread
OF_PERSON = SortedQuestion(OF_PERSON_SORTS, _of_person)
#: user_ids: by person and kind, how many they have not read and are still the matter
UNREAD = Question(
    lambda _: (
        select(Notification.user_id, Notification.kind, func.count().label("unread"))
        .where(
            Notification.user_id == among_ids("user_ids"),
            Notification.settled_at.is_(None),
            Notification.read_at.is_(None),
        )
        .group_by(Notification.user_id, Notification.kind)
    )
)


async def one_of(session: AsyncSession, user_id: UUID, notification_id: UUID) -> Notification | None:
    """Only if it is that person's."""
    query = select(Notification).where(Notification.id == notification_id, Notification.user_id == user_id)
    return (await session.scalars(query)).one_or_none()


async def mark_read(session: AsyncSession, user_id: UUID, at: datetime, *, notification_id: UUID | None = None) -> int:
    """One, or all of that person's that were raised until then; how many were unread."""
    query = update(Notification).where(Notification.user_id == user_id, Notification.read_at.is_(None))
    which = Notification.raised_at <= at if notification_id is None else Notification.id == notification_id
    done = await session.execute(query.where(which).values(read_at=at).execution_options(synchronize_session=False))
    return int(done.rowcount)  # type: ignore[attr-defined]


async def preference(session: AsyncSession, user_id: UUID) -> NotificationPreference | None:
    query = select(NotificationPreference).where(NotificationPreference.user_id == user_id)
    return (await session.scalars(query)).one_or_none()


async def preferences(session: AsyncSession) -> dict[UUID, dict[str, Any]]:
    """Everybody's who has said anything."""
    query = select(NotificationPreference.user_id, NotificationPreference.choices)
    return {row.user_id: row.choices for row in await session.execute(query)}


async def put_preference(
    session: AsyncSession, tenant_id: UUID, user_id: UUID, choices: dict[str, Any], expected_version: int
) -> int | None:
    """The new version; None when they are not at `expected_version` (0: nothing was said yet) any more."""
    if expected_version == 0:
        made = await session.execute(
            pg_insert(NotificationPreference)
            .values(id=new_id(), tenant_id=tenant_id, user_id=user_id, choices=choices, version=1)
            .on_conflict_do_nothing(index_elements=["user_id"])
            .returning(NotificationPreference.version)
        )
        return made.scalar_one_or_none()
    mine = NotificationPreference
    changed = await session.execute(
        update(mine)
        .where(mine.user_id == user_id, mine.version == expected_version)
        .values(choices=choices, version=mine.version + 1)
        .returning(mine.version)
        .execution_options(synchronize_session=False)
    )
    return changed.scalar_one_or_none()


async def forget_person(session: AsyncSession, user_id: UUID) -> None:
    """All that was told to them, how they wanted it and where, with what was sent there."""
    for table in (NotificationDestination, Notification, NotificationPreference):
        await session.execute(
            delete(table).where(table.user_id == user_id).execution_options(synchronize_session=False)
        )
