"""The keys of a data folder, sealed with a passphrase so that they may lie beside the data they open.

scrypt (RFC 7914) with N = 2^17, r = 8, p = 1 makes the key, AES-256-GCM seals, bound to the backup's digest: whoever
knows the passphrase can also tell that nobody changed the backup.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from flipsync.domain.errors import Conflict, InvalidInput, NotFound

FILE = "keys.sealed"
SHORTEST = 12
_N, _R, _P = 2**17, 8, 1


@dataclass(frozen=True)
class BackedKeys:
    """What cannot be made anew: the key of stored credentials, and the one that signs prices."""

    secret_key: str
    firewall_key: str


def check_passphrase(passphrase: str) -> None:
    """Raises InvalidInput for one that can be guessed."""
    if len(passphrase) < SHORTEST:
        raise InvalidInput(
            f"a passphrase of {len(passphrase)} characters can be guessed",
            hint=f"take {SHORTEST} or more; four random words do",
        )


def seal(folder: Path, keys: BackedKeys, passphrase: str, digest: str) -> None:
    salt, nonce = os.urandom(16), os.urandom(12)
    sealed = AESGCM(_derive(passphrase, salt)).encrypt(nonce, json.dumps(asdict(keys)).encode(), digest.encode())
    told = {"kdf": "scrypt", "n": _N, "r": _R, "p": _P} | {
        name: base64.b64encode(value).decode() for name, value in (("salt", salt), ("nonce", nonce), ("sealed", sealed))
    }
    (folder / FILE).write_text(json.dumps(told) + "\n", encoding="utf-8")


def unseal(folder: Path, passphrase: str, digest: str) -> BackedKeys:
    """Raises Conflict when the passphrase is another, or the backup was changed since."""
    try:
        told = json.loads((folder / FILE).read_text(encoding="utf-8"))
        salt, nonce, sealed = (base64.b64decode(told[name], validate=True) for name in ("salt", "nonce", "sealed"))
    except FileNotFoundError:
        raise NotFound(f"{folder / FILE} is missing", hint="use another backup, or the keys folder you kept") from None
    except (ValueError, KeyError, TypeError):
        raise Conflict(f"{folder / FILE} is damaged", hint="use another backup, or the keys folder you kept") from None
    try:
        plain = AESGCM(_derive(passphrase, salt)).decrypt(nonce, sealed, digest.encode())
    except InvalidTag:
        raise Conflict(
            "the keys in the backup do not open: another passphrase, or the backup was changed",
            hint="give the passphrase it was made with in FLIPSYNC_BACKUP_PASSPHRASE",
        ) from None
    return BackedKeys(**json.loads(plain))


def _derive(passphrase: str, salt: bytes) -> bytes:
    return hashlib.scrypt(passphrase.encode(), salt=salt, n=_N, r=_R, p=_P, maxmem=256 * 1024 * 1024, dklen=32)
