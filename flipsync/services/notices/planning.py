"""Which message goes where, and when: preferences, quiet hours, digests, and a storm that becomes one message."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Literal, cast
from uuid import UUID

from flipsync.domain.clock import utc_now
from flipsync.services.notices.kinds import Kind, Severity, as_kind
from flipsync.services.notices.preferences import Channel, Preferences, of_everybody
from flipsync.store.repositories import deliveries as rows
from flipsync.store.unit_of_work import UnitOfWork

#: notifications a pass plans, and how many at once still go one by one
_MOST, _ONE_BY_ONE = 10_000, 3
_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Due:
    """A notification that nobody has thought of yet for outside the app."""

    id: UUID
    kind: Kind
    severity: Severity
    raised_at: datetime


@dataclass(frozen=True)
class Way:
    """One of the person's destinations."""

    id: UUID
    channel: Channel


@dataclass(frozen=True)
class Planned:
    destination_id: UUID
    purpose: Literal["one", "digest"]
    about: tuple[UUID, ...]


@dataclass(frozen=True)
class Plan:
    """`done` is thought of, whether or not it goes anywhere; the rest waits."""

    messages: tuple[Planned, ...]
    done: tuple[UUID, ...]


def plan(choices: Preferences, ways: Sequence[Way], due: Sequence[Due], sent: int, now: datetime) -> Plan:
    """One person's. `sent`: messages of the last hour."""
    wanted = {
        each.id: [way for way in ways if way.channel in choices.channels(each.kind, each.severity)] for each in due
    }
    nowhere = [each.id for each in due if not wanted[each.id]]
    going = [each for each in due if wanted[each.id] and _may_go(choices, each, now)]
    left = choices.most_per_hour - sent
    if not going or left <= 0:
        return Plan((), tuple(nowhere))
    messages: list[Planned] = []
    together = len(going) > min(_ONE_BY_ONE, left)
    for way in ways:
        about = [each.id for each in going if way in wanted[each.id]]
        if together and len(about) > 1:
            messages.append(Planned(way.id, "digest", tuple(about)))
        else:
            messages += [Planned(way.id, "one", (each,)) for each in about]
    return Plan(tuple(messages), (*nowhere, *(each.id for each in going)))


def _may_go(choices: Preferences, each: Due, now: datetime) -> bool:
    urgent = each.severity == "urgent"
    if choices.is_quiet(now) and not (urgent and choices.urgent_passes):
        return False
    return urgent or choices.digest == "none" or each.raised_at < choices.last_digest_due(now)


async def plan_all(unit: UnitOfWork) -> int:
    """Plan for everybody of a business; how many messages wait now that did not before."""
    now = utc_now()
    found = await rows.untold(unit.session, _MOST)
    if not found:
        return 0
    everybody = await of_everybody(unit.session)
    ways: dict[UUID, list[Way]] = {}
    for target in await rows.working(unit.session):
        ways.setdefault(target.user_id, []).append(Way(target.id, cast(Channel, target.channel)))
    sent = await rows.sent_since(unit.session, set(ways), now - _HOUR) if ways else {}
    messages: list[dict[str, Any]] = []
    done: list[UUID] = []
    for user_id, theirs in groupby(sorted(found, key=lambda row: row.user_id), key=lambda row: row.user_id):
        due = [Due(row.id, as_kind(row.kind), cast(Severity, row.severity), row.raised_at) for row in theirs]
        made = plan(everybody.get(user_id, Preferences()), ways.get(user_id, []), due, sent.get(user_id, 0), now)
        done += made.done
        messages += [
            {
                "user_id": user_id,
                "destination_id": each.destination_id,
                "purpose": each.purpose,
                "about": [str(notification_id) for notification_id in each.about],
            }
            for each in made.messages
        ]
    await rows.put(unit.session, unit.tenant_id, messages)
    await rows.mark_told(unit.session, done, now)
    return len(messages)
