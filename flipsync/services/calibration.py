"""How well agents know how sure they may be: their confidence beside what came of their decisions."""

from __future__ import annotations

from collections import defaultdict
from uuid import UUID

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.predictions import PREDICTIONS
from flipsync.learning.evaluation.calibration import Calibration, calibration
from flipsync.learning.evaluation.recalibration import IDENTITY, Recalibration
from flipsync.services import recalibrating, standing_desk
from flipsync.services.reading_page import Moment, View
from flipsync.services.recalibrating import Recalibrated
from flipsync.store.repositories import grades as rows

#: outcomes of one agent and kind that a look rests on, the newest
MOST = 5_000
_REASONS = 200


class Range(View):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


class BinView(View):
    """Decisions with about the same confidence, and the share of them that came true."""

    stated: float
    counts_as: float = Field(description="what that confidence is worth by the map that is in force now")
    count: int
    came_true: Range


class ScoreView(View):
    """brier = reliability − resolution + uncertainty + within_bins. Intervals count a decision's parts as one."""

    decisions: int
    stated: float = Field(description="mean confidence")
    constant: bool = Field(description="every confidence was the same: it tells no case from another")
    came_true: Range
    brier: float
    reliability: float
    resolution: float
    uncertainty: float
    within_bins: float
    log_score: float
    calibration_error: Range
    calibration_error_by_chance: float = Field(description="what a perfectly calibrated agent would show")
    z: float | None = Field(description="Spiegelhalter's test; beyond ±1.96 is miscalibrated")
    p_value: float | None
    bins: list[BinView]


class MapView(View):
    """From stated to counted confidence: log-odds counted = slope × log-odds stated + shift."""

    slope: float
    shift: float
    decisions: int = Field(description="of this kind whose outcome was known; few leave confidence as stated")
    fitted_at: Moment
    in_force: bool = Field(description="decisions that it lowers are held against limits by what it makes of them")


class Unknowable(View):
    """Why outcomes can never be known, and how often."""

    why: str
    count: int


class KindView(View):
    """What an agent predicted with decisions of one kind, and how that came out. `score` is null while nothing is."""

    agent: str
    kind: str
    predicts: str = Field(description="what comes true when it was right")
    checked_after_hours: float
    made: int = Field(description="proposals in all, of which some are drawn by lot to be graded")
    known: int
    waiting: int = Field(description="not known yet")
    never: int = Field(description="can never be known")
    never_because: list[Unknowable]
    recalibration: MapView | None = Field(default=None, description="null: none was fitted yet")
    score: ScoreView | None


class UngradedView(View):
    """Decisions that predict nothing which could be checked."""

    agent: str
    kind: str
    made: int


class CalibrationView(View):
    graded: list[KindView]
    ungraded: list[UngradedView]


async def of_agents(session: AsyncSession, tenant_id: UUID, agent: str | None = None) -> CalibrationView:
    """All agents, or one, by kind of decision."""
    made = await rows.tallies(session, agent)
    states = await rows.states(session, agent)
    reasons: defaultdict[tuple[str, str], list[Unknowable]] = defaultdict(list)
    for who, kind, why, number in await rows.reasons(session, agent, _REASONS):
        reasons[who, kind].append(Unknowable(why=why, count=number))
    known: defaultdict[tuple[str, str], list[rows.GradedRow]] = defaultdict(list)
    for row in await rows.known(session, tenant_id, agent, MOST):
        known[row.agent, row.kind].append(row)
    maps = {(each.agent, each.kind): each for each in await recalibrating.of_tenant(session, tenant_id, agent)}
    in_force = await standing_desk.maps_in_force(session, tenant_id)
    graded = []
    for who, kind in sorted({key for key in (*made, *states) if key[1] in PREDICTIONS}):
        counts = states.get((who, kind), {})
        fitted = maps.get((who, kind))
        graded.append(
            KindView(
                agent=who,
                kind=kind,
                predicts=PREDICTIONS[kind].says,
                checked_after_hours=PREDICTIONS[kind].within.total_seconds() / 3600,
                made=made.get((who, kind), 0),
                known=counts.get("known", 0),
                waiting=counts.get("waiting", 0),
                never=counts.get("never", 0),
                never_because=reasons[who, kind],
                recalibration=None if fitted is None else _map(fitted, in_force=(who, kind) in in_force),
                score=score(known[who, kind], fitted.map if fitted else IDENTITY) if known[who, kind] else None,
            )
        )
    others = sorted(key for key in made if key[1] not in PREDICTIONS)
    return CalibrationView(
        graded=graded, ungraded=[UngradedView(agent=who, kind=kind, made=made[who, kind]) for who, kind in others]
    )


def score(found: list[rows.GradedRow], fitted: Recalibration = IDENTITY) -> ScoreView:
    told = calibration(
        [row.confidence for row in found], [row.outcome for row in found], [row.decision_id for row in found]
    )
    return _view(told, fitted)


def _map(fitted: Recalibrated, *, in_force: bool) -> MapView:
    return MapView(
        slope=fitted.map.slope,
        shift=fitted.map.shift,
        decisions=fitted.decisions,
        fitted_at=fitted.fitted_at,
        in_force=in_force,
    )


def _view(told: Calibration, fitted: Recalibration) -> ScoreView:
    return ScoreView(
        decisions=told.decisions,
        stated=told.stated,
        constant=told.distinct == 1,
        came_true=Range(value=told.share.mean, low=told.share.low, high=told.share.high),
        brier=told.brier,
        reliability=told.reliability,
        resolution=told.resolution,
        uncertainty=told.uncertainty,
        within_bins=told.within_bins,
        log_score=told.log_score,
        calibration_error=Range(value=told.error.mean, low=told.error.low, high=told.error.high),
        calibration_error_by_chance=told.error_by_chance,
        z=told.z,
        p_value=told.p_value,
        bins=[
            BinView(
                stated=each.stated,
                counts_as=fitted.of(each.stated),
                count=each.count,
                came_true=Range(value=each.share, low=each.low, high=each.high),
            )
            for each in told.bins
        ],
    )
