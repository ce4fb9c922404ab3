"""Sessions: the devices one is signed in on, and ending them."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict

from flipsync.security.tokens import Claims
from flipsync.services import sessions
from flipsync.services.reading_page import Page, SortedRequest
from serve.deps import BackendDep, CauseDep, ReaderDep, may
from serve.errors import problems

router = APIRouter(prefix="/api/v1/auth/sessions", tags=["sessions"])

Oneself = Annotated[Claims, may("self:manage")]


class SessionQuery(SortedRequest):
    model_config = ConfigDict(extra="forbid")

    sort: sessions.SessionSort = None


class Ended(BaseModel):
    ended: int


@router.get("", summary="List your sessions", responses=problems(401, 403))
async def list_sessions(
    query: Annotated[SessionQuery, Query()], user: Oneself, reader: ReaderDep
) -> Page[sessions.SessionView]:
    """Last used first; `current` is the one that asks."""
    return await sessions.list_sessions(reader, query, user.user_id, user.session_id)


@router.delete("", summary="End all your other sessions", responses=problems(401, 403))
async def end_others(user: Oneself, backend: BackendDep, cause: CauseDep) -> Ended:
    async with backend.store.unit(user.tenant_id, cause) as unit:
        return Ended(ended=await sessions.end_other_sessions(unit, user.user_id, user.session_id))


@router.delete("/{session_id}", summary="End a session", status_code=204, responses=problems(401, 403, 404))
async def end_session(session_id: UUID, user: Oneself, backend: BackendDep, cause: CauseDep) -> Response:
    """Its tokens, access tokens too, are refused from now on."""
    async with backend.store.unit(user.tenant_id, cause) as unit:
        await sessions.end_session(unit, user.user_id, session_id)
    return Response(status_code=204)
