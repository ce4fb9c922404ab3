"""Signing in with a second factor, and the ways round it that are closed."""

from __future__ import annotations

import asyncio
import base64
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from api_world import API, PASSWORD, Business
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from sqlalchemy import text
from test_api_sessions import bearer, newcomer, sign_in

from flipsync.domain.clock import utc_now
from flipsync.store.unit_of_work import Store
from serve.backend import Backend


@dataclass
class Ana:
    """Somebody with an authenticator app."""

    client: httpx2.AsyncClient
    store: Store
    business: Business
    email: str
    user_id: Any
    headers: dict[str, str]
    secret: bytes = b""
    recovery_codes: list[str] = field(default_factory=list)

    def code(self, steps: int = 0) -> str:
        return TOTP(self.secret, 6, SHA1(), 30).generate(time.time() + 30 * steps).decode()

    async def post(self, path: str, **form: Any) -> httpx2.Response:
        return await self.client.post(f"{API}/auth/{path}", json=form or None, headers=self.headers)

    async def challenge(self) -> str:
        form = {"email": self.email, "password": PASSWORD, "device": "phone"}
        answer = await self.client.post(f"{API}/auth/login", json=form)
        assert (answer.status_code, set(answer.json())) == (202, {"challenge", "expires_in"})
        return str(answer.json()["challenge"])

    async def answer(self, challenge: str, code: str) -> httpx2.Response:
        form = {"challenge": challenge, "code": code}
        return await self.client.post(f"{API}/auth/login/second-factor", json=form)

    async def sql(self, statement: str) -> None:
        async with self.store.unit(self.business.tenant_id) as unit:
            await unit.session.execute(text(statement), {"user": self.user_id})

    async def next_code(self) -> str:
        """A code that is as fresh as if the step before had passed unused."""
        await self.sql("UPDATE second_factor SET last_step = 0 WHERE user_id = :user")
        return self.code()


@pytest.fixture
async def ana(client: httpx2.AsyncClient, backend: Backend, alpha: Business) -> Ana:
    email, user_id = await newcomer(backend, alpha)
    made = Ana(client, backend.store, alpha, email, user_id, bearer(await sign_in(client, email)))
    begun = await made.post("second-factor")
    assert begun.status_code == 200, begun.text
    uri = urlsplit(begun.json()["otpauth_uri"])
    made.secret = base64.b32decode(parse_qs(uri.query)["secret"][0])
    confirmed = await made.post("second-factor/confirm", code=made.code())
    assert confirmed.status_code == 200, confirmed.text
    made.recovery_codes = confirmed.json()["recovery_codes"]
    return made


async def test_signing_in_takes_both(ana: Ana) -> None:
    challenge = await ana.challenge()
    asked = await ana.client.get(f"{API}/orders", headers={"Authorization": f"Bearer {challenge}"})
    assert asked.status_code == 401, "a challenge opens nothing"
    used = await ana.answer(challenge, ana.code())
    assert used.status_code == 401, "the code that confirmed the app is used up"
    session = await ana.answer(challenge, await ana.next_code())
    assert session.status_code == 200 and session.json()["role"] == "owner"
    sessions = (await ana.client.get(f"{API}/auth/sessions", headers=bearer(session.json()))).json()["items"]
    assert sessions[0]["device"] == "phone"
    shown = (await ana.client.get(f"{API}/auth/second-factor", headers=ana.headers)).json()
    assert (shown["enabled"], shown["recovery_codes_left"]) == (True, 10)


async def test_a_code_that_was_seen_over_a_shoulder_comes_too_late(ana: Ana) -> None:
    code = await ana.next_code()
    challenges = [await ana.challenge() for _ in range(4)]
    answers = await asyncio.gather(*(ana.answer(challenge, code) for challenge in challenges))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401], "nor at once"
    earlier = await ana.answer(challenges[0], ana.code(-1))
    assert earlier.status_code == 401, "nor the one before it"


async def test_a_recovery_code_serves_once(ana: Ana) -> None:
    code = ana.recovery_codes[3]
    answers = [await ana.answer(await ana.challenge(), typed) for typed in (code.upper(), code)]
    assert [answer.status_code for answer in answers] == [200, 401]
    renewed = (await ana.post("second-factor/recovery-codes")).json()["recovery_codes"]
    assert (await ana.answer(await ana.challenge(), ana.recovery_codes[4])).status_code == 401, "void"
    assert (await ana.answer(await ana.challenge(), renewed[0])).status_code == 200
    async with ana.store.reader(ana.business.tenant_id) as session:
        stored = "".join((await session.execute(text("SELECT r::text FROM recovery_code r"))).scalars())
        stored += "".join((await session.execute(text("SELECT f::text FROM second_factor f"))).scalars())
    assert not [code for code in renewed if code in stored or code.replace("-", "") in stored]
    assert ana.secret.hex() not in stored and base64.b64encode(ana.secret).decode() not in stored


