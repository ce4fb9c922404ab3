"""API keys: random, kept only as a hash.

Plain SHA-256 is right here, where it would be wrong for a password: a key is 256 random bits, so there is no list to
guess from and nothing for a slow hash to slow down, while every request pays for the hash. (OWASP ASVS 2.10.)
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field

MARK = "fs_"
_PREFIX_CHARS = 8
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True)
class NewKey:
    """A key that was just made: the only time it is known whole."""

    text: str = field(repr=False)
    prefix: str
    hash: str


def new_key() -> NewKey:
    """`fs_<8 letters that name it>_<43 that are secret>`; secret scanners know such keys by their beginning."""
    prefix = MARK + "".join(secrets.choice(_LETTERS) for _ in range(_PREFIX_CHARS))
    text = f"{prefix}_{secrets.token_urlsafe(32)}"
    return NewKey(text, prefix, hash_key(text))


def hash_key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
