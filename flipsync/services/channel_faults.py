"""What was found out about a channel, in the books: found once, seen again, and over when it was not seen for long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.channel import Vendor
from flipsync.domain.channel_fault import CAUSES, Cause, Finding
from flipsync.domain.events import ChannelFaultCleared, ChannelFaultFound
from flipsync.store.models import ChannelFault
from flipsync.store.repositories import channel_faults as rows
from flipsync.store.unit_of_work import UnitOfWork

#: real seconds: a finding that several looks in a row did not see is over; its row is written again that often at most
_OVER, _AGAIN = 180.0, 60.0


@dataclass(frozen=True)
class OpenFault:
    """One thing that is the matter with an account, as people see it."""

    id: UUID
    account_id: UUID
    cause: str
    says: str
    hint: str
    since: datetime
    opened_at: datetime
    last_seen_at: datetime
    evidence: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        return {
            "id": str(self.id),
            "cause": self.cause,
            "says": self.says,
            "hint": self.hint,
            "since": self.since.isoformat(),
            "opened_at": self.opened_at.isoformat(),
            "last_seen_at": self.last_seen_at.isoformat(),
            "evidence": list(self.evidence),
        }


async def open_faults(session: AsyncSession, account_id: UUID | None = None) -> list[OpenFault]:
    """What is the matter now with one account, or with all of the tenant's; oldest first."""
    return [_told(row) for row in await rows.open_faults(session, account_id)]


async def record(
    unit: UnitOfWork, account_id: UUID, vendor: Vendor, findings: Sequence[Finding], *, speed: float = 1.0
) -> int:
    """Bring the books up to what was found at a look; returns how many causes are new. `speed` as of the clock."""
    known = {cast(Cause, row.cause): row for row in await rows.open_faults(unit.session, account_id)}
    found = {finding.cause: finding for finding in findings}
    new = 0
    for cause, finding in found.items():
        row = known.get(cause)
        if row is not None:
            if unit.now - row.last_seen_at >= timedelta(seconds=_AGAIN * speed):
                await rows.seen_again(unit.session, row.id, unit.now, finding.evidence)
            continue
        fault_id = await rows.open_one(
            unit.session,
            unit.tenant_id,
            account_id,
            cause=cause,
            since=finding.since,
            now=unit.now,
            evidence=finding.evidence,
            hint=finding.known.hint,
        )
        if fault_id is not None:
            new += 1
            unit.emit(
                ChannelFaultFound(
                    account_id=account_id, vendor=vendor, fault_id=fault_id, cause=cause, evidence=finding.evidence
                )
            )
    if any(CAUSES[cause].blinds for cause in found):
        return new  # nothing else could be seen: what was found before may still be so
    for cause, row in known.items():
        over = unit.now - row.last_seen_at >= timedelta(seconds=_OVER * speed)
        if cause not in found and over and await rows.close_one(unit.session, row.id, unit.now):
            unit.emit(ChannelFaultCleared(account_id=account_id, vendor=vendor, fault_id=row.id, cause=cause))
    return new


def _told(row: ChannelFault) -> OpenFault:
    known = CAUSES.get(cast(Cause, row.cause))
    return OpenFault(
        id=row.id,
        account_id=row.account_id,
        cause=row.cause,
        says=known.says if known is not None else row.cause,
        hint=row.hint,
        since=row.since,
        opened_at=row.opened_at,
        last_seen_at=row.last_seen_at,
        evidence=tuple(row.evidence),
    )
