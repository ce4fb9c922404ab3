"""`flipsync keys`: a new key for everything at rest, and the old one gone, while the business stays able to sell."""

from __future__ import annotations

import base64
import json
import os
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from command import ROOT, Flipsync

from flipsync import keys_on_books
from flipsync.commands_on_books import in_books
from flipsync.connectors.base import AccountConfig
from flipsync.security.secrets import (
    KEY_BYTES,
    KEY_VARIABLE,
    SecretBox,
    key_names,
    load_or_create_key,
    with_new_key,
    write_keys,
)
from flipsync.services import accounts
from flipsync.store.unit_of_work import Store
from flipsync.system import open_books

CREDENTIALS = {"token": "the-token", "webhook_secret": "w" * 20}


@pytest.fixture
def shop(home: Path, books: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> UUID:
    """A channel of its own, in the books that this process sees as the command does."""
    for name, value in books.items():
        monkeypatch.setenv(name, value)

    async def connect(store: Store, tenant_id: UUID) -> UUID:
        box = SecretBox(load_or_create_key(home / "keys" / "secret_key"))
        config = AccountConfig(vendor="custom", base_url="http://127.0.0.1:9/", currency="USD")
        async with store.unit(tenant_id) as unit:
            return await accounts.connect_account(
                unit, box, vendor="custom", name=f"shop {os.urandom(3).hex()}", config=config, credentials=CREDENTIALS
            )

    return in_books(home, {}, None, connect)


def opens(home: Path, account_id: UUID) -> dict[str, str]:
    """The channel's credentials, with the keys that lie there now."""

    async def read(store: Store, tenant_id: UUID) -> dict[str, str]:
        box = SecretBox(load_or_create_key(home / "keys" / "secret_key"))
        async with store.reader(tenant_id) as session:
            account = await accounts.load_account(session, box, account_id)
            return {name: account.credentials[name].get_secret_value() for name in CREDENTIALS}

    return in_books(home, {}, None, read)


def told(done: Any) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed


def test_a_key_is_changed_and_the_old_one_let_go(flipsync: Flipsync, home: Path, shop: UUID) -> None:
    file = home / "keys" / "secret_key"
    (first,) = told(flipsync("keys", "list", "--json"))["keys"]
    assert first["seals"] >= 1
    rotated = told(flipsync("keys", "rotate", "--json"))
    newest, old = rotated["keys"]
    assert rotated["made"] and (newest["seals"], old) == (first["seals"], {"name": first["name"], "seals": 0})
    assert rotated["resealed"]["channel credentials"] >= 1 and rotated["unreadable"] == []
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and opens(home, shop) == CREDENTIALS
    dropped = told(flipsync("keys", "drop", "--json"))
    assert dropped["dropped"] == [first["name"]] and [each["name"] for each in dropped["keys"]] == [newest["name"]]
    assert key_names(load_or_create_key(file)) == (newest["name"],) and opens(home, shop) == CREDENTIALS
    assert told(flipsync("keys", "drop", "--json"))["dropped"] == []
    shown = flipsync("keys", "list").stdout
    assert newest["name"] in shown and "channel credentials" in shown and "the-token" not in shown


def test_what_was_cut_off_is_gone_on_with(flipsync: Flipsync, home: Path, shop: UUID) -> None:
    file = home / "keys" / "secret_key"
    write_keys(file, with_new_key(load_or_create_key(file)))  # killed before anything was sealed
    names = key_names(load_or_create_key(file))
    rotated = told(flipsync("keys", "rotate", "--json"))
    assert not rotated["made"] and [each["name"] for each in rotated["keys"]] == list(names)
    assert rotated["keys"][0]["seals"] >= 1 and opens(home, shop) == CREDENTIALS


def test_nothing_is_changed_under_a_running_system(flipsync: Flipsync, home: Path, shop: UUID) -> None:
    before = (home / "keys" / "secret_key").read_bytes()
    with open_books(home, {}):
        for words in ("rotate", "drop"):
            refused = flipsync("keys", words)
            assert refused.returncode == 1 and "runs on" in refused.stderr and "stop it" in refused.stderr
    assert (home / "keys" / "secret_key").read_bytes() == before


def test_keys_from_outside_are_changed_outside(flipsync: Flipsync, home: Path, shop: UUID) -> None:
    before = (home / "keys" / "secret_key").read_bytes()
    ours = before.decode().split()
    refused = flipsync("keys", "rotate", **{KEY_VARIABLE: ours[0]})
    assert refused.returncode == 1 and KEY_VARIABLE in refused.stderr
    fresh = base64.urlsafe_b64encode(os.urandom(KEY_BYTES)).decode()
    given = {KEY_VARIABLE: ",".join([fresh, *ours])}
    rotated = told(flipsync("keys", "rotate", "--json", **given))
    assert not rotated["made"] and rotated["keys"][0]["seals"] >= 1
    assert flipsync("keys", "drop", **given).returncode == 1
    back = {KEY_VARIABLE: ",".join([*ours, fresh])}
    assert told(flipsync("keys", "rotate", "--json", **back))["unreadable"] == []
    assert (home / "keys" / "secret_key").read_bytes() == before and opens(home, shop) == CREDENTIALS


def test_who_comes_in_the_middle_is_turned_away(
    flipsync: Flipsync, home: Path, shop: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two at once, the second in the very moment in which it would make the first one's key forgotten."""
    make, second = keys_on_books.with_new_key, []

    def slow(keys: Any) -> Any:
        second.append(replace(flipsync, warm=False)("keys", "rotate", "--json"))
        return make(keys)

    monkeypatch.setattr(keys_on_books, "with_new_key", slow)
    keys_on_books.rotate(home, lambda _: None)
    assert second[0].returncode == 1 and "runs on" in second[0].stderr
    view = told(flipsync("keys", "list", "--json"))
    names = {each["name"] for each in view["keys"]}
    assert all(set(held) <= names for held in view["secrets"].values()), "a key that seals is gone"
    assert opens(home, shop) == CREDENTIALS


def test_killed_at_any_moment_every_secret_still_opens(flipsync: Flipsync, home: Path, books: dict[str, str]) -> None:
    environment = os.environ | books | {"FLIPSYNC_HOME": str(home)}
    command = [sys.executable, "-m", "flipsync.cli", "keys", "rotate", "--json"]
    for wait in (0.0, 0.1, 0.4):  # from the moment the file of keys changes
        before = (home / "keys" / "secret_key").read_bytes()
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while process.poll() is None and (home / "keys" / "secret_key").read_bytes() == before:
            time.sleep(0.001)
        time.sleep(wait)
        process.kill()
        process.wait()
        view = told(flipsync("keys", "list", "--json"))
        names = {each["name"] for each in view["keys"]}
        assert all(set(held) <= names for held in view["secrets"].values()), "a key that seals is gone"
    assert told(flipsync("keys", "rotate", "--json"))["unreadable"] == []
