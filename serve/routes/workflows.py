"""Automations: written as data, tried on the past, switched on and off; their runs with every step, and why."""

from __future__ import annotations

from typing import Annotated, Any, Final, Self
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from flipsync.security.tokens import Claims
from flipsync.services import workflow_dry_run, workflows
from flipsync.services.reading_page import Page, SortedRequest
from flipsync.services.workflow_dry_run import WorkflowDryRun
from flipsync.services.workflows import RunDetail, RunView, WorkflowView
from flipsync.store.unit_of_work import UnitOfWork
from serve.deps import BackendDep, OnlyOnceDep, may, may_after_proof
from serve.errors import problems

router = APIRouter(prefix="/api/v1/workflows", tags=["workflows"])
#: how long an answer is waited for
_SECONDS: Final = 20.0

Looker = Annotated[Claims, may("strategy:read")]
#: an automation acts as its owner would, prices and stock too: who may set the strategy may write one, after a proof
Writer = Annotated[Claims, may_after_proof("strategy:write")]
Remover = Annotated[Claims, may("strategy:write")]
#: what a run did may tell what goods cost
Reader = Annotated[Claims, may("strategy:read", "decisions:read")]
Ender = Annotated[Claims, may("agents:write")]

_EXAMPLE: Final[dict[str, Any]] = {
    "name": "end-when-sold-out",
    "trigger": {"event": "StockMoved", "where": {"all": [{"field": "on_hand", "op": "eq", "value": 0}]}},
    "steps": [
        {"do": "ask", "question": "Sold out. Take it off sale?"},
        {"do": "end-listing", "reason": "sold out"},
    ],
}


class WorkflowForm(BaseModel):
    """An automation of one's own (`definition`), or the name of one that comes with FlipSync (`built_in`)."""

    model_config = ConfigDict(extra="forbid")

    definition: dict[str, Any] | None = Field(default=None, max_length=20, examples=[_EXAMPLE])
    built_in: str | None = Field(default=None, max_length=60, examples=["auto-listing"])

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.definition is None) == (self.built_in is None):
            raise ValueError("give either definition or built_in")
        return self


class DryRunForm(WorkflowForm):
    since: AwareDatetime | None = Field(default=None, description="default: 90 days ago")


class CancelForm(BaseModel):
    model_config = ConfigDict(extra="forbid")

    undo: bool = Field(default=False, description="take back what it did, where that can be")


class WorkflowQuery(SortedRequest):
    model_config = ConfigDict(extra="forbid")

    sort: workflows.WorkflowSort = None


class RunQuery(SortedRequest):
    model_config = ConfigDict(extra="forbid")

    sort: workflows.RunSort = None
    state: workflows.RunState | None = None


@router.get("", summary="List automations", responses=problems(401, 403))
async def list_workflows(
    query: Annotated[WorkflowQuery, Query()], user: Looker, backend: BackendDep
) -> Page[WorkflowView]:
    """Each in its newest version, with what it does in words, and its runs by state."""
    async with backend.store.reader(user.tenant_id) as session:
        return await workflows.list_workflows(session, query)


@router.post(
    "",
    summary="Put an automation in force",
    response_model=WorkflowView,
    responses=problems(401, 403, 409),
)
async def write_workflow(form: WorkflowForm, user: Writer, once: OnlyOnceDep) -> Response:
    """New, or a new version of the one of that name; runs under way end by the version they began with.

    It is data: nothing in it is run or filled in. Every fault is named with its place.
    """

    async def work(unit: UnitOfWork) -> WorkflowView:
        if form.built_in is not None:
            return await workflows.switch_on(unit, form.built_in, by=user.user_id)
        return await workflows.write(unit, form.definition, by=user.user_id)

    return await once.run(user, work)


@router.post("/dry-run", summary="Try an automation on the past", responses=problems(401, 403, 409))
async def try_on_past(form: DryRunForm, user: Reader, backend: BackendDep) -> WorkflowDryRun:
    """What would have triggered it, and what it would have come to. Changes nothing.

    It answers within some twenty seconds: `complete` says whether it got through. A business tries one thing at a time.
    """
    with backend.trial(user.tenant_id):
        return await workflow_dry_run.dry_run(
            backend.store, user.tenant_id, form.built_in or form.definition, since=form.since, seconds=_SECONDS
        )


@router.get("/runs/{run_id}", summary="One run with its steps", responses=problems(401, 403, 404))
async def get_run(run_id: UUID, user: Reader, backend: BackendDep) -> RunDetail:
    """Each step with its state and the reason; `facts` lead to the decisions and effects that came of it."""
    async with backend.store.reader(user.tenant_id) as session:
        return await workflows.run(session, run_id)


@router.post(
    "/runs/{run_id}/cancel",
    summary="End a run",
    response_model=RunDetail,
    responses=problems(401, 403, 404, 409),
)
async def cancel_run(run_id: UUID, form: CancelForm, user: Ender, once: OnlyOnceDep) -> Response:
    """It ends as soon as the engine hears of it. What is on its way to a channel is not called back; with `undo` it is
    taken back afterwards."""

    async def work(unit: UnitOfWork) -> RunDetail:
        return await workflows.cancel(unit, run_id, undo=form.undo)

    return await once.run(user, work)


@router.get("/{workflow_id}", summary="One automation", responses=problems(401, 403, 404))
async def get_workflow(workflow_id: UUID, user: Looker, backend: BackendDep) -> WorkflowView:
    """In the version of that id, be it replaced or not."""
    async with backend.store.reader(user.tenant_id) as session:
        return await workflows.get(session, workflow_id)


@router.get("/{workflow_id}/runs", summary="Its runs", responses=problems(401, 403, 404))
async def list_runs(
    workflow_id: UUID, query: Annotated[RunQuery, Query()], user: Reader, backend: BackendDep
) -> Page[RunView]:
    """Of all versions, newest first."""
    async with backend.store.reader(user.tenant_id) as session:
        return await workflows.list_runs(session, workflow_id, query, query.state)


@router.post(
    "/{workflow_id}/pause",
    summary="Pause an automation",
    response_model=WorkflowView,
    responses=problems(401, 403, 404, 409),
)
async def pause(workflow_id: UUID, user: Ender, once: OnlyOnceDep) -> Response:
    """It begins no new runs; those under way go on."""

    async def work(unit: UnitOfWork) -> WorkflowView:
        return await workflows.pause(unit, workflow_id)

    return await once.run(user, work)


@router.post(
    "/{workflow_id}/resume",
    summary="Resume an automation",
    response_model=WorkflowView,
    responses=problems(401, 403, 404, 409),
)
async def resume(workflow_id: UUID, user: Writer, once: OnlyOnceDep) -> Response:
    """One that was paused, or stopped because it triggered itself or ran too often."""

    async def work(unit: UnitOfWork) -> WorkflowView:
        return await workflows.resume(unit, workflow_id)

    return await once.run(user, work)


@router.post(
    "/{workflow_id}/remove",
    summary="Remove an automation",
    response_model=WorkflowView,
    responses=problems(401, 403, 404, 409),
)
async def remove(workflow_id: UUID, user: Remover, once: OnlyOnceDep) -> Response:
    """For good; its runs stay to be seen until 100 days after their end, and those under way end by themselves."""

    async def work(unit: UnitOfWork) -> WorkflowView:
        return await workflows.remove(unit, workflow_id)

    return await once.run(user, work)
