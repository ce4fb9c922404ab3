"""The audit log: reading it, finding the line that somebody changed, and lines without the people they named.

Each line's hash covers the hash before it, and of what may name a person (details, address) a digest under a salt of
244 random bits that stands beside it. Forgetting somebody takes their words and the salt out of a line and leaves
digest and hash: the chain holds, all that does not name them is still proven, and without the salt nobody can try names
against the digest. What stands in such a line now is proven by a later one, `audit.redacted`, written by the same
function of the database (migrations/guards_0062.sql): it holds, by number, the hash of each line as it was left. So a
text that was changed without a redaction fails its digest, a changed digest fails the chain, a line that only says that
it was redacted has no later line to say so, and one that was changed after it fails what that line says. An
`audit.redacted` line is never redacted.

Lines from before migration 0062 are chained by their whole text. They are redacted in the same way: their own hash
proves the next line's place and nothing else then, and the later line proves the whole of what is left. That hash has
no salt, so who guesses all of such a line, to the microsecond, can see that the guess was right.

Who owns the database may redact without being asked, and write the line that says so: it stays in the log, and nothing
but details and address of a line written since 0062 can go that way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
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
#: the line that says which others were redacted, and what stands there now
REDACTED = "audit.redacted"


class AuditView(View):
    """`hash` is over this line and the hash of the line before it (hexadecimal SHA-256). In one with `redacted_at` a
    person was named who is forgotten; a later line, audit.redacted, says that it is as it was left then."""

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
    redacted_at: Moment | None


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
    redacted: list[tuple[int, UUID, str]] = []
    told: dict[int, str] = {}
    expected, before, count, anchored = 1, _START, 0, anchor is None or anchor[0] == 0
    async for row in rows.in_order(session):
        count += 1
        if row.seq != expected:
            faults.append(Fault(expected, None, f"lines {expected} to {row.seq - 1} are missing"))
        elif row.prev_hash != before:
            faults.append(Fault(row.seq, row.id, "it does not follow the line before it"))
        if not _is_as_written(row):
            faults.append(Fault(row.seq, row.id, "it was changed after it was written"))
        elif row.action == REDACTED:
            told |= {number: hashed for number, hashed in _told(row.details) if number < row.seq}
        if row.redacted_at is not None:
            redacted.append((row.seq, row.id, standing_hash(row).hex()))
        if anchor is not None and row.seq == anchor[0]:
            anchored = True
            if row.hash.hex() != anchor[1]:
                faults.append(Fault(row.seq, row.id, "it is not the line that was the last one then"))
        expected, before = row.seq + 1, row.hash
    if not anchored and anchor is not None:
        faults.append(Fault(anchor[0], None, "the log ends before the line that was the last one then"))
    for seq, entry_id, hashed in redacted:
        if seq not in told:
            faults.append(Fault(seq, entry_id, "it says that it was redacted, and no later line says so"))
        elif told[seq] != hashed:
            faults.append(Fault(seq, entry_id, "it was changed after it was redacted"))
    return Verdict(count, expected - 1, before.hex(), tuple(sorted(faults, key=lambda fault: fault.seq)))


def standing_hash(row: Any) -> bytes:
    """Over all that stands in the line (`standing_hash` of the database)."""
    return _fields_hash(row.prev_hash, [*_named(row), row.details_text, row.address, row.traceparent])


def _is_as_written(row: Any) -> bool:
    """As far as the line itself can say: of one that was redacted, that is what names nobody."""
    if row.action == REDACTED and row.redacted_at is not None:
        return False
    if row.digest is None:
        return row.redacted_at is not None or standing_hash(row) == row.hash
    if _fields_hash(row.prev_hash, [*_named(row), row.digest.hex(), row.traceparent]) != row.hash:
        return False
    if row.redacted_at is not None:
        return row.salt is None
    return row.salt is not None and _fields_hash(row.salt, [row.details_text, row.address]) == row.digest


def _named(row: Any) -> list[str]:
    return [
        str(row.id),
        str(row.tenant_id),
        str(row.seq),
        str((row.at - _EPOCH) // timedelta(microseconds=1)),
        row.actor_kind,
        "" if row.actor_id is None else str(row.actor_id),
        row.action,
        row.subject_kind,
        row.subject_id,
    ]


def _fields_hash(beginning: bytes, fields: Sequence[str]) -> bytes:
    """As `fields_hash` of the database."""
    digest = hashlib.sha256(beginning)
    for text in fields:
        raw = text.encode()
        digest.update(b"%d:" % len(raw) + raw)
    return digest.digest()


def _told(details: dict[str, Any]) -> Iterator[tuple[int, str]]:
    lines = details.get("lines")
    for number, hashed in lines.items() if isinstance(lines, dict) else ():
        if number.isdecimal():
            yield int(number), str(hashed)


def _view(row: Any) -> AuditView:
    names = ("id", "seq", "at", "action", "subject_kind", "subject_id", "details", "address")
    return AuditView(
        **{name: getattr(row, name) for name in names},
        actor_kind=cast(ActorKind, row.actor_kind),
        actor_id=row.actor_id,
        hash=row.hash.hex(),
        redacted_at=row.redacted_at,
    )
