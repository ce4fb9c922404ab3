"""Plans and directives over the API: read by who plans, ended by the owner alone, once."""

from __future__ import annotations

import httpx2
from api_world import API, Business

from flipsync.domain.ids import new_id


async def test_plans_are_shown_with_what_is_reached(
    client: httpx2.AsyncClient, alpha: Business, beta: Business
) -> None:
    (plan,) = (await client.get(f"{API}/strategy/plans", headers=alpha.headers("analyst"))).json()["items"]
    (target,) = plan["initiatives"]
    assert target["title"] == f"{alpha.marker} target" and target["account"] == f"{alpha.marker} shop"
    assert (target["probability"], target["reached"], target["met"]) == (0.5, None, None)
    assert target["so_far"] >= 0 and 0 <= target["expected_so_far"] <= target["expected"]
    assert (await client.get(f"{API}/strategy/plans", headers=alpha.headers("clerk"))).status_code == 403
    foreign = (await client.get(f"{API}/strategy/plans", headers=beta.headers())).text
    assert alpha.marker not in foreign


async def test_a_directive_is_ended_once_and_by_the_owner_alone(
    client: httpx2.AsyncClient, alpha: Business, beta: Business
) -> None:
    url, form = f"{API}/strategy/directives", {"reason": "the season is over"}
    wanted = {"in_force": "true"}
    (shown,) = (await client.get(url, params=wanted, headers=alpha.headers("manager"))).json()["items"]
    assert shown["words"] == f"hold prices in {alpha.marker} lamps" and "pricing" in shown["binds"]
    end = f"{url}/{shown['id']}/end"

    async def asked(who: dict[str, str], key: str = "", body: dict[str, str] = form) -> httpx2.Response:
        return await client.post(end, headers=who | {"Idempotency-Key": key or new_id().hex}, json=body)

    assert (await asked(alpha.headers("manager"))).status_code == 403
    assert (await asked(beta.headers())).status_code == 404
    for reason in ("", "x" * 501, "tea\0pot"):
        assert (await asked(alpha.headers(), body={"reason": reason})).status_code == 422, reason[:9]
    first = await asked(alpha.headers(), "end-it-once")
    assert first.status_code == 200 and first.json()["ended_why"] == form["reason"]
    assert (await asked(alpha.headers(), "end-it-once")).json() == first.json(), "asked again it is answered alike"
    assert (await asked(alpha.headers())).status_code == 409
    assert (await client.get(url, params=wanted, headers=alpha.headers())).json()["items"] == []
    assert len((await client.get(url, headers=alpha.headers())).json()["items"]) == 1
