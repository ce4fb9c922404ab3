"""Agents, what they decided and why, and what they ask people."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.decisions import Alternative, Evidence
from flipsync.domain.errors import NotFound
from flipsync.domain.money import Money
from flipsync.services.approval_outcomes import IF_REFUSED, if_approved
from flipsync.services.memory import Memory, TrackRecord, lessons
from flipsync.services.reading_page import Moment, Page, SortedRequest, View, cut, money, sorted_by
from flipsync.store.database import SessionReader
from flipsync.store.models import Effect, Proposal, Receipt
from flipsync.store.reading import Reader, Rows
from flipsync.store.repositories import reading_decisions as rows

DecisionSort = Annotated[str | None, sorted_by(rows.DECISION_SORTS)]
ApprovalSort = Annotated[str | None, sorted_by(rows.APPROVAL_SORTS)]

DecisionState = Literal["held", "applied", "escalated", "awaiting", "overruled"]
_WORST_FIRST = ("down", "starting", "ready", "drained")
ApprovalState = Literal["open", "approved", "refused", "expired", "superseded"]


class ReplicaView(View):
    """How one of the actors is that share an agent's tenants out. Draining: it is to take nothing new; state "drained":
    it holds nothing any more."""

    replica: int
    state: str
    draining: bool
    restarting: bool
    restarts: int
    last_error: str
    ready_at: Moment | None
    updated_at: Moment


class AgentStatusView(View):
    """How an agent is: as the worst off of its replicas. Waiting and failed are this tenant's tasks."""

    agent: str
    state: str
    restarts: int
    last_error: str
    ready_at: Moment | None
    updated_at: Moment
    waiting: int
    failed: int
    replicas: list[ReplicaView]


class ProposalView(View):
    """One command of a decision, with the gate's verdict (null while nobody has judged it)."""

    id: UUID
    ordinal: int
    command: str
    payload: dict[str, Any]
    subject_kind: str
    subject_id: UUID
    verdict: str | None
    rule: str
    reason: str


class DecisionSummary(View):
    id: UUID
    agent: str
    agent_version: str
    state: str
    source: str
    rationale: str
    confidence: float
    stake: Money | None
    commands: list[str]
    event_id: UUID
    correlation_id: UUID
    decided_at: Moment


class ReceiptView(View):
    attempt: int
    outcome: str
    detail: str
    vendor_code: str
    started_at: Moment
    finished_at: Moment


class EffectView(View):
    """A command on its way to a channel, and what came of each attempt."""

    id: UUID
    proposal_id: UUID
    command: str
    state: str
    attempts: int
    created_at: Moment
    finished_at: Moment | None
    receipts: list[ReceiptView]


class EventView(View):
    id: UUID
    type: str
    subject_kind: str
    subject_id: UUID
    payload: dict[str, Any]
    occurred_at: Moment


class DecisionView(DecisionSummary):
    """The chain: the fact it answers, what was weighed, what was proposed, and what came of it."""

    event: EventView
    alternatives: list[Alternative]
    evidence: list[Evidence]
    proposals: list[ProposalView]
    effects: list[EffectView]


class ApprovalView(View):
    """A question to a person about a decision."""

    id: UUID
    question: str
    state: str
    asked_at: Moment
    expires_at: Moment
    answered_at: Moment | None
    answered_by: UUID | None
    note: str
    if_approved: list[str] = Field(description="what a yes lets go ahead; gate and firewall still have their say")
    if_refused: str = Field(description="what happens after a no, or without an answer; empty once it is closed")
    decision: DecisionSummary


class OneApproval(ApprovalView):
    """A question with what came of it the last times."""

    memories: list[Memory] = Field(description="attempts about the same things, the same goods, or of the same kind")
    record: TrackRecord = Field(description="how all remembered attempts of the kinds that are asked about came out")


class DecisionFilter(View):
    """Command and subject are those of a proposal of the decision."""

    agent: str | None = None
    state: DecisionState | None = None
    command: str | None = Field(default=None, examples=["ChangePrice"])
    subject_kind: str | None = Field(default=None, examples=["listing"])
    subject_id: UUID | None = None
    correlation_id: UUID | None = None
    decided_from: AwareDatetime | None = None
    decided_before: AwareDatetime | None = None


async def list_agents(session: AsyncSession) -> list[AgentStatusView]:
    """Every agent that has ever reported, by name."""
    counts = {agent: (waiting, failed) for agent, waiting, failed in await rows.task_counts(session)}
    by_agent: defaultdict[str, list[ReplicaView]] = defaultdict(list)
    for row in await rows.agents(session):
        by_agent[row.agent].append(ReplicaView.model_validate(row, from_attributes=True))
    return [
        AgentStatusView(
            agent=agent,
            state=min((each.state for each in replicas), key=_WORST_FIRST.index),
            restarts=sum(each.restarts for each in replicas),
            last_error=max(replicas, key=lambda each: (bool(each.last_error), each.updated_at)).last_error,
            ready_at=max((each.ready_at for each in replicas if each.ready_at), default=None),
            updated_at=max(each.updated_at for each in replicas),
            waiting=counts.get(agent, (0, 0))[0],
            failed=counts.get(agent, (0, 0))[1],
            replicas=replicas,
        )
        for agent, replicas in by_agent.items()
    ]


