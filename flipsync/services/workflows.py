"""Automations as people write, read and stop them. The engine that runs them is `runtime.workflow`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.errors import Conflict, InvalidInput, NotFound
from flipsync.domain.workflow import Definition, read_definition
from flipsync.domain.workflow_messages import WorkflowUnwanted
from flipsync.services.reading_page import Moment, Page, SortedRequest, View, cut, sorted_by
from flipsync.store.models import Workflow, WorkflowRun, WorkflowStep
from flipsync.store.repositories import workflows as rows
from flipsync.store.unit_of_work import UnitOfWork

WorkflowSort = Annotated[str | None, sorted_by(rows.SORTS)]
RunSort = Annotated[str | None, sorted_by(rows.RUN_SORTS)]

State = Literal["active", "paused", "stopped", "replaced", "removed"]
RunState = Literal["running", "undoing", "done", "failed", "cancelled", "quarantined"]
#: automations of one business
MOST = 100
AUTO_LISTING: Final = "auto-listing"
#: what comes with FlipSync; a business switches it on
BUILT_IN: Final[dict[str, Definition]] = {
    AUTO_LISTING: read_definition(
        {
            "name": AUTO_LISTING,
            "trigger": {
                "event": "ProductImported",
                "where": {"all": [{"field": "created", "op": "eq", "value": True}]},
            },
            "steps": [
                {"do": "list-stock", "part": part} for part in ("identify", "content", "price", "publish", "read-back")
            ],
            "per_hour": 5_000,
        },
        built_in=True,
    )
}


class WorkflowView(View):
    """An automation in its newest version. `runs` by state, of all versions."""

    id: UUID
    name: str
    version: int
    origin: Literal["owner", "built-in"]
    state: State
    note: str = Field(description="why it was stopped")
    in_words: str
    may_trigger_itself: bool = Field(description="what it does may bring about what it waits for: then it is stopped")
    definition: dict[str, Any]
    runs: dict[RunState, int]
    created_at: Moment
    changed_at: Moment


class StepView(View):
    """A step that a run has come to. `facts` are in the journal: what came of them is told by `flipsync why`."""

    number: int
    do: str
    undo: bool
    state: Literal["waiting", "done", "skipped", "failed"]
    why: str
    facts: list[UUID]
    began_at: Moment
    ended_at: Moment | None


class RunView(View):
    id: UUID
    workflow_id: UUID
    version: int
    state: RunState
    why: str
    event_id: UUID = Field(description="the fact that triggered it")
    parent_id: UUID | None = Field(description="the run that brought that fact about")
    subject_kind: str
    subject_id: UUID
    step: int = Field(description="the step it is at, from 0")
    started_at: Moment
    ended_at: Moment | None


class RunDetail(RunView):
    name: str
    in_words: list[str]
    steps: list[StepView]


class WorkflowDesk:
    """What agents may ask about runs, from one read-only transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def under_way(self, run_id: UUID) -> bool:
        return await rows.run_state(self._session, run_id) in ("running", "quarantined")


async def write(unit: UnitOfWork, written: Any, *, by: UUID | None) -> WorkflowView:
    """Put an automation in force: a new one, or a new version of the one of that name; runs under way end by their own
    version. Raises InvalidInput with every fault, Conflict for the name of one that comes with FlipSync."""
    definition = read_definition(written)
    if definition.name in BUILT_IN:
        raise Conflict(f"{definition.name} comes with FlipSync", hint="give yours another name")
    return await _put(unit, definition, "owner", by)


async def switch_on(unit: UnitOfWork, name: str, *, by: UUID | None) -> WorkflowView:
    """Put in force what comes with FlipSync. Raises InvalidInput when nothing of that name does."""
    if name not in BUILT_IN:
        raise InvalidInput(f"nothing called {name[:60]!r} comes with FlipSync", hint=", ".join(BUILT_IN))
    return await _put(unit, BUILT_IN[name], "built-in", by)


async def _put(unit: UnitOfWork, definition: Definition, origin: str, by: UUID | None) -> WorkflowView:
    await rows.hold(unit)
    before = await rows.current_named(unit.session, definition.name)
    told = definition.model_dump(mode="json", exclude_defaults=True)
    if before is not None and before.state == "active" and before.definition == told:
        return (await _views(unit.session, [before]))[0]
    if before is None and await rows.count_current(unit.session) >= MOST:
        raise Conflict(f"{MOST} automations are the most there can be", hint="remove one that is not needed")
    if before is not None:
        await rows.set_state(unit.session, before.id, "replaced", unit.now)
        await rows.unwatch_workflow(unit.session, before.id)
    version = await rows.last_version(unit.session, definition.name) + 1
    row = await rows.add(
        unit, name=definition.name, version=version, origin=origin, state="active", definition=told, created_by=by
    )
    await rows.watch(unit, definition.trigger.event, of_workflow=row.id, about=None)
    unit.audit("workflow.written", "workflow", row.id, name=row.name, version=version)
    return (await _views(unit.session, [row]))[0]


async def pause(unit: UnitOfWork, workflow_id: UUID) -> WorkflowView:
    """No new runs until it is resumed; those under way go on. Raises NotFound, Conflict."""
    return await _move(unit, workflow_id, ("active",), "paused")


