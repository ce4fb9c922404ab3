"""The workflow engine: runs the owner's automations (domain.workflow) and what comes with FlipSync, step by step.

Durability is the house's own, and `dbos` is not used beside it. A step here only emits a fact and later looks what
agents, gate and effects made of it, so a run is what the house has already: a fact that began it, a task for that fact,
and rows. The step's row, the fact it emits and the time of the next look are one transaction; a process that is killed
has done all of a step or none, and the next life takes the task over (epoch, lease). A task's `not_before` is the alarm
clock, so nothing polls. Turns of the businesses, retries, setting aside what fails always, and letting it be tried
again are the mailboxes' (store.repositories.tasks).

Measured on two cores against dbos 3.4 (one queue polled every 0.05 s, same PostgreSQL): idle, dbos takes 8.5 % of a
core and PostgreSQL 7.3 % more for 97 transactions a second, here none; a step takes 6.4 ms there, a transaction like
ours 2.0 ms; it opens 20 connections and brings 13 tables in a schema of its own, without row-level security, beside our
backups and migrations; and the fact a step emits would not be in the transaction that notes the step as done.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog

from flipsync.domain.errors import FlipSyncError
from flipsync.domain.events import Event
from flipsync.domain.ids import new_id
from flipsync.domain.workflow import Definition, Step, read_definition
from flipsync.domain.workflow_fields import TRIGGERS, plain_fields, subject_of
from flipsync.domain.workflow_messages import WorkflowBegan, WorkflowEnded, WorkflowStopped, WorkflowUnwanted
from flipsync.runtime import workflow_steps as steps
from flipsync.runtime.mailbox import Mailbox
from flipsync.runtime.runner import TaskRunner
from flipsync.runtime.workflow_steps import At, Done, Failed, Waits
from flipsync.store.database import AWAY
from flipsync.store.journal import WORKFLOWS
from flipsync.store.models import Workflow, WorkflowRun, WorkflowStep
from flipsync.store.repositories import tasks as task_rows
from flipsync.store.repositories import workflows as rows
from flipsync.store.repositories.tasks import ClaimedTask, TaskEvent
from flipsync.store.unit_of_work import Cause, Store, UnitOfWork

log = structlog.get_logger()
#: how deep automations may set each other going
MOST_DEEP = 4
#: real seconds between two looks at what is under way: doubling from the first to the last
_FIRST_LOOK, _LAST_LOOK = 0.2, 60.0
_HOUR = timedelta(hours=1)


class WorkflowEngine(TaskRunner):
    """Runs all businesses' automations, from one mailbox. A second engine fences the first."""

    alone = False

    def __init__(self, store: Store, mailbox: Mailbox | None = None, *, batch: int = 32) -> None:
        super().__init__(WORKFLOWS, store, mailbox, batch=batch)
        self._speed = float(getattr(store.clock, "speed", 1.0))

    async def _handle(self, tenant_id: UUID, tasks: Sequence[ClaimedTask]) -> None:
        for task in tasks:
            try:
                alarm = await self._take(tenant_id, task)
            except AWAY:
                raise
            except Exception as error:
                if await self._postpone(task, error):
                    await self._quarantine(tenant_id, task, error)
                continue
            if alarm is not None:
                self._due = alarm if self._due is None else min(self._due, alarm)

    async def _take(self, tenant_id: UUID, task: ClaimedTask) -> float | None:
        """Deal with one fact; returns in how many seconds its run wants to be looked at again."""
        async with self._store.unit(tenant_id) as unit:
            if not await task_rows.complete(unit.session, self.name, [task.id], self._epoch):
                return None
            record = (await task_rows.events(unit.session, [task.event_id]))[task.event_id]
            unit.cause = Cause(record.id, record.correlation_id, record.traceparent)
            if record.type in TRIGGERS:
                await self._told(unit, record)
                return None
            event = Event.from_journal(record.type, record.payload)
            if isinstance(event, WorkflowUnwanted):
                await self._cancel(unit, event)
                return None
            assert isinstance(event, WorkflowBegan)
            wait = await self._advance(unit, event.run_id)
            if wait is not None:
                await unit.flush()
                await rows.set_alarm(unit.session, record.id, wait, self._epoch)
            return wait

    async def _quarantine(self, tenant_id: UUID, task: ClaimedTask, error: Exception) -> None:
        """What always fails is left alone, with its message, until somebody lets it be tried again."""
        async with self._store.unit(tenant_id) as unit:
            record = (await task_rows.events(unit.session, [task.event_id]))[task.event_id]
            if record.type != WorkflowBegan.type_name():
                return
            found = await rows.lock_run(unit.session, record.subject_id)
            if found is not None and found[0].ended_at is None:
                found[0].state, found[0].why = "quarantined", _said(error)

    # -- triggers -----------------------------------------------------------------------------------------------------

    async def _told(self, unit: UnitOfWork, record: TaskEvent) -> None:
        """Begin the runs that this fact triggers, and wake those that wait for it."""
        for workflow in await rows.triggered(unit.session, record.type):
            try:
                async with unit.part():
                    stopped = await self._consider(unit, workflow, record)
            except AWAY:
                raise
            except Exception as error:  # one automation's trouble is not the next one's
                stopped = _said(error)
            if stopped:
                await self._stop(unit, workflow, stopped)
        await rows.ring(unit, await rows.waiting_for(unit.session, record.type, record.subject_id))

    async def _consider(self, unit: UnitOfWork, workflow: Workflow, record: TaskEvent) -> str:
        """Begin a run if the fact is one for it; returns why the automation has to be stopped instead."""
        definition = _definition(workflow)
        kind = subject_of(record.type)
        known = plain_fields(record.type, record.payload)
        if any("." in field and field not in known for field in definition.trigger.where.asks()):
            known |= await rows.about(unit.session, kind, record.subject_id)
        if not definition.trigger.where.holds(known):
            return ""
        line = await rows.line_of(unit.session, record.correlation_id)
        if workflow.name in line:
            return "it triggered itself: what it did brought about what it waits for"
        if len(line) >= MOST_DEEP:
            return f"automations set each other going: {' → '.join(reversed(line))} → {workflow.name}"
        if definition.quiet_hours_per_thing:
            since = unit.now - timedelta(hours=definition.quiet_hours_per_thing)
            if await rows.runs_since(unit.session, workflow.name, since, record.subject_id):
                return ""
        since = max(unit.now - _HOUR, workflow.changed_at)
        if await rows.runs_since(unit.session, workflow.name, since) >= definition.per_hour:
            return f"it would have run more than {definition.per_hour} times within an hour"
        run_id = new_id()
        cause = Cause(record.id, run_id, record.traceparent)
        key = f"workflow:{workflow.id}:{record.id}"
        began = unit.emit(WorkflowBegan(run_id=run_id, workflow_id=workflow.id), dedup_key=key, cause=cause)
        begun = await rows.begin_run(
            unit,
            id=run_id,
            workflow_id=workflow.id,
            event_id=record.id,
            began_id=began,
            parent_id=record.correlation_id if line else None,
            subject_kind=kind,
            subject_id=record.subject_id,
        )
        if begun is None:
            raise FlipSyncError("this fact has had its run")
        return ""

    async def _stop(self, unit: UnitOfWork, workflow: Workflow, why: str) -> None:
        log.warning("an automation is stopped", workflow=workflow.name, why=why)
        await rows.set_state(unit.session, workflow.id, "stopped", unit.now, why[:500])
        await rows.unwatch_workflow(unit.session, workflow.id)
        unit.audit("workflow.stopped", "workflow", workflow.id, name=workflow.name, why=why[:500])
        unit.emit(WorkflowStopped(workflow_id=workflow.id, name=workflow.name, why=why[:500]))

    # -- runs ---------------------------------------------------------------------------------------------------------

    async def _advance(self, unit: UnitOfWork, run_id: UUID) -> float | None:
        """Take the run as far as it goes now; returns after how many seconds to look again, None when it is over."""
        found = await rows.lock_run(unit.session, run_id)
        if found is None or found[0].ended_at is not None:
            return None
        run, workflow = found
        unit.cause = Cause(run.event_id, run.id, unit.cause.traceparent)
        definition = _definition(workflow)
        trigger = (await task_rows.events(unit.session, [run.event_id]))[run.event_id]
        known = list(await rows.steps_of(unit.session, run.id))
        if run.state == "quarantined":  # somebody lets it be tried again
            run.state, run.why = ("undoing" if any(row.undo for row in known) else "running"), ""
        while run.state == "running":
            if run.step >= len(definition.steps):
                self._end(unit, run, "done", known[-1].why if known else "")
                return None
            wait = await self._do(unit, workflow, run, definition, trigger, known)
            if wait is not None:
                return wait
        if run.state == "undoing":
            return await self._undo(unit, workflow, run, definition, trigger, known)
        return None

    async def _do(
        self,
        unit: UnitOfWork,
        workflow: Workflow,
        run: WorkflowRun,
        definition: Definition,
        trigger: TaskEvent,
        known: list[WorkflowStep],
    ) -> float | None:
        """One look at the step the run is at; returns the seconds to wait, None when the run has moved on."""
        step = definition.steps[run.step]
        row = next((each for each in known if not each.undo and each.ordinal == run.step), None)
        fresh = row is None
        if row is None:
            if step.when is not None and not await self._holds(unit, run, step, trigger):
                words = f"left out: not {step.when.in_words()}"
                row = await rows.add_step(unit, run_id=run.id, ordinal=run.step, undo=False, kind=step.do, state="done")
                row.state, row.why, row.ended_at = "skipped", words[:500], unit.now
                known.append(row)
                run.step += 1
                return None
            row = await rows.add_step(unit, run_id=run.id, ordinal=run.step, undo=False, kind=step.do, state="waiting")
            known.append(row)
        at = At(unit, workflow, run, step, row, trigger.payload)
        outcome = await steps.come_to(at) if fresh else await steps.look(at)
        row.why = outcome.why[:500]
        match outcome:
            case Waits():
                return self._seconds(unit, row, outcome.until)
            case Done():
                row.state, row.ended_at = "done", unit.now
                run.step += 1
            case Failed():
                row.state, row.ended_at = "failed", unit.now
                if definition.on_failure == "undo":
                    run.state, run.why = "undoing", outcome.why[:500]
                else:
                    self._end(unit, run, "failed", outcome.why)
                await rows.unwatch_run(unit.session, run.id)
        return None

    @staticmethod
    async def _holds(unit: UnitOfWork, run: WorkflowRun, step: Step, trigger: TaskEvent) -> bool:
        assert step.when is not None
        about = await rows.about(unit.session, run.subject_kind, run.subject_id)
        return step.when.holds(plain_fields(trigger.type, trigger.payload) | about)

    async def _undo(
        self,
        unit: UnitOfWork,
        workflow: Workflow,
        run: WorkflowRun,
        definition: Definition,
        trigger: TaskEvent,
        known: list[WorkflowStep],
    ) -> float | None:
        """Take back what was done, the last first; what cannot be taken back says so and does not stop the rest."""
        for late in (each for each in known if each.state == "waiting" and not each.undo):
            # cancelled on its way: what it became is known before it is taken back
            outcome = await steps.look(At(unit, workflow, run, definition.steps[late.ordinal], late, trigger.payload))
            if isinstance(outcome, Waits):
                return self._seconds(unit, late, outcome.until)
            late.state, late.why, late.ended_at = "skipped", f"cancelled; {outcome.why}"[:500], unit.now
        for done in sorted((row for row in known if not row.undo), key=lambda row: -row.ordinal):
            if done.kind not in steps.UNDOABLE or not done.detail:
                continue
            row = next((each for each in known if each.undo and each.ordinal == done.ordinal), None)
            if row is not None and row.state != "waiting":
                continue
            fresh = row is None
            if row is None:
                columns = {"run_id": run.id, "ordinal": done.ordinal, "kind": done.kind, "state": "waiting"}
                row = await rows.add_step(unit, undo=True, **columns)
                known.append(row)
            at = At(unit, workflow, run, definition.steps[done.ordinal], row, trigger.payload)
            outcome = await steps.take_back(at, done) if fresh else await steps.receipt(at)
            row.why = outcome.why[:500]
            if isinstance(outcome, Waits):
                return self._seconds(unit, row, outcome.until)
            row.state, row.ended_at = ("done" if isinstance(outcome, Done) else "failed"), unit.now
        failed = any(row.state == "failed" and not row.undo for row in known)
        self._end(unit, run, "failed" if failed else "cancelled", run.why)
        return None

    async def _cancel(self, unit: UnitOfWork, wish: WorkflowUnwanted) -> None:
        found = await rows.lock_run(unit.session, wish.run_id)
        if found is None or found[0].ended_at is not None or found[0].state == "undoing":
            return
        run = found[0]
        unit.cause = Cause(run.event_id, run.id, unit.cause.traceparent)
        await rows.unwatch_run(unit.session, run.id)
        for row in await rows.steps_of(unit.session, run.id):
            if row.state == "waiting":
                await rows.end_questions(unit.session, [UUID(each) for each in row.facts])
                if not wish.undo or row.kind not in steps.UNDOABLE:
                    row.state, row.why, row.ended_at = "skipped", "cancelled", unit.now
        if wish.undo:
            run.state, run.why = "undoing", "cancelled by a person"
        else:
            self._end(unit, run, "cancelled", "cancelled by a person")
        await unit.session.flush()
        await rows.take_up_again(unit.session, run.began_id)
        await rows.ring(unit, [run.id])

    @staticmethod
    def _end(unit: UnitOfWork, run: WorkflowRun, outcome: Any, why: str) -> None:
        run.state, run.why, run.ended_at = outcome, why[:500], unit.now
        unit.emit(WorkflowEnded(run_id=run.id, workflow_id=run.workflow_id, outcome=outcome, why=why[:500]))

    def _seconds(self, unit: UnitOfWork, row: WorkflowStep, until: datetime | None) -> float:
        """Real seconds until the next look: when its time comes, and before that seldom."""
        row.looks += 1
        if until is None:
            return float(min(_LAST_LOOK, _FIRST_LOOK * 2 ** min(row.looks - 1, 12)))
        left = max(0.0, (until - unit.now).total_seconds() / self._speed)
        # what is waited for may have been written down by a transaction that did not see that it is
        return min(left, 2.0 if row.kind == "await" and row.looks == 1 else 3600.0) + 0.01


def _definition(workflow: Workflow) -> Definition:
    return read_definition(workflow.definition, built_in=workflow.origin == "built-in")


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:500]
