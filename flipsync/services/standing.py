"""How much an agent may decide alone, by how right it was: taken away when it proves too sure, given back when not.

Never more than its declaration says (`Authority`): a standing only lowers it. It concerns one kind of decision, and
only kinds that may wait. Pure; what is in the books is in services.standing_desk.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any, Final, Literal

from flipsync.domain.predictions import PREDICTIONS
from flipsync.learning.evaluation.overconfidence import Wealth, wealth
from flipsync.services.recalibrating import Recalibrated, as_kept, read_kept
from flipsync.store.repositories.grades import GradedRow

Level = Literal["full", "reduced", "none"]
LEVELS: Final[tuple[Level, ...]] = ("full", "reduced", "none")
#: how much less often than stated things may come true before it counts
TOLERANCE: Final = 0.1
#: bets begin anew so often, since good times long ago would hide bad ones; what is promised is promised for so long
EPOCH: Final = timedelta(days=60)
#: the chance that an agent within tolerance loses a level in an epoch, and that one beyond it is given one back
FALSE_LOSS, FALSE_RETURN = 0.01, 0.05
_FIRST_EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
#: decisions below which nothing moves, and after how long without so many it is tried with a level more
LEAST, PROBATION = 20, timedelta(days=30)
#: of the stake limit, while reduced
REDUCED_STAKE: Final = 0.25


@dataclass(frozen=True)
class Standing:
    """`trusted` is the share of its confidence that counts: 1 when it has lost nothing."""

    agent: str
    kind: str
    level: Level
    trusted: float
    since: datetime
    reason: str


@dataclass(frozen=True)
class StandingMove:
    """A standing that should change."""

    agent: str
    kind: str
    was: Level
    becomes: Level
    trusted: float
    reason: str


def movable(kind: str) -> bool:
    """Whether authority over this kind can be taken away: where waiting would do harm it stays."""
    return kind in PREDICTIONS and PREDICTIONS[kind].may_wait


def judge(
    agent: str, kind: str, standing: Standing | None, found: Sequence[GradedRow], now: datetime
) -> StandingMove | None:
    """What the outcomes since the last change say; one level at most. `found` in the order they came due."""
    if not movable(kind):
        return None
    level: Level = standing.level if standing is not None else "full"
    base = standing.since if standing is not None else _FIRST_EPOCH
    begun = base + (now - base) // EPOCH * EPOCH
    told = wealth(_by_decision([row for row in found if row.decided_at >= begun]), TOLERANCE)
    place = LEVELS.index(level)
    if told.decisions >= LEAST and told.too_sure >= 1 / FALSE_LOSS and level != LEVELS[-1]:
        trusted = min(1.0, told.came_true / told.stated) if told.stated else 1.0
        if standing is not None:
            trusted = min(trusted, standing.trusted)
        return StandingMove(
            agent, kind, level, LEVELS[place + 1], trusted, f"right less often than stated: {_words(told)}"
        )
    if level == "full" or standing is None:
        return None
    if told.decisions >= LEAST and told.sure_enough >= 1 / FALSE_RETURN:
        return _back(agent, kind, standing, f"right about as often as stated: {_words(told)}")
    if now - standing.since >= PROBATION and len(_by_decision(found)) < LEAST:
        return _back(agent, kind, standing, f"tried again after {PROBATION.days} days with too little to judge by")
    return None


def _back(agent: str, kind: str, standing: Standing, reason: str) -> StandingMove:
    becomes = LEVELS[LEVELS.index(standing.level) - 1]
    return StandingMove(agent, kind, standing.level, becomes, 1.0 if becomes == "full" else standing.trusted, reason)


def _by_decision(found: Sequence[GradedRow]) -> list[tuple[float, float]]:
    """A decision is one case, however many parts it had."""
    together = []
    for _, group in groupby(found, key=lambda row: row.decision_id):
        parts = list(group)
        together.append((parts[0].confidence, sum(part.outcome for part in parts) / len(parts)))
    return together


def _words(told: Wealth) -> str:
    return f"{told.came_true:.0%} came true where {told.stated:.0%} was stated, {told.decisions} decisions"


def lowest(standings: Iterable[Standing]) -> Standing | None:
    """The one that leaves least to its agent; None of none."""
    return max(standings, key=lambda each: (LEVELS.index(each.level), -each.trusted), default=None)


def above(
    standing: Standing, confidence: float, auto_above: float, stake_minor: int | None, max_stake_minor: int
) -> str:
    """Why a decision within its agent's declared authority still goes up; "" when it may go ahead."""
    match standing.level:
        case "full":
            return ""
        case "none":
            return f"{standing.agent} decides no {standing.kind} alone any more ({standing.reason})"
    counts = confidence * standing.trusted
    if counts < auto_above:
        return f"confidence {confidence:.2f} counts as {counts:.2f}, below {auto_above:.2f} ({standing.reason})"
    limit = int(max_stake_minor * REDUCED_STAKE)
    if stake_minor is not None and stake_minor > limit:
        return f"{stake_minor} minor units at stake are above {limit} while authority is reduced ({standing.reason})"
    return ""


@dataclass(frozen=True)
class Bearing:
    """What outcomes say of a decision's confidence: its agent's standing, and the map from stated to counted."""

    standing: Standing | None = None
    recalibrated: Recalibrated | None = None

    def counts(self, confidence: float) -> float:
        """What counts of it: the least of what either leaves, never more than was stated."""
        counts = confidence * (1.0 if self.standing is None else self.standing.trusted)
        return counts if self.recalibrated is None else min(counts, self.recalibrated.map.of(confidence))

    def above(self, confidence: float, auto_above: float, stake_minor: int | None, max_stake_minor: int) -> str:
        """Why a decision within its agent's declared authority still goes up; "" when it may go ahead."""
        if self.standing is not None:
            told = above(self.standing, confidence, auto_above, stake_minor, max_stake_minor)
            if told:
                return told
        used = self.recalibrated
        if used is None or (counts := self.counts(confidence)) >= auto_above:
            return ""
        rests = f"by what came of {used.decisions} decisions" if used.decisions else "by what came of other decisions"
        return f"confidence {confidence:.2f} counts as {counts:.2f}, below {auto_above:.2f} ({rests}, {used.kind})"

    def kept(self) -> dict[str, Any] | None:
        """The map as it is written beside the decision, with what the standing left; None where there is no map."""
        if self.recalibrated is None:
            return None
        return as_kept(self.recalibrated, 1.0 if self.standing is None else self.standing.trusted)


def counted_again(agent: str, confidence: float, kept: dict[str, Any]) -> float:
    """What a confidence counted as, by the map that is kept with its decision. Raises as `read_kept`."""
    used, share = read_kept(agent, kept)
    return min(confidence * share, used.map.of(confidence))
