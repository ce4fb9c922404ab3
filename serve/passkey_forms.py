"""What browsers send of passkeys: `PublicKeyCredential.toJSON()`, as far as it is read (WebAuthn, level 3, 5.1)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from flipsync.services.identity import PasskeyAnswer

_BASE64URL = r"^[A-Za-z0-9_\-]*=*$"
_Id = Annotated[str, Field(min_length=1, max_length=1400, pattern=_BASE64URL)]
_Short = Annotated[str, Field(max_length=4_000, pattern=_BASE64URL)]
_Long = Annotated[str, Field(max_length=30_000, pattern=_BASE64URL)]
_Transport = Literal["usb", "nfc", "ble", "smart-card", "internal", "hybrid", "cable"]


class _Credential(BaseModel):
    """Browsers tell more than is read here: what is not named is left out."""

    model_config = ConfigDict(extra="ignore")

    id: _Id
    rawId: _Id  # noqa: N815 - the names are the standard's
    type: Literal["public-key"]


class AttestationResponse(BaseModel):
    model_config = ConfigDict(extra="ignore")

    clientDataJSON: _Short  # noqa: N815
    attestationObject: _Long  # noqa: N815
    transports: list[_Transport] | None = Field(default=None, max_length=10)


class AssertionResponse(BaseModel):
    model_config = ConfigDict(extra="ignore")

    clientDataJSON: _Short  # noqa: N815
    authenticatorData: _Short  # noqa: N815
    signature: _Short
    userHandle: Annotated[str, Field(max_length=100, pattern=_BASE64URL)] | None = None  # noqa: N815


class NewCredential(_Credential):
    response: AttestationResponse


class UsedCredential(_Credential):
    response: AssertionResponse


class PasskeyProof(BaseModel):
    """The challenge as it was given out, and what the authenticator said to it."""

    model_config = ConfigDict(extra="forbid")

    challenge: SecretStr = Field(max_length=2000)
    credential: UsedCredential

    def answer(self) -> PasskeyAnswer:
        return PasskeyAnswer(self.challenge.get_secret_value(), told(self.credential))


def told(credential: NewCredential | UsedCredential) -> dict[str, Any]:
    return credential.model_dump(exclude_none=True)
