"""The audit log as owners read it; what browsers are told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest
from api_world import API, Business
from pydantic import ValidationError
from test_api_sessions import bearer, newcomer, sign_in

from flipsync.domain.ids import new_id
from serve.api import build_app
from serve.backend import Backend
from serve.settings import ServeSettings

PAGE = "https://app.example.com"


@asynccontextmanager
async def running(settings: ServeSettings) -> AsyncIterator[httpx2.AsyncClient]:
    """An application of its own, reached as through a proxy of ours."""
    app = build_app(settings)
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://api.test") as client:
        yield client
    await app.state.backend.aclose()


async def test_who_did_what_from_where_newest_first(
    client: httpx2.AsyncClient, alpha: Business, backend: Backend
) -> None:
    email, user_id = await newcomer(backend, alpha)
    where = {"X-Forwarded-For": "203.0.113.77"}
    await client.post(f"{API}/auth/login", json={"email": email, "password": "a guess"}, headers=where)
    headers = bearer(await sign_in(client, email, "laptop", **where)) | where
    account = alpha.ids["account_id"]
    prices = f"{API}/pricing/variants/{alpha.ids['variant_id']}"
    etag = (await client.get(prices, headers=headers)).headers["etag"]
    floor = {"floor": {"amount_minor": 1501, "currency": "USD"}}
    assert (await client.patch(prices, json=floor, headers=headers | {"If-Match": etag})).status_code == 200
    paused = f"{API}/marketplace/accounts/{account}/pause"
    assert (await client.post(paused, json={"reason": "stocktaking"}, headers=headers)).status_code == 200
    await client.post(f"{API}/marketplace/accounts/{account}/resume", headers=headers)
    form = {"approved": False, "note": "no"}
    once = {"Idempotency-Key": new_id().hex}
    approval = f"{API}/approvals/{alpha.ids['approval_id']}/answer"
    answered = await client.post(approval, json=form, headers=headers | once)

    first = (await client.get(f"{API}/audit", params={"limit": 3}, headers=headers)).json()
    rest = await client.get(f"{API}/audit", params={"cursor": first["next_cursor"]}, headers=headers)
    entries = first["items"] + rest.json()["items"]
    numbers = [entry["seq"] for entry in entries]
    assert numbers == list(range(numbers[0], numbers[0] - len(numbers), -1)), "pages follow one another"
    mine = [entry for entry in entries if entry["actor_id"] == str(user_id)]
    expected = ["account.resumed", "account.paused", "pricing.terms-changed", "signed-in"]
    if answered.status_code == 200:
        expected = ["approval.answered", *expected]
    assert [entry["action"] for entry in mine] == expected
    assert {(entry["actor_kind"], entry["address"]) for entry in mine} == {("user", "203.0.113.77")}
    changed = mine[expected.index("pricing.terms-changed")]
    assert changed["details"]["floor"] == {"amount_minor": 1501, "currency": "USD"}
    [refused] = [entry for entry in entries if entry["subject_id"] == str(user_id) and "refused" in entry["action"]]
    assert (refused["actor_kind"], refused["actor_id"], refused["details"]) == (
        "nobody",
        None,
        {"why": "wrong password"},
    )
    only = await client.get(f"{API}/audit", params={"action": "signed-in", "actor_id": str(user_id)}, headers=headers)
    assert [entry["id"] for entry in only.json()["items"]] == [mine[-1]["id"]]
    assert (await client.get(f"{API}/audit?cursor=WyJ4Il0", headers=headers)).status_code == 422


async def test_no_page_may_call_unless_it_is_named(
    client: httpx2.AsyncClient, settings: ServeSettings, alpha: Business
) -> None:
    asks = {"Origin": PAGE, "Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "If-Match"}
    for path in ("orders", "nothing"):
        answer = await client.get(f"{API}/{path}", headers=alpha.headers() | {"Origin": PAGE})
        assert not [name for name in answer.headers if name.startswith("access-control")]
    assert (await client.options(f"{API}/orders", headers=asks)).status_code == 405
    async with running(settings.model_copy(update={"cors_origins": (PAGE,)})) as opened:
        asked = await opened.options(f"{API}/orders", headers=asks)
        assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (200, PAGE)
        for ours in ("If-None-Match", "Last-Event-ID", "Idempotency-Key", "Authorization"):
            asked = await opened.options(f"{API}/orders", headers=asks | {"Access-Control-Request-Headers": ours})
            assert asked.status_code == 200, f"pages may not send {ours}"
        for path in ("orders", "nothing"):  # by the short way, and by the long one
            answer = await opened.get(f"{API}/{path}", headers=alpha.headers() | {"Origin": PAGE})
            assert answer.headers["access-control-allow-origin"] == PAGE
            assert "Origin" in answer.headers["vary"] and "access-control-allow-credentials" not in answer.headers
            other = await opened.get(f"{API}/{path}", headers=alpha.headers() | {"Origin": "https://evil.example"})
            assert "access-control-allow-origin" not in other.headers
            assert other.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("origins", ["*", "app.example.com", "https://app.example.com/", "https://*.example.com"])
def test_origins_are_named_one_by_one(origins: str, settings: ServeSettings) -> None:
    given = settings.model_dump() | {"cors_origins": origins}
    with pytest.raises(ValidationError, match="an origin is"):
        ServeSettings.model_validate(given)
