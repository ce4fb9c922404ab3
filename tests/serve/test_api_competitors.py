"""Alarms and rivals over HTTP: in pages, filtered, for those who may see prices, and for nobody of another business."""

from __future__ import annotations

from typing import Any

import httpx2
from api_world import API, Business

from flipsync.domain.commands import RaiseRivalAlarm
from flipsync.domain.ids import new_id
from flipsync.services import competitor_desk
from flipsync.store.unit_of_work import Store


async def test_alarms_are_listed_with_their_evidence_and_stay_in_the_business(
    client: httpx2.AsyncClient, store: Store, alpha: Business, beta: Business
) -> None:
    listing, moves = alpha.ids["listing_id"], (new_id(), new_id())
    for alarm, why in (("price-war", "ann and we went down"), ("hijack", "nobody knew them")):
        raised = RaiseRivalAlarm.model_validate({"listing_id": listing, "alarm": alarm, "why": why, "evidence": moves})
        async with store.unit(alpha.tenant_id) as unit:
            await competitor_desk.raise_alarm(unit, raised)

    async def told(business: Business, **query: Any) -> dict[str, Any]:
        answer = await client.get(f"{API}/competitors", params=query, headers=business.headers())
        assert answer.status_code == 200
        return dict(answer.json())

    first = await told(alpha, listing_id=str(listing), limit=1)
    second = await told(alpha, listing_id=str(listing), limit=1, cursor=first["next_cursor"])
    assert [page["items"][0]["alarm"] for page in (first, second)] == ["hijack", "price-war"]
    assert first["items"][0]["evidence"] == [str(move) for move in moves]
    assert [each["why"] for each in (await told(alpha, alarm="hijack"))["items"]][:1] == ["nobody knew them"]
    assert (await told(beta, listing_id=str(listing)))["items"] == []
    clerk = await client.get(f"{API}/competitors", headers=alpha.headers("clerk"))
    assert clerk.status_code == 403


async def test_rivals_of_a_listing(client: httpx2.AsyncClient, alpha: Business, beta: Business) -> None:
    url = f"{API}/competitors/{alpha.ids['listing_id']}"
    answer = await client.get(url, headers=alpha.headers())
    assert answer.status_code == 200 and answer.json()["listing_id"] == str(alpha.ids["listing_id"])
    assert (await client.get(url, headers=beta.headers())).status_code == 404
