"""What learned parts do: the language model's calls and cost by day against the caps, and policies with their drift."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.services.language_desk import spending
from flipsync.services.model_registry import SERVED
from flipsync.services.model_review import ModelDesk, Named
from flipsync.services.reading_page import View
from flipsync.services.tenant_settings import TenantProfile, profile
from flipsync.store.repositories import language as rows


class LanguageDay(View):
    """Calls of one prompt (it is called after its agent) by one model on one day (UTC). `cost_micros` are millionths of
    a US dollar; a call nobody can tell the end of counts as the most it could take."""

    day: date
    prompt: str = Field(examples=["ai_executive"])
    model: str
    calls: int
    answered: int
    failed: int = Field(description="rejected, or given up; the rules decided alone")
    used: int = Field(description="in the model's own units of text")
    cost_micros: int


class LanguageUse(View):
    """The last 24 hours beside what they may be, and the days before."""

    enabled: bool
    used: int = Field(description="in the model's own units of text, within 24 hours")
    used_at_most: int = Field(description="what it may use in 24 hours")
    cost_micros: int
    usd_cents_per_day: int
    days: list[LanguageDay] = Field(description="newest first")


class PolicyState(View):
    """Who decides a problem now, who is tried beside it, and whether what it learned from still holds."""

    name: str = Field(examples=["shop-price"])
    in_words: str = Field(examples=["the rule as shipped decides"])
    live: str | None = Field(description="a version of the registry; null: the rule as shipped", examples=[None])
    canary: str | None
    canary_verdict: str
    shadow: str | None
    shadow_better: bool
    candidate: str | None
    training: bool
    trainings: int
    training_due: str = Field(description="why: what goods earn has moved, or it is long ago; empty: it is not")


class PolicyStates(View):
    items: list[PolicyState]


async def language_use(session: AsyncSession, tenant_id: UUID, days: int) -> LanguageUse:
    """Calls are known for as long as what decisions read is kept. Raises NotFound."""
    now = await spending(session, tenant_id)
    return LanguageUse(
        enabled=now.enabled,
        used=now.tokens,
        used_at_most=now.tokens_per_day,
        cost_micros=now.cost_micros,
        usd_cents_per_day=now.usd_cents_per_day,
        days=[LanguageDay.model_validate(row, from_attributes=True) for row in await rows.by_day(session, days)],
    )


async def policy_states(session: AsyncSession, tenant_id: UUID, now: datetime) -> PolicyStates:
    """Of every problem that the running system asks a policy for."""

    async def owners() -> TenantProfile:
        return await profile(session, tenant_id)

    desk = ModelDesk(session, now, owners)
    states = []
    for name in SERVED:
        found = await desk.review(name)
        states.append(
            PolicyState(
                name=name,
                in_words=found.words,
                live=_version(found.live),
                canary=_version(found.canary),
                canary_verdict=found.canary_verdict,
                shadow=_version(found.shadow),
                shadow_better=found.shadow_better,
                candidate=_version(found.candidate),
                training=found.training,
                trainings=found.trained,
                training_due=found.train_because,
            )
        )
    return PolicyStates(items=states)


def _version(named: Named | None) -> str | None:
    return None if named is None else named.version
