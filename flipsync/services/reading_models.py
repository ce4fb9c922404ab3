"""Policies in the registry and the experiments they came from, for people to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

import orjson
from pydantic import AwareDatetime, Field
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.errors import NotFound
from flipsync.services.model_checks import Judged
from flipsync.services.model_registry import outcomes_of
from flipsync.services.reading_page import Moment, Page, SortedRequest, View, cut, sorted_by
from flipsync.services.tenant_settings import profile
from flipsync.store.models import Experiment, PolicyVersion
from flipsync.store.repositories import experiments as experiment_rows
from flipsync.store.repositories import policies as rows

ModelSort = Annotated[str | None, sorted_by(rows.SORTS)]
ExperimentSort = Annotated[str | None, sorted_by(experiment_rows.SORTS)]

if TYPE_CHECKING:
    from flipsync.services.policy_outcomes import OffPolicy

Stage = Literal["candidate", "shadow", "canary", "live", "retired"]


class ModelSummary(View):
    """A policy. `scores` compare it with its baseline on the same runs: worth, baseline, paired difference (mean, low,
    high)."""

    id: UUID
    name: str
    kind: str
    version: str
    stage: Stage
    digest: str
    code_version: str
    experiment_id: UUID | None
    scores: dict[str, Any]
    staged_at: Moment
    created_at: Moment


class StageView(View):
    """One move, with the checks it passed."""

    was: str
    becomes: str
    reason: str
    checks: list[dict[str, Any]]
    at: Moment


class EstimateView(View):
    """Mean with its 95 % interval: minor units a listing and hour, of buying policies a good and day."""

    mean: float
    low: float
    high: float


class OffPolicyView(View):
    """What a policy that looks on would have earned, from the log of the one that acts."""

    rows: int
    explored: float = Field(description="share of the rows in which another choice had a chance")
    effective_rows: float
    acted: EstimateView
    ips: EstimateView
    snips: EstimateView
    doubly_robust: EstimateView


class CanaryBudgetView(View):
    """What a canary price policy may cost, by the blocks that are over. Shares are of one."""

    prices: float = Field(description="share of the listings that it prices now")
    kept: float = Field(description="what all listings earned, as a share of what is estimated without it")
    words: str


class CanaryView(View):
    """Canary against the rest so far; may be looked at as often as one likes. `budget` is null for buying policies."""

    blocks: int
    difference: EstimateView | None
    verdict: str
    budget: CanaryBudgetView | None


class ModelView(ModelSummary):
    """A policy with its content, where it comes from, how it moved, and what came of its choices so far."""

    artefact: dict[str, Any]
    data: dict[str, Any]
    seeds: dict[str, Any]
    stages: list[StageView]
    off_policy: OffPolicyView | None
    canary: CanaryView | None


class ExperimentSummary(View):
    """One search for a policy."""

    id: UUID
    problem: str
    seed: int
    samples: int
    state: Literal["running", "finished", "failed"]
    cause: str
    error: str
    code_version: str
    result: dict[str, Any]
    started_at: Moment
    finished_at: AwareDatetime | None


class TrialView(View):
    number: int
    state: str
    params: dict[str, float]
    scores: list[float]


class ExperimentView(ExperimentSummary):
    """With the data and space its scores depend on, and every trial."""

    data: dict[str, Any]
    trials: list[TrialView]


async def list_all(
    session: AsyncSession, page: SortedRequest, *, name: str | None = None, stage: str | None = None
) -> Page[ModelSummary]:
    """Newest first."""
    place = page.place(rows.SORTS)
    found = await rows.page(session, place, name=name, stage=stage)
    return cut(found, page.limit, lambda row: _summary(row[0]), place.cursor_of)


async def model_of(session: AsyncSession, wanted: str, now: AwareDatetime) -> ModelView:
    """By id or version. Raises NotFound."""
    found = await rows.find(session, wanted)
    if not found:
        raise NotFound(f"there is no policy {wanted}", hint="`flipsync models list` shows all")
    row = found[0]
    stages = await rows.stages(session, row.id)
    off_policy, canary = await _outcomes(session, row, now)
    return ModelView(
        **_summary(row).model_dump(),
        artefact=orjson.loads(row.artefact),
        data=row.data,
        seeds=row.seeds,
        stages=[StageView.model_validate(each, from_attributes=True) for each in stages],
        off_policy=off_policy,
        canary=canary,
    )


async def _outcomes(
    session: AsyncSession, row: PolicyVersion, now: AwareDatetime
) -> tuple[OffPolicyView | None, CanaryView | None]:
    if row.stage not in ("shadow", "canary"):
        return None, None
    told: Judged = await outcomes_of(row.name).judged(session, row.tenant_id, now, {row.stage: row}, None)
    if told.canary is None:
        return (_off_policy(told.off_policy) if told.off_policy else None), None
    test = told.canary
    between = _estimate(test.interval()) if test.n >= test.least else None
    budget = None
    if told.spending is not None:
        choices = (await profile(session, row.tenant_id)).settings.pricing
        budget = CanaryBudgetView(
            prices=told.spending.part(choices), kept=told.spending.kept, words=told.spending_words
        )
    return None, CanaryView(blocks=test.n, difference=between, verdict=test.verdict(), budget=budget)


def _off_policy(told: OffPolicy) -> OffPolicyView:
    return OffPolicyView(
        rows=told.rows,
        explored=told.explored,
        effective_rows=told.doubly_robust.effective_rows,
        acted=_estimate(told.acted),
        ips=_estimate(told.ips.value),
        snips=_estimate(told.snips.value),
        doubly_robust=_estimate(told.doubly_robust.value),
    )


def _estimate(told: Any) -> EstimateView:
    return EstimateView(mean=told.mean, low=told.low, high=told.high)


def _summary(row: PolicyVersion) -> ModelSummary:
    return ModelSummary.model_validate(row, from_attributes=True)


async def list_experiments(
    session: AsyncSession, page: SortedRequest, *, problem: str | None = None
) -> Page[ExperimentSummary]:
    """Newest first."""
    place = page.place(experiment_rows.SORTS)
    found = await experiment_rows.page(session, place, problem=problem)
    return cut(found, page.limit, lambda row: _experiment(row[0]), place.cursor_of)


async def experiment_of(session: AsyncSession, experiment_id: UUID) -> ExperimentView:
    """Raises NotFound."""
    row = await experiment_rows.get(session, experiment_id)
    if row is None:
        raise NotFound(f"there is no experiment {experiment_id}")
    trials = await experiment_rows.trials(session, experiment_id)
    shown = [TrialView.model_validate(each, from_attributes=True) for each in trials]
    return ExperimentView(**_experiment(row).model_dump(), data=row.data, trials=shown)


def _experiment(row: Experiment) -> ExperimentSummary:
    return ExperimentSummary.model_validate(row, from_attributes=True)
