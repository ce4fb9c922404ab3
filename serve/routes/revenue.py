"""Revenue: what came in over a span, against the span before it, in all and by channel."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import ConfigDict

from flipsync.security.tokens import Claims
from flipsync.services import analytics, revenue
from flipsync.services.analytics import Span
from serve.deps import BackendDep, KnownDep, may
from serve.errors import UNCHANGED, problems

router = APIRouter(prefix="/api/v1/revenue", tags=["revenue"])


class RevenueQuery(Span):
    model_config = ConfigDict(extra="forbid")


@router.get("", summary="Revenue of a span", responses=problems(401, 403) | UNCHANGED)
async def get_revenue(
    query: Annotated[RevenueQuery, Query()],
    user: Annotated[Claims, may("analytics:read")],
    backend: BackendDep,
    known: KnownDep,
) -> revenue.RevenueView:
    """By currency, and by channel within it; against as many days before."""
    async with analytics.figures(backend.store, user.tenant_id, known.unless) as (session, today):
        return await revenue.revenue(session, query, today)
