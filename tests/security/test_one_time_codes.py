"""Codes of authenticator apps against the RFC's own examples, and recovery codes."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from flipsync.security import one_time_codes as codes

SECRET = b"12345678901234567890"


@pytest.mark.parametrize(
    ("at", "code"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_the_examples_of_rfc_6238(at: int, code: str) -> None:
    step = at // 30
    assert codes.matching_step(SECRET, code, at=at, after=0) == step
    assert codes.matching_step(SECRET, code, at=at + 30, after=0) == step, "a slow clock"
    assert codes.matching_step(SECRET, code, at=at - 30, after=0) == step, "a fast one"
    assert codes.matching_step(SECRET, code, at=at + 61, after=0) is None
    assert codes.matching_step(SECRET, code, at=at, after=step) is None, "it was used"
    assert codes.matching_step(b"another secret 12345", code, at=at, after=0) is None


@pytest.mark.parametrize("code", ["", "28708", "2870822", "28708a", "٢٨٧٠٨٢", "287 82"])
def test_what_is_no_code(code: str) -> None:
    assert codes.matching_step(SECRET, code, at=59, after=0) is None


def test_apps_can_read_the_uri() -> None:
    uri = urlsplit(codes.otpauth_uri(SECRET, account="ana+x@example.com"))
    assert (uri.scheme, uri.netloc, uri.path) == ("otpauth", "totp", "/FlipSync%3Aana%2Bx%40example.com")
    assert parse_qs(uri.query) == {
        "secret": ["GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"],
        "issuer": ["FlipSync"],
        "algorithm": ["SHA1"],
        "digits": ["6"],
        "period": ["30"],
    }


def test_recovery_codes_are_known_however_they_are_typed() -> None:
    made = codes.new_recovery_codes()
    assert len(set(made)) == codes.RECOVERY_CODES and all(len(code) == 19 for code in made)
    typed = made[0].upper().replace("-", " ")
    assert codes.hash_recovery_code(typed) == codes.hash_recovery_code(made[0])
    assert codes.hash_recovery_code(made[0]) != codes.hash_recovery_code(made[1])