async def resume(unit: UnitOfWork, workflow_id: UUID) -> WorkflowView:
    """A paused or stopped one runs again, from the next fact on. Raises NotFound, Conflict."""
    view = await _move(unit, workflow_id, ("paused", "stopped"), "active")
    event = read_definition(view.definition, built_in=view.origin == "built-in").trigger.event
    await rows.watch(unit, event, of_workflow=workflow_id, about=None)
    return view


async def remove(unit: UnitOfWork, workflow_id: UUID) -> WorkflowView:
    """It is over; runs under way end by themselves. Its runs stay to be seen. Raises NotFound, Conflict."""
    return await _move(unit, workflow_id, rows.CURRENT, "removed")


async def _move(unit: UnitOfWork, workflow_id: UUID, was: Sequence[str], to: State) -> WorkflowView:
    row = await rows.get(unit.session, workflow_id, lock=True)
    if row is None:
        raise NotFound(f"no automation {workflow_id}")
    if row.state not in was:
        raise Conflict(f"it is {row.state}", hint=f"this can be done to one that is {' or '.join(was)}")
    await rows.set_state(unit.session, workflow_id, to, unit.now)
    if to != "active":
        await rows.unwatch_workflow(unit.session, workflow_id)
    unit.audit(f"workflow.{to}", "workflow", workflow_id, name=row.name)
    await unit.session.refresh(row)
    return (await _views(unit.session, [row]))[0]


async def cancel(unit: UnitOfWork, run_id: UUID, *, undo: bool) -> RunDetail:
    """Have a run ended, as soon as the engine hears of it; `undo`: with what it did taken back, where that can be.
    Raises NotFound, and Conflict for one that is over."""
    view = await run(unit.session, run_id)
    if view.ended_at is not None:
        raise Conflict(f"the run is {view.state} already")
    unit.emit(WorkflowUnwanted(run_id=run_id, undo=undo))
    unit.audit("workflow.run-cancelled", "workflow_run", run_id, undo=undo)
    return view


async def go_on(unit: UnitOfWork, run_id: UUID) -> None:
    """A person said yes: the run has its turn at once. Raises Conflict when it is over."""
    if await rows.run_state(unit.session, run_id) not in ("running", "quarantined"):
        raise Conflict("the run is over, or was cancelled")
    await rows.ring(unit, [run_id])


# -- reading ----------------------------------------------------------------------------------------------------------


async def list_workflows(session: AsyncSession, page: SortedRequest) -> Page[WorkflowView]:
    """Newest first by default. Raises InvalidInput for a foreign cursor."""
    place = page.place(rows.SORTS)
    found = await rows.current(session, place)
    shown = {view.id: view for view in await _views(session, [row[0] for row in found])}
    return cut(found, page.limit, lambda row: shown[row[0].id], place.cursor_of)


async def get(session: AsyncSession, workflow_id: UUID) -> WorkflowView:
    """Raises NotFound."""
    row = await rows.get(session, workflow_id)
    if row is None:
        raise NotFound(f"no automation {workflow_id}")
    return (await _views(session, [row]))[0]


async def list_runs(
    session: AsyncSession, workflow_id: UUID, page: SortedRequest, state: RunState | None = None
) -> Page[RunView]:
    """Of all its versions, newest first. Raises NotFound, InvalidInput for a foreign cursor."""
    name = (await get(session, workflow_id)).name
    place = page.place(rows.RUN_SORTS)
    found = await rows.runs_of(session, name, place, state=state)
    return cut(found, page.limit, lambda row: RunView(**_run(row[0], row[1])), place.cursor_of)


async def run(session: AsyncSession, run_id: UUID) -> RunDetail:
    """A run with its steps. Raises NotFound."""
    found = await rows.get_run(session, run_id)
    if found is None:
        raise NotFound(f"no run {run_id}")
    row, workflow = found
    definition = _definition(workflow)
    words = [step.in_words() for step in definition.steps] if definition is not None else []
    steps = [_step(each) for each in await rows.steps_of(session, run_id)]
    return RunDetail(**_run(row, workflow.version), name=workflow.name, in_words=words, steps=steps)


def _definition(row: Workflow) -> Definition | None:
    """None for one that this version cannot read any more: it is shown, and its runs are set aside with the reason."""
    try:
        return read_definition(row.definition, built_in=row.origin == "built-in")
    except InvalidInput:
        return None


async def _views(session: AsyncSession, found: Sequence[Workflow]) -> list[WorkflowView]:
    counts = await rows.count_runs(session, [row.name for row in found])
    return [
        WorkflowView.model_validate(
            {
                **{name: getattr(row, name) for name in ("id", "name", "version", "origin", "state", "note")},
                "in_words": definition.in_words() if definition else "this version cannot read it: write it anew",
                "may_trigger_itself": definition is not None and definition.may_trigger_itself(),
                "definition": row.definition,
                "runs": counts.get(row.name, {}),
                "created_at": row.created_at,
                "changed_at": row.changed_at,
            }
        )
        for row in found
        for definition in [_definition(row)]
    ]


def _run(row: WorkflowRun, version: int) -> dict[str, Any]:
    names = [name for name in RunView.model_fields if name != "version"]
    return {name: getattr(row, name) for name in names} | {"version": version}


def _step(row: WorkflowStep) -> StepView:
    return StepView(
        number=row.ordinal,
        do=row.kind,
        undo=row.undo,
        state=row.state,
        why=row.why,
        facts=[UUID(each) for each in row.facts],
        began_at=row.began_at,
        ended_at=row.ended_at,
    )
