"""Push: what a device did on its own, taken in its order, each in a transaction of its own with its answer.

A mutation that came before gets the answer it got then, for as long as a device may be away; later than that its number
still says that it was answered, and the ledger that it was booked. So nothing is ever done twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import orjson
from sqlalchemy.exc import DBAPIError

from flipsync.domain.errors import Conflict, FlipSyncError, Forbidden, NotFound, Unavailable
from flipsync.security.tokens import Claims
from flipsync.services.idempotency import fingerprint
from flipsync.services.sync.applying import Doer, apply
from flipsync.services.sync.devices import known_device
from flipsync.services.sync.merging import AWAY, ClockLine, ClockMark, Span
from flipsync.services.sync.mutations import NEEDED, Answer, Answers, Count, Edit, MutationView, Receive, Unreadable
from flipsync.services.sync.mutations import WishPrice as Wish
from flipsync.store.models import SyncDevice, SyncMutation
from flipsync.store.repositories import sync as rows
from flipsync.store.unit_of_work import Cause, Store, UnitOfWork

Told = Receive | Count | Edit | Wish | Unreadable
#: the database refused a value (too long, out of range, against a rule), or broke a circle of waiting
_REFUSED, _AGAIN = ("22", "23"), "40"
_TRIES = 3


async def push(
    store: Store,
    user: Claims,
    device_id: UUID,
    told: Sequence[Told],
    *,
    sent_at: datetime,
    cause: Cause | None = None,
) -> Answers:
    """Take them in their order; `sent_at` is what the device's clock says now. Raises NotFound, DeviceForgotten."""
    async with store.reader(user.tenant_id) as session:
        device = await known_device(session, device_id, user)
        now = store.clock.now()
        line = _clock_line(device, ClockMark(sent_at, now))
        before = last = device.last_seq
    answers = []
    for each in sorted(told, key=lambda mutation: mutation.seq):
        answer = await _take(store, user, device_id, each, line, cause)
        answers.append(answer)
        last = max(last, answer.seq) if answer.outcome != "deferred" else last
    if last > before:  # an old request that the network brings again says nothing about the clock
        async with store.unit(user.tenant_id, cause) as unit:
            await rows.set_clock(unit.session, device_id, *((mark.clock, mark.server) for mark in line.told()))
    return Answers(answers=answers, last_seq=last, server_time=now)


def _clock_line(device: SyncDevice, now: ClockMark) -> ClockLine:
    last = ClockMark(device.clock_at, device.server_at)
    return ClockLine(ClockMark(device.before_clock_at, device.before_server_at), last, now)


async def _take(
    store: Store, user: Claims, device_id: UUID, told: Told, line: ClockLine, cause: Cause | None
) -> Answer:
    """A mutation's answer. What a service refuses is undone, and the refusal kept in a transaction of its own."""
    for attempt in range(_TRIES):
        try:
            async with store.unit(user.tenant_id, cause) as unit:
                return await _answer(unit, user, device_id, told, line, None)
        except (FlipSyncError, DBAPIError) as error:
            refusal = _refusal(told, error)
            if refusal is None and attempt + 1 == _TRIES:
                raise Unavailable("the books are busy", hint="push again in a moment") from error
        if refusal is not None:
            async with store.unit(user.tenant_id, cause) as unit:
                return await _answer(unit, user, device_id, told, line, refusal)
    raise AssertionError("the last attempt answers or raises")


def _refusal(told: Told, error: FlipSyncError | DBAPIError) -> Answer | None:
    """The final answer to what cannot be done; None when it may be tried again. Raises what is no fault of it."""
    if isinstance(error, DBAPIError):
        state = getattr(error.orig, "sqlstate", None)
        if state is not None and state.startswith(_AGAIN):
            return None
        if state is not None and not state.startswith(_REFUSED):
            raise error
        if state is None and error.connection_invalidated:
            raise error
        reason, message = "invalid", "it holds a value that cannot be kept"
        return Answer(id=told.id, seq=told.seq, outcome="rejected", reason=reason, message=message)
    if error.status >= 500 or error.code == "device-forgotten":
        raise error
    outcome = "conflict" if isinstance(error, Conflict) else "rejected"
    reason = "invalid" if error.code == "invalid-input" else error.code
    message = f"{error.message}: {error.hint}" if error.hint else error.message
    return Answer(id=told.id, seq=told.seq, outcome=outcome, reason=reason, message=message)


async def _answer(
    unit: UnitOfWork, user: Claims, device_id: UUID, told: Told, line: ClockLine, refusal: Answer | None
) -> Answer:
    device = await known_device(unit.session, device_id, user, lock=True)
    request = fingerprint(orjson.dumps(told.model_dump(mode="json", exclude_unset=True), option=orjson.OPT_SORT_KEYS))
    earlier = await rows.mutation(unit.session, device_id, told.id)
    if earlier is not None and earlier.fingerprint == request:
        return Answer.model_validate(earlier.answer)
    if earlier is not None:
        return _rejected(told, "id-reused", "this id was another mutation's: make a new one for each")
    if told.seq <= device.last_seq:
        return _rejected(told, "sequence-used", f"the device's mutations up to {device.last_seq} are answered")
    if told.seq > device.last_seq + 1:
        message = f"number {device.last_seq + 1} is missing"
        return Answer(id=told.id, seq=told.seq, outcome="deferred", reason="gap", message=message)
    when = line.place(told.at).after(device.last_happened_at)
    answer = refusal or await _done(unit, user, device, told, when)
    await rows.keep(
        unit.session,
        SyncMutation(
            tenant_id=unit.tenant_id,
            device_id=device_id,
            id=told.id,
            seq=told.seq,
            kind=told.kind[:100],
            fingerprint=request,
            outcome=answer.outcome,
            answer=answer.model_dump(mode="json"),
            event_id=answer.event_id,
            happened_at=when.first,
            received_at=unit.now,
        ),
    )
    return answer


async def _done(unit: UnitOfWork, user: Claims, device: SyncDevice, told: Told, when: Span) -> Answer:
    permission = NEEDED.get(told.kind)
    if permission is not None and not user.may(permission):
        raise Forbidden(f"this needs {permission}")
    return await apply(unit, told, Doer(user, device.id, when))


def _rejected(told: Told, reason: str, message: str) -> Answer:
    """An answer that is not kept: the id, or the number, has another one."""
    return Answer(id=told.id, seq=told.seq, outcome="rejected", reason=reason, message=message)


async def what_became(store: Store, user: Claims, device_id: UUID, mutation_id: UUID) -> MutationView:
    """A mutation's answer, and what became of a wish since. Raises NotFound."""
    async with store.reader(user.tenant_id) as session:
        device = await rows.device(session, device_id, user.user_id)
        found = await rows.mutation(session, device_id, mutation_id) if device is not None else None
        if found is None or device is None:
            raise NotFound(f"no mutation {mutation_id} of this device")
        wish = await rows.wish(session, found.event_id) if found.event_id is not None else None
    return MutationView(
        device=device.name,
        kind=found.kind,
        answer=Answer.model_validate(found.answer),
        happened_at=found.happened_at,
        received_at=found.received_at,
        decision=wish.state if wish else None,
        verdict=wish.verdict if wish else None,
        why=(wish.reason or wish.rationale) if wish else None,
        effect=wish.effect_state if wish else None,
    )


async def forget_old(unit: UnitOfWork) -> None:
    """What no device that comes back in time needs: old answers, notices, tombstones, orders nobody touches."""
    await rows.forget(unit.session, unit.tenant_id, unit.now - AWAY)
