"""What there is to decide about policies now: canary, shadow, candidate, drift, age of the last training."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.services.pricing.fees import BPS
from flipsync.services.tenant_settings import TenantProfile
from flipsync.store.models import PolicyVersion
from flipsync.store.repositories import experiments as experiment_rows
from flipsync.store.repositories import policies as rows
from flipsync.store.repositories.policies import ChoiceRow


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

    def __init__(self, session: AsyncSession, now: datetime, profile: Callable[[], Awaitable[TenantProfile]]) -> None:
        self._session = session
        self._now = now
        self._profile = profile

    async def review(self, name: str) -> Review:
        """Numbers are looked at only where a policy is in play."""
        tenant = await self._profile()
        choices = tenant.settings.pricing
        acting = await rows.active(self._session, name)
        last, count = await experiment_rows.history(self._session, name)
        training = await experiment_rows.running(self._session, name)
        candidate = await rows.newest_learned(self._session, name)
        verdict, canary_words, better, shadow_words, moved = "open", "", False, "", False
        if acting:
            from flipsync.services import policy_outcomes  # numpy and scipy: not for a house without policies

            found = await policy_outcomes.stretches(self._session, tenant.id, self._now)
            if "canary" in acting:
                test = policy_outcomes.canary_test(found, acting["canary"].id, choices.canary_bps / BPS)
                told = test.interval()
                verdict = test.verdict()
                canary_words = f"{told.mean:+.4g} [{told.low:.4g}, {told.high:.4g}] an hour, {test.n} blocks"
            if "shadow" in acting and (judged := policy_outcomes.off_policy(found, acting["shadow"].id)) is not None:
                value = judged.doubly_robust.value
                better = judged.better
                shadow_words = f"{value.mean:.4g} [{value.low:.4g}, {value.high:.4g}] against {judged.acted.mean:.4g}"
            moved = policy_outcomes.drifted(_since(found, last))
        return Review(
            live=_named(acting.get("live")),
            canary=_named(acting.get("canary")),
            canary_verdict=verdict,
            canary_words=canary_words,
            shadow=_named(acting.get("shadow")),
            shadow_better=better,
            shadow_words=shadow_words,
            candidate=_named(candidate),
            training=training,
            trained=count,
            train_because=_because(moved, last, choices.retrain_days, self._now),
        )


def _because(moved: bool, last: datetime | None, days: int, now: datetime) -> str:
    if moved:
        return "what listings earn has moved since the last training"
    if days and (last is None or now - last >= timedelta(days=days)):
        return f"the last one was on {last:%Y-%m-%d}" if last else "there was none yet"
    return ""


def _since(found: list[ChoiceRow], last: datetime | None) -> list[ChoiceRow]:
    return [row for row in found if last is None or row.at >= last]


def _named(row: PolicyVersion | None) -> Named | None:
    return None if row is None else Named(row.id, row.version)
