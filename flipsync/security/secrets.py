"""Secrets at rest: authenticated encryption of small dicts, bound to their owner, with keys that can be rotated.

A sealed blob is: version (1 byte), key id (4), nonce (12), AES-256-GCM ciphertext and tag (NIST SP 800-38D).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
import shlex
import stat
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import UUID

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from flipsync.domain.errors import FlipSyncError, Unavailable

KEY_BYTES = 32
KEY_VARIABLE = "FLIPSYNC_SECRET_KEY"
#: prints what KEY_VARIABLE would hold: how a key management service comes in
COMMAND_VARIABLE = "FLIPSYNC_SECRET_KEY_COMMAND"
_COMMAND_SECONDS = 30
_VERSION = b"\x01"
_KEY_ID_BYTES = 4
_NONCE_BYTES = 12


class SecretUnreadable(FlipSyncError):
    """A sealed value does not open: wrong key, wrong owner, or it was changed."""

    code = "secret-unreadable"
    status = 500


class SecretBox:
    """Seals with the first key, opens with any. Rotation: put the new key first, `reseal` everything, drop the old."""

    def __init__(self, keys: bytes | Sequence[bytes]) -> None:
        every = (keys,) if isinstance(keys, bytes) else tuple(keys)
        if not every:
            raise ValueError("a secret box needs a key")
        self._ciphers: dict[bytes, AESGCM] = {}
        for candidate in every:
            if len(candidate) != KEY_BYTES:
                raise ValueError(f"a secret key is {KEY_BYTES} bytes, this one is {len(candidate)}")
            self._ciphers[_key_id(candidate)] = AESGCM(candidate)
        self._current = _key_id(every[0])

    def __repr__(self) -> str:
        return f"SecretBox(keys={len(self._ciphers)})"

    def seal(self, value: Mapping[str, str], *, tenant_id: UUID, purpose: str) -> bytes:
        """Encrypt `value`. It opens only for the same tenant and purpose."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._ciphers[self._current].encrypt(nonce, orjson.dumps(dict(value)), _binding(tenant_id, purpose))
        return _VERSION + self._current + nonce + sealed

    def open(self, blob: bytes, *, tenant_id: UUID, purpose: str) -> dict[str, str]:
        """Decrypt. Raises SecretUnreadable."""
        key_id, rest = blob[1 : 1 + _KEY_ID_BYTES], blob[1 + _KEY_ID_BYTES :]
        cipher = self._ciphers.get(key_id)
        if blob[:1] != _VERSION or cipher is None:
            raise SecretUnreadable(
                "a stored secret was sealed with a key that is not here",
                hint=f"put the earlier key back ({KEY_VARIABLE} takes several), or enter the secret again",
            )
        try:
            plain = cipher.decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], _binding(tenant_id, purpose))
        except (InvalidTag, ValueError):  # ValueError: cut short
            raise SecretUnreadable("a stored secret was changed or moved", hint="enter the secret again") from None
        opened: dict[str, str] = orjson.loads(plain)
        return opened

    @property
    def current(self) -> str:
        """The name of the newest key (see `key_names`); what is under others should be resealed."""
        return self._current.hex()

    def reseal(self, blob: bytes, *, tenant_id: UUID, purpose: str) -> bytes:
        """The same secret under the newest key. Raises SecretUnreadable."""
        return self.seal(self.open(blob, tenant_id=tenant_id, purpose=purpose), tenant_id=tenant_id, purpose=purpose)


def parse_keys(text: str) -> tuple[bytes, ...]:
    """Keys as base64 in either alphabet, newest first, separated by commas or white space. Raises ValueError."""
    keys = []
    for word in text.translate(str.maketrans(",+/", " -_")).split():
        try:
            key = base64.urlsafe_b64decode(word + "=" * (-len(word) % 4))
        except (binascii.Error, ValueError):
            raise ValueError("a secret key is not base64") from None
        if len(key) != KEY_BYTES:
            raise ValueError(f"a secret key is {KEY_BYTES} bytes, this one is {len(key)}")
        keys.append(key)
    if not keys:
        raise ValueError("no secret key")
    return tuple(keys)


def load_or_create_key(path: Path) -> tuple[bytes, ...]:
    """The instance's keys, newest first: from FLIPSYNC_SECRET_KEY, or as FLIPSYNC_SECRET_KEY_COMMAND prints them, or
    from `path` (mode 0600), made when absent.

    Raises PermissionError when others can read the file, ValueError when it holds no key, Unavailable when the command
    does not give any.
    """
    if (given := given_from_outside()) is not None:
        return parse_keys(given)
    path = Path(path)
    fresh = _new_key()
    staged = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(fresh + b"\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(staged, path)  # whole or not at all, and the first of two writers wins
        except FileExistsError:
            pass
        finally:
            staged.unlink()
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise PermissionError(f"{path} can be read by others: chmod 600 it")
    return parse_keys(path.read_text())


def given_from_outside() -> str | None:
    """The keys as the environment, or the command it names, gives them; None where they are in the file.

    Raises Unavailable when the command fails: what it printed is never shown.
    """
    if (given := os.environ.get(KEY_VARIABLE, "")).strip():
        return given
    command = os.environ.get(COMMAND_VARIABLE, "")
    if not command.strip():
        return None
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own command, and no shell reads it
            shlex.split(command), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_COMMAND_SECONDS
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{COMMAND_VARIABLE} does not run: {type(error).__name__}", hint="try it by hand") from None
    if done.returncode or not done.stdout.strip():
        raise Unavailable(f"{COMMAND_VARIABLE} ended with {done.returncode} and no key", hint="try it by hand")
    return done.stdout


def _new_key() -> bytes:
    return base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES))


def write_keys(path: Path, keys: Sequence[bytes]) -> None:
    """The file with these keys, newest first, in place of the one there is: whole or not at all."""
    staged = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(b"\n".join(base64.urlsafe_b64encode(key) for key in keys) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    staged.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)  # before anything is sealed with them
    finally:
        os.close(folder)


def with_new_key(keys: Sequence[bytes]) -> tuple[bytes, ...]:
    """A fresh key in front of these."""
    return (*parse_keys(_new_key().decode()), *keys)


def key_names(keys: Sequence[bytes]) -> tuple[str, ...]:
    """What tells keys apart without telling them: as the sealed blobs name the key that opens them."""
    return tuple(_key_id(key).hex() for key in keys)


def load_box(path: Path) -> SecretBox:
    """A box with the instance's keys (see load_or_create_key)."""
    return SecretBox(load_or_create_key(path))


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"flipsync key id" + key).digest()[:_KEY_ID_BYTES]


def _binding(tenant_id: UUID, purpose: str) -> bytes:
    return tenant_id.bytes + purpose.encode()
