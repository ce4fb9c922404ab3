"""Secrets planted at every door, then looked for in all logs and in every row of the database."""

from __future__ import annotations

import base64
import secrets
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx2
import pytest
import structlog
from api_world import API, PASSWORD, Business
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from push_browser import Browser
from sqlalchemy import create_engine, text
from test_api_sessions import bearer, newcomer, sign_in
from test_audit_and_headers import running

from flipsync.domain.clock import utc_now
from flipsync.domain.ids import new_id
from flipsync.store.database import driver_url
from serve.backend import Backend
from serve.log_file import LogFile
from serve.telemetry import configure_logging


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    """The log as `flipsync up` keeps it."""
    before = structlog.get_config()
    configure_logging(file=LogFile(tmp_path, "api"))
    yield tmp_path
    structlog.configure(**before)


@pytest.fixture
async def door(log: Path, backend: Backend) -> AsyncIterator[httpx2.AsyncClient]:
    async with running(backend.settings) as client:
        yield client


async def _plant(client: httpx2.AsyncClient, backend: Backend, alpha: Business) -> dict[str, str]:
    """Every kind of secret, in right requests and in wrong ones."""
    canary = f"canary-{secrets.token_hex(12)}"
    planted = {"wrong password": f"{canary}-wrong", "new password": f"{canary}-new", "credential": f"{canary}-cred"}
    email, _ = await newcomer(backend, alpha)
    await client.post(f"{API}/auth/login", json={"email": email, "password": planted["wrong password"]})
    await client.post(f"{API}/auth/login", json={"email": email, "password": [planted["wrong password"]]})
    session = await sign_in(client, email)
    headers = bearer(session)
    planted |= {"access token": session["access_token"], "first refresh token": session["refresh_token"]}
    renewed = (await client.post(f"{API}/auth/refresh", json={"refresh_token": session["refresh_token"]})).json()
    planted["refresh token"] = renewed["refresh_token"]
    await client.post(f"{API}/auth/step-up", json={"password": planted["wrong password"]}, headers=headers)
    form = {"old_password": PASSWORD, "new_password": planted["new password"]}
    assert (await client.put(f"{API}/auth/password", json=form, headers=headers)).status_code == 204

    begun = await client.post(f"{API}/auth/second-factor", headers=headers)
    planted["shared secret"] = parse_qs(urlsplit(begun.json()["otpauth_uri"]).query)["secret"][0]
    raw = base64.b32decode(planted["shared secret"])
    planted |= {"shared secret (hex)": raw.hex(), "shared secret (base64)": base64.b64encode(raw).decode()}
    code = TOTP(raw, 6, SHA1(), 30).generate(int(utc_now().timestamp())).decode()
    confirmed = await client.post(f"{API}/auth/second-factor/confirm", json={"code": code}, headers=headers)
    codes = confirmed.json()["recovery_codes"]
    planted |= {"recovery code": codes[0], "used recovery code": codes[1]}
    form = {"email": email, "password": planted["new password"]}
    planted["challenge"] = (await client.post(f"{API}/auth/login", json=form)).json()["challenge"]
    answer = {"challenge": planted["challenge"], "code": codes[1]}
    assert (await client.post(f"{API}/auth/login/second-factor", json=answer)).status_code == 200

    key_form = {
        "name": "printer",
        "permissions": ["orders:read"],
        "expires_at": (utc_now() + timedelta(days=1)).isoformat(),
    }
    once = {"Idempotency-Key": new_id().hex}
    made = await client.post(f"{API}/api-keys", json=key_form, headers=headers | once)
    planted["API key"] = made.json()["key"]
    assert (await client.get(f"{API}/orders", headers={"Authorization": f"Bearer {made.json()['key']}"})).is_success
    invited = {"email": f"{new_id().hex}@{alpha.marker}.example", "role": "clerk"}
    once = {"Idempotency-Key": new_id().hex}
    planted["invitation"] = (await client.post(f"{API}/users", json=invited, headers=headers | once)).json()[
        "invitation"
    ]
    browser = Browser().subscription(f"https://93.184.216.34/push/{canary}-push")
    planted |= {"push endpoint": f"{canary}-push", "push secret": browser["keys"]["auth"]}
    once = {"Idempotency-Key": new_id().hex}
    pushed = await client.post(f"{API}/notifications/subscriptions", json=browser, headers=headers | once)
    assert pushed.status_code == 201, pushed.text
    wrong = browser | {"keys": {"p256dh": planted["push secret"], "auth": planted["push secret"]}}
    await client.post(f"{API}/notifications/subscriptions", json=wrong, headers=headers | once)
    account = f"{API}/marketplace/accounts/{alpha.ids['account_id']}"
    given: dict[str, Any] = {"credentials": {"token": planted["credential"]}, "keep_others": True}
    based = headers | {"If-Match": (await client.get(account, headers=headers)).headers["etag"]}
    assert (await client.put(f"{account}/credentials", json=given, headers=based)).status_code == 200
    await client.put(f"{account}/credentials", json={"credentials": planted["credential"]}, headers=headers)
    await client.get(f"{API}/orders?q={planted['credential']}", headers=headers)
    await client.get(f"{API}/{quote(planted['credential'])}", headers=headers)
    return planted


def _all_of(folder: Path) -> str:
    return "".join(path.read_text() for path in folder.iterdir())


async def test_nothing_planted_is_found_in_the_log_or_the_database(
    door: httpx2.AsyncClient, log: Path, backend: Backend, alpha: Business, database_urls: dict[str, str]
) -> None:
    planted = await _plant(door, backend, alpha)
    written = _all_of(log)
    assert written.count("/api/v1/auth/login") >= 3, "there is a log to look through"
    assert not [what for what, secret in planted.items() if secret in written]

    engine = create_engine(driver_url(database_urls["owner"]))
    with engine.connect() as connection:
        names = "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()"
        tables = connection.execute(text(names)).scalars().all()
        dump = "\n".join(
            row for table in tables for row in connection.execute(text(f'SELECT t::text FROM "{table}" t')).scalars()
        )
    engine.dispose()
    assert {"app_user", "api_key", "idempotency_record", "audit_entry"} <= set(tables)
    assert alpha.marker in dump, "there are rows to look through"
    found = [what for what, secret in planted.items() if secret in dump or secret.encode().hex() in dump]
    assert not found
