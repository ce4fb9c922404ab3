"""Who: making a business with its owner, signing in with one factor or two, refreshing, signing out.

Sessions are wall-clock matters: market time, which may run faster, has no say in them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from flipsync.domain.clock import utc_now
from flipsync.domain.errors import Conflict, InvalidInput, NotFound, Unauthenticated
from flipsync.domain.ids import new_id
from flipsync.security.passkeys import RelyingParty
from flipsync.security.passwords import Passwords
from flipsync.security.roles import AnyRole
from flipsync.security.secrets import SecretBox
from flipsync.security.tokens import REFRESH_LIFETIME, AccessTokens, hash_refresh_token, new_refresh_token
from flipsync.services import own_roles, passkeys, second_factors
from flipsync.store.audit import Actor, ActorKind
from flipsync.store.repositories import identity as rows
from flipsync.store.repositories import notices
from flipsync.store.repositories import passkeys as passkey_rows
from flipsync.store.unit_of_work import Cause, Store, UnitOfWork

_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s.]+(\.[^@\s.]+)*")
_REFUSED = "e-mail address or password is wrong"
CHALLENGE_LIFETIME = timedelta(minutes=5)
#: how long after its first use a refresh token may come again, because the answer was lost on its way
RESEND_WINDOW = timedelta(seconds=60)


@dataclass(frozen=True)
class SignedIn:
    """A session's tokens. `expires_in` is seconds of the access token; the refresh token serves once."""

    user_id: UUID
    tenant_id: UUID
    role: AnyRole
    access_token: str = field(repr=False)
    expires_in: int
    refresh_token: str = field(repr=False)
    refresh_expires_at: datetime


@dataclass(frozen=True)
class Challenged:
    """The password was right, the second factor is wanted: bring it with the challenge."""

    challenge: str = field(repr=False)
    expires_in: int


@dataclass(frozen=True)
class PasskeyAnswer:
    """What an authenticator said to the challenge in `note`."""

    note: str = field(repr=False)
    credential: dict[str, Any] = field(repr=False)


async def create_tenant_with_owner(
    store: Store, passwords: Passwords, *, tenant_name: str, email: str, password: str, currency: str = "USD"
) -> tuple[UUID, UUID]:
    """A new business and its owner: (tenant id, user id). Raises Conflict when the address is taken, InvalidInput."""
    if not re.fullmatch(r"[A-Z]{3}", currency):
        raise InvalidInput(f"{currency!r} is not an ISO 4217 currency code")
    address = clean_email(email)
    encoded = await passwords.hash(password)
    tenant_id = new_id()
    async with store.unit(tenant_id) as unit:
        await rows.insert_tenant(unit.session, tenant_id, tenant_name, currency)
        user_id = await insert_user(unit, address, encoded, "owner")
    return tenant_id, user_id


async def add_user(unit: UnitOfWork, passwords: Passwords, *, email: str, password: str, role: AnyRole) -> UUID:
    """A user of the unit's tenant. Raises Conflict when the address is taken, InvalidInput."""
    return await insert_user(unit, clean_email(email), await passwords.hash(password), role)


async def disable_user(unit: UnitOfWork, user_id: UUID) -> None:
    """Nothing is answered to the user from now on; a live connection ends at its next heartbeat. What they were told,
    and where to, is forgotten. Raises NotFound."""
    now = utc_now()
    user = await rows.lock_user(unit.session, user_id)
    if user is None:
        raise NotFound(f"no user {user_id}")
    if user.disabled_at is None:
        await rows.update_user(unit.session, user_id, {"disabled_at": now, "version": user.version + 1})
        unit.audit("user.disabled", "user", user_id, email=user.email)
    await rows.revoke_sessions(unit.session, user_id, now)
    await notices.forget_person(unit.session, user_id)


async def sign_in(
    store: Store,
    passwords: Passwords,
    tokens: AccessTokens,
    *,
    email: str,
    password: str,
    device: str = "",
    cause: Cause | None = None,
) -> SignedIn | Challenged:
    """Open a session, or ask for the second factor. Raises Unauthenticated, as slowly whatever was wrong."""
    async with store.database.unbound() as session:
        candidate = await rows.sign_in_candidate(session, email.strip())
    right = await passwords.verify(candidate.password_hash or None if candidate else None, password)
    if candidate is None:
        raise Unauthenticated(_REFUSED)
    if not right or candidate.disabled_at is not None:
        async with store.unit(candidate.tenant_id, by("nobody", None, cause)) as unit:
            why = "wrong password" if not right else "disabled"
            unit.audit("sign-in.refused", "user", candidate.id, why=why)
        raise Unauthenticated(_REFUSED)
    renewed = await passwords.hash(password) if passwords.outdated(candidate.password_hash) else None
    async with store.unit(candidate.tenant_id, by("user", candidate.id, cause)) as unit:
        if renewed is not None:
            await rows.update_user(unit.session, candidate.id, {"password_hash": renewed})
        if await second_factors.needed(unit, candidate.id):
            return challenge(tokens, candidate.tenant_id, candidate.id, email.strip(), device)
        return await open_session(unit, tokens, candidate.id, candidate.role, device)


