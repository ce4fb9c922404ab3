"""API keys: what they may, how they end, how fast they may ask; by the short way and the long one."""

from __future__ import annotations

import asyncio
import hashlib
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from api_routes import GUARDED, Route
from api_world import API, Business
from fastapi import FastAPI
from sqlalchemy import text
from test_api_sessions import bearer, newcomer, sign_in
from test_short_way import LongWay

from flipsync.domain.clock import utc_now
from flipsync.domain.ids import new_id
from flipsync.security.api_keys import new_key
from flipsync.security.roles import EVERYBODYS, GRANTS, PERSONS_ONLY
from serve.backend import Backend


async def make(
    client: httpx2.AsyncClient, headers: dict[str, str], *permissions: str, days: float = 1, **more: Any
) -> httpx2.Response:
    form = {
        "name": "printer",
        "permissions": list(permissions),
        "expires_at": (utc_now() + timedelta(days=days)).isoformat(),
        **more,
    }
    return await client.post(f"{API}/api-keys", json=form, headers=headers | {"Idempotency-Key": new_id().hex})


def key(answer: httpx2.Response) -> dict[str, str]:
    assert answer.status_code == 201, answer.text
    return {"Authorization": f"Bearer {answer.json()['key']}"}


@pytest.fixture
def ways(client: httpx2.AsyncClient, app: FastAPI) -> tuple[httpx2.AsyncClient, httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=LongWay(app), raise_app_exceptions=False)
    return client, httpx2.AsyncClient(transport=transport, base_url="http://api.test")


async def test_a_key_opens_what_it_was_made_for_until_it_is_revoked(
    ways: tuple[httpx2.AsyncClient, ...], alpha: Business, beta: Business, backend: Backend
) -> None:
    made = await make(ways[0], alpha.headers(), "orders:read", "listings:read")
    view, headers = made.json(), key(made)
    assert view["key"].startswith(f"{view['prefix']}_") and view["prefix"].startswith("fs_")
    assert view["last_used_at"] is None and view["permissions"] == ["listings:read", "orders:read"]
    for way in ways * 2:  # the first time it is looked up, then it is known
        own = await way.get(f"{API}/orders/{alpha.ids['order_id']}", headers=headers)
        assert own.status_code == 200 and own.json()["ship_to"] is None, "customers:read was not asked for"
        assert (await way.get(f"{API}/orders/{beta.ids['order_id']}", headers=headers)).status_code == 404
        refused = await way.get(f"{API}/products", headers=headers)
        assert (refused.status_code, refused.json()["hint"]) == (403, "it needs catalogue:read")
    shown = (await ways[0].get(f"{API}/api-keys/{view['id']}", headers=alpha.headers())).json()
    assert shown["last_used_at"] is not None and "key" not in shown
    assert (await ways[0].delete(f"{API}/api-keys/{view['id']}", headers=alpha.headers())).status_code == 204
    for way in ways:
        answer = await way.get(f"{API}/orders", headers=headers)
        assert (answer.status_code, answer.json()["type"]) == (401, "urn:flipsync:error:unauthenticated"), "at once"
    async with backend.store.reader(alpha.tenant_id) as session:
        stored = (await session.execute(text("SELECT k::text FROM api_key k"))).scalars().all()
    assert view["key"] not in "".join(stored) and view["key"].rpartition("_")[2] not in "".join(stored)
    assert hashlib.sha256(view["key"].encode()).hexdigest() in "".join(stored)


async def test_a_repeated_request_shows_no_key_again(client: httpx2.AsyncClient, alpha: Business) -> None:
    form = {"name": "x", "permissions": ["orders:read"], "expires_at": (utc_now() + timedelta(days=1)).isoformat()}
    headers = alpha.headers(**{"Idempotency-Key": new_id().hex})
    first, again = [await client.post(f"{API}/api-keys", json=form, headers=headers) for _ in range(2)]
    assert first.json()["id"] == again.json()["id"]
    assert first.json()["key"] and again.json()["key"] is None


async def test_it_ends_with_its_time_its_maker_and_the_makers_role(
    ways: tuple[httpx2.AsyncClient, ...], backend: Backend, alpha: Business
) -> None:
    client = ways[0]
    email, user_id = await newcomer(backend, alpha)
    maker = bearer(await sign_in(client, email))
    brief = key(await make(client, maker, "orders:read", days=1.5 / 86_400))
    lasting = key(await make(client, maker, "orders:read", "pricing:read"))
    prices = f"{API}/pricing/variants/{alpha.ids['variant_id']}"
    for way in ways:
        assert [(await way.get(f"{API}/orders", headers=each)).status_code for each in (brief, lasting)] == [200, 200]
        assert (await way.get(prices, headers=lasting)).status_code == 200
    await asyncio.sleep(1.6)
    for way in ways:
        assert (await way.get(f"{API}/orders", headers=brief)).status_code == 401

    async def edit(version: int, **change: Any) -> int:
        headers = alpha.headers(**{"If-Match": f'"{version}"'})
        answer = await client.patch(f"{API}/users/{user_id}", json=change, headers=headers)
        return int(answer.json()["version"])

    version = await edit(1, role="clerk")
    assert backend.keys.known(lasting["Authorization"].removeprefix("Bearer ")) is not None, "and yet, at once"
    for way in ways:
        assert (await way.get(prices, headers=lasting)).status_code == 403, "a clerk's key sees no prices"
        assert (await way.get(f"{API}/orders", headers=lasting)).status_code == 200
    await edit(version, disabled=True)
    for way in ways:
        assert (await way.get(f"{API}/orders", headers=lasting)).status_code == 401


