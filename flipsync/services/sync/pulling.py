"""Pull: everything that changed since a cursor, however late its transaction committed; tombstones for what is gone.

A cursor holds a snapshot of the database (what was seen), and while pages are fetched, the snapshot the first of them
was read in and how far the pages have come. What changes meanwhile moves behind, or is told the next time: told twice
at worst, never missed.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.errors import FlipSyncError, InvalidInput, Unavailable
from flipsync.security.tokens import Claims
from flipsync.services.sync.devices import known_device
from flipsync.services.sync.records import NEEDED, Change, Changes, Kind
from flipsync.store.repositories import sync as rows
from flipsync.store.repositories.sync import Snapshot

_BEGINNING = (0, "", UUID(int=0))
MAX_PAGE = 500


class ResyncRequired(FlipSyncError):
    """The cursor cannot go on: what is gone since is not known any more, or another history or other rights began."""

    code = "resync-required"
    status = 410


@dataclass(frozen=True)
class Cursor:
    """`seen` None: this is about everything. `target` is set while pages are fetched: what will have been seen then."""

    lineage: str
    device: str
    kinds: tuple[str, ...]
    seen: Snapshot | None
    target: Snapshot | None = None
    after: tuple[int, str, UUID] = _BEGINNING

    def __str__(self) -> str:
        xid, kind, thing = self.after
        told = [
            *(self.lineage, self.device, ",".join(self.kinds), str(self.seen or ""), str(self.target or "")),
            *(xid, kind, thing.hex),
        ]
        return base64.urlsafe_b64encode(orjson.dumps(told)).decode().rstrip("=")

    @classmethod
    def parse(cls, written: str) -> Cursor:
        """Raises InvalidInput for a cursor that is not ours."""
        try:
            told = orjson.loads(base64.urlsafe_b64decode(written + "=" * (-len(written) % 4)))
            lineage, device, kinds, seen, target, xid, kind, thing = told
            old, new = (Snapshot.parse(each) if each else None for each in (seen, target))
            after = (int(xid), str(kind), UUID(thing))
            found = cls(str(lineage), str(device), tuple(kinds.split(",")), old, new, after)
            numbers = [n for each in (old, new) if each for n in (each.low, each.high, *each.open)]
            if not all(0 <= number < 2**63 for number in (after[0], *numbers)) or "\0" in kind:
                raise ValueError(written)
        except (binascii.Error, ValueError, TypeError, AttributeError):
            raise InvalidInput("the cursor is not one of sync", hint="start again without a cursor") from None
        return found


async def pull(
    session: AsyncSession, user: Claims, device_id: UUID, *, cursor: str | None, limit: int, at: datetime
) -> Changes:
    """One page. Raises NotFound, DeviceForgotten, InvalidInput, ResyncRequired, Unavailable."""
    await known_device(session, device_id, user)
    now = await rows.now(session)
    if not now.filled:
        raise Unavailable("what this business has is not noted yet", hint="register a device: it goes on from there")
    kinds: tuple[Kind, ...] = tuple(kind for kind, permission in NEEDED.items() if user.may(permission))
    here = Cursor.parse(cursor) if cursor else Cursor(now.lineage, device_id.hex, kinds, None)
    _require_usable(here, now, device_id, kinds)
    target = here.target or now.snapshot
    found = await rows.changes(
        session,
        since=here.seen,
        kinds=kinds,
        after=here.after,
        user_id=user.user_id,
        device_id=device_id,
        limit=limit + 1,
    )
    page, more = found[:limit], len(found) > limit
    onward = Cursor(now.lineage, device_id.hex, kinds, target)
    if more:
        last = page[-1]
        onward = Cursor(now.lineage, device_id.hex, kinds, here.seen, target, (last.xid, last.kind, last.id))
    told = [
        Change.model_validate({"kind": row.kind, "id": row.id, "gone": row.gone, "record": row.record})
        for row in page
        if row.gone or row.record is not None
    ]
    return Changes(changes=told, cursor=str(onward), more=more, full=here.seen is None, server_time=at)


def _require_usable(cursor: Cursor, now: rows.Now, device_id: UUID, kinds: tuple[Kind, ...]) -> None:
    hint = "pull without a cursor and drop what you are not told of; what you did not push yet stays good"
    if cursor.lineage != now.lineage:
        raise ResyncRequired("the books were restored or moved since", hint=hint)
    if cursor.device != device_id.hex:
        raise ResyncRequired("the cursor is another device's", hint=hint)
    if cursor.kinds != kinds:
        raise ResyncRequired("what you may see is not what it was", hint=hint)
    oldest = cursor.seen or cursor.target
    if oldest is not None and oldest.low <= now.horizon:
        raise ResyncRequired("the cursor is too old: what is gone since is not known any more", hint=hint)