def challenge(tokens: AccessTokens, tenant_id: UUID, user_id: UUID, email: str, device: str) -> Challenged:
    """For who has proven the first factor."""
    note = {
        "id": new_id().hex,  # no two are the same: a passkey answers for one of them
        "user": str(user_id),
        "tenant": str(tenant_id),
        "device": device[:200],
        "email": email,
    }
    issued = tokens.issue_note("challenge", note, CHALLENGE_LIFETIME)
    return Challenged(issued, int(CHALLENGE_LIFETIME / timedelta(seconds=1)))


async def answer_challenge(
    store: Store,
    box: SecretBox,
    tokens: AccessTokens,
    party: RelyingParty,
    *,
    challenge: str,
    code: str | None = None,
    passkey: PasskeyAnswer | None = None,
    cause: Cause | None = None,
) -> SignedIn:
    """Open the session a challenge was given for, by a code or else a passkey.

    Raises Unauthenticated, TooManyAttempts.
    """
    note = tokens.read_note("challenge", challenge)
    user_id = UUID(note["user"])
    signed_in, asked = None, b""
    if passkey is not None:
        about = {"user": note["user"], "sign_in": passkeys.mark_of(challenge)}
        asked = passkeys.challenge_in(tokens, passkey.note, "second-factor", **about)
    async with store.unit(UUID(note["tenant"]), by("user", user_id, cause)) as unit:
        user = await rows.get_user(unit.session, user_id)
        if user is None or user.disabled_at is not None:
            raise Unauthenticated("the challenge is not valid any more", hint="sign in again")
        if passkey is None:
            right = await second_factors.check(unit, box, user_id, code or "")
        else:
            right = await answers(unit, party, passkey, asked, user_id=user_id, verified=False)
        if right:
            signed_in = await open_session(unit, tokens, user_id, user.role, note["device"])
    if signed_in is None and passkey is not None:
        raise passkey_refused()
    if signed_in is None:  # raised only now: that it failed must be committed
        raise Unauthenticated("the code is wrong or was used", hint="wait for the next code of the app")
    return signed_in


async def sign_in_by_passkey(
    store: Store,
    tokens: AccessTokens,
    party: RelyingParty,
    answer: PasskeyAnswer,
    *,
    device: str = "",
    cause: Cause | None = None,
) -> SignedIn:
    """Open a session for whoever's passkey this is, which has had them prove that it is them: two factors in one.

    Raises Unauthenticated, with the same words whatever was wrong.
    """
    party.require()
    asked = passkeys.challenge_in(tokens, answer.note, "sign-in")
    tenant_id = None
    if credential_id := passkeys.credential_id(answer.credential):
        async with store.database.unbound() as session:
            tenant_id = await passkey_rows.tenant_of_passkey(session, credential_id)
    if tenant_id is None:
        raise passkey_refused()
    signed_in = None
    async with store.unit(tenant_id, by("nobody", None, cause)) as unit:
        if await passkeys.spend(unit, answer.note):
            row = await passkeys.answered(unit, party, answer.credential, asked, user_id=None, verified=True)
            user = await rows.get_user(unit.session, row.user_id) if row is not None else None
            if user is not None and user.disabled_at is None:
                unit.cause = by("user", user.id, cause)
                signed_in = await open_session(unit, tokens, user.id, user.role, device)
            elif user is not None:
                unit.audit("sign-in.refused", "user", user.id, why="disabled")
    if signed_in is None:  # raised only now: that it failed must be committed
        raise passkey_refused()
    return signed_in


async def answers(
    unit: UnitOfWork, party: RelyingParty, passkey: PasskeyAnswer, asked: bytes, *, user_id: UUID, verified: bool
) -> bool:
    """Whether a passkey of this user's has answered, for the first time. Commit the unit either way."""
    if not await passkeys.spend(unit, passkey.note):
        return False
    row = await passkeys.answered(unit, party, passkey.credential, asked, user_id=user_id, verified=verified)
    return row is not None


def passkey_refused() -> Unauthenticated:
    return Unauthenticated("the passkey was not accepted", hint="ask for a new challenge and try again")


async def refresh(store: Store, tokens: AccessTokens, refresh_token: str, *, cause: Cause | None = None) -> SignedIn:
    """The next pair of tokens; the one presented is spent.

    A spent token that comes again was copied by somebody: its whole family is revoked (RFC 9700, 4.14.2). But an answer
    can be lost: to who sends the latest spent token again within RESEND_WINDOW of its first use, while nothing it was
    spent for has been used, one more successor is given (Auth0's reuse interval, Okta's grace period). Of successors
    the first that is used goes on, and drops the others and all that was spent before; whoever brings one of those is
    one holder too many. So one chain lives on, and a thief who was quick enough is found out at the latest with the
    next renewal. Raises Unauthenticated.
    """
    token_hash = hash_refresh_token(refresh_token)
    async with store.database.unbound() as session:
        tenant_id = await rows.tenant_of_refresh_token(session, token_hash)
    if tenant_id is None:
        raise _session_over()
    async with store.unit(tenant_id, by("nobody", None, cause)) as unit:
        renewed = await _rotate(unit, tokens, await rows.lock_refresh_token(unit.session, token_hash))
    if renewed is None:  # raised only now: a revocation must be committed, not rolled back
        raise _session_over()
    return renewed


