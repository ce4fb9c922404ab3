"""Marketplace accounts against the sandbox's own channels: real credentials in, none out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx2
import pytest
from api_world import API, Business

from flipsync.connectors.base import AccountConfig
from flipsync.domain.channel_fault import Finding
from flipsync.domain.clock import utc_now
from flipsync.domain.ids import new_id
from flipsync.services.accounts import load_account
from flipsync.services.channel_faults import record
from serve.backend import Backend


def _form(sandbox: Any, **changes: Any) -> dict[str, Any]:
    return {
        "vendor": "custom",
        "name": f"channel {new_id().hex}",
        "base_url": sandbox.custom["base_url"],
        "currency": "USD",
        "credentials": {"token": sandbox.custom["token"]},
    } | changes


def _key() -> dict[str, str]:
    return {"Idempotency-Key": new_id().hex}


async def test_an_account_from_connecting_to_disconnecting(
    client: httpx2.AsyncClient, backend: Backend, alpha: Business, start_sandbox: Callable[..., Any]
) -> None:
    sandbox = await start_sandbox("--seed", "3")
    url, form, headers = f"{API}/marketplace/accounts", _form(sandbox), alpha.headers(**_key())
    connected = await client.post(url, headers=headers, json=form)
    assert connected.status_code == 201, connected.text
    assert sandbox.custom["token"] not in connected.text
    again = await client.post(url, headers=headers, json=form)
    assert again.json() == connected.json() and again.headers["idempotent-replayed"] == "true"
    taken = await client.post(url, headers=alpha.headers(**_key()), json=form)
    assert (taken.status_code, taken.json()["type"]) == (409, "urn:flipsync:error:conflict")

    account = f"{url}/{connected.json()['id']}"
    probed = await client.post(f"{account}/probe", headers=alpha.headers())
    assert probed.status_code == 200, probed.text
    assert probed.json()["healthy"] and probed.json()["channel"]["currency"] == "USD"

    paused = await client.post(f"{account}/pause", headers=alpha.headers(), json={"reason": "stocktaking"})
    assert (paused.json()["status"], paused.json()["status_reason"]) == ("paused", "stocktaking")
    resumed = await client.post(f"{account}/resume", headers=alpha.headers())
    assert (resumed.json()["status"], resumed.json()["status_reason"]) == ("connected", "")

    async def stored() -> Any:
        async with backend.store.reader(alpha.tenant_id) as session:
            return await load_account(session, backend.box, connected.json()["id"])

    before = await stored()
    based_on = {"If-Match": (await client.get(account, headers=alpha.headers())).headers["etag"]}
    spoiled = await client.put(
        f"{account}/credentials", headers=alpha.headers(**based_on), json={"credentials": {"token": "revoked"}}
    )
    assert spoiled.status_code == 200 and "revoked" not in spoiled.text
    after = await stored()
    assert after.credentials["token"].get_secret_value() == "revoked"
    assert after.webhook_secret == before.webhook_secret, "the channel still signs with it"
    added = {"credentials": {"client_secret": "a new one"}, "keep_others": True}
    based_on = {"If-Match": spoiled.headers["etag"]}
    put = await client.put(f"{account}/credentials", headers=alpha.headers(**based_on), json=added)
    assert put.status_code == 200, put.text
    both = (await stored()).credentials
    assert [both[name].get_secret_value() for name in ("token", "client_secret")] == ["revoked", "a new one"]
    refused = await client.post(f"{account}/probe", headers=alpha.headers())
    assert (refused.status_code, refused.json()["type"]) == (502, "urn:flipsync:error:channel-rejected")

    gone = await client.post(f"{account}/disconnect", headers=alpha.headers(), json={"reason": "moved"})
    assert gone.json()["status"] == "disconnected"
    assert (await client.post(f"{account}/probe", headers=alpha.headers())).status_code == 409
    assert (await client.post(f"{account}/resume", headers=alpha.headers())).status_code == 409
    assert (await client.get(account, headers=alpha.headers())).status_code == 200, "history stays"


async def test_an_account_that_does_not_answer_is_not_connected(
    client: httpx2.AsyncClient, alpha: Business, start_sandbox: Callable[..., Any]
) -> None:
    sandbox = await start_sandbox("--seed", "3")
    url = f"{API}/marketplace/accounts"
    wrong = _form(sandbox, credentials={"token": "wrong"})
    nobody = _form(sandbox, base_url="http://127.0.0.1:1/custom")
    for form, code in [(wrong, "channel-rejected"), (nobody, "channel-retryable")]:
        answer = await client.post(url, headers=alpha.headers(**_key()), json=form)
        assert (answer.status_code, answer.json()["type"]) == (502, f"urn:flipsync:error:{code}")
        listed = await client.get(url, headers=alpha.headers())
        assert form["name"] not in listed.text


async def test_accounts_are_filtered(client: httpx2.AsyncClient, beta: Business) -> None:
    url = f"{API}/marketplace/accounts"
    own = await client.get(url, params={"vendor": "custom", "status": "connected"}, headers=beta.headers())
    assert [account["id"] for account in own.json()["items"]] == [str(beta.ids["account_id"])]
    none = await client.get(url, params={"vendor": "woocommerce"}, headers=beta.headers())
    assert none.json() == {"items": [], "next_cursor": None}


@pytest.mark.parametrize("vendor", ["amazon", "ebay", "shopify", "woocommerce"])
async def test_every_vendor_is_connected_the_same_way(
    client: httpx2.AsyncClient, backend: Backend, alpha: Business, start_sandbox: Callable[..., Any], vendor: str
) -> None:
    sandbox = await start_sandbox()
    told = sandbox.channels[vendor]
    where = {name: value for name, value in told.items() if name in AccountConfig.model_fields}
    secrets = {name: value for name, value in told.items() if name not in where}
    form = {"vendor": vendor, "name": f"{vendor} {new_id().hex}", "currency": "USD", "credentials": secrets, **where}
    connected = await client.post(f"{API}/marketplace/accounts", headers=alpha.headers(**_key()), json=form)
    assert connected.status_code == 201, connected.text
    assert connected.json()["options"] == where.get("options", {})
    assert not any(secret in connected.text for secret in secrets.values() if len(secret) > 8)
    probed = await client.post(
        f"{API}/marketplace/accounts/{connected.json()['id']}/probe", headers=alpha.headers(**_key())
    )
    assert probed.status_code == 200 and probed.json()["healthy"], probed.text


async def test_an_account_tells_what_is_the_matter_with_its_channel(
    client: httpx2.AsyncClient, backend: Backend, alpha: Business
) -> None:
    url = f"{API}/marketplace/accounts"
    [account, *_] = (await client.get(url, headers=alpha.headers())).json()["items"]
    assert account["faults"] == []
    found = Finding(cause="webhooks-paused", since=utc_now(), evidence=("order.created",))
    async with backend.store.unit(alpha.tenant_id) as unit:
        assert await record(unit, UUID(account["id"]), account["vendor"], [found]) == 1
    [fault] = (await client.get(f"{url}/{account['id']}", headers=alpha.headers())).json()["faults"]
    assert (fault["cause"], fault["evidence"]) == ("webhooks-paused", ["order.created"])
    assert fault["says"] and fault["hint"]
