"""Second factors: codes of an authenticator app (TOTP, RFC 6238) and recovery codes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from urllib.parse import quote, urlencode

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

DIGITS = 6
STEP_SECONDS = 30
SECRET_BYTES = 20  # RFC 4226, 4: the length of the hash
RECOVERY_CODES = 10
#: clocks of phones differ: the step before and the one after count too (RFC 6238, 5.2)
_DRIFT = 1
_RECOVERY_BYTES = 10


def new_secret() -> bytes:
    return secrets.token_bytes(SECRET_BYTES)


def otpauth_uri(secret: bytes, *, account: str, issuer: str = "FlipSync") -> str:
    """What authenticator apps read from a QR code."""
    parameters = {
        "secret": base64.b32encode(secret).decode().rstrip("="),
        "issuer": issuer,
        "algorithm": "SHA1",
        "digits": DIGITS,
        "period": STEP_SECONDS,
    }
    return f"otpauth://totp/{quote(f'{issuer}:{account}')}?{urlencode(parameters)}"


def matching_step(secret: bytes, code: str, *, at: float, after: int) -> int | None:
    """The time step `code` belongs to, around time `at` and later than step `after`; None when it is of none.

    A step that was used is refused for good: whoever looked over a shoulder comes too late.
    """
    if len(code) != DIGITS or not (code.isascii() and code.isdigit()):
        return None
    totp = TOTP(secret, DIGITS, SHA1(), STEP_SECONDS, enforce_key_length=False)  # noqa: S303 - what apps speak
    now = int(at) // STEP_SECONDS
    found = None
    for step in range(max(0, now - _DRIFT), now + _DRIFT + 1):
        if hmac.compare_digest(totp.generate(step * STEP_SECONDS), code.encode()) and step > after:
            found = step
    return found


def new_recovery_codes() -> list[str]:
    """Each of 80 random bits, in groups that can be copied by hand."""
    codes = []
    for _ in range(RECOVERY_CODES):
        text = base64.b32encode(secrets.token_bytes(_RECOVERY_BYTES)).decode().lower()
        codes.append("-".join(text[i : i + 4] for i in range(0, len(text), 4)))
    return codes


def hash_recovery_code(code: str) -> str:
    """However it was typed. SHA-256, as 80 random bits cannot be guessed from a list."""
    return hashlib.sha256("".join(filter(str.isalnum, code.lower())).encode()).hexdigest()
