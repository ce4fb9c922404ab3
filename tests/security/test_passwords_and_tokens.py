"""Passwords and tokens: hard to guess, impossible to forge, and as slow for nobody as for somebody."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import ExitStack
from datetime import timedelta
from itertools import count

import jwt
import pytest
from argon2 import PasswordHasher

from flipsync.domain.clock import utc_now
from flipsync.domain.errors import InvalidInput, Unauthenticated, Unavailable
from flipsync.domain.ids import new_id
from flipsync.security.passwords import Passwords
from flipsync.security.roles import (
    FOR_ONESELF,
    GRANTS,
    OWNERS_ONLY,
    PERMISSIONS,
    ROLES,
    OwnRole,
    allows,
    as_role,
)
from flipsync.security.tokens import AccessTokens, hash_refresh_token, new_refresh_token

KEY = os.urandom(32)
WHO = {"user_id": new_id(), "tenant_id": new_id(), "role": "clerk", "session_id": new_id()}


async def test_a_password_is_verified_and_never_stored() -> None:
    passwords = Passwords()
    encoded = await passwords.hash("correct horse")
    assert encoded.startswith("$argon2id$") and "correct" not in encoded
    assert encoded != await passwords.hash("correct horse")
    assert await passwords.verify(encoded, "correct horse")
    assert not await passwords.verify(encoded, "correct horse ")
    assert not await passwords.verify("not a hash", "correct horse")
    assert not await passwords.verify(None, "correct horse")


@pytest.mark.parametrize("password", ["", "seven77", "x" * 1025])
async def test_passwords_of_odd_length_are_refused(password: str) -> None:
    with pytest.raises(InvalidInput):
        await Passwords().hash(password)


async def test_an_unknown_user_takes_as_long_as_a_known_one() -> None:
    passwords = Passwords()
    encoded = await passwords.hash("correct horse")
    await passwords.verify(None, "warm up")

    async def fastest(known: str | None) -> float:
        spent = []
        for _ in range(7):
            begin = time.process_time()  # what other processes take is no difference
            await passwords.verify(known, "wrong password")
            spent.append(time.process_time() - begin)
        return min(spent)

    known, unknown = await fastest(encoded), await fastest(None)
    assert 0.5 < unknown / known < 2.0


async def test_hashing_leaves_the_event_loop_free() -> None:
    passwords = Passwords(PasswordHasher(time_cost=8, parallelism=1))
    work = asyncio.create_task(passwords.hash("correct horse"))
    turns = 0
    while not work.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 10


def test_however_many_come_from_few_addresses_who_comes_anew_finds_a_turn() -> None:
    passwords, held = Passwords(most=12), ExitStack()

    def take(address: str) -> int:
        """How many turns it gets in the end."""
        for taken in count():
            try:
                held.enter_context(passwords.turn(address))
            except Unavailable:
                return taken
        raise AssertionError

    with held:
        assert take("192.0.2.1") == 6, "alone half"
        assert take("2001:db8::1") == 3 and take("2001:db8::2") == 0, "one customer, however many addresses"
        assert [take(f"203.0.113.{n}") for n in range(4)] == [2, 1, 0, 0]
    assert take("203.0.113.9") == 6, "what was held is free again"


def test_weaker_hashes_are_noticed() -> None:
    weak = PasswordHasher(time_cost=1, memory_cost=1024).hash("correct horse")
    assert Passwords().outdated(weak)
    assert not Passwords().outdated(PasswordHasher().hash("correct horse"))


def test_an_access_token_says_who() -> None:
    claims = AccessTokens(KEY).read(AccessTokens(KEY).issue(**WHO))  # type: ignore[arg-type]
    assert (claims.user_id, claims.tenant_id, claims.role, claims.session_id) == tuple(WHO.values())
    assert timedelta(minutes=14) < claims.expires_at - utc_now() <= timedelta(minutes=15)


def test_an_access_token_says_what_a_role_of_ones_own_may_and_of_which_version() -> None:
    role = OwnRole.of(new_id(), 7, "pässer \U0001f4e6", PERMISSIONS - OWNERS_ONLY)
    claims = AccessTokens(KEY).read(AccessTokens(KEY).issue(**WHO | {"role": role}))  # type: ignore[arg-type]
    assert claims.role == role and claims.may("orders:refund") and not claims.may("users:write")
    ids = (claims.session_id, claims.user_id, role.id)
    assert claims.who == (*(str(each).encode() for each in ids), b"7"), "as the database is asked"


@pytest.mark.parametrize("may", [list(PERMISSIONS), ["users:write", "strategy:write", "no:such", "orders:read"], []])
def test_no_token_gives_a_role_of_ones_own_what_is_the_owners(may: list[str]) -> None:
    own = {"id": str(new_id()), "v": 1, "name": "x", "may": may}
    claims = AccessTokens(KEY).read(jwt.encode(_forged(role="custom", own=own), KEY, algorithm="HS256"))
    assert set(claims.granted) == (set(may) & PERMISSIONS - OWNERS_ONLY) | FOR_ONESELF
    assert set(claims.granted) <= GRANTS["manager"]


@pytest.mark.parametrize("own", [None, "x", {}, {"id": "x", "v": 1, "name": "x", "may": []}, {"id": str(new_id())}])
def test_a_token_of_a_role_that_is_none_is_no_token(own: object) -> None:
    with pytest.raises(Unauthenticated):
        AccessTokens(KEY).read(jwt.encode(_forged(role="custom", own=own), KEY, algorithm="HS256"))


def _forged(**changes: object) -> dict[str, object]:
    now = utc_now()
    honest: dict[str, object] = {
        "iss": "flipsync",
        "aud": "flipsync-api",
        "sub": str(new_id()),
        "tid": str(new_id()),
        "role": "owner",
        "sid": str(new_id()),
        "iat": now,
        "exp": now + timedelta(minutes=5),
    }
    return {name: value for name, value in (honest | changes).items() if value is not None}


def test_the_forgeries_below_differ_from_a_good_token_in_one_thing_only() -> None:
    assert AccessTokens(KEY).read(jwt.encode(_forged(), KEY, algorithm="HS256")).role == "owner"


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b.c",
        jwt.encode(_forged(), os.urandom(32), algorithm="HS256"),
        jwt.encode(_forged(), None, algorithm="none"),
        jwt.encode(_forged(), KEY * 2, algorithm="HS512"),
        *(
            jwt.encode(_forged(**change), KEY, algorithm="HS256")
            for change in (
                {"iss": "somebody"},
                {"aud": "another"},
                {"exp": utc_now() - timedelta(seconds=1)},
                {"exp": None},
                {"role": "root"},
                {"role": None},
                {"tid": "not-an-id"},
                {"sub": None},
                {"sid": None},
            )
        ),
    ],
)
def test_forged_and_expired_tokens_are_refused(token: str) -> None:
    with pytest.raises(Unauthenticated):
        AccessTokens(KEY).read(token)


def test_a_remembered_token_still_expires_and_is_not_taken_for_another() -> None:
    tokens = AccessTokens(KEY, lifetime=timedelta(seconds=2))  # the claim holds whole seconds: 1 to 2 are left
    token = tokens.issue(**WHO)  # type: ignore[arg-type]
    assert tokens.read(token) is tokens.read(token)
    with pytest.raises(Unauthenticated):
        tokens.read(token[:-2] + ("AA" if token[-2:] != "AA" else "BB"))
    time.sleep(2.1)
    with pytest.raises(Unauthenticated, match="expired"):
        tokens.read(token)


def test_no_more_than_a_few_thousand_tokens_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flipsync.security.tokens._REMEMBERED", 3)
    tokens = AccessTokens(KEY)
    for _ in range(10):
        tokens.read(tokens.issue(**WHO | {"session_id": new_id()}))  # type: ignore[arg-type]
    assert len(tokens._known) == 3


def test_a_short_signing_key_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        AccessTokens(b"short")


def test_refresh_tokens_are_random_and_kept_as_hashes() -> None:
    tokens = {new_refresh_token() for _ in range(100)}
    assert len(tokens) == 100 and all(len(token) == 43 for token in tokens)
    token = tokens.pop()
    assert hash_refresh_token(token) == hash_refresh_token(token) != token


def test_what_is_the_owners_alone_is_written_down_here_too() -> None:
    assert {"accounts:write", "audit:read", "privacy:erase", "strategy:write", "users:write"} == OWNERS_ONLY


def test_roles_only_narrow_from_the_owner_down() -> None:
    assert GRANTS["owner"] == PERMISSIONS
    assert set(GRANTS) == set(ROLES)
    assert GRANTS["read-only"] < GRANTS["analyst"] < GRANTS["manager"] < GRANTS["owner"]
    writing = {permission for permission in PERMISSIONS if permission.endswith((":write", ":answer"))}
    assert not writing & (GRANTS["analyst"] | GRANTS["read-only"])
    assert not allows("manager", "accounts:write") and not allows("manager", "users:write")
    with pytest.raises(ValueError, match="not a role"):
        as_role("root")
