"""Signing in with a provider, and linking what a provider knows one as to one's account here.

An account is opened by a provider only if its person linked the two while signed in, or if the operator has said that
this provider hands out the e-mail addresses of that one business. Nobody gets an account by it who has none.

What belongs to one attempt (state, nonce, PKCE verifier) is in a signed note that stays with the app that began: an
answer somebody else's browser brought home fits no note of this app's.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal
from uuid import UUID

from flipsync.connectors.providers import Providers, Told
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import Conflict, InvalidInput, NotFound, Unauthenticated
from flipsync.domain.ids import new_id
from flipsync.security.tokens import AccessTokens
from flipsync.services import identity, passkeys, second_factors
from flipsync.services.identity import Challenged, SignedIn
from flipsync.services.reading_page import Moment, View
from flipsync.store.models import User
from flipsync.store.reading import Reader
from flipsync.store.repositories import identity as users
from flipsync.store.repositories import provider_identities as rows
from flipsync.store.unit_of_work import Cause, Store, UnitOfWork

FLOW_LIFETIME = timedelta(minutes=10)
Purpose = Literal["sign-in", "link"]


@dataclass(frozen=True)
class Began:
    authorization_url: str = field(repr=False)
    flow: str = field(repr=False)
    expires_in: int


@dataclass(frozen=True)
class Returned:
    """What the browser came back with, and the note of the attempt it is for."""

    flow: str = field(repr=False)
    code: str = field(repr=False)
    state: str = field(repr=False)
    iss: str | None


class IdentityView(View):
    id: UUID
    provider: str
    email: str
    created_at: Moment
    last_used_at: Moment | None


async def begin(
    tokens: AccessTokens, providers: Providers, name: str, redirect_uri: str | None, purpose: Purpose, **about: str
) -> Began:
    """Raises NotFound, InvalidInput, Unavailable."""
    provider = providers.get(name)
    back = redirect_uri or provider.redirect_uris[0]
    if back not in provider.redirect_uris:
        raise InvalidInput("browsers are not sent back there", hint="one of the provider's redirect_uris")
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    url = await providers.authorization_url(name, redirect_uri=back, state=state, nonce=nonce, verifier=verifier)
    content = {"purpose": purpose, "provider": name, "redirect_uri": back, "state": state, "nonce": nonce}
    flow = tokens.issue_note("provider", content | {"verifier": verifier, **about}, FLOW_LIFETIME)
    return Began(url, flow, int(FLOW_LIFETIME / timedelta(seconds=1)))


async def sign_in(
    store: Store,
    tokens: AccessTokens,
    providers: Providers,
    returned: Returned,
    *,
    device: str = "",
    cause: Cause | None = None,
) -> SignedIn | Challenged:
    """Open a session, or ask for the second factor of who has one. Raises Unauthenticated, Unavailable."""
    note = _note(tokens, returned, "sign-in")
    told = await _told(providers, note, returned)
    tenant_id = await _tenant(store, providers, note["provider"], told)
    if tenant_id is None:
        raise _nobody()
    opened: SignedIn | Challenged | None = None
    async with store.unit(tenant_id, identity.by("nobody", None, cause)) as unit:
        if await passkeys.spend(unit, returned.flow, FLOW_LIFETIME):
            user = await _whose(unit, providers, note["provider"], told)
            if user is not None and user.disabled_at is None:
                unit.cause = identity.by("user", user.id, cause)
                if await second_factors.needed(unit, user.id):
                    opened = identity.challenge(tokens, unit.tenant_id, user.id, user.email, device)
                else:
                    opened = await identity.open_session(unit, tokens, user.id, user.role, device)
            elif user is not None:
                unit.audit("sign-in.refused", "user", user.id, why="disabled")
    if opened is None:  # raised only now: that it failed must be committed
        raise _nobody()
    return opened


async def link(
    store: Store,
    tokens: AccessTokens,
    providers: Providers,
    returned: Returned,
    tenant_id: UUID,
    *,
    user_id: UUID,
    session_id: UUID,
    cause: Cause,
) -> UUID:
    """Let this identity open this account from now on. Raises InvalidInput, Conflict, Unavailable."""
    try:
        note = _note(tokens, returned, "link", user=str(user_id), session=str(session_id))
        told = await _told(providers, note, returned)
    except Unauthenticated as refused:
        raise InvalidInput(refused.message, hint="start again") from None
    async with store.unit(tenant_id, cause) as unit:
        if not await passkeys.spend(unit, returned.flow, FLOW_LIFETIME):
            raise InvalidInput("this attempt was finished already", hint="start again")
        identity_id = await _insert(unit, note["provider"], told, user_id)
        if identity_id is None:
            raise Conflict("one of the two is linked already", hint="remove that link first")
        unit.audit("provider.linked", "user", user_id, provider=note["provider"], by="session")
    return identity_id


async def unlink(unit: UnitOfWork, user_id: UUID, identity_id: UUID) -> None:
    """Raises NotFound."""
    provider = await rows.delete_identity(unit.session, user_id, identity_id)
    if provider is None:
        raise NotFound(f"no identity {identity_id}")
    unit.audit("provider.unlinked", "user", user_id, provider=provider)


async def list_identities(reader: Reader, user_id: UUID) -> list[IdentityView]:
    (found,) = await reader.ask(rows.IDENTITIES(user_id=user_id))
    return [
        IdentityView.model_validate({name: getattr(row, name) for name in IdentityView.model_fields}) for row in found
    ]


def _note(tokens: AccessTokens, returned: Returned, purpose: Purpose, **about: str) -> dict[str, str]:
    """The attempt this is the end of. Raises Unauthenticated."""
    note = tokens.read_note("provider", returned.flow)
    fits = hmac.compare_digest(note["state"].encode(), returned.state.encode())
    if not fits or any(note.get(name) != value for name, value in {"purpose": purpose, **about}.items()):
        raise Unauthenticated("this is the answer to another attempt", hint="start again")
    return note


async def _told(providers: Providers, note: dict[str, str], returned: Returned) -> Told:
    return await providers.identity(
        note["provider"],
        code=returned.code,
        redirect_uri=note["redirect_uri"],
        verifier=note["verifier"],
        nonce=note["nonce"],
        iss=returned.iss,
    )


async def _tenant(store: Store, providers: Providers, name: str, told: Told) -> UUID | None:
    async with store.database.unbound() as session:
        linked = await rows.tenant_of_identity(session, told.issuer, told.subject)
        if linked is not None:
            return linked
        provider = providers.get(name)
        if not told.email or not provider.vouches_for(told.email):
            return None
        candidate = await users.sign_in_candidate(session, told.email)
    if candidate is None or candidate.tenant_id != provider.business or not candidate.password_hash:
        return None  # of another business, or not accepted by who was invited
    return candidate.tenant_id


async def _whose(unit: UnitOfWork, providers: Providers, name: str, told: Told) -> User | None:
    known = await rows.get_identity(unit.session, told.issuer, told.subject)
    if known is not None:
        await rows.mark_identity_used(unit.session, known.id, utc_now())
        return await users.get_user(unit.session, known.user_id)
    if not told.email or not providers.get(name).vouches_for(told.email):
        return None  # unlinked since it was looked up
    candidate = await users.sign_in_candidate(unit.session, told.email)
    if candidate is None or candidate.tenant_id != unit.tenant_id or candidate.disabled_at is not None:
        return None
    if await _insert(unit, name, told, candidate.id) is None:
        unit.audit("sign-in.refused", "user", candidate.id, why="linked to another identity of this provider")
        return None
    unit.audit("provider.linked", "user", candidate.id, provider=name, by="e-mail")
    return await users.get_user(unit.session, candidate.id)


async def _insert(unit: UnitOfWork, provider: str, told: Told, user_id: UUID) -> UUID | None:
    identity_id = new_id()
    values = {
        "id": identity_id,
        "tenant_id": unit.tenant_id,
        "user_id": user_id,
        "provider": provider,
        "issuer": told.issuer,
        "subject": told.subject,
        "email": told.email,
        "created_at": utc_now(),
    }
    return identity_id if await rows.insert_identity(unit.session, values) else None


def _nobody() -> Unauthenticated:
    return Unauthenticated(
        "this opens no account here", hint="sign in with your password and link the provider, or ask for an invitation"
    )
