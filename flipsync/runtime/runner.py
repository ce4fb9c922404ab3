"""An agent at work: claim tasks, decide each in a read-only transaction, write decisions and what follows in one more.

Plain asyncio, no Ray: the actor (runtime.actors) only hosts it, tests run it directly.
"""

from __future__ import annotations

import asyncio
import os
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import structlog
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.decisions import Decision
from flipsync.domain.events import Event
from flipsync.runtime.agent import Agent, Context
from flipsync.runtime.decision_path import DecisionPath
from flipsync.runtime.mailbox import Mailbox
from flipsync.services.desk import Services
from flipsync.services.language_desk import NO_MODEL, Answer, Asked, Unasked
from flipsync.services.recorded_desk import Notes, RecordingDesk
from flipsync.services.tenant_settings import PROFILE
from flipsync.store.database import ask
from flipsync.store.repositories import lives
from flipsync.store.repositories import tasks as task_rows
from flipsync.store.repositories.lives import WHOLE, Shard
from flipsync.store.repositories.tasks import ClaimedTask, TaskEvent
from flipsync.store.unit_of_work import Cause, Store

if TYPE_CHECKING:
    from flipsync.intelligence.language.question import Question
    from flipsync.intelligence.memory.port import Index
    from flipsync.runtime.asking import Asker

log = structlog.get_logger()
LEASE_SECONDS = 60.0


class SupersededError(Exception):
    """A later life of the same replica has begun, or one that shares the tenants out otherwise."""


@dataclass(frozen=True)
class Decided:
    task: ClaimedTask
    record: TaskEvent
    decision: Decision[Any]
    notes: Notes


class TaskRunner(ABC):
    """Works off one mailbox until it is to end. What fails is tried again; one that always fails is set aside with the
    error. `batch` and `pace` as in AgentSpec; `shard`: whose tasks these are."""

    #: whether it has a process to itself, as agents have
    alone = True

    def __init__(
        self,
        name: str,
        store: Store,
        mailbox: Mailbox | None,
        *,
        batch: int,
        pace: float = 0.0,
        shard: Shard = WHOLE,
    ) -> None:
        self.name = name
        self._shard = shard
        self._ending = self._drained = False
        self._store = store
        self._mailbox = mailbox
        self._batch, self._pace = batch, pace
        self._epoch = 0
        self._careful = 0
        #: the tenant that was served last
        self._turn = task_rows.NOBODY
        #: seconds until there is something to do without being told (None: nothing is known of)
        self._due: float | None = 0.0
        self._began = 0.0

    async def run(self) -> None:
        """Work until it is to end or to begin anew, with nothing half done. Raises SupersededError."""
        assert self._mailbox is not None, "a runner that waits needs a mailbox"
        while not self._ending:
            try:
                if not self._epoch:
                    await self.begin()
                await self._keep_pace()
                self._mailbox.heard()
                await self.step()
                if self._due != 0.0 and not self._ending:
                    await self._mailbox.wait(self._due)
            except asyncio.CancelledError:
                raise
            except (OperationalError, DBAPIError, OSError) as error:
                log.warning("agent waits for the database", agent=self.name, error=str(error).splitlines()[0])
                self._epoch = 0  # a new life takes its half-done tasks back at once
                await asyncio.sleep(0.5)

    def end(self) -> None:
        """Have `run` return once it holds nothing."""
        self._ending = True
        if self._mailbox is not None:
            self._mailbox.ring()

    async def begin(self) -> None:
        """Start a new life: fence earlier ones."""
        async with self._store.database.unbound() as session:
            pid = os.getpid() if self.alone else None
            self._epoch = await lives.begin_life(session, self.name, pid, self._shard)
            # what ended several lives is among these: taken one by one, it can only take itself down again
            self._careful = await task_rows.died_with(session, self.name, shard=self._shard)
        self._drained = False

    async def _keep_pace(self) -> None:
        """Let facts gather, unless there is more than one batch of them already."""
        clock = asyncio.get_running_loop().time
        if self._due != 0.0 and (early := self._began + self._pace - clock()) > 0:
            await asyncio.sleep(early)
        self._began = clock()

    async def step(self) -> int:
        """Handle one batch; returns how many tasks it held. Raises SupersededError."""
        limit = 1 if self._careful else self._batch
        self._careful = max(0, self._careful - 1)
        async with self._store.database.queue() as session:
            claim = await task_rows.claim(
                session,
                self.name,
                epoch=self._epoch,
                limit=limit,
                lease_seconds=LEASE_SECONDS,
                after=self._turn,
                shard=self._shard,
            )
        if claim.wish is None:
            raise SupersededError(f"life {self._epoch} of {self.name} is over: a later one has begun")
        self._ending |= claim.wish == "restart"
        if (claim.wish == "drain") != self._drained:
            self._drained = not self._drained
            async with self._store.database.unbound() as session:
                await lives.set_state(session, self.name, "drained" if self._drained else "ready", self._epoch)
        self._turn = claim.turn
        # a full batch may have left something; so may a careful one
        self._due = 0.0 if len(claim.tasks) >= limit else claim.due
        by_tenant: dict[UUID, list[ClaimedTask]] = defaultdict(list)
        for task in claim.tasks:
            if task.attempts > task_rows.MAX_ATTEMPTS:
                await self._postpone(task, RuntimeError("every try so far ended the agent's process"))
            else:
                by_tenant[task.tenant_id].append(task)
        for tenant_id, tasks in by_tenant.items():
            await self._handle(tenant_id, tasks)
        return len(claim.tasks)

    @abstractmethod
    async def _handle(self, tenant_id: UUID, tasks: Sequence[ClaimedTask]) -> None:
        """Deal with tasks of one business, which are leased to this life."""

    async def _postpone(self, task: ClaimedTask, error: Exception) -> bool:
        """Give it back for later; True when it is set aside instead."""
        async with self._store.database.unbound() as session:
            set_aside = await task_rows.postpone(session, task, self._epoch, f"{type(error).__name__}: {error}")
        self._due = 0.0  # look again: the claim knows nothing of its pause
        log.warning(
            "agent failed on a task",
            agent=self.name,
            task=str(task.id),
            set_aside=set_aside,
            error=f"{type(error).__name__}: {error}".splitlines()[0],
        )
        return set_aside


