"""Automations over HTTP: written, refused with every fault named, tried on the past, stopped, and seen at work."""

from __future__ import annotations

from typing import Any

import httpx2
from api_routes import AUTOMATION
from api_world import API, Business

from flipsync.domain.ids import new_id
from flipsync.store.unit_of_work import Store

URL = f"{API}/workflows"


def once(business: Business, **more: Any) -> dict[str, str]:
    return business.headers(**more) | {"Idempotency-Key": new_id().hex}


async def test_written_versioned_paused_resumed_and_removed(client: httpx2.AsyncClient, alpha: Business) -> None:
    form = {"definition": AUTOMATION | {"name": "api-one"}}
    first = await client.post(URL, json=form, headers=once(alpha))
    assert first.status_code == 200, first.text
    made = first.json()
    assert (made["version"], made["state"]) == (1, "active")
    assert made["in_words"] == "on CredentialsExpiring (days < 3): tell “a credential ends”"
    same = await client.post(URL, json=form, headers=once(alpha))
    assert same.json()["id"] == made["id"], "the same again changes nothing"
    form["definition"] |= {"per_hour": 7}
    second = (await client.post(URL, json=form, headers=once(alpha))).json()
    assert (second["version"], second["id"] == made["id"]) == (2, False)
    old = (await client.get(f"{URL}/{made['id']}", headers=alpha.headers())).json()
    assert old["state"] == "replaced"
    for verb, state in (("pause", "paused"), ("resume", "active"), ("remove", "removed")):
        answer = await client.post(f"{URL}/{second['id']}/{verb}", headers=once(alpha))
        assert (answer.status_code, answer.json()["state"]) == (200, state), answer.text
    again = await client.post(f"{URL}/{second['id']}/resume", headers=once(alpha))
    assert again.status_code == 409
    names = [each["name"] for each in (await client.get(URL, headers=alpha.headers())).json()["items"]]
    assert "api-one" not in names


async def test_every_fault_is_named(client: httpx2.AsyncClient, alpha: Business) -> None:
    wrong = {
        "name": "wrong",
        "trigger": {"event": "PriceSet", "where": {"all": [{"field": "buyer", "op": "eq", "value": 1}]}},
        "steps": [{"do": "list-stock", "part": "price"}],
    }
    answer = await client.post(URL, json={"definition": wrong}, headers=once(alpha))
    assert answer.status_code == 422
    told = answer.json()["detail"]
    assert "trigger.where: there is no field 'buyer'" in told and "steps[0]: list-stock" in told
    for form in ({}, {"definition": wrong, "built_in": "auto-listing"}, {"built_in": "no-such"}):
        assert (await client.post(URL, json=form, headers=once(alpha))).status_code == 422
    taken = {"definition": AUTOMATION | {"name": "auto-listing"}}
    assert (await client.post(URL, json=taken, headers=once(alpha))).status_code == 409


async def test_only_the_owner_writes_and_a_clerk_sees_nothing(client: httpx2.AsyncClient, alpha: Business) -> None:
    form = {"definition": AUTOMATION | {"name": "managers"}}
    assert (await client.post(URL, json=form, headers=once(alpha, role="manager"))).status_code == 403
    assert (await client.get(URL, headers=alpha.headers("clerk"))).status_code == 403


async def test_tried_on_the_past(client: httpx2.AsyncClient, alpha: Business) -> None:
    sold = {
        "name": "on-sale",
        "trigger": {
            "event": "OfferChanged",
            "where": {
                "all": [
                    {"field": "cause", "op": "eq", "value": "sale"},
                    {"field": "listing.price_minor", "op": "ge", "value": 1},
                ]
            },
        },
        "steps": [{"do": "set-price", "change_bps": 100}],
    }
    answer = await client.post(f"{URL}/dry-run", json={"definition": sold}, headers=once(alpha))
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["complete"] and told["runs"] >= 1 and told["facts"] == told["not_meant"] + told["quiet"] + told["runs"]
    assert told["would_do"] == {"move the price by 1 %": told["runs"]}
    assert told["examples"][0]["subject_id"] == str(alpha.ids["listing_id"])
    assert len(told["warnings"]) == 2, "it may trigger itself, and asks how the listing is now"
    assert sold["name"] not in (await client.get(URL, headers=alpha.headers())).text, "nothing was written"


async def test_a_run_is_seen_and_cancelled_once(client: httpx2.AsyncClient, store: Store, beta: Business) -> None:
    url = f"{URL}/runs/{beta.ids['run_id']}"
    seen = (await client.get(url, headers=beta.headers())).json()
    assert (seen["state"], seen["in_words"]) == ("running", [f"ask “{beta.marker} asks”"])
    page = await client.get(f"{URL}/{beta.ids['workflow_id']}/runs?state=running", headers=beta.headers())
    assert [each["id"] for each in page.json()["items"]] == [str(beta.ids["run_id"])]
    key = once(beta)
    for _ in range(2):
        answer = await client.post(f"{url}/cancel", json={"undo": True}, headers=key)
        assert answer.status_code == 200, answer.text
    async with store.reader(beta.tenant_id) as session:
        from sqlalchemy import text

        wishes = await session.execute(text("SELECT payload FROM event WHERE type = 'WorkflowUnwanted'"))
        mine = [row.payload for row in wishes if row.payload["run_id"] == str(beta.ids["run_id"])]
    assert [each["undo"] for each in mine] == [True], "told to the engine once"
