"""Two people on two phones, and our own processes: one wins, the others are told, nobody's change is lost unseen."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest
from api_routes import DOCUMENT, GUARDED, Route
from api_world import API, Business, edit_on_channel
from sqlalchemy import text

from flipsync.domain.ids import new_id
from flipsync.services import stock
from flipsync.services.accounts import load_account
from flipsync.store.unit_of_work import Store

MANY = 24
#: ended for good, or changed by proving who one is: there is no version that it could be based on
PERSONAL = (*("/api/v1/auth/", "/api/v1/api-keys/", "/api/v1/notifications/destinations/", "/api/v1/sync/devices/"),)
#: what somebody else said last: whoever writes it down later is right, and the audit log has both
SAID = "/api/v1/suppliers/{supplier_id}/offers/"
#: what is replaced, not done: the change has to say what it is based on
EDITS = [
    route
    for route in GUARDED
    if route.method in ("PATCH", "PUT", "DELETE") and not route.path.startswith((*PERSONAL, SAID))
]


def _operation(route: Route) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["paths"][route.path][route.method.lower()]
    return found


def _if_match(route: Route) -> dict[str, Any] | None:
    return next((p for p in _operation(route).get("parameters", ()) if p["name"] == "If-Match"), None)


def test_there_are_edits() -> None:
    assert len(EDITS) >= 4


@pytest.mark.parametrize("route", EDITS, ids=str)
def test_every_edit_says_what_it_is_based_on(route: Route) -> None:
    assert _if_match(route) is not None
    assert {"412", "428"} <= set(_operation(route)["responses"])


@pytest.mark.parametrize("route", [route for route in GUARDED if route.method == "POST" and _if_match(route)], ids=str)
def test_what_may_name_a_version_says_that_it_may_be_another(route: Route) -> None:
    assert "412" in _operation(route)["responses"]


@pytest.mark.parametrize("route", EDITS, ids=str)
async def test_without_a_version_or_with_an_old_one_nothing_is_changed(
    route: Route, client: httpx2.AsyncClient, alpha: Business
) -> None:
    request = route.request(alpha)
    headers = request.pop("headers") | alpha.headers()
    del headers["If-Match"]
    answer = await client.request(route.method, route.url(alpha), headers=headers, **request)
    assert (answer.status_code, answer.json()["type"]) == (428, "urn:flipsync:error:precondition-required")
    assert answer.json()["hint"]
    stale = await client.request(route.method, route.url(alpha), headers=headers | {"If-Match": '"999"'}, **request)
    assert (stale.status_code, stale.json()["type"]) == (412, "urn:flipsync:error:version-mismatch")
    assert stale.json()["hint"]
    strange = await client.request(route.method, route.url(alpha), headers=headers | {"If-Match": "W/*"}, **request)
    assert strange.status_code == 422


async def _race(client: httpx2.AsyncClient, requests: list[dict[str, Any]]) -> tuple[dict[str, Any], httpx2.Response]:
    """All at once; the request that won, with its answer. The others were told."""
    answers = await asyncio.gather(*(client.request(**request) for request in requests))
    codes = sorted(answer.status_code for answer in answers)
    assert codes == [200] + [412] * (len(requests) - 1), codes
    won = next(index for index, answer in enumerate(answers) if answer.status_code == 200)
    return requests[won], answers[won]


async def test_many_edit_a_product_at_once(client: httpx2.AsyncClient, alpha: Business) -> None:
    url = f"{API}/products/{alpha.ids['product_id']}"
    etag = (await client.get(url, headers=alpha.headers())).headers["etag"]
    headers = alpha.headers(**{"If-Match": etag})
    edits = [{"title": f"{alpha.marker} title {n}", "brand": f"{alpha.marker} {n}"} for n in range(MANY)]
    won, answer = await _race(
        client, [{"method": "PATCH", "url": url, "headers": headers, "json": edit} for edit in edits]
    )
    now = await client.get(url, headers=alpha.headers())
    assert {name: now.json()[name] for name in ("title", "brand")} == won["json"]
    assert now.headers["etag"] == answer.headers["etag"] == f'"{int(etag.strip(chr(34))) + 1}"'


async def test_many_set_a_price_floor_at_once(client: httpx2.AsyncClient, alpha: Business) -> None:
    url = f"{API}/pricing/variants/{alpha.ids['variant_id']}"
    etag = (await client.get(url, headers=alpha.headers())).headers["etag"]
    headers = alpha.headers(**{"If-Match": etag})
    floors = [{"floor": {"amount_minor": 1521 + n, "currency": "USD"}} for n in range(MANY)]
    won, _ = await _race(
        client, [{"method": "PATCH", "url": url, "headers": headers, "json": floor} for floor in floors]
    )
    assert (await client.get(url, headers=alpha.headers())).json()["floor"] == won["json"]["floor"]


async def test_many_replace_credentials_at_once(
    client: httpx2.AsyncClient, store: Store, alpha: Business, backend: Any
) -> None:
    url = f"{API}/marketplace/accounts/{alpha.ids['account_id']}"
    read = await client.get(url, headers=alpha.headers())
    assert read.headers["etag"] == f'"{read.json()["version"]}"'
    headers = alpha.headers(**{"If-Match": read.headers["etag"]})
    keys = [{"credentials": {"token": f"{alpha.marker}-key-{n}"}} for n in range(MANY)]
    won, _ = await _race(
        client, [{"method": "PUT", "url": f"{url}/credentials", "headers": headers, "json": key} for key in keys]
    )
    async with store.reader(alpha.tenant_id) as session:
        account = await load_account(session, backend.box, alpha.ids["account_id"])
    assert account.credentials["token"].get_secret_value() == won["json"]["credentials"]["token"]


async def test_pausing_what_somebody_resumed_meanwhile_is_told(client: httpx2.AsyncClient, beta: Business) -> None:
    url = f"{API}/marketplace/accounts/{beta.ids['account_id']}"
    etag = (await client.get(url, headers=beta.headers())).headers["etag"]
    old = beta.headers(**{"If-Match": etag})
    assert (await client.post(f"{url}/pause", headers=old, json={"reason": "stocktaking"})).status_code == 200
    assert (await client.post(f"{url}/resume", headers=old)).status_code == 412
    assert (await client.post(f"{url}/resume", headers=beta.headers())).status_code == 200


async def test_a_count_that_missed_an_arrival_is_told(client: httpx2.AsyncClient, store: Store, beta: Business) -> None:
    url = f"{API}/inventory/items/{beta.ids['stock_item_id']}"
    read = await client.get(url, headers=beta.headers())
    counted = {"counted": read.json()["on_hand"] - 1}
    async with store.unit(beta.tenant_id) as unit:
        await stock.receive(unit, beta.ids["variant_id"], 3, key=f"race:{new_id()}", mode="escrow")
    based = {"If-Match": read.headers["etag"], "Idempotency-Key": new_id().hex}
    late = await client.post(f"{url}/counts", headers=beta.headers(**based), json=counted)
    assert (late.status_code, late.json()["type"]) == (412, "urn:flipsync:error:version-mismatch")
    assert (await client.get(url, headers=beta.headers())).json()["on_hand"] == read.json()["on_hand"] + 3


async def test_many_count_one_shelf_at_once(client: httpx2.AsyncClient, beta: Business) -> None:
    url = f"{API}/inventory/items/{beta.ids['stock_item_id']}"
    read = await client.get(url, headers=beta.headers())
    requests = [
        {
            "method": "POST",
            "url": f"{url}/counts",
            "headers": beta.headers(**{"If-Match": read.headers["etag"], "Idempotency-Key": new_id().hex}),
            "json": {"counted": read.json()["on_hand"] + n},
        }
        for n in range(12)
    ]
    won, _ = await _race(client, requests)
    assert (await client.get(url, headers=beta.headers())).json()["on_hand"] == won["json"]["counted"]


async def test_many_answer_one_question(client: httpx2.AsyncClient, store: Store, beta: Business) -> None:
    async with store.unit(beta.tenant_id) as unit:
        edit = await edit_on_channel(unit, beta)
    approval = (await client.get(f"{API}/hand-edits/{edit}", headers=beta.headers())).json()["approval_id"]
    url = f"{API}/approvals/{approval}/answer"
    answers = await asyncio.gather(
        *(
            client.post(
                url,
                headers=beta.headers(**{"Idempotency-Key": new_id().hex}),
                json={"approved": bool(n % 2), "note": f"answer {n}"},
            )
            for n in range(MANY)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * (MANY - 1)
    won = next(answer.json() for answer in answers if answer.status_code == 200)
    now = (await client.get(f"{API}/approvals/{approval}", headers=beta.headers())).json()
    assert (now["state"], now["note"]) == (won["state"], won["note"])
    async with store.reader(beta.tenant_id) as session:
        told = await session.execute(
            text("SELECT count(*) FROM event WHERE type = 'ApprovalAnswered' AND payload ->> 'approval_id' = :id"),
            {"id": str(approval)},
        )
        assert told.scalar_one() == 1


async def test_an_edit_on_the_channels_own_page_is_answered_once(client: httpx2.AsyncClient, beta: Business) -> None:
    listed = (await client.get(f"{API}/hand-edits", params={"state": "open"}, headers=beta.headers("clerk"))).json()
    assert [each["id"] for each in listed["items"]] == [str(beta.ids["edit_id"])]
    of_listing = {"listing_id": str(beta.ids["listing_id"])}
    assert (await client.get(f"{API}/hand-edits", params=of_listing, headers=beta.headers())).json()["items"]
    assert not (
        await client.get(f"{API}/hand-edits", params={"listing_id": str(new_id())}, headers=beta.headers())
    ).json()["items"]
    url = f"{API}/hand-edits/{beta.ids['edit_id']}"
    edit = (await client.get(url, headers=beta.headers())).json()
    assert (edit["fields"], edit["ours"]["title"], edit["theirs"]["title"]) == (
        ["title"],
        f"{beta.marker} teapot",
        f"{beta.marker} tea pot",
    )
    answers = await asyncio.gather(
        *(
            client.post(
                f"{url}/answer",
                headers=beta.headers(**{"Idempotency-Key": new_id().hex}),
                json={"keep": ("ours", "theirs")[n % 2]},
            )
            for n in range(8)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7
    won = next(answer.json() for answer in answers if answer.status_code == 200)
    assert won["state"] in ("ours", "theirs")
    now = (await client.get(url, headers=beta.headers())).json()
    assert (now["state"], now["answered_by"]) == (won["state"], str(beta.users["owner"]))
    listed = (await client.get(f"{API}/hand-edits", params={"state": "open"}, headers=beta.headers())).json()
    assert listed["items"] == []
