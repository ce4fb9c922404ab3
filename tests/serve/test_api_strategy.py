"""The owner's goals over the API: read, changed on what was read, and only by the owner."""

from __future__ import annotations

import httpx2
from api_world import API, Business


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
