"""Signing in, staying in, getting out; and what happens when somebody copies a token, guesses, or floods."""

from __future__ import annotations

import asyncio
import threading
from typing import Literal

import httpx2
import pytest
from api_world import API, PASSWORD, Business
from argon2 import PasswordHasher
from redis.asyncio import Redis
from sqlalchemy import select, text
from test_api_sessions import newcomer

from flipsync.domain.ids import new_id
from flipsync.security.attempts import SignInLimit, TooManyAttempts
from flipsync.security.passwords import Passwords
from flipsync.security.tokens import hash_refresh_token
from flipsync.services import identity
from flipsync.store import models as m
from flipsync.store.unit_of_work import Store
from serve.backend import Backend


async def _login(client: httpx2.AsyncClient, business: Business, password: str = PASSWORD) -> httpx2.Response:
    return await client.post(f"{API}/auth/login", json={"email": business.email(), "password": password})


async def _refresh(client: httpx2.AsyncClient, token: str) -> httpx2.Response:
    return await client.post(f"{API}/auth/refresh", json={"refresh_token": token})


async def _renewed(client: httpx2.AsyncClient, token: str) -> str:
    answer = await _refresh(client, token)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["refresh_token"])


async def test_a_session_from_login_to_logout(client: httpx2.AsyncClient, alpha: Business) -> None:
    first = (await _login(client, alpha)).json()
    assert (first["token_type"], first["expires_in"], first["role"]) == ("Bearer", 900, "owner")
    assert first["tenant_id"] == str(alpha.tenant_id)
    listed = await client.get(f"{API}/orders", headers={"Authorization": f"Bearer {first['access_token']}"})
    assert listed.status_code == 200
    second = (await _refresh(client, first["refresh_token"])).json()
    assert second["refresh_token"] != first["refresh_token"]
    gone = await client.post(f"{API}/auth/logout", json={"refresh_token": second["refresh_token"]})
    assert (gone.status_code, gone.content) == (204, b"")
    assert (await _refresh(client, second["refresh_token"])).status_code == 401
    again = await client.post(f"{API}/auth/logout", json={"refresh_token": second["refresh_token"]})
    assert again.status_code == 204


async def test_addresses_are_the_same_in_any_case(client: httpx2.AsyncClient, alpha: Business) -> None:
    answer = await client.post(f"{API}/auth/login", json={"email": alpha.email().upper(), "password": PASSWORD})
    assert answer.status_code == 200


async def test_a_token_stolen_after_its_successor_was_used_ends_the_session_for_both(
    client: httpx2.AsyncClient, alpha: Business
) -> None:
    stolen, other = [(await _login(client, alpha)).json()["refresh_token"] for _ in range(2)]
    fresh = await _renewed(client, await _renewed(client, stolen))
    assert (await _refresh(client, stolen)).status_code == 401
    assert (await _refresh(client, fresh)).status_code == 401, "the family must be revoked"
    assert (await _refresh(client, other)).status_code == 200, "other sessions go on"


async def test_a_renewal_whose_answer_was_lost_is_sent_again(
    client: httpx2.AsyncClient, store: Store, alpha: Business
) -> None:
    session = (await _login(client, alpha)).json()
    lost = [await _renewed(client, session["refresh_token"]) for _ in range(3)][:2]
    came = await _renewed(client, session["refresh_token"])
    fresh = await _renewed(client, came)
    async with store.reader(alpha.tenant_id) as read:
        told = await read.execute(select(m.AuditEntry.action).order_by(m.AuditEntry.seq.desc()).limit(3))
        assert set(told.scalars()) == {"session.resent-token"}
    assert (await _refresh(client, lost[0])).status_code == 401, "whoever has the lost answer is one too many"
    assert (await _refresh(client, fresh)).status_code == 401


async def test_after_the_window_a_token_that_comes_again_was_copied(
    client: httpx2.AsyncClient, store: Store, alpha: Business
) -> None:
    token = (await _login(client, alpha)).json()["refresh_token"]
    fresh = await _renewed(client, token)
    await _renewed(client, token)  # does not open the window anew
    spent = {"hash": hash_refresh_token(token), "window": identity.RESEND_WINDOW}
    async with store.unit(alpha.tenant_id) as unit:
        await unit.session.execute(
            text("UPDATE refresh_token SET used_at = used_at - :window WHERE token_hash = :hash"), spent
        )
    assert (await _refresh(client, token)).status_code == 401
    assert (await _refresh(client, fresh)).status_code == 401, "the family must be revoked"


async def test_one_device_may_renew_twice_at_once_and_keep_either_answer(
    client: httpx2.AsyncClient, alpha: Business
) -> None:
    for kept in range(2):
        token = (await _login(client, alpha)).json()["refresh_token"]
        both = await asyncio.gather(*(_renewed(client, token) for _ in range(2)))
        fresh = await _renewed(client, both[kept])
        assert (await _refresh(client, fresh)).status_code == 200


