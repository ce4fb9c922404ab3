"""Models over HTTP: moved on after checks, once for each key, and taken back."""

from __future__ import annotations

import httpx2
from api_world import API, Business

from flipsync.domain.ids import new_id


async def test_a_policy_is_moved_on_once_and_taken_back(client: httpx2.AsyncClient, alpha: Business) -> None:
    url = f"{API}/models/{alpha.ids['model_id']}"
    seen = (await client.get(url, headers=alpha.headers())).json()
    assert (seen["stage"], seen["artefact"]["kind"], seen["stages"]) == ("candidate", "shop-price", [])

    async def post(path: str, body: dict[str, object], key: str) -> httpx2.Response:
        return await client.post(path, json=body, headers=alpha.headers(**{"Idempotency-Key": key}))

    early = await post(f"{url}/promote", {"to": "live"}, new_id().hex)
    assert early.status_code == 409 and "next stage is shadow" in early.json()["detail"]
    key = new_id().hex
    moved = await post(f"{url}/promote", {"to": "shadow", "reason": "let us see"}, key)
    assert moved.status_code == 200 and moved.json()["stage"] == "shadow"
    again = await post(f"{url}/promote", {"to": "shadow", "reason": "let us see"}, key)
    assert again.json() == moved.json() and again.headers["Idempotent-Replayed"] == "true"
    canary = await post(f"{url}/promote", {"to": "canary"}, new_id().hex)
    assert [move["becomes"] for move in canary.json()["stages"]] == ["shadow", "canary"]
    listed = (await client.get(f"{API}/models", params={"stage": "canary"}, headers=alpha.headers())).json()
    assert [model["id"] for model in listed["items"]] == [str(alpha.ids["model_id"])]

    quoted = (
        await client.get(f"{API}/pricing/listings/{alpha.ids['listing_id']}/quote", headers=alpha.headers())
    ).json()
    assert quoted["policy_version"] in ("as shipped", seen["version"])

    back = await post(f"{API}/models/rollback", {"name": "shop-price", "reason": "sales fell"}, new_id().hex)
    assert back.json() == {"rolled_back": seen["version"], "live": None}
    none = await post(f"{API}/models/rollback", {"name": "shop-price", "reason": "again"}, new_id().hex)
    assert none.status_code == 409


async def test_an_experiment_tells_its_trials(client: httpx2.AsyncClient, alpha: Business) -> None:
    told = await client.get(f"{API}/experiments/{alpha.ids['experiment_id']}", headers=alpha.headers())
    assert told.json()["trials"] == [{"number": 0, "state": "running", "params": {}, "scores": [1.0]}]
    listed = await client.get(f"{API}/experiments", params={"problem": "season-price"}, headers=alpha.headers())
    assert listed.json()["items"] == []