async def list_decisions(reader: Reader, page: SortedRequest, where: DecisionFilter) -> Page[DecisionSummary]:
    """Newest first by default. Raises InvalidInput for a foreign cursor."""
    wanted = {name: getattr(where, name) for name in DecisionFilter.model_fields}
    place = page.place(rows.DECISION_SORTS)
    (found,) = await reader.ask(rows.DECISIONS(place, **wanted))
    return cut(found, page.limit, lambda row: _summary(row, row.commands), place.cursor_of)


async def get_decision(session: AsyncSession, decision_id: UUID) -> DecisionView:
    """From fact to receipt. Raises NotFound."""
    row = await rows.decision(session, decision_id)
    event = None if row is None else await rows.event(session, row.event_id)
    if row is None or event is None:
        raise NotFound(f"no decision {decision_id}")
    proposals = await rows.proposals_of(session, [decision_id])
    effects = await rows.effects_of(session, [proposal.id for proposal in proposals])
    receipts: defaultdict[UUID, list[Receipt]] = defaultdict(list)
    for receipt in await rows.receipts_of(session, [effect.id for effect in effects]):
        receipts[receipt.effect_id].append(receipt)
    return DecisionView(
        **_summary(row, [proposal.command for proposal in proposals]).model_dump(),
        event=EventView(
            id=event.id,
            type=event.type,
            subject_kind=event.subject_kind,
            subject_id=event.subject_id,
            payload=event.payload,
            occurred_at=event.occurred_at,
        ),
        alternatives=[Alternative.model_validate(alternative) for alternative in row.alternatives],
        evidence=[Evidence.model_validate(evidence) for evidence in row.evidence],
        proposals=[_proposal(proposal) for proposal in proposals],
        effects=[_effect(effect, receipts[effect.id]) for effect in effects],
    )


async def list_approvals(reader: Reader, page: SortedRequest, state: ApprovalState | None = None) -> Page[ApprovalView]:
    """Newest first by default. Raises InvalidInput for a foreign cursor."""
    place = page.place(rows.APPROVAL_SORTS)
    (found,) = await reader.ask(rows.APPROVALS(place, state=state))
    views = await _approvals(reader, found[: page.limit])
    return cut(found, page.limit, lambda row: views[row.id], place.cursor_of)


async def get_approval(session: AsyncSession, approval_id: UUID) -> OneApproval:
    """With what is remembered of the like. Raises NotFound."""
    reader = SessionReader(session)
    (found,) = await reader.ask(rows.APPROVALS(rows.APPROVAL_SORTS.first(1), approval_id=approval_id))
    if not found:
        raise NotFound(f"no approval {approval_id}")
    asked = (await _approvals(reader, found))[approval_id]
    told = await lessons(session, found[0].decision_id)
    return OneApproval(**dict(asked), memories=told.items, record=told.record)


async def _approvals(reader: Reader, found: Rows) -> dict[UUID, ApprovalView]:
    """By the approval's id."""
    if not found:
        return {}
    (about,) = await reader.ask(rows.DECISIONS_OF(ids=[row.decision_id for row in found]))
    decisions = {row.id: _summary(row, row.commands) for row in about}
    outcomes = await if_approved(reader, [row.decision_id for row in found if row.state == "open"])
    return {
        row.id: ApprovalView(
            id=row.id,
            question=row.question,
            state=row.state,
            asked_at=row.asked_at,
            expires_at=row.expires_at,
            answered_at=row.answered_at,
            answered_by=row.answered_by,
            note=row.note,
            if_approved=outcomes.get(row.decision_id, []),
            if_refused=IF_REFUSED if row.state == "open" else "",
            decision=decisions[row.decision_id],
        )
        for row in found
    }


def _summary(row: Any, commands: Sequence[str]) -> DecisionSummary:
    """`row` has the columns of an AgentDecision."""
    return DecisionSummary(
        id=row.id,
        agent=row.agent,
        agent_version=row.agent_version,
        state=row.state,
        source=row.source,
        rationale=row.rationale,
        confidence=row.confidence,
        stake=money(row.stake_minor, row.stake_currency),
        commands=list(commands),
        event_id=row.event_id,
        correlation_id=row.correlation_id,
        decided_at=row.decided_at,
    )


def _proposal(row: Proposal) -> ProposalView:
    return ProposalView(
        id=row.id,
        ordinal=row.ordinal,
        command=row.command,
        payload=row.payload,
        subject_kind=row.subject_kind,
        subject_id=row.subject_id,
        verdict=row.verdict,
        rule=row.rule,
        reason=row.reason,
    )


def _effect(row: Effect, receipts: list[Receipt]) -> EffectView:
    assert row.proposal_id is not None, "found by its proposal"
    return EffectView(
        id=row.id,
        proposal_id=row.proposal_id,
        command=row.command,
        state=row.state,
        attempts=row.attempts,
        created_at=row.created_at,
        finished_at=row.finished_at,
        receipts=[
            ReceiptView(
                attempt=receipt.attempt,
                outcome=receipt.outcome,
                detail=receipt.detail,
                vendor_code=receipt.vendor_code,
                started_at=receipt.started_at,
                finished_at=receipt.finished_at,
            )
            for receipt in receipts
        ],
    )
