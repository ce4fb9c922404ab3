"""Strategy: what the owner wants of the business, which the agents weigh their options by."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Response

from flipsync.security.tokens import Claims
from flipsync.services import goals
from serve.deps import BackendDep, CauseDep, ExpectedVersion, etag, may
from serve.errors import problems

router = APIRouter(prefix="/api/v1/strategy", tags=["strategy"])


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
    expected: ExpectedVersion,
    user: Annotated[Claims, may("strategy:write")],
    backend: BackendDep,
    cause: CauseDep,
    response: Response,
) -> goals.GoalsView:
    """They count from the next decision on. They move what is chosen within the limits, never a limit."""
    async with backend.store.unit(user.tenant_id, cause) as unit:
        view = await goals.set_goals(unit, change, expected)
    response.headers["ETag"] = etag(view.version)
    return view
