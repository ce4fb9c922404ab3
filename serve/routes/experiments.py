"""Experiments: searches for policies with their trials, scores, seeds, code and data."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field

from flipsync.security.tokens import Claims
from flipsync.services import reading_models as reading
from flipsync.services.reading_page import Page, SortedRequest
from serve.deps import BackendDep, may
from serve.errors import problems

router = APIRouter(prefix="/api/v1/experiments", tags=["experiments"])

Reader = Annotated[Claims, may("models:read")]


class ExperimentQuery(SortedRequest):
    model_config = ConfigDict(extra="forbid")

    sort: reading.ExperimentSort = None
    problem: str | None = Field(default=None, examples=["shop-price"])


@router.get("", summary="List experiments", responses=problems(401, 403))
async def list_experiments(
    query: Annotated[ExperimentQuery, Query()], user: Reader, backend: BackendDep
) -> Page[reading.ExperimentSummary]:
    """Newest first."""
    async with backend.store.reader(user.tenant_id) as session:
        return await reading.list_experiments(session, query, problem=query.problem)


@router.get("/{experiment_id}", summary="One experiment", responses=problems(401, 403, 404))
async def get_experiment(experiment_id: UUID, user: Reader, backend: BackendDep) -> reading.ExperimentView:
    """With every trial: parameters, the score of each step, and whether it was stopped early."""
    async with backend.store.reader(user.tenant_id) as session:
        return await reading.experiment_of(session, experiment_id)
