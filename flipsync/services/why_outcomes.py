"""What a proposal predicted and what came of it, in words and as data; and what came of others like it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.predictions import PREDICTIONS
from flipsync.services.memory import Memory, lessons
from flipsync.services.why_explanation import Chain, Step, business_time, made_at
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


async def last_times(session: AsyncSession, decision_id: UUID) -> list[Chain]:
    """One chain of what came of it the last times, each with its own decision; none where nothing is remembered."""
    found = await lessons(session, decision_id)
    if not found.items:
        return []
    record = found.record
    known = f"{record.right} of {record.right + record.wrong} like it came out right, {record.stopped} were stopped"
    return [Chain(title=f"The last times ({known})", steps=[_last_time(each) for each in found.items])]


def _last_time(each: Memory) -> Step:
    recorded = made_at(each.decision_id)
    became = {True: "it came out right", False: "it came out wrong", None: "it was stopped"}[each.right]
    details = [f"{became}: {each.came}", f"episode {each.id}"]
    if each.money is not None:
        details.insert(1, f"{each.money} {each.money_is}")
    return Step(
        kind="decision",
        id=each.decision_id,
        depth=0,
        at=recorded,
        business_at=business_time(recorded, each.decided_at),
        text=f"{each.agent} wanted to {each.tried} ({each.confidence:.0%} sure)",
        details=details,
        data={"episode": each.model_dump(mode="json")},
    )
