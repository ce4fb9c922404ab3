"""Approvals: what the agents ask a person, and the answers."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from flipsync.security.tokens import Claims
from flipsync.services import reading_decisions as reading
from flipsync.services.approvals import BulkAnswer, answer_approval, answer_approvals
from flipsync.services.reading_page import Page, SortedRequest
from flipsync.store.unit_of_work import UnitOfWork
from serve.deps import BackendDep, OnlyOnceDep, ReaderDep, may
from serve.errors import problems

router = APIRouter(prefix="/api/v1/approvals", tags=["approvals"])

Reader = Annotated[Claims, may("approvals:read")]


class ApprovalQuery(SortedRequest):
    model_config = ConfigDict(extra="forbid")

    sort: reading.ApprovalSort = None
    state: reading.ApprovalState | None = None


class AnswerRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    approved: bool
    note: str = Field(default="", max_length=2000, examples=["fine, but not below 20 dollars"])


class BulkAnswerRequest(AnswerRequest):
    ids: list[UUID] = Field(min_length=1, max_length=200)


@router.get("", summary="List approvals", responses=problems(401, 403))
async def list_approvals(
    query: Annotated[ApprovalQuery, Query()], user: Reader, reader: ReaderDep
) -> Page[reading.ApprovalView]:
    """Newest first; `state=open` are the questions that wait."""
    return await reading.list_approvals(reader, query, query.state)


@router.get("/{approval_id}", summary="One approval", responses=problems(401, 403, 404))
async def get_approval(approval_id: UUID, user: Reader, backend: BackendDep) -> reading.OneApproval:
    """With what came of it the last times, each with its row."""
    async with backend.store.reader(user.tenant_id) as session:
        return await reading.get_approval(session, approval_id)


@router.post(
    "/{approval_id}/answer",
    summary="Answer",
    response_model=reading.OneApproval,
    responses=problems(401, 403, 404, 409),
)
async def answer(
    approval_id: UUID, form: AnswerRequest, user: Annotated[Claims, may("approvals:answer")], once: OnlyOnceDep
) -> Response:
    """The decision goes ahead, or does not. 409 when somebody has answered already, or the time is over."""

    async def work(unit: UnitOfWork) -> reading.OneApproval:
        await answer_approval(unit, approval_id, approved=form.approved, by=user.user_id, note=form.note)
        return await reading.get_approval(unit.session, approval_id)

    return await once.run(user, work)


@router.post("/answers", summary="Answer many alike", response_model=BulkAnswer, responses=problems(401, 403, 409))
async def answer_many(
    form: BulkAnswerRequest, user: Annotated[Claims, may("approvals:answer")], once: OnlyOnceDep
) -> Response:
    """Those that cannot be answered (any more) are named with the reason and hold up no other."""

    async def work(unit: UnitOfWork) -> BulkAnswer:
        return await answer_approvals(unit, form.ids, approved=form.approved, by=user.user_id, note=form.note)

    return await once.run(user, work)
