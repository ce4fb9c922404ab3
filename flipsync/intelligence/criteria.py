"""The multi-criteria decision engine: a weighted sum under hard constraints, every alternative kept with its scores.

Fishburn, "Additive utilities with incomplete product sets", Operations Research 15(3), 1967 (the weighted-sum model).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Option:
    """Something that can be done. Scores in [-1, 1], higher is better; `forbidden` names the constraint it breaks."""

    name: str
    scores: Mapping[str, float]
    why: str = ""
    forbidden: str = ""


@dataclass(frozen=True)
class Choice:
    """The best permitted option, its lead over the runner-up, and all options with their totals, best first."""

    best: Option
    lead: float
    ranking: tuple[tuple[Option, float], ...] = field(default=())


def choose(options: Sequence[Option], weights: Mapping[str, float]) -> Choice:
    """Rank the options. Raises ValueError when none is permitted or a score has no weight. Ties go to the first."""
    unknown = {name for option in options for name in option.scores} - set(weights)
    if unknown:
        raise ValueError(f"no weight for {', '.join(sorted(unknown))}")
    totals = [(option, sum(weights[name] * value for name, value in option.scores.items())) for option in options]
    ranking = sorted(totals, key=lambda pair: (bool(pair[0].forbidden), -pair[1]))
    permitted = [pair for pair in ranking if not pair[0].forbidden]
    if not permitted:
        raise ValueError("no option is permitted")
    lead = permitted[0][1] - permitted[1][1] if len(permitted) > 1 else 1.0
    return Choice(permitted[0][0], lead, tuple(ranking))
