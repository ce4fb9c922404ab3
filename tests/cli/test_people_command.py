"""`flipsync user`: people, and roles of one's own."""

from __future__ import annotations

import json
from typing import Any

import pytest
from command import Flipsync


def told(flipsync: Flipsync, *words: str) -> Any:
    done = flipsync("user", *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_role_is_defined_given_changed_and_deleted(flipsync: Flipsync) -> None:
    made = told(flipsync, "role", "create", "[b]packer", "orders:read", "orders:ship")
    assert made["permissions"] == ["orders:read", "orders:ship", "self:manage", "self:read"]
    added = told(flipsync, "add", "packer@example.com", "--role", "[B]Packer", "--password", "seven teapots on a boat")
    assert added["email"] == "packer@example.com"
    listed = flipsync("user", "role", "list")
    assert "[b]packer" in listed.stdout and "read-only" in listed.stdout
    changed = told(
        flipsync, "role", "change", "[b]packer", "--grant", "inventory:read", "--revoke", "orders:ship", "--name", "p"
    )
    assert (changed["name"], changed["people"]) == ("p", 1)
    assert changed["permissions"] == ["inventory:read", "orders:read", "self:manage", "self:read"]
    kept = flipsync("user", "role", "delete", "p")
    assert kept.returncode == 1 and "1 person has the role p" in kept.stderr
    given = told(flipsync, "role", "give", "packer@example.com", "clerk")
    assert (given["role"], given["role_id"]) == ("clerk", None)
    assert told(flipsync, "role", "give", "packer@example.com", "p")["role_name"] == "p"
    assert told(flipsync, "role", "give", "packer@example.com", "read-only")["role"] == "read-only"
    assert told(flipsync, "role", "delete", "p")["deleted"]
    assert told(flipsync, "role", "list")["items"] == []


def test_a_forgotten_password_is_replaced(flipsync: Flipsync) -> None:
    told(flipsync, "add", "forgetful@example.com", "--role", "clerk")
    made = told(flipsync, "password", "forgetful@example.com")
    assert len(made["password"]) == 20
    assert "password" not in told(
        flipsync, "password", "forgetful@example.com", "--password", "seven teapots on a boat"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("password", "stranger@example.com"), "nobody here signs in as"),
        (("password", "owner@flipsync.local", "--password", "short"), "8 to"),
        (("role", "create", "owner", "orders:read"), "every business has"),
        (("role", "create", "x", "users:write"), "only an owner may"),
        (("role", "create", "x", "orders:everything"), "permissions.0"),
        (("role", "create", "x" * 65_000, "orders:read"), "name"),
        (("role", "change", "nobody", "--grant", "orders:read"), "is not a role"),
        (("role", "change", "nobody"), "nothing to change"),
        (("role", "delete", "clerk"), "is not a role"),
        (("role", "give", "stranger@example.com", "clerk"), "nobody here signs in as"),
        (("role", "give", "owner@flipsync.local", "clerk"), "the last owner"),
        (("add", "x@example.com", "--role", "root"), "is not a role"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(flipsync: Flipsync, words: tuple[str, ...], said: str) -> None:
    done = flipsync("user", *words)
    assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr
