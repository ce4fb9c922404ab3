"""What one was told over HTTP and, pushed, over the live connection: one's own and nobody else's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from api_world import API, Business
from fastapi import FastAPI
from listening import listening
from sqlalchemy import text
from websockets.asyncio.client import ClientConnection, connect

from flipsync.domain.clock import utc_now
from flipsync.domain.ids import new_id
from flipsync.security.roles import Role
from flipsync.services.notices import matters
from flipsync.store.unit_of_work import Store


async def _list(client: httpx2.AsyncClient, business: Business, role: Role = "owner", **query: Any) -> dict[str, Any]:
    answer = await client.get(f"{API}/notifications", params=query, headers=business.headers(role))
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def _once(business: Business, role: Role = "owner") -> dict[str, str]:
    return business.headers(role, **{"Idempotency-Key": new_id().hex})


async def test_a_notification_is_listed_read_and_counted(
    client: httpx2.AsyncClient, store: Store, alpha: Business
) -> None:
    async with store.unit(alpha.tenant_id) as unit:  # other tests read all there is
        await unit.session.execute(
            text("UPDATE notification SET read_at = NULL WHERE id = :id"), {"id": alpha.ids["notification_id"]}
        )
    before = await _list(client, alpha, kind="refund-unknown")
    assert [each["id"] for each in before["items"]] == [str(alpha.ids["notification_id"])]
    assert alpha.marker in before["items"][0]["title"] and "buyer" not in before["items"][0]["title"]
    url = f"{API}/notifications/{alpha.ids['notification_id']}/read"
    first = await client.post(url, headers=_once(alpha))
    again = await client.post(url, headers=_once(alpha))
    assert first.json()["read_at"] == again.json()["read_at"] is not None
    after = await _list(client, alpha)
    assert after["unread"] == before["unread"] - 1
    assert (await _list(client, alpha, kind="refund-unknown", read=False))["items"] == []
    assert (await client.post(f"{API}/notifications/read-all", headers=_once(alpha))).json() == {"unread": 0}
    assert (await _list(client, alpha))["unread"] == 0


async def test_a_clerk_sees_and_reads_nothing_of_the_owners(client: httpx2.AsyncClient, alpha: Business) -> None:
    clerks = (await _list(client, alpha, "clerk"))["items"]
    owners = (await _list(client, alpha))["items"]
    assert not {each["id"] for each in clerks} & {each["id"] for each in owners}
    assert {each["kind"] for each in clerks} <= {"oversold", "label-unknown"}
    for each in owners:
        url = f"{API}/notifications/{each['id']}/read"
        assert (await client.post(url, headers=_once(alpha, "clerk"))).status_code == 404
    assert (await _list(client, alpha, "read-only"))["items"] == []


@pytest.mark.parametrize(
    "query", [{"kind": "weather"}, {"severity": "loud"}, {"user_id": str(new_id())}, {"cursor": "WyJhIiwiYiJd"}]
)
async def test_what_cannot_be_asked_for(query: dict[str, str], client: httpx2.AsyncClient, alpha: Business) -> None:
    answer = await client.get(f"{API}/notifications", params=query, headers=alpha.headers())
    assert answer.status_code == 422, answer.text


async def test_preferences_are_ones_own_and_change_by_version(client: httpx2.AsyncClient, beta: Business) -> None:
    url = f"{API}/notifications/preferences"
    read = await client.get(url, headers=beta.headers("read-only"))
    assert (read.headers["etag"], read.json()["choices"]["time_zone"]) == ('"0"', "UTC")
    choices = read.json()["choices"] | {"time_zone": "Europe/Berlin", "quiet_from": "22:00", "quiet_until": "07:00"}
    headers = beta.headers("read-only", **{"If-Match": '"0"'})
    put = await client.put(url, json=choices, headers=headers)
    assert (put.status_code, put.headers["etag"]) == (200, '"1"'), put.text
    assert put.json()["choices"] == choices | {"quiet_from": "22:00:00", "quiet_until": "07:00:00"}
    assert (await client.put(url, json=choices, headers=headers)).status_code == 412
    assert (await client.put(url, json=choices, headers=beta.headers("read-only"))).status_code == 428
    wrong = choices | {"time_zone": "Nowhere"}
    assert (await client.put(url, json=wrong, headers=headers | {"If-Match": '"1"'})).status_code == 422
    assert (await client.get(url, headers=beta.headers("owner"))).json()["version"] == 0


async def test_a_destination_is_added_shown_masked_tested_and_removed(
    client: httpx2.AsyncClient, beta: Business
) -> None:
    url = f"{API}/notifications/destinations"
    secret = {"url": "mailtos://u:SECRET@93.184.216.34?from=shop@example.com&to=ada@example.com"}
    headers = _once(beta, "read-only")
    added = await client.post(url, headers=headers, json=secret)
    assert added.status_code == 201, added.text
    again = await client.post(url, headers=headers, json=secret)
    assert (again.json(), again.headers["idempotent-replayed"]) == (added.json(), "true")
    listed = await client.get(url, headers=beta.headers("read-only"))
    assert [each["shown"] for each in listed.json()["items"]] == ["a…@example.com by 93.184.216.34"]
    one = f"{url}/{added.json()['id']}"
    assert (await client.post(f"{one}/test", headers=_once(beta, "read-only"))).status_code == 200
    deliveries = (await client.get(f"{API}/notifications/deliveries", headers=beta.headers("read-only"))).json()[
        "items"
    ]
    assert [(each["purpose"], each["state"]) for each in deliveries] == [("test", "waiting")] * 2
    for role in ("owner", "clerk"):
        assert (await client.post(f"{one}/test", headers=_once(beta, role))).status_code == 404
        assert (await client.delete(one, headers=beta.headers(role))).status_code == 404
        assert added.json()["id"] not in (await client.get(url, headers=beta.headers(role))).text
    assert (await client.delete(one, headers=beta.headers("read-only"))).status_code == 204
    assert (await client.get(url, headers=beta.headers("read-only"))).json() == {"items": []}
    for answer in (added, again, listed):
        assert "SECRET" not in answer.text


@pytest.mark.parametrize(
    "url",
    [
        *(
            "https://127.0.0.1/",
            "https://2130706433/",
            "https://[::1]/",
            "https://169.254.169.254/x",
            "https://localhost/",
        ),
        *("http://93.184.216.34/", "gopher://93.184.216.34/SECRET", "https://SECRET.invalid/", "x" * 8, "y" * 5000),
    ],
)
async def test_what_leads_inside_or_nowhere_is_refused_at_the_door(
    url: str, client: httpx2.AsyncClient, beta: Business
) -> None:
    answer = await client.post(f"{API}/notifications/destinations", headers=_once(beta), json={"url": url})
    assert answer.status_code == 422, answer.text
    assert "SECRET" not in answer.text


@pytest.fixture(scope="module")
async def address(app: FastAPI) -> AsyncIterator[str]:
    async with listening(app) as where:
        yield f"ws://{where}/api/v1/ws"


async def _next(client: ClientConnection, kind: str) -> dict[str, Any]:
    async with asyncio.timeout(10):
        while True:
            message: dict[str, Any] = json.loads(await client.recv())
            if message["type"] == "event" and message["event"]["type"] == kind:
                return dict(message["event"]["payload"])
            if message["type"] == kind:
                return message


async def _signed_in(address: str, token: str) -> ClientConnection:
    client = await connect(address, subprotocols=["flipsync.v1", f"bearer.{token}"])  # type: ignore[list-item]
    await _next(client, "ready")
    return client


async def test_what_is_told_is_pushed_to_that_person_alone(
    address: str, client: httpx2.AsyncClient, store: Store, alpha: Business
) -> None:
    def token(role: Role) -> str:
        return alpha.headers(role)["Authorization"].removeprefix("Bearer ")

    made = await client.post(
        f"{API}/api-keys",
        headers=_once(alpha),
        json={
            "name": "watcher",
            "permissions": ["events:read"],
            "expires_at": (utc_now() + timedelta(days=1)).isoformat(),
        },
    )
    key = made.json()["key"]
    async with store.unit(alpha.tenant_id) as unit:
        await matters.tell(unit)  # whatever other tests have left
    owner, clerk = await _signed_in(address, token("owner")), await _signed_in(address, token("clerk"))
    program = await _signed_in(address, key)
    async with owner, clerk, program:
        async with store.unit(alpha.tenant_id) as unit:
            await unit.session.execute(
                text("UPDATE notification SET settled_at = now() WHERE kind = 'refund-unknown' AND settled_at IS NULL")
            )
        async with store.unit(alpha.tenant_id) as unit:
            assert await matters.tell(unit) >= 2  # the manager, the owner and owners that other tests have left
        told = await _next(owner, "NotificationsChanged")
        assert [each["kind"] for each in told["newest"]] == ["refund-unknown"]
        assert told["unread"] >= 1
        await client.post(f"{API}/notifications/read-all", headers=_once(alpha))
        assert (await _next(owner, "NotificationsChanged")) == {"unread": 0, "newest": []}
        for other in (clerk, program):
            heard = ""
            try:
                async with asyncio.timeout(1.2):  # with heartbeats in between
                    while True:
                        heard += str(await other.recv())
            except TimeoutError:
                pass
            assert "heartbeat" in heard and "Notifications" not in heard
