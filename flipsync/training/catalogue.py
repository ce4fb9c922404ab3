"""All problems that can be trained, by name."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from flipsync.domain.errors import NotFound
from flipsync.training.drawn import FadingDemandProblem, MovingDemandProblem, SeasonPriceProblem, SmoothOrderProblem
from flipsync.training.orders import ShopOrderProblem
from flipsync.training.problem import Problem
from flipsync.training.sandbox_shops import ShopMarketProblem
from flipsync.training.shops import ShopPriceProblem

PROBLEMS: dict[str, type[Problem]] = {
    each.name: each
    for each in (
        ShopPriceProblem,
        ShopOrderProblem,
        ShopMarketProblem,
        SeasonPriceProblem,
        MovingDemandProblem,
        SmoothOrderProblem,
        FadingDemandProblem,
    )
}

#: what a score depends on
_FOLDERS = ("learning", "services/pricing")
_MODULES = (
    *(f"services/{name}.py" for name in ("learned_pricing", "learned_buying", "buying", "buying_rule")),
    *(f"services/{name}.py" for name in ("forecasts", "forecast_choice", "lead_times")),
    *(f"training/{name}.py" for name in ("problem", "drawn", "shops", "orders", "sandbox_shops")),
    *(f"sandbox/{name}.py" for name in ("books", "buyers", "market", "orderbook", "promotion", "rivals")),
)


def problem(name: str) -> Problem:
    """Raises NotFound for a problem that does not exist."""
    if name not in PROBLEMS:
        raise NotFound(f"there is no problem {name!r} to train on", hint=f"one of: {', '.join(PROBLEMS)}")
    return PROBLEMS[name]()


@cache
def code_version() -> str:
    """Twelve hex digits over the source of everything a score depends on: simulators, learners, rules."""
    package = Path(__file__).resolve().parents[1]
    sources = [path for part in _FOLDERS for path in (package / part).rglob("*.py")]
    sources += [package / part for part in _MODULES]
    digest = hashlib.sha256()
    for path in sorted(sources):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]
