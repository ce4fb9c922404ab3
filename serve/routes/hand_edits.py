"""Hand edits: what somebody wrote into a listing on the channel's own page, and whose words stay."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from flipsync.security.tokens import Claims
from flipsync.services import reading_edits as reading
from flipsync.services.reading_page import Page, PageRequest
from flipsync.store.unit_of_work import UnitOfWork
from serve.deps import BackendDep, OnlyOnceDep, may
from serve.errors import problems

router = APIRouter(prefix="/api/v1/hand-edits", tags=["hand edits"])

Reader = Annotated[Claims, may("listings:read")]


class EditQuery(PageRequest, reading.EditFilter):
    model_config = ConfigDict(extra="forbid")


class KeepRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    keep: reading.Winner = Field(
        description="theirs: this listing goes on saying what the channel shows; ours: our words are written again"
    )
    note: str = Field(default="", max_length=2000)


@router.get("", summary="List hand edits", responses=problems(401, 403))
async def list_edits(
    query: Annotated[EditQuery, Query()], user: Reader, backend: BackendDep
) -> Page[reading.HandEditView]:
    """Newest first; `state=open` are those that wait for an answer."""
    async with backend.store.reader(user.tenant_id) as session:
        return await reading.list_edits(session, query, query)


@router.get("/{edit_id}", summary="One hand edit", responses=problems(401, 403, 404))
async def get_edit(edit_id: UUID, user: Reader, backend: BackendDep) -> reading.HandEditView:
    async with backend.store.reader(user.tenant_id) as session:
        return await reading.get_edit(session, edit_id)


@router.post(
    "/{edit_id}/answer",
    summary="Say whose words stay",
    response_model=reading.HandEditView,
    responses=problems(401, 403, 404, 409),
)
async def answer(
    edit_id: UUID, form: KeepRequest, user: Annotated[Claims, may("approvals:answer")], once: OnlyOnceDep
) -> Response:
    """409 when it was answered already, its time is over, or the owner's setting has settled it."""

    async def work(unit: UnitOfWork) -> reading.HandEditView:
        await reading.answer_edit(unit, edit_id, keep=form.keep, by=user.user_id, note=form.note)
        return await reading.get_edit(unit.session, edit_id)

    return await once.run(user, work)
