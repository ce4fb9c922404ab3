"""The people of a business: invited, promoted, let go; and the one who must stay."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest
from api_world import API, PASSWORD, Business
from test_api_sessions import bearer, newcomer, sign_in

from flipsync.domain.ids import new_id
from flipsync.services import identity
from serve.backend import Backend

STRONG = "seven teapots on a slow boat"


async def _patch(client: httpx2.AsyncClient, user: Any, version: int, headers: Any, **edit: Any) -> httpx2.Response:
    return await client.patch(f"{API}/users/{user}", json=edit, headers=headers | {"If-Match": f'"{version}"'})


async def test_from_invitation_to_the_door(client: httpx2.AsyncClient, alpha: Business, backend: Backend) -> None:
    email = f"{new_id().hex}@{alpha.marker}.example"
    key = {"Idempotency-Key": new_id().hex}
    invited = await client.post(f"{API}/users", json={"email": email, "role": "clerk"}, headers=alpha.headers() | key)
    assert invited.status_code == 201, invited.text
    user = invited.json()
    assert (user["status"], user["role"], user["version"]) == ("invited", "clerk", 1)
    refused = await client.post(f"{API}/auth/login", json={"email": email, "password": ""})
    assert refused.status_code == 401, "no password is not an empty one"

    async def accept(password: str, invitation: str = user["invitation"]) -> httpx2.Response:
        form = {"invitation": invitation, "password": password}
        return await client.post(f"{API}/auth/invitations/accept", json=form)

    weak = await accept(f"{alpha.marker}2026")
    assert (weak.status_code, weak.json()["detail"]) == (422, "this password is too easy to guess")
    assert (await accept(STRONG, alpha.headers()["Authorization"].removeprefix("Bearer "))).status_code == 401
    answers = await asyncio.gather(accept(STRONG), accept(STRONG))
    assert sorted(answer.status_code for answer in answers) == [204, 401]
    assert (await accept(STRONG)).status_code == 401, "an invitation serves once"
    session = await client.post(f"{API}/auth/login", json={"email": email, "password": STRONG})
    assert session.json()["role"] == "clerk"
    taken = await client.post(
        f"{API}/users",
        json={"email": email.upper(), "role": "owner"},
        headers=alpha.headers(**{"Idempotency-Key": new_id().hex}),
    )
    assert taken.status_code == 409


async def test_who_forgot_their_password_chooses_another_by_an_invitation(
    client: httpx2.AsyncClient, alpha: Business, backend: Backend
) -> None:
    email, user_id = await newcomer(backend, alpha, "manager")
    thief = await sign_in(client, email)
    url = f"{API}/users/{user_id}/invitation"
    assert (await client.post(url, headers=alpha.headers("manager"))).status_code == 403
    offers = [(await client.post(url, headers=alpha.headers())).json()["invitation"] for _ in range(2)]
    assert (await sign_in(client, email))["role"] == "manager", "until another is chosen the old one serves"

    async def choose(invitation: str, password: str) -> int:
        form = {"invitation": invitation, "password": password}
        return (await client.post(f"{API}/auth/invitations/accept", json=form)).status_code

    assert await choose(offers[0], email) == 422
    answers = await asyncio.gather(*(choose(offer, STRONG) for offer in offers))
    assert sorted(answers) == [204, 401], "whichever came first; both went with the password that is gone"
    assert (await client.get(f"{API}/orders", headers=bearer(thief))).status_code == 401, "every session ended"
    refused = await client.post(f"{API}/auth/login", json={"email": email, "password": PASSWORD})
    assert refused.status_code == 401
    await client.post(f"{API}/auth/login", json={"email": email, "password": STRONG})
    changed = (await client.post(url, headers=alpha.headers())).json()["invitation"]
    version = (await client.get(f"{API}/users/{user_id}", headers=alpha.headers())).json()["version"]
    assert (await _patch(client, user_id, version, alpha.headers(), disabled=True)).status_code == 200
    assert await choose(changed, "nine teapots on a slower boat") == 401
    assert (await client.post(url, headers=alpha.headers())).status_code == 409


async def test_a_new_role_and_a_lock_out_hold_at_once(
    client: httpx2.AsyncClient, alpha: Business, backend: Backend
) -> None:
    email, user_id = await newcomer(backend, alpha, "manager")
    session = await sign_in(client, email)
    assert (await client.get(f"{API}/pricing/variants/{alpha.ids['variant_id']}", headers=bearer(session))).is_success
    shown = await client.get(f"{API}/users/{user_id}", headers=alpha.headers())
    assert shown.headers["etag"] == '"1"'
    stale = await _patch(client, user_id, 7, alpha.headers(), role="clerk")
    assert (stale.status_code, stale.json()["type"]) == (412, "urn:flipsync:error:version-mismatch")
    changed = await _patch(client, user_id, 1, alpha.headers(), role="clerk")
    assert (changed.json()["role"], changed.headers["etag"]) == ("clerk", '"2"')
    assert (await client.get(f"{API}/orders", headers=bearer(session))).status_code == 401, "it says manager"
    renewed = await client.post(f"{API}/auth/refresh", json={"refresh_token": session["refresh_token"]})
    assert renewed.json()["role"] == "clerk"
    locked = await _patch(client, user_id, 2, alpha.headers(), disabled=True)
    assert locked.json()["status"] == "disabled"
    assert (await client.get(f"{API}/orders", headers=bearer(renewed.json()))).status_code == 401
    back = await _patch(client, user_id, locked.json()["version"], alpha.headers(), disabled=False)
    assert back.json()["status"] == "active"
    assert (await client.get(f"{API}/orders", headers=bearer(renewed.json()))).status_code == 401, "it ended"
    await sign_in(client, email)


@pytest.mark.parametrize("edit", [{"role": "manager"}, {"disabled": True}])
async def test_the_last_owner_stays(client: httpx2.AsyncClient, backend: Backend, edit: dict[str, Any]) -> None:
    marker = new_id().hex
    tenant_id, first = await identity.create_tenant_with_owner(
        backend.store, backend.passwords, tenant_name="Two", email=f"a@{marker}.example", password=PASSWORD
    )
    headers = bearer(await sign_in(client, f"a@{marker}.example"))
    form = {"email": f"b@{marker}.example", "role": "owner"}
    invited = await client.post(f"{API}/users", json=form, headers=headers | {"Idempotency-Key": "b"})
    alone = await _patch(client, first, 1, headers, **edit)
    assert (alone.status_code, alone.json()["detail"]) == (409, "this is the last owner"), "an invitation is no owner"
    accept = {"invitation": invited.json()["invitation"], "password": STRONG}
    assert (await client.post(f"{API}/auth/invitations/accept", json=accept)).status_code == 204
    # two owners who let each other go at the same moment: one stays
    answers = await asyncio.gather(
        _patch(client, first, 1, headers, **edit), _patch(client, invited.json()["id"], 2, headers, **edit)
    )
    assert sorted(answer.status_code for answer in answers) in ([200, 409], [200, 401])
    async with backend.store.reader(tenant_id) as session:
        from flipsync.store.repositories.identity import an_owner

        assert await an_owner(session) is not None


async def test_ones_own_password(client: httpx2.AsyncClient, alpha: Business, backend: Backend) -> None:
    email, _ = await newcomer(backend, alpha, "read-only")
    here, there = await sign_in(client, email), await sign_in(client, email)

    async def change(old: str, new: str) -> httpx2.Response:
        form = {"old_password": old, "new_password": new}
        return await client.put(f"{API}/auth/password", json=form, headers=bearer(here))

    assert (await change("not it", STRONG)).json()["detail"] == "the old password is wrong"
    for weak in ("Password123!", "short", "qwertyuiop", email.partition("@")[0], f"{alpha.marker} Ltd 1", "a" * 60):
        answer = await change(PASSWORD, weak)
        assert answer.status_code == 422, weak
        assert weak not in answer.text
    assert (await change(PASSWORD, STRONG)).status_code == 204
    assert (await client.get(f"{API}/orders", headers=bearer(here))).status_code == 200
    assert (await client.get(f"{API}/orders", headers=bearer(there))).status_code == 401
    old = await client.post(f"{API}/auth/login", json={"email": email, "password": PASSWORD})
    new = await client.post(f"{API}/auth/login", json={"email": email, "password": STRONG})
    assert (old.status_code, new.status_code) == (401, 200)
