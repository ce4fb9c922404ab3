"""Two agents want contradictory things: both ways, and the owner's, as options of the executive's decision. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flipsync.intelligence.criteria import Option
from flipsync.store.repositories.decisions import DecisionRow

#: decisions whose reasons are told
_SHOWN = 3


@dataclass(frozen=True)
class Ways:
    """`keep`, `go` and `ask` name the options: who holds it keeps it, who came second takes it, the owner says who."""

    keep: str
    go: str
    ask: str
    options: tuple[Option, ...]
    question: str


def ways(row: DecisionRow, others: Sequence[DecisionRow], stake: int, limit: int, asking: float) -> Ways:
    """What can be done about `row`, which is against `others`. `stake`: minor units at stake in all of them together,
    of which `limit` may be risked without the owner, whose attention costs `asking` of a full score."""
    exposure = min(1.0, stake / max(1, limit))
    names = " and ".join(sorted({each.agent for each in others}))
    keep, go, ask = f"{names} keeps it", f"{row.agent} takes it", "ask the owner"
    sure = {keep: min(each.confidence for each in others), go: row.confidence}
    reasons = {keep: "; ".join(each.rationale for each in others[:_SHOWN]), go: row.rationale}
    options = [
        Option(
            name,
            {"profit": sure[name], "risk": -(1 - sure[name]) * (0.2 + exposure), "cash": -exposure / 2},
            why=reasons[name],
            # what is kept went ahead already: only the other way is a new stake
            breaks={"stake_limit": max(0.0, (stake - limit) / max(1, limit)) if name == go else 0.0},
        )
        for name in (keep, go)
    ]
    options.append(Option(ask, {"profit": max(sure.values()) * 0.8, "attention": -asking}))
    question = f"Yes: {row.agent} ({reasons[go]}); no: {names} ({reasons[keep]})"
    return Ways(keep, go, ask, tuple(options), question)