async def test_whatever_comes_at_once_one_chain_lives_on(
    client: httpx2.AsyncClient, store: Store, alpha: Business
) -> None:
    token = (await _login(client, alpha)).json()["refresh_token"]
    first = await asyncio.gather(*(_renewed(client, token) for _ in range(6)))
    assert len(set(first)) == 6
    answers = await asyncio.gather(*(_refresh(client, each) for each in (*first, token)))
    living = [answer.json()["refresh_token"] for answer in answers if answer.status_code == 200]
    assert len(living) <= 1, "the others came with what was dropped"
    assert (await _refresh(client, living[0] if living else token)).status_code == 401, "and that ended the session"
    for _ in range(4):  # the latest spent one again, against the first use of its successor
        token = (await _login(client, alpha)).json()["refresh_token"]
        successor = await _renewed(client, token)
        await asyncio.gather(*(_refresh(client, each) for each in (token, successor) * 2))
        async with store.reader(alpha.tenant_id) as read:
            family = select(m.RefreshToken.family_id).where(m.RefreshToken.token_hash == hash_refresh_token(token))
            rows = (await read.execute(select(m.RefreshToken).where(m.RefreshToken.family_id.in_(family)))).scalars()
            spent = {row.used_at for row in rows if row.used_at and not row.revoked_at}
        assert len(spent) <= 1, "two tokens may not both be the latest spent one"


async def test_wrong_password_and_unknown_address_look_the_same(client: httpx2.AsyncClient, beta: Business) -> None:
    wrong = await _login(client, beta, "not the password")
    unknown = await client.post(
        f"{API}/auth/login", json={"email": f"{new_id().hex}@nowhere.example", "password": "not the password"}
    )
    assert wrong.status_code == unknown.status_code == 401
    first, second = wrong.json(), unknown.json()
    assert first.pop("request_id") != second.pop("request_id")
    assert first == second


async def _guess(
    client: httpx2.AsyncClient, email: str, address: str = "198.51.100.1", password: str = "a guess"
) -> httpx2.Response:
    return await client.post(
        f"{API}/auth/login", json={"email": email, "password": password}, headers={"X-Forwarded-For": address}
    )


async def test_guessing_is_stopped_after_ten_failures(client: httpx2.AsyncClient, alpha: Business) -> None:
    email = f"{new_id().hex}@nowhere.example"
    answers = await asyncio.gather(*(_guess(client, email) for _ in range(15)))
    assert sorted(answer.status_code for answer in answers) == [401] * 10 + [429] * 5, "nor at once"
    answer = await _guess(client, email.upper())
    assert (answer.status_code, answer.json()["type"]) == (429, "urn:flipsync:error:too-many-attempts")
    assert 0 < int(answer.headers["retry-after"]) <= 900
    assert (await _login(client, alpha)).status_code == 200, "others are not kept out"
    assert (await _guess(client, email, "1.2.3.4, 198.51.100.1")).status_code == 429, "nor by what a client writes"
    assert (await _guess(client, email, "198.51.100.2")).status_code == 401, "an office does not pay for another"


async def test_an_address_of_version_six_counts_with_its_neighbours(client: httpx2.AsyncClient, world: object) -> None:
    email = f"{new_id().hex}@nowhere.example"
    answers = [await _guess(client, email, f"2001:db8:7:7::{n:x}") for n in range(11)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429]


async def test_guessing_from_many_addresses_is_slowed_down_and_the_owner_still_gets_in(
    client: httpx2.AsyncClient, backend: Backend, beta: Business
) -> None:
    email = beta.email("manager")
    home = {"email": email, "address": "203.0.113.5", "password": PASSWORD}
    assert (await _guess(client, **home)).status_code == 200
    answers = [await _guess(client, email, f"198.51.100.{n}") for n in range(40)]
    statuses = [answer.status_code for answer in answers]
    assert statuses[:29] == [401] * 29, "an owner on the road may mistype"
    assert statuses.count(429) >= 8 and statuses[-1] == 429
    assert 0 < int(answers[-1].headers["retry-after"]) <= 60
    assert (await _guess(client, **home)).status_code == 200, "from where they signed in before"
    for _ in range(3):
        assert (await _guess(client, **home | {"password": "mistyped"})).status_code == 401
    assert (await _guess(client, **home)).status_code == 200
    assert (await _guess(client, email, "198.51.100.41")).status_code == 429, "the stranger gains nothing by it"


