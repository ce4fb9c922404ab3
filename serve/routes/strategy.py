"""Strategy: goals, plans and what came of them, what binds agents, and what other settings would have meant."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from flipsync.domain.clock import utc_now
from flipsync.domain.errors import Unavailable
from flipsync.runtime import dry_running
from flipsync.security.tokens import Claims
from flipsync.services import directives, goals, strategy_desk, undo_changes
from flipsync.services.directives import DirectiveEnd, DirectiveFilter, DirectiveView
from flipsync.services.dry_run_change import change_of
from flipsync.services.reading_page import Page, PageRequest
from flipsync.services.strategy_desk import PlanView
from flipsync.services.undo_changes import ChangeReport, ChangeUndo, ChangeView
from flipsync.store.unit_of_work import UnitOfWork
from serve.deps import BackendDep, CauseDep, ExpectedVersion, OnlyOnceDep, etag, may, may_after_proof
from serve.errors import problems

router = APIRouter(prefix="/api/v1/strategy", tags=["strategy"])
#: how long an answer is waited for
_SECONDS: Final = 20.0


@router.get("/goals", summary="The goals and what they weigh", responses=problems(401, 403))
async def get_goals(
    user: Annotated[Claims, may("strategy:read")], backend: BackendDep, response: Response
) -> goals.GoalsView:
    async with backend.store.reader(user.tenant_id) as session:
        view = await goals.get_goals(session, user.tenant_id)
    response.headers["ETag"] = etag(view.version)
    return view


@router.patch("/goals", summary="Set goals", responses=problems(401, 403, 412, 428))
async def patch_goals(
    change: goals.GoalsChange,
    user: Annotated[Claims, may_after_proof("strategy:write")],
    expected: ExpectedVersion,
    backend: BackendDep,
    cause: CauseDep,
    response: Response,
) -> goals.GoalsView:
    """They count from the next decision on. They move what is chosen within the limits, never a limit.

    Asks people for a fresh proof of who they are.
    """
    async with backend.store.unit(user.tenant_id, cause) as unit:
        view = await goals.set_goals(unit, change, expected)
    response.headers["ETag"] = etag(view.version)
    return view


@router.get("/changes", summary="What people changed of settings and goals", responses=problems(401, 403))
async def list_changes(
    query: Annotated[PageRequest, Query()], user: Annotated[Claims, may("strategy:read")], backend: BackendDep
) -> Page[ChangeView]:
    """Newest first, each with what was there before."""
    async with backend.store.reader(user.tenant_id) as session:
        return await undo_changes.changes_of_settings(session, user.tenant_id, query)


@router.post(
    "/changes/{change_id}/undo",
    summary="Put back what was there before",
    response_model=ChangeReport,
    responses=problems(401, 403, 404),
)
async def undo_change(
    change_id: UUID, form: ChangeUndo, user: Annotated[Claims, may_after_proof("strategy:write")], once: OnlyOnceDep
) -> Response:
    """Each setting, as long as it is still what the change wrote; the rest says why not.

    Asks for a fresh proof of who you are: limits of money are among the settings.
    """

    async def work(unit: UnitOfWork) -> ChangeReport:
        about = ("tenant", user.tenant_id)
        return await undo_changes.undo_change(unit, change_id, about=about, dry_run=form.dry_run, allowed=user.may)

    return await once.run(user, work)


class DirectiveQuery(PageRequest, DirectiveFilter):
    model_config = ConfigDict(extra="forbid")


@router.get("/plans", summary="List plans with what came of them", responses=problems(401, 403))
async def list_plans(
    page: Annotated[PageRequest, Query()], user: Annotated[Claims, may("strategy:read")], backend: BackendDep
) -> Page[PlanView]:
    """Four weeks each, newest first: targets, how likely each was when it was set, and the figures by now."""
    async with backend.store.reader(user.tenant_id) as session:
        return await strategy_desk.list_plans(session, page, backend.store.clock.now())


@router.get("/directives", summary="List what binds agents", responses=problems(401, 403))
async def list_directives(
    query: Annotated[DirectiveQuery, Query()], user: Annotated[Claims, may("strategy:read")], backend: BackendDep
) -> Page[DirectiveView]:
    """Newest first, with whom each binds, until when, and by whose word."""
    async with backend.store.reader(user.tenant_id) as session:
        return await directives.list_directives(session, query, query, backend.store.clock.now())


@router.post(
    "/directives/{directive_id}/end",
    summary="End a directive",
    response_model=DirectiveView,
    responses=problems(401, 403, 404, 409),
)
async def end_directive(
    directive_id: UUID,
    form: DirectiveEnd,
    user: Annotated[Claims, may_after_proof("strategy:write")],
    once: OnlyOnceDep,
) -> Response:
    """It binds nobody from the next decision on. Asks people for a fresh proof of who they are: it was a limit."""

    async def work(unit: UnitOfWork) -> DirectiveView:
        return await directives.end(unit, directive_id, form.reason, user.user_id)

    return await once.run(user, work)


class DryRunChangeForm(BaseModel):
    """Settings and other rules as they would be, by their dotted names."""

    model_config = ConfigDict(extra="forbid")

    change: dict[str, Any] = Field(
        min_length=1,
        max_length=50,
        description="pricing.*, stock.*, goals.* and others; pricing.policy: a version of the registry;"
        " agents.NAME.auto_above, agents.NAME.max_stake_minor; directives.give: terms, directives.end: ids;"
        " variants.SKU.cost_minor, floor_minor, ceiling_minor",
        examples=[{"pricing.min_margin_bps": 800}],
    )
    since: AwareDatetime | None = Field(default=None, description="decided since then; default: 90 days ago")
    limit: int = Field(default=5_000, ge=1, le=50_000, description="at most so many decisions, oldest first")


@router.post("/dry-run", summary="Try other rules on the past", responses=problems(401, 403, 404, 409, 503))
async def try_on_past(
    form: DryRunChangeForm,
    user: Annotated[Claims, may("strategy:read", "decisions:read", "pricing:read")],
    backend: BackendDep,
) -> dry_running.DryRun:
    """Past decisions, made again as they were and as they would have been; what differs in deeds and money.

    Changes nothing. It answers within some twenty seconds: `complete` says whether it got through, `looked_to` how far;
    for more give a later `since`, or use `flipsync settings dry-run`. A business tries one change at a time.
    """
    if backend.graph is None:
        raise Unavailable("this process knows no agents", hint="set FLIPSYNC_ROSTER")
    agents = backend.graph.agents
    since = form.since or utc_now() - timedelta(days=90)
    change = change_of(form.change, agents)
    with backend.trial(user.tenant_id):
        return await dry_running.dry_run(
            backend.store, user.tenant_id, agents, change, since=since, limit=form.limit, seconds=_SECONDS
        )
