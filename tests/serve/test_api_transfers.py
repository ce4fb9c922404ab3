"""Transfers over the API: planned, sent and called off once, on the version that was read, and by nobody else."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest
from api_world import API, Business

from flipsync.domain.ids import new_id
from flipsync.store.models import Listing
from flipsync.store.unit_of_work import Store

TRANSFERS = f"{API}/inventory/transfers"


def once(business: Business, role: Any = "owner", key: str = "", **more: str) -> dict[str, str]:
    return business.headers(role, **{"Idempotency-Key": key or new_id().hex, **more})


@pytest.fixture
async def form(store: Store, alpha: Business) -> dict[str, Any]:
    """Of goods that alpha's channel sells from a warehouse of its own as well."""
    account_id = alpha.ids["account_id"]
    async with store.unit(alpha.tenant_id) as unit:
        sku = f"{alpha.marker}-{new_id().hex[-8:]}"
        listing = Listing(
            tenant_id=alpha.tenant_id,
            account_id=account_id,
            variant_id=alpha.ids["variant_id"],
            sku=sku,
            external_id=sku,
            status="active",
            title=alpha.marker,
            currency="USD",
            pool="fba",
        )
        unit.session.add(listing)
    return {"variant_id": str(alpha.ids["variant_id"]), "account_id": str(account_id), "units": 2}


async def shelf(client: httpx2.AsyncClient, business: Business) -> int:
    url = f"{API}/inventory/items/{business.ids['stock_item_id']}"
    return int((await client.get(url, headers=business.headers())).json()["on_hand"])


async def test_planned_sent_and_called_off(client: httpx2.AsyncClient, alpha: Business, form: dict[str, Any]) -> None:
    before, key = await shelf(client, alpha), new_id().hex
    first, again = [await client.post(TRANSFERS, json=form, headers=once(alpha, key=key)) for _ in range(2)]
    assert first.status_code == 201, first.text
    assert again.json() == first.json(), "asked twice, planned once"
    url = f"{TRANSFERS}/{first.json()['id']}"
    read = await client.get(url, headers=alpha.headers())
    assert (read.json()["state"], read.headers["etag"]) == ("planned", '"1"')
    stale = await client.post(f"{url}/send", json={}, headers=once(alpha, **{"If-Match": '"9"'}))
    assert (stale.status_code, stale.json()["type"]) == (412, "urn:flipsync:error:version-mismatch")

    headers = [once(alpha, "clerk", **{"If-Match": '"1"'}) for _ in range(4)]
    answers = await asyncio.gather(*(client.post(f"{url}/send", json={}, headers=each) for each in headers))
    assert sorted(each.status_code for each in answers) == [200, 412, 412, 412], [each.text for each in answers]
    assert await shelf(client, alpha) == before - 2, "sent once"
    won = next(at for at, each in enumerate(answers) if each.status_code == 200)
    repeated = await client.post(f"{url}/send", json={}, headers=headers[won])
    assert repeated.json() == answers[won].json() and repeated.json()["under_way"] == 2

    too_many = await client.post(f"{url}/cancel", json={"came_back": 3}, headers=once(alpha))
    assert too_many.status_code == 422 and too_many.json()["hint"]
    ended = await client.post(f"{url}/cancel", json={"came_back": 1, "reason": "a box broke"}, headers=once(alpha))
    assert (ended.json()["state"], ended.json()["came_back"], ended.json()["missing"]) == ("cancelled", 1, 1)
    assert await shelf(client, alpha) == before - 1
    assert (await client.post(f"{url}/cancel", json={}, headers=once(alpha))).status_code == 409


async def test_listed_in_pages_and_by_state(client: httpx2.AsyncClient, alpha: Business, form: dict[str, Any]) -> None:
    made = [(await client.post(TRANSFERS, json=form | {"units": 1}, headers=once(alpha))).json() for _ in range(3)]
    seen, cursor = [], ""
    while True:
        page = (await client.get(f"{TRANSFERS}?state=planned&limit=2{cursor}", headers=alpha.headers())).json()
        assert len(page["items"]) <= 2
        seen += [each["number"] for each in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == sorted(set(seen), reverse=True) and {each["number"] for each in made} <= set(seen)
    for each in made:
        await client.post(f"{TRANSFERS}/{each['id']}/cancel", json={}, headers=once(alpha))
    left = (await client.get(f"{TRANSFERS}?state=planned", headers=alpha.headers())).json()["items"]
    assert not {each["id"] for each in made} & {each["id"] for each in left}
    for open_, there in (("true", set()), ("false", {each["id"] for each in made})):
        found = (await client.get(f"{TRANSFERS}?open={open_}&limit=100", headers=alpha.headers())).json()["items"]
        assert {each["id"] for each in found} & {each["id"] for each in made} == there
    assert (await client.get(f"{TRANSFERS}?state=lost", headers=alpha.headers())).status_code == 422


async def test_what_makes_no_sense_is_refused(
    client: httpx2.AsyncClient, alpha: Business, beta: Business, form: dict[str, Any]
) -> None:
    for change, status in (
        ({"units": 0}, 422),
        ({"units": 9_000_000}, 409),
        ({"variant_id": str(new_id())}, 404),
        ({"account_id": str(beta.ids["account_id"])}, 404),
        ({"variant_id": str(beta.ids["variant_id"])}, 404),
        ({"pool": "fba"}, 422),
    ):
        answer = await client.post(TRANSFERS, json=form | change, headers=once(alpha))
        assert answer.status_code == status, (change, answer.text)
    url = f"{TRANSFERS}/{alpha.ids['transfer_id']}"
    for path in ("", "/send", "/cancel"):
        ask = (
            client.get(url, headers=beta.headers())
            if not path
            else client.post(f"{url}{path}", json={}, headers=once(beta))
        )
        assert (await ask).status_code == 404, "another business's"
    assert (await client.post(TRANSFERS, json=form, headers=once(alpha, "analyst"))).status_code == 403
