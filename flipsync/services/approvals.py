"""A person's answer to a question of the agents, or to many."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from pydantic import BaseModel

from flipsync.domain.errors import Conflict, NotFound
from flipsync.domain.events import ApprovalAnswered
from flipsync.store.repositories import reading_decisions as rows
from flipsync.store.unit_of_work import UnitOfWork


async def answer_approval(unit: UnitOfWork, approval_id: UUID, *, approved: bool, by: UUID, note: str = "") -> None:
    """Answer once. Raises NotFound, and Conflict when it was answered already or its time is over."""
    approval = await rows.lock_approval(unit.session, approval_id)
    if approval is None:
        raise NotFound(f"no approval {approval_id}")
    if approval.state != "open":
        raise Conflict(f"it is {approval.state} already")
    if approval.expires_at <= unit.now:
        raise Conflict("the time to answer is over", hint="the agent will ask again if it still matters")
    approval.state = "approved" if approved else "refused"
    approval.answered_at, approval.answered_by, approval.note = unit.now, by, note
    await unit.session.flush()
    unit.audit("approval.answered", "approval", approval_id, approved=approved)
    unit.emit(ApprovalAnswered(approval_id=approval_id, decision_id=approval.decision_id, approved=approved))


class LeftOpen(BaseModel):
    """A question that could not be answered, and why."""

    id: UUID
    reason: str


class BulkAnswer(BaseModel):
    answered: list[UUID]
    left: list[LeftOpen]


async def answer_approvals(
    unit: UnitOfWork, approval_ids: Collection[UUID], *, approved: bool, by: UUID, note: str = ""
) -> BulkAnswer:
    """The same answer to many. One that cannot be answered is told and holds up no other."""
    outcome = BulkAnswer(answered=[], left=[])
    # in one order for everybody, so that two people who answer at once do not wait for each other
    for approval_id in sorted(set(approval_ids)):
        try:
            await answer_approval(unit, approval_id, approved=approved, by=by, note=note)
        except (Conflict, NotFound) as refused:
            outcome.left.append(LeftOpen(id=approval_id, reason=refused.message))
        else:
            outcome.answered.append(approval_id)
    return outcome
