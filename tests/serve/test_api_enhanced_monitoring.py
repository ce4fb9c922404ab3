"""How work goes over time, from the journal: latencies, backlog and errors as they are in the rows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx2
from api_world import API, Business

from flipsync.domain.clock import utc_now
from flipsync.domain.ids import new_id
from flipsync.store import models as m
from flipsync.store.unit_of_work import Store, UnitOfWork

NOW = utc_now()


async def _fact(unit: UnitOfWork, business: Business, seconds_ago: float) -> m.EventRecord:
    about = {"type": "OfferChanged", "subject_kind": "listing", "subject_id": business.ids["listing_id"], "payload": {}}
    at = NOW - timedelta(seconds=seconds_ago)
    event = m.EventRecord(
        tenant_id=business.tenant_id, occurred_at=at, recorded_at=at, correlation_id=new_id(), **about
    )
    unit.session.add(event)
    await unit.session.flush()
    return event


async def _asked(client: httpx2.AsyncClient, business: Business, what: str, **query: Any) -> dict[str, Any]:
    url = f"{API}/enhanced-monitoring/{what}"
    answer = await client.get(url, params=query, headers=business.headers("analyst"))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_decisions_are_told_with_how_long_they_took_and_what_waits(
    client: httpx2.AsyncClient, store: Store, alpha: Business, beta: Business
) -> None:
    async with store.unit(alpha.tenant_id) as unit:
        for seconds, state in ((1, "held"), (3, "applied"), (5, "overruled")):
            event = await _fact(unit, alpha, seconds)
            unit.session.add(
                m.AgentDecision(
                    tenant_id=alpha.tenant_id,
                    agent="measured",
                    agent_version="1",
                    event_id=event.id,
                    state=state,
                    source="rules",
                    rationale="",
                    confidence=0.5,
                    correlation_id=event.correlation_id,
                    decided_at=NOW,
                )
            )
        for seconds in (60, 600):
            event = await _fact(unit, alpha, seconds)
            unit.session.add(m.AgentTask(tenant_id=alpha.tenant_id, agent="measured", event_id=event.id, priority=1))
    told = await _asked(client, alpha, "agents")
    (mine,) = [each for each in told["days"] if each["agent"] == "measured"]
    assert (mine["decisions"], mine["held"], mine["overruled"]) == (3, 1, 1)
    assert (mine["median_seconds"], round(mine["p95_seconds"], 3)) == (3.0, 4.8)
    assert mine["day"] == f"{NOW:%Y-%m-%d}" and told["complete"] is True
    (backlog,) = [each for each in told["backlog"] if each["agent"] == "measured"]
    assert backlog["waiting"] == 2
    assert backlog["oldest_at"].startswith(f"{NOW - timedelta(seconds=600):%Y-%m-%dT%H:%M:%S}")
    foreign = await _asked(client, beta, "agents")
    assert "measured" not in {each["agent"] for each in foreign["days"] + foreign["backlog"]}
    assert (await client.get(f"{API}/enhanced-monitoring/agents", headers=alpha.headers("clerk"))).status_code == 403


async def test_effects_are_told_with_errors_and_how_long_they_took(
    client: httpx2.AsyncClient, store: Store, alpha: Business, beta: Business
) -> None:
    async with store.unit(alpha.tenant_id) as unit:
        for seconds, state, attempts in (
            (2, "confirmed", 1),
            (4, "confirmed", 3),
            (6, "rejected", 1),
            (0, "pending", 0),
        ):
            unit.session.add(
                m.Effect(
                    tenant_id=alpha.tenant_id,
                    account_id=alpha.ids["account_id"],
                    command="Measured",
                    payload={},
                    subject_kind="listing",
                    subject_id=alpha.ids["listing_id"],
                    key=new_id().hex,
                    priority=1,
                    state=state,
                    attempts=attempts,
                    correlation_id=new_id(),
                    created_at=NOW - timedelta(seconds=seconds),
                    finished_at=NOW if seconds else None,
                )
            )
    told = await _asked(client, alpha, "effects")
    days = [each for each in told["days"] if each["command"] == "Measured"]
    assert {key: sum(each[key] for each in days) for key in ("effects", "confirmed", "rejected", "under_way")} == {
        "effects": 4,
        "confirmed": 2,
        "rejected": 1,
        "under_way": 1,
    }
    if len(days) == 1:  # none of it before midnight
        assert (days[0]["attempts"], days[0]["error_rate"], days[0]["median_seconds"]) == (5, 0.3333, 4.0)
        assert days[0]["vendor"] == "custom" and days[0]["p95_seconds"] == 5.8
    assert "Measured" not in {each["command"] for each in (await _asked(client, beta, "effects"))["days"]}
    for days_back in (0, 91):
        refused = await client.get(
            f"{API}/enhanced-monitoring/effects", params={"days": days_back}, headers=alpha.headers()
        )
        assert refused.status_code == 422
