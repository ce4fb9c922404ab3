"""The second factor: an authenticator app (TOTP, RFC 6238), and recovery codes for when the phone is lost."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from flipsync.security.tokens import Claims
from flipsync.services import second_factors
from serve.deps import BackendDep, CauseDep, ReaderDep, may, may_after_proof
from serve.errors import problems

router = APIRouter(prefix="/api/v1/auth/second-factor", tags=["second-factor"])

Oneself = Annotated[Claims, may("self:manage")]
Proven = Annotated[Claims, may_after_proof("self:manage")]


class Enrolment(BaseModel):
    otpauth_uri: str = Field(description="show it as a QR code to the app; it is not shown again")


class CodeRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    code: SecretStr = Field(max_length=100, examples=["492039"])


class RecoveryCodes(BaseModel):
    """Each serves once, in place of a code of the app. They are not shown again."""

    recovery_codes: list[str]


@router.get("", summary="Your second factor", responses=problems(401, 403))
async def show(user: Oneself, reader: ReaderDep) -> second_factors.SecondFactorView:
    return await second_factors.show(reader, user.user_id)


@router.post("", summary="Set up an authenticator app", responses=problems(401, 403, 409))
async def begin(user: Proven, backend: BackendDep, cause: CauseDep) -> Enrolment:
    """It counts once a code of it was confirmed. To begin again forgets what was begun before."""
    async with backend.store.unit(user.tenant_id, cause) as unit:
        return Enrolment(otpauth_uri=await second_factors.begin(unit, backend.box, user.user_id))


@router.post("/confirm", summary="Confirm the app with a code", responses=problems(401, 403, 404))
async def confirm(form: CodeRequest, user: Proven, backend: BackendDep, cause: CauseDep) -> RecoveryCodes:
    async with backend.store.unit(user.tenant_id, cause) as unit:
        codes = await second_factors.confirm(unit, backend.box, user.user_id, form.code.get_secret_value())
    if codes is None:  # raised only now: that it failed is counted
        raise second_factors.wrong_code()
    return RecoveryCodes(recovery_codes=codes)


@router.post("/recovery-codes", summary="Get new recovery codes", responses=problems(401, 403, 404))
async def renew_recovery_codes(user: Proven, backend: BackendDep, cause: CauseDep) -> RecoveryCodes:
    """The earlier ones are void."""
    async with backend.store.unit(user.tenant_id, cause) as unit:
        return RecoveryCodes(recovery_codes=await second_factors.renew_recovery_codes(unit, user.user_id))


@router.delete("", summary="Remove the second factor", status_code=204, responses=problems(401, 403, 404))
async def remove(user: Proven, backend: BackendDep, cause: CauseDep) -> Response:
    async with backend.store.unit(user.tenant_id, cause) as unit:
        await second_factors.remove(unit, user.user_id)
    return Response(status_code=204)
