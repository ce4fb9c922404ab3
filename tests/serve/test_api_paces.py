"""Sessions and whoever does not say who they are have a pace, as API keys have; by the short way and the long one."""

from __future__ import annotations

import re
from typing import Any

import httpx2
import pytest
from api_routes import OPEN, Route
from api_world import API, Business
from test_api_keys import ways
from test_api_sessions import bearer, newcomer, sign_in

from flipsync.security.paces import Paces
from serve.backend import Backend

__all__ = ["ways"]


def _paces(name: str) -> Paces:
    """Five at once, and then one in more minutes than the tests take."""
    return Paces(name, 30, replicas=100)


def _refused(answer: httpx2.Response, name: str) -> None:
    assert (answer.status_code, answer.json()["type"]) == (429, "urn:flipsync:error:too-many-requests"), answer.text
    assert answer.json()["detail"] == f"this {name} asks too often"
    assert 100 < int(answer.headers["retry-after"]) <= 200
    assert answer.headers["ratelimit-policy"] == f'"{name}";q=5;w=1000'
    assert re.fullmatch(rf'"{name}";r=0;t=(9\d\d|1000)', answer.headers["ratelimit"])


async def test_a_session_has_a_pace_whatever_it_asks_and_others_have_theirs(
    ways: tuple[httpx2.AsyncClient, ...], backend: Backend, alpha: Business, monkeypatch: pytest.MonkeyPatch
) -> None:
    email, _ = await newcomer(backend, alpha)
    for way in ways:
        monkeypatch.setattr(backend, "session_paces", _paces("session"))
        quick, calm = [bearer(await sign_in(ways[0], email)) for _ in range(2)]
        paths = [("GET", "orders"), ("GET", "audit"), ("POST", "nothing-there"), ("GET", "products"), ("GET", "users")]
        told = []
        for method, path in paths:
            answer = await way.request(method, f"{API}/{path}", headers=quick)
            told.append((answer.status_code, answer.headers.get("ratelimit", "")[:14]))
        assert told[0] == (200, '"session";r=4;') and told[2] == (404, ""), told
        assert (await way.get(f"{API}/orders", headers=quick)).status_code == 200
        _refused(await way.get(f"{API}/orders", headers=quick), "session")
        _refused(await way.post(f"{API}/notifications/read-all", headers=quick), "session")
        assert (await way.get(f"{API}/orders", headers=calm)).status_code == 200


@pytest.mark.parametrize("route", OPEN, ids=str)
async def test_who_does_not_say_who_they_are_has_a_pace_by_address(
    route: Route,
    ways: tuple[httpx2.AsyncClient, ...],
    backend: Backend,
    alpha: Business,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kind = "webhook" if "webhooks" in route.path else "address"
    request: dict[str, Any] = route.request(alpha)
    more = request.pop("headers") | {"X-Forwarded-For": "2001:db8:5::1"}
    for way in ways:
        monkeypatch.setattr(backend, "nobody_paces", backend.nobody_paces | {kind: _paces("address")})
        for _ in range(5):
            backend.nobody_paces[kind].take("2001:db8:5::/64")
        _refused(await way.request(route.method, route.url(alpha), headers=more, **request), "address")
        elsewhere = more | {"X-Forwarded-For": "2001:db8:5::1, 2001:db8:6::1"}
        assert (await way.request(route.method, route.url(alpha), headers=elsewhere, **request)).status_code != 429


async def test_tokens_that_are_none_are_paced_by_address(
    ways: tuple[httpx2.AsyncClient, ...], backend: Backend, alpha: Business, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "nobody_paces", backend.nobody_paces | {"address": _paces("address")})
    here = {"X-Forwarded-For": "192.0.2.55"}
    for n, way in enumerate((*ways, *ways, ways[0])):
        token = {"Authorization": f"Bearer {'fs_' if n % 2 else ''}guess{n}"} if n else {}
        assert (await way.get(f"{API}/orders", headers=here | token)).status_code == 401
    for way in ways:
        _refused(await way.get(f"{API}/orders", headers=here | {"Authorization": "Bearer guess"}), "address")
        assert (await way.get(f"{API}/orders", headers=here | alpha.headers())).status_code == 200
