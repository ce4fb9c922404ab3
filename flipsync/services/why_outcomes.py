"""What a proposal predicted and what came of it, in words and as data."""

from __future__ import annotations

from typing import Any

from flipsync.domain.predictions import PREDICTIONS
from flipsync.store.models import DecisionOutcome


def outcome_words(row: DecisionOutcome | None) -> list[str]:
    """Nothing for what is not graded: a share of all decisions is."""
    if row is None:
        return []
    says = PREDICTIONS[row.kind].says if row.kind in PREDICTIONS else row.kind
    match row.state, row.outcome:
        case "known", 1:
            came = f"it did: {row.why}"
        case "known", _:
            came = f"it did not: {row.why}"
        case "never", _:
            came = f"whether it did can never be known: {row.why}"
        case _:
            came = f"known from {row.due_at:%Y-%m-%d %H:%M} on"
    return [f"predicted with {row.confidence:.0%} that {says}; {came}"]


def outcome_data(row: DecisionOutcome | None) -> dict[str, Any] | None:
    if row is None:
        return None
    evidence = None if row.evidence_id is None else {"kind": row.evidence_kind, "id": str(row.evidence_id)}
    return {
        "kind": row.kind,
        "state": row.state,
        "outcome": row.outcome,
        "why": row.why,
        "due_at": row.due_at.isoformat(),
        "evidence": evidence,
    }
