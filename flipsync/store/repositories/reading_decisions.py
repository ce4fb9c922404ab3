"""Queries that show agents, their decisions, and the questions they put to people."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, exists, func, or_, select
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

ApprovalRow = Row[Approval, AgentDecision]


async def agents(session: AsyncSession) -> Sequence[AgentStatus]:
    return (await session.execute(select(AgentStatus).order_by(AgentStatus.agent))).scalars().all()


async def task_counts(session: AsyncSession) -> Sequence[tuple[str, int, int]]:
    """(agent, waiting, failed) of the tenant's tasks. By two indexes: what is done is most of the table."""
    counts: list[dict[str, int]] = []
    for state in (AgentTask.state.in_(("pending", "leased")), AgentTask.state == "failed"):
        mine = AgentTask.tenant_id == func.current_tenant()
        query = select(AgentTask.agent, func.count().label("number")).where(mine, state).group_by(AgentTask.agent)
        counts.append({row.agent: row.number for row in await session.execute(query)})
    waiting, failed = counts
    return [(agent, waiting.get(agent, 0), failed.get(agent, 0)) for agent in sorted({*waiting, *failed})]


async def decisions(
    session: AsyncSession,
    *,
    limit: int,
    after: UUID | None = None,
    agent: str | None = None,
    state: str | None = None,
    command: str | None = None,
    subject_kind: str | None = None,
    subject_id: UUID | None = None,
    correlation_id: UUID | None = None,
    decided_from: datetime | None = None,
    decided_before: datetime | None = None,
) -> Sequence[AgentDecision]:
    """Newest first. Command and subject are those of a proposal of the decision."""
    query = select(AgentDecision).order_by(AgentDecision.id.desc()).limit(limit)
    if after is not None:
        query = query.where(AgentDecision.id < after)
    if agent is not None:
        query = query.where(AgentDecision.agent == agent)
    if state is not None:
        query = query.where(AgentDecision.state == state)
    if correlation_id is not None:
        query = query.where(AgentDecision.correlation_id == correlation_id)
    if decided_from is not None:
        query = query.where(AgentDecision.decided_at >= decided_from)
    if decided_before is not None:
        query = query.where(AgentDecision.decided_at < decided_before)
    return (await session.execute(_about(query, command, subject_kind, subject_id))).scalars().all()


def _about(
    query: Select[AgentDecision], command: str | None, subject_kind: str | None, subject_id: UUID | None
) -> Select[AgentDecision]:
    if command is None and subject_kind is None and subject_id is None:
        return query
    proposed = exists().where(Proposal.decision_id == AgentDecision.id)
    if command is not None:
        proposed = proposed.where(Proposal.command == command)
    if subject_kind is not None:
        proposed = proposed.where(Proposal.subject_kind == subject_kind)
    if subject_id is not None:
        proposed = proposed.where(Proposal.subject_id == subject_id)
    return query.where(proposed)


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


async def approvals(
    session: AsyncSession,
    *,
    limit: int,
    after: UUID | None = None,
    state: str | None = None,
    approval_id: UUID | None = None,
) -> Sequence[ApprovalRow]:
    """(approval, the decision it is about), newest first."""
    query = (
        select(Approval, AgentDecision)
        .join(AgentDecision, AgentDecision.id == Approval.decision_id)
        .order_by(Approval.id.desc())
        .limit(limit)
    )
    if after is not None:
        query = query.where(Approval.id < after)
    if state is not None:
        query = query.where(Approval.state == state)
    if approval_id is not None:
        query = query.where(Approval.id == approval_id)
    return (await session.execute(query)).all()


async def waiting_below(
    session: AsyncSession, decision_ids: Collection[UUID]
) -> Sequence[tuple[UUID, str, dict[str, Any]]]:
    """(decision asked about, command, payload) of all that waits for its answer, through the decisions it endorses."""
    waiting = or_(Proposal.verdict.is_(None), Proposal.verdict == "ask")
    endorses = Proposal.command == EndorseDecision.type_name()
    asked = (
        select(AgentDecision.id.label("question"), AgentDecision.id.label("decision_id"))
        .where(AgentDecision.id.in_(decision_ids))
        .cte("asked", recursive=True)
    )
    asked = asked.union(
        select(asked.c.question, Proposal.subject_id).where(
            Proposal.decision_id == asked.c.decision_id, waiting, endorses
        )
    )
    found = await session.execute(
        select(asked.c.question, Proposal.command, Proposal.payload)
        .where(Proposal.decision_id == asked.c.decision_id, waiting, ~endorses)
        .order_by(asked.c.question, Proposal.decision_id, Proposal.ordinal)
    )
    return [(question, command, payload) for question, command, payload in found]


async def open_approvals(session: AsyncSession, *, limit: int) -> Sequence[UUID]:
    """Questions that wait and still can be answered are among them, oldest first."""
    query = select(Approval.id).where(Approval.state == "open").order_by(Approval.id).limit(limit)
    return (await session.scalars(query)).all()


async def lock_approval(session: AsyncSession, approval_id: UUID) -> Approval | None:
    query = select(Approval).where(Approval.id == approval_id).with_for_update()
    return (await session.execute(query)).scalar_one_or_none()
