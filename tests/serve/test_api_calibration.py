"""How right the agents were, over HTTP: of one's own business, for those who may see agents."""

from __future__ import annotations

import httpx2
from api_world import API, Business
from shop import open_store
from sqlalchemy import select

from flipsync.store import models as m


async def test_confidence_is_told_beside_what_came_of_it(
    client: httpx2.AsyncClient, database_urls: dict[str, str], alpha: Business, beta: Business
) -> None:
    worker = open_store(database_urls["worker"], pool_size=1)
    async with worker.unit(alpha.tenant_id) as unit:
        proposal = (await unit.session.scalars(select(m.Proposal).limit(1))).one()
        common = {"tenant_id": alpha.tenant_id, "agent": "pricing", "kind": "price-move"}
        unit.session.add(m.DecisionTally(**common, made=7))
        unit.session.add(
            m.DecisionOutcome(
                **common,
                decision_id=proposal.decision_id,
                proposal_id=proposal.id,
                confidence=0.75,
                drawn=True,
                decided_at=unit.now,
                due_at=unit.now,
                look_at=unit.now,
                state="known",
                outcome=1,
                graded_at=unit.now,
            )
        )
    await worker.aclose()
    url = f"{API}/agents/calibration"
    answer = await client.get(url, headers=alpha.headers("analyst"))
    assert answer.status_code == 200, answer.text
    (kind,) = answer.json()["graded"]
    assert (answer.status_code, kind["agent"], kind["made"], kind["known"]) == (200, "pricing", 7, 1)
    assert kind["score"]["brier"] == 0.0625 and kind["score"]["bins"][0]["came_true"]["value"] == 1.0
    assert "earns more" in kind["predicts"]
    only = await client.get(url, params={"agent": "inventory"}, headers=alpha.headers())
    assert only.json() == {"graded": [], "ungraded": []}
    assert (await client.get(url, headers=beta.headers())).json() == {"graded": [], "ungraded": []}
    assert (await client.get(url, params={"agent": "nobody"}, headers=alpha.headers())).status_code == 404
    assert (await client.get(url, headers=alpha.headers("clerk"))).status_code == 403


async def test_an_agent_shows_what_it_lost(
    client: httpx2.AsyncClient, database_urls: dict[str, str], alpha: Business, beta: Business
) -> None:
    worker = open_store(database_urls["worker"], pool_size=1)
    async with worker.unit(alpha.tenant_id) as unit:
        lost = {"agent": "pricing", "kind": "price-move", "level": "reduced", "trusted": 0.5, "reason": "too sure"}
        unit.session.add(m.AgentStanding(tenant_id=alpha.tenant_id, since=unit.now, **lost))
    await worker.aclose()
    (shown,) = (await client.get(f"{API}/agents/pricing", headers=alpha.headers())).json()["standings"]
    assert shown.pop("since").endswith("Z") and shown == lost
    assert (await client.get(f"{API}/agents/market", headers=alpha.headers())).json()["standings"] == []
    assert (await client.get(f"{API}/agents/pricing", headers=beta.headers())).json()["standings"] == []
