"""Models: policies in the registry, where they come from, which of them decides; moving them on and back."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from flipsync.security.tokens import Claims
from flipsync.services import model_registry
from flipsync.services import reading_models as reading
from flipsync.services.reading_page import Page, SortedRequest
from flipsync.store.unit_of_work import UnitOfWork
from serve.deps import BackendDep, OnlyOnceDep, may, may_after_proof
from serve.errors import problems

router = APIRouter(prefix="/api/v1/models", tags=["models"])

Reader = Annotated[Claims, may("models:read")]
#: what decides prices and orders from then on: whoever changes it has lately proven who they are
Writer = Annotated[Claims, may_after_proof("models:write")]


class ModelQuery(SortedRequest):
    model_config = ConfigDict(extra="forbid")

    sort: reading.ModelSort = None
    name: str | None = Field(default=None, examples=["shop-price"])
    stage: reading.Stage | None = None


class Promotion(BaseModel):
    """`to` is the stage the policy should be in afterwards; another than the next one is refused."""

    model_config = ConfigDict(extra="forbid")

    to: Literal["shadow", "canary", "live"]
    reason: str = Field(default="", max_length=500)
    on_my_word: bool = Field(default=False, description="stands in for evidence that is still open, not for a failure")


class Rollback(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Literal["shop-price", "shop-order"]
    reason: str = Field(min_length=1, max_length=500)


class RolledBack(BaseModel):
    """`live` is the version that decides now; null: the rule as shipped."""

    rolled_back: str
    live: str | None


@router.get("", summary="List policies", responses=problems(401, 403))
async def list_models(
    query: Annotated[ModelQuery, Query()], user: Reader, backend: BackendDep
) -> Page[reading.ModelSummary]:
    """Newest first; each with its stage and its comparison with the baseline."""
    async with backend.store.reader(user.tenant_id) as session:
        return await reading.list_all(session, query, name=query.name, stage=query.stage)


@router.get("/{model_id}", summary="One policy", responses=problems(401, 403, 404))
async def get_model(model_id: UUID, user: Reader, backend: BackendDep) -> reading.ModelView:
    """Content, data, seeds, scores, every move with its checks, and what came of its choices so far."""
    async with backend.store.reader(user.tenant_id) as session:
        return await reading.model_of(session, str(model_id), backend.store.clock.now())


@router.post(
    "/{model_id}/promote",
    response_model=reading.ModelView,
    summary="Move a policy on",
    responses=problems(401, 403, 404, 409),
)
async def promote(model_id: UUID, body: Promotion, user: Writer, once: OnlyOnceDep) -> Response:
    """One stage on, after checks. 409 with every check that failed; then what decides now goes on deciding.

    Asks people for a fresh proof of who they are.
    """

    async def work(unit: UnitOfWork) -> reading.ModelView:
        row = await model_registry.promote(
            unit, str(model_id), to=body.to, reason=body.reason, on_my_word=body.on_my_word
        )
        return await reading.model_of(unit.session, str(row.id), unit.now)

    return await once.run(user, work)


@router.post("/rollback", response_model=RolledBack, summary="Take back what acts", responses=problems(401, 403, 409))
async def roll_back(body: Rollback, user: Writer, once: OnlyOnceDep) -> Response:
    """The canary, else the live policy; what was live before decides again. 409 when no policy acts.

    Asks people for a fresh proof of who they are.
    """

    async def work(unit: UnitOfWork) -> RolledBack:
        back, now = await model_registry.roll_back(unit, body.name, body.reason)
        return RolledBack(rolled_back=back.version, live=now.version if now is not None else None)

    return await once.run(user, work)
