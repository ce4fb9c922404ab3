"""What people changed, listed and put back through the API: by who may change it, once, and of one's own business."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
from api_world import API, Business

from flipsync.domain.ids import new_id


async def posted(client: httpx2.AsyncClient, url: str, headers: dict[str, str], **form: bool) -> httpx2.Response:
    return await client.post(url, headers=headers | {"Idempotency-Key": new_id().hex}, json=form)


def outcomes(answer: httpx2.Response) -> dict[str, str]:
    assert answer.status_code == 200, answer.text
    return {part["name"]: part["outcome"] for part in answer.json()["parts"]}


async def newest(client: httpx2.AsyncClient, url: str, business: Business) -> dict[str, Any]:
    page = await client.get(f"{url}/changes", params={"limit": 1}, headers=business.headers())
    found: dict[str, Any] = page.json()["items"][0]
    assert page.json()["next_cursor"], "the one before it follows"
    return found


async def test_a_product_is_put_back_once_by_those_who_may_edit_it(
    client: httpx2.AsyncClient, alpha: Business, beta: Business
) -> None:
    url = f"{API}/products/{alpha.ids['product_id']}"
    before = await client.get(url, headers=alpha.headers())
    headers = alpha.headers("clerk") | {"If-Match": before.headers["etag"]}
    edited = await client.patch(url, headers=headers, json={"title": "Another teapot"})
    assert edited.status_code == 200, edited.text
    change = await newest(client, url, alpha)
    assert change["before"] == {"title": before.json()["title"]} and change["by"] == str(alpha.users["clerk"])
    undo = f"{url}/changes/{change['id']}/undo"
    assert (await posted(client, undo, alpha.headers("analyst"))).status_code == 403
    for foreign in (undo, f"{API}/products/{beta.ids['product_id']}/changes/{change['id']}/undo"):
        assert (await posted(client, foreign, beta.headers())).status_code == 404
    # who may edit products may not put back settings by their way, nor products by the settings'
    assert (await posted(client, f"{API}/strategy/changes/{change['id']}/undo", alpha.headers())).status_code == 404
    both = await asyncio.gather(*(posted(client, undo, alpha.headers("clerk")) for _ in range(2)))
    assert sorted(outcomes(each)["title"] for each in both) == ["already-undone", "undone"]
    assert (await client.get(url, headers=alpha.headers())).json()["title"] == before.json()["title"]


async def test_goals_are_put_back_by_the_owner(client: httpx2.AsyncClient, alpha: Business) -> None:
    url = f"{API}/strategy"
    before = await client.get(f"{url}/goals", headers=alpha.headers())
    risk = "careful" if before.json()["goals"]["risk"] != "careful" else "bold"
    headers = alpha.headers() | {"If-Match": before.headers["etag"]}
    assert (await client.patch(f"{url}/goals", headers=headers, json={"risk": risk})).status_code == 200
    change = await newest(client, url, alpha)
    assert change["after"] == {"goals.risk": risk}
    undo = f"{url}/changes/{change['id']}/undo"
    assert (await posted(client, undo, alpha.headers("manager"))).status_code == 403
    assert outcomes(await posted(client, undo, alpha.headers(), dry_run=True)) == {"goals.risk": "undoable"}
    assert outcomes(await posted(client, undo, alpha.headers())) == {"goals.risk": "undone"}
    after = await client.get(f"{url}/goals", headers=alpha.headers())
    assert after.json()["goals"] == before.json()["goals"] and after.headers["etag"] != before.headers["etag"]
