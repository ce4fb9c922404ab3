"""Roles a business defines itself: what they open, how a change holds, and all the ways to get more than one has."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from api_world import API, PASSWORD, Business
from fastapi import FastAPI
from sqlalchemy import text
from test_api_keys import key, make
from test_api_sessions import bearer, newcomer, sign_in
from test_short_way import LongWay

from flipsync.domain.clock import utc_now
from flipsync.domain.errors import Forbidden
from flipsync.domain.ids import new_id
from flipsync.security.roles import GRANTS, OWNERS_ONLY, PERMISSIONS, OwnRole, Permission, RoleKind
from flipsync.services import own_roles, users
from flipsync.services.own_roles import RoleEdit, RoleForm, RoleWish
from flipsync.services.users import UserEdit
from flipsync.store import models as m
from flipsync.store.pipeline import ReadPipeline
from serve.backend import Backend

ROLES = f"{API}/users/roles"


async def define(client: httpx2.AsyncClient, headers: dict[str, str], *permissions: str, name: str = "") -> Any:
    answer = await post(client, headers, name or f"role {new_id().hex}", list(permissions))
    assert answer.status_code == 201, answer.text
    return answer.json()


async def post(client: httpx2.AsyncClient, headers: dict[str, str], name: Any, permissions: Any) -> httpx2.Response:
    once = {"Idempotency-Key": new_id().hex}
    return await client.post(ROLES, json={"name": name, "permissions": permissions}, headers=headers | once)


async def patch(
    client: httpx2.AsyncClient, headers: dict[str, str], role: Any, version: int | None = None, **edit: Any
) -> httpx2.Response:
    match = {"If-Match": f'"{version or role["version"]}"'}
    return await client.patch(f"{ROLES}/{role['id']}", json=edit, headers=headers | match)


async def delete(client: httpx2.AsyncClient, headers: dict[str, str], role: Any, version: int = 1) -> httpx2.Response:
    return await client.delete(f"{ROLES}/{role['id']}", headers=headers | {"If-Match": f'"{version}"'})


async def give(client: httpx2.AsyncClient, headers: dict[str, str], user_id: Any, **wish: Any) -> httpx2.Response:
    shown = await client.get(f"{API}/users/{user_id}", headers=headers)
    match = {"If-Match": shown.headers.get("etag", '"1"')}
    return await client.patch(f"{API}/users/{user_id}", json=wish, headers=headers | match)


async def person(
    client: httpx2.AsyncClient, backend: Backend, business: Business, role: dict[str, Any]
) -> tuple[UUID, dict[str, Any]]:
    """Somebody who has the role, signed in."""
    email, user_id = await newcomer(backend, business, "clerk")
    assert (await give(client, business.headers(), user_id, role_id=role["id"])).status_code == 200
    return user_id, await sign_in(client, email)


@pytest.fixture
def ways(client: httpx2.AsyncClient, app: FastAPI) -> tuple[httpx2.AsyncClient, httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=LongWay(app), raise_app_exceptions=False)
    return client, httpx2.AsyncClient(transport=transport, base_url="http://api.test")


async def audited(backend: Backend, business: Business, subject: Any) -> list[tuple[str, dict[str, Any]]]:
    async with backend.store.reader(business.tenant_id) as session:
        found = await session.execute(
            text("SELECT action, details FROM audit_entry WHERE subject_id = :id ORDER BY seq"), {"id": str(subject)}
        )
        return [(row.action, row.details) for row in found]


# -- what it is for ---------------------------------------------------------------------------------------------------


async def test_from_its_definition_to_its_end(
    ways: tuple[httpx2.AsyncClient, ...], alpha: Business, backend: Backend
) -> None:
    client, owner = ways[0], alpha.headers()
    name = f"price watcher {new_id().hex[:8]}"
    role = await define(client, owner, "pricing:read", "orders:read", "orders:read", name=f"  {name} ")
    assert (role["name"], role["people"], role["version"]) == (name, 0, 1)
    assert role["permissions"] == ["orders:read", "pricing:read", "self:manage", "self:read"]
    listed = (await client.get(ROLES, headers=owner)).json()
    assert role in listed["items"]
    assert {each["name"]: set(each["permissions"]) for each in listed["built_in"]} == GRANTS
    assert listed["owners_only"] == ["accounts:write", "audit:read", "privacy:erase", "strategy:write", "users:write"]

    email = f"{new_id().hex}@{alpha.marker}.example"
    once = {"Idempotency-Key": new_id().hex}
    form = {"email": email, "role_id": role["id"]}
    invited = (await client.post(f"{API}/users", json=form, headers=owner | once)).json()
    assert (invited["role"], invited["role_id"], invited["role_name"]) == ("custom", role["id"], name)
    accept = {"invitation": invited["invitation"], "password": "seven teapots on a slow boat"}
    assert (await client.post(f"{API}/auth/invitations/accept", json=accept)).status_code == 204
    login = {"email": email, "password": accept["password"]}
    session = (await client.post(f"{API}/auth/login", json=login)).json()
    assert (session["role"], session["role_name"]) == ("custom", name)
    for way in ways:
        me = (await way.get(f"{API}/users/me", headers=bearer(session))).json()
        assert (me["role"], me["role_id"], me["role_name"]) == ("custom", role["id"], name)
        assert me["permissions"] == role["permissions"]
        assert (await way.get(f"{API}/orders", headers=bearer(session))).status_code == 200
        refused = await way.get(f"{API}/products", headers=bearer(session))
        assert (refused.status_code, refused.json()["hint"]) == (403, "it needs catalogue:read")
        assert refused.json()["detail"] == f"the role {name} may not do this"
    filtered = (await client.get(f"{API}/users", params={"role_id": role["id"]}, headers=owner)).json()
    assert [each["email"] for each in filtered["items"]] == [email]
    kinds = (await client.get(f"{API}/users", params={"role": "custom"}, headers=owner)).json()["items"]
    assert email in [each["email"] for each in kinds] and {each["role"] for each in kinds} == {"custom"}

    kept = await delete(client, owner, role)
    assert (kept.status_code, kept.json()["detail"]) == (409, f"1 person has the role {name}")
    locked = await client.patch(
        f"{API}/users/{invited['id']}", json={"disabled": True}, headers=owner | {"If-Match": '"2"'}
    )
    assert locked.status_code == 200
    kept = await delete(client, owner, role)
    said = f"1 person has the role {name} (1 of them cannot sign in any more)"
    assert (kept.status_code, kept.json()["detail"]) == (409, said)
    assert (await give(client, owner, invited["id"], role="clerk")).json()["role_id"] is None
    assert (await delete(client, owner, role, version=9)).status_code == 412
    assert (await delete(client, owner, role)).status_code == 204
    assert (await delete(client, owner, role)).status_code == 404
    assert (await give(client, owner, invited["id"], role_id=role["id"])).status_code == 404, "a deleted role"
    assert [action for action, _ in await audited(backend, alpha, role["id"])] == ["role.created", "role.deleted"]
    changes = [details for action, details in await audited(backend, alpha, invited["id"]) if "role-ch" in action]
    assert [(each["before"], each["after"]) for each in changes] == [(name, "clerk")]


async def test_a_change_holds_with_the_next_request(
    ways: tuple[httpx2.AsyncClient, ...], alpha: Business, backend: Backend
) -> None:
    client, owner = ways[0], alpha.headers()
    role = await define(client, owner, "orders:read", "keys:write")
    _, session = await person(client, backend, alpha, role)
    program = key(await make(client, bearer(session), "orders:read"))
    for way in ways:
        assert (await way.get(f"{API}/orders", headers=bearer(session))).status_code == 200
        assert (await way.get(f"{API}/orders", headers=program)).status_code == 200
    changed = await patch(client, owner, role, permissions=["pricing:read", "keys:write"])
    assert (changed.json()["version"], changed.headers["etag"]) == (2, '"2"')
    for way in ways:
        answer = await way.get(f"{API}/orders", headers=bearer(session))
        assert (answer.status_code, answer.json()["type"]) == (401, "urn:flipsync:error:unauthenticated")
        assert (await way.get(f"{API}/orders", headers=program)).status_code == 403, "a key may no more than its maker"
    prices = f"{API}/pricing/variants/{alpha.ids['variant_id']}"
    renewed = (await client.post(f"{API}/auth/refresh", json={"refresh_token": session["refresh_token"]})).json()
    for way in ways:
        assert (await way.get(f"{API}/orders", headers=bearer(renewed))).status_code == 403
        assert (await way.get(prices, headers=bearer(renewed))).status_code == 200
    assert (await patch(client, owner, role, version=1, name="late")).status_code == 412
    assert (await patch(client, owner, role, version=2, permissions=["orders:read"])).json()["version"] == 3
    backend.keys._known.clear()  # as after a few seconds: so long a key that may more now may not know it
    for way in ways:
        assert (await way.get(f"{API}/orders", headers=program)).status_code == 200, "given back"
        assert (await way.get(prices, headers=bearer(renewed))).status_code == 401
    same = await patch(client, owner, role, version=3, permissions=["self:read", "orders:read"])
    assert same.json()["version"] == 3, "nothing was changed: nobody signs in again"
    told = [each for each in await audited(backend, alpha, role["id"]) if each[0] == "role.changed"]
    assert [(each["added"], each["removed"]) for _, each in told] == [
        (["pricing:read"], ["orders:read"]),
        (["orders:read"], ["keys:write", "pricing:read"]),
    ]


async def test_it_costs_a_read_no_further_question(
    client: httpx2.AsyncClient, alpha: Business, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    read = ReadPipeline.read

    async def counted(self: ReadPipeline, tenant_id: UUID, presence: Any, questions: Any) -> Any:
        asked.append(len(questions))
        return await read(self, tenant_id, presence, questions)

    monkeypatch.setattr(ReadPipeline, "read", counted)
    roles: tuple[RoleKind, ...] = ("owner", "custom")
    for role in roles:
        assert (await client.get(f"{API}/orders", headers=alpha.headers(role))).status_code == 200
    assert len(asked) == 2 and asked[0] == asked[1], "whether the role is as it was is asked in the same round trip"


async def test_another_name_holds_at_once_too(client: httpx2.AsyncClient, alpha: Business, backend: Backend) -> None:
    role = await define(client, alpha.headers(), "orders:read")
    _, session = await person(client, backend, alpha, role)
    name = f"päcker {new_id().hex[:8]}"
    assert (await patch(client, alpha.headers(), role, name=name)).json()["name"] == name
    assert (await client.get(f"{API}/orders", headers=bearer(session))).status_code == 401
    renewed = (await client.post(f"{API}/auth/refresh", json={"refresh_token": session["refresh_token"]})).json()
    assert renewed["role_name"] == name


async def test_a_key_of_a_person_with_an_own_role(
    ways: tuple[httpx2.AsyncClient, ...], alpha: Business, backend: Backend
) -> None:
    client = ways[0]
    role = await define(client, alpha.headers(), "orders:read", "keys:read", "keys:write")
    user_id, session = await person(client, backend, alpha, role)
    beyond = await make(client, bearer(session), "orders:read", "catalogue:read")
    assert (beyond.status_code, beyond.json()["hint"]) == (403, "leave out: catalogue:read")
    program = key(await make(client, bearer(session), "orders:read"))
    for way in ways * 2:
        assert (await way.get(f"{API}/orders", headers=program)).status_code == 200
        me = (await way.get(f"{API}/users/me", headers=program)).json()
        assert (me["role"], me["permissions"], me["is_key"]) == ("custom", ["orders:read", "self:read"], True)
    assert (await give(client, alpha.headers(), user_id, role="read-only")).status_code == 200
    for way in ways:
        assert (await way.get(f"{API}/orders", headers=program)).status_code == 200, "read-only may that too"
        me = (await way.get(f"{API}/users/me", headers=program)).json()
        assert me["role"] == "read-only"


async def test_it_is_told_what_it_may_see(client: httpx2.AsyncClient, alpha: Business, backend: Backend) -> None:
    from flipsync.services.notices import matters

    role = await define(client, alpha.headers(), "orders:refund")
    _, session = await person(client, backend, alpha, role)
    async with backend.store.unit(alpha.tenant_id) as unit:
        await matters.tell(unit)
    listed = (await client.get(f"{API}/notifications", headers=bearer(session))).json()["items"]
    assert {each["kind"] for each in listed} == {"refund-unknown"}
    await patch(client, alpha.headers(), role, permissions=["orders:read"])
    renewed = (await client.post(f"{API}/auth/refresh", json={"refresh_token": session["refresh_token"]})).json()
    assert (await client.get(f"{API}/notifications", headers=bearer(renewed))).json()["items"] == []


async def test_a_report_ends_when_the_role_may_not_see_figures_any_more(
    client: httpx2.AsyncClient, alpha: Business, backend: Backend
) -> None:
    from flipsync.services import report_making

    role = await define(client, alpha.headers(), "analytics:read")
    user_id, _ = await person(client, backend, alpha, role)

    async def schedule() -> UUID:
        async with backend.store.unit(alpha.tenant_id) as unit:
            values = {"kind": "sales", "format": "csv", "rhythm": "daily", "at": "07:00"}
            due = unit.now - timedelta(minutes=1)
            row = m.ReportSchedule(tenant_id=alpha.tenant_id, user_id=user_id, next_at=due, **values)
            unit.session.add(row)
            await unit.session.flush()
            return row.id

    async def ended(schedule_id: UUID) -> bool:
        async with backend.store.unit(alpha.tenant_id) as unit:
            await report_making.claim(unit, 0)
        async with backend.store.reader(alpha.tenant_id) as session:
            return (await session.get_one(m.ReportSchedule, schedule_id)).ended_at is not None

    assert not await ended(await schedule())
    await patch(client, alpha.headers(), role, permissions=["orders:read"])
    assert await ended(await schedule())


async def test_a_repeated_request_defines_it_once(client: httpx2.AsyncClient, alpha: Business) -> None:
    form = {"name": f"role {new_id().hex}", "permissions": ["orders:read"]}
    headers = alpha.headers(**{"Idempotency-Key": new_id().hex})
    first, again = [await client.post(ROLES, json=form, headers=headers) for _ in range(2)]
    assert (first.status_code, first.json()) == (201, again.json())
    assert again.headers["idempotent-replayed"] == "true"


# -- what does not go -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "",
        "   ",
        "x" * 61,
        "x" * 65_536,
        "a\nb\x00",
        "packer\u202e",
        "\ud800",
        "owner",
        " Read-Only ",
        "custom",
        7,
        None,
    ],
    ids=lambda each: repr(each)[:20],
)
async def test_a_name_is_a_name(client: httpx2.AsyncClient, alpha: Business, name: Any) -> None:
    role = await define(client, alpha.headers(), "orders:read")
    for answer in (
        await client.post(
            ROLES,
            content=json.dumps({"name": name, "permissions": ["orders:read"]}),
            headers=alpha.headers(**{"Idempotency-Key": new_id().hex, "Content-Type": "application/json"}),
        ),
        await patch_raw(client, alpha.headers(), role, name),
    ):
        assert answer.status_code == 422 or (name is None and answer.status_code == 200), answer.text
        assert len(answer.text) < 2_000, "what was sent is not sent back"


async def patch_raw(client: httpx2.AsyncClient, headers: dict[str, str], role: Any, name: Any) -> httpx2.Response:
    return await client.patch(
        f"{ROLES}/{role['id']}",
        content=json.dumps({"name": name}),
        headers=headers | {"If-Match": '"1"', "Content-Type": "application/json"},
    )


@pytest.mark.parametrize(
    "permissions",
    [[], ["everything"], ["orders:read", "ORDERS:READ"], ["orders:*"], "orders:read", [["orders:read"]], None, [7]],
    ids=str,
)
async def test_a_permission_is_one_there_is(client: httpx2.AsyncClient, alpha: Business, permissions: Any) -> None:
    assert (await post(client, alpha.headers(), f"r {new_id().hex}", permissions)).status_code == 422
    many = await post(client, alpha.headers(), f"r {new_id().hex}", ["orders:read"] * 10_000)
    assert many.status_code == 422


@pytest.mark.parametrize("permission", sorted(OWNERS_ONLY))
async def test_what_is_the_owners_stays_the_owners(
    client: httpx2.AsyncClient, alpha: Business, backend: Backend, permission: Permission
) -> None:
    refused = await post(client, alpha.headers(), f"r {new_id().hex}", ["orders:read", permission])
    assert (refused.status_code, refused.json()["detail"]) == (422, f"only an owner may: {permission}")
    role = await define(client, alpha.headers(), "orders:read")
    refused = await patch(client, alpha.headers(), role, permissions=[permission])
    assert (refused.status_code, refused.json()["detail"]) == (422, f"only an owner may: {permission}")
    # nor when somebody wrote it into the books by hand
    async with backend.store.unit(alpha.tenant_id) as unit:
        row = await unit.session.get_one(m.CustomRole, UUID(role["id"]))
        row.permissions = ["orders:read", permission, "no-such:thing"]
    _, session = await person(client, backend, alpha, role)
    me = (await client.get(f"{API}/users/me", headers=bearer(session))).json()
    assert me["permissions"] == ["orders:read", "self:manage", "self:read"]
    # nor in a token of our own making
    forged = OwnRole.of(UUID(role["id"]), 1, "x", ["orders:read", permission])
    assert permission not in forged.permissions


async def test_a_name_is_used_once_whoever_is_first(client: httpx2.AsyncClient, alpha: Business) -> None:
    owner, name = alpha.headers(), f"Packer {new_id().hex[:8]}"
    answers = await asyncio.gather(*(post(client, owner, each, ["orders:read"]) for each in (name, name.upper()) * 4))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    others = [await define(client, owner, "orders:read") for _ in range(4)]
    free = f"Free {new_id().hex[:8]}"
    renamed = await asyncio.gather(*(patch(client, owner, each, name=free) for each in others))
    assert sorted(answer.status_code for answer in renamed) == [200] + [409] * 3
    assert "already" in next(answer for answer in renamed if answer.status_code == 409).json()["detail"]


async def test_of_another_business_no_role_can_be_seen_given_changed_or_deleted(
    client: httpx2.AsyncClient, alpha: Business, beta: Business, backend: Backend
) -> None:
    theirs = {"id": str(alpha.ids["role_id"]), "version": 1}
    mine = beta.headers()
    _, user_id = await newcomer(backend, beta, "clerk")
    once = {"Idempotency-Key": new_id().hex}
    invite = {"email": f"{new_id().hex}@{beta.marker}.example", "role_id": theirs["id"]}
    answers = [
        await client.get(f"{ROLES}/{theirs['id']}", headers=mine),
        await patch(client, mine, theirs, permissions=["orders:read"]),
        await delete(client, mine, theirs),
        await give(client, mine, user_id, role_id=theirs["id"]),
        await client.post(f"{API}/users", json=invite, headers=mine | once),
    ]
    assert [answer.status_code for answer in answers] == [404] * 5
    assert all(alpha.marker not in answer.text for answer in answers)
    found = await client.get(f"{API}/users", params={"role_id": theirs["id"]}, headers=mine)
    assert found.json()["items"] == []
    own = await define(client, mine, "orders:read", name=f"{alpha.marker} packer")
    assert own["name"] == f"{alpha.marker} packer", "what another business calls its roles is nobody's business"
    # a token that names another business's role is of no use, even if it were signed
    assert beta.tokens is not None and alpha.own_role is not None
    token = beta.tokens.issue(
        user_id=beta.users["custom"],
        tenant_id=beta.tenant_id,
        role=alpha.own_role,
        session_id=beta.users["custom"],
    )
    answer = await client.get(f"{API}/orders", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401


async def test_no_way_up_through_the_api(client: httpx2.AsyncClient, alpha: Business, backend: Backend) -> None:
    """A manager, and somebody whose own role has everything it can: neither defines, changes nor gives a role."""
    everything = sorted(PERMISSIONS - OWNERS_ONLY)
    role = await define(client, alpha.headers(), *everything)
    user_id, session = await person(client, backend, alpha, role)
    for headers, me in ((alpha.headers("manager"), alpha.users["manager"]), (bearer(session), user_id)):
        once = {"Idempotency-Key": new_id().hex}
        invite = {"email": f"{new_id().hex}@{alpha.marker}.example", "role": "owner"}
        answers = [
            await post(client, headers, "mine", ["orders:read"]),
            await patch(client, headers, role, permissions=everything),
            await delete(client, headers, role),
            await give(client, headers, me, role="owner"),
            await give(client, headers, me, role_id=role["id"]),
            await client.post(f"{API}/users", json=invite, headers=headers | once),
            await make(client, headers, "orders:read", "accounts:write"),
        ]
        assert [answer.status_code for answer in answers] == [403] * 7
    program = key(await make(client, bearer(session), *sorted(set(everything) - {"keys:write", "self:manage"})))
    answers = [
        await post(client, program, "mine", ["orders:read"]),
        await patch(client, program, role, permissions=everything),
        await give(client, program, user_id, role="owner"),
        await make(client, program, "orders:read"),
    ]
    assert [answer.status_code for answer in answers] == [403] * 4


async def test_nobody_gives_or_takes_what_they_do_not_hold(alpha: Business, backend: Backend) -> None:
    """The rule itself, whichever permissions a later version lets define roles."""
    some: set[Permission] = {"users:write", "orders:read", "orders:ship", "self:read", "self:manage"}
    async with backend.store.unit(alpha.tenant_id) as unit:
        small = await own_roles.create(
            unit, some, RoleForm(name=f"s {new_id().hex}", permissions=["orders:ship", "orders:read"])
        )
        large = await own_roles.create(
            unit, GRANTS["owner"], RoleForm(name=f"l {new_id().hex}", permissions=["orders:read", "pricing:write"])
        )
        clerk = await users.invite(
            unit, GRANTS["owner"], email=f"{new_id().hex}@{alpha.marker}.example", wish=RoleWish(role="clerk")
        )
        packer = await users.invite(
            unit, some, email=f"{new_id().hex}@{alpha.marker}.example", wish=RoleWish(role_id=small.id)
        )
        address = f"{new_id().hex}@{alpha.marker}.example"
        for attempt in (
            own_roles.create(unit, some, RoleForm(name="up", permissions=["pricing:write"])),
            own_roles.change(unit, some, small.id, RoleEdit(permissions=["orders:read", "pricing:write"]), 1),
            own_roles.change(unit, some, large.id, RoleEdit(permissions=["orders:read"]), 1),
            own_roles.change(unit, some, large.id, RoleEdit(name="taken over"), 1),
            own_roles.remove(unit, some, large.id, 1),
            users.invite(unit, some, email=address, wish=RoleWish(role="read-only")),
            users.invite(unit, some, email=address, wish=RoleWish(role="owner")),
            users.invite(unit, some, email=address, wish=RoleWish(role_id=large.id)),
            users.edit_user(unit, some, packer.id, UserEdit(role="owner"), 1),
            users.edit_user(unit, some, packer.id, UserEdit(role_id=large.id), 1),
            users.edit_user(unit, some, clerk.id, UserEdit(disabled=True), 1),
            users.edit_user(unit, some, alpha.users["owner"], UserEdit(role_id=small.id), 1),
        ):
            with pytest.raises(Forbidden, match="nobody gives or takes"):
                await attempt
        fewer = await own_roles.change(unit, some, small.id, RoleEdit(permissions=["orders:read"]), 1)
        assert fewer.permissions == ["orders:read", "self:manage", "self:read"]


async def test_which_role_has_to_be_said_and_only_one(
    client: httpx2.AsyncClient, alpha: Business, backend: Backend
) -> None:
    role = await define(client, alpha.headers(), "orders:read")
    _, user_id = await newcomer(backend, alpha, "clerk")
    email = f"{new_id().hex}@{alpha.marker}.example"
    for form in ({}, {"role": "clerk", "role_id": role["id"]}, {"role": "custom"}, {"role": role["name"]}):
        once = {"Idempotency-Key": new_id().hex}
        answer = await client.post(f"{API}/users", json={"email": email} | form, headers=alpha.headers() | once)
        assert answer.status_code == 422, form
        if form:
            assert (await give(client, alpha.headers(), user_id, **form)).status_code == 422
    assert (await give(client, alpha.headers(), user_id, role_id=str(new_id()))).status_code == 404


async def test_a_role_that_is_being_given_is_not_deleted_meanwhile(
    client: httpx2.AsyncClient, alpha: Business, backend: Backend
) -> None:
    owner = alpha.headers()
    for _ in range(5):
        role = await define(client, owner, "orders:read")
        _, user_id = await newcomer(backend, alpha, "clerk")
        gone, given = await asyncio.gather(
            delete(client, owner, role), give(client, owner, user_id, role_id=role["id"])
        )
        assert (gone.status_code, given.status_code) in ((204, 404), (409, 200))


async def test_the_last_owner_is_not_given_a_role_of_their_own(client: httpx2.AsyncClient, alpha: Business) -> None:
    role = await define(client, alpha.headers(), "orders:read")
    answer = await give(client, alpha.headers(), alpha.users["owner"], role_id=role["id"])
    assert answer.status_code in (200, 409)
    listed = (await client.get(f"{API}/users", params={"role": "owner"}, headers=alpha.headers())).json()["items"]
    if answer.status_code == 409:
        assert answer.json()["detail"] == "this is the last owner"
    assert any(each["status"] == "active" for each in listed)


async def test_there_are_not_endlessly_many(client: httpx2.AsyncClient, backend: Backend) -> None:
    from flipsync.services import identity

    marker = new_id().hex
    tenant_id, _ = await identity.create_tenant_with_owner(
        backend.store, backend.passwords, tenant_name="Many", email=f"a@{marker}.example", password=PASSWORD
    )
    async with backend.store.unit(tenant_id) as unit:
        unit.session.add_all(
            m.CustomRole(tenant_id=tenant_id, name=f"role {n}", permissions=["orders:read"], created_at=utc_now())
            for n in range(own_roles.MOST)
        )
    headers = bearer(await sign_in(client, f"a@{marker}.example"))
    full = await post(client, headers, "one more", ["orders:read"])
    assert (full.status_code, full.json()["detail"]) == (409, "a business has no more than 100 roles of its own")
    assert len((await client.get(ROLES, headers=headers)).json()["items"]) == 100
