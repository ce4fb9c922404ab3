"""Signing in, with one factor or two; staying in; proving anew who one is; one's own password."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from flipsync.security.passwords import MAX_LENGTH
from flipsync.security.roles import RoleKind, kind_of
from flipsync.security.tokens import Claims
from flipsync.services import identity, sessions, users
from flipsync.services.reading_page import Moment
from serve.deps import BackendDep, CauseDep, ClientAddressDep, may
from serve.errors import problems
from serve.pacing import OPEN
from serve.passkey_forms import PasskeyProof

router = APIRouter(prefix="/api/v1/auth", tags=["auth"])

Oneself = Annotated[Claims, may("self:manage")]
Chosen = Annotated[SecretStr, Field(max_length=MAX_LENGTH, examples=["seven teapots on a slow boat"])]


class LoginRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    email: str = Field(max_length=254, examples=["owner@example.com"])
    password: SecretStr = Field(max_length=MAX_LENGTH, examples=["correct horse battery staple"])
    device: str = Field(default="", max_length=200, examples=["Ana's phone"])


class RefreshRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    refresh_token: SecretStr = Field(max_length=200)


class Session(BaseModel):
    """`expires_in` is seconds of the access token. Keep the refresh token that came last: it gets the next pair."""

    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - not a password
    access_token: str
    expires_in: int = Field(examples=[900])
    refresh_token: str
    refresh_expires_at: Moment
    user_id: UUID
    tenant_id: UUID
    role: RoleKind = Field(examples=["clerk"])
    role_name: str = Field(description="what the role is called", examples=["clerk"])


class Challenge(BaseModel):
    """The password was right. Bring the challenge to /auth/login/second-factor, with a code or a passkey's answer."""

    challenge: str
    expires_in: int = Field(description="seconds", examples=[300])


class ChallengeAnswer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    challenge: SecretStr = Field(max_length=2000)
    code: SecretStr | None = Field(
        default=None, max_length=100, description="of the app, or a recovery code", examples=["492039"]
    )
    passkey: PasskeyProof | None = Field(default=None, description="in place of a code")


class StepUpRequest(BaseModel):
    """A code or a passkey's answer where a second factor is set up, else the password."""

    model_config = ConfigDict(extra="forbid")

    code: SecretStr | None = Field(default=None, max_length=100, examples=["492039"])
    password: SecretStr | None = Field(default=None, max_length=MAX_LENGTH)
    passkey: PasskeyProof | None = Field(default=None, description="to the challenge of /auth/passkeys/challenge")


class Proof(BaseModel):
    proven_until: Moment


class ChangePasswordRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    old_password: SecretStr = Field(max_length=MAX_LENGTH)
    new_password: Chosen


class AcceptInvitationRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    invitation: SecretStr = Field(max_length=2000)
    password: Chosen


@router.post(
    "/login",
    summary="Sign in",
    response_model=Session,
    responses={**problems(401, 429), 202: {"model": Challenge, "description": "A second factor is wanted"}},
    dependencies=OPEN,
)
async def login(
    form: LoginRequest, backend: BackendDep, client: ClientAddressDep, cause: CauseDep
) -> Session | Response:
    """The same answer, as slowly, for a wrong password and for an address nobody has.

    202 with a challenge when this user has a second factor.
    """
    with backend.passwords.turn(client):
        await backend.sign_in_limit.attempt(form.email, client)
        signed_in = await identity.sign_in(
            backend.store,
            backend.passwords,
            backend.tokens,
            email=form.email,
            password=form.password.get_secret_value(),
            device=form.device,
            cause=cause,
        )
    if isinstance(signed_in, identity.Challenged):  # not in yet: the attempt stays counted
        return challenge_view(signed_in)
    await backend.sign_in_limit.succeeded(form.email, client)
    return session_view(signed_in)


@router.post(
    "/login/second-factor", summary="Sign in: the second step", responses=problems(401, 429), dependencies=OPEN
)
async def answer_challenge(
    form: ChallengeAnswer, backend: BackendDep, client: ClientAddressDep, cause: CauseDep
) -> Session:
    """A code serves once. After five wrong ones each further one has to wait, ever longer. So does a passkey's answer:
    its challenge is asked for at /auth/login/second-factor/passkey.
    """
    challenge = form.challenge.get_secret_value()
    note = backend.tokens.read_note("challenge", challenge)
    tries = f"second factor of {note['user']}"
    await backend.second_factor_limit.attempt(tries, client)
    signed_in = await identity.answer_challenge(
        backend.store,
        backend.box,
        backend.tokens,
        backend.relying_party,
        challenge=challenge,
        code=form.code.get_secret_value() if form.code is not None else None,
        passkey=form.passkey.answer() if form.passkey is not None else None,
        cause=cause,
    )
    for account in (tries, note["email"]):
        await backend.sign_in_limit.succeeded(account, client)
    return session_view(signed_in)