async def test_one_address_that_tries_many_accounts_is_stopped_and_who_is_known_there_is_not(
    client: httpx2.AsyncClient, backend: Backend, alpha: Business, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "sign_in_limit", SignInLimit(backend.redis, failures=6))
    office = "2001:db8:9:9::"
    for n in range(9):  # what succeeds does not count
        assert (await _guess(client, alpha.email(), f"{office}{n}", PASSWORD)).status_code == 200
    answers = [await _guess(client, f"{n}-{new_id().hex}@nowhere.example", f"{office}{n:x}") for n in range(8)]
    assert [answer.status_code for answer in answers] == [401] * 6 + [429] * 2
    assert 0 < int(answers[-1].headers["retry-after"]) <= 900
    colleague = alpha.email("analyst")
    assert (await _guess(client, colleague, f"{office}1", PASSWORD)).status_code == 429, "not known there"
    assert (await _guess(client, colleague, "203.0.113.77", PASSWORD)).status_code == 200, "the account is not locked"
    assert (await _guess(client, alpha.email(), f"{office}1", PASSWORD)).status_code == 200, "known there"
    assert (await _guess(client, alpha.email(), f"8.8.8.8, {office}1", "a guess")).status_code == 401
    assert (await _guess(client, f"{new_id().hex}@nowhere.example", f"8.8.8.8, {office}1")).status_code == 429


async def test_a_second_step_takes_both_of_its_attempts_from_the_addresss_failures(backend: Backend) -> None:
    limit = SignInLimit(backend.redis, failures=2)
    for n in range(5):
        email, tries = f"{n}-{new_id().hex}@nowhere.example", f"second factor of {new_id()}"
        for account in (email, tries):
            await limit.attempt(account, "192.0.2.200")
        for account in (tries, email):
            await limit.succeeded(account, "192.0.2.200")


async def test_the_wait_between_guesses_from_anywhere_grows_up_to_its_bound(backend: Backend) -> None:
    limit = SignInLimit(backend.redis, free=1, longest_wait=8)
    email, waits = f"{new_id().hex}@nowhere.example", []
    for n in range(5):
        await limit.attempt(email, f"198.51.100.{n}")  # whoever waited gets one
        if n:
            with pytest.raises(TooManyAttempts) as refused:
                await limit.attempt(email, f"203.0.113.{n}")
            waits.append(refused.value.after)
        for key in await backend.redis.keys("sign-in:wait:*"):
            await backend.redis.delete(key)  # the wait is over
    assert waits == [2, 8, 8, 8]


class _Held(PasswordHasher):
    """Hashes when it is let."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=64, parallelism=1)
        self.go = threading.Event()

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:
        self.go.wait(30)
        return super().verify(hash, password)


async def test_a_flood_of_passwords_from_one_address_leaves_room_for_everybody_else(
    client: httpx2.AsyncClient, backend: Backend, alpha: Business, monkeypatch: pytest.MonkeyPatch
) -> None:
    email, _ = await newcomer(backend, alpha)
    held = _Held()
    monkeypatch.setattr(backend, "passwords", Passwords(held, most=8))
    guesses = [_guess(client, f"{n}-{new_id().hex}@nowhere.example", "198.51.100.77") for n in range(40)]
    flood = asyncio.gather(*guesses)
    for _ in range(5):
        assert (await client.get(f"{API}/orders", headers=alpha.headers())).status_code == 200, "others do not wait"
    lawful = asyncio.gather(*(_guess(client, email, f"203.0.113.{n}", PASSWORD) for n in (91, 92)))
    refused = await _guess(client, email, "198.51.100.77", PASSWORD)
    assert not flood.done() and not lawful.done()
    assert (refused.status_code, refused.json()["type"]) == (503, "urn:flipsync:error:unavailable")
    assert int(refused.headers["retry-after"]) > 0
    held.go.set()
    assert [answer.status_code for answer in await lawful] == [200, 200]
    assert sorted(answer.status_code for answer in await flood) == [401] * 4 + [503] * 36
    assert (await _guess(client, email, "198.51.100.77", PASSWORD)).status_code == 200, "the flood is over"
    backend.passwords.close()


async def test_without_redis_nobody_is_kept_out(unused_tcp_port: int) -> None:
    async with Redis.from_url(f"redis://127.0.0.1:{unused_tcp_port}/0") as gone:
        limit = SignInLimit(gone, limit=1)
        for _ in range(3):
            await limit.attempt("a@b.example", "198.51.100.1")
        await limit.succeeded("a@b.example", "198.51.100.1")


async def test_a_disabled_user_cannot_sign_in_or_refresh(
    client: httpx2.AsyncClient, store: Store, beta: Business
) -> None:
    form = {"email": beta.email("analyst"), "password": PASSWORD}
    session = (await client.post(f"{API}/auth/login", json=form)).json()
    async with store.unit(beta.tenant_id) as unit:
        await identity.disable_user(unit, beta.users["analyst"])
    assert (await _refresh(client, session["refresh_token"])).status_code == 401
    assert (await client.post(f"{API}/auth/login", json=form)).status_code == 401


@pytest.mark.parametrize("token", ["", "x", "x" * 43, "ü"])
async def test_made_up_refresh_tokens_are_refused(token: str, client: httpx2.AsyncClient, world: object) -> None:
    assert (await _refresh(client, token)).status_code == 401
