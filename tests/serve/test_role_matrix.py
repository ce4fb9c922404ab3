"""Who may do what, tried over every route and role; and that nothing but what is meant to be open is open."""

from __future__ import annotations

from dataclasses import replace

import httpx2
import pytest
from api_routes import GUARDED, OPEN, Route
from api_world import API, Business
from fastapi import APIRouter
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from flipsync.domain.ids import new_id
from flipsync.security.roles import ROLES, RoleKind
from serve.deps import signed_in
from serve.pacing import NOBODY
from serve.routes import ROUTERS

#: written down here on purpose, apart from the code: a change of rights has to be made twice
ALLOWED: dict[str, set[RoleKind]] = {
    "accounts:read": {"owner", "manager", "analyst"},
    "accounts:write": {"owner"},
    "agents:read": {"owner", "manager", "analyst"},
    "agents:write": {"owner", "manager"},
    "analytics:read": {"owner", "manager", "analyst"},
    "approvals:answer": {"owner", "manager"},
    "approvals:read": {"owner", "manager", "analyst"},
    "audit:read": {"owner"},
    "catalogue:read": {"owner", "manager", "clerk", "analyst", "read-only"},
    "catalogue:write": {"owner", "manager", "clerk"},
    "decisions:read": {"owner", "manager", "analyst"},
    "events:read": {"owner", "manager", "clerk", "analyst", "custom"},
    "inventory:read": {"owner", "manager", "clerk", "analyst", "read-only"},
    "inventory:write": {"owner", "manager", "clerk"},
    "keys:read": {"owner", "manager", "custom"},
    "keys:write": {"owner", "manager", "custom"},
    "listings:read": {"owner", "manager", "clerk", "analyst", "read-only"},
    "orders:read": {"owner", "manager", "clerk", "analyst", "read-only", "custom"},
    "orders:refund": {"owner", "manager"},
    "models:read": {"owner", "manager", "analyst"},
    "models:write": {"owner", "manager"},
    "orders:ship": {"owner", "manager", "clerk", "custom"},
    "pricing:read": {"owner", "manager", "analyst", "custom"},
    "pricing:write": {"owner", "manager"},
    "privacy:erase": {"owner"},
    "privacy:read": {"owner", "manager"},
    "purchasing:read": {"owner", "manager", "analyst"},
    "purchasing:write": {"owner", "manager", "custom"},
    "self:manage": {"owner", "manager", "clerk", "analyst", "read-only", "custom"},
    "self:read": {"owner", "manager", "clerk", "analyst", "read-only", "custom"},
    "sync:use": {"owner", "manager", "clerk", "analyst", "read-only"},
    "users:read": {"owner", "manager", "custom"},
    "users:write": {"owner"},
    "strategy:read": {"owner", "manager", "analyst"},
    "strategy:write": {"owner"},
}
#: the role that each business of the tests has defined itself (api_world)
OWN: tuple[RoleKind, ...] = ("custom",)


def test_only_these_routes_are_open() -> None:
    assert {str(route).replace(API, "") for route in OPEN} == {
        "POST /auth/login",
        "POST /auth/refresh",
        "POST /auth/logout",
        "POST /auth/login/second-factor",
        "POST /auth/login/second-factor/passkey",
        "POST /auth/login/passkey",
        "POST /auth/login/passkey/challenge",
        "POST /auth/login/provider",
        "GET /auth/providers",
        "POST /auth/providers/{provider}/sign-in",
        "POST /auth/invitations/accept",
        "GET /webhooks/{token}",
        "POST /webhooks/{token}",
        "GET /oauth/callback/{vendor}",
        "POST /oauth/keys/{vendor}",
        "GET /monitoring/health",
        "GET /monitoring/ready",
        "GET /monitoring/metrics",
    }


@pytest.mark.parametrize("router", ROUTERS, ids=lambda router: str(router.prefix) + str(router.tags))
def test_what_asks_nobody_who_they_are_has_a_pace(router: APIRouter) -> None:
    for route in router.routes:
        if isinstance(route, APIRoute):
            asks = any(each.call is not None and _knows(each) for each in route.dependant.dependencies)
            assert (NOBODY[tuple(route.dependencies)] is None) is asks, route.path


def _knows(dependant: Dependant) -> bool:
    return dependant.call is signed_in or any(_knows(each) for each in dependant.dependencies)


@pytest.mark.parametrize("route", GUARDED, ids=str)
async def test_each_role_may_do_just_what_the_table_says(
    route: Route, client: httpx2.AsyncClient, alpha: Business
) -> None:
    nowhere = replace(alpha, ids={name: new_id() for name in alpha.ids})  # nothing is really changed
    for role in (*ROLES, *OWN):
        request = route.request(nowhere)
        headers = request.pop("headers") | alpha.headers(role)
        if "files" in request:
            request |= {"data": {"dry_run": "true"}}
        answer = await client.request(route.method, route.url(nowhere), headers=headers, **request)
        assert route.permission is not None
        if all(role in ALLOWED[permission] for permission in route.permissions):
            assert answer.status_code not in (401, 403), (role, answer.text)
        else:
            assert (answer.status_code, answer.json()["type"]) == (403, "urn:flipsync:error:forbidden"), role
            assert route.permission in answer.json()["hint"]


@pytest.mark.parametrize("route", GUARDED, ids=str)
@pytest.mark.parametrize(
    "authorization",
    [None, "Bearer ", "Bearer not-a-token", "Basic b3duZXI6cGFzc3dvcmQ=", "bearer eyJhbGciOiJub25lIn0.e30."],
)
async def test_nobody_gets_in_without_a_valid_token(
    route: Route, authorization: str | None, client: httpx2.AsyncClient, alpha: Business
) -> None:
    request = route.request(alpha)
    headers = request.pop("headers") | ({"Authorization": authorization} if authorization is not None else {})
    answer = await client.request(route.method, route.url(alpha), headers=headers, **request)
    assert (answer.status_code, answer.json()["type"]) == (401, "urn:flipsync:error:unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("role", "sees"), [("owner", True), ("clerk", True), ("custom", True), ("analyst", False), ("read-only", False)]
)
async def test_a_buyers_address_is_shown_only_to_who_needs_it(
    role: RoleKind, sees: bool, client: httpx2.AsyncClient, alpha: Business
) -> None:
    answer = await client.get(f"{API}/orders/{alpha.ids['order_id']}", headers=alpha.headers(role))
    assert answer.status_code == 200
    assert (answer.json()["ship_to"] is not None) == sees
    assert ("buyer" in answer.text) == sees