async def sign_out(store: Store, refresh_token: str, *, cause: Cause | None = None) -> None:
    """End the session this token belongs to. Unknown tokens are no error: the session is over either way."""
    token_hash = hash_refresh_token(refresh_token)
    async with store.database.unbound() as session:
        tenant_id = await rows.tenant_of_refresh_token(session, token_hash)
    if tenant_id is None:
        return
    async with store.unit(tenant_id, cause) as unit:
        presented = await rows.lock_refresh_token(unit.session, token_hash)
        if presented is not None:
            row = presented.token
            await rows.revoke_family(unit.session, row.family_id, utc_now())
            unit.audit(
                "signed-out", "session", row.family_id, actor=Actor("user", row.user_id, unit.cause.actor.address)
            )


def clean_email(email: str) -> str:
    """The address without surrounding blanks. Raises InvalidInput when it cannot be one."""
    address = email.strip()
    if len(address) > 254 or not _EMAIL.fullmatch(address):
        raise InvalidInput(f"{address[:80]!r} is not an e-mail address")
    return address


async def _rotate(unit: UnitOfWork, tokens: AccessTokens, presented: rows.Presented | None) -> SignedIn | None:
    now = utc_now()
    if presented is None or presented.token.expires_at <= now:
        return None
    row, user = presented
    resent = row.used_at is not None
    copied = row.revoked_at is not None or (resent and now - row.used_at > RESEND_WINDOW)
    if copied or user.disabled_at is not None:
        if await rows.revoke_family(unit.session, row.family_id, now) and copied:
            unit.audit("session.copied-token", "session", row.family_id, user=str(row.user_id))
        return None
    if resent:
        unit.audit("session.resent-token", "session", row.family_id, user=str(row.user_id))
    else:  # before its successor is kept, which is none of those that it drops
        unit.closing.append(rows.spent(row, now, now + REFRESH_LIFETIME))
    return await _new_tokens(unit, tokens, row.user_id, user.role, row.family_id, row.device)


async def open_session(unit: UnitOfWork, tokens: AccessTokens, user_id: UUID, role: str, device: str) -> SignedIn:
    """A new session of somebody who has proven who they are, by all the factors they have; `role` as in the books."""
    session_id, now, actor = new_id(), utc_now(), unit.cause.actor
    await rows.insert_session(
        unit.session,
        {
            "id": session_id,
            "tenant_id": unit.tenant_id,
            "user_id": user_id,
            "device": device[:200],
            "address": actor.address,
            "created_at": now,
            "last_used_at": now,
            "proven_at": now,
            "expires_at": now + REFRESH_LIFETIME,
        },
    )
    unit.audit("signed-in", "session", session_id, device=device[:200])
    return await _new_tokens(unit, tokens, user_id, role, session_id, device)


async def _new_tokens(
    unit: UnitOfWork, tokens: AccessTokens, user_id: UUID, role: str, family_id: UUID, device: str
) -> SignedIn:
    known = await own_roles.held_by(unit.session, user_id, role)
    refresh_token = new_refresh_token()
    now = utc_now()
    expires_at = now + REFRESH_LIFETIME
    unit.closing.append(
        rows.new_refresh_token(
            tenant_id=unit.tenant_id,
            user_id=user_id,
            family_id=family_id,
            token_hash=hash_refresh_token(refresh_token),
            issued_at=now,
            expires_at=expires_at,
            device=device[:200],
        )
    )
    return SignedIn(
        user_id=user_id,
        tenant_id=unit.tenant_id,
        role=known,
        access_token=tokens.issue(user_id=user_id, tenant_id=unit.tenant_id, role=known, session_id=family_id),
        expires_in=int(tokens.lifetime / timedelta(seconds=1)),
        refresh_token=refresh_token,
        refresh_expires_at=expires_at,
    )


async def insert_user(unit: UnitOfWork, email: str, password_hash: str, role: AnyRole) -> UUID:
    """With an empty hash: invited. Raises Conflict when the address is taken."""
    user_id = new_id()
    values = {
        "id": user_id,
        "tenant_id": unit.tenant_id,
        "email": email,
        "password_hash": password_hash,
        **own_roles.columns(role),
    }
    if not await rows.insert_user(unit.session, values):
        raise Conflict("this e-mail address is in use already", hint="use another one")
    unit.audit("user.added", "user", user_id, email=email, role=str(role))
    return user_id


def by(kind: ActorKind, user_id: UUID | None, cause: Cause | None) -> Cause:
    """The cause, put down to them."""
    known = cause or Cause()
    return replace(known, actor=Actor(kind, user_id, known.actor.address))


def _session_over() -> Unauthenticated:
    return Unauthenticated("the session is over", hint="sign in again")
