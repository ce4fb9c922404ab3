"""Passkeys (WebAuthn): registering and revoking one's own, signing in by one, answering with one where it is asked for.

`options` go to the browser's `navigator.credentials`; what it answers comes back with the `challenge`.
"""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from flipsync.security.tokens import Claims
from flipsync.services import identity, passkeys
from flipsync.services.reading_page import Page, SortedRequest
from serve.deps import BackendDep, CauseDep, ClientAddressDep, ReaderDep, may, may_after_proof
from serve.errors import problems
from serve.pacing import OPEN
from serve.passkey_forms import NewCredential, PasskeyProof, told
from serve.routes.auth import Session, session_view

router = APIRouter(prefix="/api/v1/auth", tags=["passkeys"])

Oneself = Annotated[Claims, may("self:manage")]
Proven = Annotated[Claims, may_after_proof("self:manage")]
Name = Annotated[str, Field(min_length=1, max_length=100, examples=["Ana's phone"])]


class Asked(BaseModel):
    """`options` as `PublicKeyCredential.parse…OptionsFromJSON` reads them. The challenge serves once."""

    challenge: str
    expires_in: int = Field(description="seconds", examples=[300])
    options: dict[str, Any]


class PasskeyQuery(SortedRequest):
    model_config = ConfigDict(extra="forbid")

    sort: passkeys.PasskeySort = None


class AddPasskeyRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Name
    challenge: SecretStr = Field(max_length=2000)
    credential: NewCredential


class AddedPasskey(BaseModel):
    """`recovery_codes` come with a person's first second factor, and are not shown again: each serves once."""

    id: UUID
    recovery_codes: list[str]


class RenameRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Name


class SecondFactorQuestion(BaseModel):
    model_config = ConfigDict(extra="forbid")

    challenge: SecretStr = Field(max_length=2000, description="of /auth/login")


class PasskeySignIn(PasskeyProof):
    device: str = Field(default="", max_length=200, examples=["Ana's phone"])


@router.get("/passkeys", summary="List your passkeys", responses=problems(401, 403))
async def list_passkeys(
    query: Annotated[PasskeyQuery, Query()], user: Oneself, reader: ReaderDep
) -> Page[passkeys.PasskeyView]:
    """Newest first, revoked ones too."""
    return await passkeys.list_passkeys(reader, query, user.user_id)


@router.post("/passkeys/registration", summary="Begin a passkey", responses=problems(401, 403, 404, 409))
async def begin(user: Proven, backend: BackendDep) -> Asked:
    """For `navigator.credentials.create`."""
    asked = await passkeys.begin(
        backend.store,
        backend.tokens,
        backend.relying_party,
        user.tenant_id,
        user_id=user.user_id,
        session_id=user.session_id,
    )
    return _view(asked)


@router.post("/passkeys", summary="Add a passkey", status_code=201, responses=problems(401, 403, 409))
async def add(form: AddPasskeyRequest, user: Proven, backend: BackendDep, cause: CauseDep) -> AddedPasskey:
    """From now on a password alone does not let you in any more: a passkey, a code or a recovery code is asked for."""
    added = await passkeys.add(
        backend.store,
        backend.tokens,
        backend.relying_party,
        user.tenant_id,
        user_id=user.user_id,
        session_id=user.session_id,
        name=form.name,
        note=form.challenge.get_secret_value(),
        credential=told(form.credential),
        cause=cause,
    )
    return AddedPasskey(id=added.passkey_id, recovery_codes=added.recovery_codes)


@router.post("/passkeys/challenge", summary="Ask one of your passkeys", responses=problems(401, 403, 404))
async def challenge(user: Oneself, backend: BackendDep) -> Asked:
    """For `navigator.credentials.get`; the answer goes to /auth/step-up, from this session."""
    asked = await passkeys.ask_in_session(
        backend.store,
        backend.tokens,
        backend.relying_party,
        user.tenant_id,
        user_id=user.user_id,
        session_id=user.session_id,
    )
    return _view(asked)


@router.patch("/passkeys/{passkey_id}", summary="Rename a passkey", status_code=204, responses=problems(401, 403, 404))
async def rename(
    passkey_id: UUID, form: RenameRequest, user: Oneself, backend: BackendDep, cause: CauseDep
) -> Response:
    async with backend.store.unit(user.tenant_id, cause) as unit:
        await passkeys.rename(unit, user.user_id, passkey_id, form.name)
    return Response(status_code=204)


@router.delete("/passkeys/{passkey_id}", summary="Revoke a passkey", status_code=204, responses=problems(401, 403, 404))
async def revoke(passkey_id: UUID, user: Proven, backend: BackendDep, cause: CauseDep) -> Response:
    """For good. Recovery codes go with the last second factor."""
    async with backend.store.unit(user.tenant_id, cause) as unit:
        await passkeys.revoke(unit, user.user_id, passkey_id)
    return Response(status_code=204)


@router.post(
    "/login/passkey/challenge", summary="Sign in by a passkey: the question", responses=problems(), dependencies=OPEN
)
async def ask_anybody(backend: BackendDep) -> Asked:
    """For `navigator.credentials.get`, which offers whatever passkeys it has for this domain."""
    return _view(passkeys.ask_anybody(backend.tokens, backend.relying_party))


@router.post("/login/passkey", summary="Sign in by a passkey", responses=problems(401, 429), dependencies=OPEN)
async def sign_in(form: PasskeySignIn, backend: BackendDep, client: ClientAddressDep, cause: CauseDep) -> Session:
    """Without a password: its authenticator has to have checked a PIN, a finger or a face."""
    account = f"passkey {form.credential.rawId}"
    await backend.sign_in_limit.attempt(account, client)
    signed_in = await identity.sign_in_by_passkey(
        backend.store, backend.tokens, backend.relying_party, form.answer(), device=form.device, cause=cause
    )
    await backend.sign_in_limit.succeeded(account, client)
    return session_view(signed_in)


@router.post(
    "/login/second-factor/passkey",
    summary="Second step by a passkey: the question",
    responses=problems(401, 404),
    dependencies=OPEN,
)
async def ask_second(form: SecondFactorQuestion, backend: BackendDep) -> Asked:
    """The answer goes to /auth/login/second-factor, with both challenges."""
    asked = await passkeys.ask_second(
        backend.store, backend.tokens, backend.relying_party, form.challenge.get_secret_value()
    )
    return _view(asked)


def _view(asked: passkeys.Asked) -> Asked:
    return Asked(challenge=asked.challenge, expires_in=asked.expires_in, options=asked.options)
