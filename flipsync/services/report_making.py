"""Makes scheduled reports that are due: planned once for each time, claimed by one process, kept as files.

Telling the person is the notifications' (source `report` of notices.matters): once, tried again, by mail with the file.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import time, timedelta
from typing import Any, cast
from uuid import UUID

from flipsync.domain.clock import local_day, utc_now
from flipsync.domain.errors import FlipSyncError, InvalidInput
from flipsync.security.roles import allows
from flipsync.services import analytics, own_roles, report_files, reports, sales_facts
from flipsync.services.report_schedules import newest_due, next_due, span
from flipsync.store.database import BROKEN_OFF
from flipsync.store.repositories import report_schedules as rows
from flipsync.store.repositories import tenants
from flipsync.store.repositories.report_schedules import ClaimedRun
from flipsync.store.unit_of_work import Store, UnitOfWork

#: half a minute, then twice as long each time
MOST_ATTEMPTS = 6
#: longer than making one takes
LEASE = timedelta(minutes=5)
LARGEST = 25_000_000
_FIRST_PAUSE, _MOST_PLANNED = 30, 100


@dataclass(frozen=True)
class Due:
    """A report to be made now."""

    tenant_id: UUID
    claimed: ClaimedRun


async def claim(unit: UnitOfWork, most: int) -> list[Due]:
    """Plan what has become due, and take reports whose turn it is."""
    zone = await tenants.zone(unit.session)
    for row, role in await rows.due(unit.session, unit.now, _MOST_PLANNED):
        person = None if role is None else await own_roles.held_by(unit.session, row.user_id, role)
        if person is None or not allows(person, "analytics:read"):
            row.ended_at, row.why_ended = unit.now, "the person may not see these figures any more"
            continue
        due = newest_due(row, zone, unit.now)
        first, last = span(row, local_day(due, zone))
        await rows.put_run(unit.session, unit.tenant_id, row.id, due, first, last)
        row.next_at = next_due(time.fromisoformat(row.at), row.weekday, row.day, zone, unit.now)
    await unit.session.flush()
    now = utc_now()
    return [Due(unit.tenant_id, each) for each in await rows.claim(unit.session, now, now + LEASE, most)]


async def make(store: Store, due: Due) -> str:
    """Make it and write down what came of it; the state it is in then. One that was cut off is made again."""
    claimed = due.claimed
    values: dict[str, Any]
    try:
        name, content = await _made(store, due)
        values = {"state": "made", "file_name": name, "content": content, "size": len(content), "detail": ""}
        values["finished_at"] = utc_now()
    except (*BROKEN_OFF, FlipSyncError) as error:
        why = error.message if isinstance(error, FlipSyncError) else "the database was away"
        over = isinstance(error, InvalidInput) or claimed.attempts >= MOST_ATTEMPTS
        pause = timedelta(seconds=_FIRST_PAUSE * 2 ** (claimed.attempts - 1))
        values = {"state": "failed" if over else "waiting", "detail": why[:500]}
        values |= {"finished_at": utc_now()} if over else {"not_before": utc_now() + pause}
    async with store.unit(due.tenant_id) as unit:
        await rows.end_run(unit.session, claimed.id, claimed.attempts, values)
    return str(values["state"])


async def _made(store: Store, due: Due) -> tuple[str, bytes]:
    """(file name, content). Raises InvalidInput for one that is too large."""
    claimed, form = due.claimed, cast(report_files.Format, due.claimed.format)
    while (await sales_facts.run(store, due.tenant_id)).more:
        pass
    async with store.reader(due.tenant_id) as session:
        where = analytics.span_of(claimed.first, claimed.last)
        today = await analytics.today(session, store.clock.now())
        report = await reports.build(session, cast(reports.Kind, claimed.kind), where, today)
    content = await asyncio.to_thread(report_files.write, report, form)
    if len(content) > LARGEST:
        raise InvalidInput(f"a report of {len(content):,} bytes is not kept", hint="choose a shorter rhythm")
    return report_files.file_name(report, form), content
