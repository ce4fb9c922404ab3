"""Decisions: what was decided, why, what was passed over, and what came of it."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from flipsync.security.tokens import Claims
from flipsync.services import reading_decisions as reading
from flipsync.services.reading_page import Page, SortedRequest
from flipsync.services.undo import UndoReport, undo_decision
from flipsync.store.unit_of_work import UnitOfWork
from serve.deps import BackendDep, OnlyOnceDep, ReaderDep, may
from serve.errors import problems

router = APIRouter(prefix="/api/v1/decisions", tags=["decisions"])

User = Annotated[Claims, may("decisions:read")]


class DecisionQuery(SortedRequest, reading.DecisionFilter):
    model_config = ConfigDict(extra="forbid")

    sort: reading.DecisionSort = None


@router.get("", summary="List decisions", responses=problems(401, 403))
async def list_decisions(
    query: Annotated[DecisionQuery, Query()], user: User, reader: ReaderDep
) -> Page[reading.DecisionSummary]:
    """Newest first. Find those about a thing by `subject_kind` and `subject_id` of their proposals."""
    return await reading.list_decisions(reader, query, query)


@router.get("/{decision_id}", summary="One decision, from fact to receipt", responses=problems(401, 403, 404))
async def get_decision(decision_id: UUID, user: User, backend: BackendDep) -> reading.DecisionView:
    """The fact it answers, the alternatives with their scores, the proposals with their verdicts, the effects."""
    async with backend.store.reader(user.tenant_id) as session:
        return await reading.get_decision(session, decision_id)


class UndoForm(BaseModel):
    model_config = ConfigDict(extra="forbid")

    dry_run: bool = Field(default=False, description="only say what would be taken back")
    again: bool = Field(default=False, description="ask once more for what was refused")


@router.post(
    "/{decision_id}/undo", summary="Take a decision back", response_model=UndoReport, responses=problems(401, 403, 404)
)
async def undo(decision_id: UUID, form: UndoForm, user: User, once: OnlyOnceDep) -> Response:
    """What can be taken back is, once; the rest is listed with the reason. What it takes depends on the deed: prices
    pricing:write, listings catalogue:write, a paused account accounts:write."""

    async def work(unit: UnitOfWork) -> UndoReport:
        return await undo_decision(unit, decision_id, **form.model_dump(), by=user.user_id, allowed=user.may)

    return await once.run(user, work)
