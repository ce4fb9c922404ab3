"""The audit log: reading it, and finding the line that somebody changed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

from pydantic import AwareDatetime
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.services.reading_page import Moment, Page, PageRequest, View, cut
from flipsync.store import audit as rows
from flipsync.store.audit import ActorKind
from flipsync.store.reading import Reader

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_START = bytes(32)


class AuditView(View):
    """`hash` is over this line and the hash of the line before it (hexadecimal SHA-256)."""

    id: UUID
    seq: int
    at: Moment
    actor_kind: ActorKind
    actor_id: UUID | None
    action: str
    subject_kind: str
    subject_id: str
    details: dict[str, Any]
    address: str
    hash: str


class AuditFilter(View):
    action: str | None = None
    actor_id: UUID | None = None
    subject_id: str | None = None
    at_from: AwareDatetime | None = None
    at_before: AwareDatetime | None = None


async def list_entries(reader: Reader, page: PageRequest, where: AuditFilter) -> Page[AuditView]:
    """Newest first. Raises InvalidInput for a foreign cursor."""
    given = where.model_dump(include=set(AuditFilter.model_fields))
    (found,) = await reader.ask(rows.ENTRIES(limit=page.limit + 1, before=page.after_number(), **given))
    return cut(found, page.limit, _view, lambda row: [str(row.seq)])


@dataclass(frozen=True)
class Fault:
    """A line that is not as it was written, or a place where lines are missing."""

    seq: int
    entry_id: UUID | None
    what: str


@dataclass(frozen=True)
class Verdict:
    """`head` is the hash of the last line: keep it elsewhere, and a log cut short or written anew shows, too."""

    entries: int
    head_seq: int
    head: str
    faults: tuple[Fault, ...]

    @property
    def intact(self) -> bool:
        return not self.faults


async def verify(session: AsyncSession, anchor: tuple[int, str] | None = None) -> Verdict:
    """Check every line of the session's tenant. `anchor` is the head of an earlier verdict: number and hash."""
    faults: list[Fault] = []
    expected, before, count, anchored = 1, _START, 0, anchor is None or anchor[0] == 0
    async for row in rows.in_order(session):
        count += 1
        if row.seq != expected:
            faults.append(Fault(expected, None, f"lines {expected} to {row.seq - 1} are missing"))
        elif row.prev_hash != before:
            faults.append(Fault(row.seq, row.id, "it does not follow the line before it"))
        if line_hash(row) != row.hash:
            faults.append(Fault(row.seq, row.id, "it was changed after it was written"))
        if anchor is not None and row.seq == anchor[0]:
            anchored = True
            if row.hash.hex() != anchor[1]:
                faults.append(Fault(row.seq, row.id, "it is not the line that was the last one then"))
        expected, before = row.seq + 1, row.hash
    if not anchored and anchor is not None:
        faults.append(Fault(anchor[0], None, "the log ends before the line that was the last one then"))
    return Verdict(count, expected - 1, before.hex(), tuple(faults))


def line_hash(row: Any) -> bytes:
    """What the database hashed when it wrote the line (store/migrations/guards_0016.sql)."""
    fields: Sequence[str] = (
        str(row.id),
        str(row.tenant_id),
        str(row.seq),
        str((row.at - _EPOCH) // timedelta(microseconds=1)),
        row.actor_kind,
        "" if row.actor_id is None else str(row.actor_id),
        row.action,
        row.subject_kind,
        row.subject_id,
        row.details_text,
        row.address,
        row.traceparent,
    )
    digest = hashlib.sha256(row.prev_hash)
    for text in fields:
        raw = text.encode()
        digest.update(b"%d:" % len(raw) + raw)
    return digest.digest()


def _view(row: Any) -> AuditView:
    names = ("id", "seq", "at", "action", "subject_kind", "subject_id", "details", "address")
    return AuditView(
        **{name: getattr(row, name) for name in names},
        actor_kind=cast(ActorKind, row.actor_kind),
        actor_id=row.actor_id,
        hash=row.hash.hex(),
    )
