"""Queries that show agents, their decisions, and the questions they put to people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Select, Text, bindparam, exists, func, or_, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.commands import EndorseDecision
from flipsync.store.models import (
    AgentDecision,
    AgentStatus,
    AgentTask,
    Approval,
    Effect,
    EventRecord,
    Proposal,
    Receipt,
)
from flipsync.store.reading import Question, among_ids, where
from flipsync.store.sorting import SortedQuestion, Sorts


async def agents(session: AsyncSession) -> Sequence[AgentStatus]:
    return (await session.execute(select(AgentStatus).order_by(AgentStatus.agent, AgentStatus.replica))).scalars().all()


async def task_counts(session: AsyncSession) -> Sequence[tuple[str, int, int]]:
    """(agent, waiting, failed) of the tenant's tasks. By two indexes: what is done is most of the table."""
    counts: list[dict[str, int]] = []
    for state in (AgentTask.state.in_(("pending", "leased")), AgentTask.state == "failed"):
        mine = AgentTask.tenant_id == func.current_tenant()
        query = select(AgentTask.agent, func.count().label("number")).where(mine, state).group_by(AgentTask.agent)
        counts.append({row.agent: row.number for row in await session.execute(query)})
    waiting, failed = counts
    return [(agent, waiting.get(agent, 0), failed.get(agent, 0)) for agent in sorted({*waiting, *failed})]


_COMMANDS = (
    select(Proposal.command)
    .where(Proposal.decision_id == AgentDecision.id)
    .order_by(Proposal.ordinal)
    .correlate(AgentDecision)
    .scalar_subquery()
)
_DECISION = select(
    *(
        AgentDecision.__table__.c[name]
        for name in (
            "id",
            "agent",
            "agent_version",
            "state",
            "source",
            "rationale",
            "confidence",
            "stake_minor",
            "stake_currency",
            "event_id",
            "correlation_id",
            "decided_at",
        )
    ),
    func.array(_COMMANDS, type_=ARRAY(Text())).label("commands"),
)


def _decisions(given: frozenset[str]) -> Select[*tuple[Any, ...]]:
    query = where(
        _DECISION,
        given,
        agent=AgentDecision.agent == bindparam("agent"),
        state=AgentDecision.state == bindparam("state"),
        correlation_id=AgentDecision.correlation_id == bindparam("correlation_id"),
        decided_from=AgentDecision.decided_at >= bindparam("decided_from"),
        decided_before=AgentDecision.decided_at < bindparam("decided_before"),
    )
    about = {
        "command": Proposal.command == bindparam("command"),
        "subject_kind": Proposal.subject_kind == bindparam("subject_kind"),
        "subject_id": Proposal.subject_id == bindparam("subject_id"),
    }
    if not given & about.keys():
        return query
    wanted = (condition for name, condition in about.items() if name in given)
    return query.where(exists().where(Proposal.decision_id == AgentDecision.id, *wanted))


DECISION_SORTS = Sorts(AgentDecision.id)
#: any of agent, state, correlation_id, decided_from, decided_before; with commands. command, subject_kind and
#: subject_id are those of a proposal of the decision
DECISIONS = SortedQuestion(DECISION_SORTS, _decisions)
#: ids; with commands
DECISIONS_OF = Question(lambda _: _DECISION.where(AgentDecision.id == among_ids("ids")))


async def decision(session: AsyncSession, decision_id: UUID) -> AgentDecision | None:
    return (await session.execute(select(AgentDecision).where(AgentDecision.id == decision_id))).scalar_one_or_none()


async def event(session: AsyncSession, event_id: UUID) -> EventRecord | None:
    return (await session.execute(select(EventRecord).where(EventRecord.id == event_id))).scalar_one_or_none()


async def proposals_of(session: AsyncSession, decision_ids: Sequence[UUID]) -> Sequence[Proposal]:
    query = (
        select(Proposal).where(Proposal.decision_id.in_(decision_ids)).order_by(Proposal.decision_id, Proposal.ordinal)
    )
    return (await session.execute(query)).scalars().all()


async def effects_of(session: AsyncSession, proposal_ids: Sequence[UUID]) -> Sequence[Effect]:
    query = select(Effect).where(Effect.proposal_id.in_(proposal_ids)).order_by(Effect.id)
    return (await session.execute(query)).scalars().all()


async def receipts_of(session: AsyncSession, effect_ids: Sequence[UUID]) -> Sequence[Receipt]:
    query = select(Receipt).where(Receipt.effect_id.in_(effect_ids)).order_by(Receipt.effect_id, Receipt.attempt)
    return (await session.execute(query)).scalars().all()


def _approvals(given: frozenset[str]) -> Select[*tuple[Any, ...]]:
    return where(
        select(*Approval.__table__.c),
        given,
        state=Approval.state == bindparam("state"),
        approval_id=Approval.id == bindparam("approval_id"),
    )


APPROVAL_SORTS = Sorts(Approval.id)
#: any of state, approval_id
APPROVALS = SortedQuestion(APPROVAL_SORTS, _approvals)


def _waiting_below(_: frozenset[str]) -> Select[*tuple[Any, ...]]:
    waiting = or_(Proposal.verdict.is_(None), Proposal.verdict == "ask")
    endorses = Proposal.command == EndorseDecision.type_name()
    asked = (
        select(AgentDecision.id.label("question"), AgentDecision.id.label("decision_id"))
        .where(AgentDecision.id == among_ids("ids"))
        .cte("asked", recursive=True)
    )
    asked = asked.union(
        select(asked.c.question, Proposal.subject_id).where(
            Proposal.decision_id == asked.c.decision_id, waiting, endorses
        )
    )
    return (
        select(asked.c.question, Proposal.command, Proposal.payload)
        .where(Proposal.decision_id == asked.c.decision_id, waiting, ~endorses)
        .order_by(asked.c.question, Proposal.decision_id, Proposal.ordinal)
    )


#: ids: decision asked about, command and payload of all that waits for its answer, through the decisions it endorses
WAITING_BELOW = Question(_waiting_below)


async def open_approvals(session: AsyncSession, *, limit: int) -> Sequence[UUID]:
    """Questions that wait and still can be answered are among them, oldest first."""
    query = select(Approval.id).where(Approval.state == "open").order_by(Approval.id).limit(limit)
    return (await session.scalars(query)).all()


async def lock_approval(session: AsyncSession, approval_id: UUID) -> Approval | None:
    query = select(Approval).where(Approval.id == approval_id).with_for_update()
    return (await session.execute(query)).scalar_one_or_none()
