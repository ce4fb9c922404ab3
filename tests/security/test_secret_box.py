"""Secrets at rest: open only with the right key, for the right owner and purpose, and unchanged."""

from __future__ import annotations

import base64
import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from flipsync.domain.errors import Unavailable
from flipsync.domain.ids import new_id
from flipsync.security.secrets import (
    COMMAND_VARIABLE,
    KEY_BYTES,
    KEY_VARIABLE,
    SecretBox,
    SecretUnreadable,
    key_names,
    load_box,
    load_or_create_key,
    parse_keys,
    with_new_key,
    write_keys,
)

OLD, NEW = os.urandom(KEY_BYTES), os.urandom(KEY_BYTES)
TENANT = new_id()


@given(st.dictionaries(st.text(), st.text(), max_size=5))
def test_what_is_sealed_opens_again(value: dict[str, str]) -> None:
    box = SecretBox(OLD)
    assert box.open(box.seal(value, tenant_id=TENANT, purpose="p"), tenant_id=TENANT, purpose="p") == value


def test_the_same_secret_never_looks_the_same_and_is_not_readable() -> None:
    box = SecretBox(OLD)
    first, second = (box.seal({"key": "hunter2"}, tenant_id=TENANT, purpose="p") for _ in range(2))
    assert first != second
    assert b"hunter2" not in first and "hunter2" not in repr(box)


@pytest.mark.parametrize(("tenant_id", "purpose"), [(new_id(), "p"), (TENANT, "q")])
def test_a_secret_moved_to_another_row_does_not_open(tenant_id: object, purpose: str) -> None:
    box = SecretBox(OLD)
    blob = box.seal({"key": "value"}, tenant_id=TENANT, purpose="p")
    with pytest.raises(SecretUnreadable):
        box.open(blob, tenant_id=tenant_id, purpose=purpose)  # type: ignore[arg-type]


def test_any_changed_byte_is_noticed() -> None:
    box = SecretBox(OLD)
    blob = box.seal({"key": "value"}, tenant_id=TENANT, purpose="p")
    for position in range(len(blob)):
        changed = bytearray(blob)
        changed[position] ^= 1
        with pytest.raises(SecretUnreadable):
            box.open(bytes(changed), tenant_id=TENANT, purpose="p")
    for length in range(len(blob)):
        with pytest.raises(SecretUnreadable):
            box.open(blob[:length], tenant_id=TENANT, purpose="p")


def test_keys_are_rotated_without_losing_what_is_sealed() -> None:
    blob = SecretBox(OLD).seal({"key": "value"}, tenant_id=TENANT, purpose="p")
    with pytest.raises(SecretUnreadable, match="not here"):
        SecretBox(NEW).open(blob, tenant_id=TENANT, purpose="p")
    both = SecretBox([NEW, OLD])
    assert blob[1:5].hex() == SecretBox(OLD).current != both.current
    resealed = both.reseal(blob, tenant_id=TENANT, purpose="p")
    assert resealed[1:5].hex() == both.current == key_names([NEW, OLD])[0]
    assert SecretBox(NEW).open(resealed, tenant_id=TENANT, purpose="p") == {"key": "value"}
    assert resealed[65:] == blob[65:], "the value stays as it is: only its data key is sealed anew"
    with pytest.raises(SecretUnreadable):
        both.reseal(blob, tenant_id=TENANT, purpose="another row's")


def test_what_was_sealed_before_there_were_data_keys_opens_and_gets_one() -> None:
    nonce, binding = os.urandom(12), TENANT.bytes + b"p"
    sealed = AESGCM(OLD).encrypt(nonce, b'{"key":"value"}', binding)
    blob = b"\x01" + bytes.fromhex(SecretBox(OLD).current) + nonce + sealed
    both = SecretBox([NEW, OLD])
    assert both.open(blob, tenant_id=TENANT, purpose="p") == {"key": "value"}
    resealed = both.reseal(blob, tenant_id=TENANT, purpose="p")
    assert resealed[:1] == b"\x02"
    assert SecretBox(NEW).open(resealed, tenant_id=TENANT, purpose="p") == {"key": "value"}


@pytest.mark.parametrize("keys", [b"short", [], [OLD, b""]])
def test_keys_that_are_none_are_refused(keys: bytes | list[bytes]) -> None:
    with pytest.raises(ValueError, match="key"):
        SecretBox(keys)


def test_the_key_file_is_made_once_and_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLIPSYNC_SECRET_KEY", raising=False)
    path = tmp_path / "deep" / "secret.key"
    first = load_or_create_key(path)
    assert load_or_create_key(path) == first and len(first[0]) == KEY_BYTES
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["secret.key"]
    path.chmod(0o644)
    with pytest.raises(PermissionError, match="chmod 600"):
        load_or_create_key(path)


def test_the_environment_goes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = ",".join(base64.urlsafe_b64encode(key).decode().rstrip("=") for key in (NEW, OLD))
    monkeypatch.setenv("FLIPSYNC_SECRET_KEY", written)
    path = tmp_path / "secret.key"
    assert load_or_create_key(path) == (NEW, OLD)
    assert not path.exists()
    blob = SecretBox(OLD).seal({"a": "b"}, tenant_id=TENANT, purpose="p")
    assert load_box(path).open(blob, tenant_id=TENANT, purpose="p") == {"a": "b"}
    plain = "\n".join(base64.b64encode(key).decode() for key in (NEW, OLD))
    assert parse_keys(plain) == (NEW, OLD), "the common alphabet, as programs print it"


@pytest.mark.parametrize("text", ["", " , ", "AAAA", "ü" * 44, "*" * 43])
def test_texts_that_are_no_keys_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="key"):
        parse_keys(text)


def test_a_command_gives_the_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a key management service does, whose client prints what it has decrypted."""
    kept = tmp_path / "kept by the service"
    write_keys(kept, [NEW, OLD])
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    monkeypatch.setenv(COMMAND_VARIABLE, f"cat '{kept}'")
    assert load_or_create_key(tmp_path / "none") == (NEW, OLD)
    assert not (tmp_path / "none").exists(), "no key is made beside it"
    monkeypatch.setenv(KEY_VARIABLE, base64.urlsafe_b64encode(OLD).decode())
    assert load_or_create_key(tmp_path / "none") == (OLD,), "what is given outright goes first"


@pytest.mark.parametrize(
    "command", ["false", "true", "/no/such/program", "echo 'unbalanced", "sh -c 'echo secret; exit 3'"]
)
def test_a_command_that_gives_none_is_told_without_what_it_said(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(COMMAND_VARIABLE, command)
    with pytest.raises(Unavailable, match=COMMAND_VARIABLE) as told:
        load_or_create_key(tmp_path / "key")
    assert "secret;" not in str(told.value) and told.value.hint and not (tmp_path / "key").exists()


def test_a_new_key_goes_in_front(tmp_path: Path) -> None:
    fresh, *others = with_new_key([OLD])
    assert others == [OLD] and len(fresh) == KEY_BYTES and fresh != OLD
    write_keys(tmp_path / "key", [fresh, OLD])
    assert load_or_create_key(tmp_path / "key") == (fresh, OLD) and len(list(tmp_path.iterdir())) == 1
