"""Statements that drop what has had its time: sessions, tokens, codes, answers, runs, notifications, what policies
chose; so many at most."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

#: table → what is over; `:day`, `:week` and `:month` are so long ago; in the business's own time, runs that ended
#: before `:run_ends`, and choices before `:judged`, which judge no policy any more
_OVER = {
    "idempotency_record": "created_at < :week",
    "refresh_token": "expires_at < :month OR revoked_at < :month",
    "user_session": "expires_at < :month OR revoked_at < :month",
    "recovery_code": "used_at < :month",
    "second_factor": "confirmed_at IS NULL AND created_at < :day",
    "passkey": "revoked_at < :month",
    "spent_note": "expires_at < :day",
    # one that was booked by hand is never booked again, so it is remembered
    "held_order": "settled_at < :month AND outcome <> 'by-hand'",
    "notification": "settled_at < :month",
    "report_run": "finished_at < :month",
    "notification_delivery": "finished_at < :month",
    "notification_destination": "state = 'removed' AND created_at < :month",
    # its steps go with it; one that set others going goes after them: their line is how a circle is found
    "workflow_run": "ended_at < :run_ends AND NOT EXISTS"
    " (SELECT FROM workflow_run AS later WHERE later.parent_id = workflow_run.id)",
    "policy_choice": "at < :judged",
    "order_choice": "at < :judged",
}
TABLES = tuple(_OVER)


async def prune(session: AsyncSession, moments: dict[str, datetime], most: int) -> dict[str, int]:
    """Delete at most so many rows of each table; how many of which. `moments`: of the names in `_OVER`."""
    gone = {}
    for table, over in _OVER.items():
        asked = {name: moment for name, moment in moments.items() if f":{name}" in over}
        found = await session.execute(
            text(  # the rows by themselves first: a subquery that locks may be asked again for each row, by plan
                f"WITH old AS (SELECT id FROM {table} WHERE {over} ORDER BY id LIMIT :most FOR UPDATE SKIP LOCKED)"  # noqa: S608
                f" DELETE FROM {table} USING old WHERE {table}.id = old.id"
            ),
            {**asked, "most": most},
        )
        if count := found.rowcount:  # type: ignore[attr-defined]
            gone[table] = count
    return gone
