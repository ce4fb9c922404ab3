"""Limits on what persons ask for and on what agents change an hour, caps on labels, and where a day begins: what others
would have meant, counted in the books.

No decision depends on them, so none is made again: both sides are counted by the same functions over what happened.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.errors import OverBudget
from flipsync.services.dry_run_change import BY_BOOKS, Change
from flipsync.services.dry_run_money import Ledger
from flipsync.services.settings_changes import unknown_zone
from flipsync.services.tenant_settings import FleetChoices, TenantSettings, value_of
from flipsync.store.repositories import trial_books as rows
from flipsync.store.repositories.tenants import knows_zone
from flipsync.store.repositories.trial_books import HourOfChanges

_ABOVE = (
    ("orders.refund_approval_minor", "refunds to approve", rows.refunds_above),
    ("orders.label_limit_minor", "labels above the limit", rows.labels_above),
)


async def count_books(
    session: AsyncSession, ledger: Ledger, change: Change, then: TenantSettings, since: datetime, until: datetime
) -> None:
    """Count what the change would have meant to what happened between the moments (wall clock); `then` are the
    settings as they are."""
    for cap in change.given:
        if cap.limit_minor is not None:
            for each in await rows.labels_above(session, since, until, cap.limit_minor, cap.account_id):
                ledger.count("labels not bought", 0, each.count)
                ledger.count("labels not bought", 0, each.minor, unit=each.currency)
    keys = BY_BOOKS.intersection(change.settings)
    if not keys:
        return
    now = change.applied(then)
    if "approval_hours" in keys:
        sides = [await rows.questions(session, since, until, each.approval_hours) for each in (then, now)]
        ledger.count("questions unanswered", *(each.ended + each.late for each in sides))
    for key, name, above in _ABOVE:
        if key in keys:
            for side, settings in enumerate((then, now)):
                for each in await above(session, since, until, value_of(settings, key)):
                    ledger.count(name, *_one(side, each.count))
                    ledger.count(name, *_one(side, each.minor), unit=each.currency)
    if "time_zone" in keys:
        if not await knows_zone(session, now.time_zone):
            raise unknown_zone(now.time_zone)
        for each in await rows.orders_on_another_day(session, since, until, then.time_zone, now.time_zone):
            ledger.count("orders on another day", 0, each.count)
            ledger.count("orders on another day", 0, each.minor, unit=each.currency)
    if any(key.startswith("fleet.") for key in keys):
        hours = await rows.listing_changes(session, since, until, OverBudget.code)
        changes, stakes = zip(put_off(hours, then.fleet), put_off(hours, now.fleet), strict=True)
        ledger.count("changes put off", *changes)
        ledger.count("stake put off", *stakes, unit="units")


def put_off(hours: Sequence[HourOfChanges], fleet: FleetChoices) -> tuple[int, int]:
    """Changes, and minor units staked, beyond what is allowed within an hour, in all and by account."""
    return (
        sum(_beyond(hours, "changes", fleet.listings_per_hour, fleet.listing_shares_bps)),
        sum(_beyond(hours, "stake", fleet.margin_at_risk_minor, fleet.margin_shares_bps)),
    )


def _beyond(hours: Sequence[HourOfChanges], what: str, most: int, shares_bps: dict[str, int]) -> Iterator[int]:
    """By hour."""
    wanted: defaultdict[datetime, list[int]] = defaultdict(list)
    allowed: defaultdict[datetime, int] = defaultdict(int)
    for each in hours:
        want: int = getattr(each, what)
        share = shares_bps.get(str(each.account_id))
        wanted[each.hour].append(want)
        allowed[each.hour] += want if share is None else min(want, max(1, most * share // 10_000))
    for hour, wants in wanted.items():
        yield sum(wants) - min(most, allowed[hour])


def _one(side: int, value: int) -> tuple[int, int]:
    return (0, value) if side else (value, 0)
