"""Sessions by device, ended one by one; and the proof that money asks for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx2
import pytest
from api_routes import GUARDED, Route
from api_world import API, PASSWORD, Business

from flipsync.domain.clock import utc_now
from flipsync.domain.ids import new_id
from flipsync.services import identity
from flipsync.store import models as m
from serve.api import Api
from serve.backend import Backend
from serve.deps import may_after_proof

#: written down here on purpose, apart from the code: what moves money or opens doors
ASKS_FOR_PROOF = {
    "DELETE /auth/identities/{identity_id}",
    "DELETE /auth/passkeys/{passkey_id}",
    "DELETE /auth/second-factor",
    "PATCH /pricing/variants/{variant_id}",
    "PATCH /settings",
    "DELETE /users/roles/{role_id}",
    "PATCH /users/roles/{role_id}",
    "PATCH /users/{user_id}",
    "POST /api-keys",
    "POST /auth/identities",
    "POST /auth/passkeys",
    "POST /auth/passkeys/registration",
    "POST /auth/providers/{provider}/link",
    "POST /auth/second-factor",
    "POST /auth/second-factor/confirm",
    "POST /auth/second-factor/recovery-codes",
    "PATCH /strategy/goals",
    "PATCH /suppliers/{supplier_id}",
    "POST /inventory/purchase-orders/{purchase_order_id}/ordered",
    "POST /inventory/purchase-orders/{purchase_order_id}/place",
    "POST /suppliers",
    "POST /marketplace/accounts",
    "POST /marketplace/accounts/{account_id}/disconnect",
    "POST /models/rollback",
    "POST /models/{model_id}/promote",
    "POST /oauth/consents",
    "POST /orders/refunds/{refund_id}/settlement",
    "POST /orders/{order_id}/refunds",
    "POST /privacy/buyers/erase",
    "POST /privacy/users/{user_id}/erase",
    "POST /strategy/changes/{change_id}/undo",
    "POST /strategy/directives/{directive_id}/end",
    "POST /users",
    "POST /users/roles",
    "POST /users/{user_id}/invitation",
    "POST /workflows",
    "POST /workflows/{workflow_id}/resume",
    "PUT /advertising/limits",
    "PUT /marketplace/accounts/{account_id}/credentials",
}


async def sign_in(client: httpx2.AsyncClient, email: str, device: str = "", **more: str) -> dict[str, Any]:
    form = {"email": email, "password": PASSWORD, "device": device}
    answer = await client.post(f"{API}/auth/login", json=form, headers=more)
    assert answer.status_code == 200, answer.text
    session: dict[str, Any] = answer.json()
    return session


def bearer(session: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {session['access_token']}"}


async def newcomer(backend: Backend, business: Business, role: Any = "owner") -> tuple[str, Any]:
    """A user of their own for a test that ends sessions."""
    email = f"{new_id().hex}@{business.marker}.example"
    async with backend.store.unit(business.tenant_id) as unit:
        return email, await identity.add_user(unit, backend.passwords, email=email, password=PASSWORD, role=role)


async def test_devices_are_listed_and_one_is_ended_at_once(
    client: httpx2.AsyncClient, backend: Backend, alpha: Business
) -> None:
    email, _ = await newcomer(backend, alpha)
    phone = await sign_in(client, email, "Ana's phone", **{"X-Forwarded-For": "203.0.113.7"})
    laptop = await sign_in(client, email, "laptop")
    listed = (await client.get(f"{API}/auth/sessions", headers=bearer(laptop))).json()["items"]
    assert [(each["device"], each["current"]) for each in listed] == [("laptop", True), ("Ana's phone", False)]
    assert listed[1]["address"] == "203.0.113.7"
    renewed = await client.post(f"{API}/auth/refresh", json={"refresh_token": phone["refresh_token"]})
    listed = (await client.get(f"{API}/auth/sessions", headers=bearer(laptop))).json()["items"]
    assert [each["device"] for each in listed] == ["Ana's phone", "laptop"], "last used first"
    assert listed[0]["last_used_at"] > listed[0]["created_at"]

    gone = await client.delete(f"{API}/auth/sessions/{listed[0]['id']}", headers=bearer(laptop))
    assert gone.status_code == 204
    for tokens in (phone, renewed.json()):
        answer = await client.get(f"{API}/orders", headers=bearer(tokens))
        assert (answer.status_code, answer.json()["type"]) == (401, "urn:flipsync:error:unauthenticated")
    again = await client.post(f"{API}/auth/refresh", json={"refresh_token": renewed.json()["refresh_token"]})
    assert again.status_code == 401
    assert (await client.get(f"{API}/orders", headers=bearer(laptop))).status_code == 200
    twice = await client.delete(f"{API}/auth/sessions/{listed[0]['id']}", headers=bearer(laptop))
    assert twice.status_code == 404


async def test_all_others_are_ended_and_a_colleagues_are_left_alone(
    client: httpx2.AsyncClient, backend: Backend, alpha: Business
) -> None:
    email, _ = await newcomer(backend, alpha)
    here, *others = [await sign_in(client, email, name) for name in ("here", "there", "elsewhere")]
    colleague = await sign_in(client, (await newcomer(backend, alpha))[0])
    ended = await client.delete(f"{API}/auth/sessions", headers=bearer(here))
    assert ended.json() == {"ended": 2}
    statuses = [(await client.get(f"{API}/orders", headers=bearer(s))).status_code for s in (here, *others, colleague)]
    assert statuses == [200, 401, 401, 200]
    listed = (await client.get(f"{API}/auth/sessions", headers=bearer(colleague))).json()["items"]
    theirs = await client.delete(f"{API}/auth/sessions/{listed[0]['id']}", headers=bearer(here))
    assert theirs.status_code == 404, "one's own only"


async def test_signing_out_and_a_copied_token_end_the_access_token_at_once(
    client: httpx2.AsyncClient, alpha: Business
) -> None:
    session = await sign_in(client, alpha.email("clerk"))
    await client.post(f"{API}/auth/logout", json={"refresh_token": session["refresh_token"]})
    assert (await client.get(f"{API}/orders", headers=bearer(session))).status_code == 401
    stolen = await sign_in(client, alpha.email("clerk"))
    renewed = await client.post(f"{API}/auth/refresh", json={"refresh_token": stolen["refresh_token"]})
    for token in (renewed.json()["refresh_token"], stolen["refresh_token"]):
        await client.post(f"{API}/auth/refresh", json={"refresh_token": token})
    assert (await client.get(f"{API}/orders", headers=bearer(stolen))).status_code == 401


def _asks_for_proof(app: Api, route: Route) -> bool:
    scope = {"type": "http", "method": route.method, "path": route.path}
    found = next(r for r in _flat(app) if r.path == scope["path"] and route.method in r.methods)
    return any(d.call is may_after_proof("orders:read").dependency for d in found.dependant.dependencies)


def _flat(app: Api) -> list[Any]:
    from serve import routes

    return [route for router in routes.ROUTERS for route in router.routes if hasattr(route, "dependant")]


def test_what_asks_for_a_proof(app: Api) -> None:
    assert {str(r).replace(API, "") for r in GUARDED if _asks_for_proof(app, r)} == ASKS_FOR_PROOF


@pytest.mark.parametrize("route", [r for r in GUARDED if str(r).replace(API, "") in ASKS_FOR_PROOF], ids=str)
async def test_an_old_proof_is_not_enough_for_money(
    route: Route, client: httpx2.AsyncClient, backend: Backend, alpha: Business
) -> None:
    session_id = new_id()
    async with backend.store.unit(alpha.tenant_id) as unit:
        old = utc_now() - timedelta(minutes=11)
        unit.session.add(
            m.UserSession(
                id=session_id,
                tenant_id=alpha.tenant_id,
                user_id=alpha.users["owner"],
                proven_at=old,
                expires_at=utc_now() + timedelta(days=1),
            )
        )
    token = backend.tokens.issue(
        user_id=alpha.users["owner"], tenant_id=alpha.tenant_id, role="owner", session_id=session_id
    )
    request = route.request(alpha)
    headers = request.pop("headers") | {"Authorization": f"Bearer {token}"}
    answer = await client.request(route.method, route.url(alpha), headers=headers, **request)
    assert (answer.status_code, answer.json()["type"]) == (401, "urn:flipsync:error:step-up-required")
    assert answer.headers["www-authenticate"].startswith('Bearer error="insufficient_user_authentication"')
    assert "/auth/step-up" in answer.json()["hint"]
    assert (await client.get(f"{API}/orders", headers=headers)).status_code == 200, "reading goes on"


async def test_stepping_up_by_password(client: httpx2.AsyncClient, backend: Backend, alpha: Business) -> None:
    email, _ = await newcomer(backend, alpha)
    session = await sign_in(client, email)
    path = f"{API}/users/{alpha.ids['user_id']}/invitation"
    assert (await client.post(path, headers=bearer(session))).status_code == 200, "signing in is a proof"
    async with backend.store.unit(alpha.tenant_id) as unit:
        row = await unit.session.get(m.UserSession, backend.tokens.read(session["access_token"]).session_id)
        assert row is not None
        row.proven_at = utc_now() - timedelta(hours=1)
    assert (await client.post(path, headers=bearer(session))).json()["type"] == "urn:flipsync:error:step-up-required"
    wrong = await client.post(f"{API}/auth/step-up", json={"password": "not it"}, headers=bearer(session))
    assert wrong.status_code == 422
    assert (await client.post(path, headers=bearer(session))).status_code == 401
    right = await client.post(f"{API}/auth/step-up", json={"password": PASSWORD}, headers=bearer(session))
    assert right.status_code == 200 and right.json()["proven_until"]
    assert (await client.post(path, headers=bearer(session))).status_code == 200
    guesses = [
        await client.post(f"{API}/auth/step-up", json={"password": f"guess {n}"}, headers=bearer(session))
        for n in range(11)
    ]
    assert [answer.status_code for answer in guesses] == [422] * 10 + [429]
