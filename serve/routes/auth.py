"""Signing in: access tokens for 15 minutes, refresh tokens that serve once."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from flipsync.security.passwords import MAX_LENGTH
from flipsync.security.roles import Role
from flipsync.services import identity
from flipsync.services.reading_page import Moment
from serve.deps import BackendDep, ClientAddressDep
from serve.errors import problems

router = APIRouter(prefix="/api/v1/auth", tags=["auth"])


class LoginRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    email: str = Field(max_length=254, examples=["owner@example.com"])
    password: SecretStr = Field(max_length=MAX_LENGTH, examples=["correct horse battery staple"])
    device: str = Field(default="", max_length=200, examples=["Ana's phone"])


class RefreshRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    refresh_token: SecretStr = Field(max_length=200)


class Session(BaseModel):
    """`expires_in` is seconds of the access token. Keep the refresh token: it gets the next pair, once."""

    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - not a password
    access_token: str
    expires_in: int = Field(examples=[900])
    refresh_token: str
    refresh_expires_at: Moment
    user_id: UUID
    tenant_id: UUID
    role: Role


@router.post("/login", summary="Sign in", responses=problems(401, 429))
async def login(form: LoginRequest, backend: BackendDep, client: ClientAddressDep) -> Session:
    """The same answer, as slowly, for a wrong password and for an address nobody has."""
    await backend.sign_in_limit.attempt(form.email, client)
    signed_in = await identity.sign_in(
        backend.store,
        backend.passwords,
        backend.tokens,
        email=form.email,
        password=form.password.get_secret_value(),
        device=form.device,
    )
    await backend.sign_in_limit.succeeded(form.email, client)
    return _session(signed_in)


@router.post("/refresh", summary="Get the next pair of tokens", responses=problems(401))
async def refresh(form: RefreshRequest, backend: BackendDep) -> Session:
    """A refresh token that is presented twice ends the whole session: somebody copied it."""
    return _session(await identity.refresh(backend.store, backend.tokens, form.refresh_token.get_secret_value()))


@router.post("/logout", summary="Sign out", status_code=204, responses=problems())
async def logout(form: RefreshRequest, backend: BackendDep) -> Response:
    """Ends the session of this refresh token; access tokens run out by themselves."""
    await identity.sign_out(backend.store, form.refresh_token.get_secret_value())
    return Response(status_code=204)


def _session(signed_in: identity.SignedIn) -> Session:
    return Session(
        access_token=signed_in.access_token,
        expires_in=signed_in.expires_in,
        refresh_token=signed_in.refresh_token,
        refresh_expires_at=signed_in.refresh_expires_at,
        user_id=signed_in.user_id,
        tenant_id=signed_in.tenant_id,
        role=signed_in.role,
    )
