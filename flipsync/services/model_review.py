"""What there is to decide about policies now: canary, shadow, candidate, drift, age of the last training."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain import predictions
from flipsync.services.grounds import TrainingGround
from flipsync.services.learned_buying import ShopOrder
from flipsync.services.learned_pricing import ShopPrice
from flipsync.services.model_checks import Judged
from flipsync.services.model_registry import outcomes_of
from flipsync.services.tenant_settings import PricingChoices, PurchasingChoices, TenantProfile, TenantSettings
from flipsync.store.models import PolicyVersion
from flipsync.store.repositories import experiments as experiment_rows
from flipsync.store.repositories import grades as grade_rows
from flipsync.store.repositories import policies as rows

#: what is predicted of what a kind of policy decides
_TELLS = {ShopPrice.kind: predictions.PRICE.kind, ShopOrder.kind: predictions.PURCHASE.kind}


@dataclass(frozen=True)
class Named:
    """A policy version by id."""

    id: UUID
    version: str


@dataclass(frozen=True)
class Review:
    """`trained` counts the trainings so far; `train_because` is "" where none is due."""

    live: Named | None = None
    canary: Named | None = None
    canary_verdict: str = "open"
    canary_words: str = ""
    shadow: Named | None = None
    shadow_better: bool = False
    shadow_words: str = ""
    candidate: Named | None = None
    training: bool = False
    trained: int = 0
    train_because: str = ""

    @property
    def words(self) -> str:
        decides = self.live.version if self.live else "the rule as shipped"
        beside = [f"canary {self.canary.version}" if self.canary else "", self.canary_words]
        beside += [f"shadow {self.shadow.version}" if self.shadow else "", self.shadow_words]
        return "; ".join([f"{decides} decides", *(each for each in beside if each)])


class ModelDesk:
    """Questions about policies, from one read-only transaction."""

    def __init__(
        self,
        session: AsyncSession,
        now: datetime,
        profile: Callable[[], Awaitable[TenantProfile]],
        note: Callable[[TrainingGround], None] = lambda _: None,
    ) -> None:
        """`note` is told by what a training is due."""
        self._session = session
        self._now = now
        self._profile = profile
        self._note = note

    async def review(self, name: str) -> Review:
        """Numbers are looked at only where a policy is in play."""
        tenant = await self._profile()
        acting = await rows.active(self._session, name)
        last, count = await experiment_rows.history(self._session, name)
        training = await experiment_rows.running(self._session, name)
        candidate = await rows.newest_learned(self._session, name)
        told = Judged("")
        if acting:
            told = await outcomes_of(name).judged(self._session, tenant.id, self._now, acting, last)
        wishes = retraining(name, tenant.settings)
        came = await grade_rows.known_since(self._session, _TELLS[name], last)
        ground = TrainingGround(told.moved, last, wishes.retrain_days, came, wishes.retrain_outcomes)
        self._note(ground)
        return Review(
            live=_named(acting.get("live")),
            canary=_named(acting.get("canary")),
            canary_verdict=told.canary.verdict() if told.canary is not None else "open",
            canary_words=told.canary_words,
            shadow=_named(acting.get("shadow")),
            shadow_better=told.shadow_better,
            shadow_words=told.shadow_words,
            candidate=_named(candidate),
            training=training,
            trained=count,
            train_because=train_because(ground, self._now),
        )


def retraining(name: str, settings: TenantSettings) -> PricingChoices | PurchasingChoices:
    """The choices that say when that kind of policy is searched for anew."""
    return settings.purchasing if name == ShopOrder.kind else settings.pricing


def train_because(ground: TrainingGround, now: datetime) -> str:
    """Why a training is due; "" where none is."""
    last, days = ground.last, ground.days
    if ground.moved:
        return "what listings earn has moved since the last training"
    if ground.enough and ground.outcomes >= ground.enough:
        return f"{ground.outcomes} outcomes are known {'since the last one' if last else 'and there was none yet'}"
    if days and (last is None or now - last >= timedelta(days=days)):
        return f"the last one was on {last:%Y-%m-%d}" if last else "there was none yet"
    return ""


def _named(row: PolicyVersion | None) -> Named | None:
    return None if row is None else Named(row.id, row.version)