@router.post("/refresh", summary="Get the next pair of tokens", responses=problems(401), dependencies=OPEN)
async def refresh(form: RefreshRequest, backend: BackendDep, cause: CauseDep) -> Session:
    """Send the same token again when the answer did not come: within a minute, and until a token that came back was
    used, you get another pair. Else a token that is presented twice ends the whole session: somebody copied it.
    """
    return session_view(
        await identity.refresh(backend.store, backend.tokens, form.refresh_token.get_secret_value(), cause=cause)
    )


@router.post("/logout", summary="Sign out", status_code=204, responses=problems(), dependencies=OPEN)
async def logout(form: RefreshRequest, backend: BackendDep, cause: CauseDep) -> Response:
    """Ends the session of this refresh token, its access tokens at once."""
    await identity.sign_out(backend.store, form.refresh_token.get_secret_value(), cause=cause)
    return Response(status_code=204)


@router.post("/step-up", summary="Prove again who you are", responses=problems(401, 403, 429))
async def step_up(
    form: StepUpRequest, user: Oneself, backend: BackendDep, client: ClientAddressDep, cause: CauseDep
) -> Proof:
    """What moves money or opens doors asks for a proof from the last minutes; signing in is one, this is another."""
    with nullcontext() if form.password is None else backend.passwords.turn(client):
        await backend.sign_in_limit.attempt(f"proof of {user.user_id}", client)
        until = await sessions.step_up(
            backend.store,
            backend.passwords,
            backend.box,
            backend.tokens,
            backend.relying_party,
            user.tenant_id,
            user_id=user.user_id,
            session_id=user.session_id,
            code=form.code.get_secret_value() if form.code is not None else None,
            password=form.password.get_secret_value() if form.password is not None else None,
            passkey=form.passkey.answer() if form.passkey is not None else None,
            cause=cause,
        )
    await backend.sign_in_limit.succeeded(f"proof of {user.user_id}", client)
    return Proof(proven_until=until)


@router.put("/password", summary="Change your password", status_code=204, responses=problems(401, 403, 409, 429))
async def change_password(
    form: ChangePasswordRequest, user: Oneself, backend: BackendDep, client: ClientAddressDep, cause: CauseDep
) -> Response:
    """Needs the old one. All your other sessions end. A password that is easy to guess is refused, with the reason."""
    with backend.passwords.turn(client):
        await backend.sign_in_limit.attempt(f"proof of {user.user_id}", client)
        await users.change_password(
            backend.store,
            backend.passwords,
            user.tenant_id,
            user_id=user.user_id,
            session_id=user.session_id,
            old=form.old_password.get_secret_value(),
            new=form.new_password.get_secret_value(),
            cause=cause,
        )
    await backend.sign_in_limit.succeeded(f"proof of {user.user_id}", client)
    return Response(status_code=204)


@router.post(
    "/invitations/accept",
    summary="Accept an invitation",
    status_code=204,
    responses=problems(401, 429),
    dependencies=OPEN,
)
async def accept_invitation(
    form: AcceptInvitationRequest, backend: BackendDep, client: ClientAddressDep, cause: CauseDep
) -> Response:
    """Choose your password; then sign in with it. An invitation serves once, within seven days."""
    with backend.passwords.turn(client):
        await users.accept_invitation(
            backend.store,
            backend.passwords,
            backend.tokens,
            invitation=form.invitation.get_secret_value(),
            password=form.password.get_secret_value(),
            cause=cause,
        )
    return Response(status_code=204)


def challenge_view(asked: identity.Challenged) -> Response:
    view = Challenge(challenge=asked.challenge, expires_in=asked.expires_in)
    return JSONResponse(view.model_dump(), status_code=202)


def session_view(signed_in: identity.SignedIn) -> Session:
    return Session(
        access_token=signed_in.access_token,
        expires_in=signed_in.expires_in,
        refresh_token=signed_in.refresh_token,
        refresh_expires_at=signed_in.refresh_expires_at,
        user_id=signed_in.user_id,
        tenant_id=signed_in.tenant_id,
        role=kind_of(signed_in.role),
        role_name=str(signed_in.role),
    )
