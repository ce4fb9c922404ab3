"""How learned parts do: what a language model costs, which policies decide. How right agents were: agents."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from flipsync.security.tokens import Claims
from flipsync.services import ai_monitoring
from flipsync.services.ai_monitoring import LanguageUse, PolicyStates
from serve.deps import BackendDep, may
from serve.errors import problems

router = APIRouter(prefix="/api/v1/ai-monitoring", tags=["ai monitoring"])

User = Annotated[Claims, may("models:read")]


class LanguageQuery(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    days: int = Field(default=30, ge=1, le=366, examples=[7])


@router.get("/language", summary="What the language model was asked and cost", responses=problems(401, 403))
async def get_language(query: Annotated[LanguageQuery, Query()], user: User, backend: BackendDep) -> LanguageUse:
    """The last 24 hours beside the caps (`language.*` of the settings), and by day, prompt and model."""
    async with backend.store.reader(user.tenant_id) as session:
        return await ai_monitoring.language_use(session, user.tenant_id, query.days)


@router.get("/policies", summary="Which policies decide, and whether they hold", responses=problems(401, 403))
async def get_policies(user: User, backend: BackendDep) -> PolicyStates:
    """Canary and shadow with their verdicts, drift as the reason why a training is due. Versions: `GET /models`."""
    async with backend.store.reader(user.tenant_id) as session:
        return await ai_monitoring.policy_states(session, user.tenant_id, backend.store.clock.now())
