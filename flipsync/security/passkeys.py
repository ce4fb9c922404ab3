"""Passkeys (WebAuthn, level 2): what browsers are asked, and whether what an authenticator answers is true.

Nothing here knows people or the books. Attestation is not asked for: which maker's authenticator it is does not matter.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from flipsync.domain.errors import InvalidInput

#: what a browser waits for somebody to touch something, in milliseconds
_TIMEOUT = 120_000
_CHALLENGE_BYTES = 32
#: statements of makers are neither wanted nor read: only none, and the credential's own signature
_FORMATS = frozenset({"none", "packed"})


class NotAccepted(Exception):
    """`why` is for the audit log; whoever asks is told only that it failed."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why[:200]


@dataclass(frozen=True)
class RelyingParty:
    """Whom passkeys are made for: a domain (`rp_id`), and the pages and apps (`origins`) that may use them."""

    rp_id: str
    origins: tuple[str, ...]
    name: str = "FlipSync"

    def require(self) -> None:
        """Raises InvalidInput where the installation has not said for whom passkeys are."""
        if not self.rp_id or not self.origins:
            raise InvalidInput(
                "this installation takes no passkeys yet",
                hint="set FLIPSYNC_PASSKEY_ORIGINS, or FLIPSYNC_PUBLIC_URL, where it is started",
            )


@dataclass(frozen=True)
class Known:
    """A passkey a person has: which a browser may offer."""

    credential_id: bytes
    transports: tuple[str, ...] = ()


@dataclass(frozen=True)
class Registered:
    credential_id: bytes
    public_key: bytes
    sign_count: int
    backed_up: bool


@dataclass(frozen=True)
class Asserted:
    sign_count: int
    backed_up: bool


def new_challenge() -> bytes:
    return secrets.token_bytes(_CHALLENGE_BYTES)


def registration_options(
    party: RelyingParty, challenge: bytes, user_id: UUID, account: str, known: Sequence[Known]
) -> dict[str, Any]:
    """For `navigator.credentials.create`, as `PublicKeyCredential.parseCreationOptionsFromJSON` reads it."""
    import webauthn  # slow to import, and few requests need it
    from webauthn.helpers import structs as w

    options = webauthn.generate_registration_options(
        rp_id=party.rp_id,
        rp_name=party.name,
        user_id=user_id.bytes,
        user_name=account,
        challenge=challenge,
        timeout=_TIMEOUT,
        authenticator_selection=w.AuthenticatorSelectionCriteria(
            resident_key=w.ResidentKeyRequirement.PREFERRED,
            user_verification=w.UserVerificationRequirement.PREFERRED,
        ),
        exclude_credentials=_described(known),
    )
    told: dict[str, Any] = json.loads(webauthn.options_to_json(options))
    return told


def assertion_options(
    party: RelyingParty, challenge: bytes, known: Sequence[Known], *, verified: bool
) -> dict[str, Any]:
    """For `navigator.credentials.get`. Without `known` the browser offers whatever it has for this domain."""
    import webauthn
    from webauthn.helpers import structs as w

    needed = w.UserVerificationRequirement.REQUIRED if verified else w.UserVerificationRequirement.PREFERRED
    options = webauthn.generate_authentication_options(
        rp_id=party.rp_id,
        challenge=challenge,
        timeout=_TIMEOUT,
        allow_credentials=_described(known),
        user_verification=needed,
    )
    told: dict[str, Any] = json.loads(webauthn.options_to_json(options))
    return told


def registered(party: RelyingParty, credential: dict[str, Any], challenge: bytes) -> Registered:
    """A new passkey, whose maker was asked with this challenge on a page of ours. Raises NotAccepted."""
    import webauthn

    _require_top_level(credential)
    try:
        found = webauthn.verify_registration_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=party.rp_id,
            expected_origin=list(party.origins),
        )
    except Exception as error:  # whatever a parser finds wrong with a stranger's bytes, not only the library's own
        raise NotAccepted(f"{type(error).__name__}: {error}") from None
    if str(getattr(found.fmt, "value", found.fmt)) not in _FORMATS:
        raise NotAccepted("a maker's statement was not asked for")
    return Registered(
        found.credential_id, found.credential_public_key, found.sign_count, bool(found.credential_backed_up)
    )


def asserted(
    party: RelyingParty, credential: dict[str, Any], challenge: bytes, public_key: bytes, *, verified: bool
) -> Asserted:
    """The passkey with this key answered this challenge on a page of ours; `verified`: it had its person prove that it
    is them. Its counter is the caller's to judge: the signature is known to be good by then. Raises NotAccepted.
    """
    import webauthn

    _require_top_level(credential)
    try:
        found = webauthn.verify_authentication_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=party.rp_id,
            expected_origin=list(party.origins),
            credential_public_key=public_key,
            credential_current_sign_count=0,  # the library judges it before the signature
            require_user_verification=verified,
        )
    except Exception as error:
        raise NotAccepted(f"{type(error).__name__}: {error}") from None
    return Asserted(found.new_sign_count, bool(found.credential_backed_up))


def raw_id(credential: dict[str, Any]) -> bytes:
    """Raises NotAccepted."""
    return _decoded(credential.get("rawId"))


def user_handle(credential: dict[str, Any]) -> bytes | None:
    """Whose passkey the authenticator says it is. Raises NotAccepted."""
    told = credential.get("response", {}).get("userHandle")
    return None if told is None else _decoded(told)


def _require_top_level(credential: dict[str, Any]) -> None:
    """Not asked by a page inside somebody else's page. Raises NotAccepted."""
    try:
        told = json.loads(_decoded(credential["response"]["clientDataJSON"]))
        framed = told.get("crossOrigin", False) is not False or "topOrigin" in told
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise NotAccepted("clientDataJSON cannot be read") from None
    if framed:
        raise NotAccepted("it was asked for by a page inside another")


def _described(known: Sequence[Known]) -> list[Any]:
    from webauthn.helpers import structs as w

    transports = {each.value: each for each in w.AuthenticatorTransport}
    return [
        w.PublicKeyCredentialDescriptor(
            id=each.credential_id, transports=[transports[name] for name in each.transports if name in transports]
        )
        for each in known
    ]


def _decoded(text: object) -> bytes:
    from webauthn.helpers import base64url_to_bytes

    try:
        return base64url_to_bytes(str(text or ""))
    except ValueError:
        raise NotAccepted("not base64url") from None
