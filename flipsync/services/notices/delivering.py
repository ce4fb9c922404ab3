"""Messages on their way: claimed, sent, and what came of it written down. Each is its own; none waits for another.

A message is a reminder, and carries the same id at every try: a doubled mail or chat line harms nobody, so one whose
outcome nobody knows is sent again. A doubled short message costs money: such a one is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from flipsync.connectors.notices.destination import Destination, parse
from flipsync.connectors.notices.sending import Attached, Message, Sender
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import FlipSyncError, OutcomeUnknown, Rejected, Retryable
from flipsync.security.secrets import SecretBox
from flipsync.services import report_files
from flipsync.services.notices import destinations, messages, subscriptions
from flipsync.services.notices.kinds import heard_by
from flipsync.services.own_roles import role_of
from flipsync.store.models import Notification
from flipsync.store.repositories import deliveries as rows
from flipsync.store.repositories import notices as notice_rows
from flipsync.store.repositories import report_schedules as report_rows
from flipsync.store.repositories.deliveries import ClaimedDelivery
from flipsync.store.unit_of_work import Store, UnitOfWork

#: half a minute, then twice as long each time: an hour and more; who waits for a test is told sooner
MOST_ATTEMPTS, MOST_TRIES_OF_A_TEST = 8, 3
#: longer than any try takes (connectors.notices.sending)
LEASE = timedelta(seconds=90)
_FIRST_PAUSE, _LONGEST_PAUSE = 30, 3600
#: who asks for more patience than that gets no more
_LONGEST_ASKED = 24 * 3600
#: bytes of files a mail takes along: more is refused by many servers once it is written out
_MOST_ATTACHED = 7_000_000


@dataclass(frozen=True)
class Ready:
    """A message to be sent now."""

    tenant_id: UUID
    claimed: ClaimedDelivery
    to: Destination
    message: Message


async def claim(unit: UnitOfWork, box: SecretBox, most: int, base: str) -> list[Ready]:
    """Messages whose turn it is, ready to be sent. What is pointless by now, or has no way any more, ends here."""
    now = utc_now()
    ready = []
    for each in await rows.claim(unit.session, now, now + LEASE, most):
        made = await _ready(unit, box, each, base)
        if isinstance(made, Ready):
            ready.append(made)
        else:
            state, why = made
            await rows.finish(unit.session, each.id, each.attempts, state, why, now)
    return ready


async def _ready(unit: UnitOfWork, box: SecretBox, each: ClaimedDelivery, base: str) -> Ready | tuple[str, str]:
    row = await rows.destination(unit.session, each.destination_id)
    if row is None or (row.state != "working" and each.purpose != "test"):
        return "pointless", "nothing is sent there"
    if each.cut_off and (row.channel == "sms" or each.attempts > MOST_ATTEMPTS):
        return "unknown", "it was cut off while it was sent"
    people = await notice_rows.people(unit.session)
    role = next((role_of(person) for person in people if person.id == each.user_id), None)
    told = await rows.of_message(unit.session, each.user_id, each.about) if each.about else []
    told = [row for row in told if role is not None and row.kind in heard_by(role)]
    if role is None or (each.purpose != "test" and not told):
        return "pointless", "it was settled before it went"
    if row.session_id is not None and not await rows.signed_in(unit.session, row.session_id):
        await subscriptions.end(unit, row, "signed out")
        return "pointless", "the browser is signed out"
    try:
        opened = box.open(row.sealed, tenant_id=unit.tenant_id, purpose=destinations.purpose(row.id))
        if row.channel == "push":
            to = subscriptions.read(opened, await subscriptions.vapid(unit.session, box, base))
        else:
            to = parse(opened["url"])
    except FlipSyncError as error:
        return "rejected", error.message
    files = await _files(unit, each.user_id, told) if row.channel == "email" else ()
    return Ready(unit.tenant_id, each, to, messages.message(each.id, each.purpose, told, base, files))


async def _files(unit: UnitOfWork, user_id: UUID, told: Sequence[Notification]) -> tuple[Attached, ...]:
    """Reports that are told of, as far as they have room in a mail; the others are where the link leads."""
    wanted = [row.subject_id for row in told if row.kind == "report-ready" and row.subject_id is not None]
    if not wanted:
        return ()
    room, attached = _MOST_ATTACHED, []
    sizes = await report_rows.sizes(unit.session, wanted, user_id)
    for run_id in wanted:
        if (size := sizes.get(run_id, room + 1)) > room:
            continue
        found = await report_rows.file(unit.session, run_id, user_id=user_id)
        if found is not None:
            room -= size
            attached.append(Attached(found[0], report_files.media_type(found[1]), found[2]))
    return tuple(attached)


async def deliver(store: Store, sender: Sender, ready: Ready) -> str:
    """Send it and write down what came of it; the state it is in then."""
    error: FlipSyncError | None = None
    try:
        await sender.send(ready.to, ready.message)
    except FlipSyncError as failed:
        error = failed
    async with store.unit(ready.tenant_id) as unit:
        return await record(unit, ready, error)


async def record(unit: UnitOfWork, ready: Ready, error: FlipSyncError | None) -> str:
    """One of three outcomes, or taken; a refusal closes the destination until a test arrives there again."""
    claimed, now = ready.claimed, utc_now()
    if error is None:
        first = await rows.finish(unit.session, claimed.id, claimed.attempts, "sent", "", now)
        if first and claimed.purpose == "test":
            await rows.set_destination(unit.session, claimed.destination_id, "working", "")
        return "sent"
    again = isinstance(error, Retryable) or (isinstance(error, OutcomeUnknown) and ready.to.channel != "sms")
    if again and claimed.attempts < (MOST_TRIES_OF_A_TEST if claimed.purpose == "test" else MOST_ATTEMPTS):
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (claimed.attempts - 1))
        asked = error.after if isinstance(error, Retryable) else None
        at = now + timedelta(seconds=max(pause, min(asked or 0, _LONGEST_ASKED)))
        await rows.put_off(unit.session, claimed.id, claimed.attempts, error.message, at)
        return "waiting"
    state = "unknown" if isinstance(error, OutcomeUnknown) else "rejected"
    ended = await rows.finish(unit.session, claimed.id, claimed.attempts, state, error.message, now)
    if ended and isinstance(error, Rejected) and error.missing and ready.to.channel == "push":
        gone = await rows.destination(unit.session, claimed.destination_id)
        if gone is not None:
            await subscriptions.end(unit, gone, "subscribed no more")
    elif ended and (isinstance(error, Rejected) or claimed.purpose == "test"):
        await rows.set_destination(unit.session, claimed.destination_id, "refused", error.message)
        unit.audit(
            "notifications.destination-refused",
            "user",
            claimed.user_id,
            service=ready.to.service,
            shown=ready.to.shown,
            why=error.message,
        )
    return state
