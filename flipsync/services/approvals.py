"""A person's answer to a question of the agents."""

from __future__ import annotations

from uuid import UUID

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
