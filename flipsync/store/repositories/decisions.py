"""Statements about decisions: what was proposed, by whom, what became of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.commands import EndorseDecision
from flipsync.domain.ids import new_id
from flipsync.store.models import AgentDecision, Approval, Proposal
from flipsync.store.unit_of_work import UnitOfWork


@dataclass(frozen=True)
class ProposalRow:
    id: UUID
    ordinal: int
    command: str
    payload: dict[str, Any]
    verdict: str | None
    rule: str = ""


@dataclass(frozen=True)
class DecisionRow:
    id: UUID
    agent: str
    event_id: UUID
    state: str
    rationale: str
    #: as far as it counts: less than stated where outcomes had shown the agent too sure
    confidence: float
    stake_minor: int | None
    stake_currency: str | None
    correlation_id: UUID
    proposals: tuple[ProposalRow, ...]
    #: what became of the question to a person: open, approved, refused, expired, superseded; None: there was none
    answer: str | None

    @property
    def approved(self) -> bool:
        return self.answer == "approved"

    @property
    def refused(self) -> bool:
        return self.answer == "refused"

    @property
    def superseded(self) -> bool:
        return self.answer == "superseded"


async def get(session: AsyncSession, decision_id: UUID) -> DecisionRow | None:
    return (await get_all(session, [decision_id])).get(decision_id)


_LOCK = text("SELECT id FROM agent_decision WHERE id = :id FOR UPDATE")
_READ = text(
    """
    SELECT d.id, d.agent, d.event_id, d.state, d.rationale, COALESCE(d.trusted, d.confidence) AS confidence,
           d.stake_minor, d.stake_currency, d.correlation_id, a.state AS answer,
           p.id AS proposal_id, p.ordinal, p.command, p.payload, p.verdict, p.rule
      FROM agent_decision d
      LEFT JOIN approval a ON a.decision_id = d.id
      LEFT JOIN proposal p ON p.decision_id = d.id
     WHERE d.id = ANY(:ids)
     ORDER BY d.id, p.ordinal
    """
)


async def get_all(session: AsyncSession, ids: Collection[UUID]) -> dict[UUID, DecisionRow]:
    """Decisions by id. Ids of something else find nothing."""
    found: dict[UUID, DecisionRow] = {}
    for row in await session.execute(_READ, {"ids": list(ids)}):
        known = found.get(row.id)
        proposals = known.proposals if known else ()
        if row.proposal_id is not None:
            proposals += (
                ProposalRow(row.proposal_id, row.ordinal, row.command, row.payload, row.verdict, row.rule or ""),
            )
        found[row.id] = DecisionRow(
            row.id,
            row.agent,
            row.event_id,
            row.state,
            row.rationale,
            row.confidence,
            row.stake_minor,
            row.stake_currency,
            row.correlation_id,
            proposals,
            row.answer,
        )
    return found


async def lock(session: AsyncSession, decision_id: UUID) -> DecisionRow | None:
    """The decision as it is once nobody else can change it."""
    await session.execute(_LOCK, {"id": decision_id})
    return await get(session, decision_id)


async def set_state(session: AsyncSession, decision_id: UUID, state: str) -> None:
    await session.execute(update(AgentDecision).where(AgentDecision.id == decision_id).values(state=state))


async def set_verdict(session: AsyncSession, proposal_id: UUID, verdict: str, rule: str, reason: str) -> None:
    await session.execute(
        update(Proposal).where(Proposal.id == proposal_id).values(verdict=verdict, rule=rule, reason=reason)
    )


async def ask(unit: UnitOfWork, decision_id: UUID, question: str, expires_at: Any) -> UUID | None:
    """Open an approval; None when the decision has one."""
    inserted = await unit.session.execute(
        insert(Approval)
        .values(
            id=new_id(),
            tenant_id=unit.tenant_id,
            decision_id=decision_id,
            question=question,
            asked_at=unit.now,
            expires_at=expires_at,
        )
        .on_conflict_do_nothing(index_elements=["decision_id"])
        .returning(Approval.id)
    )
    return inserted.scalar()


async def is_contested(session: AsyncSession, rule: str, command: str, listing_id: UUID) -> bool:
    """Whether a proposal that the gate sent up by that rule, for that of the listing, is not decided yet."""
    query = (
        select(Proposal.id)
        .join(AgentDecision, AgentDecision.id == Proposal.decision_id)
        .where(Proposal.subject_kind == "listing", Proposal.subject_id == listing_id, Proposal.command == command)
        .where(Proposal.rule == rule, Proposal.verdict == "ask", AgentDecision.state.in_(("escalated", "awaiting")))
        .limit(1)
    )
    return await session.scalar(query) is not None


async def open_questions(session: AsyncSession) -> dict[UUID, set[tuple[str, str, UUID]]]:
    """What each open question is about: by its decision, the (command, subject kind, subject id) that wait for it.

    A question about letting a decision go ahead is about what that decision wants, however many it climbed through.
    """
    waiting = or_(Proposal.verdict.is_(None), Proposal.verdict == "ask")
    endorses = Proposal.command == EndorseDecision.type_name()
    asked = (
        select(Approval.decision_id.label("question"), Approval.decision_id.label("decision_id"))
        .where(Approval.state == "open")
        .cte("asked", recursive=True)
    )
    below = select(asked.c.question, Proposal.subject_id).where(
        Proposal.decision_id == asked.c.decision_id, waiting, endorses
    )
    asked = asked.union(below)
    rows = await session.execute(
        select(asked.c.question, Proposal.command, Proposal.subject_kind, Proposal.subject_id).where(
            Proposal.decision_id == asked.c.decision_id, waiting, ~endorses
        )
    )
    found: dict[UUID, set[tuple[str, str, UUID]]] = {}
    for question, command, kind, subject_id in rows:
        found.setdefault(question, set()).add((command, kind, subject_id))
    return found


async def supersede_approval(session: AsyncSession, decision_id: UUID) -> bool:
    """Close an open approval because a newer one takes its place; False when it was answered or closed."""
    closed = await session.execute(
        update(Approval)
        .where(Approval.decision_id == decision_id, Approval.state == "open")
        .values(state="superseded")
        .returning(Approval.id)
        .execution_options(synchronize_session=False)
    )
    return closed.scalar() is not None


async def unanswered(session: AsyncSession, now: datetime, *, limit: int) -> Sequence[UUID]:
    """Decisions whose approval is open although its time is over, longest ago first."""
    rows = await session.scalars(
        select(Approval.decision_id)
        .where(Approval.state == "open", Approval.expires_at <= now)
        .order_by(Approval.expires_at, Approval.id)
        .limit(limit)
    )
    return rows.all()


async def expire_approval(unit: UnitOfWork, decision_id: UUID) -> bool:
    """Close an approval whose time is over; False when it was answered, closed, or still has time."""
    closed = await unit.session.execute(
        update(Approval)
        .where(Approval.decision_id == decision_id, Approval.state == "open", Approval.expires_at <= unit.now)
        .values(state="expired")
        .returning(Approval.id)
        .execution_options(synchronize_session=False)
    )
    return closed.scalar() is not None
