"""What somebody missed who watches live and was away: read from the journal, by the last event they saw."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from flipsync.domain.clock import utc_now
from flipsync.domain.ids import first_id_at
from flipsync.store.repositories import live_events as rows
from flipsync.store.unit_of_work import Store

#: An event is numbered when it happens and seen when its transaction ends: one that took longer than others is seen
#: after later ones. So much before the last one seen is looked at again, and comes twice.
OVERLAP = timedelta(seconds=60)
#: who was away longer, or missed more, reads the lists again
LONGEST_AWAY, MOST_MISSED = timedelta(hours=24), 1_000


async def missed(store: Store, tenant_id: UUID, last_seen: UUID) -> list[dict[str, Any]] | None:
    """All events since the one last seen, and some before it again; None for too much of it, or no such id."""
    now = utc_now()
    seen_at = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=last_seen.int >> 80)
    if last_seen.version != 7 or not now - LONGEST_AWAY <= seen_at <= now + OVERLAP:
        return None
    async with store.reader(tenant_id) as session:
        found = await rows.events_from(session, first_id_at(seen_at - OVERLAP), MOST_MISSED + 1)
    return found if len(found) <= MOST_MISSED else None
