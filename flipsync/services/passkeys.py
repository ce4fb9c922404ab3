"""A person's passkeys: adding, naming and revoking them, and whether one has just answered.

Every challenge is a signed note that whoever asked brings back: for one purpose, one person or session, a few minutes,
and once. Nothing is kept of those that never come back.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from flipsync.domain.clock import utc_now
from flipsync.domain.errors import Conflict, InvalidInput, NotFound, Unauthenticated
from flipsync.domain.ids import new_id
from flipsync.security import passkeys as webauthn
from flipsync.security.passkeys import Known, NotAccepted, RelyingParty
from flipsync.security.tokens import AccessTokens
from flipsync.services import second_factors
from flipsync.services.reading_page import Moment, Page, SortedRequest, View, cut, sorted_by
from flipsync.store.models import Passkey
from flipsync.store.reading import Reader
from flipsync.store.repositories import identity as users
from flipsync.store.repositories import passkeys as rows
from flipsync.store.unit_of_work import Cause, Store, UnitOfWork

PasskeySort = Annotated[str | None, sorted_by(rows.PASSKEY_SORTS)]
CHALLENGE_LIFETIME = timedelta(minutes=5)
#: of one person, in force
MOST = 20
Purpose = Literal["register", "sign-in", "second-factor", "step-up"]


@dataclass(frozen=True)
class Asked:
    """What a browser is to be asked; `challenge` is brought back with its answer."""

    challenge: str = field(repr=False)
    expires_in: int
    options: dict[str, Any]


class PasskeyView(View):
    id: UUID
    name: str
    transports: list[str] = Field(description="how its authenticator is reached, as it said itself")
    backed_up: bool = Field(description="kept by a password manager, and so on more than one device")
    created_at: Moment
    last_used_at: Moment | None
    copied_at: Moment | None = Field(description="since when it opens nothing: there are two of it")
    revoked_at: Moment | None


@dataclass(frozen=True)
class Added:
    passkey_id: UUID
    recovery_codes: list[str] = field(repr=False)


async def list_passkeys(reader: Reader, page: SortedRequest, user_id: UUID) -> Page[PasskeyView]:
    """Newest first by default, revoked ones too. Raises InvalidInput for a foreign cursor."""
    place = page.place(rows.PASSKEY_SORTS)
    (found,) = await reader.ask(rows.PASSKEYS(place, user_id=user_id))
    return cut(found, page.limit, _view, place.cursor_of)


def _view(row: Any) -> PasskeyView:
    return PasskeyView.model_validate({name: getattr(row, name) for name in PasskeyView.model_fields})


async def begin(
    store: Store, tokens: AccessTokens, party: RelyingParty, tenant_id: UUID, *, user_id: UUID, session_id: UUID
) -> Asked:
    """Raises Conflict when there are too many."""
    party.require()
    async with store.reader(tenant_id) as session:
        user = await users.get_user(session, user_id)
        known = _known(await rows.passkeys_of(session, user_id))
    if user is None:
        raise NotFound("no such user")
    if len(known) >= MOST:
        raise Conflict(f"{MOST} passkeys are enough for one person", hint="revoke one first")
    challenge = webauthn.new_challenge()
    options = webauthn.registration_options(party, challenge, user_id, user.email, known)
    return _asked(tokens, "register", challenge, options, user=str(user_id), session=str(session_id))


async def add(
    store: Store,
    tokens: AccessTokens,
    party: RelyingParty,
    tenant_id: UUID,
    *,
    user_id: UUID,
    session_id: UUID,
    name: str,
    note: str,
    credential: dict[str, Any],
    cause: Cause,
) -> Added:
    """Put a new passkey in force. With the first second factor of a person come recovery codes, shown once.

    Raises InvalidInput, Conflict.
    """
    party.require()
    challenge = _own_challenge(tokens, note, "register", user=str(user_id), session=str(session_id))
    added: Added | None = None
    async with store.unit(tenant_id, cause) as unit:
        if not await spend(unit, note):
            raise not_accepted()
        await users.lock_user(unit.session, user_id)  # of two that add the first, one makes the codes
        try:
            made = webauthn.registered(party, credential, challenge)
        except NotAccepted as refused:
            unit.audit("passkey.refused", "user", user_id, why=refused.why)
        else:
            first = not await second_factors.needed(unit, user_id)
            passkey_id = new_id()
            values = {
                "id": passkey_id,
                "tenant_id": tenant_id,
                "user_id": user_id,
                "name": name,
                "credential_id": made.credential_id,
                "public_key": made.public_key,
                "sign_count": made.sign_count,
                "transports": _transports(credential),
                "backed_up": made.backed_up,
                "created_at": utc_now(),
            }
            if await rows.count_passkeys(unit.session, user_id) >= MOST:
                raise Conflict(f"{MOST} passkeys are enough for one person", hint="revoke one first")
            if not await rows.insert_passkey(unit.session, values):
                raise Conflict("this passkey is registered already", hint="use another authenticator")
            unit.audit("passkey.added", "passkey", passkey_id, name=name, user=str(user_id))
            added = Added(passkey_id, await second_factors.new_codes(unit, user_id) if first else [])
    if added is None:  # raised only now: that it failed must be committed
        raise not_accepted()
    return added


async def rename(unit: UnitOfWork, user_id: UUID, passkey_id: UUID, name: str) -> None:
    """Raises NotFound."""
    row = await rows.lock_own_passkey(unit.session, user_id, passkey_id)
    if row is None or row.revoked_at is not None:
        raise NotFound(f"no passkey {passkey_id}")
    if row.name != name:
        await rows.update_passkey(unit.session, passkey_id, {"name": name})
        unit.audit("passkey.renamed", "passkey", passkey_id, before=row.name, after=name)


async def revoke(unit: UnitOfWork, user_id: UUID, passkey_id: UUID) -> None:
    """For good, at once. To revoke a revoked one changes nothing. Raises NotFound."""
    await users.lock_user(unit.session, user_id)
    row = await rows.lock_own_passkey(unit.session, user_id, passkey_id)
    if row is None:
        raise NotFound(f"no passkey {passkey_id}")
    if row.revoked_at is None:
        await rows.update_passkey(unit.session, passkey_id, {"revoked_at": utc_now()})
        unit.audit("passkey.revoked", "passkey", passkey_id, name=row.name)
        await second_factors.forget_codes_of_nothing(unit, user_id)


async def ask_in_session(
    store: Store, tokens: AccessTokens, party: RelyingParty, tenant_id: UUID, *, user_id: UUID, session_id: UUID
) -> Asked:
    """A challenge for step-up in this session. Raises NotFound without a passkey."""
    about = {"user": str(user_id), "session": str(session_id)}
    return await _ask_person(store, tokens, party, tenant_id, user_id, "step-up", verified=True, about=about)


async def ask_second(store: Store, tokens: AccessTokens, party: RelyingParty, challenge: str) -> Asked:
    """A challenge for who has given the password. Raises Unauthenticated, NotFound without a passkey."""
    note = tokens.read_note("challenge", challenge)
    user_id, about = UUID(note["user"]), {"user": note["user"], "sign_in": mark_of(challenge)}
    return await _ask_person(
        store, tokens, party, UUID(note["tenant"]), user_id, "second-factor", verified=False, about=about
    )


def ask_anybody(tokens: AccessTokens, party: RelyingParty) -> Asked:
    """A challenge for whoever signs in by a passkey alone."""
    party.require()
    challenge = webauthn.new_challenge()
    return _asked(tokens, "sign-in", challenge, webauthn.assertion_options(party, challenge, (), verified=True))


async def answered(
    unit: UnitOfWork,
    party: RelyingParty,
    credential: dict[str, Any],
    challenge: bytes,
    *,
    user_id: UUID | None,
    verified: bool,
) -> Passkey | None:
    """The passkey that has answered, of this user or, for None, whoever it says; None when it is not to be believed.

    What happened is in the audit log either way, and a copied passkey opens nothing from now on: commit the unit.
    """
    row: Passkey | None = None
    try:
        row = await rows.lock_passkey(unit.session, webauthn.raw_id(credential))
        if row is None or row.copied_at is not None or (user_id is not None and row.user_id != user_id):
            raise NotAccepted("no passkey of theirs")
        handle = webauthn.user_handle(credential)
        if (handle is None and user_id is None) or (handle is not None and handle != row.user_id.bytes):
            raise NotAccepted("it says it is somebody else's")
        found = webauthn.asserted(party, credential, challenge, row.public_key, verified=verified)
    except NotAccepted as refused:
        whose = user_id or (row.user_id if row is not None else "unknown")
        unit.audit("passkey.refused", "user", whose, why=refused.why)
        return None
    if (found.sign_count or row.sign_count) and found.sign_count <= row.sign_count:
        await rows.update_passkey(unit.session, row.id, {"copied_at": utc_now()})
        unit.audit(
            "passkey.copied",
            "passkey",
            row.id,
            name=row.name,
            user=str(row.user_id),
            told=found.sign_count,
            known=row.sign_count,
        )
        return None
    used = {"sign_count": found.sign_count, "last_used_at": utc_now(), "backed_up": found.backed_up}
    await rows.update_passkey(unit.session, row.id, used)
    return row


def challenge_in(tokens: AccessTokens, note: str, purpose: Purpose, **about: str) -> bytes:
    """The challenge in a note for this purpose, person and session. Raises Unauthenticated."""
    told = tokens.read_note("passkey", note)
    if any(told.get(name) != value for name, value in {"purpose": purpose, **about}.items()):
        raise Unauthenticated("the challenge is for something else", hint="start again")
    return base64.urlsafe_b64decode(told["challenge"])


def credential_id(credential: dict[str, Any]) -> bytes | None:
    """Which passkey says it has answered; None when that cannot be read."""
    try:
        return webauthn.raw_id(credential)
    except NotAccepted:
        return None


def mark_of(note: str) -> str:
    return hashlib.sha256(note.encode()).hexdigest()


async def spend(unit: UnitOfWork, note: str, lifetime: timedelta = CHALLENGE_LIFETIME) -> bool:
    """False when the note was brought back before."""
    return await rows.spend(unit.session, unit.tenant_id, mark_of(note), utc_now() + lifetime)


async def _ask_person(
    store: Store,
    tokens: AccessTokens,
    party: RelyingParty,
    tenant_id: UUID,
    user_id: UUID,
    purpose: Purpose,
    *,
    verified: bool,
    about: Mapping[str, str],
) -> Asked:
    party.require()
    async with store.reader(tenant_id) as session:
        known = _known(await rows.passkeys_of(session, user_id))
    if not known:
        raise NotFound("no passkey is set up")
    challenge = webauthn.new_challenge()
    options = webauthn.assertion_options(party, challenge, known, verified=verified)
    return _asked(tokens, purpose, challenge, options, **about)


def _asked(tokens: AccessTokens, purpose: Purpose, challenge: bytes, options: dict[str, Any], **about: str) -> Asked:
    content = {"purpose": purpose, "challenge": base64.urlsafe_b64encode(challenge).decode(), **about}
    note = tokens.issue_note("passkey", content, CHALLENGE_LIFETIME)
    return Asked(note, int(CHALLENGE_LIFETIME / timedelta(seconds=1)), options)


def _own_challenge(tokens: AccessTokens, note: str, purpose: Purpose, **about: str) -> bytes:
    """As `challenge_in`, for who is signed in already. Raises InvalidInput."""
    try:
        return challenge_in(tokens, note, purpose, **about)
    except Unauthenticated:
        raise not_accepted() from None


def _known(found: list[Passkey]) -> list[Known]:
    return [Known(each.credential_id, tuple(each.transports)) for each in found]


def _transports(credential: dict[str, Any]) -> list[str]:
    return [str(each) for each in credential["response"].get("transports") or ()]


def not_accepted() -> InvalidInput:
    return InvalidInput("the passkey was not accepted", hint="ask for a new challenge and try again")
