"""Signing in with a provider (OpenID Connect), and which providers open one's account.

An app asks for an attempt, sends the browser to `authorization_url`, and brings `flow` back with what the browser was
sent back with. It keeps `flow` to itself: an answer without it is nobody's.
"""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from flipsync.security.tokens import Claims
from flipsync.services import identity, provider_sign_in
from flipsync.services.provider_sign_in import Began, Returned
from serve.deps import BackendDep, CauseDep, ClientAddressDep, ReaderDep, may, may_after_proof
from serve.errors import problems
from serve.pacing import OPEN
from serve.routes.auth import Challenge, Session, challenge_view, session_view

router = APIRouter(prefix="/api/v1/auth", tags=["providers"])

Oneself = Annotated[Claims, may("self:manage")]
Proven = Annotated[Claims, may_after_proof("self:manage")]
Named = Annotated[str, Path(alias="provider", max_length=50, examples=["google"])]


class ProviderView(BaseModel):
    name: str
    label: str
    redirect_uris: list[str]


class ProviderList(BaseModel):
    items: list[ProviderView]


class AttemptRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    redirect_uri: str | None = Field(
        default=None, max_length=500, description="one of the provider's; none: its first", examples=[None]
    )


class Attempt(BaseModel):
    authorization_url: str
    flow: str
    expires_in: int = Field(description="seconds", examples=[600])


class ReturnRequest(BaseModel):
    """`code`, `state` and, where it was there, `iss` of the address the browser was sent back to."""

    model_config = ConfigDict(extra="forbid")

    flow: SecretStr = Field(max_length=4000)
    code: SecretStr = Field(min_length=1, max_length=4000)
    state: SecretStr = Field(max_length=500)
    iss: str | None = Field(default=None, max_length=500)

    def returned(self) -> Returned:
        return Returned(
            self.flow.get_secret_value(), self.code.get_secret_value(), self.state.get_secret_value(), self.iss
        )


class ProviderSignIn(ReturnRequest):
    device: str = Field(default="", max_length=200, examples=["Ana's phone"])


class IdentityList(BaseModel):
    items: list[provider_sign_in.IdentityView]


class Linked(BaseModel):
    id: UUID


@router.get("/providers", summary="List providers of sign-ins", responses=problems(), dependencies=OPEN)
async def list_providers(backend: BackendDep) -> ProviderList:
    named = backend.providers.named
    views = [
        ProviderView(name=name, label=each.label or name, redirect_uris=list(each.redirect_uris))
        for name, each in sorted(named.items())
    ]
    return ProviderList(items=views)


@router.post(
    "/providers/{provider}/sign-in",
    summary="Begin to sign in with a provider",
    responses=problems(404),
    dependencies=OPEN,
)
async def begin(provider: Named, form: AttemptRequest, backend: BackendDep) -> Attempt:
    return _view(
        await provider_sign_in.begin(backend.tokens, backend.providers, provider, form.redirect_uri, "sign-in")
    )


@router.post(
    "/login/provider",
    summary="Sign in with a provider",
    response_model=Session,
    responses={**problems(401, 429), 202: {"model": Challenge, "description": "A second factor is wanted"}},
    dependencies=OPEN,
)
async def sign_in(
    form: ProviderSignIn, backend: BackendDep, client: ClientAddressDep, cause: CauseDep
) -> Session | Response:
    """Opens an account that was linked to the provider; makes none. Who has a second factor is asked for it."""
    account = f"provider sign-in from {client}"
    await backend.sign_in_limit.attempt(account, client)
    opened = await provider_sign_in.sign_in(
        backend.store, backend.tokens, backend.providers, form.returned(), device=form.device, cause=cause
    )
    await backend.sign_in_limit.succeeded(account, client)
    return challenge_view(opened) if isinstance(opened, identity.Challenged) else session_view(opened)


@router.get("/identities", summary="List your linked providers", responses=problems(401, 403))
async def list_identities(user: Oneself, reader: ReaderDep) -> IdentityList:
    return IdentityList(items=await provider_sign_in.list_identities(reader, user.user_id))


@router.post("/providers/{provider}/link", summary="Begin to link a provider", responses=problems(401, 403, 404))
async def begin_link(provider: Named, form: AttemptRequest, user: Proven, backend: BackendDep) -> Attempt:
    """The answer goes to /auth/identities, from this session."""
    about = {"user": str(user.user_id), "session": str(user.session_id)}
    return _view(
        await provider_sign_in.begin(backend.tokens, backend.providers, provider, form.redirect_uri, "link", **about)
    )


@router.post("/identities", summary="Link a provider", status_code=201, responses=problems(401, 403, 404, 409))
async def link(form: ReturnRequest, user: Proven, backend: BackendDep, cause: CauseDep) -> Linked:
    linked = await provider_sign_in.link(
        backend.store,
        backend.tokens,
        backend.providers,
        form.returned(),
        user.tenant_id,
        user_id=user.user_id,
        session_id=user.session_id,
        cause=cause,
    )
    return Linked(id=linked)


@router.delete(
    "/identities/{identity_id}", summary="Unlink a provider", status_code=204, responses=problems(401, 403, 404)
)
async def unlink(identity_id: UUID, user: Proven, backend: BackendDep, cause: CauseDep) -> Response:
    async with backend.store.unit(user.tenant_id, cause) as unit:
        await provider_sign_in.unlink(unit, user.user_id, identity_id)
    return Response(status_code=204)


def _view(began: Began) -> Attempt:
    return Attempt(authorization_url=began.authorization_url, flow=began.flow, expires_in=began.expires_in)
