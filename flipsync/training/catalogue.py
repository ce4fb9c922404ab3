"""All problems that can be trained, by name."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from flipsync.domain.errors import NotFound
from flipsync.training.drawn import FadingDemandProblem, MovingDemandProblem, SeasonPriceProblem, SmoothOrderProblem
from flipsync.training.problem import Problem
from flipsync.training.shops import ShopPriceProblem

PROBLEMS: dict[str, type[Problem]] = {
    each.name: each
    for each in (ShopPriceProblem, SeasonPriceProblem, MovingDemandProblem, SmoothOrderProblem, FadingDemandProblem)
}

#: what a score depends on
_FOLDERS = ("learning", "services/pricing")
_MODULES = ("services/learned_pricing.py", "training/problem.py", "training/drawn.py", "training/shops.py")


def problem(name: str) -> Problem:
    """Raises NotFound for a problem that does not exist."""
    if name not in PROBLEMS:
        raise NotFound(f"there is no problem {name!r} to train on", hint=f"one of: {', '.join(PROBLEMS)}")
    return PROBLEMS[name]()


@cache
def code_version() -> str:
    """Twelve hex digits over the source of everything a score depends on: simulators, learners, the price rule."""
    package = Path(__file__).resolve().parents[1]
    sources = [path for part in _FOLDERS for path in (package / part).rglob("*.py")]
    sources += [package / part for part in _MODULES]
    digest = hashlib.sha256()
    for path in sorted(sources):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]
