"""How a business's work goes over time: agents' decisions and backlog, effects on channels with latency and errors.

Of the process itself `/monitoring` tells, and of the installation Prometheus.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from flipsync.domain.clock import utc_now
from flipsync.security.tokens import Claims
from flipsync.services import enhanced_monitoring as monitoring
from serve.deps import BackendDep, may
from serve.errors import problems

router = APIRouter(prefix="/api/v1/enhanced-monitoring", tags=["enhanced monitoring"])

User = Annotated[Claims, may("agents:read")]


class TrendQuery(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    days: int = Field(default=7, ge=1, le=90, examples=[7])


@router.get("/agents", summary="Decisions by day and agent, and what waits", responses=problems(401, 403))
async def get_agent_trends(
    query: Annotated[TrendQuery, Query()], user: User, backend: BackendDep
) -> monitoring.AgentTrends:
    """How many, how long after the fact, how many were overruled; and facts that nobody has decided on yet."""
    async with backend.store.reader(user.tenant_id) as session:
        return await monitoring.agent_trends(session, utc_now(), query.days)


@router.get("/effects", summary="Effects by day, vendor and kind", responses=problems(401, 403))
async def get_effect_trends(
    query: Annotated[TrendQuery, Query()], user: User, backend: BackendDep
) -> monitoring.EffectTrends:
    """How many were carried out or refused, how often they were tried, and how long it took."""
    async with backend.store.reader(user.tenant_id) as session:
        return await monitoring.effect_trends(session, utc_now(), query.days)
