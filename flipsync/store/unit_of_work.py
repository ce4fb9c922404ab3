"""One transaction that changes books and records facts together, then wakes whom it concerns.

    async with store.unit(tenant_id, cause) as unit:
        ...                       # services write through unit.session
        unit.emit(OrderReceived(...))

Events, the tasks they make for agents, and effects are in the same transaction as the change itself. Wake-ups are sent
after the commit; a lost one costs seconds, never work (see runtime.mailbox).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.clock import Clock, SystemClock
from flipsync.domain.commands import Command
from flipsync.domain.events import Event
from flipsync.domain.ids import new_id
from flipsync.store import audit, journal
from flipsync.store.audit import SYSTEM, Actor
from flipsync.store.database import Database, ask, has_begun
from flipsync.store.journal import ProposedCommand
from flipsync.store.reading import Asked, Rows
from flipsync.store.round_trip import COMMIT

EVENT_PRIORITY = {"urgent": 10, "normal": 50, "bulk": 80}
EFFECTS = "effects"


@dataclass(frozen=True)
class Subscription:
    """An agent that wants an event type; `vendors` limits it to accounts of these vendors.

    Of two agents one of which stands in for the other, exactly one wants a fact: the stand-in what it `takes`, the
    other what no stand-in takes (`leaves`). What is addressed to the other is addressed to both (`office`).
    """

    agent: str
    vendors: frozenset[str] | None = None
    office: str = ""
    takes: Callable[[Event], bool] | None = None
    leaves: tuple[Callable[[Event], bool], ...] = ()

    def wants(self, event: Event) -> bool:
        office = self.office or self.agent
        if getattr(event, "to_agent", office) != office:
            return False
        if self.takes is not None and not self.takes(event):
            return False
        if any(takes(event) for takes in self.leaves):
            return False
        vendor = event.routing_vendor()
        return self.vendors is None or vendor is None or vendor in self.vendors


#: event type name → who wants it; made from the agents' declarations (runtime.graph)
Routing = Mapping[str, Sequence[Subscription]]


class Waker(Protocol):
    """Tells sleepers that there is work, and watching people what happened. Best effort."""

    async def wake(self, names: frozenset[str], tenant_id: UUID, news: Sequence[dict[str, Any]]) -> None: ...


class SilentWaker:
    """Wakes nobody; for tools and tests that look for themselves."""

    async def wake(self, names: frozenset[str], tenant_id: UUID, news: Sequence[dict[str, Any]]) -> None:
        return None


@dataclass(frozen=True)
class Cause:
    """Where a change comes from and who asked for it, so that every step can be explained."""

    causation_id: UUID | None = None
    correlation_id: UUID | None = None
    traceparent: str = ""
    actor: Actor = SYSTEM


@dataclass
class UnitOfWork:
    """An open transaction. `now` is business time, read once."""

    session: AsyncSession
    tenant_id: UUID
    cause: Cause
    now: datetime
    routing: Routing
    #: for what has to stand whatever becomes of this transaction
    database: Database
    wake: set[str] = field(default_factory=set)
    news: list[dict[str, Any]] = field(default_factory=list)
    #: what is written in the last round trip; nothing of the rest is if it fails
    closing: list[Asked] = field(default_factory=list)
    #: a session that has read what this writes of: its transaction is ended on the way, if nothing else is asked
    after: AsyncSession | None = None
    _page: journal.Page = field(default_factory=journal.Page)
    _unjudged: list[ProposedCommand] = field(default_factory=list)
    _audited: list[audit.Line] = field(default_factory=list)

    def emit(self, event: Event, *, dedup_key: str | None = None, cause: Cause | None = None) -> UUID:
        """Record a fact. With `dedup_key` the same fact is recorded once, however often it is told."""
        event_id = new_id()
        cause = cause or self.cause
        kind, subject_id = event.subject()
        name = event.type_name()
        self._page.events.append(
            {
                "id": event_id,
                "type": name,
                "subject_kind": kind,
                "subject_id": subject_id,
                "payload": event.model_dump(mode="json"),
                "causation_id": cause.causation_id,
                "correlation_id": cause.correlation_id or event_id,
                "traceparent": cause.traceparent,
                "dedup_key": dedup_key,
            }
        )
        self._page.tasks += [
            {
                "id": new_id(),
                "agent": subscription.agent,
                "event_id": event_id,
                "priority": EVENT_PRIORITY[event.urgency],
            }
            for subscription in self.routing.get(name, ())
            if subscription.wants(event)
        ]
        return event_id

    def audit(
        self, action: str, subject_kind: str, subject_id: UUID | str, *, actor: Actor | None = None, **details: Any
    ) -> None:
        """Have it in the audit log that this was done, if it is done. Details hold no secret."""
        self._audited.append(
            audit.Line(
                actor=actor or self.cause.actor,
                action=action,
                subject_kind=subject_kind,
                subject_id=str(subject_id),
                details=details,
                traceparent=self.cause.traceparent,
            )
        )

    def decide(
        self, decision: dict[str, Any], proposals: Sequence[ProposedCommand], notes: dict[str, Any] | None = None
    ) -> None:
        """Record a decision (the columns of `agent_decision`). Proposals may be judged until the unit ends.

        `notes`: what it read (the columns of `decision_notes`, packed in base64).
        """
        self._page.decisions.append(decision)
        if notes is not None:
            self._page.notes.append(notes)
        self._page.proposals += proposals

    def judge_again(self, proposal: ProposedCommand) -> None:
        """A proposal that is in the books already gets its verdict in this unit."""
        self._unjudged.append(proposal)

    def enqueue(
        self,
        command: Command,
        *,
        account_id: UUID,
        key: str,
        proposal_id: UUID | None = None,
        undo: Command | None = None,
        supersede: bool = False,
    ) -> UUID:
        """Put an effect in the outbox. A key that exists already is left as it is: asking twice does nothing twice.

        `supersede` drops unsent effects of the same kind for the same subject: this one makes them pointless.
        """
        effect_id = new_id()
        name = command.type_name()
        kind, subject_id = command.subject()
        if supersede:
            self._page.superseded.append({"command": name, "subject_kind": kind, "subject_id": subject_id})
            for earlier in self._page.effects:
                if (earlier["command"], earlier["subject_id"]) == (name, subject_id):
                    earlier["state"] = "superseded"
        self._page.effects.append(
            {
                "id": effect_id,
                "account_id": account_id,
                "proposal_id": proposal_id,
                "command": name,
                "payload": command.model_dump(mode="json"),
                "subject_kind": kind,
                "subject_id": subject_id,
                "key": key,
                "priority": command.priority(),
                "state": "pending",
                "correlation_id": self.cause.correlation_id or effect_id,
                "traceparent": self.cause.traceparent,
                "undo": {"command": undo.type_name(), "payload": undo.model_dump(mode="json")} if undo else None,
            }
        )
        return effect_id

    def spend(self, slice_id: UUID, units: int = 1) -> None:
        """Take units from a slice of a budget, together with what they are spent on."""
        for row in self._page.spent:
            if row["id"] == slice_id:
                row["units"] += units
                return
        self._page.spent.append({"id": slice_id, "units": units})

    def lease(self, listing_id: UUID, part: str, **holder: Any) -> None:
        """Give a part of a listing to `holder` (agent, rank, score, decision_id, until), whoever had it before."""
        row = {"id": new_id(), "listing_id": listing_id, "part": part, **holder}
        others = (each for each in self._page.leases if (each["listing_id"], each["part"]) != (listing_id, part))
        self._page.leases = [*others, row]

    def drop(self) -> None:
        """Forget what was not written down yet: the change it tells of was taken back."""
        self._page = journal.Page()
        self._audited.clear()

    @asynccontextmanager
    async def part(self) -> AsyncIterator[None]:
        """A part that is taken back alone when it raises: its rows, its facts and what it had audited. It enqueues no
        effect that supersedes, for that reaches into what was there before."""
        lists: list[list[Any]] = [*vars(self._page).values(), self.closing, self._unjudged, self._audited]
        before = [len(each) for each in lists]
        try:
            async with self.session.begin_nested():
                yield
        except BaseException:
            for each, length in zip(lists, before, strict=True):
                del each[length:]
            raise

    async def flush(self) -> None:
        """Write down what there is so far; called on leaving the unit."""
        await self.session.flush()
        if page := self._turn_page():
            (rows,) = await ask(self.session, [journal.asked(self.tenant_id, self.now, page)])
            self._told(page, rows)

    async def close(self, opened_for: UUID) -> None:
        """Write everything down, in the round trip that commits it; called on leaving the unit.

        Where nothing was asked before, that is the whole transaction. It is bound to whom the unit was opened for,
        whatever anybody has made of it since.
        """
        session = self.session
        if session.new or session.dirty or session.deleted:
            await self.session.flush()
        page = self._turn_page()
        steps = [*self.closing, *([journal.asked(self.tenant_id, self.now, page)] if page else ())]
        written = len(steps)
        steps += [audit.appended(self.tenant_id, line) for line in self._audited]
        if not has_begun(session):
            answers = await self.database.at_once(opened_for, steps, after=self.after) if steps else []
        elif steps:
            answers = (await ask(session, [*steps, COMMIT()]))[:-1]
        if page:
            self._told(page, answers[written - 1])

    def _turn_page(self) -> journal.Page:
        """What there is to write down by now, perhaps nothing."""
        page = self._page
        page.verdicts = [proposal for proposal in self._unjudged if proposal.verdict is not None]
        if page:
            self._page = journal.Page()
            self._unjudged = [proposal for proposal in (*self._unjudged, *page.proposals) if proposal.verdict is None]
        return page

    def _told(self, page: journal.Page, answer: Rows) -> None:
        """Whom to wake once a page is committed, and what to show to those who watch."""
        fresh = {row.id for row in answer}
        if page.effects:
            self.wake.add(EFFECTS)
        if fresh:
            occurred_at = self.now.isoformat()
            self.news += [_as_news(row, occurred_at) for row in page.events if row["id"] in fresh]
            self.wake.update(task["agent"] for task in page.tasks if task["event_id"] in fresh)
            if None in fresh:
                self.wake.add(journal.WORKFLOWS)


def _as_news(row: dict[str, Any], occurred_at: str) -> dict[str, Any]:
    """A journal row as it is shown to whoever watches live."""
    return {
        "id": str(row["id"]),
        "type": row["type"],
        "subject": {"kind": row["subject_kind"], "id": str(row["subject_id"])},
        "occurred_at": occurred_at,
        "payload": row["payload"],
    }


class Store:
    """Makes units of work: the database, who subscribes to what, how to wake them, and what time it is."""

    def __init__(
        self, database: Database, routing: Routing, waker: Waker | None = None, clock: Clock | None = None
    ) -> None:
        self.database = database
        self.routing = routing
        self.waker: Waker = waker or SilentWaker()
        self.clock: Clock = clock or SystemClock()

    @asynccontextmanager
    async def unit(self, tenant_id: UUID, cause: Cause | None = None) -> AsyncIterator[UnitOfWork]:
        """A transaction that changes things. All or nothing, wake-ups included."""
        async with self.database.session(tenant_id) as session:
            unit = UnitOfWork(session, tenant_id, cause or Cause(), self.clock.now(), self.routing, self.database)
            yield unit
            await unit.close(tenant_id)
        if unit.wake or unit.news:
            await self.waker.wake(frozenset(unit.wake), tenant_id, unit.news)

    @asynccontextmanager
    async def reader(self, tenant_id: UUID) -> AsyncIterator[AsyncSession]:
        """A transaction that cannot change anything."""
        async with self.database.reader(tenant_id) as session:
            yield session

    async def aclose(self) -> None:
        await self.database.aclose()
