"""Remembering: what was tried, in which situation, what the gate said and what came of it, written when it is graded.

No word of a buyer gets in: situations are made of the fact's name, the goods' title and category and the channel, and
attempts on orders are told by their command's name alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from flipsync.domain import commands as c
from flipsync.domain import purchase_commands as b
from flipsync.domain.clock import utc_now
from flipsync.domain.sourcing import RecordSourcingVerdict
from flipsync.domain.text import storable
from flipsync.services.graders import Grade
from flipsync.services.tenant_settings import profile
from flipsync.services.why_words import Labels, command_words, mentioned, spaced
from flipsync.store.database import SessionReader
from flipsync.store.repositories import episodes as rows
from flipsync.store.repositories import why as why_rows
from flipsync.store.repositories.episodes import Place
from flipsync.store.repositories.grades import DueRow
from flipsync.store.unit_of_work import UnitOfWork

#: dropped of a business in one run
_MOST_FORGOTTEN = 20_000
_LONGEST = 400
#: subjects that say who bought
_BUYERS = frozenset({"order", "refund", "label"})


async def remember(unit: UnitOfWork, graded: Sequence[tuple[DueRow, Grade]]) -> int:
    """Keep what is known of these, and what was stopped; how many are new. What can never be known is no lesson."""
    telling = [(row, grade) for row, grade in graded if grade.outcome is not None or _stopped(row)]
    if not telling:
        return 0
    subjects = [(row.subject_kind, row.subject_id) for row, _ in telling]
    where = await rows.places(unit.session, subjects, [_account(row) for row, _ in telling])
    named = {subject for row, _ in telling if row.subject_kind not in _BUYERS for subject in mentioned(row.payload)}
    things = {each for each in named if each[0] not in _BUYERS}
    labels = Labels(await why_rows.labels(SessionReader(unit.session), things))
    nowhere = Place(None, None, None, None, None)
    kept = [as_columns(row, grade, where.get(row.subject_id, nowhere), labels) for row, grade in telling]
    return await rows.add(unit.session, unit.tenant_id, kept)


async def forget_old(unit: UnitOfWork) -> None:
    """Drop what was learned longer ago than the owner keeps it."""
    kept = (await profile(unit.session, unit.tenant_id)).settings.memory.kept_days
    await rows.forget_before(unit.session, unit.tenant_id, utc_now() - timedelta(days=kept), _MOST_FORGOTTEN)


def _stopped(row: DueRow) -> bool:
    """By the gate or a superior."""
    return row.verdict == "deny" or row.decision_state == "overruled"


def _account(row: DueRow) -> UUID | None:
    """The account a command names."""
    try:
        return UUID(str(row.payload.get("account_id")))
    except ValueError:
        return None


def as_columns(row: DueRow, grade: Grade, place: Place, labels: Labels) -> dict[str, Any]:
    """A graded proposal as it is remembered."""
    kind, evidence_id = grade.evidence or (None, None)
    hidden = row.subject_kind in _BUYERS
    tried = spaced(row.command) if hidden else _tried(row, labels)
    figures = {} if hidden else _figures(row)
    goods = place.title or ""
    if goods and place.category:
        goods += f" ({place.category})"
    parts = [spaced(row.fact), goods, f"on {place.vendor}" if place.vendor else "", *_in_words(figures)]
    kept: dict[str, Any] = storable(
        {
            "decision_id": row.decision_id,
            "proposal_id": row.proposal_id,
            "agent": row.agent,
            "kind": row.kind,
            "command": row.command,
            "subject_kind": row.subject_kind,
            "subject_id": row.subject_id,
            "product_id": place.product_id,
            "account_id": place.account_id,
            "category": place.category,
            "situation": "; ".join(filter(None, parts))[:_LONGEST],
            "figures": figures,
            "tried": tried[:_LONGEST],
            "confidence": row.confidence,
            "verdict": row.verdict,
            "rule": row.rule,
            "outcome": grade.outcome,
            "came": grade.why[:_LONGEST],
            "money_minor": None if grade.money is None else grade.money.amount_minor,
            "currency": None if grade.money is None else grade.money.currency,
            "evidence_kind": kind,
            "evidence_id": evidence_id,
            "decided_at": row.decided_at,
            "known_at": row.due_at,
        }
    )
    return kept


def _tried(row: DueRow, labels: Labels) -> str:
    words = command_words(row.command, row.payload, labels)
    if row.command == c.EndListing.type_name():  # the reason may be a person's own words
        return words.partition(": ")[0]
    return words


def _figures(row: DueRow) -> dict[str, float]:
    """What about the situation is a number, of commands that this version can read."""
    try:
        command = c.Command.from_store(row.command, row.payload)
    except (KeyError, ValidationError):
        return {}
    match command:
        case c.ChangePrice(previous=previous) if previous is not None:
            step = command.price.amount_minor / previous.amount_minor - 1 if previous.amount_minor else 0.0
            return {"price_minor": command.price.amount_minor, "step_percent": round(100 * step, 1)}
        case c.ChangePrice():
            return {"price_minor": command.price.amount_minor}
        case c.SetChannelQuantity():
            return {"units": command.quantity}
        case b.PlacePurchaseOrder():
            units = sum(line.units for line in command.lines)
            return {"units": units, "cost_minor": command.cost.amount_minor, "expected_days": command.expected_days}
        case RecordSourcingVerdict(chance=chance) if chance is not None:
            return {"chance_percent": round(100 * chance)}
    return {}


def _in_words(figures: dict[str, float]) -> list[str]:
    """Figures worth a word of their own: the attempt itself says the others."""
    step = figures.get("step_percent")
    if step is None:
        return []
    size = "large" if abs(step) >= 10 else "small" if abs(step) < 3 else "middling"
    way = "no price change" if not step else f"a {size} price {'increase' if step > 0 else 'cut'} of {abs(step):g} %"
    return [way]