async def test_guessing_codes_is_slowed_down_without_redis_too(ana: Ana) -> None:
    challenge = await ana.challenge()
    answers = [await ana.answer(challenge, f"{n:06}") for n in range(8)]
    assert [answer.status_code for answer in answers] == [401] * 6 + [429] * 2
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert (await ana.answer(challenge, await ana.next_code())).status_code == 429, "the right one waits too"
    await ana.sql("UPDATE second_factor SET wait_until = NULL, failures = 40 WHERE user_id = :user")
    assert (await ana.answer(challenge, "000000")).status_code == 401
    assert 800 < int((await ana.answer(challenge, "000000")).headers["retry-after"]) <= 900
    await ana.sql("UPDATE second_factor SET wait_until = NULL WHERE user_id = :user")
    assert (await ana.answer(challenge, await ana.next_code())).status_code == 200


async def test_a_password_alone_makes_no_address_known(ana: Ana) -> None:
    form = {"email": ana.email, "password": PASSWORD}
    statuses = [(await ana.client.post(f"{API}/auth/login", json=form)).status_code for _ in range(10)]
    assert statuses == [202] * 10
    challenge = (await ana.client.post(f"{API}/auth/login", json=form)).json()
    assert challenge["type"] == "urn:flipsync:error:too-many-attempts"


async def test_both_factors_make_it_known(ana: Ana) -> None:
    challenges = [await ana.challenge() for _ in range(9)]
    assert (await ana.answer(challenges[-1], await ana.next_code())).status_code == 200
    assert len([await ana.challenge() for _ in range(9)]) == 9, "the count begins anew"


async def test_a_challenge_is_for_its_user_and_ends(ana: Ana, backend: Backend) -> None:
    note = {"user": str(ana.user_id), "tenant": str(ana.business.tenant_id), "device": "", "email": ana.email}
    late = backend.tokens.issue_note("challenge", note, timedelta(seconds=-1))
    other = backend.tokens.issue_note("invitation", note, timedelta(minutes=5))
    for wrong in (late, other, "x.y.z", ana.headers["Authorization"].removeprefix("Bearer ")):
        assert (await ana.answer(wrong, await ana.next_code())).status_code == 401
    challenge = await ana.challenge()
    await ana.sql("UPDATE app_user SET disabled_at = now() WHERE id = :user")
    assert (await ana.answer(challenge, await ana.next_code())).status_code == 401


async def test_money_asks_for_the_second_factor_not_the_password(ana: Ana) -> None:
    await ana.sql("UPDATE user_session SET proven_at = now() - interval '1 hour' WHERE user_id = :user")
    removal = f"{API}/auth/second-factor"
    refused = await ana.client.delete(removal, headers=ana.headers)
    assert refused.json()["type"] == "urn:flipsync:error:step-up-required"
    assert (await ana.post("step-up", password=PASSWORD)).status_code == 422
    assert (await ana.client.delete(removal, headers=ana.headers)).status_code == 401
    proven = await ana.post("step-up", code=await ana.next_code())
    assert proven.status_code == 200
    assert (await ana.client.delete(removal, headers=ana.headers)).status_code == 204
    await sign_in(ana.client, ana.email)  # by password alone again


async def test_an_app_is_not_replaced_unasked_nor_in_force_unconfirmed(
    ana: Ana, client: httpx2.AsyncClient, backend: Backend, alpha: Business
) -> None:
    assert (await ana.post("second-factor")).status_code == 409
    email, user_id = await newcomer(backend, alpha)
    ben = Ana(client, backend.store, alpha, email, user_id, bearer(await sign_in(client, email)))
    assert (await ben.post("second-factor/confirm", code="000000")).status_code == 404
    await ben.post("second-factor")
    assert (await ben.post("second-factor/confirm", code="000000")).status_code == 422
    await sign_in(client, email)
    late = utc_now() - timedelta(minutes=31)
    await ben.sql(f"UPDATE second_factor SET created_at = '{late.isoformat()}' WHERE user_id = :user")
    assert (await ben.post("second-factor/confirm", code="000000")).status_code == 404


async def test_the_log_tells_of_it(ana: Ana) -> None:
    await ana.answer(await ana.challenge(), "000000")
    await ana.answer(await ana.challenge(), ana.recovery_codes[0])
    entries = (await ana.client.get(f"{API}/audit", params={"limit": 12}, headers=ana.headers)).json()["items"]
    told = [e["action"] for e in entries if str(ana.user_id) in (e["actor_id"], e["subject_id"])]
    expected = ["signed-in", "recovery-code.used", "second-factor.refused", "second-factor.enabled", "signed-in"]
    assert [each for each in told if each != "user.added"][:5] in (expected, [expected[1], expected[0], *expected[2:]])
