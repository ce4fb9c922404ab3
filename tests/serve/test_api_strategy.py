"""The owner's goals over the API: read, changed on what was read, and only by the owner."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx2
import pytest
from api_world import API, Business
from shop import open_store

from agents import ROSTER
from flipsync.domain.clock import utc_now
from flipsync.domain.events import OfferChanged
from flipsync.domain.ids import new_id
from flipsync.runtime.agent import Context
from flipsync.runtime.decision_path import DecisionPath
from flipsync.runtime.gate import Gate
from flipsync.runtime.graph import Graph
from flipsync.services.desk import Services
from flipsync.services.pricing.firewall import Firewall
from flipsync.services.recorded_desk import RecordingDesk
from flipsync.store.unit_of_work import Store


async def test_goals_are_set_once_for_each_reading(client: httpx2.AsyncClient, alpha: Business) -> None:
    url = f"{API}/strategy/goals"
    read = await client.get(url, headers=alpha.headers())
    assert read.status_code == 200
    before = read.json()
    word = "bold" if before["goals"]["risk"] != "bold" else "careful"
    match = {"If-Match": read.headers["etag"]}
    changed = await client.patch(url, headers=alpha.headers(**match), json={"risk": word})
    assert changed.status_code == 200, changed.text
    assert changed.json()["goals"] == {**before["goals"], "risk": word}
    assert changed.json()["weights"] != before["weights"]
    assert (await client.get(url, headers=alpha.headers())).json() == changed.json()
    late = await client.patch(url, headers=alpha.headers(**match), json={"risk": "balanced"})
    assert (late.status_code, late.json()["type"]) == (412, "urn:flipsync:error:version-mismatch")
    wrong = await client.patch(url, headers=alpha.headers(**match), json={"risk": "reckless"})
    assert wrong.status_code == 422


@pytest.fixture
async def workers(database_urls: dict[str, str]) -> AsyncIterator[Store]:
    """The books as agents' processes see them."""
    store = open_store(database_urls["worker"], pool_size=1)
    yield store
    await store.aclose()


async def repriced(store: Store, business: Business) -> None:
    """The pricing agent decides about the business's listing."""
    graph = Graph(ROSTER)
    async with store.unit(business.tenant_id) as unit:
        about = {"listing_id": business.ids["listing_id"], "account_id": business.ids["account_id"]}
        event = OfferChanged(**about, vendor="custom", cause="rivals")
        event_id = unit.emit(event)
    agent = graph.agents["pricing"]()
    async with store.reader(business.tenant_id) as session:
        desk = RecordingDesk(Services(session, business.tenant_id, store.clock.now()))
        desk.begin(event)
        ctx = Context(business.tenant_id, desk.now, desk.as_services(), event_id, event_id)
        decision, notes = await agent.decide(event, ctx), desk.notes()
    path = DecisionPath(graph, Gate(Firewall(b"f" * 32, clock=store.clock)))
    async with store.unit(business.tenant_id) as unit:
        services = Services(unit.session, business.tenant_id, unit.now)
        ctx = Context(business.tenant_id, unit.now, services, event_id, event_id)
        await path.record(unit, ctx, agent.spec, decision, notes)


async def test_settings_are_tried_on_what_the_business_itself_decided(
    client: httpx2.AsyncClient, workers: Store, alpha: Business, beta: Business
) -> None:
    url, form = f"{API}/strategy/dry-run", {"change": {"pricing.min_margin_bps": 9_000}}
    before = [(await client.post(url, headers=each.headers(), json=form)).json() for each in (alpha, beta)]
    await repriced(workers, alpha)
    answer = await client.post(url, headers=alpha.headers("analyst"), json=form)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["decisions"] == before[0]["decisions"] + 1 and told["complete"]
    assert told["by_agent"]["pricing"]["decisions"] == 1 and told["change"] == form["change"]
    assert all(each["means"] and each["limit"] for each in told["figures"]) and told["figures"]
    other = (await client.post(url, headers=beta.headers(), json=form)).json()
    assert other["decisions"] == before[1]["decisions"] and other["by_agent"] == before[1]["by_agent"]
    assert (await client.post(url, headers=alpha.headers("clerk"), json=form)).status_code == 403


async def test_a_business_tries_one_change_at_a_time(
    client: httpx2.AsyncClient, workers: Store, alpha: Business
) -> None:
    await repriced(workers, alpha)

    async def tried() -> int:
        form = {"change": {"goals.risk": "bold"}}
        return (await client.post(f"{API}/strategy/dry-run", headers=alpha.headers(), json=form)).status_code

    assert sorted(await asyncio.gather(tried(), tried(), tried())) == [200, 409, 409]
    assert await tried() == 200


async def test_what_cannot_be_tried_is_refused_with_what_can(client: httpx2.AsyncClient, alpha: Business) -> None:
    answer = await client.post(
        f"{API}/strategy/dry-run", headers=alpha.headers(), json={"change": {"stock.modes": "pooled"}}
    )
    assert answer.status_code == 422, answer.text
    assert "cannot be tried" in answer.json()["detail"] and "pricing.min_margin_bps" in answer.json()["hint"]


async def test_rules_about_what_is_another_business_s_are_not_tried(
    client: httpx2.AsyncClient, alpha: Business, beta: Business
) -> None:
    url = f"{API}/strategy/dry-run"
    for whose, status in ((alpha, 200), (beta, 404)):
        ids = {name: str(whose.ids[f"{name}_id"]) for name in ("account", "directive")}
        for change in (
            {f"variants.{whose.marker}-SKU.floor_minor": 500},
            {"directives.give": [{"kind": "list-nothing", "account_id": ids["account"]}]},
            {"directives.end": [ids["directive"]]},
        ):
            answer = await client.post(url, headers=alpha.headers(), json={"change": change})
            assert answer.status_code == status, answer.text
            assert status != 200 or answer.json()["change"] == change


async def test_a_key_that_may_not_see_prices_tries_nothing(client: httpx2.AsyncClient, alpha: Business) -> None:
    wanted = {
        "name": "goals only",
        "permissions": ["strategy:read", "decisions:read"],
        "expires_at": (utc_now() + timedelta(days=1)).isoformat(),
    }
    once = {"Idempotency-Key": new_id().hex}
    made = await client.post(f"{API}/api-keys", headers=alpha.headers(**once), json=wanted)
    assert made.status_code == 201, made.text
    key = {"Authorization": f"Bearer {made.json()['key']}"}
    assert (await client.get(f"{API}/strategy/goals", headers=key)).status_code == 200
    refused = await client.post(f"{API}/strategy/dry-run", headers=key, json={"change": {"goals.risk": "bold"}})
    assert refused.status_code == 403 and "pricing:read" in refused.json()["hint"]
