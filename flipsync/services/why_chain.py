"""Reads a piece of the journal in a fixed number of queries, and tells it step by step.

A fact leads to decisions; a decision may go up, be asked about, and holds proposals; a proposal has the gate's verdict
and leads to an effect; an effect has receipts, and new facts follow. That nesting is the order of the steps.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.services.reading_page import money
from flipsync.services.why_explanation import Named, Step, business_time
from flipsync.services.why_outcomes import outcome_data, outcome_words
from flipsync.services.why_words import Labels, command_words, event_words, ids_within, mentioned
from flipsync.store.database import SessionReader
from flipsync.store.models import AgentDecision, Approval, DecisionOutcome, Effect, EventRecord, Proposal, Receipt
from flipsync.store.repositories import grades, reading_decisions
from flipsync.store.repositories import why as rows
from flipsync.store.repositories.why import DecisionRow, Subject

#: of each decision, beside those about the subject
PROPOSALS_SHOWN = 5
FOLLOWED_SHOWN = 8
ALTERNATIVES_SHOWN = 6
MAX_HOPS = 6
#: a decision may be judged by its superior, and that judgement by the superior's superior
_LEVELS = 2

_VERDICTS = {
    "proceed": "may go ahead",
    "mutate": "may go ahead, changed",
    "ask": "needs the owner's consent",
    "deny": "may not go ahead",
    None: "not judged yet",
}
_STATES = {
    "held": "held",
    "applied": "decided",
    "escalated": "is above its authority",
    "awaiting": "waits for the owner",
    "overruled": "was overruled",
}
Origin = EventRecord | AgentDecision | Effect


@dataclass
class Journal:
    """What was read, by what leads to it."""

    focus: frozenset[Subject] = frozenset()
    events: dict[UUID, EventRecord] = field(default_factory=dict)
    decisions: dict[UUID, DecisionRow] = field(default_factory=dict)
    of_event: dict[UUID, list[UUID]] = field(default_factory=lambda: defaultdict(list))
    about_decision: dict[UUID, list[UUID]] = field(default_factory=lambda: defaultdict(list))
    proposals: dict[UUID, list[Proposal]] = field(default_factory=lambda: defaultdict(list))
    effects: dict[UUID, list[Effect]] = field(default_factory=lambda: defaultdict(list))
    receipts: dict[UUID, list[Receipt]] = field(default_factory=lambda: defaultdict(list))
    approvals: dict[UUID, Approval] = field(default_factory=dict)
    #: what was predicted and what came of it, by the proposal; not every one is graded
    outcomes: dict[UUID, DecisionOutcome] = field(default_factory=dict)
    followed: dict[UUID, list[UUID]] = field(default_factory=lambda: defaultdict(list))
    reactions: dict[UUID, list[AgentDecision]] = field(default_factory=lambda: defaultdict(list))
    label: Labels = field(default_factory=lambda: Labels({}))

    def alternatives_to_tell(self, row: AgentDecision) -> list[Any]:
        """Those that name the subject, by id or by SKU; where none does, all."""
        ids = {str(row_id) for _, row_id in self.focus}
        skus = {self.label(*each).partition("@")[0] + ":" for each in self.focus if each[0] == "listing"}
        named = [
            each
            for each in row.alternatives
            if any(row_id in str(each.get("name")) for row_id in ids)
            or any(str(each.get("name")).startswith(sku) for sku in skus)
        ]
        return named or row.alternatives

    def proposals_to_tell(self, decision_id: UUID) -> list[Proposal]:
        """Those about the subject; where none is, all that were read."""
        every = self.proposals[decision_id]
        return [each for each in every if (each.subject_kind, each.subject_id) in self.focus] or every


async def read(
    session: AsyncSession,
    *,
    event_ids: Collection[UUID] = (),
    decision_ids: Collection[UUID] = (),
    focus: Iterable[Subject] = (),
    orphans: Sequence[Effect] = (),
    origins: Sequence[Origin] = (),
    extra_labels: Iterable[Subject] = (),
) -> Journal:
    """These facts and decisions with everything that belongs to them. `orphans` are effects without a proposal."""
    journal = Journal(frozenset(focus))
    found = await rows.decisions(session, ids=decision_ids, of_events=event_ids)
    _add_decisions(journal, found)
    await _read_judgements(session, journal)
    missing = {each.row.event_id for each in journal.decisions.values()} | set(event_ids)
    journal.events.update({each.id: each for each in await rows.events(session, missing - set(journal.events))})
    ids = list(journal.decisions)
    for proposal in await rows.proposals(session, ids, journal.focus, PROPOSALS_SHOWN):
        journal.proposals[proposal.decision_id].append(proposal)
    proposals = [each.id for each in chain.from_iterable(journal.proposals.values())]
    effects = [*await reading_decisions.effects_of(session, proposals), *orphans]
    for effect in effects:
        journal.effects[effect.proposal_id or effect.id].append(effect)
    origin_effects = [each.id for each in origins if isinstance(each, Effect)]
    for receipt in await reading_decisions.receipts_of(session, [*(each.id for each in effects), *origin_effects]):
        journal.receipts[receipt.effect_id].append(receipt)
    journal.approvals = {each.decision_id: each for each in await rows.approvals(session, ids)}
    for graded in (await grades.of_decisions(session, ids)).values():
        journal.outcomes |= {each.proposal_id: each for each in graded}
    await _read_followed(session, journal, [*ids, *(each.id for each in effects)])
    subjects = {*_subjects(journal, effects), *_origin_subjects(origins), *extra_labels, *journal.focus}
    journal.label = Labels(await rows.labels(SessionReader(session), subjects))
    return journal


def _add_decisions(journal: Journal, found: Iterable[DecisionRow]) -> list[UUID]:
    fresh = [each for each in found if each.row.id not in journal.decisions]
    for each in fresh:
        journal.decisions[each.row.id] = each
        journal.of_event[each.row.event_id].append(each.row.id)
    return [each.row.id for each in fresh]


async def _read_judgements(session: AsyncSession, journal: Journal) -> None:
    """What was said about the decisions: escalations, answers, and what superiors decided on them."""
    fresh = list(journal.decisions)
    for _ in range(_LEVELS):
        told = await rows.events_about(session, [("decision", each) for each in fresh], 10) if fresh else []
        if not told:
            return
        for event in told:
            journal.events[event.id] = event
            journal.about_decision[event.subject_id].append(event.id)
        fresh = _add_decisions(journal, await rows.decisions(session, of_events=[event.id for event in told]))


async def _read_followed(session: AsyncSession, journal: Journal, causes: Sequence[UUID]) -> None:
    shown_elsewhere = set(chain.from_iterable(journal.about_decision.values()))
    followed = await rows.followed(session, causes, FOLLOWED_SHOWN)
    fresh = []
    for event in followed:
        if event.id in shown_elsewhere or event.causation_id is None:
            continue
        journal.followed[event.causation_id].append(event.id)
        if event.id not in journal.events:
            journal.events[event.id] = event
            fresh.append(event.id)
    for decision in await rows.decisions(session, of_events=fresh) if fresh else []:
        journal.reactions[decision.row.event_id].append(decision.row)


def _subjects(journal: Journal, effects: Iterable[Effect]) -> Iterable[Subject]:
    for event in journal.events.values():
        yield event.subject_kind, event.subject_id
        yield from mentioned(event.payload)
    for proposal in chain.from_iterable(journal.proposals.values()):
        yield proposal.subject_kind, proposal.subject_id
        yield from mentioned(proposal.payload)
    for effect in effects:
        yield from ((effect.subject_kind, effect.subject_id), ("account", effect.account_id))
        yield from mentioned(effect.payload)
    for decision in journal.decisions.values():
        for alternative in decision.row.alternatives:
            for row_id in ids_within(str(alternative.get("name", ""))):
                yield from (("listing", row_id), ("product", row_id))
        for evidence in decision.row.evidence:
            yield str(evidence.get("kind")), UUID(str(evidence.get("id")))


def _origin_subjects(origins: Iterable[Origin]) -> Iterable[Subject]:
    for origin in origins:
        if isinstance(origin, EventRecord | Effect):
            yield origin.subject_kind, origin.subject_id
            yield from mentioned(origin.payload)


async def origins_of(session: AsyncSession, event: EventRecord) -> list[Origin]:
    """What led to a fact, oldest first: facts, decisions and effects, as far back as `MAX_HOPS` causes."""
    found: list[Origin] = []
    cause = event.causation_id
    for _ in range(MAX_HOPS):
        if cause is None or cause in {each.id for each in found}:
            break
        earlier: EventRecord | None = None
        decision_id: UUID | None = cause
        effect = await rows.effect(session, cause)
        if effect is not None:
            found.append(effect)
            decision_id = await rows.decision_of_effect(session, effect.id)
        decisions = [] if decision_id is None else await rows.decisions(session, ids=[decision_id])
        if decisions:
            found.append(decisions[0].row)
        source = decisions[0].row.event_id if decisions else cause
        if effect is None or decisions:
            earlier = next(iter(await rows.events(session, [source])), None)
        if earlier is None:
            break
        found.append(earlier)
        cause = earlier.causation_id
    return found[::-1]


class Teller:
    """Turns a journal into steps; each fact and each decision is told once.

    With `only`, that decision (and what superiors said about it) is told in full, other agents' in a line.
    """

    def __init__(self, journal: Journal, only: UUID | None = None) -> None:
        self._journal = journal
        self._only = only
        self._told: set[UUID] = set()
        self.steps: list[Step] = []

    def origin(self, origin: Origin) -> None:
        """One thing that came before, in a line."""
        self._told.add(origin.id)
        if isinstance(origin, EventRecord):
            self._fact_step(origin, 0, [])
        elif isinstance(origin, AgentDecision):
            self.steps.append(_decision_step(origin, 0, self._journal.label))
        else:
            self._effect(origin, 0, follow=False)

    def fact(self, event_id: UUID, depth: int = 0) -> None:
        """A fact and what agents decided on it."""
        if event_id in self._told:
            return
        self._told.add(event_id)
        journal = self._journal
        event, answers = journal.events[event_id], journal.of_event[event_id]
        if self._only is not None and event.subject_id != self._only:
            self._fact_step(
                event, depth, [*(journal.decisions[each].row for each in answers), *journal.reactions[event_id]]
            )
            return
        self._fact_step(event, depth, journal.reactions[event_id])
        for decision_id in answers:
            self.decision(decision_id, depth + 1)

    def decision(self, decision_id: UUID, depth: int = 0) -> None:
        """A decision, what was said about it, what it proposed and what came of that."""
        if decision_id in self._told:
            return
        self._told.add(decision_id)
        journal, row = self._journal, self._journal.decisions[decision_id].row
        shown = journal.proposals_to_tell(decision_id)
        step = _decision_step(row, depth, journal.label, weighed=journal.alternatives_to_tell(row))
        if (proposed := journal.decisions[decision_id].proposals) > len(shown):
            words = f"{proposed} commands proposed, {len(shown)} of them told here"
            step = step.model_copy(update={"details": [*step.details, words]})
        self.steps.append(step)
        told = journal.about_decision[decision_id]
        for event_id in told:
            if journal.events[event_id].type == "DecisionEscalated":
                self.fact(event_id, depth + 1)
        if decision_id in journal.approvals:
            self.steps.append(_approval_step(journal.approvals[decision_id], depth + 1))
        for event_id in told:
            self.fact(event_id, depth + 1)
        for proposal in shown:
            self._proposal(proposal, depth + 1)
        self._follow(decision_id, depth + 1)

    def effect(self, effect: Effect, depth: int = 0) -> None:
        """An effect that no decision stands behind."""
        self._effect(effect, depth)

    def stock(self, step: Step) -> None:
        self.steps.append(step)

    def _fact_step(self, event: EventRecord, depth: int, answers: Sequence[AgentDecision]) -> None:
        label = self._journal.label
        self.steps.append(
            Step(
                kind="fact",
                id=event.id,
                depth=depth,
                at=event.recorded_at,
                business_at=business_time(event.recorded_at, event.occurred_at),
                text=event_words(event.type, event.payload, label),
                details=[f"{row.agent} {_STATES[row.state]}: {row.rationale}" for row in answers[:5]],
                subject=_named(event.subject_kind, event.subject_id, label),
                data={
                    "type": event.type,
                    "payload": event.payload,
                    "causation_id": None if event.causation_id is None else str(event.causation_id),
                    "correlation_id": str(event.correlation_id),
                },
            )
        )

    def _proposal(self, row: Proposal, depth: int) -> None:
        label, decision = self._journal.label, self._journal.decisions[row.decision_id].row
        self.steps.append(
            Step(
                kind="proposal",
                id=row.id,
                depth=depth,
                at=decision.decided_at,
                text=f"{command_words(row.command, row.payload, label)} – {_VERDICTS.get(row.verdict, row.verdict)}",
                details=([f"{row.rule}: {row.reason}"] if row.rule else [])
                + outcome_words(self._journal.outcomes.get(row.id)),
                subject=_named(row.subject_kind, row.subject_id, label),
                data={
                    "command": row.command,
                    "payload": _lean(row.payload),
                    "verdict": row.verdict,
                    "rule": row.rule,
                    "reason": row.reason,
                    "outcome": outcome_data(self._journal.outcomes.get(row.id)),
                },
            )
        )
        for effect in self._journal.effects[row.id]:
            self._effect(effect, depth + 1)

    def _effect(self, row: Effect, depth: int, *, follow: bool = True) -> None:
        label, receipts = self._journal.label, self._journal.receipts[row.id]
        attempts = "1 attempt" if row.attempts == 1 else f"{row.attempts} attempts"
        self.steps.append(
            Step(
                kind="effect",
                id=row.id,
                depth=depth,
                at=row.created_at,
                text=f"{command_words(row.command, row.payload, label)} – {row.state}, {attempts}",
                subject=_named(row.subject_kind, row.subject_id, label),
                data={
                    "command": row.command,
                    "payload": _lean(row.payload),
                    "state": row.state,
                    "attempts": row.attempts,
                    "account": label("account", row.account_id),
                    "undo": None if row.undo is None else {**row.undo, "payload": _lean(row.undo.get("payload", {}))},
                },
            )
        )
        self.steps += [_receipt_step(receipt, depth + 1) for receipt in receipts]
        if follow:
            self._follow(row.id, depth + 1)

    def _follow(self, cause: UUID, depth: int) -> None:
        for event_id in self._journal.followed[cause]:
            self.fact(event_id, depth)


def _decision_step(row: AgentDecision, depth: int, label: Labels, *, weighed: Sequence[Any] | None = None) -> Step:
    """With `weighed` (the alternatives to tell) in full, without in a line."""
    stake = money(row.stake_minor, row.stake_currency)
    details = [f"confidence {row.confidence:.0%}" + (f", at stake {stake}" if stake else "") + f", by {row.source}"]
    told = row.alternatives if weighed is None else weighed
    for alternative in told[:ALTERNATIVES_SHOWN]:
        scored = alternative.get("scores", {}).items()
        scores = ", ".join(_score(name, value, row.stake_currency) for name, value in scored)
        chosen = "chosen" if alternative.get("chosen") else "weighed"
        parts = "; ".join(part for part in (scores, str(alternative.get("why") or "")) if part)
        called = label.within(str(alternative.get("name")))
        details.append(f"{chosen}: {called}" + (f" ({parts})" if parts else ""))
    if len(row.alternatives) > len(told[:ALTERNATIVES_SHOWN]):
        details.append(f"… and {len(row.alternatives) - len(told[:ALTERNATIVES_SHOWN])} more alternatives")
    looked = [
        label(each["kind"], UUID(str(each["id"]))) + (f" ({each['note']})" if each.get("note") else "")
        for each in row.evidence[:ALTERNATIVES_SHOWN]
    ]
    if looked:
        details.append("looked at: " + ", ".join(looked))
    return Step(
        kind="decision",
        id=row.id,
        depth=depth,
        at=row.decided_at,
        text=f"{row.agent} {_STATES[row.state]}: {row.rationale}",
        details=[] if weighed is None else details,
        data={
            "agent": row.agent,
            "agent_version": row.agent_version,
            "state": row.state,
            "source": row.source,
            "rationale": row.rationale,
            "confidence": row.confidence,
            "stake": None if stake is None else stake.model_dump(),
            "alternatives": told,
            "evidence": row.evidence,
        },
    )


def _score(name: str, value: float, currency: str | None) -> str:
    """Scores carry their unit in their name: minor units become money where the currency is known."""
    if "_minor" in name and currency is not None:
        return f"{name.replace('_minor', '').replace('_', ' ')} {money(round(value), currency)}"
    figure = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{name.replace('_', ' ')} {figure}"


def _approval_step(row: Approval, depth: int) -> Step:
    answer = "still open" if row.state == "open" else row.state
    return Step(
        kind="approval",
        id=row.id,
        depth=depth,
        at=row.answered_at or row.asked_at,
        text=f"the owner was asked: {row.question} – {answer}",
        details=[f"note: {row.note}"] if row.note else [],
        data={
            "question": row.question,
            "state": row.state,
            "asked_at": row.asked_at.isoformat(),
            "answered_at": None if row.answered_at is None else row.answered_at.isoformat(),
            "answered_by": None if row.answered_by is None else str(row.answered_by),
            "note": row.note,
        },
    )


def _receipt_step(row: Receipt, depth: int) -> Step:
    code = f" [{row.vendor_code}]" if row.vendor_code else ""
    return Step(
        kind="receipt",
        id=row.id,
        depth=depth,
        at=row.finished_at,
        text=f"attempt {row.attempt} {row.outcome}: {row.detail}{code}",
        data={
            "attempt": row.attempt,
            "outcome": row.outcome,
            "detail": row.detail,
            "vendor_code": row.vendor_code,
            "seconds": round((row.finished_at - row.started_at).total_seconds(), 3),
        },
    )


def _named(kind: str, row_id: UUID, label: Labels) -> Named:
    return Named(kind=kind, id=row_id, label=label(kind, row_id))


def _lean(payload: dict[str, Any]) -> dict[str, Any]:
    """Without the firewall's signature and long texts."""
    lean = {name: value for name, value in payload.items() if name != "certificate"}
    if isinstance(lean.get("offer"), dict):
        lean["offer"] = {name: value for name, value in lean["offer"].items() if name != "description_html"}
    return lean
