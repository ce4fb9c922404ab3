"""Settings over the API: all of them are told; the owner changes some, on record, as the command line does."""

from __future__ import annotations

from typing import Any

import httpx2
from api_world import API, Business
from sqlalchemy import select

from flipsync.services.dry_run_change import COVERED, DECIDES_NOTHING
from flipsync.services.tenant_settings import SETTINGS
from flipsync.store.models import AuditEntry
from flipsync.store.unit_of_work import Store

URL = f"{API}/settings"


async def _read(client: httpx2.AsyncClient, business: Business) -> tuple[dict[str, Any], str]:
    answer = await client.get(URL, headers=business.headers("analyst"))
    assert answer.status_code == 200, answer.text
    return {each["name"]: each for each in answer.json()["items"]}, answer.headers["ETag"]


async def test_every_setting_is_told_with_what_it_is_for(client: httpx2.AsyncClient, alpha: Business) -> None:
    told, tag = await _read(client, alpha)
    assert told.keys() == SETTINGS.keys() and tag.strip('"').isdigit()
    margin = told["pricing.min_margin_bps"]
    assert (margin["value"], margin["default"]) == (500, 500) and "share of the price" in margin["about"]
    assert {name for name, each in told.items() if each["decides_nothing"]} == DECIDES_NOTHING.keys()
    assert {name for name, each in told.items() if not each["decides_nothing"]} == COVERED
    assert (await client.get(URL, headers=alpha.headers("clerk"))).status_code == 403


async def test_a_change_counts_once_is_on_record_and_can_be_undone(
    client: httpx2.AsyncClient, store: Store, alpha: Business, beta: Business
) -> None:
    _, tag = await _read(client, alpha)
    form = {"change": {"pricing.min_margin_bps": 900, "time_zone": "Europe/Berlin", "auto_list": True}}
    headers = alpha.headers(**{"If-Match": tag})
    changed = await client.patch(URL, headers=headers, json=form)
    assert changed.status_code == 200, changed.text
    told = {each["name"]: each["value"] for each in changed.json()["items"]}
    assert (told["pricing.min_margin_bps"], told["time_zone"]) == (900, "Europe/Berlin")
    assert changed.headers["ETag"] != tag == f'"{int(tag.strip(chr(34)))}"'
    again = await client.patch(URL, headers=headers, json=form)
    assert again.status_code == 412, "it was changed since it was read: by oneself"
    same = await client.patch(URL, headers=alpha.headers(**{"If-Match": changed.headers["ETag"]}), json=form)
    assert same.status_code == 200 and same.headers["ETag"] == changed.headers["ETag"], "nothing is otherwise"
    (change, *_) = (await client.get(f"{API}/strategy/changes", headers=alpha.headers())).json()["items"]
    assert change["after"] == {"pricing.min_margin_bps": 900, "time_zone": "Europe/Berlin"}
    assert change["before"] == {"pricing.min_margin_bps": 500, "time_zone": "UTC"}
    async with store.reader(alpha.tenant_id) as session:
        query = select(AuditEntry.details).where(AuditEntry.action == "settings.changed")
        (entry,) = (await session.scalars(query)).all()
    assert entry["after"] == change["after"]
    assert (await _read(client, beta))[0]["time_zone"]["value"] == "UTC"
    undone = await client.post(
        f"{API}/strategy/changes/{change['id']}/undo", headers=alpha.headers(**{"Idempotency-Key": "back"}), json={}
    )
    assert undone.status_code == 200, undone.text
    assert (await _read(client, alpha))[0]["pricing.min_margin_bps"]["value"] == 500


async def test_the_owners_limit_of_an_agent_is_shown_with_it(
    client: httpx2.AsyncClient, alpha: Business, beta: Business
) -> None:
    _, tag = await _read(client, alpha)
    form = {"change": {"agents.pricing.max_stake_minor": 5_000}}
    changed = await client.patch(URL, headers=alpha.headers(**{"If-Match": tag}), json=form)
    assert changed.status_code == 200, changed.text
    shown = (await client.get(f"{API}/agents/pricing", headers=alpha.headers())).json()
    assert shown["limits"] == {"auto_above": None, "max_stake_minor": 5_000}
    assert shown["declares"] == {"auto_above": 0.55, "max_stake_minor": 25_000}
    other = (await client.get(f"{API}/agents/pricing", headers=beta.headers())).json()
    assert other["limits"] == {"auto_above": None, "max_stake_minor": None}


async def test_what_no_setting_takes_changes_nothing(client: httpx2.AsyncClient, alpha: Business) -> None:
    before, tag = await _read(client, alpha)
    for change in (
        {"pricing.min_margin": 800},
        {"pricing.min_margin_bps": -1},
        {"pricing.min_margin_bps": 700, "time_zone": "Mars/Olympus"},
        {"pricing.min_margin_bps": 2**70},
        {"fleet.listing_shares_bps": {"no id": 5}},
        {"pricing": {}},
        {"agents.nobody.auto_above": 1},
        {},
    ):
        refused = await client.patch(URL, headers=alpha.headers(**{"If-Match": tag}), json={"change": change})
        assert (refused.status_code, refused.json()["type"]) == (422, "urn:flipsync:error:invalid-input"), change
    assert await _read(client, alpha) == (before, tag)
    manager = await client.patch(
        URL, headers=alpha.headers("manager", **{"If-Match": tag}), json={"change": {"auto_list": False}}
    )
    assert manager.status_code == 403
