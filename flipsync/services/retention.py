"""What has had its time is dropped, so much a run: buyers of orders long over, sessions, tokens, codes, answers,
runs of automations that have ended, what policies chose.

Each batch is a transaction of its own and says in the audit log what it did; one that is cut off is done by the next
run. Nothing of it is done twice: what is gone is not found again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.clock import utc_now
from flipsync.services import erasure
from flipsync.services.tenant_settings import PrivacyChoices, profile
from flipsync.store.repositories import privacy as rows
from flipsync.store.repositories import pruning
from flipsync.store.unit_of_work import Store, UnitOfWork

#: orders of a batch, batches of a run, and rows of each table a run prunes
BATCH, BATCHES, MOST_PRUNED = 50, 20, 5_000
#: runs of automations are kept so long after their end; more than an automation may be quiet about a thing
RUNS_KEPT = timedelta(days=100)
#: what policies chose is kept for longer than they are judged by (`policy_outcomes.WINDOW`), in the business's time
CHOICES_KEPT = timedelta(days=90)
_COUNTED = 10_000


@dataclass
class Done:
    """What a run did. `more`: there is more to do than one run does."""

    orders: int = 0
    pruned: dict[str, int] = field(default_factory=dict)
    more: bool = False


class RetentionView(BaseModel):
    """The owner's choices, and how many orders are due by them now."""

    choices: PrivacyChoices
    orders_due: int = Field(description=f"counted up to {_COUNTED:,}")
    orders_waiting: int = Field(description="to be forgotten, and only waiting for the next run")


async def run(store: Store, tenant_id: UUID) -> Done:
    """One bounded run for a business."""
    done = Done()
    for _ in range(BATCHES):
        async with store.unit(tenant_id) as unit:
            count = await erasure.forget_waiting(unit, BATCH)
            count += await _forget_due(unit)
        done.orders += count
        if not count:
            break
    else:
        done.more = True
    async with store.unit(tenant_id) as unit:
        done.pruned = await _prune(unit)
    done.more = done.more or any(count >= MOST_PRUNED for count in done.pruned.values())
    return done


async def look(session: AsyncSession, tenant_id: UUID, now: datetime) -> RetentionView:
    choices = (await profile(session, tenant_id)).settings.privacy
    due = await rows.orders_due(session, *_before(now, choices), _COUNTED)
    waiting = await rows.orders_waiting(session, _COUNTED)
    return RetentionView(choices=choices, orders_due=len(due), orders_waiting=len(waiting))


async def _forget_due(unit: UnitOfWork) -> int:
    choices = (await profile(unit.session, unit.tenant_id)).settings.privacy
    orders = await rows.orders_due(unit.session, *_before(unit.now, choices), BATCH)
    if orders:
        changed = await erasure.forget_old(unit, orders)
        unit.audit(
            "retention.buyers-erased",
            "tenant",
            unit.tenant_id,
            orders=len(orders),
            rows=changed,
            amazon_days=choices.amazon_days,
            buyer_days=choices.buyer_days,
        )
    return len(orders)


def _before(now: datetime, choices: PrivacyChoices) -> tuple[datetime, datetime | None]:
    """What was over before then is due: on Amazon, and elsewhere."""
    others = now - timedelta(days=choices.buyer_days) if choices.buyer_days else None
    return now - timedelta(days=choices.amazon_days), others


async def _prune(unit: UnitOfWork) -> dict[str, int]:
    now = utc_now()  # sign-ins and requests are of real time, whatever the business's clock says
    moments = {name: now - timedelta(days=days) for name, days in (("day", 1), ("week", 7), ("month", 30))}
    moments["run_ends"] = unit.now - RUNS_KEPT
    moments["judged"] = unit.now - CHOICES_KEPT
    gone = await pruning.prune(unit.session, moments, MOST_PRUNED)
    if gone:
        unit.audit("retention.pruned", "tenant", unit.tenant_id, rows=gone)
    return gone
