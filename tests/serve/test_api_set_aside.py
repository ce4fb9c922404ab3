"""Work that was set aside is shown to its own business, and tried again when somebody says so."""

from __future__ import annotations

import httpx2
import pytest
from api_world import API, Business
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from flipsync.domain.ids import new_id
from flipsync.security.roles import Role
from flipsync.store.models import AgentTask, HeldOrder
from flipsync.store.unit_of_work import Store

URL = f"{API}/agents/set-aside"


async def ids(client: httpx2.AsyncClient, business: Business, **query: str) -> list[str]:
    answer = await client.get(URL, params=query, headers=business.headers())
    assert answer.status_code == 200, answer.text
    return [each["id"] for each in answer.json()["items"]]


async def test_set_aside_work_is_shown_released_once_and_tried_again(
    client: httpx2.AsyncClient, store: Store, alpha: Business, beta: Business
) -> None:
    ours, theirs = str(alpha.ids["task_id"]), str(beta.ids["task_id"])
    assert ours in await ids(client, alpha) and theirs not in await ids(client, alpha)
    assert await ids(client, alpha, agent="pricing") == []
    (shown,) = (await client.get(URL, params={"agent": "test_poisoned"}, headers=alpha.headers())).json()["items"]
    assert (shown["event"], shown["subject_kind"], shown["attempts"]) == ("OfferChanged", "listing", 5)
    assert shown["error"].endswith("cannot be read") and shown["set_aside_at"].endswith("Z")

    key = {"Idempotency-Key": new_id().hex}
    stolen = await client.post(f"{URL}/{theirs}/release", headers=alpha.headers() | {"Idempotency-Key": new_id().hex})
    assert stolen.status_code == 404 and theirs in await ids(client, beta)
    for _ in range(2):  # the same request again gets the same answer
        done = await client.post(f"{URL}/{ours}/release", headers=alpha.headers() | key)
        assert (done.status_code, done.json()) == (200, {"id": ours, "agent": "test_poisoned"})
    assert ours not in await ids(client, alpha)
    again = await client.post(f"{URL}/{ours}/release", headers=alpha.headers() | {"Idempotency-Key": new_id().hex})
    assert again.status_code == 404 and "released already" in again.json()["hint"]
    async with store.reader(alpha.tenant_id) as session:
        query = text("SELECT state, attempts, finished_at FROM agent_task WHERE id = :id")
        assert tuple((await session.execute(query, {"id": ours})).one()) == ("pending", 0, None)


@pytest.mark.parametrize(
    "change",
    ["state = 'done'", "state = 'failed'", "state = 'leased'", "error = ''", "agent = 'pricing'", "epoch = 9"],
)
async def test_the_apis_role_can_release_and_nothing_else(store: Store, alpha: Business, change: str) -> None:
    async with store.unit(alpha.tenant_id) as unit:
        event_id = await unit.session.scalar(text("SELECT event_id FROM agent_task LIMIT 1"))
        task = AgentTask(
            tenant_id=alpha.tenant_id, agent=f"test_{new_id().hex}", event_id=event_id, priority=50, state="failed"
        )
        unit.session.add(task)
        await unit.session.flush()
        task_id = task.id
    query = text(f"UPDATE agent_task SET {change} WHERE id = :id")
    with pytest.raises(DBAPIError, match=r"row-level security|permission denied"):
        async with store.unit(alpha.tenant_id) as unit:
            await unit.session.execute(query, {"id": task_id})
    async with store.unit(alpha.tenant_id) as unit:  # what still waits is out of its reach
        query = text("UPDATE agent_task SET not_before = now() WHERE state <> 'failed' RETURNING id")
        assert (await unit.session.execute(query)).all() == []


async def an_unread_order(store: Store, business: Business) -> str:
    key = new_id().hex
    async with store.unit(business.tenant_id) as unit:
        held = HeldOrder(
            tenant_id=business.tenant_id,
            account_id=business.ids["account_id"],
            key=key,
            external_id=key,
            mark=key,
            reason="currency: no such currency",
            told="{}",
            look_at=unit.now,
            first_seen_at=unit.now,
            last_seen_at=unit.now,
        )
        unit.session.add(held)
        await unit.session.flush()
        return str(held.id)


async def test_an_unread_order_is_shown_tried_again_and_told_as_booked_by_hand(
    client: httpx2.AsyncClient, store: Store, alpha: Business, beta: Business
) -> None:
    ours, theirs = await an_unread_order(store, alpha), await an_unread_order(store, beta)

    async def shown() -> list[str]:
        answer = await client.get(f"{URL}/orders", params={"limit": 100}, headers=alpha.headers())
        return [each["id"] for each in answer.json()["items"] if each["reason"] == "currency: no such currency"]

    async def say(held_id: str, by_hand: object, role: Role = "manager") -> httpx2.Response:
        headers = alpha.headers(role) | {"Idempotency-Key": new_id().hex}
        return await client.post(f"{URL}/orders/{held_id}/answer", json={"booked_by_hand": by_hand}, headers=headers)

    assert await shown() == [ours]
    assert (await say(ours, True, "clerk")).status_code == 403
    assert (await say(ours, "perhaps")).status_code == 422
    assert [(await say(theirs, each)).status_code for each in (True, False)] == [404, 404]
    again = await say(ours, False)
    assert (again.status_code, again.json()) == (200, {"id": ours, "outcome": "tried-again"})
    assert await shown() == [ours], "until it can be read"
    done = await say(ours, True)
    assert (done.status_code, done.json()) == (200, {"id": ours, "outcome": "by-hand"})
    assert await shown() == [] and (await say(ours, True)).status_code == 404
    query = text("SELECT settled_at FROM held_order WHERE id = :id")
    async with store.reader(beta.tenant_id) as session:
        assert (await session.execute(query, {"id": theirs})).scalar_one() is None
