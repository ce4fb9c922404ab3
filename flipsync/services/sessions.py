"""Sessions: which devices are signed in, ending them, and proving anew who one is before what costs money."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from flipsync.domain.clock import utc_now
from flipsync.domain.errors import FlipSyncError, InvalidInput, NotFound, Unauthenticated
from flipsync.security.passkeys import RelyingParty
from flipsync.security.passwords import Passwords
from flipsync.security.secrets import SecretBox
from flipsync.security.tokens import AccessTokens
from flipsync.services import identity, passkeys, second_factors
from flipsync.services.identity import PasskeyAnswer
from flipsync.services.reading_page import Moment, Page, SortedRequest, View, cut, sorted_by
from flipsync.store.reading import Reader
from flipsync.store.repositories import identity as rows
from flipsync.store.unit_of_work import Cause, Store, UnitOfWork

SessionSort = Annotated[str | None, sorted_by(rows.SESSION_SORTS)]

#: how long a proof is recent enough for what costs money
PROOF_LASTS = timedelta(minutes=10)


class StepUpRequired(FlipSyncError):
    """Whoever asks has to prove first, again, who they are (RFC 9470)."""

    code = "step-up-required"
    status = 401

    def __init__(self) -> None:
        minutes = PROOF_LASTS // timedelta(minutes=1)
        super().__init__(
            f"this needs a proof of who you are from the last {minutes} minutes",
            hint="POST /api/v1/auth/step-up with a code, a passkey or, without either, your password; then repeat this",
        )


class SessionView(View):
    """`last_used_at` is when its tokens were last renewed: within a quarter of an hour before its last use."""

    id: UUID
    device: str
    address: str
    created_at: Moment
    last_used_at: Moment
    expires_at: Moment
    current: bool


async def list_sessions(reader: Reader, page: SortedRequest, user_id: UUID, current: UUID) -> Page[SessionView]:
    """Last used first by default. Raises InvalidInput for a foreign cursor."""
    place = page.place(rows.SESSION_SORTS)
    (found,) = await reader.ask(rows.SESSIONS(place, user_id=user_id))
    return cut(found, page.limit, partial(_view, current=current), place.cursor_of)


def _view(row: Any, current: UUID) -> SessionView:
    names = ("id", "device", "address", "created_at", "last_used_at", "expires_at")
    return SessionView(**{name: getattr(row, name) for name in names}, current=row.id == current)


async def end_session(unit: UnitOfWork, user_id: UUID, session_id: UUID) -> None:
    """End one of the user's sessions; its tokens are refused from now on. Raises NotFound."""
    if not await rows.revoke_sessions(unit.session, user_id, utc_now(), only=session_id):
        raise NotFound(f"no session {session_id}")
    unit.audit("session.ended", "session", session_id)


async def end_other_sessions(unit: UnitOfWork, user_id: UUID, current: UUID) -> int:
    """End all sessions of the user but this one: how many."""
    ended = await rows.revoke_sessions(unit.session, user_id, utc_now(), but=current)
    for session_id in ended:
        unit.audit("session.ended", "session", session_id)
    return len(ended)


async def step_up(
    store: Store,
    passwords: Passwords,
    box: SecretBox,
    tokens: AccessTokens,
    party: RelyingParty,
    tenant_id: UUID,
    *,
    user_id: UUID,
    session_id: UUID,
    code: str | None,
    password: str | None,
    passkey: PasskeyAnswer | None,
    cause: Cause,
) -> datetime:
    """Prove who one is: until when that counts. Who has a second factor proves it by that, else by the password.

    A passkey counts when it has had its person prove that it is them. Raises InvalidInput, TooManyAttempts.
    """
    asked = b""
    if passkey is not None:
        about = {"user": str(user_id), "session": str(session_id)}
        try:
            asked = passkeys.challenge_in(tokens, passkey.note, "step-up", **about)
        except Unauthenticated:
            raise passkeys.not_accepted() from None
    async with store.reader(tenant_id) as session:
        user = await rows.get_user(session, user_id)
    if user is None:
        raise Unauthenticated("the session is over", hint="sign in again")
    right = password is not None and await passwords.verify(user.password_hash or None, password)
    async with store.unit(tenant_id, cause) as unit:
        needed = await second_factors.needed(unit, user_id)
        if passkey is not None:
            proven = await identity.answers(unit, party, passkey, asked, user_id=user_id, verified=True)
        elif needed and code is None:
            raise InvalidInput(
                "your second factor is needed", hint="send `code`, a recovery code in it, or the answer of a passkey"
            )
        else:
            proven = await second_factors.check(unit, box, user_id, code or "") if needed else right
        now = utc_now()
        if proven:
            await rows.update_session(unit.session, session_id, {"proven_at": now})
        unit.audit("step-up" if proven else "step-up.refused", "session", session_id)
    if not proven and passkey is not None:
        raise passkeys.not_accepted()
    if not proven:
        raise second_factors.wrong_code() if needed else InvalidInput("the password is wrong")
    return now + PROOF_LASTS


async def require_recent_proof(reader: Reader, session_id: UUID) -> None:
    """Raises StepUpRequired when the session's last proof is too old."""
    (found,) = await reader.ask(rows.PROVEN(session_id=session_id))
    if not found or found[0].proven_at < utc_now() - PROOF_LASTS:
        raise StepUpRequired
