"""Push: what a device did on its own, taken in its order, each all or nothing, in one transaction with its answer.

A mutation that came before gets the answer it got then, for as long as a device may be away; later than that its number
still says that it was answered, and the ledger that it was booked. So nothing is ever done twice.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy.exc import DBAPIError

from flipsync.domain.errors import Conflict, FlipSyncError, Forbidden, NotFound, Unavailable
from flipsync.security.tokens import Claims
from flipsync.services.idempotency import fingerprint
from flipsync.services.sync.applying import Doer, apply
from flipsync.services.sync.devices import known_device
from flipsync.services.sync.merging import AWAY, ClockLine, ClockMark, Span
from flipsync.services.sync.mutations import (
    NEEDED,
    Answer,
    Answers,
    Count,
    Edit,
    MutationView,
    Outcome,
    Receive,
    Unreadable,
)
from flipsync.services.sync.mutations import WishPrice as Wish
from flipsync.store.models import SyncDevice, SyncMutation
from flipsync.store.repositories import sync as rows
from flipsync.store.unit_of_work import Cause, Store, UnitOfWork

Told = Receive | Count | Edit | Wish | Unreadable
#: the database refused a value (too long, out of range, against a rule), or broke a circle of waiting
_REFUSED, _AGAIN = ("22", "23"), "40"
_TRIES = 3
#: mutations in one transaction: few enough that nobody waits long for what they hold
_AT_ONCE = 20


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
    answers: list[Answer] = []
    ordered = sorted(told, key=lambda mutation: mutation.seq)
    for start in range(0, len(ordered), _AT_ONCE):
        some, last = await _take(store, user, device_id, ordered[start : start + _AT_ONCE], line, cause)
        answers += some
    if last > before:  # an old request that the network brings again says nothing about the clock
        async with store.unit(user.tenant_id, cause) as unit:
            await rows.set_clock(unit.session, device_id, *((mark.clock, mark.server) for mark in line.told()))
    return Answers(answers=answers, last_seq=last, server_time=now)


def _clock_line(device: SyncDevice, now: ClockMark) -> ClockLine:
    last = ClockMark(device.clock_at, device.server_at)
    return ClockLine(ClockMark(device.before_clock_at, device.before_server_at), last, now)


async def _take(
    store: Store, user: Claims, device_id: UUID, some: Sequence[Told], line: ClockLine, cause: Cause | None
) -> tuple[list[Answer], int]:
    """Their answers, and the last of the device's that is answered; in one transaction, each in a part of its own."""
    for _ in range(_TRIES):
        try:
            async with store.unit(user.tenant_id, cause) as unit:
                return await _Taking(unit, user, line).answers(device_id, some)
        except DBAPIError as error:
            if _again(error):
                continue
            if len(some) == 1:
                refusal = _refusal(some[0], error)
                async with store.unit(user.tenant_id, cause) as unit:
                    return await _Taking(unit, user, line, refusal).answers(device_id, some)
        answers: list[Answer] = []
        for each in some:  # one of them cannot be written down: which?
            answered, last = await _take(store, user, device_id, [each], line, cause)
            answers += answered
        return answers, last
    raise Unavailable("the books are busy", hint="push again in a moment")


def _again(error: DBAPIError) -> bool:
    """Whether it may be tried again."""
    state = getattr(error.orig, "sqlstate", None)
    return state is not None and state.startswith(_AGAIN)


def _refusal(told: Told, error: FlipSyncError | DBAPIError) -> Answer:
    """The final answer to what cannot be done. Raises what is no fault of it."""
    if isinstance(error, DBAPIError):
        state = getattr(error.orig, "sqlstate", None)
        if (state is None and error.connection_invalidated) or (state is not None and not state.startswith(_REFUSED)):
            raise error
        return _rejected(told, "invalid", "it holds a value that cannot be kept")
    if error.status >= 500 or error.code == "device-forgotten":
        raise error
    outcome: Outcome = "conflict" if isinstance(error, Conflict) else "rejected"
    reason = "invalid" if error.code == "invalid-input" else error.code
    message = f"{error.message}: {error.hint}" if error.hint else error.message
    return Answer(id=told.id, seq=told.seq, outcome=outcome, reason=reason, message=message)


class _Taking:
    """Some of a device's mutations within one transaction. `refusal` is the answer to one that was tried before."""

    def __init__(self, unit: UnitOfWork, user: Claims, line: ClockLine, refusal: Answer | None = None) -> None:
        self._unit, self._user, self._line, self._refusal = unit, user, line, refusal
        self._kept: dict[UUID, dict[str, Any]] = {}

    async def answers(self, device_id: UUID, some: Sequence[Told]) -> tuple[list[Answer], int]:
        session = self._unit.session
        device = await known_device(session, device_id, self._user, lock=True)
        last, happened = device.last_seq, device.last_happened_at
        earlier = await rows.mutations(session, device_id, [each.id for each in some])
        new = [each for each in some if each.id not in earlier and each.seq > last]
        # all they change is locked at once in one order, so that two devices never wait for each other in a circle
        await rows.lock_goods(
            session,
            products=[each.product_id for each in new if isinstance(each, Edit)],
            variants=[each.variant_id for each in new if isinstance(each, Receive | Count)],
        )
        answers = []
        for told in some:
            request = _fingerprint(told)
            found = earlier.get(told.id) or self._kept.get(told.id)
            if found is not None:
                same = found["fingerprint"] == request
                used = "this id was another mutation's: make a new one for each"
                answers.append(Answer.model_validate(found["answer"]) if same else _rejected(told, "id-reused", used))
            elif told.seq <= last:
                answers.append(_rejected(told, "sequence-used", f"the device's mutations up to {last} are answered"))
            elif told.seq > last + 1:
                message = f"number {last + 1} is missing"
                answers.append(Answer(id=told.id, seq=told.seq, outcome="deferred", reason="gap", message=message))
            else:
                when = self._line.place(told.at).after(happened)
                answer = self._refusal or await self._done(told, Doer(self._user, device_id, when))
                self._keep(told, answer, request, when)
                last, happened = told.seq, when.first
                answers.append(answer)
        if self._kept:
            for each in self._kept.values():
                rows.keep(session, SyncMutation(tenant_id=self._unit.tenant_id, device_id=device_id, **each))
            await rows.set_last_seq(session, device_id, last, happened)
        return answers, last

    async def _done(self, told: Told, by: Doer) -> Answer:
        try:
            permission = NEEDED.get(told.kind)
            if permission is not None and not self._user.may(permission):
                raise Forbidden(f"this needs {permission}")
            async with self._unit.part():
                return await apply(self._unit, told, by)
        except (FlipSyncError, DBAPIError) as error:
            if isinstance(error, DBAPIError) and _again(error):
                raise
            return _refusal(told, error)

    def _keep(self, told: Told, answer: Answer, request: str, when: Span) -> None:
        self._kept[told.id] = {
            "id": told.id,
            "seq": told.seq,
            "kind": told.kind[:100],
            "fingerprint": request,
            "outcome": answer.outcome,
            "answer": answer.model_dump(mode="json"),
            "event_id": answer.event_id,
            "happened_at": when.first,
            "received_at": self._unit.now,
        }


def _fingerprint(told: Told) -> str:
    plain = told.model_dump(mode="json", exclude_unset=True)
    try:
        return fingerprint(orjson.dumps(plain, option=orjson.OPT_SORT_KEYS))
    except TypeError:  # an unreadable one may hold what orjson cannot write: beyond 64 bits, half a character
        return fingerprint(json.dumps(plain, sort_keys=True).encode())


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
