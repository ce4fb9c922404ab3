"""Settings: what the owner has chosen, and what that is for."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Response

from flipsync.security.tokens import Claims
from flipsync.services import reading_settings
from flipsync.services.reading_settings import SettingsChange, SettingsView
from serve.deps import BackendDep, CauseDep, ExpectedVersion, etag, may, may_after_proof
from serve.errors import problems

router = APIRouter(prefix="/api/v1/settings", tags=["settings"])


@router.get("", summary="All settings", responses=problems(401, 403))
async def get_settings(
    user: Annotated[Claims, may("strategy:read")], backend: BackendDep, response: Response
) -> SettingsView:
    """By their dotted names, each with what it is for and how it comes."""
    async with backend.store.reader(user.tenant_id) as session:
        view = await reading_settings.get_settings(session, user.tenant_id)
    response.headers["ETag"] = etag(view.version)
    return view


@router.patch("", summary="Change settings", responses=problems(401, 403, 412, 428))
async def patch_settings(
    form: SettingsChange,
    expected: ExpectedVersion,
    user: Annotated[Claims, may_after_proof("strategy:write")],
    backend: BackendDep,
    cause: CauseDep,
    response: Response,
) -> SettingsView:
    """From the next decision on; all of it or nothing. `POST /strategy/dry-run` takes the same `change` and tells what
    it would have meant; `POST /strategy/changes/{change_id}/undo` puts back what was there before.

    Asks for a fresh proof of who you are: limits of money are among the settings.
    """
    agents = backend.graph.agents if backend.graph is not None else ()
    async with backend.store.unit(user.tenant_id, cause) as unit:
        view = await reading_settings.change_settings(unit, form, expected, agents)
    response.headers["ETag"] = etag(view.version)
    return view
