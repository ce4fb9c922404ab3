"""Work that was set aside is shown to its own business, and tried again when somebody says so."""

from __future__ import annotations

import httpx2
import pytest
from api_world import API, Business
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from flipsync.domain.ids import new_id
from flipsync.store.models import AgentTask
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