async def test_a_key_may_no_more_than_its_maker(client: httpx2.AsyncClient, alpha: Business) -> None:
    manager = alpha.headers("manager")
    beyond = await make(client, manager, "orders:read", "accounts:write")
    assert (beyond.status_code, beyond.json()["hint"]) == (403, "leave out: accounts:write")
    for permission in sorted(PERSONS_ONLY):
        assert (await make(client, alpha.headers(), permission)).status_code == 422
    assert (await make(client, alpha.headers(), "orders:read", days=400)).status_code == 422
    assert (await make(client, alpha.headers(), "orders:read", days=-1)).status_code == 422
    everything = key(await make(client, alpha.headers(), *sorted(GRANTS["owner"] - PERSONS_ONLY)))
    another = await make(client, everything, "orders:read")
    assert (another.status_code, another.json()["type"]) == (403, "urn:flipsync:error:forbidden")
    theirs = await make(client, manager, "orders:read")
    listed = (await client.get(f"{API}/api-keys", headers=manager)).json()["items"]
    assert {each["user_id"] for each in listed} == {str(alpha.users["manager"])}
    owners = f"{API}/api-keys/{alpha.ids['key_id']}"
    assert (await client.delete(owners, headers=manager)).status_code == 404
    assert (await client.delete(f"{API}/api-keys/{theirs.json()['id']}", headers=alpha.headers())).status_code == 204


async def test_each_key_has_a_pace_of_its_own(ways: tuple[httpx2.AsyncClient, ...], alpha: Business) -> None:
    slow, other = [key(await make(ways[0], alpha.headers(), "orders:read", per_minute=30)) for _ in range(2)]
    for way in ways:
        slow = key(await make(ways[0], alpha.headers(), "orders:read", per_minute=30))
        statuses = [(await way.get(f"{API}/orders", headers=slow)).status_code for _ in range(8)]
        assert statuses == [200] * 5 + [429] * 3
        refused = await way.get(f"{API}/orders", headers=slow)
        assert refused.json()["type"] == "urn:flipsync:error:too-many-requests"
        assert 1 <= int(refused.headers["retry-after"]) <= 2
        assert refused.headers["ratelimit-policy"] == '"key";q=5;w=10'
        assert re.fullmatch(r'"key";r=0;t=\d+', refused.headers["ratelimit"])
        assert (await way.get(f"{API}/orders", headers=other)).status_code == 200


@pytest.mark.parametrize("text_", ["fs_", "fs_abcdefgh_" + "x" * 43, "fs_ü", "fs_" + "x" * 5000])
async def test_made_up_keys_are_refused(text_: str, ways: tuple[httpx2.AsyncClient, ...], alpha: Business) -> None:
    for way in ways:
        headers = {"Authorization": f"Bearer {text_}".encode()}
        assert (await way.get(f"{API}/orders", headers=headers)).status_code == 401  # type: ignore[arg-type]


def test_keys_are_random_and_named_by_their_beginning() -> None:
    made = [new_key() for _ in range(200)]
    assert len({each.text for each in made}) == 200
    assert all(each.text.startswith(each.prefix + "_") and len(each.text) == 55 for each in made)
    assert made[0].text not in repr(made[0])


@pytest.mark.parametrize("route", [r for r in GUARDED if r.permission not in PERSONS_ONLY], ids=str)
async def test_every_route_takes_a_key_made_for_it_and_no_other(
    route: Route, client: httpx2.AsyncClient, backend: Backend, alpha: Business, keys: dict[str, dict[str, str]]
) -> None:
    assert route.permission is not None
    nowhere = replace(alpha, ids={name: new_id() for name in alpha.ids})
    request = route.request(nowhere)
    more = request.pop("headers")
    if route.path.endswith("/products/imports"):
        request |= {"data": {"dry_run": "true"}}
    right_key = keys[route.permission]
    if len(route.permissions) > 1:
        for part in route.permissions:
            answer = await client.request(route.method, route.url(nowhere), headers=more | keys[part], **request)
            assert answer.status_code == 403, f"{part} alone does not do"
        right_key = key(await make(client, alpha.headers(), *route.permissions))
    right = await client.request(route.method, route.url(nowhere), headers=more | right_key, **request)
    assert right.status_code not in (401, 403), right.text
    if route.permission in EVERYBODYS:
        return
    wrong = keys["events:read" if route.permission != "events:read" else "orders:read"]
    answer = await client.request(route.method, route.url(nowhere), headers=more | wrong, **request)
    assert answer.status_code == 403


@pytest.fixture(scope="module")
async def keys(app: FastAPI, alpha: Business) -> dict[str, dict[str, str]]:
    """A key of each kind."""
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://api.test") as client:
        return {
            permission: key(await make(client, alpha.headers(), permission, per_minute=6000))
            for permission in sorted(GRANTS["owner"] - PERSONS_ONLY)
        }


async def test_no_route_for_people_takes_a_key(client: httpx2.AsyncClient, alpha: Business, keys: Any) -> None:
    for route in [r for r in GUARDED if r.permission in PERSONS_ONLY]:
        request = route.request(alpha)
        headers = request.pop("headers") | keys["orders:read"]
        answer = await client.request(route.method, route.url(alpha), headers=headers, **request)
        assert answer.status_code == 403, str(route)
