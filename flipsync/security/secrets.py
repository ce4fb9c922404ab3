"""Secrets at rest: authenticated encryption of small dicts, bound to their owner, with keys that can be rotated.

Envelope encryption: each value has a data key of its own, which is sealed with the installation's key; a change of that
key seals data keys anew and never sees a value. A sealed blob is: version 2 (1 byte), id of the installation's key (4),
the data key under it (nonce 12, ciphertext 32, tag 16), the value under the data key (nonce 12, ciphertext and tag).
Both are AES-256-GCM (NIST SP 800-38D), bound to business and purpose. Version 1, which is still read, has no data key:
version, key id, nonce, ciphertext and tag.
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
_DIRECT, _ENVELOPE = b"\x01", b"\x02"
_KEY_ID_BYTES = 4
_NONCE_BYTES = 12
_WRAPPED_BYTES = _NONCE_BYTES + KEY_BYTES + 16


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
        binding, data_key = _binding(tenant_id, purpose), AESGCM.generate_key(8 * KEY_BYTES)
        wrapped = _encrypt(self._ciphers[self._current], data_key, binding)
        return _ENVELOPE + self._current + wrapped + _encrypt(AESGCM(data_key), orjson.dumps(dict(value)), binding)

    def open(self, blob: bytes, *, tenant_id: UUID, purpose: str) -> dict[str, str]:
        """Decrypt. Raises SecretUnreadable."""
        cipher, rest = self._cipher_of(blob)
        binding = _binding(tenant_id, purpose)
        if blob[:1] == _ENVELOPE:
            cipher, rest = AESGCM(_decrypt(cipher, rest[:_WRAPPED_BYTES], binding)), rest[_WRAPPED_BYTES:]
        opened: dict[str, str] = orjson.loads(_decrypt(cipher, rest, binding))
        return opened

    def _cipher_of(self, blob: bytes) -> tuple[AESGCM, bytes]:
        """Of the installation's key that `blob` names, and what comes after that name."""
        cipher = self._ciphers.get(blob[1 : 1 + _KEY_ID_BYTES])
        if blob[:1] not in (_DIRECT, _ENVELOPE) or cipher is None:
            raise SecretUnreadable(
                "a stored secret was sealed with a key that is not here",
                hint=f"put the earlier key back ({KEY_VARIABLE} takes several), or enter the secret again",
            )
        return cipher, blob[1 + _KEY_ID_BYTES :]

    @property
    def current(self) -> str:
        """The name of the newest key (see `key_names`); what is under others should be resealed."""
        return self._current.hex()

    def reseal(self, blob: bytes, *, tenant_id: UUID, purpose: str) -> bytes:
        """The same secret under the newest key: of an envelope only the data key is opened. Raises SecretUnreadable."""
        if blob[:1] != _ENVELOPE:
            return self.seal(
                self.open(blob, tenant_id=tenant_id, purpose=purpose), tenant_id=tenant_id, purpose=purpose
            )
        cipher, rest = self._cipher_of(blob)
        binding = _binding(tenant_id, purpose)
        data_key = _decrypt(cipher, rest[:_WRAPPED_BYTES], binding)
        return (
            _ENVELOPE
            + self._current
            + _encrypt(self._ciphers[self._current], data_key, binding)
            + rest[_WRAPPED_BYTES:]
        )


def _encrypt(cipher: AESGCM, plain: bytes, binding: bytes) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, plain, binding)


def _decrypt(cipher: AESGCM, sealed: bytes, binding: bytes) -> bytes:
    try:
        return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], binding)
    except (InvalidTag, ValueError):  # ValueError: cut short
        raise SecretUnreadable("a stored secret was changed or moved", hint="enter the secret again") from None


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
