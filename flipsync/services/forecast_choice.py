"""Which forecast a business is served: what did best on its own past weeks, a baseline where that one did. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

BASELINES = ("zero", "seasonal naive", "IMAPA")
#: as good as the best: what was served stays, so that a forecast does not change its kind from day to day by chance
_AS_GOOD = 0.01


@dataclass(frozen=True)
class Choice:
    """The method to serve, and why. `tested` is False where the books were too young to compare anything."""

    method: str
    baseline_wins: bool
    tested: bool
    why: str


def choose(scores: Mapping[str, float], ours: str, series: int, served: str | None = None) -> Choice:
    """`scores` is the mean RMSSE by method, ours of then first; `ours` the name of ours now, `served` what was."""
    if not scores:
        return Choice(ours, False, False, "the books are too young to look back: nothing was compared")
    backed = next(iter(scores))
    best = min(scores, key=lambda each: scores[each])
    held = backed if served is not None and served not in BASELINES else served
    stays = held is not None and held in scores and held != best and scores[held] <= scores[best] * (1 + _AS_GOOD)
    taken = held if stays and held is not None else best
    told = f"RMSSE {scores[taken]:.3f} over {series} series"
    kept = f", as good as {best} ({scores[best]:.3f}), which does not displace it" if stays else ""
    if taken in BASELINES:
        why = f"the baseline {taken} is shipped: {told}, ours ({backed}) {scores[backed]:.3f}{kept}"
        return Choice(taken, True, True, why)
    return Choice(ours, False, True, f"{backed} did best: {told}" if not kept else f"{backed} stays: {told}{kept}")
