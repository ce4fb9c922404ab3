"""Questions nobody answers go on to the next person: after a share of their time, once."""

from __future__ import annotations

from flipsync.domain.events import ApprovalEscalated
from flipsync.services.tenant_settings import profile
from flipsync.store.repositories import matters as rows
from flipsync.store.unit_of_work import Cause, UnitOfWork

#: of one business at a time; the rest is next
_MOST = 500


async def escalate(unit: UnitOfWork) -> int:
    """Pass on what has waited too long; how many. Whoever may answer still may: only more people are told.

    Two at once pass each question on once, and one that is just being answered stays with who answers it.
    """
    share = (await profile(unit.session, unit.tenant_id)).settings.approval_escalates_after
    if share >= 1:
        return 0
    passed = await rows.escalate_unanswered(unit.session, unit.now, share, _MOST)
    for approval_id, decision_id in passed:
        unit.emit(
            ApprovalEscalated(approval_id=approval_id, decision_id=decision_id),
            cause=Cause(decision_id, None, unit.cause.traceparent),
        )
    return len(passed)