class AgentRunner(TaskRunner):
    """Runs one agent."""

    def __init__(
        self,
        agent: Agent[Any],
        store: Store,
        path: DecisionPath,
        mailbox: Mailbox | None = None,
        model: Asker | str = "",
        index: Index | None = None,
        shard: Shard = WHOLE,
    ) -> None:
        """`model`: who puts the agent's questions to a language model, or why nobody does. `index` finds memories by
        their meaning."""
        spec = agent.spec
        super().__init__(spec.name, store, mailbox, batch=spec.batch, pace=spec.pace, shard=shard)
        self.agent = agent
        self._path = path
        self._model = model
        self._index = index
        #: whether the last batch did: then it is read in one go with the next one's facts
        self._looks_at_profile = False

    async def _handle(self, tenant_id: UUID, tasks: Sequence[ClaimedTask]) -> None:
        decided = await self._decide(tenant_id, tasks)
        try:
            await self._write(tenant_id, decided)
        except (OperationalError, OSError):
            raise
        except Exception as error:
            self._path.budgets.forget_if(error)
            if len(decided) == 1:
                await self._postpone(decided[0].task, error)
                return
            for one in decided:  # find the one that spoils the batch
                try:
                    await self._write(tenant_id, [one])
                except (OperationalError, OSError):
                    raise
                except Exception as single:
                    await self._postpone(one.task, single)

    async def _decide(
        self, tenant_id: UUID, tasks: Sequence[ClaimedTask], answers: Mapping[str, Answer] | None = None
    ) -> list[Decided]:
        """Decide on all tasks in one read-only transaction; what a failed query spoils is decided one by one.

        What needs a language model's answer is decided again once it is there (`answers`), in another transaction.
        """
        decided: list[Decided] = []
        failed: list[tuple[ClaimedTask, Exception]] = []
        asking: list[tuple[ClaimedTask, Question]] = []
        spoiled: Sequence[ClaimedTask] = ()
        try:
            async with self._store.reader(tenant_id) as session:
                first = [task_rows.events_asked([task.event_id for task in tasks])]
                if self._looks_at_profile:
                    first.append(PROFILE(tenant_id=tenant_id))
                found, *profile = await ask(session, first)
                records = task_rows.events_from(found)
                services = Services(session, tenant_id, self._store.clock.now())
                for row in (row for rows in profile for row in rows):
                    services.expect_profile(row)
                services.asked, services.index = self._asked(answers), self._index
                services.expect(record.subject_id for record in records.values())
                desk = RecordingDesk(services)
                for task in tasks:
                    record = records[task.event_id]
                    try:
                        event = Event.from_journal(record.type, record.payload)
                        desk.begin(event)
                        context = Context(tenant_id, desk.now, desk.as_services(), record.id, record.correlation_id)
                        decision = await self.agent.decide(event, context)
                        if session.new or session.dirty or session.deleted:
                            await session.flush()  # an agent that writes is stopped here, by the database
                        decided.append(Decided(task, record, decision, desk.notes()))
                    except SQLAlchemyError:
                        raise
                    except Unasked as unasked:
                        asking.append((task, unasked.question))
                    except Exception as error:
                        failed.append((task, error))
                self._looks_at_profile = services.knows_profile
                if len(decided) == len(tasks) and await self._written_at_once(tenant_id, decided, session):
                    decided = []
        except (OperationalError, OSError):
            raise
        except SQLAlchemyError as error:
            settled = {each.task.id for each in decided} | {task.id for task, _ in (*failed, *asking)}
            spoiled = [task for task in tasks if task.id not in settled]
            if len(tasks) == 1:
                failed.append((tasks[0], error))
                spoiled = ()
        for task in spoiled:
            decided += await self._decide(tenant_id, [task], answers)
        if asking:
            decided += await self._ask(tenant_id, asking, failed)
        for task, problem in failed:
            await self._postpone(task, problem)
        return decided

    def _asked(self, answers: Mapping[str, Answer] | None) -> Asked:
        if isinstance(self._model, str):
            return Asked(off=self._model or NO_MODEL)
        return Asked(answers or {}, last=answers is not None)

    async def _ask(
        self,
        tenant_id: UUID,
        asking: Sequence[tuple[ClaimedTask, Question]],
        failed: list[tuple[ClaimedTask, Exception]],
    ) -> list[Decided]:
        """Have the questions answered, with no transaction open meanwhile, and decide with what came."""
        assert not isinstance(self._model, str), "who has no model is not asked to ask"
        try:
            answers = await self._model.answers(tenant_id, [question for _, question in asking])
        except (OperationalError, OSError):
            raise
        except Exception as error:
            failed += [(task, error) for task, _ in asking]
            return []
        return await self._decide(tenant_id, [task for task, _ in asking], answers)

    async def _written_at_once(self, tenant_id: UUID, decided: Sequence[Decided], session: AsyncSession) -> bool:
        """Where nothing is to be done, what was decided is written down in the round trip that ends the reading.

        False where that has to be looked at closely: a later life has one of the tasks, or something spoils the batch.
        """
        if not all(one.decision.is_hold and not one.decision.choices for one in decided):
            return False
        try:
            await self._write(tenant_id, decided, after=session)
        except (OperationalError, OSError):
            raise
        except Exception as error:
            log.info("not written at once", agent=self.name, error=str(error).splitlines()[0])
            return False
        return True

    async def _write(self, tenant_id: UUID, decided: Sequence[Decided], *, after: AsyncSession | None = None) -> None:
        """Write down what was decided on tasks that are still ours; `after` a reading, on all of them or on none."""
        if not decided:
            return
        cause = Cause(decided[0].record.id, decided[0].record.correlation_id, decided[0].record.traceparent)
        async with self._store.unit(tenant_id, cause) as unit:
            ours = {one.task.id for one in decided}
            if after is not None:
                unit.after = after
                unit.closing.append(task_rows.complete_all(self.name, list(ours), self._epoch))
            else:
                ours = await task_rows.complete(unit.session, self.name, list(ours), self._epoch)
            services = Services(unit.session, tenant_id, unit.now)
            # books are locked in the order of their ids, so a batch and an order never wait for each other crosswise
            for one in sorted(decided, key=lambda each: each.record.subject_id):
                if one.task.id not in ours:
                    continue
                unit.cause = Cause(one.record.id, one.record.correlation_id, one.record.traceparent)
                context = Context(tenant_id, unit.now, services, one.record.id, one.record.correlation_id)
                fact, task = one.record.type, one.task.id
                await self._path.record(
                    unit, context, self.agent.spec, one.decision, one.notes, fact=fact, task_id=task
                )
