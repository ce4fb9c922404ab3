"""What one person was told, in the app: the list, what they have not read, and having read it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from flipsync.domain.clock import utc_now
from flipsync.domain.errors import NotFound
from flipsync.domain.ids import new_id
from flipsync.services.notices import wording
from flipsync.services.notices.kinds import Kind, Severity, as_kind
from flipsync.services.reading_page import Moment, Page, SortedRequest, View, cut, sorted_by
from flipsync.store.database import SessionReader
from flipsync.store.reading import Reader, Rows
from flipsync.store.repositories import notices as rows
from flipsync.store.unit_of_work import UnitOfWork

NotificationSort = Annotated[str | None, sorted_by(rows.OF_PERSON_SORTS)]

#: what is pushed to who is looking
CHANGED = "NotificationsChanged"


class NotificationView(View):
    """A matter as this person was told of it. `title` and `text` are plain text, not HTML."""

    id: UUID
    kind: Kind
    severity: Severity
    title: str
    text: str
    subject_kind: str
    subject_id: UUID | None
    link: str = Field(
        description="below the app's address", examples=["/approvals/019b2f4c-7c00-7000-8000-000000000000"]
    )
    raised_at: Moment
    times: int = Field(description="how often it was the matter, with a pause in between")
    read_at: Moment | None
    settled_at: Moment | None = Field(description="it is the matter no more")


class NotificationPage(Page[NotificationView]):
    """`unread`: how many in all are still the matter and not read."""

    unread: int = 0


class Unread(BaseModel):
    unread: int


class NotificationFilter(View):
    model_config = ConfigDict(frozen=True)

    kind: Kind | None = None
    severity: Severity | None = None
    settled: bool | None = Field(default=None, description="false: only what is still the matter")
    read: bool | None = Field(default=None, description="false: only what was not read")


async def list_for(
    reader: Reader, user_id: UUID, kinds: Collection[Kind], page: SortedRequest, where: NotificationFilter
) -> NotificationPage:
    """Newest first; only `kinds`, which are those the person's role is told of. Raises InvalidInput for a foreign
    cursor."""
    place = page.place(rows.OF_PERSON_SORTS)
    shown = rows.OF_PERSON(
        place,
        user_id=user_id,
        kinds=[kind for kind in kinds if where.kind in (None, kind)],
        severity=where.severity,
        **_words(settled=where.settled, read=where.read),
    )
    found, unread = await reader.ask(shown, rows.UNREAD(user_ids=[user_id]))
    listed = cut(found, page.limit, view, place.cursor_of)
    return NotificationPage(items=listed.items, next_cursor=listed.next_cursor, unread=_sum(unread, kinds))


async def newest_unread(reader: Reader, user_id: UUID, kinds: Collection[Kind], most: int) -> list[NotificationView]:
    """What is still the matter and was not read, newest first."""
    (found,) = await reader.ask(
        rows.OF_PERSON(
            rows.OF_PERSON_SORTS.first(most), user_id=user_id, kinds=list(kinds), **_words(settled=False, read=False)
        )
    )
    return [view(row) for row in found]


def _words(**choices: bool | None) -> dict[str, bool]:
    """settled=False → unsettled."""
    return {name if wanted else f"un{name}": True for name, wanted in choices.items() if wanted is not None}


async def count_unread(reader: Reader, user_id: UUID, kinds: Collection[Kind]) -> int:
    (counts,) = await reader.ask(rows.UNREAD(user_ids=[user_id]))
    return _sum(counts, kinds)


def _sum(counts: Rows, kinds: Collection[Kind]) -> int:
    return sum(row.unread for row in counts if row.kind in kinds)


async def read_one(unit: UnitOfWork, user_id: UUID, kinds: Collection[Kind], notification_id: UUID) -> NotificationView:
    """Have read it; reading again changes nothing. Raises NotFound for another person's as for none."""
    row = await rows.one_of(unit.session, user_id, notification_id)
    if row is None or row.kind not in kinds:
        raise NotFound(f"no notification {notification_id}")
    if await rows.mark_read(unit.session, user_id, utc_now(), notification_id=notification_id):
        await unit.session.refresh(row)
        push(unit, user_id, await count_unread(SessionReader(unit.session), user_id, kinds))
    return view(row)


async def read_all(unit: UnitOfWork, user_id: UUID, kinds: Collection[Kind]) -> Unread:
    """Have read all there is until now."""
    marked = await rows.mark_read(unit.session, user_id, utc_now())
    unread = await count_unread(SessionReader(unit.session), user_id, kinds)
    if marked:
        push(unit, user_id, unread)
    return Unread(unread=unread)


def view(row: Any) -> NotificationView:
    """`row` has the columns of a Notification."""
    kind = as_kind(row.kind)
    return NotificationView.model_validate(
        {
            "id": row.id,
            "kind": kind,
            "severity": row.severity,
            "title": wording.title(kind, row.facts),
            "text": wording.detail(kind, row.facts),
            "subject_kind": row.subject_kind,
            "subject_id": row.subject_id,
            "link": wording.path(row.subject_kind, row.subject_id),
            "raised_at": row.raised_at,
            "times": row.times,
            "read_at": row.read_at,
            "settled_at": row.settled_at,
        }
    )


def push(unit: UnitOfWork, user_id: UUID, unread: int, newest: Sequence[dict[str, Any]] = ()) -> None:
    """Tell the person's open connections, when this unit is done; theirs alone (`to`)."""
    unit.news.append(
        {
            "to": str(user_id),
            "id": str(new_id()),
            "type": CHANGED,
            "subject": {"kind": "user", "id": str(user_id)},
            "occurred_at": utc_now().isoformat(),
            "payload": {"unread": unread, "newest": list(newest)},
        }
    )
