"""What an automation would have done on the past: which facts would have triggered it, and what that had set going.

The fact is as it was. What conditions ask about the thing itself is as it is now: how it was then is not kept.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from pydantic import Field

from flipsync.domain.clock import utc_now
from flipsync.domain.errors import InvalidInput
from flipsync.domain.ids import first_id_at
from flipsync.domain.workflow import BRINGS, Definition, read_definition
from flipsync.domain.workflow_fields import plain_fields
from flipsync.services.reading_page import Moment, View
from flipsync.services.workflows import BUILT_IN
from flipsync.store.repositories import workflows as rows
from flipsync.store.unit_of_work import Store

_PAGE, MOST_LISTED = 2_000, 50
_MOST_THINGS = 5_000


class WouldRun(View):
    event_id: UUID
    at: Moment
    subject_kind: str
    subject_id: UUID
    steps: list[str] = Field(description="what it would have come to, as far as no wait, question or channel says no")


class WorkflowDryRun(View):
    """`facts` of the trigger's kind = not_meant + quiet + runs, up to where it would have been stopped."""

    in_words: str
    since: Moment
    complete: bool = Field(description="false: it ended early, `looked_to` says where")
    looked_to: Moment | None
    facts: int
    not_meant: int = Field(description="its condition does not hold")
    quiet: int = Field(description="it had run about the same thing shortly before")
    runs: int
    by_day: dict[str, int]
    would_do: dict[str, int] = Field(description="by step: how often it would have been come to")
    stopped: str = Field(description="why it would have been stopped on the way; empty when it would not")
    warnings: list[str]
    examples: list[WouldRun] = Field(description=f"the first {MOST_LISTED}")


async def dry_run(
    store: Store, tenant_id: UUID, written: Any, *, since: datetime | None = None, seconds: float = 20.0
) -> WorkflowDryRun:
    """Try it on what happened since then (wall clock; default: 90 days ago). Changes nothing. Raises InvalidInput."""
    if isinstance(written, str):
        if written not in BUILT_IN:
            raise InvalidInput(f"nothing called {written[:60]!r} comes with FlipSync", hint=", ".join(BUILT_IN))
        definition = BUILT_IN[written]
    else:
        definition = read_definition(written)
    trial = _Trial(store, tenant_id, definition)
    return await trial.run(since or utc_now() - timedelta(days=90), seconds)


class _Trial:
    def __init__(self, store: Store, tenant_id: UUID, definition: Definition) -> None:
        self._store, self._tenant_id, self._definition = store, tenant_id, definition
        self._about: dict[UUID, dict[str, Any]] = {}
        self._recent: deque[datetime] = deque()
        self._last: dict[UUID, datetime] = {}
        self._counts: Counter[str] = Counter()
        self._days: Counter[str] = Counter()
        self._would: Counter[str] = Counter()
        self._examples: list[WouldRun] = []
        self._stopped = ""

    async def run(self, since: datetime, seconds: float) -> WorkflowDryRun:
        began, after, complete = time.monotonic(), first_id_at(since), False
        looked_to = None
        while not complete and not self._stopped and time.monotonic() - began < seconds:
            async with self._store.reader(self._tenant_id) as session:
                page = await rows.history(session, self._tenant_id, self._definition.trigger.event, after, _PAGE)
                for row in page:
                    await self._look(session, row)
                    after, looked_to = row.id, row.occurred_at
                    if self._stopped or time.monotonic() - began > seconds:
                        break
                else:
                    complete = len(page) < _PAGE
        return WorkflowDryRun(
            in_words=self._definition.in_words(),
            since=since,
            complete=complete or bool(self._stopped),
            looked_to=looked_to,
            facts=self._counts["facts"],
            not_meant=self._counts["not_meant"],
            quiet=self._counts["quiet"],
            runs=self._counts["runs"],
            by_day=dict(self._days),
            would_do=dict(self._would),
            stopped=self._stopped,
            warnings=self._warnings(),
            examples=self._examples,
        )

    async def _look(self, session: Any, row: Any) -> None:
        definition = self._definition
        self._counts["facts"] += 1
        asked = definition.trigger.where.asks().union(*(step.when.asks() for step in definition.steps if step.when))
        known = plain_fields(definition.trigger.event, row.payload)
        if any("." in field and field not in known for field in asked):
            if row.subject_id not in self._about:
                if len(self._about) >= _MOST_THINGS:
                    self._about.clear()
                self._about[row.subject_id] = await rows.about(session, row.subject_kind, row.subject_id)
            known |= self._about[row.subject_id]
        if not definition.trigger.where.holds(known):
            self._counts["not_meant"] += 1
            return
        at = row.occurred_at
        last = self._last.get(row.subject_id)
        if definition.quiet_hours_per_thing and last and at - last < timedelta(hours=definition.quiet_hours_per_thing):
            self._counts["quiet"] += 1
            return
        while self._recent and at - self._recent[0] >= timedelta(hours=1):
            self._recent.popleft()
        if len(self._recent) >= definition.per_hour:
            self._stopped = f"at {at:%Y-%m-%d %H:%M} UTC: more than {definition.per_hour} times within an hour"
            self._counts["facts"] -= 1
            return
        self._recent.append(at)
        self._last[row.subject_id] = at
        self._counts["runs"] += 1
        self._days[f"{at:%Y-%m-%d}"] += 1
        steps = [step for step in definition.steps if step.when is None or step.when.holds(known)]
        self._would.update(step.in_words() for step in steps)
        if len(self._examples) < MOST_LISTED:
            words = [step.in_words() for step in steps]
            self._examples.append(
                WouldRun(event_id=row.id, at=at, subject_kind=row.subject_kind, subject_id=row.subject_id, steps=words)
            )

    def _warnings(self) -> list[str]:
        found = []
        event = self._definition.trigger.event
        brings = sorted({step.do for step in self._definition.steps if event in BRINGS.get(step.do, ())})
        if brings:
            found.append(f"{', '.join(brings)} may bring about {event}, which triggers it: then it is stopped")
        if any("." in field for field in self._definition.trigger.where.asks() if field.split(".")[0] in _NOW):
            found.append("what its condition asks about the thing itself is as it is now, not as it was then")
        return found


_NOW = frozenset({"listing", "listings", "product", "variant", "order"})
