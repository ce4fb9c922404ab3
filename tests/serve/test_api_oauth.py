"""Sellers consent at every vendor of the sandbox, over HTTP, from the start to an account that works."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from api_world import API, Business
from consent_browser import Seller, form_of, listening, query_of
from fastapi import FastAPI
from sqlalchemy import text

from flipsync.domain.clock import utc_now
from flipsync.services import accounts, credential_ends
from serve.backend import Backend

VENDORS = ("amazon", "ebay", "shopify", "woocommerce")


@pytest.fixture
async def seller(app: FastAPI, alpha: Business) -> AsyncIterator[Seller]:
    async with listening(app) as url, httpx2.AsyncClient(trust_env=False, timeout=30) as http:
        yield Seller(url, http, alpha)


@pytest.fixture
async def market(start_sandbox: Callable[..., Any], seller: Seller) -> Any:
    sandbox = await start_sandbox()
    answer = await seller.http.post(
        f"{sandbox.base_url}/_sandbox/redirects",
        headers={"X-Sandbox-Token": sandbox.control_token},
        json={"vendor": "ebay", "url": f"{seller.api_url}{API}/oauth/callback/ebay"},
    )
    assert answer.status_code == 200
    return sandbox


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_seller_says_yes_and_the_account_works(
    vendor: str, seller: Seller, market: Any, backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    told = market.channels[vendor]
    started = await seller.start(form_of(told, vendor))
    assert started["status"] == "waiting" and f"/oauth/callback/{vendor}" in started["redirect_uri"]
    back = await seller.decide(started["url"], "grant")
    page = await seller.land(back)
    assert page.status_code == 200 and "is connected" in page.text, page.text
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert page.headers["referrer-policy"] == "no-referrer" and page.headers["cache-control"] == "no-store"
    done = await seller.status(started["id"])
    assert done["status"] == "connected"
    account = await seller.account(done["account_id"])
    assert (account["vendor"], account["status"]) == (vendor, "connected")
    sellers = {"amazon": "A3SANDBOXSELLER", "ebay": "u8sAnDbOxQ", "shopify": "sandbox-shop.myshopify.com"}
    assert account["seller_id"] == sellers.get(vendor, "")
    probed = await seller.http.post(
        f"{seller.api_url}{API}/marketplace/accounts/{done['account_id']}/probe", headers=seller.business.headers()
    )
    assert probed.json()["healthy"], probed.text
    terms = {end["what"] for end in account["ends"]}
    assert terms == {"amazon": {"consent", "client secret"}, "woocommerce": set()}.get(vendor, {"consent"})

    async with backend.store.reader(seller.business.tenant_id) as session:
        stored = await accounts.load_account(session, backend.box, UUID(done["account_id"]))
    secrets = {secret.get_secret_value() for secret in stored.credentials.values()}
    secrets |= {query_of(started["url"]).get("state", "-" * 9), query_of(back).get("code", "-" * 9)}
    said = [page.text, probed.text, str(done), str(account)]
    # the seller's browser is this test's own client: what it writes down of its addresses is not ours
    said += [record.getMessage() for record in caplog.records if not record.name.startswith("httpcore2")]
    assert not [each for each in said for secret in secrets if len(secret) > 8 and secret in each]


@pytest.mark.parametrize("vendor", ["amazon", "ebay", "woocommerce"])
async def test_a_seller_says_no(vendor: str, seller: Seller, market: Any) -> None:
    started = await seller.start(form_of(market.channels[vendor], vendor))
    page = await seller.land(await seller.decide(started["url"], "deny"))
    assert page.status_code == 403
    assert "the access was not granted" in page.text and "Not connected" in page.text
    done = await seller.status(started["id"])
    assert (done["status"], done["detail"], done["account_id"]) == ("denied", "the access was not granted", None)


async def test_a_merchant_who_cancels_at_shopify_stays_there(seller: Seller, market: Any) -> None:
    started = await seller.start(form_of(market.channels["shopify"], "shopify"))
    assert "/admin/apps" in await seller.decide(started["url"], "deny")
    assert (await seller.status(started["id"]))["status"] == "waiting"


async def test_the_browser_goes_where_it_was_told_and_nowhere_else(seller: Seller, market: Any) -> None:
    form = form_of(market.channels["ebay"], "ebay", return_to="/channels?tab=1")
    _, answer = await seller.consent(form)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/channels?tab=1&consent=connected&vendor=ebay"
    for bad in ("https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/a\nb", "x"):
        refused = await seller.ask({**form, "name": "x", "return_to": bad})
        assert refused.status_code == 422 and "not allowed" in refused.json()["detail"], bad


async def test_the_same_request_has_the_same_address_and_the_books_do_not_hold_it(
    seller: Seller, market: Any, backend: Backend
) -> None:
    form = form_of(market.channels["ebay"], "ebay")
    first, again = [await seller.start(form, key="consent-once") for _ in range(2)]
    assert first == again and first["url"]
    state = query_of(first["url"])["state"]
    async with backend.store.reader(seller.business.tenant_id) as session:
        for table in ("consent_request", "idempotency_record", "event"):
            rows = (await session.execute(text(f"SELECT t::text FROM {table} t"))).scalars().all()
            assert not [row for row in rows if state in row], table
    await seller.land(await seller.decide(first["url"], "grant"))
    assert (await seller.start(form, key="consent-once"))["url"] == "", "it serves no more"


async def _connected(seller: Seller, market: Any, vendor: str) -> str:
    started, page = await seller.consent(form_of(market.channels[vendor], vendor))
    assert page.status_code == 200, page.text
    account_id: str = (await seller.status(started["id"]))["account_id"]
    return account_id


@pytest.mark.parametrize("vendor", VENDORS)
async def test_an_account_is_authorized_again_and_its_warning_ends(
    vendor: str, seller: Seller, market: Any, backend: Backend
) -> None:
    account_id = await _connected(seller, market, vendor)
    tenant_id = seller.business.tenant_id
    async with backend.store.unit(tenant_id) as unit:
        account = await accounts.load_account(unit.session, backend.box, UUID(account_id))
        await accounts.pause_account(unit, account.id, "the channel refuses our credentials: 401")
        if vendor != "woocommerce":
            soon = (utc_now() + timedelta(days=5)).isoformat()
            await credential_ends.record(unit, account.id, account.vendor, {"refresh_expires_at": soon})
            await credential_ends.warn(unit)
    before = await seller.account(account_id)
    assert [end["warned_days"] for end in before["ends"]] == ([] if vendor == "woocommerce" else [7])
    started = await seller.start({"account_id": account_id})
    assert started["name"] == before["name"]
    page = await seller.land(await seller.decide(started["url"], "grant"))
    assert page.status_code == 200, page.text
    after = await seller.account(account_id)
    assert after["status"] == "connected", "the pause was about the credentials"
    assert all(end["warned_days"] is None for end in after["ends"])
    async with backend.store.reader(tenant_id) as session:
        fresh = await accounts.load_account(session, backend.box, UUID(account_id))
        query = text("SELECT type FROM event WHERE subject_id = :id AND type LIKE 'Credentials%' ORDER BY id")
        told = (await session.execute(query, {"id": account_id})).scalars().all()
    assert told == ([] if vendor == "woocommerce" else ["CredentialsExpiring", "CredentialsRenewed"])
    changed = "consumer_key" if vendor == "woocommerce" else "refresh_token"
    assert fresh.credentials[changed] != account.credentials[changed]
    assert fresh.webhook_secret == account.webhook_secret, "the channel still signs with it"


@pytest.mark.parametrize(("vendor", "other"), [("amazon", "A3ANOTHERSELLER"), ("ebay", "another_seller")])
async def test_another_seller_does_not_take_the_account_over(
    vendor: str, other: str, seller: Seller, market: Any, backend: Backend
) -> None:
    account_id = await _connected(seller, market, vendor)

    async def stored() -> dict[str, str]:
        async with backend.store.reader(seller.business.tenant_id) as session:
            account = await accounts.load_account(session, backend.box, UUID(account_id))
        return {name: value.get_secret_value() for name, value in account.credentials.items()}

    before = await stored()
    started, page = await seller.consent({"account_id": account_id}, seller=other)
    assert page.status_code == 409 and other[-7:] in page.text, page.text
    done = await seller.status(started["id"])
    assert done["status"] == "failed" and "seller" in done["detail"]
    assert await stored() == before


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"vendor": "custom"}, "no consent page"),
        ({"name": "  "}, "needs a name"),
        ({"credentials": {}}, "client_id, client_secret, redirect_name"),
        ({"options": {"authorize_url": "javascript:alert(1)"}}, "not an address"),
        ({"account_id": "01903f4c-7c00-7000-8000-000000000000"}, "keeps its vendor"),
        ({"currency": None}, "currency"),
    ],
)
async def test_what_cannot_be_started_is_said_at_once(
    changes: dict[str, Any], said: str, seller: Seller, market: Any
) -> None:
    answer = await seller.ask(form_of(market.channels["ebay"], "ebay") | changes)
    assert answer.status_code in (404, 422) and said in answer.text, answer.text
